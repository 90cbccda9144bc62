"""Tables of pyarrow: types, encodings, pages, compressions and row groups of parquet, Arrow files and streams."""

import datetime
import decimal

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq

from fixtures import LABELS, ROWS, TEXTS, X, arrow, here, load, refuse

F4 = X.astype("f4")
LISTS = pa.array(list(F4), pa.list_(pa.float32()))


def parquet(name, columns, expected, may_refuse=None, **how):
    pq.write_table(pa.table(columns), here(f"pyarrow/{name}.parquet"), **how)
    arrow(f"pyarrow/{name}.parquet", expected, may_refuse)


def stream(name, columns, expected, may_refuse=None, step=None):
    "A file and a stream in the format of Arrow; `step` rows make one batch."
    table = columns if isinstance(columns, pa.Table) else pa.table(columns)
    for ending, new in [("arrow", pa.ipc.new_file), ("stream.arrow", pa.ipc.new_stream)]:
        with new(here(f"pyarrow/{name}.{ending}"), table.schema) as out:
            out.write_table(table, step)
        arrow(f"pyarrow/{name}.{ending}", expected, may_refuse)


def write():
    layouts()
    numbers()
    lists()
    others()
    words()
    broken()
    files()


def layouts():
    "The same table in each layout of parquet."
    plain = {"a": X[:, 0], "b": F4[:, 1], "n": [3, 1, 4, 1, 5, 9], "label": LABELS}
    named = "a b n label/label"
    for codec in ["none", "snappy", "gzip", "zstd", "lz4", "brotli"]:
        for version in ["1.0", "2.0"]:
            parquet(f"{codec}-{version[0]}", plain, named, compression=codec, data_page_version=version)
    for rows in [1, 4, 5]:
        parquet(f"groups-of-{rows}", plain, named, row_group_size=rows, write_page_index=rows == 4)
    parquet("version1", plain, named, version="1.0", store_schema=False)
    bare = {"use_dictionary": False, "compression": "none"}
    split = {"a": "BYTE_STREAM_SPLIT", "b": "BYTE_STREAM_SPLIT"}
    parquet("split", plain, named, **bare, column_encoding=split)
    for text in ["DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"]:
        encodings = {"n": "DELTA_BINARY_PACKED", "label": text}
        parquet(text.lower().replace("_", "-"), plain, named, **bare, column_encoding=encodings)
    parquet(
        "split-int",
        {"a": pa.array([3, 1, 4, 1, 5, 9], pa.int32())},
        "a",
        **bare,
        column_encoding={"a": "BYTE_STREAM_SPLIT"},
    )
    parquet("bool-rle", {"a": X[:, 0] > 0, "b": X[:, 1]}, "a b", **bare, column_encoding={"a": "RLE"})
    parquet(
        "few-values",
        {"a": [1.5, -2.0] * 40, "n": [7, 7, 8, 9] * 20},
        "a n",
        data_page_size=16,
        row_group_size=50,
    )
    parquet(
        "no-schema",
        {**plain, "x": LISTS},
        "a/left-out b/left-out n/left-out label/label x",
        store_schema=False,
    )
    empty = pa.table(plain)
    with pq.ParquetWriter(here("pyarrow/empty-group.parquet"), empty.schema) as out:
        out.write_table(empty[:2])
        out.write_table(empty[:0])
        out.write_table(empty[2:])
    arrow("pyarrow/empty-group.parquet", named)


def decimals(kind):
    return pa.array([decimal.Decimal(n).scaleb(-2) for n in (150, -275, 0, 1, 99999, 12)], kind)


NUMBERS = {
    "dec32": decimals(pa.decimal32(7, 2)),
    "dec64": decimals(pa.decimal64(15, 2)),
    "dec128": decimals(pa.decimal128(30, 2)),
    "dec256": decimals(pa.decimal256(50, 2)),
    "scale": pa.array([decimal.Decimal(n * 1000) for n in (15, -27, 0, 1, 99, 12)], pa.decimal128(9, -3)),
}


