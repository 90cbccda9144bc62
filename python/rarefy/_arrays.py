"""Rows of a caller as one kind of input for the compiled part.

Nothing is copied that can be read where it lies: numpy arrays of any number type and order, memory maps and CPU tensors of
PyTorch are borrowed. Lists, data frames and sparse matrices become one array.
"""

from __future__ import annotations

import decimal
import numbers
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import _core
from .errors import ConfigError, FormatError, NotFiniteError, ShapeError

KINDS = "a numpy array, a data frame, a tensor, a list of rows or the path of a file"


@dataclass(frozen=True)
class Rows:
    """A matrix or paths of files for the compiled part, with labels, texts and notes of a data frame."""

    values: Any
    name: str = "X"
    is_bf16: bool = False
    labels: list[str] | None = None
    texts: list[str] | None = None
    #: Sentences on columns that are not data.
    notes: tuple[str, ...] = ()

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
    refuse_several(x, name)
    if hasattr(x, "__next__"):
        raise TypeError(
            f"{name}: got an iterator, which has its rows only once: use rarefy.Trainer(...).fit(batches)"
        )
    raise TypeError(f"{name}: expected {KINDS}, got {type(x).__name__}")


def refuse_several(x: Any, name: str) -> None:
    """Refuses the dictionary of stores that `lm.harvest` gives for several modules."""
    if isinstance(x, Mapping) and x and all(isinstance(store, os.PathLike) for store in x.values()):
        raise TypeError(f"{name}: got a dictionary of {len(x)} stores: pass one of them: stores[{next(iter(x))!r}]")


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
            f"pass {name}.reshape({name}.shape[0], -1) to make a row of each first axis, or {name}.reshape(-1, {name}.shape[-1]) for a row of each last one"
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
    """Columns of numbers as rows, and labels and texts beside them, by the rules of files."""
    if not hasattr(x, "__len__"):
        raise TypeError(f"{name}: expected a data frame with its rows, got a {type(x).__name__}: pass {name}.collect()")
    if len(x) == 0:
        raise ShapeError(f"{name}: expected at least one row, got an empty data frame")
    columns = [_column(title, values) for title, values in _columns(x)]
    try:
        roles = _core.roles([c.title for c in columns], [c.kind for c in columns])
    except FormatError as error:
        listed = ", ".join(f"`{c.title}` ({c.type_name})" for c in columns)
        raise TypeError(
            f"{name}: expected columns of numbers, or one column of lists of numbers, got {listed}: "
            f"pass the columns to train on, such as {name}[['a', 'b']]"
        ) from error
    for column, (role, reason) in zip(columns, roles):
        # After a semicolon stands a setting of files.
        column.role, column.reason = role, column.type_name if reason in ("", "text") else reason.split(";")[0]
    _choose_label_and_text(columns)
    data = [_numbers_of(column, name) for column in columns if column.role == "data"]
    matrix = data[0] if len(data) == 1 else np.hstack(data)
    label, text = (next((c for c in columns if c.role == role), None) for role in ("label", "text"))
    return Rows(
        _array(np.ascontiguousarray(matrix), name).values,
        name,
        labels=cells(label.values, name) if label else None,
        texts=cells(text.values, name) if text else None,
        notes=_notes(columns),
    )


@dataclass
class _Column:
    """Column of a data frame. `kind` is that of `_core.roles`, where unknown kinds are left out; `type_name` is shown. `source` is
    the column of the caller, in which null and NaN are different."""

    title: str
    values: np.ndarray
    kind: str
    type_name: str
    source: Any = None
    role: str = ""
    reason: str = ""


def _choose_label_and_text(columns: list[_Column]) -> None:
    """Without a column that has the name of a label, the first column of categories is the label. Without one that has the
    name of a text, the only column of texts that is left out is the text."""
    left_out = lambda kind: [c for c in columns if c.role == "left-out" and c.type_name == kind]  # noqa: E731
    if not any(c.role == "label" for c in columns):
        for column in left_out("category")[:1]:
            column.role = "label"
    texts = left_out("text")
    if not any(c.role == "text" for c in columns) and len(texts) == 1:
        texts[0].role = "text"


