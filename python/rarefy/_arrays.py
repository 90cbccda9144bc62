"""Rows of a caller as one kind of input for the compiled part.

Nothing is copied that can be read where it lies: numpy arrays of any number type and order, memory maps and CPU tensors of
PyTorch are borrowed. Lists, data frames and sparse matrices become one array.
"""

from __future__ import annotations

import decimal
import numbers
import os
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

from .errors import ConfigError, NotFiniteError, ShapeError

KINDS = "a numpy array, a data frame, a tensor, a list of rows or the path of a file"


@dataclass(frozen=True)
class Rows:
    """A matrix or paths of files, as the compiled part takes them."""

    values: Any
    name: str = "X"
    is_bf16: bool = False
    labels: list[str] | None = None
    texts: list[str] | None = None

    @property
    def paths(self) -> list[str] | None:
        """Paths, if the rows are files."""
        return self.values if isinstance(self.values, list) else None


def rows(x: Any, name: str = "X") -> Rows:
    """Rows `x`, checked to be a matrix of numbers with at least one row and one column."""
    if isinstance(x, Rows):
        return x
    if isinstance(x, (str, os.PathLike)):
        return Rows([os.fspath(x)], name)
    if isinstance(x, (list, tuple)) and x and all(isinstance(p, (str, os.PathLike)) for p in x):
        return Rows([os.fspath(p) for p in x], name)
    if _is_tensor(x):
        return _tensor(x, name)
    if _is_frame(x):
        return _frame(x, name)
    if hasattr(x, "tocsr") and hasattr(x, "toarray"):
        raise TypeError(
            f"{name}: sparse matrices of inputs are not read, because every row is decoded in full: pass {name}.toarray()"
        )
    if isinstance(x, np.ndarray):
        return _array(x, name)
    if callable(getattr(x, "__array__", None)):
        return _array(np.asarray(x), name)
    if isinstance(x, (list, tuple)):
        return _list(x, name)
    if hasattr(x, "__next__"):
        raise TypeError(
            f"{name}: got an iterator, which has its rows only once: use rarefy.Trainer(...).fit(batches)"
        )
    raise TypeError(f"{name}: expected {KINDS}, got {type(x).__name__}")


def _list(x: list[Any] | tuple[Any, ...], name: str) -> Rows:
    if not x:
        raise ShapeError(f"{name}: expected at least one row, got an empty list")
    if all(_is_tensor(row) for row in x):
        x = [_float_row(row, name) for row in x]
    try:
        array = np.asarray(x)
    except ValueError as error:
        raise ShapeError(f"{name}: expected rows of equal width, got a list of rows of different widths") from error
    return _array(array, name)


def _float_row(row: Any, name: str) -> np.ndarray:
    """One tensor of a list of tensors."""
    if row.requires_grad:
        raise TypeError(f"{name}: the tensors require a gradient, which ends here: pass torch.stack({name}).detach()")
    if row.device.type != "cpu":
        raise TypeError(f"{name}: the tensors are on {row.device}, and rarefy works on the CPU: pass torch.stack({name}).cpu()")
    return row.float().numpy()


def _array(x: np.ndarray, name: str) -> Rows:
    if isinstance(x, np.ma.MaskedArray) and np.ma.is_masked(x):
        raise NotFiniteError(f"{name}: expected a number in each place, got a masked array: fill it, or leave the rows out")
    if x.dtype.kind == "c":
        # The words that scikit-learn's checks look for.
        raise ValueError(f"{name}: Complex data not supported, got dtype {x.dtype}: pass {name}.real, or real and imaginary side by side")
    if x.dtype == object and x.ndim == 1 and len(x) and all(isinstance(row, (list, tuple, np.ndarray)) for row in x):
        x = _stacked(x, name)
    if x.dtype == object:
        x = _numbers(x, name)
    if x.dtype.kind not in "fiub":
        raise TypeError(f"{name}: expected numbers, got dtype {x.dtype}")
    if x.ndim == 1:
        raise ShapeError(
            f"{name}: expected a matrix with a row for each sample, got 1 dimension of {x.shape[0]} values: "
            f"pass {name}.reshape(1, -1) for one row, or {name}.reshape(-1, 1) for rows of one value"
        )
    if x.ndim == 0:
        raise ShapeError(f"{name}: expected a matrix with a row for each sample, got a single number: pass [[{name}]]")
    if x.ndim != 2:
        raise ShapeError(
            f"{name}: expected a matrix with a row for each sample, got shape {x.shape}: "
            f"pass {name}.reshape({name}.shape[0], -1) to make a row of each first axis"
        )
    if x.shape[0] == 0 or x.shape[1] == 0:
        raise ShapeError(f"{name}: expected rows and columns, got shape {x.shape}")
    if x.dtype == np.longdouble and x.dtype != np.float64:
        x = x.astype(np.float64)
    if not x.dtype.isnative:
        x = x.astype(x.dtype.newbyteorder("="))
    if not x.flags.aligned:
        x = x.copy()
    return Rows(x, name)


