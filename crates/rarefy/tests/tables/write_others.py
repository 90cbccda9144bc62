"""Tables of polars, DuckDB and fastparquet, data sets of the `datasets` package, and folders of several parts."""

import json

import datasets
import duckdb
import fastparquet
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq

from fixtures import LABELS, ROWS, TEXTS, X, arrow, here, load, read, refuse

F4 = X.astype("f4")


def write():
    polars()
    duck()
    fast()
    hugging_face()
    parts()


def polars():
    frame = pl.DataFrame(
        {
            "a": X[:, 0],
            "b": F4[:, 1],
            "i": pl.Series([3, 1, 4, 1, 5, 9], dtype=pl.Int16),
            "yes": X[:, 0] > 0,
            "price": pl.Series([150, -275, 0, 1, 999, 12]).cast(pl.Decimal(10, 2)),
            "day": pl.Series(["2020-01-02"] * ROWS).str.to_date(),
            "took": pl.Series([1, 2, 3, 4, 5, 6]).cast(pl.Duration("ms")),
            "at": pl.Series([1, 2, 3, 4, 5, 6]).cast(pl.Datetime("us")),
            "time": pl.Series([1, 2, 3, 4, 5, 6]).cast(pl.Time),
            "kind": pl.Series(list("abcabc"), dtype=pl.Categorical),
            "level": pl.Series(list("abcabc"), dtype=pl.Enum(["c", "b", "a"])),
            "nothing": pl.Series([None] * ROWS, dtype=pl.Null),
            "text": TEXTS,
            "label": ["ant", None, "bee", "", "ant", None],
        }
    )
    left = (
        "day/left-out took/left-out at/left-out time/left-out kind/left-out level/left-out nothing/left-out"
    )
    columns = f"a b i yes price {left} text/text label/label"
    frame.write_parquet(here("polars/frame.parquet"), row_group_size=4)
    arrow("polars/frame.parquet", columns)
    old = pl.CompatLevel.oldest()
    for name, compression, level in [
        ("plain", "uncompressed", old),
        ("lz4", "lz4", old),
        ("zstd", "zstd", old),
    ]:
        frame.write_ipc(here(f"polars/{name}.arrow"), compression=compression, compat_level=level)
        arrow(f"polars/{name}.arrow", columns)
    # Newest level: strings are string views.
    words = frame.select("a", "b", "text", "label")
    words.write_ipc(here("polars/views.arrow"))
    arrow("polars/views.arrow", "a b text/text label/label", ["label"])
    words.write_ipc_stream(here("polars/stream.arrow"), compat_level=old)
    arrow("polars/stream.arrow", "a b text/text label/label")
    for name, kind in [("list", pl.List(pl.Float32)), ("array", pl.Array(pl.Float32, 4))]:
        lists = pl.DataFrame(
            {"row": pl.Series([4, 2, 1, 3, 5, 0]), "emb": pl.Series(F4.tolist(), dtype=kind), "class": LABELS}
        )
        lists.write_parquet(here(f"polars/{name}.parquet"))
        arrow(f"polars/{name}.parquet", "row/id emb class/label")
        lists.write_ipc(here(f"polars/{name}.arrow"), compat_level=old)
        arrow(f"polars/{name}.arrow", "row/id emb class/label")
    struct = pl.DataFrame({"a": X[:, 0], "point": [{"x": 1.0, "y": 2.0}] * ROWS, "b": X[:, 1]})
    struct.write_parquet(here("polars/struct.parquet"))
    arrow("polars/struct.parquet", "a point/left-out b")
    pl.DataFrame({"a": [1.0, None, 3.0], "b": [1, 2, 3]}).write_parquet(here("polars/null.parquet"))
    refuse("polars/null.parquet", "row 1", "`a`")
    pl.DataFrame({"a": [1.0, 2.0, float("nan")], "b": [1, 2, 3]}).write_parquet(here("polars/nan.parquet"))
    refuse("polars/nan.parquet", "row 2", "`a`", "NaN")