def _notes(columns: list[_Column]) -> tuple[str, ...]:
    """Sentence on the columns that are not data, or data that may be meant as a label, if there are any."""
    titles = lambda role: [c.title for c in columns if c.role == role]  # noqa: E731
    data = titles("data")
    unlike = [f"`{c.title}`" for c in columns if c.role == "data" and c.reason == "name unlike the rest"]
    if len(data) == len(columns) and not unlike:
        return ()
    parts = [f"{len(data)} of {len(columns)} columns {'is' if len(data) == 1 else 'are'} data: {_listed(data)}"]
    parts += [f"{role}: {_listed(titles(role))}" for role in ("label", "text") if titles(role)]
    others = [f"{c.title or 'column without a name'} ({c.reason})" for c in columns if c.role in ("id", "left-out")]
    parts += [f"left out: {_listed(others)}"] if others else []
    if unlike:
        verb, whose = ("is an input", "its name is") if len(unlike) == 1 else ("are inputs", "their names are")
        parts += [f"{_listed(unlike)} {verb} too, though {whose} unlike the rest; pass y apart, or drop the column"]
    return ("; ".join(parts),)


def _listed(names: list[str]) -> str:
    """Names with commas; of a long list the first and the last."""
    return ", ".join(names) if len(names) <= 8 else f"{', '.join(names[:6])}, ... {names[-1]} ({len(names)} columns)"


def _columns(x: Any) -> list[tuple[str, Any]]:
    """Names and columns of a data frame; names may occur twice."""
    if type(x).__module__.startswith("pandas"):
        return [(str(title), x.iloc[:, at]) for at, title in enumerate(x.columns)]
    if type(x).__module__.startswith("pyarrow"):
        return list(zip(x.column_names, x.columns))
    return [(title, x[title]) for title in x.columns]


def _column(title: str, column: Any) -> _Column:
    """A column with its kind; objects that are numbers become numbers."""
    is_arrow = type(column).__module__.startswith("pyarrow")
    values: np.ndarray = column.to_numpy(zero_copy_only=False) if is_arrow else column.to_numpy()
    dtype = str(getattr(column, "type" if is_arrow else "dtype", ""))
    if dtype.startswith(("category", "Categorical", "Enum", "dictionary")):
        return _Column(title, values.astype(object), "text", "category")
    if values.dtype == object:
        return _column_of_objects(title, values, column)
    plain = {"b": "boolean", "i": "integer", "u": "integer", "f": "number", "U": "text", "S": "text", "T": "text"}
    kind = plain.get(values.dtype.kind)
    if kind in ("boolean", "integer", "number") and values.ndim > 1:
        kind = "list"
    kind = kind or str(values.dtype)
    return _Column(title, values, kind, kind, column)


def _column_of_objects(title: str, values: np.ndarray, source: Any) -> _Column:
    present = [v for v in values if not _is_missing(v)]
    if not present:
        return _Column(title, values, "empty", "empty")
    if isinstance(present[0], (list, tuple, np.ndarray)):
        kind = "list" if np.asarray(present[0]).dtype.kind in "fiub" else "lists of other objects than numbers"
        return _Column(title, values, kind, kind, source)
    are = lambda *kinds: all(isinstance(v, kinds) for v in present)  # noqa: E731
    if are(str, bytes):
        return _Column(title, values, "text", "text")
    if are(bool, np.bool_):
        kind = "boolean"
    elif are(numbers.Real, decimal.Decimal):
        kind = "integer" if are(numbers.Integral) else "number"
    else:
        kind = f"{type(present[0]).__name__} objects"
    return _Column(title, values, kind, kind, source)


