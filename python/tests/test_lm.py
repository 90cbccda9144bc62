"""Hooks, harvest and store on a random Llama of two layers, made in place."""

import hashlib
import json
import pickle
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

import rarefy  # noqa: E402
from rarefy import _progress, lm  # noqa: E402
from rarefy.errors import ConfigError, FormatError, NotFiniteError, ShapeError  # noqa: E402
from rarefy.lm import _hooks  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")

WIDTH, VOCABULARY, LAYERS = 32, 200, 2
MODULE = "model.layers.0"


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Threads cost more than they save on a model of this size."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        hidden_size=WIDTH,
        intermediate_size=48,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        num_key_value_heads=4,
        vocab_size=VOCABULARY,
        max_position_embeddings=64,
        initializer_range=0.5,
    )
    return transformers.LlamaForCausalLM(config).eval()


@pytest.fixture(scope="module")
def tokenizer():
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = {"<unk>": 0, "<s>": 1, "</s>": 2} | {f"w{i}": i for i in range(3, VOCABULARY)}
    made = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    # Padding has the id of a real token, as in many models.
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<s>", eos_token="</s>", pad_token="</s>", unk_token="<unk>"
    )


@pytest.fixture(scope="module")
def texts():
    rng = np.random.default_rng(1)
    return [" ".join(f"w{i}" for i in rng.integers(3, VOCABULARY, size=n)) for n in rng.integers(3, 60, size=60)]


@pytest.fixture
def settings():
    return {"module": MODULE, "context": 16, "batch_tokens": 64, "shard_rows": 300}


def ids_of(model, count=3, length=7):
    ids = np.arange(3, 3 + count * length).reshape(count, length)
    return _hooks.inputs_of(model, ids, np.ones_like(ids))


def digests(folder):
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*")) if p.is_file()}


# Hooks


def test_hooks_give_the_hidden_states_of_the_model(model):
    inputs = ids_of(model)
    with torch.no_grad():
        states = model(**inputs, output_hidden_states=True).hidden_states
    found = _hooks.capture(model, ["model.layers.0", "model.embed_tokens"], "out", inputs)
    assert torch.equal(found["model.embed_tokens"], states[0])
    assert torch.equal(found["model.layers.0"], states[1])
    assert torch.equal(_hooks.capture(model, ["model.layers.1"], "in", inputs)["model.layers.1"], states[1])


def test_input_that_is_passed_by_name_is_found(model):
    # Llama calls its attention with hidden_states=...
    found = _hooks.capture(model, ["model.layers.0.self_attn"], "in", ids_of(model))
    assert found["model.layers.0.self_attn"].shape == (3, 7, WIDTH)


def test_forward_pass_stops_after_the_last_module(model):
    called = []
    handles = [layer.register_forward_hook(lambda *_, i=i: called.append(i)) for i, layer in enumerate(model.model.layers)]
    try:
        _hooks.capture(model, ["model.layers.0.mlp"], "out", ids_of(model))
        assert called == []
        _hooks.capture(model, ["model.layers.0"], "out", ids_of(model))
        assert called == [0]
        _hooks.run(model, "model.layers.0", "out", ids_of(model))
        assert called == [0, 0, 1]
    finally:
        for handle in handles:
            handle.remove()