def _stacked(x: np.ndarray, name: str) -> np.ndarray:
    """A row for each list, as in a column of embeddings."""
    try:
        return np.stack([np.asarray(row) for row in x])
    except ValueError as error:
        raise ShapeError(f"{name}: expected rows of equal width, got lists of different lengths") from error


def _numbers(x: np.ndarray, name: str) -> np.ndarray:
    """Objects that are all numbers as numbers."""
    try:
        return x.astype(np.float64)
    except (TypeError, ValueError) as error:
        for row, value in enumerate(x.reshape(len(x), -1) if x.ndim > 1 else x):
            cells = np.atleast_1d(value)
            for column, cell in enumerate(cells):
                try:
                    float(cell)
                except (TypeError, ValueError):
                    raise TypeError(
                        f"{name}: row {row}, column {column}: expected a number, got {cell!r} (argument must be a string or a number)"
                        if cell is not None
                        else f"{name}: row {row}, column {column}: expected a number, got None"
                    ) from error
        raise TypeError(f"{name}: expected numbers, got dtype object") from error


def _is_tensor(x: Any) -> bool:
    """True for tensors of PyTorch, which is not imported for this."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)


def _tensor(x: Any, name: str) -> Rows:
    if x.requires_grad:
        raise TypeError(f"{name}: the tensor requires a gradient, which ends here: pass {name}.detach()")
    if x.device.type != "cpu":
        raise TypeError(f"{name}: the tensor is on {x.device}, and rarefy works on the CPU: pass {name}.cpu()")
    if x.layout != sys.modules["torch"].strided:
        raise TypeError(f"{name}: expected a dense tensor, got layout {x.layout}: pass {name}.to_dense()")
    if str(x.dtype) == "torch.bfloat16":
        # numpy has no such type: the bits are shared, and the compiled part reads them.
        bits = _array(x.view(sys.modules["torch"].uint16).numpy(), name)
        return Rows(bits.values, name, is_bf16=True)
    if x.is_conj() or x.is_neg():
        x = x.resolve_conj().resolve_neg()
    try:
        return _array(x.numpy(), name)
    except TypeError as error:
        raise TypeError(f"{name}: expected a tensor of numbers, got {x.dtype}: pass {name}.float()") from error


def _is_frame(x: Any) -> bool:
    module = type(x).__module__.split(".")[0]
    return module in ("pandas", "polars", "pyarrow") and hasattr(type(x), "columns")


def _frame(x: Any, name: str) -> Rows:
    """Columns of numbers as rows, in their order; columns of texts beside them. Row numbers are left out, as in files."""
    names, column = _columns(x, name)
    if len(x) == 0:
        raise ShapeError(f"{name}: expected at least one row, got an empty data frame")
    found: list[np.ndarray] = []
    texts: list[np.ndarray] = []
    for label in names:
        values = column(label)
        if values.dtype == object:
            values = _of_objects(values, name, label)
        if values.dtype.kind in "fiub":
            if not _is_row_number(str(label), values):
                _check_column(values, name, label)
                found.append(values.reshape(len(values), -1))
        elif values.dtype == object or values.dtype.kind in "US":
            texts.append(values)
        else:
            raise TypeError(f"{name}: column {label!r}: expected numbers or texts, got dtype {values.dtype}: drop the column")
    if not found:
        raise TypeError(f"{name}: expected columns of numbers, got none among {[str(n) for n in names]}")
    matrix = found[0] if len(found) == 1 else np.hstack(found)
    rows = _array(np.ascontiguousarray(matrix), name)
    # Of several columns of texts, the longest are used, as in files.
    longest = max(texts, key=lambda values: sum(len(str(v)) for v in values), default=None)
    return Rows(rows.values, name, texts=None if longest is None else cells(longest, name))


def _columns(x: Any, name: str) -> tuple[list[Any], Any]:
    """Labels of the columns, and a function from a label to its values."""
    module = type(x).__module__.split(".")[0]
    if module == "pyarrow":
        places = list(range(x.num_columns))
        columns = [column.to_numpy(zero_copy_only=False) for column in x.columns]
        names = list(x.column_names)
        if len(set(names)) == len(names):
            return names, lambda label: columns[names.index(label)]
        return places, lambda place: columns[place]
    if not hasattr(x, "__len__"):
        raise TypeError(f"{name}: expected a data frame with its rows, got a {type(x).__name__}: pass {name}.collect()")
    if module == "pandas" and len(set(x.columns)) != len(x.columns):
        places = list(range(len(x.columns)))
        return places, lambda place: x.iloc[:, place].to_numpy()
    return list(x.columns), lambda label: x[label].to_numpy()


def _of_objects(values: np.ndarray, name: str, label: Any) -> np.ndarray:
    """Objects that are lists as a matrix, objects that are numbers as numbers, others as they are."""
    if isinstance(values[0], (list, tuple, np.ndarray)):
        return _embedded(values, name, label)
    present = [v for v in values if not _is_missing(v)]
    if present and all(isinstance(v, (numbers.Real, decimal.Decimal)) for v in present):
        return np.array([np.nan if _is_missing(v) else float(v) for v in values])
    return values


def _is_missing(value: Any) -> bool:
    """True for None, NaN and the missing values of pandas."""
    return value is None or type(value).__name__ in ("NAType", "NaTType") or isinstance(value, float) and value != value


def _check_column(values: np.ndarray, name: str, label: Any) -> None:
    """Refuses NaN and infinities with the name of their column."""
    if values.dtype.kind != "f" or np.isfinite(values).all():
        return
    row = int(np.argwhere(~np.isfinite(values))[0][0])
    got = values[row] if values.ndim == 1 else values[row][~np.isfinite(values[row])][0]
    raise NotFiniteError(f"{name}: row {row}, column {label!r}: expected a finite number, got {str(got).replace('nan', 'NaN')}")


def _embedded(values: np.ndarray, name: str, label: Any) -> np.ndarray:
    """Lists of numbers as a matrix."""
    try:
        return np.stack([np.asarray(v, dtype=np.float32) for v in values])
    except (TypeError, ValueError) as error:
        raise ShapeError(f"{name}: column {label!r}: expected lists of numbers of one length") from error


def _is_row_number(label: str, values: np.ndarray) -> bool:
    """True for a column that counts the rows: 0, 1, 2 ... under the name of an index or id."""
    if values.dtype.kind not in "iu" or len(values) < 2 or values.ndim != 1:
        return False
    if label.lower() not in ("", "index", "id", "unnamed: 0", "row", "rowid", "row_id", "__index_level_0__"):
        return False
    return bool(np.array_equal(values, np.arange(values[0], values[0] + len(values))))


def cells(values: Any, name: str) -> list[str] | None:
    """Labels or texts as a list of texts."""
    if values is None:
        return None
    if isinstance(values, (str, bytes)):
        raise TypeError(f"{name}: expected one for each row, got a single text")
    try:
        found = list(values)
    except TypeError:
        raise TypeError(f"{name}: expected a list with one entry for each row, got {type(values).__name__}") from None
    plain = [v.item() if hasattr(v, "item") and getattr(v, "ndim", 0) == 0 else v for v in found]
    if any(isinstance(v, np.ndarray) and v.ndim for v in plain):
        raise ShapeError(f"{name}: expected one entry for each row, got several")
    return ["" if _is_missing(v) else str(v) for v in plain]


def sized(found: list[str] | None, count: int | None, name: str) -> list[str] | None:
    """Labels or texts, refused if there is another number of them than rows."""
    if found is not None and count is not None and len(found) != count:
        raise ShapeError(f"{name}: expected {count}, one for each row, got {len(found)}")
    return found


def threads(n: Any) -> int | None:
    """A number of threads; None for all cores."""
    if n is None or n == -1:
        return None
    if not isinstance(n, (int, np.integer)) or n < 1:
        raise ConfigError(f"`threads` must be a whole number above 0, or None for all cores, got {n!r}")
    return int(n)


def as_float(x: Rows) -> np.ndarray:
    """The rows as a matrix of float32 in memory; paths are read."""
    if x.paths is not None:
        from . import _core

        return _core.open(x, {})[0]
    if x.is_bf16:
        return (x.values.astype(np.uint32) << 16).view(np.float32)
    return np.ascontiguousarray(x.values, dtype=np.float32)
