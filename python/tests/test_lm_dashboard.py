"""Dashboards against plain loops over all rows, on the model of `test_lm`."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

import rarefy  # noqa: E402
from rarefy import lm  # noqa: E402
from rarefy.errors import ConfigError, ShapeError  # noqa: E402
from rarefy.lm import _dashboard, _lens, _responses  # noqa: E402
from test_lm import MODULE, VOCABULARY, WIDTH, model, one_thread, settings, texts, tokenizer  # noqa: E402, F401

pytestmark = pytest.mark.filterwarnings("ignore")

ARCHITECTURES = {
    "topk": {"k": 4},
    "kl": {},
    "abs-topk": {"k": 4, "preprocess": ["standardise"]},
}
BEFORE, AFTER, EXAMPLES, INTERVALS, EACH = 4, 2, 6, 3, 2
SIZES = {"before": BEFORE, "after": AFTER, "examples": EXAMPLES, "intervals": INTERVALS, "interval_examples": EACH}


class Made:
    """Store, autoencoder, its dense codes, and the entries of all latents."""

    def __init__(self, store, sae, folder):
        self.store, self.sae, self.folder = store, sae, folder
        codes = sae.encode(store)
        self.codes = (codes.toarray() if sae.is_sparse else codes).astype(np.float64)
        self.x = store.read(range(store.rows)).astype(np.float64)
        self.batches = [json.loads((folder / f"batch-{i}.json").read_text()) for i in range(len(list(folder.glob("batch-*"))))]
        self.features = [feature for batch in self.batches for feature in batch["features"]]


@pytest.fixture
def small_pieces(monkeypatch):
    """Several pieces, blocks of latents, passes of contexts, and too little room for the codes of all pieces."""
    monkeypatch.setattr(_responses, "PIECE", 97)
    monkeypatch.setattr(_responses, "DENSE", 32 * 97)
    monkeypatch.setattr(_responses, "PAIRS", 32 * 20)
    monkeypatch.setattr(_responses, "TOKENS", 7 * 12 * 6)
    monkeypatch.setattr(_responses, "KEPT", 2000)


@pytest.fixture(params=ARCHITECTURES)
def made(request, model, tokenizer, texts, tmp_path, settings, small_pieces):  # noqa: F811
    store = lm.harvest(model, tokenizer, texts, out=tmp_path / "acts", **settings)
    sae = rarefy.train(store, request.param, n_latents=32, steps=20, progress=False, **ARCHITECTURES[request.param]).model
    with torch.no_grad():
        model.model.norm.weight.copy_(torch.linspace(0.5, 2, WIDTH))
    try:
        folder = lm.dashboard(model, tokenizer, sae, store, tmp_path / "dash", **SIZES, latents_per_file=10, dataset="words")
    finally:
        with torch.no_grad():
            model.model.norm.weight.fill_(1.0)
    return Made(store, sae, folder)


@pytest.fixture
def topk(model, tokenizer, texts, tmp_path, settings):  # noqa: F811
    store = lm.harvest(model, tokenizer, texts, out=tmp_path / "acts", **settings)
    return store, rarefy.train(store, "topk", n_latents=32, k=4, steps=20, progress=False).model


def close(found, expected):
    """Equal up to the rounding to 4 digits."""
    np.testing.assert_allclose(found, expected, rtol=6e-4, atol=1e-6)


# Layout


def test_files_have_the_names_and_sizes_of_sae_dashboard(made):
    assert sorted(p.name for p in made.folder.iterdir()) == [*(f"batch-{i}.json" for i in range(4)), "run_settings.json"]
    # Equal parts, as numpy.array_split makes them.
    assert [len(batch["features"]) for batch in made.batches] == [8, 8, 8, 8]
    assert [feature["feature_index"] for feature in made.features] == list(range(32))
    for batch in made.batches:
        assert list(batch) == ["model_id", "layer", "sae_set", "sae_id_suffix", "features"]
        assert batch["model_id"] == "LlamaForCausalLM" and batch["layer"] == 0
        assert batch["sae_set"] == f"{made.sae.architecture}-32"
    for feature in made.features:
        assert (feature["n_tokens_in_prompt"], feature["dataset"]) == (16, "words")
        assert feature["n_prompts_total"] == len(list(made.store.contexts()))
    assert not list(made.folder.parent.glob(".rarefy-*"))
    run = json.loads((made.folder / "run_settings.json").read_text())
    sizes = (run["n_quantiles"], run["top_acts_group_size"], run["quantile_group_size"])
    assert sizes == (SIZES["intervals"], SIZES["examples"], SIZES["interval_examples"])


def test_files_are_read_by_sae_dashboard(made):
    peer = pytest.importorskip("sae_dashboard.neuronpedia.neuronpedia_dashboard")
    config = pytest.importorskip("sae_dashboard.neuronpedia.neuronpedia_runner_config")
    for batch in made.batches:
        read = peer.NeuronpediaDashboardBatch(**batch)
        assert [feature.to_dict() for feature in read.features] == batch["features"]
        # Same keys in the same order.
        assert [list(feature.to_dict()) for feature in read.features] == [list(f) for f in batch["features"]]
        assert read.to_dict().keys() == batch.keys()
    told = config.NeuronpediaRunnerConfig(**json.loads((made.folder / "run_settings.json").read_text()))
    assert (told.n_quantiles, told.top_acts_group_size, told.n_features_at_a_time) == (INTERVALS, EXAMPLES, 10)


# Values


def test_rates_and_histograms_are_those_of_all_rows(made):
    for latent, feature in enumerate(made.features):
        values = made.codes[:, latent]
        values = values[values != 0]
        assert feature["frac_nonzero"] == pytest.approx(len(values) / made.store.rows)
        heights, edges = np.histogram(values, bins=50) if len(values) else (np.zeros(0), np.zeros(1))
        assert feature["freq_hist_data_bar_heights"] == heights.tolist()
        close(feature["freq_hist_data_bar_values"], (edges[1:] + edges[:-1]) / 2)


def test_contexts_have_the_activation_of_each_token(made, tokenizer):  # noqa: F811
    contexts, places = list(made.store.contexts()), made.store.places()
    rows = {(int(s), int(p)): row for row, (s, p) in enumerate(zip(places["sequence"], places["position"]))}
    left_out = 0
    for latent, feature in enumerate(made.features):
        values = made.codes[:, latent]
        top = [a for a in feature["activations"] if a["bin_min"] == -1]
        expected = [int(row) for row in np.argsort(-values, kind="stable")[:EXAMPLES] if values[row] > 0]
        assert len(top) == len(expected)
        for found, row in zip(top, expected):
            close([found["bin_max"], found["bin_contains"]], [values.max(), -1])
            sequence, position = int(places["sequence"][row]), int(places["position"][row])
            around = range(max(0, position - BEFORE), min(len(contexts[sequence]), position + AFTER + 1))
            assert found["tokens"] == [tokenizer.decode([int(contexts[sequence][p])]) for p in around]
            assert found["qualifying_token_index"] == position - around[0]
            line = [rows.get((sequence, p)) for p in around]
            left_out += line.count(None)
            close(found["values"], [0 if r is None else values[r] for r in line])
    assert left_out > 0


def test_interval_contexts_lie_in_their_interval(made):
    for latent, feature in enumerate(made.features):
        values = made.codes[:, latent]
        rest = [a for a in feature["activations"] if a["bin_min"] != -1]
        edges = np.linspace(0, max(values.max(), 0), INTERVALS + 1)
        expected = 0
        for number in reversed(range(INTERVALS)):
            low, high = edges[number : number + 2]
            inside = (values >= low) & ((values < high) | (number == INTERVALS - 1))
            group = [a for a in rest if a["bin_min"] == pytest.approx(low, rel=1e-3)]
            assert len(group) == min(EACH, int((inside & (values > 0)).sum()))
            expected += len(group)
            chosen = [a["values"][a["qualifying_token_index"]] for a in group]
            assert chosen == sorted(chosen, reverse=True)
            for a, value in zip(group, chosen):
                assert a["bin_max"] == pytest.approx(high, rel=1e-3)
                assert a["bin_contains"] == pytest.approx(inside.mean())
                assert low * 0.999 <= value <= high * 1.001
        assert len(rest) == expected
        # The highest interval comes first.
        assert [a["bin_min"] for a in rest] == sorted((a["bin_min"] for a in rest), reverse=True)


def test_correlations_are_pearson_and_cosine_over_all_rows(made):
    for name, others in (("correlated_features", made.codes), ("correlated_neurons", made.x)):
        for latent, feature in enumerate(made.features):
            own = made.codes[:, latent]
            with np.errstate(all="ignore"):
                pearson = np.array([np.corrcoef(own, other)[0, 1] for other in others.T])
            if name == "correlated_features":
                pearson[latent] = np.nan
            best = np.sort(pearson[~np.isnan(pearson)])[::-1][:3]
            close(feature[f"{name}_pearson"], best)
            indices = feature[f"{name}_indices"]
            close(feature[f"{name}_pearson"], pearson[indices])
            cosine = [own @ others[:, i] / np.linalg.norm(own) / np.linalg.norm(others[:, i]) for i in indices]
            close(feature[f"{name}_l1"], cosine)


def test_decoder_rows_and_logits_are_those_of_the_model(made, model, tokenizer):  # noqa: F811
    codes = np.eye(32, dtype=np.float32)
    rows = made.sae.decode(codes).astype(np.float64) - made.sae.decode(0 * codes)
    head = model.lm_head.weight.detach().double().numpy() * np.linspace(0.5, 2, WIDTH)
    logits = rows @ (head - head.mean(axis=0)).T
    for latent, feature in enumerate(made.features):
        loose = {"rtol": 2e-3, "atol": 2e-4}
        np.testing.assert_allclose(feature["vector"], rows[latent], **loose)
        best = np.sort(rows[latent])[::-1][:3]
        np.testing.assert_allclose(feature["neuron_alignment_values"], best, **loose)
        np.testing.assert_allclose(rows[latent][feature["neuron_alignment_indices"]], best, **loose)
        np.testing.assert_allclose(feature["neuron_alignment_l1"], np.abs(best) / np.abs(rows[latent]).sum(), **loose)
        order = np.sort(logits[latent])
        np.testing.assert_allclose(feature["pos_values"], order[::-1][:10], **loose)
        np.testing.assert_allclose(feature["neg_values"], order[:10], **loose)
        for name in ("pos", "neg"):
            ids = tokenizer.convert_tokens_to_ids(feature[f"{name}_str"])
            np.testing.assert_allclose(logits[latent][ids], feature[f"{name}_values"], **loose)
        assert sum(feature["logits_hist_data_bar_heights"]) == VOCABULARY
        middles = feature["logits_hist_data_bar_values"]
        half = (order[-1] - order[0]) / 100
        np.testing.assert_allclose([middles[0] - half, middles[-1] + half], order[[0, -1]], **loose)


def alike(a, b):
    """True for equal values, numbers up to a unit of their fourth digit."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(alike(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(alike, a, b))
    return a == b or (isinstance(a, float) and abs(a - b) <= 1.1e-3 * abs(a))


