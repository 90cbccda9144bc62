"""Makes the files in this folder with the packages that users write them with, and `expected.json`.

Run as `python make.py` in this folder. Last run with Python 3.11, numpy 2.4.6, pandas 3.1.1,
pyarrow 26.0.1, safetensors 0.8.0, scipy 1.17.1, pillow 13.0.0 and ml_dtypes 0.6.0. All numbers are
made up. `expected.json` holds what the packages themselves say is in each file.
"""

import datetime
import decimal
import gzip
import json
import struct
import zipfile
from pathlib import Path

import ml_dtypes
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import safetensors.numpy
import scipy.sparse
from PIL import Image

HERE = Path(__file__).parent
ROWS, D_IN = 6, 4
rng = np.random.default_rng(7)
X = rng.standard_normal((ROWS, D_IN))
COUNTS = rng.integers(0, 256, (ROWS, D_IN))
LABELS = ["ant", "bee, the", 'a "cat"', "dog", "été", "fox"]

readable, refused, codes = [], [], []


def here(name):
    path = HERE / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def expect(file, values, labels=None, image_shape=None, **options):
    """A file that must read as these values, each rounded to f32."""
    values = np.asarray(values)
    rows = values.astype(np.float32).reshape(len(values), -1)
    readable.append(
        {
            "file": file,
            "rows": rows.shape[0],
            "d_in": rows.shape[1],
            "values": rows.astype(np.float64).ravel().tolist(),
            "labels": labels,
            "image_shape": image_shape,
            "options": options,
        }
    )


def refuse(file, *words, **options):
    """A file that must be refused in these words (and with its name)."""
    refused.append({"file": file, "words": words, "options": options})


def npy():
    for name in ["f2", "f4", "f8", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "b1"]:
        kind = np.dtype(name)
        if kind.kind == "f":
            array = X.astype(kind)
        elif kind.kind == "b":
            array = COUNTS > 100
        else:
            # The whole range of the type, so that a wrong width or sign shows.
            info = np.iinfo(kind)
            array = rng.integers(info.min, info.max, (ROWS, D_IN), kind, endpoint=True)
        np.save(here(f"npy/{name}.npy"), array)
        expect(f"npy/{name}.npy", array)
        if name in ["f4", "f8", "i2", "f2"]:
            swapped = array.astype(kind.newbyteorder(">"))
            np.save(here(f"npy/{name}-big-endian.npy"), swapped)
            expect(f"npy/{name}-big-endian.npy", array)
    np.save(here("npy/fortran.npy"), np.asfortranarray(X))
    expect("npy/fortran.npy", X)
    for version in [(2, 0), (3, 0)]:
        name = f"npy/version{version[0]}.npy"
        with open(here(name), "wb") as out:
            np.lib.format.write_array(out, X, version=version)
        expect(name, X)
    np.save(here("npy/three-axes.npy"), X.reshape(ROWS, 2, 2))
    # Rows of the last axis.
    expect("npy/three-axes.npy", X.reshape(-1, 2))
    np.save(here("npy/subnormal.npy"), np.array([[6e-8, -65504, 3e-5, 1]], np.float16))
    expect("npy/subnormal.npy", np.array([[6e-8, -65504, 3e-5, 1]], np.float16))
    np.save(here("npy/vector.npy"), X[0])
    refuse("npy/vector.npy", "expected a matrix", "[4]")
    np.save(here("npy/object.npy"), np.array([[{}, 1]], object), allow_pickle=True)
    refuse("npy/object.npy", "pickled Python objects")
    np.save(here("npy/structured.npy"), np.zeros((2, 2), [("a", "f4")]))
    refuse("npy/structured.npy", "expected element type")
    np.save(here("npy/complex.npy"), X.astype(complex))
    refuse("npy/complex.npy", "expected element type", "c16")
    np.save(here("npy/no-rows.npy"), X[:0])
    refuse("npy/no-rows.npy", "at least one row", "0 x 4")
    bad = X.copy()
    bad[3, 1] = np.nan
    np.save(here("npy/nan.npy"), bad)
    refuse("npy/nan.npy", "row 3, column 1", "NaN")


