"""Evaluation and explorer, on the model of `test_lm`."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

import rarefy  # noqa: E402
from rarefy import lm  # noqa: E402
from rarefy.errors import ConfigError, ShapeError  # noqa: E402
from rarefy.lm import _explorer, _hooks  # noqa: E402
from test_lm import MODULE, VOCABULARY, WIDTH, model, one_thread, settings, texts, tokenizer  # noqa: E402, F401

pytestmark = pytest.mark.filterwarnings("ignore")


class Identity:
    """Stands for a model that reconstructs its input, plus `bias`."""

    n_inputs = n_outputs = WIDTH
    is_sparse = False

    def __init__(self, bias=0.0):
        self.bias = bias

    def reconstruct(self, rows):
        return rows + np.float32(self.bias)


# Evaluation


def test_identity_recovers_everything(model, tokenizer, texts):
    found = lm.evaluate(model, tokenizer, Identity(), texts, module=MODULE, context=16)
    assert found.ce_spliced == found.ce_original
    assert found.ce_recovered_zero == found.ce_recovered_mean == 1.0
    assert found.kl_spliced == 0 and found.kl_zero > 0
    assert found.explained_variance == found.explained_variance_inliers == 1.0
    assert found.intervals["ce_recovered_zero"] == (1.0, 1.0)
    low, high = found.intervals["ce_zero"]
    assert low < found.ce_zero < high


def test_cross_entropy_is_that_of_the_model_without_padding(model, tokenizer, texts):
    found = lm.evaluate(model, tokenizer, Identity(), texts, module=MODULE, context=64)
    total, count = 0.0, 0
    for text in texts:
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            total += float(model(ids, labels=ids).loss) * (ids.shape[1] - 1)
        count += ids.shape[1] - 1
    assert found.targets == count
    assert found.ce_original == pytest.approx(total / count, rel=1e-5)


def test_zero_everywhere_gives_the_uniform_distribution(model, tokenizer, texts):
    # Llama has no biases, so zero activations lead to equal logits.
    setting = {"module": "model.layers.0", "context": 16, "skip_special": False}
    found = lm.evaluate(model, tokenizer, Identity(), texts, skip_first=0, **setting)
    assert found.ce_zero == pytest.approx(math.log(VOCABULARY), abs=1e-6)
    kept = lm.evaluate(model, tokenizer, Identity(), texts, skip_first=1, **setting)
    assert abs(kept.ce_zero - math.log(VOCABULARY)) > 1e-3


@pytest.mark.parametrize("io", ["out", "in"])
def test_figures_do_not_depend_on_the_batch_size(model, tokenizer, texts, io):
    setting = {"module": "model.layers.1", "io": io, "context": 16, "outlier_norm": 1.5}
    found = [lm.evaluate(model, tokenizer, Identity(0.1), texts, batch_tokens=n, **setting) for n in (16, 4000)]
    assert found[0].outliers == 0 and found[0].kept < found[0].tokens
    for name, value in found[0].items():
        if name != "intervals":
            assert value == pytest.approx(found[1][name], abs=1e-5), name


def test_explained_variance_is_given_with_and_without_planted_outliers(model, tokenizer, texts):
    weight = model.model.embed_tokens.weight
    before = weight[50].clone()
    setting = {"module": MODULE, "context": 16}
    try:
        with torch.no_grad():
            weight[50] *= 1e4
        found = lm.evaluate(model, tokenizer, Identity(8.0), texts, **setting)
        masked = lm.evaluate(model, tokenizer, Identity(8.0), texts, **setting, outlier_norm=10.0)
        x = np.concatenate(list(lm.stream(model, tokenizer, texts, **setting))).astype(np.float64)
    finally:
        with torch.no_grad():
            weight[50] = before
    expected = 1 - len(x) * WIDTH * 64 / np.square(x - x.mean(axis=0)).sum()
    assert found.explained_variance_inliers == pytest.approx(expected, abs=1e-6)
    assert found.explained_variance > 0.999 > 0.95 > expected
    assert masked.explained_variance == pytest.approx(expected, abs=1e-6)
    assert found.outliers > 0 and masked.kept == len(x) == found.kept - found.outliers


def test_masked_positions_are_as_they_are_in_every_arm(model, tokenizer, texts):
    # All tokens are masked but the last one, whose prediction has no target.
    found = lm.evaluate(model, tokenizer, Identity(5.0), ["w5 w6 w7"], module=MODULE, context=16, skip_first=3)
    assert found.ce_original == found.ce_spliced == found.ce_zero == found.ce_mean
    assert found.ce_recovered_zero is None and found.kept == 1


def test_evaluation_of_a_trained_model(model, tokenizer, texts, tmp_path, settings):
    store = lm.harvest(model, tokenizer, texts, out=tmp_path / "acts", **settings, dtype="float32", outlier_norm=None)
    sae = rarefy.train(store, "topk", n_latents=128, k=8, steps=300, progress=False).model
    found = lm.evaluate(model, tokenizer, sae, texts, module=MODULE, context=16)
    told = sae.evaluate(store)
    assert found.explained_variance == pytest.approx(told.explained_variance, abs=1e-4)
    assert found.l0 == pytest.approx(told.l0, abs=1e-3)
    assert found.kept == store.rows
    assert found.ce_original != found.ce_spliced and 0 < found.kl_spliced < found.kl_zero
    assert "ce_recovered_zero" in repr(found) and " to " in repr(found)
    assert len(lm.explorer(model, tokenizer, sae, store, rows=100).html) > 1000


def test_figures_of_saelens_by_their_definitions(model, tokenizer):
    # `get_recons_loss` and `ExplainedVarianceCalculator` of SAELens 6.54.12, run on this model with a trained autoencoder, gave
    # the same figures to 1e-6.
    text = "w5 w6 </s> w8 w9 w10"
    found = lm.evaluate(model, tokenizer, Identity(0.3), [text], module=MODULE, context=16, compat="sae-lens")
    ids = tokenizer(text)["input_ids"]
    inputs = _hooks.inputs_of(model, [ids], [[1] * len(ids)])
    original, x = _hooks.run(model, MODULE, "out", inputs)
    counts = torch.tensor([i > 2 for i in ids])
    spliced = torch.where(counts[None, :, None], x + 0.3, x)

    def ce(output):
        losses = -output.logits[0].log_softmax(-1)[:-1].gather(1, torch.tensor(ids)[1:, None])[:, 0]
        return float(losses[counts[:-1]].mean())

    changed = _hooks.run(model, MODULE, "out", inputs, spliced)[0]
    zero = _hooks.run(model, MODULE, "out", inputs, torch.zeros_like(x))[0]
    expected = [ce(original), ce(changed), ce(zero)]
    assert [found.ce_original, found.ce_spliced, found.ce_zero] == pytest.approx(expected, rel=1e-5)
    p, q = original.logits[0].log_softmax(-1), changed.logits[0].log_softmax(-1)
    assert found.kl_spliced == pytest.approx(float((p.exp() * (p - q)).sum(-1)[counts].mean()), rel=1e-4)
    assert "ce_mean" not in found and found.ce_zero == pytest.approx(math.log(VOCABULARY), abs=1e-6)


def test_model_of_another_width_is_refused(model, tokenizer, texts):
    sae = rarefy.train(np.random.default_rng(0).normal(size=(50, 8)), "topk", n_latents=16, k=2, steps=2, progress=False).model
    with pytest.raises(ShapeError, match="expected a model with 32 inputs and outputs"):
        lm.evaluate(model, tokenizer, sae, texts, module=MODULE, context=16)
    with pytest.raises(TypeError, match="AutoModelForCausalLM"):
        lm.evaluate(model.model, tokenizer, Identity(), texts, module="layers.0", context=16)


# Transcoders

MLP = "model.layers.0.mlp"


class Copy:
    """Transcoder that computes what a module computes."""

    n_inputs = n_outputs = WIDTH
    is_sparse, is_transcoder = False, True

    def __init__(self, module):
        self.module = module

    def reconstruct(self, rows):
        with torch.no_grad():
            return self.module(torch.as_tensor(rows)).numpy()


def transcoder_of(model, tokenizer, texts, folder, setting, **options):
    """A trained transcoder of `MLP`, with the rows that it reads and predicts."""
    setting = setting | {"module": MLP, "dtype": "float32", "outlier_norm": None}
    x, y = (lm.harvest(model, tokenizer, texts, out=folder / io, io=io, **setting) for io in ("in", "out"))
    options = {"n_latents": 48, "k": 4, "steps": 200, "holdout": 0, "progress": False} | options
    return rarefy.train(x, "topk", target=y, **options).model, x.read(range(x.rows)), y.read(range(y.rows))


def test_transcoder_that_copies_its_module_recovers_everything(model, tokenizer, texts):
    module = model.get_submodule(MLP)
    found = lm.evaluate(model, tokenizer, Copy(module), texts, module=MLP, io="in-out", context=16)
    assert found.ce_spliced == pytest.approx(found.ce_original, abs=1e-5)
    assert found.ce_recovered_zero == pytest.approx(1, abs=1e-3)
    assert found.kl_spliced == pytest.approx(0, abs=1e-5) and found.kl_zero > 0.01
    assert found.explained_variance == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("skip", [False, True])
def test_transcoder_is_spliced_as_by_hand(model, tokenizer, texts, tmp_path, settings, skip):
    sae, x, y = transcoder_of(model, tokenizer, texts, tmp_path, settings, settings={"model.skip": skip})
    found = lm.evaluate(model, tokenizer, sae, texts, module=MLP, io="in-out", context=64, skip_first=0, skip_special=False)
    sums = np.zeros(4)
    predicted = lambda module, inputs, output: torch.as_tensor(sae.reconstruct(inputs[0][0])[None])  # noqa: E731
    zero = lambda module, inputs, output: torch.zeros_like(output)  # noqa: E731
    for text in texts:
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        for at, hook in enumerate((None, predicted, zero)):
            handle = model.get_submodule(MLP).register_forward_hook(hook) if hook else None
            with torch.no_grad():
                sums[at] += float(model(ids, labels=ids).loss) * (ids.shape[1] - 1)
            if handle:
                handle.remove()
        sums[3] += ids.shape[1] - 1
    expected = sums[:3] / sums[3]
    assert [found.ce_original, found.ce_spliced, found.ce_zero] == pytest.approx(expected.tolist(), rel=1e-5)
    assert found.targets == sums[3] and abs(found.ce_spliced - found.ce_original) > 1e-4


def test_figures_of_a_transcoder_are_those_of_its_target(model, tokenizer, texts, tmp_path, settings):
    sae, x, y = transcoder_of(model, tokenizer, texts, tmp_path, settings)
    found = lm.evaluate(model, tokenizer, sae, texts, module=MLP, io="in-out", context=16)
    error = np.square(y - sae.reconstruct(x)).sum() / np.square(y - y.mean(axis=0)).sum()
    assert found.explained_variance == pytest.approx(1 - error, abs=1e-4)
    assert found.l0 == pytest.approx(sae.encode(x).nnz / len(x), abs=1e-3)
    assert found.kept == len(x)


def test_transcoder_and_autoencoder_are_told_apart(model, tokenizer, texts, tmp_path):
    copy = Copy(model.get_submodule(MLP))
    with pytest.raises(ConfigError, match="`io` must be 'in-out' for a transcoder, .* got 'out'"):
        lm.evaluate(model, tokenizer, copy, texts, module=MLP, context=16)
    with pytest.raises(ConfigError, match="`io` must be 'in' or 'out' for an autoencoder, .* got 'in-out'"):
        lm.evaluate(model, tokenizer, Identity(), texts, module=MLP, io="in-out", context=16)
    with pytest.raises(ConfigError, match="`compat='sae-lens'` is for autoencoders"):
        lm.evaluate(model, tokenizer, copy, texts, module=MLP, io="in-out", compat="sae-lens", context=16)
    copy.n_inputs = 8
    with pytest.raises(ShapeError, match="expected a transcoder with 32 inputs and 32 outputs, .* got 8 inputs and 32 outputs"):
        lm.evaluate(model, tokenizer, copy, texts, module=MLP, io="in-out", context=16)


# Explorer


def test_explorer_gets_rows_with_their_texts_and_centred_output_weights(model, tokenizer, texts, tmp_path, settings):
    class Told(Identity):
        n_latents = WIDTH

        def encode(self, X):
            return X

        def explorer(self, X, **told):
            return X, told

    store = lm.harvest(model, tokenizer, texts, out=tmp_path / "acts", **settings)
    x, told = lm.explorer(model, tokenizer, Told(), store, rows=9, before=2, after=1)
    every = store.read(range(store.rows))
    chosen = {row.tobytes(): line for line, row in enumerate(x)}
    assert 5 <= len(x) <= 9
    # Half of the rows are the strongest of a latent, the others are at equal distances.
    assert all(every[int(row)].tobytes() in chosen for row in np.linspace(0, store.rows - 1, 5).round())
    assert sum(row.tobytes() in chosen for row in every[np.abs(every).argmax(axis=0)]) >= 4
    rows = [int(np.flatnonzero((every == row).all(axis=1))[0]) for row in x]
    x_all, _ = lm.explorer(model, tokenizer, Told(), store, rows=10**6)
    np.testing.assert_array_equal(x_all, every)
    tokens = store.places()["token"][rows]
    for text, token in zip(told["texts"], tokens):
        assert f"⟦{tokenizer.decode([int(token)])}⟧" in text
        assert 2 <= len(text.split()) <= 4
    assert told["unembedding"].shape == (VOCABULARY, WIDTH)
    np.testing.assert_allclose(told["unembedding"].mean(axis=0), 0, atol=1e-5)
    assert told["vocabulary"][50] == "w50"
    assert lm.explorer(model, tokenizer, Told(), store, rows=9, unembedding=False)[1]["vocabulary"] is None


@pytest.mark.parametrize("architecture", ["topk", "kl"])
def test_strongest_rows_of_each_latent_come_from_the_whole_store(
    model, tokenizer, texts, tmp_path, settings, architecture, monkeypatch
):
    monkeypatch.setattr(_explorer, "PIECE", 100)
    monkeypatch.setattr(_explorer, "DENSE", 3200)
    store = lm.harvest(model, tokenizer, texts, out=tmp_path / "acts", **settings)
    options = {"k": 4} if architecture == "topk" else {}
    sae = rarefy.train(store, architecture, n_latents=32, steps=20, progress=False, **options).model
    latents = sae.encode(store)
    latents = latents.toarray() if sae.is_sparse else latents
    expected = {
        int(row) for column in latents.T for row in np.argsort(-column, kind="stable")[:3] if column[row] > 0
    }
    found = _explorer.strongest(sae, store, 3)
    assert set(found.tolist()) == expected and len(found) == len(expected)
    # The rarest latents come first.
    rates = np.where((latents > 0).any(axis=0), (latents > 0).sum(axis=0), store.rows + 1)
    assert latents[:, rates.argmin()].argmax() == found[0]


def test_marked_text_keeps_spaces_and_split_characters():
    class Bytes:
        def decode(self, ids):
            return bytes(ids).decode("utf-8", "replace")

    ids = list("a cé".encode())
    assert _explorer.marked(Bytes(), ids, 2) == "a ⟦c⟧é"
    assert _explorer.marked(Bytes(), ids, 1) == "a⟦ ⟧cé"
    assert "⟦" in _explorer.marked(Bytes(), ids, 3)


def test_scale_of_the_final_norm_is_measured(model):
    norm = model.model.norm
    with torch.no_grad():
        norm.weight.copy_(torch.linspace(0.5, 2, WIDTH))
    try:
        np.testing.assert_allclose(_explorer.final_scale(model, WIDTH), norm.weight.detach().numpy(), rtol=1e-4)
    finally:
        with torch.no_grad():
            norm.weight.fill_(1.0)
