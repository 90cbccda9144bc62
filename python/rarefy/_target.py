"""Classes and scores of rows, checked before latents are held against them."""

from __future__ import annotations

import warnings

import numpy as np

from . import _arrays
from .errors import NotFiniteError, ShapeError


def check(y: list[str], kind: str | None) -> None:
    """Refuses a target without values, of one value, or with infinities; empty texts are missing values."""
    present = set(y) - {""}
    if not present:
        raise ShapeError(f"y: expected a class or number for each row, got none: all {len(y)} are missing or NaN")
    values = None if kind == "class" else _numbers(y)
    if values is not None and np.isinf(values).any():
        row = int(np.isinf(values).argmax())
        raise NotFiniteError(f"y: row {row}: expected a finite number, or NaN to leave the row out, got {y[row]}")
    if len(present) == 1:
        raise ShapeError(f"y: expected different values, or 2 to 1000 classes, got one value in all rows: {present.pop()}")


def _numbers(y: list[str]) -> np.ndarray | None:
    """The target as numbers, NaN where it is missing; None if it is not made of numbers."""
    try:
        return np.array([float(value) if value else np.nan for value in y])
    except ValueError:
        return None


def warn_of_column(x: _arrays.Rows, y: list[str]) -> None:
    """Warns if the target is equal to a column of the rows up to rounding."""
    values = _numbers(y)
    if values is None or x.paths is not None:
        return
    tolerance = 4e-3 if x.is_bf16 or x.values.dtype.itemsize == 2 else 1e-6
    columns = np.arange(x.values.shape[1])
    for start in range(0, len(values), 4096):
        part = x.values[start : start + 4096]
        part = (_arrays.float_of_bf16(part) if x.is_bf16 else part)[:, columns]
        expected = values[start : start + 4096, None]
        is_equal = np.isclose(part, expected, rtol=tolerance, atol=0) | np.isnan(expected)
        columns = columns[is_equal.all(axis=0)]
        if not len(columns):
            return
    warnings.warn(
        f"`y` is column {columns[0]} of X, so latents know it: leave the column out", UserWarning, stacklevel=3
    )