def npz():
    np.savez(here("npz/one.npz"), X)
    expect("npz/one.npz", X)
    np.savez_compressed(here("npz/several.npz"), x=X, counts=COUNTS, turned=np.asfortranarray(X))
    expect("npz/several.npz", X, member="x")
    expect("npz/several.npz", COUNTS, member="counts")
    expect("npz/several.npz", X, member="turned")
    refuse("npz/several.npz", "expected one array, got 3", "x, counts, turned")
    refuse("npz/several.npz", "`y`", "known: x, counts, turned", member="y")
    # A header that promises more than the member holds.
    member = here("npz/promise.npy")
    np.save(member, X)
    lie = member.read_bytes().replace(b"(6, 4), }" + 12 * b" ", b"(1152921504606, 4), }")
    assert len(lie) == member.stat().st_size
    member.unlink()
    with zipfile.ZipFile(here("npz/promise.npz"), "w") as archive:
        archive.writestr(zipfile.ZipInfo("x.npy"), lie)
    refuse("npz/promise.npz", "expected a member of", "1152921504606", "promise.npz[x]")


def csv():
    frame = pd.DataFrame(X, columns=["a", "b", "c", "d"])
    labelled = frame.assign(label=LABELS)[["a", "label", "b", "c", "d"]]
    read = pd.read_csv
    np.savetxt(here("csv/savetxt.csv"), X, delimiter=",")
    expect("csv/savetxt.csv", X)
    frame.to_csv(here("csv/header.csv"), index=False)
    expect("csv/header.csv", read(HERE / "csv/header.csv", dtype=np.float32))
    labelled.to_csv(here("csv/labels.csv"), index=False)
    expect("csv/labels.csv", X, labels=LABELS)
    labelled.to_csv(here("csv/labels.csv.gz"), index=False, compression={"method": "gzip", "mtime": 0})
    expect("csv/labels.csv.gz", X, labels=LABELS)
    labelled.to_csv(here("csv/labels.tsv"), index=False, sep="\t")
    expect("csv/labels.tsv", X, labels=LABELS)
    frame.to_csv(here("csv/bare.tsv"), index=False, sep="\t", header=False)
    expect("csv/bare.tsv", X)
    labelled.to_csv(here("csv/crlf.csv"), index=False, lineterminator="\r\n", quoting=1)
    expect("csv/crlf.csv", X, labels=LABELS)
    labelled.rename(columns={"a": "label", "label": "a"}).to_csv(
        here("csv/bom.csv"), index=False, encoding="utf-8-sig", columns=["label", "b", "c", "d"]
    )
    expect("csv/bom.csv", X[:, 1:], labels=[repr(float(v)) for v in X[:, 0]])
    blank = (HERE / "csv/header.csv").read_bytes() + b"\n"
    here("csv/blank-last-line.csv").write_bytes(blank)
    expect("csv/blank-last-line.csv", X)
    pd.DataFrame(X).to_csv(here("csv/counted-columns.csv"), index=False)
    refuse("csv/counted-columns.csv", "line 1", "`data.header`")
    expect("csv/counted-columns.csv", X, header=True)
    expect("csv/counted-columns.csv", np.vstack([[0, 1, 2, 3], X]), header=False)
    expect("csv/savetxt.csv", X[1:], header=True)
    frame.to_csv(here("csv/row-index.csv"))
    refuse("csv/row-index.csv", "line 1, field 1", "index=False")
    frame.assign(b=[1, 2, None, 4, 5, 6]).to_csv(here("csv/missing.csv"), index=False)
    refuse("csv/missing.csv", "line 4, column `b`", "expected a number")
    here("csv/ragged.csv").write_text("1,2,3\n4,5\n")
    refuse("csv/ragged.csv", "line 2: expected 3 fields, got 2")
    here("csv/word.csv").write_text("1,2,3\n4,five,6\n")
    refuse("csv/word.csv", "line 2, column `1`", "`five`")
    here("csv/infinity.csv").write_text("1,2,3\n4,1e999,6\n")
    refuse("csv/infinity.csv", "line 2, column `1`", "inf")
    here("csv/latin1.csv").write_bytes("label,a\nété,1\n".encode("latin-1"))
    refuse("csv/latin1.csv", "UTF-8")
    here("csv/header-only.csv").write_text("a,b\n")
    refuse("csv/header-only.csv", "0 rows")


