"""Dashboards of latents as files in the layout of SAEDashboard, which Neuronpedia's importer reads."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import _arrays
from .._settings import whole
from ..errors import ConfigError, ShapeError
from . import _responses
from ._lens import TokenStrings, decoder_rows, output_matrix
from ._store import Store

#: Tokens raised and lowered by a latent, and correlated or aligned entries, as in SAEDashboard.
TOKENS_SHOWN, CORRELATED = 10, 3
#: Significant digits of the numbers in the files.
DIGITS = 4
#: Latents whose logits are computed at once.
LOGITS = 32

#: Keys of a latent in the order of SAEDashboard's `NeuronpediaDashboardFeature.to_dict`.
KEYS = (
    "feature_index",
    *("neuron_alignment_indices", "neuron_alignment_values", "neuron_alignment_l1"),
    *("correlated_neurons_indices", "correlated_neurons_l1", "correlated_neurons_pearson"),
    *("correlated_features_indices", "correlated_features_l1", "correlated_features_pearson"),
    *("neg_str", "neg_values", "pos_str", "pos_values"),
    *("frac_nonzero", "freq_hist_data_bar_values", "freq_hist_data_bar_heights"),
    *("logits_hist_data_bar_heights", "logits_hist_data_bar_values"),
    *("n_prompts_total", "n_tokens_in_prompt", "dataset", "decoder_weights_dist", "activations", "vector"),
)


def dashboard(
    model: Any,
    tokenizer: Any,
    sae: Any,
    store: Store,
    path: str | os.PathLike[str],
    *,
    latents: Iterable[int] | None = None,
    examples: int = 20,
    intervals: int = 5,
    interval_examples: int = 5,
    before: int = 24,
    after: int = 12,
    vectors: bool = True,
    latents_per_file: int = 128,
    model_id: str | None = None,
    layer: int | None = None,
    sae_set: str | None = None,
    sae_id_suffix: str | None = None,
    dataset: str = "",
    seed: int = 0,
) -> Path:
    """Writes dashboards of latents in the layout of SAEDashboard 0.8, which Neuronpedia's importer reads.

    The folder has `batch-0.json`, `batch-1.json` and so on, and `run_settings.json`. All numbers are computed over all rows of
    the store, which is read in pieces, and have 4 significant digits.

    Parameters
    ----------
    model : torch.nn.Module
        Language model; read for its output matrix alone.
    tokenizer : tokenizer of transformers
    sae : Model
    store : Store
        Activations with their tokens.
    path : path of the folder
        A new or an empty folder. It appears when all files are complete.
    latents : list of int, optional
        Latents to write, in this order. Default: all.
    examples : int
        Most contexts of the largest activations, for each latent.
    intervals, interval_examples : int
        Number of intervals of equal width between 0 and the greatest activation, and most random contexts of each.
    before, after : int
        Most tokens before and after the token of a row; a context ends where the tokens that the model read together end.
    vectors : bool
        Writes the decoder rows as `vector`, with which Neuronpedia steers. They take about 10 bytes for each value.
    latents_per_file : int
        Most latents of a file.
    model_id, layer, sae_set, sae_id_suffix : optional
        Names in the files, which the importer may replace. Default: the last part of the model's name in the store, the number
        in the name of the module, architecture and number of latents, and none.
    dataset : str
        Name of the texts, such as a data set of Hugging Face.
    seed : int
        Seed of the random contexts.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    rarefy.errors.ConfigError
        A parameter is outside its range, or `path` is a file or a folder with files.
    rarefy.errors.ShapeError
        The store has no rows, or rows of another width than `sae` takes.

    Notes
    -----
    Definitions are those of SAEDashboard, with these differences:

    - Activations are those of `sae.encode`. SAEDashboard multiplies them by the length of the decoder row.
    - `values` are 0 on tokens that the store left out, such as first and special tokens. Rates count the rows of the store.
    - All contexts are around tokens with an activation above 0; SAEDashboard fills up with others. `bin_contains` of the lowest
      interval counts the rows with activation 0, as there.
    - Negative activations (`abs-topk`) count in `frac_nonzero` and in the histogram.
    - `correlated_features_*` compare with all latents of `sae`, SAEDashboard with those of the same file. Constant latents and
      inputs are left out.
    - `correlated_neurons_*` and `neuron_alignment_*` number the values of a row, the inputs and outputs of `sae`.
    - Logits are those of `lm.explorer`: the output matrix times the weight of the final norm, centred over tokens. Without an
      output matrix of the width of `sae`, their lists are empty.
    - Decoder rows are in raw units, without the divisor that preprocessing takes from each row (`norm-row`, `layer-norm`).
    - `decoder_weights_dist` is empty and there are no `dfa_*`: they describe attention heads. `skipped_indexes.json` and files of
      tokens are not written.

    Codes are kept in memory up to 512 MB; those of a larger store are computed again for each pass over it. Sums of products take
    up to 512 MB: more than 8,192 latents are measured in blocks, with passes for each block.
    """
    _arrays.refuse_several(store, "store")
    if store.n_inputs != sae.n_inputs:
        raise ShapeError(f"store: expected rows of {sae.n_inputs} values as the model takes them, got {store.n_inputs}")
    if not store.rows:
        raise ShapeError("store: expected at least one row, got none: harvest more texts")
    counts = {"examples": examples, "intervals": intervals, "interval_examples": interval_examples}
    counts |= {"before": before, "after": after, "seed": seed}
    for name, value in counts.items():
        counts[name] = whole(name, value)
    if whole("latents_per_file", latents_per_file) < 1:
        raise ConfigError("`latents_per_file` must be 1 or more, got 0")
    folder, chosen = _new_folder(path), _chosen(latents, sae.n_latents)
    head = _head(sae, store, model_id, layer, sae_set) | {"sae_id_suffix": sae_id_suffix}
    source = _source(store, dataset)
    matrix = output_matrix(model, tokenizer, sae.n_outputs)
    made = _Latents(sae, store, TokenStrings(tokenizer), matrix, counts, vectors, source)
    settings = _run_settings(head, source, counts, min(latents_per_file, len(chosen)))
    parts = np.array_split(chosen, -(-len(chosen) // latents_per_file))
    _write(folder, head, settings, made.all(chosen), [len(part) for part in parts])
    return folder


def _new_folder(path: str | os.PathLike[str]) -> Path:
    """Path of a folder without files."""
    folder = Path(path)
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"`path` must be a new or an empty folder, got the file {folder}: pass another path")
    if folder.is_dir() and any(folder.iterdir()):
        raise ConfigError(
            f"`path` must be a new or an empty folder, got {folder}, which has files: remove them or pass another path"
        )
    return folder


def _chosen(latents: Iterable[int] | None, count: int) -> np.ndarray:
    """Numbers of the latents to write."""
    if latents is None:
        return np.arange(count)
    found = np.asarray([whole("latents", latent) for latent in latents], dtype=np.int64)
    if not len(found):
        raise ConfigError("`latents` must have at least one number, got none: pass None for all latents")
    if found.max() >= count:
        raise ConfigError(f"`latents` must be numbers below {count}, the number of latents, got {found.max()}")
    if len(np.unique(found)) < len(found):
        numbers, times = np.unique(found, return_counts=True)
        raise ConfigError(f"`latents` must have each number once, got {numbers[times > 1][0]} more than once")
    return found


def _head(sae: Any, store: Store, model_id: str | None, layer: int | None, sae_set: str | None) -> dict[str, Any]:
    """Names of language model and autoencoder."""
    arguments = store.manifest["arguments"]
    numbers = [int(part) for part in str(arguments["module"]).split(".") if part.isdigit()]
    name = str(arguments["model"]["name"]).replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    return {
        "model_id": name if model_id is None else model_id,
        "layer": (numbers or [0])[0] if layer is None else whole("layer", layer),
        "sae_set": f"{sae.architecture}-{sae.n_latents}" if sae_set is None else sae_set,
    }


def _source(store: Store, dataset: str) -> dict[str, Any]:
    """Entries of each latent that say which texts were read."""
    return {
        "n_prompts_total": int(store.manifest["shards"][-1]["sequences"]),
        "n_tokens_in_prompt": int(store.manifest["arguments"]["context"]),
        "dataset": dataset,
    }


def _run_settings(head: dict[str, Any], source: dict[str, Any], counts: dict[str, int], per_file: int) -> dict[str, Any]:
    """Settings under the names of SAEDashboard's `NeuronpediaRunnerConfig`. No paths, so that the folder can be published."""
    return {
        "sae_set": head["sae_set"],
        "sae_path": "",
        "outputs_dir": "",
        "np_sae_id_suffix": head["sae_id_suffix"],
        "huggingface_dataset_path": source["dataset"],
        "n_prompts_total": source["n_prompts_total"],
        "n_tokens_in_prompt": source["n_tokens_in_prompt"],
        "n_features_at_a_time": per_file,
        "n_quantiles": counts["intervals"],
        "top_acts_group_size": counts["examples"],
        "quantile_group_size": counts["interval_examples"],
        "model_id": head["model_id"],
        "layer": head["layer"],
        "shuffle_tokens": False,
    }


