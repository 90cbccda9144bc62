"""Stores of rows that were saved before: `lm.shard`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rarefy
from rarefy import lm
from rarefy.errors import ConfigError, FormatError, ShapeError


@pytest.fixture
def acts() -> np.ndarray:
    """12 contexts of 5 positions and 3 values."""
    return np.random.default_rng(1).normal(size=(12, 5, 3)).astype(np.float32)


@pytest.fixture
def tokens() -> np.ndarray:
    return np.arange(60).reshape(12, 5) % 7


def kept(tokens: np.ndarray, skipped: int) -> np.ndarray:
    """True for positions from the second on with other tokens."""
    mask = tokens != skipped
    mask[:, 0] = False
    return mask


def test_rows_keep_their_tokens_and_contexts_in_shards_that_cut_them(acts: np.ndarray, tokens: np.ndarray, tmp_path: Path) -> None:
    store = lm.shard(acts, tmp_path / "acts", tokens=tokens, skip_first=1, skip_tokens=[3], shard_rows=13, dtype="float32")
    mask = kept(tokens, 3)
    np.testing.assert_array_equal(store.read(range(store.rows)), acts[mask])
    places = store.places()
    np.testing.assert_array_equal(np.stack([places["sequence"], places["position"]]), np.nonzero(mask))
    np.testing.assert_array_equal(places["token"], tokens[mask])
    assert store.counts == {"rows": int(mask.sum()), "first": 12, "special": int((tokens[:, 1:] == 3).sum()), "outliers": 0}
    np.testing.assert_array_equal(list(store.contexts()), tokens)
    for row in range(store.rows):
        ids, at = store.window(row, before=2, after=1)
        context, position = places["sequence"][row], places["position"][row]
        assert (ids, ids[at]) == (tokens[context, max(0, position - 2) : position + 2].tolist(), places["token"][row])
    store.verify()
    np.testing.assert_array_equal(store.read(slice(3, 9, 2)), acts[mask][3:9:2])
    np.testing.assert_array_equal(store.read(-1 + store.rows), acts[mask][-1:])
    assert "not said" in repr(store) and "tokens    yes" in repr(store)
    rarefy.train(store, "topk", n_latents=4, k=1, steps=2, progress=False)


@pytest.mark.parametrize(("dtype", "most"), [("float16", 1e-3), ("bfloat16", 8e-3), ("int8", 4e-3), ("float64", 0.0), ("float32", 0.0)])
def test_values_of_each_number_type_are_read(acts: np.ndarray, tmp_path: Path, dtype: str, most: float) -> None:
    rows = acts.reshape(-1, 3)
    store = lm.shard(rows, tmp_path / "acts", dtype=dtype, model="gpt", module="blocks.1")
    assert np.abs(store.read(np.arange(60)) - rows).max() <= most * np.abs(rows).max()
    assert "gpt, blocks.1" in repr(store)
    with pytest.raises(FormatError, match="rows without tokens"):
        store.places()


def test_rows_are_appended(acts: np.ndarray, tokens: np.ndarray, tmp_path: Path) -> None:
    out = tmp_path / "acts"
    lm.shard(acts[:8], out, tokens=tokens[:8])
    store = lm.shard(acts[8:], out, tokens=tokens[8:], append=True)
    np.testing.assert_array_equal(store.read(range(60)), acts.reshape(-1, 3))
    np.testing.assert_array_equal(list(store.contexts()), tokens)
    assert lm.shard(acts[8:], out, tokens=tokens[8:], resume=True).rows == 60


def test_stores_become_other_stores(acts: np.ndarray, tokens: np.ndarray, tmp_path: Path) -> None:
    first = lm.shard(acts, tmp_path / "first", tokens=tokens, skip_first=2)
    second = lm.shard(first, tmp_path / "second", dtype="float16", skip_tokens=[3])
    mask = kept(tokens, 3)
    mask[:, 1] = False
    np.testing.assert_array_equal(second.places()["token"], tokens[mask])
    np.testing.assert_array_equal(list(second.contexts()), tokens)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"dtype": "f16"}, ConfigError, "`dtype` must be one of float16"),
        ({"append": True, "resume": True}, ConfigError, "not both"),
        ({"append": True}, ConfigError, "expected a store"),
        ({"tokens": np.zeros((12, 4), int)}, ShapeError, r"expected whole numbers of shape \(12, 5\)"),
        ({"tokens": np.zeros((12, 5))}, ShapeError, "expected whole numbers"),
        ({"tokens": np.full((12, 5), 2**31)}, ShapeError, "expected numbers from 0"),
        ({"skip_first": -1}, ConfigError, "`skip_first`"),
        ({"skip_tokens": 2}, ConfigError, "must be a sequence of whole numbers"),
        ({"skip_tokens": [2**40]}, ConfigError, "expected numbers up to 2147483647"),
        ({"skip_tokens": [1]}, ConfigError, "`skip_tokens` needs the token of each row"),
        ({"skip_first": 5}, ConfigError, "all rows are left out"),
        ({"outlier_norm": 1.0}, ConfigError, "`outlier_norm`"),
        ({"shard_rows": 0}, ConfigError, "`shard_rows`"),
    ],
)
def test_bad_arguments_are_named(acts: np.ndarray, tmp_path: Path, arguments: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        lm.shard(acts, tmp_path / "acts", **arguments)


def test_activations_cached_by_saelens_keep_their_tokens(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    acts = np.arange(5 * 3 * 4, dtype=np.float32).reshape(5, 3, 4)
    tokens = 100 + np.arange(15).reshape(5, 3)
    # Columns and types as `CacheActivationsRunner` of SAELens 6.54 sets them.
    features = datasets.Features(
        {
            "blocks.0.hook_resid_pre": datasets.Array2D(shape=(3, 4), dtype="float32"),
            "token_ids": datasets.Sequence(datasets.Value("int32"), length=3),
        }
    )
    cached = datasets.Dataset.from_dict({"blocks.0.hook_resid_pre": acts, "token_ids": tokens}, features=features)
    cached.save_to_disk(str(tmp_path / "cached"), num_shards=2)
    store = lm.shard(tmp_path / "cached", tmp_path / "acts", skip_tokens=[100, 104])
    np.testing.assert_array_equal(store.read(range(13)), np.delete(acts.reshape(-1, 4), [0, 4], axis=0))
    np.testing.assert_array_equal(list(store.contexts()), tokens)
