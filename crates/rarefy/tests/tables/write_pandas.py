"""Tables of pandas: parquet and feather, with every kind of index."""

import datetime
import decimal

import numpy as np
import pandas as pd

from fixtures import LABELS, ROWS, TEXTS, X, arrow, here, read, refuse

# Two columns keep the files small.
X = X[:, :2]
FRAME = pd.DataFrame(X, columns=["a", "b"])
DAYS = [datetime.date(2020, 1, day + 1) for day in range(ROWS)]


def parquet(name, frame, columns, expect=arrow, options={}, **how):
    frame.to_parquet(here(f"pandas/{name}.parquet"), **how)
    expect(f"pandas/{name}.parquet", columns, **options)


def write():
    index()
    types()
    labels()
    gaps()
    chosen()


def index():
    parquet("range-index", FRAME, "a b")
    parquet("index-unasked", FRAME, "a b __index_level_0__/id", index=True)
    parquet("index-filtered", FRAME.iloc[[0, 3, 4]], "a b __index_level_0__/id")
    named = FRAME.set_index(pd.Index([10, 20, 5, 7, 1, 2], name="id"))
    parquet("index-named-id", named, "a b id/id")
    parquet("index-named-freely", named.rename_axis("speed"), "a b speed/id")
    floats = FRAME.set_index(pd.Index(X[:, 0] + 0.5, name="time"))
    parquet("index-of-floats", floats, "a b time/id")
    words = FRAME.set_index(pd.Index(LABELS, name="animal"))
    parquet("index-of-words", words, "a b animal/id")
    days = FRAME.set_index(pd.DatetimeIndex(DAYS, name="day"))
    parquet("index-of-days", days, "a b day/id")
    two = FRAME.set_index(pd.MultiIndex.from_arrays([[7, 3] * 3, [0, 1, 5, 2, 3, 4]], names=["doc", "pos"]))
    parquet("multi-index", two, "a b doc/id pos/id")
    # The rows in another order than the index.
    sorted_ = FRAME.sort_values("b")
    parquet("index-sorted", sorted_, "a b __index_level_0__/id")
    parquet("index-stepped", FRAME.set_axis(pd.RangeIndex(3, 15, 2)), "a b")
    parquet("columns-of-numbers", pd.DataFrame(X), "0 1")
    FRAME[[]].set_index(pd.Index([3, 1, 4, 1, 5, 9], name="id")).to_parquet(
        here("pandas/index-alone.parquet")
    )
    refuse("pandas/index-alone.parquet", "id")
    FRAME.to_feather(here("pandas/frame.feather"))
    arrow("pandas/frame.feather", "a b")
    saved = FRAME.reset_index().rename(columns={"index": "Unnamed: 0"})
    parquet("saved-csv-index", saved, ["Unnamed: 0/id", "a", "b"])