def test_pieces_blocks_and_seed_change_what_they_should(topk, model, tokenizer, tmp_path, monkeypatch):  # noqa: F811
    store, sae = topk

    def written(name, **more):
        folder = lm.dashboard(model, tokenizer, sae, store, tmp_path / name, **SIZES, **more)
        return [f for batch in sorted(folder.glob("batch-*")) for f in json.loads(batch.read_text())["features"]]

    whole = written("whole")
    part = written("part", latents=[30, 2, 9])
    # Products of another number of rows may differ in their last bits, and so may the last digit that is written.
    assert all(alike(a, b) for a, b in zip(part, [whole[30], whole[2], whole[9]], strict=True))
    assert [f["vector"] for f in written("plain", latents=[2], vectors=False)] == [[]]
    other = written("seed", seed=1)
    assert any(a["activations"] != b["activations"] for a, b in zip(whole, other))
    for key in ("PIECE", "TOKENS"):
        monkeypatch.setattr(_responses, key, 50)
    monkeypatch.setattr(_responses, "KEPT", 0)
    monkeypatch.setattr(_responses, "PAIRS", 32 * 5)
    for a, b in zip(whole, written("pieces")):
        assert a["activations"] == b["activations"] and a["freq_hist_data_bar_heights"] == b["freq_hist_data_bar_heights"]
        close(a["correlated_features_pearson"], b["correlated_features_pearson"])