def idx():
    codes = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}

    def pack(array):
        start = bytes([0, 0, codes[array.dtype.str[1:]], array.ndim])
        sizes = struct.pack(f">{array.ndim}I", *array.shape)
        return start + sizes + array.astype(array.dtype.newbyteorder(">")).tobytes()

    images = COUNTS.astype("u1").reshape(ROWS, 2, 2)
    labels = np.arange(ROWS, dtype="u1")[::-1]
    as_text = [str(n) for n in labels]
    for folder, ending, zip_ in [("idx", "", bytes), ("idx-gz", ".gz", lambda b: gzip.compress(b, mtime=0))]:
        here(f"{folder}/train-images-idx3-ubyte{ending}").write_bytes(zip_(pack(images)))
        here(f"{folder}/train-labels-idx1-ubyte{ending}").write_bytes(zip_(pack(labels)))
        expect(f"{folder}/train-images-idx3-ubyte{ending}", images, as_text, [2, 2])
        # The folder is the images alone: the labels are no data.
        expect(folder, images, as_text, [2, 2])
    for name, kind in [("i2", ">i2"), ("f8", ">f8")]:
        here(f"idx-other/{name}.idx").write_bytes(pack((X * 100).astype(kind[1:])))
        expect(f"idx-other/{name}.idx", (X * 100).astype(kind[1:]))
    here("idx-other/images-idx3-ubyte").write_bytes(pack(images))
    here("idx-other/labels-idx1-ubyte").write_bytes(pack(labels[:5]))
    refuse("idx-other/images-idx3-ubyte", "labels-idx1-ubyte", "expected 6, got 5")
    here("idx-other/wide-images-idx3-ubyte").write_bytes(pack(images))
    here("idx-other/wide-labels-idx1-ubyte").write_bytes(pack(COUNTS.astype("u1")))
    refuse("idx-other/wide-images-idx3-ubyte", "wide-labels", "expected 6, got 6 x 4")


def tensors():
    for name in ["float16", "float32", "float64", "uint8", "int64", "int16", "bool"]:
        array = (X if name.startswith("float") else COUNTS - 100).astype(name)
        safetensors.numpy.save_file({"x": array}, here(f"safetensors/{name}.safetensors"))
        expect(f"safetensors/{name}.safetensors", array)
    half = X.astype(ml_dtypes.bfloat16)
    safetensors.numpy.save_file({"x": half}, here("safetensors/bfloat16.safetensors"), {"made": "up"})
    expect("safetensors/bfloat16.safetensors", half.astype(np.float32))
    several = {"W_dec": X.astype("f4"), "b_dec": X[0].astype("f4"), "W_enc": np.ascontiguousarray(X.T.astype("f4"))}
    safetensors.numpy.save_file(several, here("safetensors/several.safetensors"))
    expect("safetensors/several.safetensors", X, member="W_dec")
    expect("safetensors/several.safetensors", X.T, member="W_enc")
    refuse("safetensors/several.safetensors", "expected one tensor, got 3", "W_dec, W_enc, b_dec")
    refuse("safetensors/several.safetensors", "[b_dec]", "[4]", member="b_dec")
    refuse("safetensors/several.safetensors", "`w_dec`", "W_dec", member="w_dec")