def types():
    numpy = {}
    for kind in ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"]:
        info = np.iinfo(kind)
        numpy[kind] = np.array([info.min, info.max, 0, 1, info.max // 2, 3], kind)
    for kind in ["f2", "f4", "f8"]:
        numpy[kind] = X[:, 1].astype(kind)
    numpy["b1"] = X[:, 0] > 0
    wide = pd.DataFrame(numpy)
    parquet("types", wide, " ".join(numpy))
    wide.drop(columns="f2").to_feather(here("pandas/types.feather"))
    arrow("pandas/types.feather", " ".join(name for name in numpy if name != "f2"))
    nullable = pd.DataFrame(
        {
            "a": pd.array([1, 2, 3, -4, 5, 6], "Int16"),
            "b": pd.array(X[:, 0], "Float32"),
            "c": pd.array(X[:, 0] > 0, "boolean"),
            "d": pd.array(X[:, 1], "double[pyarrow]"),
        }
    )
    parquet("nullable", nullable, "a b c d")
    odd = FRAME.assign(
        when=pd.to_datetime(DAYS),
        zone=pd.to_datetime(DAYS, utc=True),
        day=DAYS,
        took=pd.to_timedelta([1, 2, 3, 4, 5, 6], unit="s"),
        month=pd.period_range("2020-01", periods=ROWS, freq="M").astype(str),
        raw=[b"\x00\x01"] * ROWS,
        price=[decimal.Decimal(n).scaleb(-2) for n in (150, -275, 0, 1, 99999, 12)],
        level=pd.Categorical([3, 1, 2, 3, 1, 2]),
        grade=pd.Categorical(list("bacbac")),
    )
    left = " ".join(f"{name}/left-out" for name in ["when", "zone", "day", "took", "month", "raw"])
    parquet("odd-types", odd, f"a b {left} price level grade/left-out")
    lists = pd.DataFrame({"n": range(ROWS), "embedding": list(X), "label": LABELS})
    parquet("list-column", lists, "n/left-out embedding label/label")
    nested = lists.assign(embedding=[[row] for row in X])
    parquet("list-in-list", nested, "n/left-out embedding label/label")
    dummies = pd.get_dummies(FRAME.assign(kind=list("abcabc")))
    parquet("dummies", dummies, "a b kind_a kind_b kind_c")
    structs = FRAME.assign(meta=[{"x": 1, "y": 2.5}] * ROWS)
    parquet("struct", structs, "a b meta/left-out")


def labels():
    ids = np.array([104, 99, 101, 103, 100, 7])
    parquet("label-words", FRAME.assign(label=LABELS)[["a", "label", "b"]], "a label/label b")
    parquet("label-ints", FRAME.assign(target=[3, 1, 4, 1, 5, 9], doc_id=ids), "a b target/label doc_id/id")
    parquet("label-bools", FRAME.assign(Label=X[:, 0] > 0), "a b Label/label")
    parquet("label-days", FRAME.assign(CLASS=DAYS), "a b CLASS/label")
    parquet("label-category", FRAME.assign(category=pd.Categorical(LABELS)), "a b category/label")
    gaps = ["ant", None, "bee", "ant", None, "été"]
    parquet("label-gaps", FRAME.assign(word=gaps), "a b word/label")
    parquet(
        "label-ints-gaps", FRAME.assign(labels=pd.array([1, None, 3, 1, None, 2], "Int8")), "a b labels/label"
    )
    both = FRAME.assign(text=TEXTS, title=LABELS, name=LABELS[::-1])
    parquet("texts", both, "a b text/text title/left-out name/label")
    several = FRAME.assign(word=LABELS, name=LABELS[::-1], category=range(ROWS))
    parquet("labels-several", several, "a b word/label name/left-out category/left-out")
    # A number is no text, and a word that is no label's name is left out.
    parquet("text-of-numbers", FRAME.assign(content=X[:, 0], note=LABELS), "a b content note/left-out")
    long = pd.DataFrame(np.arange(24.0).reshape(12, 2) / 8, columns=["a", "b"])
    parquet("row-numbers", long.assign(n=range(12), m=range(1, 13)), "a b n/id m/id")
    parquet("steps", long.assign(n=range(0, 24, 2)), "a b n")


def gaps():
    columns = "a b"
    FRAME.mask(FRAME == X[4, 1]).to_parquet(here("pandas/nan.parquet"))
    refuse("pandas/nan.parquet", "row 4", "`b`")
    rest = np.delete(X, 4, axis=0)
    read("pandas/nan.parquet", columns, rest, skip_bad_rows=True)
    FRAME.assign(n=pd.array([1, 2, None, 4, 5, 6], "Int32")).to_parquet(here("pandas/null-int.parquet"))
    refuse("pandas/null-int.parquet", "row 2", "`n`")
    read("pandas/null-int.parquet", "a b n/left-out", X, exclude=["n"])
    FRAME.assign(n=pd.array([True, None] * 3, "boolean")).to_parquet(here("pandas/null-bool.parquet"))
    refuse("pandas/null-bool.parquet", "row 1", "`n`")
    FRAME.replace(X[3, 1], np.inf).to_parquet(here("pandas/infinity.parquet"))
    refuse("pandas/infinity.parquet", "row 3", "`b`", "inf")
    labelled = FRAME.assign(label=LABELS, text=TEXTS).replace(X[1, 0], np.nan)
    labelled.to_parquet(here("pandas/nan-labelled.parquet"))
    keep = [row for row in range(ROWS) if row != 1]
    read(
        "pandas/nan-labelled.parquet",
        "a b label/label text/text",
        X[keep],
        [LABELS[row] for row in keep],
        [TEXTS[row] for row in keep],
        skip_bad_rows=True,
    )
    parquet("all-null", FRAME.assign(empty=None), "a b empty/left-out")
    FRAME[:0].to_parquet(here("pandas/no-rows.parquet"))
    refuse("pandas/no-rows.parquet", "0 rows")
    pd.DataFrame({"note": LABELS}).to_parquet(here("pandas/no-numbers.parquet"))
    refuse("pandas/no-numbers.parquet", "note")


def chosen():
    three = np.column_stack([X, X[:, 0] / 2])
    frame = pd.DataFrame(three, columns=list("abc")).assign(id=[3, 1, 4, 1, 5, 9], note=LABELS, label=TEXTS)
    name = "pandas/options.parquet"
    frame.to_parquet(here(name))
    rest = "id/id note/left-out label/label"
    arrow(name, f"a b c {rest}")
    read(name, f"c b/left-out a {rest}", three[:, [2, 0]], TEXTS, columns=["c", "a"])
    read(name, f"a b c/left-out {rest}", X, TEXTS, exclude=["c"])
    read(name, "a b c id/id note/label label/left-out", three, LABELS, label="note")
    read(name, "a b c id/id note/text label/label", three, TEXTS, LABELS, text="note")
    roles = "a b c id/label note/left-out label/left-out"
    read(name, roles, three, list("314159"), label="id")
    wanted = np.column_stack([three, frame["id"]])
    read(name, "a b c id note/left-out label/label", wanted, TEXTS, columns=["?", "id"])
    for option in ["columns", "exclude"]:
        refuse(name, "nope", **{option: ["nope"]})
    for option in ["label", "text"]:
        refuse(name, "nope", **{option: "nope"})
    refuse(name, "note", columns=["a", "note"])