def copy(name, query, columns, may_refuse=None, options=""):
    "A parquet file of DuckDB."
    path = here(f"duckdb/{name}.parquet")
    duckdb.sql(f"COPY ({query}) TO '{path}' (FORMAT parquet{options})")
    arrow(f"duckdb/{name}.parquet", columns, may_refuse)


def duck():
    rows = "range(1, 7) r(n)"
    integers = [
        "TINYINT",
        "SMALLINT",
        "INTEGER",
        "BIGINT",
        "UTINYINT",
        "USMALLINT",
        "UINTEGER",
        "UBIGINT",
        "HUGEINT",
    ]
    query = ", ".join(f"(n * 17 + 1)::{kind} AS {kind.lower()}" for kind in integers)
    numbers = "sin(n)::FLOAT AS f, cos(n) AS d, (n * 1.25)::DECIMAL(9, 2) AS dec, (n * -1.25)::DECIMAL(30, 2) AS wide, n % 2 = 0 AS yes"
    names = " ".join(kind.lower() for kind in integers) + " f d dec wide yes"
    copy("numbers", f"SELECT {query}, {numbers} FROM {rows}", names)
    copy(
        "numbers-v2",
        f"SELECT {query}, {numbers} FROM {rows}",
        names,
        options=", PARQUET_VERSION v2, CODEC zstd",
    )
    left = (
        "INTERVAL 1 DAY AS span, DATE '2020-01-01' AS day, TIMESTAMP '2020-01-01' AS at, TIMESTAMPTZ '2020-01-01' AS zone, "
        "TIME '12:00' AS clock, {'x': n, 'y': 2.5} AS point, MAP {'k': n} AS map, 'ab'::BLOB AS raw, "
        "printf('00000000-0000-0000-0000-%012d', n)::UUID AS ident, NULL AS nothing, "
        "CASE WHEN n % 2 = 0 THEN 'x' ELSE 'z' END::ENUM ('z', 'x') AS level"
    )
    named = ["span", "day", "at", "zone", "clock", "point", "map", "raw", "ident"]
    columns = "a " + " ".join(f"{name}/left-out" for name in named)
    # DuckDB gives a column of nulls a type of numbers.
    copy(
        "others",
        f"SELECT sin(n) AS a, {left} FROM {rows}".replace("NULL AS nothing, ", ""),
        f"{columns} level/left-out",
    )
    label = "CASE WHEN n = 3 THEN NULL ELSE 'w' || n END AS label"
    copy(
        "list",
        f"SELECT n AS id, [sin(n)::FLOAT, cos(n)::FLOAT] AS x, {label} FROM {rows}",
        "id/id x label/label",
        options=", ROW_GROUP_SIZE 2048",
    )
    copy(
        "array", f"SELECT {label}, [sin(n)::FLOAT, cos(n)::FLOAT]::FLOAT[2] AS x FROM {rows}", "label/label x"
    )
    for codec in ["snappy", "gzip", "lz4_raw", "brotli", "uncompressed"]:
        copy(codec, f"SELECT sin(n) AS a, n % 3 AS b FROM {rows}", "a b", options=f", CODEC {codec}")
    path = here("duckdb/gap.parquet")
    duckdb.sql(f"COPY (SELECT sin(n) AS a, CASE WHEN n <> 4 THEN n END AS b FROM {rows}) TO '{path}'")
    refuse("duckdb/gap.parquet", "row 3", "`b`")