def numbers():
    for name in ["dec32", "dec64", "dec128", "dec256"]:
        parquet(name, {"a": X[:, 0], "d": NUMBERS[name]}, "a d")
    stream("decimals", {"a": X[:, 0], **NUMBERS}, "a dec32 dec64 dec128 dec256 scale")
    kinds = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()]
    ends = {}
    for kind in kinds:
        low = 0 if str(kind)[0] == "u" else -(2 ** (kind.bit_width - 1))
        ends[str(kind)] = pa.array([low, low + 2**kind.bit_width - 1, 1, 0, 5, 3], kind)
    for kind in [pa.float16(), pa.float32(), pa.float64()]:
        ends[str(kind)] = pa.array(X[:, 0].astype("f" + str(kind.bit_width // 8)), kind)
    ends["bool"] = pa.array(X[:, 0] > 0)
    parquet("types", ends, " ".join(ends))
    stream("types", ends, " ".join(ends), step=4)
    coded = {
        "f": pa.array([1.5, 2.5, 1.5, 0, 0, -1]).dictionary_encode(),
        "i": pa.array([7, 8, 7, 7, 2, 2]).dictionary_encode(),
    }
    parquet("dictionaries", coded, "f i")
    stream("dictionaries", coded, "f i")
    indices = pa.array([0, 1, 0, 2, 2, 1], pa.uint8())
    small = {"f": pa.DictionaryArray.from_arrays(indices, pa.array([1.5, 2.5, 0.0]))}
    stream("dictionary-uint8", small, "f")
    # Cut from a larger array, with bits of nulls that start inside a byte.
    whole = pa.table(
        {
            "a": pa.array([None, None, None, *X[:, 0]]),
            "b": pa.array([None, None, None, *(X[:, 1] > 0).tolist()]),
        }
    )
    stream("cut-out", whole[3:], "a b")
    parquet(
        "row-numbers",
        {"n": pa.array(range(1, 13), pa.int16()), "a": np.arange(12) / 4.0, "m": range(12)},
        "n/id a m/id",
    )


def lists():
    kinds = {
        "list": pa.list_(pa.float32()),
        "large-list": pa.large_list(pa.float64()),
        "fixed-list": pa.list_(pa.float32(), 4),
        "list-f16": pa.list_(pa.float16()),
    }
    ids = {"id": pa.array([3, 1, 4, 1, 5, 9]), "n": X[:, 0]}
    for name, kind in kinds.items():
        half = F4.astype("f2") if name == "list-f16" else F4
        columns = {**ids, "x": pa.array([list(row) for row in half], kind), "text": TEXTS}
        parquet(name, columns, "id/id n/left-out x text/text", row_group_size=4)
        stream(name, columns, "id/id n/left-out x text/text", step=4)
    whole = [[1, 2, 3], [-4, 5, 127], [0, 0, -128]]
    for kind in [pa.int8(), pa.int64()]:
        parquet(f"list-{kind}", {"x": pa.array(whole, pa.list_(kind))}, "x")
    parquet("list-uint8", {"x": pa.array([[1, 255], [0, 7]], pa.list_(pa.uint8(), 2))}, "x")
    parquet("list-bool", {"x": pa.array([[True, False], [True, True]])}, "x", ["x"])
    parquet("list-decimal", {"x": pa.array([[decimal.Decimal("1.25")], [decimal.Decimal("-2")]])}, "x", ["x"])
    one = {"x": pa.array([[list(row)] for row in F4], pa.list_(pa.list_(pa.float32()))), "label": LABELS}
    parquet("list-in-list", one, "x label/label", row_group_size=4)
    stream("list-in-list", one, "x label/label")
    fixed = pa.list_(pa.list_(pa.float32(), 4), 1)
    stream("fixed-in-fixed", {"x": pa.array([[list(row)] for row in F4], fixed)}, "x")
    stream("cut-list", pa.table({"x": LISTS})[2:], "x")
    tensor = pa.FixedShapeTensorArray.from_numpy_ndarray(F4)
    parquet("tensor", {"x": tensor}, "x", ["x"])
    words = pa.array([["a", "b"]] * ROWS)
    parquet("list-of-words", {"a": X[:, 0], "words": words}, "a words/left-out")


def others():
    days = [datetime.date(2020, 1, day + 1) for day in range(ROWS)]
    left = {
        "when": pa.array([1, 2, 3, 4, 5, 6], pa.timestamp("us")),
        "zone": pa.array([1, 2, 3, 4, 5, 6], pa.timestamp("ms", "Europe/Berlin")),
        "day": pa.array(days),
        "day64": pa.array(days, pa.date64()),
        "time": pa.array([1, 2, 3, 4, 5, 6], pa.time32("ms")),
        "time64": pa.array([1, 2, 3, 4, 5, 6], pa.time64("us")),
        "took": pa.array([1, 2, 3, 4, 5, 6], pa.duration("ms")),
        "raw": pa.array([b"\x01\x02"] * ROWS),
        "fixed": pa.array([b"\x01\x02"] * ROWS, pa.binary(2)),
        "empty": pa.nulls(ROWS),
        "point": pa.array([{"x": 1.0, "y": 2}] * ROWS),
        "map": pa.array([[("k", 1)]] * ROWS, pa.map_(pa.string(), pa.int32())),
        "note": pa.array(LABELS),
    }
    named = " ".join(f"{name}/left-out" for name in left)
    parquet("others", {"a": X[:, 0], **left, "b": X[:, 1]}, f"a {named} b")
    more = {
        **left,
        "large": pa.array(LABELS, pa.large_string()),
        "month": pa.array([(1, 2, 3)] * ROWS, pa.month_day_nano_interval()),
    }
    stream("others", {"a": X[:, 0], **more, "b": X[:, 1]}, f"a {named} large/left-out month/left-out b")
    union = pa.UnionArray.from_sparse(pa.array([0] * ROWS, pa.int8()), [pa.array([1, 2, 3, 4, 5, 6])])
    stream("union", {"a": X[:, 0], "u": union}, "a u/left-out", ["u"])
    # Numbers inside a struct or a map are no columns of data.
    pq.write_table(
        pa.table({"point": left["point"], "map": left["map"]}), here("pyarrow/nested-alone.parquet")
    )
    refuse("pyarrow/nested-alone.parquet", "point", "map")
    pq.write_table(
        pa.table({"took": left["took"], "when": left["when"]}), here("pyarrow/times-alone.parquet")
    )
    refuse("pyarrow/times-alone.parquet", "took", "when")


def words():
    kinds = {
        "string": pa.string(),
        "large": pa.large_string(),
        "coded": pa.dictionary(pa.int8(), pa.string()),
        "coded-large": pa.dictionary(pa.int32(), pa.large_string()),
    }
    gaps = ["ant", None, "bee", "", None, "été"]
    for name, kind in kinds.items():
        columns = {"a": X[:, 0], "label": pa.array(gaps).cast(kind), "text": pa.array(TEXTS).cast(kind)}
        parquet(f"words-{name}", columns, "a label/label text/text", row_group_size=4)
        stream(f"words-{name}", columns, "a label/label text/text", step=4 if "coded" not in name else None)
    view = {"a": X[:, 0], "label": pa.array([*LABELS[:5], "longer than twelve bytes"], pa.string_view())}
    stream("words-view", view, "a label/label", ["label"])
    numbers = {
        "i": pa.array([1, None, 3, 1, -2, 2], pa.int32()),
        "u": pa.array([1, 2, 2**64 - 1, 1, 0, 2], pa.uint64()),
    }
    for name, label in {**numbers, "bool": pa.array([True, None, False] * 2)}.items():
        stream(f"label-{name}", {"label": label, "a": X[:, 0]}, "label/label a")
    days = pa.array(
        [datetime.date(1969, 12, 31), None, *[datetime.date(2020, 2, 26 + day) for day in range(4)]]
    )
    parquet("label-days", {"target": days, "a": X[:, 0]}, "target/label a")
    stream("label-decimal", {"class": NUMBERS["dec128"], "a": X[:, 0]}, "class/label a", ["class"])
    # Dictionaries that change from batch to batch.
    parts = [pa.array(part).dictionary_encode() for part in (["ant", "bee"], ["bee", "cat", "bee"], ["ant"])]
    table = pa.table(
        {"label": pa.chunked_array(parts), "a": pa.chunked_array([X[:2, 0], X[2:5, 0], X[5:, 0]])}
    )
    with pa.ipc.new_stream(here("pyarrow/changing.stream.arrow"), table.schema) as out:
        out.write_table(table)
    arrow("pyarrow/changing.stream.arrow", "label/label a")


def broken():
    rows = [list(map(float, row)) for row in F4]
    for name, row in {
        "row": None,
        "value": [1.0, None, 2.0, 3.0],
        "empty": [],
        "long": [1.0] * 5,
        "nan": [1.0, float("nan"), 2.0, 3.0],
    }.items():
        table = pa.table(
            {"id": list("abcdef"), "x": pa.array(rows[:4] + [row] + rows[5:], pa.list_(pa.float32()))}
        )
        pq.write_table(table, here(f"pyarrow/bad-{name}.parquet"), row_group_size=3)
        refuse(f"pyarrow/bad-{name}.parquet", "row 4", "x")
        pa.feather.write_feather(table, here(f"pyarrow/bad-{name}.feather"), chunksize=3)
        refuse(f"pyarrow/bad-{name}.feather", "row 4", "x")
    two = pa.table({"x": LISTS, "z": LISTS, "a": X[:, 0]})
    pq.write_table(two, here("pyarrow/two-lists.parquet"))
    refuse("pyarrow/two-lists.parquet", "x", "z", "`data.columns`")
    for name, part in {
        "no-rows": pa.table({"a": X[:0, 0]}),
        "no-columns": pa.table({"a": X[:, 0]}).select([]),
    }.items():
        pq.write_table(part, here(f"pyarrow/{name}.parquet"))
        pa.feather.write_feather(part, here(f"pyarrow/{name}.feather"))
        for ending in ["parquet", "feather"]:
            refuse(f"pyarrow/{name}.{ending}", *["0 rows"][: len(part.schema)])
    flat = pa.table({"a": X[:, 0], "b": pa.array([1, 2, 3, None, 5, 6], pa.int16())})
    pa.feather.write_feather(flat, here("pyarrow/null.feather"))
    refuse("pyarrow/null.feather", "row 3", "`b`")
    coded = pa.table({"a": X[:, 0], "b": pa.array([1, 2, None, 1, 2, 1]).dictionary_encode()})
    pa.feather.write_feather(coded, here("pyarrow/null-coded.feather"))
    refuse("pyarrow/null-coded.feather", "row 2", "`b`")


def files():
    table = pa.table({"a": X[:, 0], "x": F4[:, 1], "label": LABELS})
    for codec in ["uncompressed", "lz4", "zstd"]:
        pa.feather.write_feather(table, here(f"pyarrow/{codec}.feather"), compression=codec, chunksize=4)
        arrow(f"pyarrow/{codec}.feather", "a x label/label")
    with pa.ipc.new_stream(here("pyarrow/empty-batches.stream.arrow"), table.schema) as out:
        for part in [table[:0], table[:2], table[2:2], table[2:], table[:0]]:
            for batch in part.to_batches() or [pa.RecordBatch.from_pylist([], table.schema)]:
                out.write_batch(batch)
    arrow("pyarrow/empty-batches.stream.arrow", "a x label/label")
    pa.feather.write_feather(table.drop(["label"]), here("pyarrow/version1.feather"), version=1)
    refuse("pyarrow/version1.feather", "Feather")
    assert load("pyarrow/lz4.feather").equals(table)
