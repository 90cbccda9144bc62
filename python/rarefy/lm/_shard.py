"""Activations that were saved before, as a store."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import _arrays, _core
from .._settings import whole
from ..errors import ConfigError, ShapeError
from ._store import Store

#: Largest token.
MOST = 2**31 - 1
#: Number types of a store.
TYPES = ("float16", "bfloat16", "float32", "int8", "float64")


def shard(
    X: Any,
    out: str | os.PathLike[str],
    *,
    dtype: str | None = None,
    shard_rows: int | None = None,
    tokens: Any = None,
    skip_first: int = 0,
    skip_tokens: Sequence[int] = (),
    outlier_norm: float | None = None,
    labels: Any = None,
    texts: Any = None,
    model: str | None = None,
    module: str | None = None,
    append: bool = False,
    resume: bool = False,
) -> Store:
    """Writes rows as a folder of shards with a manifest and checksums. `rarefy data shard` does the same.

    Parameters
    ----------
    X : array, data frame, tensor, path or list of paths
        Rows, as in `rarefy.train`. An array `(contexts, positions, width)` has the positions of its rows. Paths may be files, folders and
        globs; `"FILE::MEMBER"` names an array, a column or a layer; activations that SAELens cached have positions and tokens, shards of saev and `.npy` files of three axes have positions.
    out : path
        Folder to write. It must be new or empty, unless `append` or `resume` is set.
    dtype : {"float16", "bfloat16", "float32", "int8", "float64"}, optional
        Number type; `int8` has a scale for each row. Default: float32, or float64 if the data has more digits.
    shard_rows : int, optional
        Rows of the data that a shard takes. Default: as many as take 1 GiB.
    tokens : array (contexts, positions), optional
        Token of each row of an array `X` of three axes.
    skip_first : int
        Positions left out at the start of each context.
    skip_tokens : sequence of int
        Tokens whose rows are left out.
    outlier_norm : float, optional
        Leaves out rows with a norm beyond this multiple of the median norm.
    labels, texts : list with one entry for each row, optional
        Default: those of the data frame or of the files.
    model, module : str, optional
        Model and place in it that the rows are of, for the manifest.
    append : bool
        Adds the rows to the complete store in `out`.
    resume : bool
        Continues the store in `out`, whose writer was stopped. Pass the same arguments.

    Returns
    -------
    Store

    Raises
    ------
    rarefy.errors.ConfigError
        `out` is in another state than `append` and `resume` say, or holds a store of other settings.
    rarefy.errors.FormatError
        The number type cannot hold a value.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from rarefy import lm
    >>> acts = np.ones((10, 4, 8), np.float32)      # 10 prompts of 4 tokens
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = lm.shard(acts, folder + "/acts", dtype="float16", skip_first=1)
    ...     store.rows, store.counts.first
    (30, 10)
    """
    if dtype is not None and dtype not in TYPES:
        raise ConfigError(f"`dtype` must be one of {', '.join(TYPES)}, got {dtype!r}")
    if append and resume:
        raise ConfigError("set `append` to add rows to the store in `out`, or `resume` to continue it, not both")
    if isinstance(skip_tokens, (str, bytes)) or not hasattr(skip_tokens, "__iter__"):
        raise ConfigError(f"`skip_tokens` must be a sequence of whole numbers, such as [0, 2], got {skip_tokens!r}")
    skipped = [whole("skip_tokens", token) for token in skip_tokens]
    if max(skipped, default=0) > MOST:
        raise ConfigError(f"`skip_tokens`: expected numbers up to {MOST}, got {max(skipped)}")
    context, X = _contexts(X)
    rows = _arrays.rows(X)
    labels, texts = _arrays.beside(rows, labels, texts)
    settings = {
        "dtype": dtype,
        "shard_rows": shard_rows,
        "outlier_norm": outlier_norm,
        "skip_first": whole("skip_first", skip_first),
        "skip_tokens": skipped,
        "model": model,
        "module": module,
    }
    begin = "append" if append else "resume" if resume else "new"
    _core.shard(rows, json.dumps(settings), Path(out), begin, context, _token_ids(tokens, context, rows), labels, texts)
    return Store(out)


def _contexts(X: Any) -> tuple[int | None, Any]:
    """Number of positions of an array of three axes, and its rows; other data as it is."""
    shape: tuple[int, ...] = getattr(X, "shape", ())
    if len(shape) != 3 or 0 in shape:
        return None, X
    return int(shape[1]), X.reshape(-1, shape[-1])


def _token_ids(tokens: Any, context: int | None, rows: _arrays.Rows) -> np.ndarray | None:
    if tokens is None:
        return None
    if context is None:
        raise ConfigError("`tokens` needs an array `X` of three axes: contexts, positions and width")
    ids = np.asarray(tokens)
    expected = (len(rows.values) // context, context)
    if ids.shape != expected or ids.dtype.kind not in "iu":
        raise ShapeError(f"tokens: expected whole numbers of shape {expected}, one for each row, got {ids.dtype} of shape {ids.shape}")
    if ids.size and (ids.min() < 0 or ids.max() > MOST):
        raise ShapeError(f"tokens: expected numbers from 0 to {MOST}, got {ids.min()} to {ids.max()}")
    return np.ascontiguousarray(ids, dtype=np.int32).reshape(-1)