def test_no_hook_and_no_mode_is_left_after_an_error(model):
    model.train()
    model.model.layers[0].eval()
    # transformers keeps hooks of its own.
    state = lambda: [(m.training, len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()]  # noqa: E731
    before = state()
    try:
        with pytest.raises(IndexError):
            _hooks.capture(model, [MODULE], "out", _hooks.inputs_of(model, [[VOCABULARY + 1]], [[1]]))
        assert state() == before
        _hooks.run(model, MODULE, "in", ids_of(model))
        assert state() == before
    finally:
        model.eval()


def test_unknown_module_is_refused_with_the_nearest_names(model, tokenizer, texts):
    with pytest.raises(ConfigError, match="has no module 'layers.1'; nearest names: model.layers.1"):
        lm.stream(model, tokenizer, texts, module="layers.1")


def test_module_without_rows_for_tokens_is_refused(model):
    with pytest.raises(TypeError, match="expected the output of model to be a tensor"):
        _hooks.capture(model, ["model"], "out", ids_of(model))


def test_call_without_torch_names_the_extra(monkeypatch, model, tokenizer, texts):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'rarefy\[lm\]'"):
        lm.stream(model, tokenizer, texts, module=MODULE)


# Masks


def test_masks_are_counted_and_the_rows_are_those_of_single_contexts(model, tokenizer, tmp_path, settings):
    # 4 words and BOS; 20 words and BOS, so 16 tokens, and BOS with the other 5.
    texts = ["w3 w4 </s> w5", " ".join(f"w{i}" for i in range(10, 30))]
    store = lm.harvest(model, tokenizer, texts, out=tmp_path / "acts", **settings | {"batch_tokens": 1000}, outlier_norm=None)
    counts = store.manifest["counts"]
    assert counts["tokens"] == 5 + 16 + 6
    assert counts["padding"] == 3 * 16 - 27
    assert (counts["first"], counts["special"], counts["outliers"]) == (3, 1, 0)
    assert store.rows == counts["rows"] == 27 - 4
    contexts = list(store.contexts())
    assert [len(c) for c in contexts] == [16, 6, 5]
    assert all(c[0] == tokenizer.bos_token_id for c in contexts)
    places = store.places()
    for line in range(store.rows):
        ids = contexts[places["sequence"][line]][None]
        alone = _hooks.capture(model, [MODULE], "out", _hooks.inputs_of(model, ids, np.ones_like(ids)))[MODULE]
        expected = alone[0, places["position"][line]].numpy()
        np.testing.assert_allclose(store.read([line])[0], expected, rtol=2e-3, atol=2e-3)
        assert contexts[places["sequence"][line]][places["position"][line]] == places["token"][line]


def test_planted_outlier_is_left_out(model, tokenizer, texts, tmp_path, settings):
    weight = model.model.embed_tokens.weight
    before = weight[50].clone()
    try:
        with torch.no_grad():
            weight[50] *= 1e4
        store = lm.harvest(model, tokenizer, texts, out=tmp_path / "a", **settings, dtype="bfloat16")
        rows = np.concatenate(list(lm.stream(model, tokenizer, texts, **stream_of(settings))))
        everything = lm.harvest(model, tokenizer, texts, out=tmp_path / "b", **settings, dtype="float32", outlier_norm=None)
    finally:
        with torch.no_grad():
            weight[50] = before
    planted = int((everything.places()["token"] == 50).sum())
    assert planted > 0
    assert store.counts.outliers == planted and 50 not in store.places()["token"]
    assert store.rows == len(rows) == everything.rows - planted
    norms = np.linalg.norm(everything.read(range(everything.rows)), axis=1)
    assert store.manifest["norm_limit"] == pytest.approx(10 * np.median(norms), rel=1e-6)
    np.testing.assert_allclose(store.read(range(store.rows)), rows, rtol=2**-8)


def stream_of(settings):
    return {name: value for name, value in settings.items() if name != "shard_rows"}


# Store


def test_store_is_read_as_rows_by_training(model, tokenizer, texts, tmp_path, settings):
    store = lm.harvest(model, tokenizer, texts, out=tmp_path / "acts", **settings)
    assert len(store.manifest["shards"]) > 1
    run = rarefy.train(store, "topk", n_latents=64, k=4, steps=20, holdout=0, progress=False)
    assert run.model.n_inputs == WIDTH
    # The folder `tokens` of a store is no data, which needs no word.
    told = rarefy.train(store.path, "topk", n_latents=64, k=4, steps=5, holdout=0, progress=False).messages
    assert not any("subfolders" in text for text in run.messages + told)
    assert run.training["samples" if "samples" in run.training else "rows"] == store.rows
    x = np.concatenate(list(lm.stream(model, tokenizer, texts, **stream_of(settings))))
    np.testing.assert_allclose(store.read(range(store.rows)), x, rtol=1e-3, atol=1e-4)
    store.verify()
    assert pickle.loads(pickle.dumps(store)).rows == store.rows
    assert "model.layers.0" in repr(store) and "<table>" in store._repr_html_()


def test_stopped_harvest_continues_to_the_same_bytes(model, tokenizer, texts, tmp_path, settings, monkeypatch):
    monkeypatch.setattr(_progress, "PAUSE", 0.0)
    whole = lm.harvest(model, tokenizer, texts, out=tmp_path / "whole", **settings)

    def broken(told):
        # In the middle of the second shard.
        if told["shards"] == 1 and told["rows"] > 400:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lm.harvest(model, tokenizer, texts, out=tmp_path / "parts", **settings, progress=broken)
    part = lm.Store(tmp_path / "parts")
    assert not part.is_complete and len(part.manifest["shards"]) == 1 and part.rows < 400
    passes = []
    handle = model.model.layers[0].register_forward_hook(lambda *_: passes.append(1))
    lm.harvest(model, tokenizer, iter(texts), out=tmp_path / "parts", **settings)
    continued = len(passes)
    lm.harvest(model, tokenizer, texts, out=tmp_path / "parts", **settings)
    handle.remove()
    assert len(passes) == continued < whole.manifest["shards"][-1]["batches"]
    assert digests(tmp_path / "parts") == digests(tmp_path / "whole")


def test_harvest_of_several_modules_is_that_of_each(model, tokenizer, texts, tmp_path, settings):
    names = ["model.layers.0", "model.layers.1.mlp"]
    stores = lm.harvest(model, tokenizer, texts, out=tmp_path / "all", **settings | {"module": names})
    for call in (rarefy.train, lambda several: lm.explorer(model, tokenizer, None, several)):
        with pytest.raises(TypeError, match=r"a dictionary of 2 stores: pass one of them: stores\['model.layers.0'\]"):
            call(stores)
    with pytest.raises(TypeError, match=r"^batches: .* got a path .*: rarefy.train\(store\) is for files and stores"):
        rarefy.Trainer("topk", n_latents=64, k=4).fit(stores[names[0]])
    for name in names:
        alone = lm.harvest(model, tokenizer, texts, out=tmp_path / name, **settings | {"module": name})
        assert digests(stores[name].path) == digests(alone.path)


def test_stop_between_two_stores_continues_to_the_same_bytes(model, tokenizer, texts, tmp_path, settings):
    names = settings["module"] = ["model.layers.0", "model.layers.1"]
    lm.harvest(model, tokenizer, texts, out=tmp_path / "all", **settings)
    expected = digests(tmp_path / "all")
    behind = tmp_path / "all" / names[1] / "_manifest.json"
    told = json.loads(behind.read_text())
    told |= {"shards": told["shards"][:1], "complete": False}
    behind.write_text(json.dumps(told))
    lm.harvest(model, tokenizer, texts, out=tmp_path / "all", **settings)
    assert digests(tmp_path / "all") == expected


def test_other_arguments_are_refused_by_name(model, tokenizer, texts, tmp_path, settings):
    lm.harvest(model, tokenizer, texts, out=tmp_path / "acts", **settings)
    with pytest.raises(ConfigError, match="context=16, now 8"):
        lm.harvest(model, tokenizer, texts, out=tmp_path / "acts", **settings | {"context": 8})
    with pytest.raises(ConfigError, match="other texts"):
        lm.harvest(model, tokenizer, ["w9 w9 w9"], out=tmp_path / "acts", **settings)
    with torch.no_grad():
        model.lm_head.weight[0, 0] += 1
    try:
        with pytest.raises(ConfigError, match="model.sha256"):
            lm.harvest(model, tokenizer, texts, out=tmp_path / "acts", **settings)
    finally:
        with torch.no_grad():
            model.lm_head.weight[0, 0] -= 1


def test_other_texts_are_refused_when_a_harvest_continues(model, tokenizer, texts, tmp_path, settings):
    store = lm.harvest(model, tokenizer, texts, out=tmp_path / "acts", **settings)
    told = store.manifest | {"shards": store.manifest["shards"][:2], "complete": False}
    (store.path / "_manifest.json").write_text(json.dumps(told))
    # The first batch has the longest contexts, so it stays the same.
    other = [*texts[:-1], "w3 w3 w3"]
    with pytest.raises(ConfigError, match="other texts"):
        lm.harvest(model, tokenizer, other[::-1], out=tmp_path / "acts", **settings)


def test_values_beyond_float16_are_refused(model, tokenizer, texts, tmp_path, settings):
    with torch.no_grad():
        model.model.layers[0].mlp.down_proj.weight *= 1e6
    try:
        with pytest.raises(ConfigError, match="model.layers.0 has an activation of .* use dtype='bfloat16'"):
            lm.harvest(model, tokenizer, texts, out=tmp_path / "acts", **settings)
        lm.harvest(model, tokenizer, texts, out=tmp_path / "acts32", **settings, dtype="float32")
    finally:
        with torch.no_grad():
            model.model.layers[0].mlp.down_proj.weight /= 1e6


def test_activations_that_are_not_finite_are_refused(model, tokenizer, texts, tmp_path, settings):
    weight = model.model.embed_tokens.weight
    before = weight[7].clone()
    with torch.no_grad():
        weight[7] = float("nan")
    try:
        with pytest.raises(NotFiniteError, match="activations of token"):
            lm.harvest(model, tokenizer, texts, out=tmp_path / "acts", **settings)
    finally:
        with torch.no_grad():
            weight[7] = before


@pytest.mark.parametrize("tokens", [1, 17, 100])
def test_max_tokens_is_exact(model, tokenizer, texts, tmp_path, settings, tokens):
    store = lm.harvest(
        model, tokenizer, texts, out=tmp_path / "acts", **settings, max_tokens=tokens, skip_first=0, skip_special=False
    )
    assert store.counts.tokens == tokens


def test_changed_shard_and_foreign_folder_are_refused(model, tokenizer, texts, tmp_path, settings):
    store = lm.harvest(model, tokenizer, texts, out=tmp_path / "acts", **settings)
    shard = store.path / "shard-00000.safetensors"
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(data)
    with pytest.raises(FormatError, match="has changed since it was written"):
        store.verify()
    (store.path / "_manifest.json").unlink()
    with pytest.raises(FormatError, match="without _manifest.json"):
        lm.harvest(model, tokenizer, texts, out=store.path, **settings)
    with pytest.raises(FormatError, match="without _manifest.json"):
        lm.Store(store.path)


def test_harvested_store_becomes_another_store(model, tokenizer, texts, tmp_path, settings):
    first = lm.harvest(model, tokenizer, texts, out=tmp_path / "acts", **settings)
    second = lm.shard(first, tmp_path / "again", dtype="float32", shard_rows=37)
    np.testing.assert_array_equal(second.read(range(second.rows)), first.read(range(first.rows)))
    for name, places in first.places().items():
        np.testing.assert_array_equal(second.places()[name], places)
    pairs = list(zip(first.contexts(), second.contexts(), strict=True))
    assert pairs and all((a == b).all() for a, b in pairs)


def test_window_marks_the_token_of_its_row(model, tokenizer, texts, tmp_path, settings):
    store = lm.harvest(model, tokenizer, texts, out=tmp_path / "acts", **settings)
    places, contexts = store.places(), list(store.contexts())
    for row in range(0, store.rows, 37):
        ids, at = store.window(row, before=4, after=2)
        assert ids[at] == places["token"][row]
        context, position = contexts[places["sequence"][row]], places["position"][row]
        assert ids == list(context[max(0, position - 4) : position + 3])
        strings, _ = store.window(row, 4, 2, tokenizer)
        assert strings[at] == tokenizer.decode([ids[at]])
    with pytest.raises(ShapeError, match="rows: expected numbers from 0"):
        store.window(store.rows)


def test_string_and_contexts_beyond_the_model_are_refused(model, tokenizer, texts):
    with pytest.raises(TypeError, match="got a single text"):
        list(lm.stream(model, tokenizer, "one text", module=MODULE, context=16))
    with pytest.raises(ShapeError, match="`context` must be at most 64"):
        lm.stream(model, tokenizer, texts, module=MODULE, context=65)
    with pytest.raises(ShapeError, match="no token is left"):
        list(lm.stream(model, tokenizer, ["w3"], module=MODULE, context=16, skip_first=2))


def test_trainer_fits_a_stream(model, tokenizer, texts, settings):
    trainer = rarefy.Trainer("topk", n_latents=64, k=4, steps=10, batch_size=64)
    trainer.fit(lm.stream(model, tokenizer, texts, **stream_of(settings)), progress=False)
    assert trainer.steps_done == 10
    half = next(lm.stream(model, tokenizer, texts, **stream_of(settings), dtype="bfloat16"))
    assert half.dtype == torch.bfloat16
    assert rarefy.Trainer("topk", n_latents=64, k=4, steps=1).step(half).step == 1