def test_latents_that_are_never_active_are_written(topk, model, tokenizer, tmp_path):  # noqa: F811
    store, sae = topk

    class Silent:
        """The autoencoder with latent 3 set to 0."""

        def __getattr__(self, name):
            return getattr(sae, name)

        def encode(self, X):
            codes = sae.encode(X).tolil()
            codes[:, 3] = 0
            return codes.tocsr()

    folder = lm.dashboard(model, tokenizer, Silent(), store, tmp_path / "dash", latents=[3, 4], before=0, after=0)
    dead, alive = json.loads((folder / "batch-0.json").read_text())["features"]
    assert dead["frac_nonzero"] == 0 and dead["activations"] == dead["freq_hist_data_bar_values"] == []
    assert dead["correlated_features_indices"] == dead["correlated_neurons_pearson"] == []
    assert len(dead["pos_str"]) == 10 and len(dead["vector"]) == WIDTH
    assert 3 not in alive["correlated_features_indices"]
    # A window without tokens around.
    assert all(len(a["tokens"]) == 1 and a["values"][0] > 0 for a in alive["activations"])


def test_lists_of_logits_are_empty_without_an_output_matrix(topk, model, tokenizer, tmp_path):  # noqa: F811
    folder = lm.dashboard(model.model, tokenizer, topk[1], topk[0], tmp_path / "dash", latents=[0])
    feature = json.loads((folder / "batch-0.json").read_text())["features"][0]
    for name in ("pos_str", "pos_values", "neg_str", "neg_values"):
        assert feature[name] == []
    assert feature["logits_hist_data_bar_values"] == feature["logits_hist_data_bar_heights"] == []


