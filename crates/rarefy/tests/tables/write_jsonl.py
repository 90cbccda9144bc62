"""JSON lines as pandas, polars, DuckDB and Python's json write them."""

import json

import duckdb
import pandas as pd
import polars as pl

from fixtures import LABELS, ROWS, TEXTS, X, here, read, refuse

NAMES = ["a", "b", "c", "d"]


def lines(name, rows):
    content = rows if isinstance(rows, str) else "".join(json.dumps(row) + "\n" for row in rows)
    here(f"jsonl/{name}.jsonl").write_text(content)
    return f"jsonl/{name}.jsonl"


def write():
    packages()
    kinds()
    bad()


def packages():
    frame = pd.DataFrame(X, columns=NAMES).assign(label=LABELS, text=TEXTS, note=LABELS)
    columns = "a b c d label/label text/text note/left-out"
    frame.to_json(here("jsonl/pandas.jsonl"), orient="records", lines=True)
    read("jsonl/pandas.jsonl", columns, X, LABELS, TEXTS)
    read(
        "jsonl/pandas.jsonl",
        columns.replace("a b c d", "c b/left-out a d/left-out", 1),
        X[:, [2, 0]],
        LABELS,
        TEXTS,
        columns=["c", "a"],
    )
    refuse("jsonl/pandas.jsonl", "nope", exclude=["nope"])
    frame.to_json(
        here("jsonl/pandas.jsonl.gz"),
        orient="records",
        lines=True,
        compression={"method": "gzip", "mtime": 0},
    )
    read("jsonl/pandas.jsonl.gz", columns, X, LABELS, TEXTS, [".jsonl.gz"])
    polars = pl.DataFrame(
        {"id": [3, 1, 4, 1, 5, 9], "emb": X.tolist(), "n": X[:, 0], "yes": [True, False] * 3, "class": LABELS}
    )
    polars.write_ndjson(here("jsonl/polars.ndjson"))
    read("jsonl/polars.ndjson", "id/id emb n/left-out yes/left-out class/label", X, LABELS)
    query = "SELECT n AS id, n / 8 AS a, n % 2 = 0 AS yes, {'x': n} AS point, 'w' || n AS name, DATE '2020-01-31' AS day FROM range(1, 7) r(n)"
    duckdb.sql(f"COPY ({query}) TO '{here('jsonl/duckdb.jsonl')}' (FORMAT json)")
    rows = [[n / 8, n % 2 == 0] for n in range(1, 7)]
    read(
        "jsonl/duckdb.jsonl",
        "id/id a yes point/left-out name/label day/left-out",
        rows,
        [f"w{n}" for n in range(1, 7)],
    )


def kinds():
    rows = [dict(zip(NAMES, map(float, row))) for row in X]
    read(lines("plain", rows), "a b c d", X)
    crlf = "".join(json.dumps(row) + "\r\n" for row in rows)
    read(lines("crlf", crlf), "a b c d", X)
    read(lines("no-last-end", crlf.rstrip()), "a b c d", X)
    read(lines("blank-lines", "\n".join(json.dumps(row) + "\n" for row in rows)), "a b c d", X)
    # Keys of a line in another order.
    turned = [row if i % 2 else dict(reversed(row.items())) for i, row in enumerate(rows, 1)]
    read(lines("order", turned), "a b c d", X)
    whole = [{"n": 1, "big": 2**40}, {"n": 2.5, "big": -1}, {"n": -3e2, "big": 0}]
    read(lines("ints-and-floats", whole), "n big", [[1, 2**40], [2.5, -1], [-300, 0]])
    read(lines("bools", [{"p": True, "q": False}, {"p": False, "q": False}]), "p q", [[1, 0], [0, 0]])
    vectors = [
        {"embedding": row.tolist(), "target": i % 2, "prompt": t} for i, (row, t) in enumerate(zip(X, TEXTS))
    ]
    labels = [str(i % 2) for i in range(ROWS)]
    read(lines("vectors", vectors), "embedding target/label prompt/text", X, labels, TEXTS)
    nested = [{"embedding": [row.tolist()]} for row in X]
    read(lines("list-in-list", nested), "embedding", X, None, None, ["embedding"])
    mixed = [
        {"id": f"d{i}", "meta": {"x": 1, "y": [2, 3]}, "v": [1.5, i], "tags": ["a", "b"]} for i in range(3)
    ]
    read(lines("objects", mixed), "id/id meta/left-out v tags/left-out", [[1.5, i] for i in range(3)])
    gaps = [{"a": 1.5, "label": "x"}, {"a": 2.5, "label": None}, {"a": 3.5, "label": "été\n"}]
    read(lines("label-gaps", gaps), "a label/label", [[1.5], [2.5], [3.5]], ["x", "", "été\n"])
    absent = [{"a": 1.5, "label": "x"}, {"a": 2.5}, {"a": 3.5, "label": "z"}]
    read(
        lines("label-absent", absent),
        "a label/label",
        [[1.5], [2.5], [3.5]],
        ["x", "", "z"],
        None,
        ["line 2", "label"],
    )
    read(
        lines("label-bools", [{"class": True, "a": 1}, {"class": False, "a": 2}]),
        "class/label a",
        [[1], [2]],
        ["true", "false"],
    )
    read(
        lines("row-numbers", [{"n": n, "a": n / 4} for n in range(12)]),
        "n/id a",
        [[n / 4] for n in range(12)],
    )