def _write(
    folder: Path, head: dict[str, Any], settings: dict[str, Any], features: Iterator[dict[str, Any]], sizes: list[int]
) -> None:
    """Writes the files into a folder beside `folder` and renames it, whole or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Not `mkdtemp`, whose folders nobody else may read.
    beside = folder.parent / f".rarefy-{secrets.token_hex(8)}"
    try:
        beside.mkdir()
        (beside / "run_settings.json").write_text(json.dumps(settings, indent=4) + "\n", encoding="utf-8")
        for number, size in enumerate(sizes):
            batch = head | {"features": [next(features) for _ in range(size)]}
            text = json.dumps(batch, separators=(",", ":"), allow_nan=False)
            (beside / f"batch-{number}.json").write_text(text, encoding="utf-8")
        if folder.is_dir():
            # Windows renames no folder to the name of another one.
            folder.rmdir()
        os.replace(beside, folder)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


@dataclass(frozen=True)
class _Latents:
    """Makes the entries of latents in the list `features` of a file."""

    sae: Any
    store: Store
    strings: TokenStrings
    matrix: np.ndarray | None
    counts: dict[str, int]
    vectors: bool
    source: dict[str, Any]

    def all(self, chosen: np.ndarray) -> Iterator[dict[str, Any]]:
        """Entries of latents, which are measured in blocks."""
        pieces = _responses.Pieces(self.sae, self.store)
        size = max(1, _responses.PAIRS // max(self.sae.n_latents, self.sae.n_inputs))
        for first in range(0, len(chosen), size):
            yield from self._block(pieces, chosen[first : first + size])

    def _block(self, pieces: _responses.Pieces, latents: np.ndarray) -> Iterator[dict[str, Any]]:
        counts = self.counts
        sums, top = _responses.sums(pieces, latents, counts["examples"])
        shown = _responses.contexts(pieces, sums, top, counts["intervals"], counts["interval_examples"], counts["seed"])
        context = self.source["n_tokens_in_prompt"]
        around = _responses.windows(pieces, sums, shown, counts["before"], counts["after"], context)
        rows = decoder_rows(self.sae, latents)
        for place, contexts in enumerate(around):
            if place % LOGITS == 0 and self.matrix is not None:
                logits = rows[place : place + LOGITS] @ self.matrix.T
            lens = self._lens(None if self.matrix is None else logits[place % LOGITS])
            entry = self._feature(sums, shown, place, rows[place]) | lens | self.source
            entry["activations"] = self._contexts(sums, shown, place, contexts)
            yield {key: entry[key] for key in KEYS}

    def _feature(self, sums: _responses.Sums, shown: _responses.Contexts, place: int, row: np.ndarray) -> dict[str, Any]:
        """Entry of one latent without logits and contexts."""
        latent = int(sums.latents[place])
        aligned = np.argsort(-row, kind="stable")[:CORRELATED]
        return {
            "feature_index": latent,
            "neuron_alignment_indices": aligned.tolist(),
            "neuron_alignment_values": rounded(row[aligned]),
            "neuron_alignment_l1": rounded(np.abs(row[aligned]) / max(float(np.abs(row).sum()), 1e-30)),
            **_correlated("correlated_neurons", *sums.with_inputs(place)),
            **_correlated("correlated_features", *sums.with_latents(place)),
            "frac_nonzero": int(sums.fired[latent]) / sums.n,
            **_histogram("freq", shown.bars[place], float(sums.low[latent]), float(sums.high[latent])),
            "decoder_weights_dist": [],
            "vector": rounded(row) if self.vectors else [],
        }

    def _lens(self, logits: np.ndarray | None) -> dict[str, Any]:
        """Tokens with the smallest and largest logits, and the histogram of all logits."""
        if logits is None:
            return {"neg_str": [], "neg_values": [], "pos_str": [], "pos_values": []} | _histogram("logits", np.zeros(1), 0, 0)
        count = min(TOKENS_SHOWN, len(logits))
        found: dict[str, Any] = {}
        for name, signed in (("neg", logits), ("pos", -logits)):
            ids = np.argpartition(signed, count - 1)[:count]
            ids = ids[np.lexsort((ids, signed[ids]))]
            found |= {f"{name}_str": self.strings(ids.tolist()), f"{name}_values": rounded(logits[ids])}
        bars, edges = np.histogram(logits, bins=_responses.BARS)
        return found | _histogram("logits", bars, float(edges[0]), float(edges[-1]))

    def _contexts(
        self, sums: _responses.Sums, shown: _responses.Contexts, place: int, contexts: list[_responses.Context]
    ) -> list[dict[str, Any]]:
        """Entries of the contexts of one latent in the list `activations`."""
        latent, within = int(sums.latents[place]), shown.within[place].copy()
        # The rows with activation 0 are in the lowest interval.
        within[:1] += sums.n - sums.fired[latent]
        edges: list[float] = rounded(sums.high[latent] * np.arange(len(within) + 1) / max(len(within), 1))
        bins = list(zip(edges, edges[1:], (within / sums.n).tolist()))
        # The bin of the largest activations, which SAEDashboard marks by -1, and the intervals from the highest on.
        bins = [(-1.0, rounded(sums.high[latent]), -1.0), *reversed(bins)]
        ends = np.cumsum([0, *(len(context.ids) for context in contexts)]).tolist()
        tokens = self.strings([i for context in contexts for i in context.ids.tolist()])
        values = rounded(np.concatenate([context.values for context in contexts])) if contexts else []
        return [
            dict(zip(("bin_min", "bin_max", "bin_contains"), bins[context.kind]))
            | {"tokens": tokens[a:b], "values": values[a:b], "qualifying_token_index": context.at}
            for context, a, b in zip(contexts, ends, ends[1:])
        ]


def _correlated(name: str, pearson: np.ndarray, cosine: np.ndarray) -> dict[str, Any]:
    """Entries with the largest Pearson correlations. The key `l1` has cosines, as in SAEDashboard."""
    best = np.argsort(np.where(np.isnan(pearson), np.inf, -pearson), kind="stable")[:CORRELATED]
    best = best[~np.isnan(pearson[best])]
    return {
        f"{name}_indices": best.tolist(),
        f"{name}_l1": rounded(cosine[best]),
        f"{name}_pearson": rounded(pearson[best]),
    }


def _histogram(name: str, bars: np.ndarray, low: float, high: float) -> dict[str, Any]:
    """Heights and middles of bars of equal width between two values; empty without any values."""
    middles = low + (np.arange(len(bars)) + 0.5) * (high - low) / len(bars) if bars.any() else np.zeros(0)
    return {
        f"{name}_hist_data_bar_values": rounded(middles),
        f"{name}_hist_data_bar_heights": bars[: len(middles)].astype(float).tolist(),
    }


def rounded(values: Any) -> Any:
    """Numbers with 4 significant digits, as a list or a float."""
    wide = np.asarray(values, dtype=np.float64)
    sizes = np.abs(wide)
    digits = DIGITS - 1 - np.floor(np.log10(np.where(sizes > 0, sizes, 1.0)))
    # Powers of 10 beyond 10^22 are not exact; smaller numbers become 0.
    up = 10.0 ** np.clip(digits, 0, 22)
    down = 10.0 ** np.clip(-digits, 0, 22)
    # A division by a power of 10 gives the number that prints shortest. Adding 0 makes -0 to 0.
    return (np.round(wide * up / down) / up * down + 0.0).tolist()