def fast():
    frame = pd.DataFrame(
        {"a": X[:, 0], "b": F4[:, 1], "i": np.array([3, 1, 4, 1, 5, 9], "i1"), "yes": X[:, 0] > 0}
    )
    frame = frame.assign(
        label=LABELS,
        note=TEXTS,
        at=pd.to_datetime(["2020-01-01"] * ROWS),
        took=pd.to_timedelta([1] * ROWS, unit="s"),
    )
    columns = "a b i yes label/label note/left-out at/left-out took/left-out"
    for codec in ["SNAPPY", "GZIP", "ZSTD", "UNCOMPRESSED"]:
        fastparquet.write(here(f"fastparquet/{codec.lower()}.parquet"), frame, compression=codec, stats=False)
        arrow(f"fastparquet/{codec.lower()}.parquet", columns)
    fastparquet.write(here("fastparquet/int96.parquet"), frame, times="int96", stats=False)
    arrow("fastparquet/int96.parquet", columns)
    indexed = frame[["a", "b"]].set_index(pd.Index([10, 20, 5, 7, 1, 2], name="key"))
    fastparquet.write(here("fastparquet/index.parquet"), indexed, write_index=True)
    arrow("fastparquet/index.parquet", "key/id a b")
    coded = frame[["a", "b"]].assign(category=pd.Categorical(list("abcabc")))
    fastparquet.write(here("fastparquet/category.parquet"), coded, row_group_offsets=[0, 4])
    arrow("fastparquet/category.parquet", "a b category/label")
    whole = pd.DataFrame({"a": X[:, 0], "n": pd.array([1, 2, 3, 4, 5, 6], "Int32")})
    fastparquet.write(here("fastparquet/nullable.parquet"), whole)
    arrow("fastparquet/nullable.parquet", "a n")
    whole["n"] = pd.array([1, 2, 3, None, 5, 6], "Int32")
    fastparquet.write(here("fastparquet/gap.parquet"), whole)
    refuse("fastparquet/gap.parquet", "row 3", "`n`")
    # Parts with files of metadata beside them, which are no data.
    fastparquet.write(
        here("fastparquet/hive"),
        frame[["a", "b", "label"]],
        file_scheme="hive",
        row_group_offsets=[0, 2, 5],
        stats=False,
    )
    read("fastparquet/hive", "a b label/label", np.column_stack([X[:, 0], F4[:, 1]]), LABELS)


def hugging_face():
    datasets.disable_progress_bars()
    kinds = {"id": "int64", "vector": None, "label": "int64", "text": "string"}
    features = datasets.Features(
        {
            name: datasets.Value(kind) if kind else datasets.List(datasets.Value("float32"))
            for name, kind in kinds.items()
        }
    )
    content = {"id": [3, 1, 4, 1, 5, 9], "vector": F4.tolist(), "label": [0, 1, 0, 2, 1, 0], "text": TEXTS}
    whole = datasets.Dataset.from_dict(content, features=features)
    labels = [str(n) for n in content["label"]]
    columns = "id/id vector label/label text/text"
    save(whole, "two", 2)
    read("datasets/two", columns, F4, labels, TEXTS)
    read("datasets/two/data-00001-of-00002.arrow", columns, F4[3:], labels[3:], TEXTS[3:])
    # `state.json` gives the order of the shards.
    save(whole, "turned", 2)
    path = here("datasets/turned/state.json")
    state = json.loads(path.read_text())
    state["_data_files"].reverse()
    path.write_text(json.dumps(state, indent=2))
    turn = lambda rows: [*rows[3:], *rows[:3]]
    read("datasets/turned", columns, turn(list(F4)), turn(labels), turn(TEXTS))
    flat = datasets.Dataset.from_dict({"a": X[:, 0], "b": X[:, 1], "yes": X[:, 0] > 0})
    save(flat, "flat", 1)
    read("datasets/flat", "a b yes", np.column_stack([X[:, :2], X[:, 0] > 0]))
    few = whole.select([4, 0]).shuffle(seed=1)
    save(few, "chosen", 1)
    rows = few.with_format("numpy")["vector"]
    read("datasets/chosen", columns, np.stack(list(rows)), [str(n) for n in few["label"]], list(few["text"]))
    classes = datasets.Features(
        {
            "vector": datasets.List(datasets.Value("float32"), length=4),
            "label": datasets.ClassLabel(names=["no", "yes"]),
        }
    )
    named = datasets.Dataset.from_dict({"vector": F4.tolist(), "label": [0, 1, 0, 1, 1, 0]}, features=classes)
    save(named, "classes", 1)
    # The column holds the numbers of classes, the schema their names.
    read("datasets/classes", "vector label/label", F4, ["no", "yes", "no", "yes", "yes", "no"])
    features = datasets.Features(
        {
            "a": datasets.Value("float32"),
            "b": datasets.Value("float32"),
            # A name that is that of an id, were the type not that of a label.
            "kind_id": datasets.ClassLabel(names=["ant", "bee"]),
        }
    )
    kinds = {"a": X[:, 0], "b": X[:, 1], "kind_id": [0, 1, -1, None, 1, 0]}
    kinds = datasets.Dataset.from_dict(kinds, features=features)
    save(kinds, "kinds", 2)
    read("datasets/kinds", "a b kind_id/label", X[:, :2], ["ant", "bee", "", "", "bee", "ant"])
    kinds.to_parquet(here("datasets/kinds.parquet"))
    arrow("datasets/kinds.parquet", "a b kind_id/label")
    splits = datasets.DatasetDict({"train": flat, "test": flat})
    splits.save_to_disk(here("datasets/splits"))
    tidy(here("datasets/splits/train"))
    tidy(here("datasets/splits/test"))
    refuse("datasets/splits", "train", "test")
    read("datasets/splits/test", "a b yes", np.column_stack([X[:, :2], X[:, 0] > 0]))
    whole.to_parquet(here("datasets/saved.parquet"))
    arrow("datasets/saved.parquet", columns)
    whole.to_json(here("datasets/saved.jsonl"))
    read("datasets/saved.jsonl", columns, F4, labels, TEXTS)
    gone = json.loads(here("datasets/two/state.json").read_text())
    gone["_data_files"].append({"filename": "data-00002-of-00002.arrow"})
    save(flat, "missing-shard", 1)
    here("datasets/missing-shard/state.json").write_text(json.dumps(gone))
    refuse("datasets/missing-shard", "data-00000-of-00002.arrow")


