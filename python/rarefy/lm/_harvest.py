"""Activations of a language model into a store, or as a stream."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from .._progress import listener
from ..errors import ConfigError
from . import _tensors
from ._reader import OUTLIER_NORM, Read, Reader
from ._store import Store
from ._writer import Writer


def harvest(
    model: Any,
    tokenizer: Any,
    texts: Iterable[str],
    *,
    module: str | list[str],
    out: str | os.PathLike[str],
    io: str = "out",
    context: int = 128,
    batch_tokens: int = 4096,
    skip_first: int = 1,
    skip_special: bool = True,
    outlier_norm: float | None = OUTLIER_NORM,
    dtype: str = "float16",
    shard_rows: int = 65_536,
    max_tokens: int | None = None,
    progress: Any = None,
) -> Any:
    """Writes the activations of a module into a folder that `rarefy.train` reads.

    A second call with the same arguments continues after the last whole shard, and returns at once if all is done. The model
    runs up to the last module that is needed.

    Parameters
    ----------
    model : torch.nn.Module
        Takes `input_ids` and `attention_mask`, such as a model of transformers.
    tokenizer : tokenizer of transformers
    texts : iterable of str
        Cut into contexts. To continue, pass the same texts from the beginning.
    module : str or list of str
        Name as in `model.named_modules()`, such as `"model.layers.15"`. A list harvests several modules in one pass; each
        gets a store in a subfolder of `out`.
    out : path
        Folder of the store.
    io : {"out", "in"}
        Output or input of the module.
    context : int
        Most tokens that the model reads together.
    batch_tokens : int
        Most tokens in a forward pass, with padding. It changes the last bits of the activations.
    skip_first : int
        Positions left out at the start of each context, where many models put activations of huge norm.
    skip_special : bool
        Leaves out the tokenizer's special tokens.
    outlier_norm : float or None
        Leaves out tokens with a norm beyond this multiple of the median norm of the first 10,000 kept tokens; None keeps all.
    dtype : {"float16", "bfloat16", "float32"}
        Number type of the store. An error says so if float16 cannot hold a value.
    shard_rows : int
        A shard ends with the batch in which this number of rows is reached, outliers included.
    max_tokens : int, optional
        Ends after this many tokens, masked ones included.
    progress : bool or callable, optional
        None shows progress in terminals and notebooks. A function gets a `rarefy.Progress` at most twenty times
        a second, and at the end.

    Returns
    -------
    Store, or dict of Store by module name if `module` is a list

    Raises
    ------
    rarefy.errors.ConfigError
        The folder is from other arguments or other texts, or float16 cannot hold the activations.
    """
    names = [module] if isinstance(module, str) else list(module)
    if dtype not in _tensors.CODES:
        raise ConfigError(f"`dtype` must be one of {', '.join(_tensors.CODES)}, got {dtype!r}")
    if shard_rows < 1:
        raise ConfigError(f"`shard_rows` must be 1 or more, got {shard_rows}")
    reader = Reader(
        model,
        tokenizer,
        names,
        io=io,
        context=context,
        batch_tokens=batch_tokens,
        skip_first=skip_first,
        skip_special=skip_special,
        outlier_norm=outlier_norm,
    )
    arguments = {
        "model": {"name": _name(model), "sha256": _fingerprint(model)},
        "tokenizer": {"name": _name(tokenizer), "tokens": len(tokenizer), "special": reader.mask.special.tolist()},
        "io": io,
        "context": context,
        "batch_tokens": batch_tokens,
        "skip_first": skip_first,
        "skip_special": skip_special,
        "outlier_norm": outlier_norm,
        "dtype": dtype,
        "shard_rows": shard_rows,
        "max_tokens": max_tokens,
    }
    places = {name: Path(out) if isinstance(module, str) else Path(out) / name for name in names}
    writers = [Writer(places[name], {"module": name} | arguments, name) for name in names]
    with listener(progress) as watcher:
        if hasattr(watcher, "clock"):
            watcher.clock = _Clock()
        _harvest(reader, reader.contexts(texts, max_tokens), writers, shard_rows, watcher)
    stores = {name: Store(place) for name, place in places.items()}
    return stores[module] if isinstance(module, str) else stores


def stream(
    model: Any,
    tokenizer: Any,
    texts: Iterable[str],
    *,
    module: str,
    io: str = "out",
    context: int = 128,
    batch_tokens: int = 4096,
    skip_first: int = 1,
    skip_special: bool = True,
    outlier_norm: float | None = OUTLIER_NORM,
    dtype: str = "float32",
    max_tokens: int | None = None,
) -> Iterator[Any]:
    """Activations of a module, batch by batch, for `Trainer.fit`.

    Parameters
    ----------
    model, tokenizer, texts, module, io, context, batch_tokens, skip_first, skip_special, outlier_norm, max_tokens
        As in `harvest`.
    dtype : {"float32", "bfloat16"}
        Arrays of numpy, or tensors of half the size.

    Yields
    ------
    ndarray of float32 or Tensor of bfloat16, `(n_kept, width)`
    """
    if dtype not in ("float32", "bfloat16"):
        raise ConfigError(f"`dtype` must be float32 or bfloat16, got {dtype!r}")
    reader = Reader(
        model,
        tokenizer,
        [module],
        io=io,
        context=context,
        batch_tokens=batch_tokens,
        skip_first=skip_first,
        skip_special=skip_special,
        outlier_norm=outlier_norm,
    )
    return _stream(reader, reader.contexts(texts, max_tokens), module, dtype)


def _stream(reader: Reader, contexts: Any, module: str, dtype: str) -> Iterator[Any]:
    for read in reader.calibrated(reader.reads(contexts)):
        rows = read.rows[module][reader.inliers(read, module)]
        if len(rows):
            yield rows.numpy() if dtype == "float32" else rows.bfloat16()


def _harvest(reader: Reader, contexts: Any, writers: list[Writer], shard_rows: int, watcher: Any) -> None:
    reads = reader.reads(contexts)
    # A stop may fall between two stores, so the one with the fewest shards counts.
    done = min(len(writer.shards) for writer in writers)
    for writer in writers:
        writer.begin(done)
    _skip(reads, writers[0])
    if all(writer.complete for writer in writers):
        return
    if done:
        reader.limits = {writer.name: writer.limit for writer in writers}
    rows, last = 0, None
    for read in reader.calibrated(reads):
        for writer in writers:
            writer.limit = reader.limits[writer.name]
            writer.add(read, reader.inliers(read, writer.name))
        rows, last = rows + len(read.sequence), read
        if rows >= shard_rows:
            _close(writers, read)
            rows, last = 0, None
        watcher.step(writers[0].progress)
    if last is not None:
        _close(writers, last)
    for writer in writers:
        writer.finish()


def _close(writers: list[Writer], read: Read) -> None:
    for writer in writers:
        writer.close(read)


def _skip(reads: Iterator[Read], writer: Writer) -> None:
    """Passes over the batches of a store's shards, after a check that they are of the same texts.

    Only the first batch is compared for a complete store.
    """
    if not writer.shards:
        return
    batches, digest = writer.shards[-1]["batches"], writer.shards[-1]["ids_sha256"]
    if writer.complete:
        batches, digest = 1, writer.shards[0]["first_ids_sha256"]
    found = None
    for read in reads:
        found = read.digest
        if read.number == batches:
            break
    if found != digest:
        raise ConfigError(
            f"texts: {writer.folder} was harvested from other texts or with another tokenizer: "
            "pass the same texts from the beginning, or another `out`"
        )


class _Clock:
    """Throughput of a harvest."""

    def __init__(self) -> None:
        self.first: tuple[float, int] | None = None

    def line(self, progress: Mapping[str, Any]) -> str:
        """A line such as `12,345 tokens  11,900 rows  1 shards  1,300 tokens/s`."""
        now, tokens = time.monotonic(), progress["tokens"]
        if self.first is None:
            self.first = (now, tokens)
        parts = [f"{tokens:,} tokens", f"{progress['rows']:,} rows", f"{progress['shards']} shards"]
        if tokens > self.first[1]:
            parts.append(f"{(tokens - self.first[1]) / max(now - self.first[0], 1e-9):,.0f} tokens/s")
        return "  ".join(parts)


def _name(thing: Any) -> str:
    return str(getattr(thing, "name_or_path", "") or type(thing).__name__)


def _fingerprint(model: Any) -> str:
    """SHA-256 of the configuration and of some weights of each parameter, so that another checkpoint gives another one."""
    digest = hashlib.sha256()
    config: Any = getattr(model, "config", None)
    if hasattr(config, "to_dict"):
        plain = {k: v for k, v in config.to_dict().items() if not k.startswith("_") and k != "transformers_version"}
        digest.update(json.dumps(plain, sort_keys=True, default=str).encode())
    for name, weight in model.named_parameters():
        flat = weight.detach().reshape(-1)
        some = flat[:: max(1, len(flat) // 16)][:16].float().cpu().numpy()
        digest.update(f"{name} {tuple(weight.shape)} {weight.dtype}".encode() + some.tobytes())
    return digest.hexdigest()