def bad():
    good = {"a": 1.5, "b": 2}
    for name, third, words in [
        ("missing-key", {"a": 1.5}, ["line 3", "`b`"]),
        ("null", {"a": None, "b": 2}, ["line 3", "`a`"]),
        ("nan", {"a": 1.5, "b": float("nan")}, ["line 3"]),
        ("infinity", {"a": 1.5, "b": float("-inf")}, ["line 3"]),
        ("word", {"a": 1.5, "b": "two"}, ["line 3", "`b`"]),
        ("list", {"a": 1.5, "b": [2]}, ["line 3", "`b`"]),
        ("new-key", {"a": 1.5, "b": 2, "c": 3}, ["line", "c"]),
        ("no-object", 7, ["line 3"]),
    ]:
        file = lines(name, [good, good, third, good])
        refuse(file, *words)
    read("jsonl/null.jsonl", "a b", [[1.5, 2]] * 3, skip_bad_rows=True)
    refuse(lines("huge", '{"a": 1}\n{"a": 1e999}\n'), "line 2")
    refuse(lines("cut", '{"a": 1}\n{"a": 2'), "line 2")
    # The last value of a key counts, as in Python.
    read(lines("twice", '{"a": 1, "a": 2}\n'), "a", [[2]], None, None, ["line 1", "a"])
    refuse(lines("ragged", [{"x": [1, 2]}, {"x": [1, 2, 3]}]), "line 2", "`x`")
    refuse(lines("null-in-list", [{"x": [1, 2]}, {"x": [1, None]}]), "line 2", "`x`")
    failed = [{"s": n, "e": [n, 1]} for n in range(5)] + [{"s": 5, "e": {"error": "rate limit"}}]
    refuse(lines("object-for-list", failed), "line 6", "`e`")
    refuse(lines("nulls-for-list", [*failed[:5], {"s": 5, "e": [None, None]}]), "line 6", "`e`")
    read(lines("mark", "\ufeff" + '{"a": 1}\n{"a": 2}\n'), "a", [[1], [2]])
    refuse(lines("two-lists", [{"x": [1, 2], "z": [3]}]), "x", "z", "`data.columns`")
    refuse(lines("no-numbers", [{"note": "x"}]), "note")
    refuse(lines("array", json.dumps([{"a": 1}, {"a": 2}], indent=1)), "line 1")
    here("jsonl/latin-1.jsonl").write_bytes('{"a": 1, "label": "é"}\n'.encode("latin-1"))
    refuse("jsonl/latin-1.jsonl", "line 1")
    deep = '{"a": 1, "m": ' + "[" * 5000 + "]" * 5000 + "}\n"
    refuse(lines("deep", deep), "line 1")