def _numbers_of(column: _Column, name: str) -> np.ndarray:
    """Values of a column of data as a matrix, all finite."""
    values = column.values
    if column.kind == "list" and values.dtype == object:
        values = _embedded(column, name)
    elif values.dtype == object:
        values = np.array([np.nan if _is_missing(v) else float(v) for v in values])
    _check_column(values, name, column)
    return values.reshape(len(values), -1)


def _is_missing(value: Any) -> bool:
    """True for None, NaN and the missing values of pandas."""
    return value is None or type(value).__name__ in ("NAType", "NaTType") or isinstance(value, float) and value != value


def _check_column(values: np.ndarray, name: str, column: _Column) -> None:
    """Refuses NaN, infinities and nulls with the name of their column."""
    if values.dtype.kind != "f" or np.isfinite(values).all():
        return
    row = int(np.argwhere(~np.isfinite(values))[0][0])
    got = values[row] if values.ndim == 1 else values[row][~np.isfinite(values[row])][0]
    shown = "null" if np.isnan(got) and _has_null(column.source, row) else str(got).replace("nan", "NaN")
    raise NotFiniteError(f"{name}: row {row}, column {column.title!r}: expected a finite number, got {shown}")


def _has_null(column: Any, row: int) -> bool:
    """True if a cell of a polars or Arrow column is null, or a list with a null; numpy has NaN in its place."""
    if type(column).__module__.startswith("pandas"):
        return False
    cell = column[row]
    cell = cell.as_py() if hasattr(cell, "as_py") else cell
    return cell is None or hasattr(cell, "__iter__") and any(value is None for value in cell)


def _embedded(column: _Column, name: str) -> np.ndarray:
    """Lists of numbers as a matrix."""
    missing = [row for row, cell in enumerate(column.values) if cell is None]
    if missing and _has_null(column.source, missing[0]):
        raise NotFiniteError(f"{name}: row {missing[0]}, column {column.title!r}: expected a finite number, got null")
    try:
        return np.stack([np.asarray(v, dtype=np.float32) for v in column.values])
    except (TypeError, ValueError) as error:
        raise ShapeError(f"{name}: column {column.title!r}: expected lists of numbers of one length") from error


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
    if any(isinstance(v, np.ndarray) and v.ndim for v in found):
        raise ShapeError(f"{name}: expected one entry for each row, got several")
    return [_cell(v) for v in found]


def _cell(value: Any) -> str:
    """One label or text."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.datetime64):
        # `item` would be a number of nanoseconds.
        return "" if np.isnat(value) else str(np.datetime_as_string(value, "auto"))
    if isinstance(value, np.timedelta64):
        return "" if np.isnat(value) else str(value)
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()
    return "" if _is_missing(value) else str(value)


def sized(found: list[str] | None, count: int | None, name: str) -> list[str] | None:
    """Labels or texts, refused if there is another number of them than rows."""
    if found is not None and count is not None and len(found) != count:
        raise ShapeError(f"{name}: expected {count}, one for each row, got {len(found)}")
    return found


def beside(x: Rows, labels: Any, texts: Any, name: str = "labels") -> tuple[list[str] | None, list[str] | None]:
    """Labels and texts of rows: those given, else those of a data frame. Files have their own, which are None here."""
    count = None if x.paths is not None else len(x.values)
    labels = cells(x.labels if labels is None else labels, name)
    texts = cells(x.texts if texts is None else texts, "texts")
    return sized(labels, count, name), sized(texts, count, "texts")


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
        return _core.open(x)[0]
    if x.is_bf16:
        return float_of_bf16(x.values)
    return np.ascontiguousarray(x.values, dtype=np.float32)


def float_of_bf16(bits: np.ndarray) -> np.ndarray:
    """Numbers of bfloat16, given as their bits, in float32."""
    return (bits.astype(np.uint32) << 16).view(np.float32)