def parquet():
    def write(name, columns, **options):
        pq.write_table(pa.table(columns), here(f"parquet/{name}.parquet"), **options)

    fixed = pa.FixedSizeListArray.from_arrays(pa.array(X.ravel(), pa.float32()), D_IN)
    lists = pa.array(list(X), pa.list_(pa.float64()))
    write("fixed", {"id": list(range(ROWS)), "x": fixed}, compression="snappy")
    expect("parquet/fixed.parquet", X)
    write("variable", {"x": lists, "label": LABELS}, row_group_size=2, compression="zstd")
    expect("parquet/variable.parquet", X, labels=LABELS)
    for codec in ["none", "gzip", "lz4", "brotli"]:
        write(f"codec-{codec}", {"x": lists}, compression=codec, data_page_version="2.0")
        expect(f"parquet/codec-{codec}.parquet", X)
    unsigned = np.array([0, 1, 2**31, 2**32 - 1, 7, 9], np.uint32)
    huge = np.array([0, 1, 2**63, 2**64 - 1, 7, 9], np.uint64)
    columns = {
        "a": X[:, 0].astype("f4"),
        "word": pa.array(LABELS).dictionary_encode(),
        "b": X[:, 1],
        "c": COUNTS[:, 0] - 100,
        "d": unsigned,
        "e": huge,
        "f": X[:, 2].astype("f2"),
        "g": (COUNTS[:, 1] - 100).astype("i1"),
        # A date is no number to train on.
        "when": [datetime.date(2020, 1, day + 1) for day in range(ROWS)],
        "money": [decimal.Decimal("1.50")] * ROWS,
        "yes": COUNTS[:, 0] > 10,
    }
    write("columns", columns, row_group_size=4)
    flat = [columns[c].astype(np.float32) for c in "abcdefg"]
    flat += [np.full(ROWS, 1.5, np.float32), columns["yes"].astype(np.float32)]
    expect("parquet/columns.parquet", np.stack(flat, 1), labels=LABELS)
    expect("parquet/columns.parquet", columns["b"][:, None], labels=LABELS, member="b")
    frame = pd.DataFrame(X, columns=list("wxyz"), index=[3, 1, 4, 1, 5, 9]).assign(label=range(ROWS))
    frame.to_parquet(here("parquet/pandas-index.parquet"))
    expect("parquet/pandas-index.parquet", X, labels=[str(n) for n in range(ROWS)])
    write("two-lists", {"x": lists, "y": fixed})
    expect("parquet/two-lists.parquet", X, member="y")
    refuse("parquet/two-lists.parquet", "expected one column of lists of numbers, got `x`, `y`")
    write("strings", {"label": LABELS})
    refuse("parquet/strings.parquet", "expected a column of numbers")
    rows = [list(row) for row in X]
    for name, row, word in [
        ("null-row", None, "got null"),
        ("null-value", [1.0, None, 2.0, 3.0], "a null in the list"),
        ("empty-row", [], "got 0"),
        ("long-row", [1.0] * 5, "expected a list of 4 numbers as in the first row, got 5"),
    ]:
        broken = rows[:4] + [row] + rows[5:]
        write(name, {"x": pa.array(broken, pa.list_(pa.float32()))}, row_group_size=3)
        refuse(f"parquet/{name}.parquet", "row 4, column `x`", word)
    write("null-flat", {"x": [1.0, 2.0, None], "y": [1, 2, 3]})
    refuse("parquet/null-flat.parquet", "row 2, column `x`", "null")
    write("nan", {"x": [1.0, 2.0, float("inf")], "y": [1, 2, 3]})
    refuse("parquet/nan.parquet", "row 2, column `x`", "inf")


def images():
    # As large as a patch, so that there is one place to cut it from.
    grey = rng.integers(0, 256, (9, 7), np.uint8)
    colour = rng.integers(0, 256, (9, 7, 3), np.uint8)
    smooth = np.add.outer(np.arange(9) * 20, np.arange(7) * 10).astype(np.uint8)
    one = {"image_shape": [9, 7], "patch": [9, 7], "count": 1}
    Image.fromarray(grey).save(here("images/grey.png"))
    expect("images/grey.png", grey.reshape(1, -1), **one)
    Image.fromarray(colour).save(here("images/colour.png"))
    # Rec. 709 luma, to the nearest.
    luma = (colour @ np.array([2126, 7152, 722]) + 5000) // 10000
    expect("images/colour.png", luma.reshape(1, -1), **one)
    Image.fromarray(smooth).save(here("images/smooth.jpg"), quality=95)
    decoded = np.asarray(Image.open(HERE / "images/smooth.jpg"))
    # Decoders may round differently by one.
    expect("images/smooth.jpg", decoded.reshape(1, -1), tolerance=1, **one)
    both = np.stack([grey.ravel(), luma.ravel()])
    Image.fromarray(grey).save(here("folder-of-images/a.png"))
    Image.fromarray(colour).save(here("folder-of-images/b.png"))
    expect("folder-of-images", both, **{**one, "count": 2})
    expect("folder-of-images/*.png", both[[0, 0, 1]], **{**one, "count": 3})
    refuse("images/grey.png", "expected at least 8 x 8 pixels, got 9 x 7")
    here("images/not.png").write_text("no picture")
    refuse("images/not.png", "not a PNG or JPEG image")