def save(dataset, name, shards):
    dataset.save_to_disk(here(f"datasets/{name}"), num_shards=shards)
    tidy(here(f"datasets/{name}"))


def tidy(folder):
    "The fingerprint of a data set may differ from run to run."
    path = folder / "state.json"
    state = json.loads(path.read_text())
    state["_fingerprint"] = "0123456789abcdef"
    path.write_text(json.dumps(state, indent=2))


def parts():
    "Folders as Spark, Dask and macOS leave them."
    table = pa.table({"a": X[:, 0], "b": X[:, 1], "label": LABELS})
    for name, start, end in [("00000", 0, 2), ("00001", 2, 2), ("00002", 2, 6)]:
        path = here(f"folders/spark/part-{name}-0b7e4a1c-c000.snappy.parquet")
        pq.write_table(table[start:end], path, row_group_size=3)
    here("folders/spark/_SUCCESS").write_text("")
    here("folders/spark/.part-00000-0b7e4a1c-c000.snappy.parquet.crc").write_bytes(b"crc\x00\x01")
    read("folders/spark", "a b label/label", X[:, :2], LABELS)
    for number in [2, 10, 1]:
        start = {1: 0, 2: 1, 10: 4}[number]
        rows = table[start : {1: 1, 2: 4, 10: 6}[number]]
        pa.feather.write_feather(rows, here(f"folders/numbered/shard_{number}.feather"))
        here(f"folders/numbered/._shard_{number}.feather").write_bytes(b"\x00\x05\x16\x07")
    here("folders/numbered/.DS_Store").write_bytes(b"\x00\x00\x00\x01Bud1")
    read("folders/numbered", "a b label/label", X[:, :2], LABELS)
    read("folders/numbered/shard_*.feather", "a b label/label", X[:, :2], LABELS)
    table.to_pandas().to_csv(here("folders/mixed/a.csv"), index=False)
    pq.write_table(table, here("folders/mixed/b.parquet"))
    refuse("folders/mixed", "csv", "parquet")
    # Columns of the same width and other names are no shards of one table.
    pq.write_table(table, here("folders/renamed/1.parquet"))
    pq.write_table(table.rename_columns(["a", "z", "label"]), here("folders/renamed/2.parquet"))
    refuse("folders/renamed", "2.parquet", "z")
    # Columns are joined by name, or refused.
    pq.write_table(table[:4], here("folders/reordered/1.parquet"))
    pq.write_table(table[4:].select(["label", "b", "a"]), here("folders/reordered/2.parquet"))
    read("folders/reordered", "a b label/label", X[:, :2], LABELS, None, ["2.parquet"])
    assert load("folders/mixed/b.parquet").num_rows == ROWS
