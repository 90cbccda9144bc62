"""Writes the store of one module, shard by shard."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ConfigError, FormatError, ShapeError
from . import _hooks, _tensors
from ._reader import Read
from ._store import FORMAT, MANIFEST, VERSION, read_manifest

#: Greatest number of float16.
GREATEST = 65_504.0


@dataclass
class Pending:
    """Rows and contexts of the shard that is being filled."""

    values: list[np.ndarray] = field(default_factory=list)
    sequence: list[np.ndarray] = field(default_factory=list)
    position: list[np.ndarray] = field(default_factory=list)
    token: list[np.ndarray] = field(default_factory=list)
    contexts: list[Any] = field(default_factory=list)


class Writer:
    """Store of one module that is being written."""

    def __init__(self, folder: Path, arguments: dict[str, Any], name: str) -> None:
        self.folder, self.arguments, self.name = folder, arguments, name
        self.shards: list[dict[str, Any]] = []
        self.complete, self.limit, self.width = False, float("inf"), 0
        self.first_ids: str | None = None
        if (folder / MANIFEST).exists():
            self._resume(read_manifest(folder))
        elif folder.exists() and any(folder.glob("*.safetensors")):
            raise FormatError(f"{folder}: expected an empty folder or a store, got files of tensors without {MANIFEST}")
        self.begin(len(self.shards))

    def _resume(self, manifest: dict[str, Any]) -> None:
        before, now = _compared(manifest["arguments"]), _compared(json.loads(json.dumps(self.arguments)))
        differ = [f"{key}={before.get(key)!r}, now {value!r}" for key, value in now.items() if before.get(key) != value]
        if differ:
            raise ConfigError(f"{self.folder}: the store is of other arguments: {'; '.join(differ)}: pass another `out`")
        self.shards, self.complete, self.width = manifest["shards"], manifest["complete"], manifest["n_inputs"]
        self.limit = float("inf") if manifest["norm_limit"] is None else manifest["norm_limit"]
        for shard in self.shards:
            if shard["rows"] and not (self.folder / shard["file"]).exists():
                raise FormatError(f"{self.folder / shard['file']}: the shard is missing: remove the folder and harvest again")

    def begin(self, shards: int) -> None:
        """Continues after this number of shards."""
        self.complete = self.complete and shards == len(self.shards)
        self.shards = self.shards[:shards]
        self.counts: Counter[str] = Counter(self.shards[-1]["counts"] if self.shards else {})
        self.sequences = self.shards[-1]["sequences"] if self.shards else 0
        self.first_ids = self.shards[0]["first_ids_sha256"] if self.shards else None
        self._clear()

    def _clear(self) -> None:
        self.pending, self.first = Pending(), self.sequences

    @property
    def progress(self) -> dict[str, Any]:
        return {"module": self.name, "shards": len(self.shards)} | dict(self.counts)

    def add(self, read: Read, kept: np.ndarray) -> None:
        """Adds the kept rows of a batch."""
        rows, pending = read.rows[self.name][kept], self.pending
        self.width = rows.shape[1]
        pending.values.append(self._stored(rows))
        pending.sequence.append(self.sequences + read.sequence[kept])
        pending.position.append(read.position[kept])
        pending.token.append(read.tokens[kept])
        pending.contexts.extend(read.batch.contexts)
        self.sequences += len(read.batch.contexts)
        self.counts.update(read.counts)
        self.counts.update(outliers=int((~kept).sum()), rows=int(kept.sum()))
        self.first_ids = self.first_ids or read.digest

    def _stored(self, rows: Any) -> np.ndarray:
        torch = _hooks.need_torch()
        if self.arguments["dtype"] == "float32":
            return rows.numpy()  # type: ignore[no-any-return]
        if self.arguments["dtype"] == "bfloat16":
            return rows.bfloat16().view(torch.int16).numpy().view(np.uint16)  # type: ignore[no-any-return]
        greatest = float(rows.abs().max()) if len(rows) else 0.0
        if greatest > GREATEST:
            raise ConfigError(
                f"`dtype`: {self.name} has an activation of {greatest:,.0f}, beyond float16's {GREATEST:,.0f}: "
                "use dtype='bfloat16' or dtype='float32'"
            )
        return rows.half().numpy()  # type: ignore[no-any-return]

    def close(self, read: Read) -> None:
        """Writes the shard that ends with this batch, and the manifest."""
        (self.folder / "tokens").mkdir(parents=True, exist_ok=True)
        pending, file = self.pending, f"shard-{len(self.shards):05d}.safetensors"
        values = np.concatenate(pending.values)
        checksum = None
        if len(values):
            code = _tensors.CODES[self.arguments["dtype"]]
            checksum = _tensors.write(self.folder / file, {"activations": (code, values)})
        self.shards.append(
            {
                "file": file,
                "rows": len(values),
                "sha256": checksum,
                "tokens_sha256": _tensors.write(self.folder / "tokens" / file, self._token_tensors()),
                # The rest is cumulative, so that a harvest can continue from here.
                "batches": read.number,
                "sequences": self.sequences,
                "counts": dict(self.counts),
                "ids_sha256": read.digest,
                "first_ids_sha256": self.first_ids,
            }
        )
        self._write_manifest()
        self._clear()

    def _token_tensors(self) -> dict[str, tuple[str, np.ndarray]]:
        pending = self.pending
        lengths = [len(c.ids) for c in pending.contexts]
        return {
            "first_sequence": ("I64", np.asarray([self.first], np.int64)),
            "offsets": ("I64", np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)),
            "text": ("I64", np.asarray([c.text for c in pending.contexts], np.int64)),
            "start": ("I64", np.asarray([c.start for c in pending.contexts], np.int64)),
            "sequence": ("I64", np.concatenate(pending.sequence).astype(np.int64)),
            "ids": ("I32", np.concatenate([c.ids for c in pending.contexts]).astype(np.int32)),
            "position": ("I32", np.concatenate(pending.position).astype(np.int32)),
            "token": ("I32", np.concatenate(pending.token).astype(np.int32)),
        }

    def finish(self) -> None:
        """Marks the store as complete."""
        if not self.counts["rows"]:
            raise ShapeError(f"{self.name}: all tokens are outliers: raise `outlier_norm`, or pass None to keep them")
        self.complete = True
        self._write_manifest()

    def _write_manifest(self) -> None:
        manifest = {
            "format": FORMAT,
            "version": VERSION,
            "complete": self.complete,
            "n_inputs": self.width,
            "arguments": self.arguments,
            "norm_limit": self.limit if np.isfinite(self.limit) else None,
            "counts": dict(self.counts),
            "shards": self.shards,
        }
        _tensors.write_json(self.folder / MANIFEST, manifest)


def _compared(arguments: dict[str, Any]) -> dict[str, Any]:
    """Arguments without the names of model and tokenizer, which are paths that may move."""
    plain = {key: value for key, value in arguments.items() if not isinstance(value, dict)}
    nested = {key: value for key, value in arguments.items() if isinstance(value, dict)}
    return {f"{k}.{n}": v for k, parts in nested.items() for n, v in parts.items() if n != "name"} | plain