def shards():
    np.save(here("shards/b.npy"), X[:2])
    np.savetxt(here("shards/c.csv"), X[2:3], delimiter=",")
    safetensors.numpy.save_file({"x": X[3:5]}, here("shards/d.safetensors"))
    pq.write_table(pa.table({"x": list(X[5:])}), here("shards/e.parquet"))
    here("shards/read-me.txt").write_text("no data, and passed over")
    refuse("shards", "files of one format", "1 csv, 1 npy, 1 parquet, 1 safetensors")
    refuse("shards/[bc].*", "files of one format", "1 csv, 1 npy")
    np.save(here("uneven/a.npy"), X)
    np.save(here("uneven/b.npy"), X[:, :3])
    refuse("uneven", "b.npy", "expected 4 as in", "a.npy", "got 3")
    refuse("shards/*.idx", "expected data files", "a pattern that matches no file")
    refuse("shards/read-me.txt", "text file", ".npy, .npz")
    refuse("nowhere.npy", "nowhere.npy")


def sparse():
    dense = np.round(np.maximum(X, 0) * 4) / 4
    dense[2] = 0
    csr = scipy.sparse.csr_matrix(dense)

    def keep(file, row_means=None):
        codes.append({"file": file, "dense": dense.ravel().tolist(), "d_sae": D_IN, "row_means": row_means or []})

    scipy.sparse.save_npz(here("codes/csr.npz"), csr)
    keep("codes/csr.npz")
    scipy.sparse.save_npz(here("codes/array.npz"), scipy.sparse.csr_array(csr.astype("f4")), compressed=False)
    keep("codes/array.npz")
    turned = csr.copy()
    for start, end in zip(turned.indptr, turned.indptr[1:]):
        turned.indices[start:end] = turned.indices[start:end][::-1].copy()
        turned.data[start:end] = turned.data[start:end][::-1].copy()
    turned.has_sorted_indices = False
    scipy.sparse.save_npz(here("codes/unsorted.npz"), turned)
    keep("codes/unsorted.npz")
    scipy.sparse.save_npz(here("codes/csc.npz"), csr.tocsc())
    rows = [(csr[i].indices.tolist(), csr[i].data.tolist()) for i in range(ROWS)]
    means = [float(np.float32(v)) for v in X[:, 0]]
    schema = pa.schema(
        [("indices", pa.list_(pa.int32())), ("values", pa.list_(pa.float32())), ("row_mean", pa.float32())],
        {"d_sae": str(D_IN)},
    )
    columns = {"indices": [r[0] for r in rows], "values": [r[1] for r in rows], "row_mean": means}
    pq.write_table(pa.table(columns, schema), here("codes/lists.parquet"), row_group_size=2)
    keep("codes/lists.parquet", means)
    arrays = {
        "indptr": csr.indptr.astype("i8"),
        "indices": csr.indices.astype("i8"),
        "data": csr.data.astype("f4"),
        "shape": np.array(csr.shape, "i8"),
    }
    safetensors.numpy.save_file(arrays, here("codes/csr.safetensors"))
    keep("codes/csr.safetensors")
    np.save(here("codes/dense.npy"), dense.astype("f4"))
    keep("codes/dense.npy")


for part in [npy, npz, csv, idx, tensors, parquet, images, shards, sparse]:
    part()
with open(here("expected.json"), "w") as out:
    lists = {"readable": readable, "refused": refused, "codes": codes}
    lines = [f'"{key}": [\n' + ",\n".join(map(json.dumps, rows)) + "\n]" for key, rows in lists.items()]
    out.write("{" + ",\n".join(lines) + "}\n")
