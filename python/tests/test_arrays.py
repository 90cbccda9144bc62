"""Kinds of rows that a caller may have, and what each gives."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse

import rarefy
from rarefy import _arrays
from rarefy.errors import FormatError, NotFiniteError, ShapeError

try:
    import torch
except ModuleNotFoundError:
    torch = None  # type: ignore[assignment]

LETTERS = list("abcdef")


def frame(x: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(x, columns=LETTERS)


def with_id_and_text(x: np.ndarray) -> pd.DataFrame:
    found = frame(x)
    found.insert(0, "id", range(len(x)))
    found.insert(3, "text", [f"text {i}" for i in range(len(x))])
    return found


def one_column_of_objects(x: np.ndarray) -> pd.DataFrame:
    found = frame(x)
    found["b"] = found["b"].astype(object)
    return found


def memmap(x: np.ndarray, folder: Path, dtype: str = "f4") -> np.ndarray:
    place = folder / "rows.bin"
    x.astype(dtype).tofile(place)
    return np.memmap(place, dtype=dtype, mode="r", shape=x.shape)


def saved(x: np.ndarray, folder: Path, name: str = "rows.npy") -> Path:
    np.save(folder / name, x)
    return folder / name


def strided(x: np.ndarray) -> np.ndarray:
    wide = np.full((2 * len(x), 3 * x.shape[1]), np.nan, np.float32)
    wide[::2, 1::3] = x
    return wide[::2, 1::3]


def object_rows(x: np.ndarray) -> np.ndarray:
    found = np.empty(len(x), dtype=object)
    found[:] = list(x)
    return found


def misaligned(x: np.ndarray) -> np.ndarray:
    return np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view(np.float32).reshape(x.shape)


#: Kinds that hold the rows exactly: name, function of (rows, folder).
EXACT: dict[str, Any] = {
    "f32": lambda x, _: x,
    "f64": lambda x, _: x.astype("f8"),
    "longdouble": lambda x, _: x.astype(np.longdouble),
    "fortran order": lambda x, _: np.asfortranarray(x),
    "f64 fortran order": lambda x, _: np.asfortranarray(x, dtype="f8"),
    "strided": lambda x, _: strided(x),
    "negative strides": lambda x, _: x[::-1, ::-1].copy()[::-1, ::-1],
    "read-only": lambda x, _: np.frombuffer(x.tobytes(), np.float32).reshape(x.shape),
    "memmap": memmap,
    "big-endian memmap": lambda x, folder: memmap(x, folder, ">f4"),
    "big-endian": lambda x, _: x.astype(">f4"),
    "big-endian f64": lambda x, _: x.astype(">f8"),
    "misaligned": lambda x, _: misaligned(x),
    "objects": lambda x, _: x.astype(object),
    "objects that are rows": lambda x, _: object_rows(x),
    "matrix": lambda x, _: x.view(np.matrix),
    "masked array without masked values": lambda x, _: np.ma.masked_array(x),
    "list of lists": lambda x, _: x.tolist(),
    "tuple of tuples": lambda x, _: tuple(map(tuple, x.tolist())),
    "list of arrays": lambda x, _: list(x),
    "list of tensors": lambda x, _: [torch.tensor(row) for row in x],
    "pandas": lambda x, _: frame(x),
    "pandas with id and text": lambda x, _: with_id_and_text(x),
    "pandas objects": lambda x, _: frame(x).astype(object),
    "pandas one column of objects": lambda x, _: one_column_of_objects(x),
    "pandas Float32": lambda x, _: frame(x).astype("Float32"),
    "pandas arrow": lambda x, _: frame(x).astype("float32[pyarrow]"),
    "pandas repeated names": lambda x, _: pd.DataFrame(x, columns=list("aabbcc")),
    "pandas column of lists": lambda x, _: pd.DataFrame({"text": "t", "embedding": x.tolist()}),
    "pandas column of arrays": lambda x, _: pd.DataFrame({"embedding": list(x)}),
    "pandas series of lists": lambda x, _: pd.Series(x.tolist()),
    "polars": lambda x, _: pl.DataFrame(with_id_and_text(x)),
    "polars column of lists": lambda x, _: pl.DataFrame({"embedding": x.tolist()}),
    "polars column of arrays": lambda x, _: pl.DataFrame({"e": pl.Series(x, dtype=pl.Array(pl.Float32, x.shape[1]))}),
    "polars series of lists": lambda x, _: pl.Series(x.tolist()),
    "pyarrow table": lambda x, _: pa.table(with_id_and_text(x)),
    "pyarrow record batch": lambda x, _: pa.RecordBatch.from_pandas(with_id_and_text(x)),
    "pyarrow repeated names": lambda x, _: pa.Table.from_arrays([pa.array(column) for column in x.T], list("aabbcc")),
    "pyarrow column of lists": lambda x, _: pa.table({"e": x.tolist()}),
    "torch f32": lambda x, _: torch.tensor(x),
    "torch f64": lambda x, _: torch.tensor(x).double(),
    "torch transposed": lambda x, _: torch.tensor(x.T.copy()).T,
    "torch detached": lambda x, _: torch.tensor(x, requires_grad=True).detach(),
    "path": saved,
    "path text": lambda x, folder: str(saved(x, folder)),
    "list of paths": lambda x, folder: [saved(x[:100], folder, "1.npy"), str(saved(x[100:], folder, "2.npy"))],
}

#: Kinds that hold other numbers: name, function from rows to (rows of that kind, the same as float32).
ROUNDED: dict[str, Any] = {
    "f16": lambda x: (x.astype("f2"), x.astype("f2").astype("f4")),
    "f16 fortran order": lambda x: (np.asfortranarray(x, "f2"), x.astype("f2").astype("f4")),
    "int8": lambda x: ((10 * x).astype("i1"), (10 * x).astype("i1").astype("f4")),
    "uint8": lambda x: ((10 * abs(x)).astype("u1"), (10 * abs(x)).astype("u1").astype("f4")),
    "int16": lambda x: ((99 * x).astype("i2"), (99 * x).astype("i2").astype("f4")),
    "int32": lambda x: ((99 * x).astype("i4"), (99 * x).astype("i4").astype("f4")),
    "int64": lambda x: ((99 * x).astype("i8"), (99 * x).astype("i8").astype("f4")),
    "uint64": lambda x: ((99 * abs(x)).astype("u8"), (99 * abs(x)).astype("u8").astype("f4")),
    "big-endian int32": lambda x: ((99 * x).astype(">i4"), (99 * x).astype("i4").astype("f4")),
    "bool": lambda x: (x > 0, (x > 0).astype("f4")),
    "list of ints": lambda x: ((9 * x).astype(int).tolist(), (9 * x).astype(int).astype("f4")),
    "torch f16": lambda x: (torch.tensor(x).half(), x.astype("f2").astype("f4")),
    "torch bf16": lambda x: (torch.tensor(x).bfloat16(), torch.tensor(x).bfloat16().float().numpy()),
    "torch bf16 transposed": lambda x: (
        torch.tensor(x.T.copy()).bfloat16().T,
        torch.tensor(x).bfloat16().float().numpy(),
    ),
    "torch int64": lambda x: (torch.tensor(9 * x).long(), (9 * x).astype(int).astype("f4")),
    "torch bool": lambda x: (torch.tensor(x) > 0, (x > 0).astype("f4")),
}


def with_value(x: np.ndarray, value: Any, dtype: Any = np.float32) -> np.ndarray:
    found = x.astype(dtype)
    found[3, 4] = value
    return found


#: Kinds that are refused: name, function of the rows, exception, pattern of its message.
REFUSED: dict[str, tuple[Any, Any, str]] = {
    "1-D": (lambda x: x[0], ShapeError, r"^X: .*1 dimension of 6 values: pass X.reshape\(1, -1\)"),
    "0-D": (lambda x: np.float32(3), ShapeError, r"^X: .*a single number"),
    "3-D": (lambda x: x.reshape(-1, 3, 2), ShapeError, r"^X: .*shape \(300, 3, 2\)"),
    "no rows": (lambda x: x[:0], ShapeError, r"^X: .*shape \(0, 6\)"),
    "no columns": (lambda x: x[:, :0], ShapeError, r"^X: .*shape \(300, 0\)"),
    "empty list": (lambda x: [], ShapeError, "^X: .*empty list"),
    "other width": (lambda x: x[:, :5], ShapeError, "^X: expected 6 columns as the model was trained on, got 5"),
    "lists of different lengths": (lambda x: [[1, 2], [3]], ShapeError, "^X: .*different widths"),
    "objects of different lengths": (
        lambda x: pd.Series([[1.0, 2.0], [3.0]]),
        ShapeError,
        "^X: expected rows of equal width",
    ),
    "column of lists of different lengths": (
        lambda x: pd.DataFrame({"e": [[1.0, 2.0], [3.0]]}),
        ShapeError,
        "^X: column 'e': expected lists of numbers of one length",
    ),
    "NaN": (lambda x: with_value(x, np.nan), NotFiniteError, "^X: row 3, column 4: expected a finite number, got NaN"),
    "NaN of f64": (lambda x: with_value(x, np.nan, "f8"), NotFiniteError, "^X: row 3, column 4"),
    "inf": (lambda x: with_value(x, np.inf), NotFiniteError, "^X: row 3, column 4: expected a finite number, got inf"),
    "f16 inf": (lambda x: with_value(x, -np.inf, "f2"), NotFiniteError, "^X: row 3, column 4"),
    "beyond f32": (lambda x: with_value(x, 1e300, "f8"), NotFiniteError, "^X: row 3, column 4"),
    "NaN of bf16": (
        lambda x: torch.tensor(with_value(x, np.nan)).bfloat16(),
        NotFiniteError,
        "^X: row 3, column 4: expected a finite number, got NaN",
    ),
    "NaN of a frame": (
        lambda x: with_id_and_text(with_value(x, np.nan)),
        NotFiniteError,
        "^X: row 3, column 'e': expected a finite number, got NaN",
    ),
    "missing value of a frame": (
        lambda x: one_column_of_objects(x).assign(b=[None, *x[1:, 1]]),
        NotFiniteError,
        "^X: row 0, column 'b': expected a finite number, got NaN",
    ),
    "objects with text": (
        lambda x: with_value(x, "word", object),
        TypeError,
        "^X: row 3, column 4: expected a number, got 'word'",
    ),
    "objects with None": (lambda x: with_value(x, None, object), NotFiniteError, "^X: row 3, column 4"),
    "texts": (lambda x: x.astype(str), TypeError, "^X: expected numbers, got dtype <U"),
    "dates": (lambda x: np.zeros((2, 6), "M8[s]"), TypeError, "^X: expected numbers, got dtype datetime64"),
    "frame of texts": (
        lambda x: pd.DataFrame({"t": ["a"], "day": [pd.Timestamp("2020-01-01")]}),
        TypeError,
        "^X: expected columns of numbers, or one column of lists of numbers, got `t` .text., `day` .datetime64",
    ),
    "two columns of lists": (
        lambda x: pd.DataFrame({"a": x.tolist(), "b": x.tolist()}),
        TypeError,
        "^X: .* one column of lists of numbers, got `a` .list., `b` .list.: pass the columns",
    ),
    "frame without rows": (lambda x: frame(x)[:0], ShapeError, "^X: expected at least one row"),
    "lazy frame": (lambda x: pl.DataFrame(frame(x)).lazy(), TypeError, r"^X: .*X.collect\(\)"),
    "complex": (lambda x: x.astype("c8"), ValueError, "^X: Complex data not supported"),
    "torch complex": (lambda x: torch.tensor(x).to(torch.complex64), ValueError, "^X: Complex data not supported"),
    "masked array": (lambda x: np.ma.masked_array(x, x > 0), NotFiniteError, "^X: .*masked array"),
    "scipy sparse": (lambda x: scipy.sparse.csr_matrix(x), TypeError, r"^X: .*X.toarray\(\)"),
    "scipy sparse array": (lambda x: scipy.sparse.coo_array(x), TypeError, r"^X: .*X.toarray\(\)"),
    "torch with gradient": (lambda x: torch.tensor(x, requires_grad=True), TypeError, r"^X: .*X.detach\(\)"),
    "list of tensors with gradients": (
        lambda x: [torch.tensor(row, requires_grad=True) for row in x],
        TypeError,
        "^X: the tensors require a gradient",
    ),
    "torch meta": (lambda x: torch.empty(3, 6, device="meta"), TypeError, r"^X: the tensor is on meta.*X.cpu\(\)"),
    "list of meta tensors": (lambda x: [torch.empty(6, device="meta")], TypeError, "^X: the tensors are on meta"),
    "torch sparse": (lambda x: torch.tensor(x).to_sparse(), TypeError, r"^X: .*X.to_dense\(\)"),
    "torch float8": (lambda x: torch.tensor(x).to(torch.float8_e4m3fn), TypeError, r"^X: .*X.float\(\)"),
    "generator": (lambda x: (row for row in x), TypeError, "^X: got an iterator.*Trainer"),
    "dict": (lambda x: {"a": [1.0]}, TypeError, "^X: expected a numpy array.*got dict"),
    "set": (lambda x: {1.0}, TypeError, "^X: expected .*got set"),
    "bytes": (lambda x: b"rows.npy", TypeError, "^X: expected .*got bytes"),
    "number": (lambda x: 3, TypeError, "^X: expected .*got int"),
    "None": (lambda x: None, TypeError, "^X: expected .*got NoneType"),
    "missing path": (lambda x: "/no/such.npy", FileNotFoundError, "/no/such.npy"),
    "missing Path": (lambda x: Path("/no/such.npy"), FileNotFoundError, "/no/such.npy"),
    "missing path of several": (lambda x: ["/no/1.npy", "/no/2.npy"], FileNotFoundError, "/no/1.npy"),
}


def kinds(table: dict[str, Any]) -> list[Any]:
    """Kinds of a table; those of PyTorch are left out without it."""
    of_torch = lambda kind: any(word in kind for word in ("torch", "tensor", "bf16"))  # noqa: E731
    mark = pytest.mark.skipif(torch is None, reason="LEFT OUT: kinds of rows that need torch")
    return [pytest.param(kind, marks=mark) if of_torch(kind) else kind for kind in table]


@pytest.mark.parametrize("kind", kinds(EXACT))
def test_rows_of_any_kind_give_the_codes_of_float32(
    kind: str, rows: np.ndarray, model: rarefy.Model, tmp_path: Path
) -> None:
    found = model.encode(EXACT[kind](rows, tmp_path))
    expected = model.encode(rows)
    assert found.nnz > len(rows)
    assert (found != expected).nnz == 0


@pytest.mark.parametrize("kind", kinds(ROUNDED))
def test_other_number_types_give_the_codes_of_their_values(kind: str, rows: np.ndarray, model: rarefy.Model) -> None:
    given, as_float = ROUNDED[kind](rows)
    expected = model.encode(as_float)
    assert expected.nnz > len(rows)
    assert (model.encode(given) != expected).nnz == 0


@pytest.mark.parametrize("kind", kinds(REFUSED))
def test_other_inputs_are_refused_with_the_name_of_the_argument(
    kind: str, rows: np.ndarray, model: rarefy.Model
) -> None:
    make, error, pattern = REFUSED[kind]
    with pytest.raises(error, match=pattern):
        model.encode(make(rows))


def test_damaged_file_is_a_format_error_with_its_path(model: rarefy.Model, tmp_path: Path) -> None:
    (tmp_path / "rows.npy").write_bytes(b"\x93NUMPY\x01\x00")
    with pytest.raises(FormatError, match="rows.npy"):
        model.encode(tmp_path / "rows.npy")


@pytest.mark.skipif(torch is None, reason="LEFT OUT: kinds of rows that need torch")
def test_bf16_latents_and_unembedding_are_read_as_numbers(rows: np.ndarray, model: rarefy.Model) -> None:
    latents = torch.tensor(model.encode(rows).toarray()).bfloat16()
    assert np.array_equal(model.decode(latents), model.decode(latents.float().numpy()))
    matrix = torch.tensor(rows[:4]).bfloat16()
    page = lambda u: model.explorer(rows, unembedding=u, vocabulary=list("abcd")).html  # noqa: E731
    assert page(matrix) == page(matrix.float().numpy())
    assert page(matrix) != page(rows[4:8])


@pytest.mark.parametrize("is_memmap", [False, True])
def test_large_rows_are_not_copied(is_memmap: bool, tmp_path: Path) -> None:
    x = np.random.default_rng(1).normal(size=(80_000, 64)).astype(np.float32)
    model = rarefy.train(x[:500], "topk", n_latents=8, k=1, steps=5, progress=False).model
    if is_memmap:
        x = memmap(x, tmp_path)
    tracemalloc.start()
    try:
        codes = model.codes(x)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # The codes are 1 MB; a copy would add 20 MB.
    assert len(codes) == len(x)
    assert peak < 3e6
    assert np.shares_memory(codes.to_scipy().data, codes.values)
    assert np.shares_memory(codes.to_scipy().indices, codes.indices)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs the peak of the memory of Linux")
def test_compiled_part_does_not_copy_large_rows() -> None:
    x = np.random.default_rng(1).normal(size=(200_000, 64)).astype(np.float32)
    model = rarefy.train(x[:500], "topk", n_latents=8, k=1, steps=5, progress=False).model
    memory = lambda key: next(  # noqa: E731
        int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(key)
    )
    model.encode(x)
    before = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    codes = model.codes(x)
    # 51 MB of rows; their codes are 3 MB.
    assert len(codes) == len(x)
    assert memory("VmHWM") - before < 25_000


@pytest.mark.parametrize("order", ["C", "F"])
def test_array_of_the_caller_is_unchanged(order: Any, rows: np.ndarray) -> None:
    x = np.array(rows, order=order)
    before = x.tobytes()
    run = rarefy.train(x, "topk", n_latents=8, k=2, steps=20, preprocess=["standardise", "norm-row"], progress=False)
    run.model.encode(x)
    run.model.edit(x, {0: 1.0})
    run.model.evaluate(x)
    rarefy.Trainer("topk", n_latents=8, k=2, preprocess="standardise").fit([x])
    assert x.tobytes() == before
    assert x.flags.writeable


def test_texts_of_a_frame_name_the_latents(rows: np.ndarray, model: rarefy.Model) -> None:
    given = with_id_and_text(rows).assign(short="x")
    found = model.latents(given)
    assert found[0]["top"][0]["text"] == f"text {found[0]['top'][0]['row']}"
    assert model.latents(rows)[0]["top"][0]["text"] is None


# Columns of data frames


def typed_frame() -> pd.DataFrame:
    """Columns of all types."""
    return pd.DataFrame(
        {
            "doc_id": [7, 5, 9, 1],
            "uuid": ["x", "y", "z", "w"],
            "a": [1.0, 2.0, 3.0, 4.0],
            "Class": pd.array([3, 1, None, 2], dtype="Int64"),
            "nullable": pd.array([1, 2, 3, 4], dtype="Int64"),
            "flag": [True, False, True, False],
            "flags": pd.array([True, False, True, False], dtype="boolean"),
            "object": pd.Series([1, 2.5, 3, 4], dtype=object),
            "day": pd.to_datetime(["2020-01-01"] * 4),
            "kind": pd.Categorical(["u", "v", "u", "v"]),
            "review": ["one", "two", None, "four"],
            "note": ["p", "q", "r", "s"],
            "nothing": [None] * 4,
        }
    )


@pytest.mark.parametrize("convert", [lambda x: x, pl.DataFrame, pa.Table.from_pandas], ids=["pandas", "polars", "pyarrow"])
def test_columns_of_a_frame_have_the_roles_of_columns_of_files(convert: Any) -> None:
    found = _arrays.rows(convert(typed_frame()))
    expected = np.array([[1, 1, 1, 1, 1], [2, 2, 0, 0, 2.5], [3, 3, 1, 1, 3], [4, 4, 0, 0, 4]])
    assert np.array_equal(found.values, expected)
    assert found.labels is not None
    assert [label.split(".")[0] for label in found.labels] == ["3", "1", "", "2"]
    assert found.texts == ["one", "two", "", "four"]
    (note,) = found.notes
    assert note.startswith("5 of 13 columns are data: a, nullable, flag, flags, object; label: Class; text: review; left out: ")
    for part in ("doc_id (name of an id)", "uuid (name of an id)", "note (text)", "nothing (", "day (", "kind ("):
        assert part in note


def test_frame_and_file_give_the_same_rows(tmp_path: Path) -> None:
    given = typed_frame().drop(columns=["kind", "Class"]).assign(label=["r", "s", "r", "s"])
    given.to_parquet(tmp_path / "rows.parquet")
    values, labels, texts, _, _ = rarefy._core.open(_arrays.rows(tmp_path / "rows.parquet"))
    found = _arrays.rows(given)
    assert np.array_equal(found.values, values)
    assert (found.labels, found.texts) == (labels, texts)


def test_only_column_of_texts_is_the_text_and_categories_are_labels(rows: np.ndarray) -> None:
    given = frame(rows[:2]).assign(remark=["p", "q"], kind=pd.Categorical([5, 6]))
    found = _arrays.rows(given)
    assert (found.labels, found.texts) == (["5", "6"], ["p", "q"])
    found = _arrays.rows(given.assign(other=["s", "t"], label=[0, 1]))
    assert (found.labels, found.texts) == (["0", "1"], None)
    assert _arrays.rows(frame(rows)).notes == ()


def test_flat_columns_beside_lists_are_left_out(rows: np.ndarray) -> None:
    given = pd.DataFrame({"length": range(300), "embedding": list(rows), "tags": [["a"]] * 300})
    found = _arrays.rows(given)
    assert np.array_equal(found.values, rows)
    (note,) = found.notes
    assert note == (
        "1 of 3 columns is data: embedding; left out: length (beside lists), tags (lists of other objects than numbers)"
    )


def test_labels_of_a_frame_are_used_and_its_note_is_told(rows: np.ndarray) -> None:
    y = (rows[:, 0] > 0).astype(int)
    given = frame(rows).assign(label=y)
    run = rarefy.train(given, "topk", n_latents=12, k=3, steps=20, progress=False)
    assert run.model.n_inputs == 6
    assert "6 of 7 columns are data: a, b, c, d, e, f; label: label" in run.messages
    found = run.model.latents(given)
    assert {top["label"] for latent in found for top in latent["top"]} == {"0", "1"}
    assert run.model.target(given) == run.model.target(rows, y)
    assert run.model.explorer(given).html == run.model.explorer(rows, labels=y).html


def test_inputs_with_a_name_unlike_the_rest_are_told() -> None:
    table = pd.DataFrame(np.ones((12, 16)), columns=[f"e{j}" for j in range(16)])
    assert _arrays.rows(table).notes == ()
    (note,) = _arrays.rows(table.assign(digit=range(12), age=1.5)).notes
    assert note.endswith(
        "`digit`, `age` are inputs too, though their names are unlike the rest; pass y apart, or drop the column"
    )


def test_cells_of_bytes_and_dates_are_texts() -> None:
    assert _arrays.cells([b"gr\xc3\xbcn", np.bytes_(b"a"), "b", 3, np.int64(4)], "labels") == ["grün", "a", "b", "3", "4"]
    days = np.array(["2020-01-02", "NaT"], dtype="M8[ns]")
    assert _arrays.cells(days, "labels") == ["2020-01-02", ""]
    assert _arrays.cells([np.datetime64("2020-01-02T03:04:05", "us")], "labels") == ["2020-01-02T03:04:05"]


def test_missing_texts_are_empty(rows: np.ndarray, model: rarefy.Model) -> None:
    given = frame(rows).assign(text=[None, float("nan"), pd.NA, "word"] * 75)
    found = model.latents(given)
    assert {top["text"] for latent in found for top in latent["top"]} == {"", "word"}


@pytest.mark.parametrize("name", ["labels", "texts"])
def test_labels_and_texts_of_another_length_are_refused(name: str, rows: np.ndarray, model: rarefy.Model) -> None:
    with pytest.raises(ShapeError, match=f"^{name}: expected 300, one for each row, got 2"):
        model.latents(rows, **{name: ["a", "b"]})
    with pytest.raises(TypeError, match=f"^{name}: expected one for each row, got a single text"):
        model.latents(rows, **{name: "a text"})
    with pytest.raises(TypeError, match=f"^{name}: expected a list"):
        model.latents(rows, **{name: 3})


@pytest.mark.parametrize(
    ("cells", "dtype", "row", "got"),
    [
        ([1.0, None, 2.0], "Float32", 1, "null"),
        ([1, None, 2], "Int64", 1, "null"),
        ([1.0, 2.0, float("nan")], "Float32", 2, "NaN"),
        ([float("nan"), None, 2.0], "Float32", 0, "NaN"),
        ([[1.0, 2.0], [None, 3.0], [4.0, 5.0]], "List", 1, "null"),
        ([[1.0, 2.0], [4.0, 5.0], [None, 3.0]], "Array", 2, "null"),
        ([[1.0, 2.0], [4.0, 5.0], None], "List", 2, "null"),
        ([[1.0, 2.0], [4.0, 5.0], None], "Array", 2, "null"),
        ([[1.0, 2.0], [float("nan"), 3.0], [4.0, 5.0]], "List", 1, "NaN"),
    ],
)
def test_null_of_a_frame_is_named_with_row_and_column(cells: list[Any], dtype: str, row: int, got: str) -> None:
    kinds = {"List": pl.List(pl.Float32), "Array": pl.Array(pl.Float32, 2)}
    given = pl.DataFrame({"name": ["x", "y", "z"], "values": cells}, schema_overrides={"values": kinds.get(dtype) or getattr(pl, dtype)})
    frames = [given] if dtype == "Array" else [given, given.to_arrow()]
    for each in frames:
        with pytest.raises(NotFiniteError) as refused:
            _arrays.rows(each)
        assert str(refused.value) == f"X: row {row}, column 'values': expected a finite number, got {got}"