def test_windows_are_those_of_single_rows(topk):
    store, _ = topk
    rows = np.arange(store.rows - 1, 0, -7)
    found, places = store.windows(rows, 5, 3), store.places()
    assert store.windows([], 5, 3).ids.size == 0
    for line, row in enumerate(rows):
        part = slice(found.starts[line], found.starts[line + 1])
        assert (found.ids[part].tolist(), found.at[line]) == store.window(int(row), 5, 3)
        kept = found.rows[part] >= 0
        np.testing.assert_array_equal(places["token"][found.rows[part][kept]], found.ids[part][kept])
        assert found.rows[part][found.at[line]] == row
        assert len(set(places["sequence"][found.rows[part][kept]])) == 1


# Numbers and strings


def test_numbers_have_four_digits():
    given = [0.0, -0.0, 1234567.0, -0.000123456, 99999.0, 1e-30, 0.1 + 0.2, 7.0]
    assert _dashboard.rounded(given) == [0.0, 0.0, 1235000.0, -0.0001235, 100000.0, 0.0, 0.3, 7.0]
    assert str(_dashboard.rounded(given)[1]) == "0.0"
    assert _dashboard.rounded(np.float32(2.00049)) == 2.0


def test_token_strings_keep_spaces_and_pieces_of_characters():
    class Tokens:
        vocabulary = ["▁the", "ing", "Ġof", "âĢ", None]

        def convert_ids_to_tokens(self, number):
            return self.vocabulary[number]

        def decode(self, ids):
            return {0: "the", 1: "ing", 2: " of", 3: "\ufffd"}[ids[0]]

    assert _lens.TokenStrings(Tokens())([0, 1, 2, 3, 4, 0]) == [" the", "ing", " of", "âĢ", "<|outofrange|>", " the"]


# Errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"latents": []}, "`latents` must have at least one number, got none: pass None"),
        ({"latents": [0, 32]}, "`latents` must be numbers below 32, the number of latents, got 32"),
        ({"latents": [-1]}, "`latents` must be a whole number not below 0, got -1"),
        ({"latents": [5, 1, 5]}, "`latents` must have each number once, got 5 more than once"),
        ({"examples": -1}, "`examples` must be a whole number not below 0, got -1"),
        ({"before": 1.5}, "`before` must be a whole number not below 0, got 1.5"),
        ({"intervals": True}, "`intervals` must be a whole number"),
        ({"latents_per_file": 0}, "`latents_per_file` must be 1 or more, got 0"),
        ({"layer": "ten"}, "`layer` must be a whole number"),
    ],
)
def test_bad_arguments_are_refused_by_name(topk, model, tokenizer, tmp_path, arguments, message):  # noqa: F811
    with pytest.raises(ConfigError, match=message):
        lm.dashboard(model, tokenizer, topk[1], topk[0], tmp_path / "dash", **arguments)
    assert not (tmp_path / "dash").exists()


def test_store_of_another_width_and_several_stores_are_refused(topk, model, tokenizer, tmp_path):  # noqa: F811
    store, _ = topk
    sae = rarefy.train(np.random.default_rng(0).normal(size=(50, 8)), "topk", n_latents=16, k=2, steps=2, progress=False).model
    with pytest.raises(ShapeError, match="store: expected rows of 8 values as the model takes them, got 32"):
        lm.dashboard(model, tokenizer, sae, store, tmp_path / "dash")
    with pytest.raises(TypeError, match="a dictionary of 1 stores"):
        lm.dashboard(model, tokenizer, sae, {MODULE: store}, tmp_path / "dash")


def test_folder_with_files_is_refused_and_a_failure_leaves_nothing(topk, model, tokenizer, tmp_path, monkeypatch):  # noqa: F811
    store, sae = topk
    used = tmp_path / "used"
    used.mkdir()
    # An empty folder is fine.
    lm.dashboard(model, tokenizer, sae, store, used, latents=[0])
    with pytest.raises(ConfigError, match="`path` must be a new or an empty folder, got .*used, which has files"):
        lm.dashboard(model, tokenizer, sae, store, used)
    with pytest.raises(ConfigError, match="got the file .*batch-0.json"):
        lm.dashboard(model, tokenizer, sae, store, used / "batch-0.json")

    def broken(*_):
        raise KeyboardInterrupt

    before = sorted(p.name for p in tmp_path.iterdir())
    monkeypatch.setattr(_dashboard, "_histogram", broken)
    with pytest.raises(KeyboardInterrupt):
        lm.dashboard(model, tokenizer, sae, store, tmp_path / "stopped")
    assert sorted(p.name for p in tmp_path.iterdir()) == before
