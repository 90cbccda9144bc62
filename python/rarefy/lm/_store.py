"""Folder of activations with the tokens that they belong to.

::

    acts/
      _manifest.json                settings, masks with their counts, shards with checksums
      shard-00000.safetensors       activations [rows, width]; of int8 also scales [rows, 1]
      tokens/
        shard-00000.safetensors     ids of all contexts; sequence, position and token of each row

`rarefy.train` and the program read such a folder as rows. `rarefy data shard` writes the same folder, with tokens if its data has them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from .._tables import Figures, html_table
from ..errors import FormatError, ShapeError
from . import _tensors

MANIFEST = "_manifest.json"
FORMAT = "rarefy-activations"
VERSION = 1


@dataclass(frozen=True)
class Windows:
    """Tokens around the tokens of rows.

    Attributes
    ----------
    ids : ndarray of int32
        Tokens of all windows, one window after the other.
    rows : ndarray of int64
        Row of each token; -1 for a token that the store left out.
    starts : ndarray of int64, n_windows + 1
        Place of the first token of each window.
    at : ndarray of int64, n_windows
        Place of the row's own token within its window.
    """

    ids: np.ndarray
    rows: np.ndarray
    starts: np.ndarray
    at: np.ndarray


class Store:
    """Activations in a folder. Made by `lm.harvest` or `rarefy data shard`; `Store(path)` opens it again, without PyTorch.

    A store is a path: `rarefy.train(store)` and `model.evaluate(store)` read its rows from the disk.

    Parameters
    ----------
    path : path of the folder

    Attributes
    ----------
    path : Path
    manifest : dict
        Settings, counts of the masks, and shards.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.manifest = read_manifest(self.path)
        self._ends = np.cumsum([shard["rows"] for shard in self.manifest["shards"]])
        self._tokens = lru_cache(maxsize=4)(self._read_tokens)

    def __fspath__(self) -> str:
        return os.fspath(self.path)

    def __reduce__(self) -> Any:
        return Store, (self.path,)

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self._ends[-1]) if len(self._ends) else 0

    def __len__(self) -> int:
        return self.rows

    @property
    def n_inputs(self) -> int:
        """Width of a row."""
        return int(self.manifest["n_inputs"])

    @property
    def is_complete(self) -> bool:
        """False if the writer was stopped; the same call of `lm.harvest` continues it, or `rarefy data shard` with `--resume`."""
        return bool(self.manifest["complete"])

    @property
    def counts(self) -> Figures:
        """Tokens read, tokens that each mask left out, and rows kept. A token counts under the first mask that leaves it out."""
        return Figures(self.manifest["counts"])

    def read(self, rows: Any) -> np.ndarray:
        """Activations of some rows in float32, `(len(rows), n_inputs)`; rows are numbers, one number or a slice."""
        wanted = np.arange(self.rows)[rows] if isinstance(rows, slice) else np.atleast_1d(np.asarray(rows, dtype=np.int64))
        self._check(wanted)
        code = _tensors.CODES[self.manifest["arguments"]["dtype"]]
        found = np.empty((len(wanted), self.n_inputs), dtype=np.float32)
        shards = np.searchsorted(self._ends, wanted, side="right")
        for shard in np.unique(shards):
            at = np.flatnonzero(shards == shard)
            tensors, lines = _tensors.read(self._file(int(shard))), wanted[at] - self._start(int(shard))
            found[at] = _tensors.as_float(tensors["activations"][lines], code)
            if "scales" in tensors:
                found[at] *= tensors["scales"][lines]
        return found

    def contexts(self, tokenizer: Any = None) -> Iterator[Any]:
        """Contexts in the order of the rows: token ids, or texts if a tokenizer is given."""
        following = 0
        for shard in range(len(self._ends)):
            tokens = self._tokens(shard)
            # The first context of a shard is the last one of the shard before if its end cut it.
            first_new = following - int(tokens["first_sequence"][0])
            if first_new not in (0, 1):
                raise FormatError(f"{self.path / 'tokens'}: damaged: the contexts of shard {shard} do not follow those before; copy the store again")
            following += len(tokens["offsets"]) - 1 - first_new
            for first, last in zip(tokens["offsets"][first_new:-1], tokens["offsets"][first_new + 1 :]):
                ids = np.array(tokens["ids"][first:last])
                yield ids if tokenizer is None else tokenizer.decode(ids.tolist())

    def window(self, row: int, before: int = 12, after: int = 6, tokenizer: Any = None) -> tuple[list[Any], int]:
        """Tokens around the token of a row, within its context.

        Parameters
        ----------
        row : int
        before, after : int
            Most tokens before and after it.
        tokenizer : optional
            Gives tokens as strings instead of ids.

        Returns
        -------
        tokens : list of int or str
        at : int
            Place of the row's own token in `tokens`.
        """
        self._check(np.asarray([row]))
        shard = int(np.searchsorted(self._ends, row, side="right"))
        tokens, line = self._tokens(shard), row - self._start(shard)
        context = int(tokens["sequence"][line]) - int(tokens["first_sequence"][0])
        start, end = int(tokens["offsets"][context]), int(tokens["offsets"][context + 1])
        place = start + int(tokens["position"][line])
        low, high = max(start, place - before), min(end, place + after + 1)
        ids = [int(i) for i in tokens["ids"][low:high]]
        return ids if tokenizer is None else [tokenizer.decode([i]) for i in ids], place - low

    def windows(self, rows: Any, before: int = 12, after: int = 6) -> Windows:
        """Tokens around the tokens of many rows, each as `window` gives them, with the row of each token."""
        wanted = np.asarray(rows, dtype=np.int64)
        self._check(wanted)
        shards = np.searchsorted(self._ends, wanted, side="right")
        bounds = np.zeros((3, len(wanted)), dtype=np.int64)
        for shard in np.unique(shards):
            at = np.flatnonzero(shards == shard)
            bounds[:, at] = self._bounds(int(shard), wanted[at], before, after)
        low, place, high = bounds
        starts = np.concatenate([[0], np.cumsum(high - low)])
        ids, found = np.empty(starts[-1], dtype=np.int32), np.empty(starts[-1], dtype=np.int64)
        for shard in np.unique(shards):
            at = np.flatnonzero(shards == shard)
            lengths = (high - low)[at]
            within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
            target = within + np.repeat(starts[at], lengths)
            source = within + np.repeat(low[at], lengths)
            ids[target] = np.asarray(self._tokens(int(shard))["ids"])[source]
            found[target] = self._rows_of_tokens(int(shard))[source]
        return Windows(ids, found, starts, place - low)

    def places(self) -> dict[str, np.ndarray]:
        """Arrays `sequence`, `position` and `token` with one entry for each row."""
        shards = [self._tokens(shard) for shard in range(len(self._ends))]
        return {name: np.concatenate([tokens[name] for tokens in shards]) for name in ("sequence", "position", "token")}

    def verify(self) -> None:
        """Compares all files with the checksums of the manifest.

        Raises
        ------
        rarefy.errors.FormatError
            A file has changed.
        """
        for number, shard in enumerate(self.manifest["shards"]):
            files = [
                (self._file(number), shard["sha256"] if shard["rows"] else None),
                (self.path / "tokens" / shard["file"], shard.get("tokens_sha256")),
                ((self.path / "cells" / shard["file"]).with_suffix(".jsonl"), shard.get("cells_sha256")),
            ]
            for path, expected in files:
                if expected is not None and _tensors.checksum(path) != expected:
                    raise FormatError(f"{path}: the file has changed since it was written: its SHA-256 is not that of {MANIFEST}")

    def _check(self, rows: np.ndarray) -> None:
        if rows.size and (rows.min() < 0 or rows.max() >= self.rows):
            raise ShapeError(f"rows: expected numbers from 0 to {self.rows - 1}, got {rows.min()} to {rows.max()}")

    def _file(self, shard: int) -> Path:
        return self.path / self.manifest["shards"][shard]["file"]

    def _start(self, shard: int) -> int:
        return int(self._ends[shard] - self.manifest["shards"][shard]["rows"])

    def _read_tokens(self, shard: int) -> dict[str, np.ndarray]:
        entry = self.manifest["shards"][shard]
        tokens = _tensors.read(self.path / "tokens" / entry["file"]) if entry.get("tokens_sha256") else {}
        if "ids" not in tokens:
            raise FormatError(
                f"{self.path}: this store has rows without tokens, so nothing says which text a row is of: make the store with "
                "lm.harvest, or with `rarefy data shard` from data with tokens"
            )
        return tokens

    def _bounds(self, shard: int, rows: np.ndarray, before: int, after: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Places of the first token, of the row's own token, and behind the last token of the windows of rows in a shard."""
        tokens, lines = self._tokens(shard), rows - self._start(shard)
        contexts = tokens["sequence"][lines] - tokens["first_sequence"][0]
        starts, ends = tokens["offsets"][contexts], tokens["offsets"][contexts + 1]
        place = starts + tokens["position"][lines]
        return np.maximum(starts, place - before), place, np.minimum(ends, place + after + 1)

    def _rows_of_tokens(self, shard: int) -> np.ndarray:
        """Row of each token of a shard; -1 for a token that was left out."""
        tokens = self._tokens(shard)
        found = np.full(len(tokens["ids"]), -1, dtype=np.int64)
        places = tokens["offsets"][tokens["sequence"] - tokens["first_sequence"][0]] + tokens["position"]
        found[places] = self._start(shard) + np.arange(len(places))
        return found

    def _lines(self) -> list[tuple[str, str]]:
        arguments = self.manifest["arguments"]
        model = arguments.get("model")
        name = model["name"] if isinstance(model, dict) else model
        place = f"{arguments['io']}put of {arguments['module']}" if "io" in arguments else arguments.get("module")
        lines = [
            ("folder", str(self.path)),
            ("model", ", ".join(part for part in (name, place) if part) or "not said"),
            ("rows", f"{self.rows:,} of {self.n_inputs} values, {arguments['dtype']}, {len(self._ends)} {'shard' if len(self._ends) == 1 else 'shards'}"),
            ("tokens", "yes" if all(shard.get("tokens_sha256") for shard in self.manifest["shards"]) else "no"),
        ]
        lines += [(name, f"{count:,}") for name, count in self.manifest["counts"].items() if name != "rows"]
        return lines if self.is_complete else [*lines, ("stopped", "the call that made it continues")]

    def __repr__(self) -> str:
        return "<rarefy.lm.Store>\n" + "\n".join(f"{name:9} {text}" for name, text in self._lines())

    def _repr_html_(self) -> str:
        return html_table(("", ""), self._lines())


def read_manifest(path: Path) -> dict[str, Any]:
    """Manifest of a store."""
    file = path / MANIFEST
    if not file.is_file():
        if not path.exists():
            raise FileNotFoundError(f"{path}: no such folder")
        raise FormatError(f"{path}: expected a folder that lm.harvest or `rarefy data shard` wrote, got one without {MANIFEST}")
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        known = found["format"] == FORMAT and found["version"] == VERSION
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(f"{file}: damaged manifest: {error}") from error
    if not known:
        raise FormatError(f"{file}: expected {FORMAT} version {VERSION}, got {found['format']} version {found['version']}")
    return found  # type: ignore[no-any-return]
