"""csv files as pandas, polars, DuckDB, NumPy, R and Excel write them."""

import csv
import gzip

import duckdb
import numpy as np
import pandas as pd
import polars as pl

from fixtures import LABELS, ROWS, TEXTS, X, here, read, refuse

FRAME = pd.DataFrame(X, columns=list("abcd"))
COLUMNS = "a b c d"


def text(name, content, encoding="utf-8"):
    here(f"csv/{name}").write_bytes(content.encode(encoding))
    return f"csv/{name}"


def lines(separator=",", comma=".", end="\n", rows=X):
    "The numbers of X as text."
    return "".join(separator.join(f"{v:g}".replace(".", comma) for v in row) + end for row in rows)


def write():
    pandas()
    delimiters()
    headers()
    comments()
    cells()
    lists()
    tools()
    doubtful()
    bad()


def pandas():
    FRAME.to_csv(here("csv/pandas.csv"), index=False)
    read("csv/pandas.csv", COLUMNS, X)
    FRAME.to_csv(here("csv/pandas-index.csv"))
    refuse("csv/pandas-index.csv", "line 1", "index=False")
    read("csv/pandas-index.csv", ["/id", *"abcd"], X, header=True)
    FRAME.set_axis([0.5, 0.25, 1.5, 2.0, 3.5, 8.0]).to_csv(here("csv/pandas-float-index.csv"))
    read("csv/pandas-float-index.csv", ["/id", *"abcd"], X, header=True)
    here("csv/unnamed.csv").write_text("a,,c\n1,2,3\n4,5,6\n")
    refuse("csv/unnamed.csv", "line 1, field 2", "empty field")
    FRAME.reset_index().rename(columns={"index": "Unnamed: 0"}).to_csv(
        here("csv/pandas-unnamed.csv"), index=False
    )
    read("csv/pandas-unnamed.csv", ["Unnamed: 0/id", *"abcd"], X)
    for name in ["id", "index", "idx", "row_id", "doc_id", "uuid", "key"]:
        if name in ["id", "doc_id"]:
            FRAME.set_index(pd.Index([10, 20, 5, 7, 1, 2], name=name)).to_csv(here(f"csv/{name}.csv"))
        else:
            FRAME.set_index(pd.Index(list("uvwxyz"), name=name)).to_csv(here(f"csv/{name}.csv"))
        read(f"csv/{name}.csv", f"{name}/id {COLUMNS}", X)
    read("csv/id.csv", f"id {COLUMNS}", np.column_stack([[10, 20, 5, 7, 1, 2], X]), columns=["id", *"abcd"])
    long = pd.DataFrame(np.arange(24.0).reshape(12, 2) / 8, columns=["a", "b"])
    long.assign(n=range(1, 13)).to_csv(here("csv/row-numbers.csv"), index=False)
    read("csv/row-numbers.csv", "a b n/id", long)
    labelled = FRAME.assign(label=LABELS, text=TEXTS, note=LABELS[::-1])
    labelled.to_csv(here("csv/labelled.csv.gz"), index=False, compression={"method": "gzip", "mtime": 0})
    read("csv/labelled.csv.gz", f"{COLUMNS} label/label text/text note/left-out", X, LABELS, TEXTS)
    labelled.to_csv(here("csv/labelled.tsv"), index=False, sep="\t")
    read("csv/labelled.tsv", f"{COLUMNS} label/label text/text note/left-out", X, LABELS, TEXTS)
    file = "csv/labelled.tsv"
    read(
        file,
        # Columns of data are listed in the order of their values.
        "c b/left-out a d/left-out label/label text/text note/left-out",
        X[:, [2, 0]],
        LABELS,
        TEXTS,
        columns=["c", "a"],
    )
    read(file, f"{COLUMNS} label/left-out text/text note/label", X, LABELS[::-1], TEXTS, label="note")
    read(file, "a b c d/left-out label/label text/text note/left-out", X[:, :3], LABELS, TEXTS, exclude=["d"])
    refuse(file, "nope", columns=["nope"])
    refuse(file, "nope", label="nope")
    gaps = FRAME.assign(Target=["ant", None, "bee", None, "", "fox"])
    gaps.to_csv(here("csv/label-gaps.csv"), index=False)
    read("csv/label-gaps.csv", f"{COLUMNS} Target/label", X, ["ant", "", "bee", "", "", "fox"])
    FRAME.assign(target=[3, 1, 4, 1, 5, 9]).to_csv(here("csv/label-ints.csv"), index=False)
    read("csv/label-ints.csv", f"{COLUMNS} target/label", X, list("314159"))
    FRAME.assign(target=["2020-01-31"] * ROWS).to_csv(here("csv/label-days.csv"), index=False)
    read("csv/label-days.csv", f"{COLUMNS} target/label", X, ["2020-01-31"] * ROWS)
    FRAME.assign(yes=X[:, 0] > 0, when=["2020-01-31"] * ROWS, note=LABELS).to_csv(
        here("csv/bools.csv"), index=False
    )
    read("csv/bools.csv", f"{COLUMNS} yes when/left-out note/left-out", np.column_stack([X, X[:, 0] > 0]))
    FRAME.to_csv(here("csv/quoted.csv"), index=False, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    read("csv/quoted.csv", COLUMNS, X)


def delimiters():
    names = {"semicolon": ";", "tab": "\t", "bar": "|", "blank": " "}
    for name, mark in names.items():
        read(text(f"{name}.csv", mark.join("abcd") + "\n" + lines(mark)), COLUMNS, X)
        read(text(f"{name}-bare.csv", lines(mark)), "0 1 2 3", X)
        crlf = text(f"{name}-crlf.csv", mark.join("abcd") + "\r\n" + lines(mark, end="\r\n"))
        read(crlf, COLUMNS, X)
    read(text("comma.csv", lines(";", ",")), "0 1 2 3", X)
    read(text("comma-header.csv", "a;b;c;d\n" + lines(";", ",")), COLUMNS, X)
    read(text("comma.tsv", "a\tb\tc\td\n" + lines("\t", ",")), COLUMNS, X)
    small = [[1.5e-5, -2.25e10], [0.5, 3]]
    read(text("comma-exponent.csv", "a;b\n1,5E-05;-2,25E+10\n0,5;3\n"), "a b", small)
    read(text("sep.csv", "sep=;\n" + lines(";")), "0 1 2 3", X)
    read(text("sep-header.csv", "sep=;\r\na;b;c;d\r\n" + lines(";", ",", "\r\n")), COLUMNS, X)
    # Points of thousands and commas of decimals: never 1.234.
    read(
        text("points.csv", "a;b\n1.234,5;2,5\n-12.345,25;1\n"),
        "a b",
        [[1234.5, 2.5], [-12345.25, 1]],
        None,
        None,
        ["line 2", "`a`"],
    )
    read(
        text("three-digits.csv", "a;b\n1,234;2,345\n-0,125;4,500\n"),
        "a b",
        [[1.234, 2.345], [-0.125, 4.5]],
        None,
        None,
        ["line 2"],
    )
    # Columns of blanks that align, as tools of scientists print them.
    aligned = "".join(" ".join(f"{v:10.3f}" for v in row) + "\n" for row in X)
    read(text("aligned.csv", aligned), "0 1 2 3", X)
    spaced = "a, b, c, d\n" + lines(", ")
    read(text("blank-after.csv", spaced), COLUMNS, X)
    read(text("one-column.csv", "a\n" + lines(rows=X[:, :1])), "a", X[:, :1])
    read(text("one-bare.csv", lines(rows=X[:, :1])), "0", X[:, :1])
    with_note = "note;a;b\n" + "".join(
        f'"Ja, {i}; nein";{row[0]:g};{row[1]:g}\n'.replace(".", ",") for i, row in enumerate(X)
    )
    read(text("comma-in-note.csv", with_note), "note/left-out a b", X[:, :2])


def headers():
    read(text("bare.csv", lines()), "0 1 2 3", X)
    for name, first in {
        "0-to-n": [0, 1, 2, 3],
        "1-to-n": [1, 2, 3, 4],
        "years": [2019, 2020, 2021, 2022],
    }.items():
        header = ",".join(map(str, first))
        file = text(f"header-{name}.csv", header + "\n" + lines())
        refuse(file, "line 1", "`data.header`")
        read(file, " ".join(map(str, first)), X, header=True)
        read(file, "0 1 2 3", np.vstack([first, X]), header=False)
    words = "".join(f"{row[0]:g},w{i},{row[1]:g}\n" for i, row in enumerate(X))
    file = text("mixed-first-line.csv", words)
    refuse(file, "line 1", "`data.header`")
    read(file, "0 1/left-out 2", X[:, :2], header=False)
    read(file, ["0", "1/label", "2"], X[:, :2], [f"w{i}" for i in range(ROWS)], header=False, label="1")
    for name, cell in {"na": "NA", "unknown": "?", "empty": "", "hex": "0x1F", "minus": "\u22121.5"}.items():
        refuse(text(f"first-{name}.csv", f"{cell},1,2.5\n3,4,5\n6,7,8\n"), "line 1")
    here("csv/bom.csv").write_bytes(b"\xef\xbb\xbfid,a,b\n7,1,2\n3,3,4.5\n")
    read("csv/bom.csv", "id/id a b", [[1, 2], [3, 4.5]])
    read(text("bom-bare.csv", "\ufeff" + lines()), "0 1 2 3", X)
    refuse(text("twice.csv", "a,b,a\n1,2,3\n4,5,6\n"), "line 1")
    read(text("no-last-end.csv", "a,b\n1,2\n3,4"), "a b", [[1, 2], [3, 4]])
    read(text("blank-lines.csv", "a,b\n1,2\n\n3,4\n\n"), "a b", [[1, 2], [3, 4]], None, None, ["line 3"])
    refuse(text("header-only.csv", "a,b\n"), "0 rows")


def comments():
    np.savetxt(here("csv/savetxt.csv"), X)
    read("csv/savetxt.csv", "0 1 2 3", X)
    np.savetxt(here("csv/savetxt-header.csv"), X, delimiter=",", header="a,b,c,d", fmt="%g")
    read("csv/savetxt-header.csv", None, X)
    np.savetxt(
        here("csv/savetxt-words.csv"),
        X,
        delimiter=",",
        header="made by a tool\nin mV",
        footer="the end",
        fmt="%g",
    )
    read("csv/savetxt-words.csv", "0 1 2 3", X)
    read(text("comment-header.csv", "# made, by\n# a tool\na,b,c,d\n" + lines()), COLUMNS, X)
    middle = lines(rows=X[:3]) + "# pause\n" + lines(rows=X[3:])
    read(text("comment-middle.csv", middle), "0 1 2 3", X, None, None, ["line 4"])
    # No comment: a column whose cells begin with the mark.
    tags = "tag,a,b\n" + "".join(f"#{i},{row[0]:g},{row[1]:g}\n" for i, row in enumerate(X))
    read(text("tags.csv", tags), "tag/left-out a b", X[:, :2], None, None, [])


def cells():
    refuse(text("thousands.csv", 'a,b\n1,2\n"1,234.5",3\n'), "line 3", "`a`")
    for name, cell in {
        "percent": "50%",
        "unit": "3 mV",
        "hex": "0x1F",
        "minus": "\u22121.5",
        "word": "five",
        "two-points": "1.2.3",
    }.items():
        refuse(text(f"cell-{name}.csv", f"a,b\n1,2\n3,4\n5,{cell}\n6,7\n"), "line 4", "`b`")
    for name, cell in {
        "empty": "",
        "na": "NA",
        "nan": "nan",
        "null": "NULL",
        "inf": "-inf",
        "huge": "1e999",
    }.items():
        file = text(f"gap-{name}.csv", f"a,b,label\n1,2,x\n3,4,y\n5,{cell},z\n6,7,w\n")
        refuse(file, "line 4", "`b`")
        read(file, "a b label/label", [[1, 2], [3, 4], [6, 7]], list("xyw"), skip_bad_rows=True)
    read(text("plus.csv", "a,b\n+1,1e3\n.5,-2.\n1E-2,-0\n"), "a b", [[1, 1000], [0.5, -2], [0.01, 0]])
    read(
        text("large.csv", "a,b\n9007199254740993,1\n123456789012345678901,2\n"),
        "a b",
        [[9007199254740993, 1], [123456789012345678901, 2]],
    )
    read(text("bools-lower.csv", "a,b\n1.5,true\n2,false\n"), "a b", [[1.5, 1], [2, 0]])
    read(text("bools-alone.csv", "p,q\nTrue,False\nFalse,False\n"), "p q", [[1, 0], [0, 0]])
    read(text("bools-upper.csv", "p,q\nTRUE,1\nFALSE,2\n"), "p q", [[1, 1], [0, 2]])
    # Zeros at the start are a code, such as a postcode.
    read(text("codes.csv", "zip,a\n01067,1\n80331,2\n"), None, [[1067, 1], [80331, 2]], None, None, ["zip"])


def lists():
    texts = [f"t{i}" for i in range(ROWS)]
    pd.DataFrame({"text": texts, "embedding": X.tolist()}).to_csv(here("csv/list.csv"), index=False)
    read("csv/list.csv", "text/text embedding", X, None, texts)
    pd.DataFrame({"embedding": X.tolist()}).to_csv(here("csv/list-alone.csv"), index=False)
    read("csv/list-alone.csv", "embedding", X)
    pd.DataFrame({"n": X[:, 0], "embedding": X.tolist(), "class": LABELS}).to_csv(
        here("csv/list-and-number.csv"), index=False
    )
    read("csv/list-and-number.csv", "n/left-out embedding class/label", X, LABELS)
    pd.DataFrame({"text": texts, "embedding": list(X)}).to_csv(here("csv/list-numpy.csv"), index=False)
    read("csv/list-numpy.csv", "text/text embedding", X, None, texts, ["embedding"])
    rows = X.tolist()
    for name, row in {"ragged": [1.0] * 3, "null": [1.0, None, 2.0, 3.0], "empty": []}.items():
        pd.DataFrame({"text": texts, "x": rows[:3] + [row] + rows[4:]}).to_csv(
            here(f"csv/list-{name}.csv"), index=False
        )
        refuse(f"csv/list-{name}.csv", "line 5", "`x`")
    refuse(text("list-cut.csv", 'text,x\nt0,"[1, 2]"\nt1,"[3, 4"\n'), "line 3", "`x`")
    two = pd.DataFrame({"x": X.tolist(), "z": X.tolist()})
    two.to_csv(here("csv/two-lists.csv"), index=False)
    refuse("csv/two-lists.csv", "x", "z", "`data.columns`")


def tools():
    frame = pl.from_pandas(FRAME).with_columns(yes=pl.Series([True, False] * 3), label=pl.Series(LABELS))
    rows = np.column_stack([X, [1, 0] * 3])
    frame.write_csv(here("csv/polars.csv"))
    read("csv/polars.csv", f"{COLUMNS} yes label/label", rows, LABELS)
    frame.write_csv(
        here("csv/polars-comma.csv"),
        separator=";",
        decimal_comma=True,
        include_bom=True,
        line_terminator="\r\n",
    )
    read("csv/polars-comma.csv", f"{COLUMNS} yes label/label", rows, LABELS)
    query = "SELECT n AS id, [n / 2, -n / 4] AS x, 'w' || n AS word FROM range(1, 7) r(n)"
    for name, options in {"duckdb": "", "duckdb-bar": ", DELIMITER '|'"}.items():
        duckdb.sql(f"COPY ({query}) TO '{here(f'csv/{name}.csv')}' (FORMAT csv, HEADER{options})")
        read(
            f"csv/{name}.csv",
            "id/id x word/label",
            [[n / 2, -n / 4] for n in range(1, 7)],
            [f"w{n}" for n in range(1, 7)],
        )
    query = "SELECT n / 8 AS a, n % 2 = 0 AS yes, n * 3 AS n FROM range(1, 7) r(n)"
    duckdb.sql(f"COPY ({query}) TO '{here('csv/duckdb.tsv')}' (FORMAT csv, HEADER, DELIMITER '\t')")
    read("csv/duckdb.tsv", "a yes n", [[n / 8, n % 2 == 0, n * 3] for n in range(1, 7)])
    # R: write.csv, write.csv2 and write.table.
    quoted = [f'"s{i}"' for i in range(ROWS)]
    body = [",".join(f"{v:g}" for v in row) for row in X]
    head = ",".join(f'"{name}"' for name in "abcd")
    joined = "".join(f"{row},{name}\n" for row, name in zip(body, quoted))
    read(
        text("r-write-csv.csv", f'{head},"class"\n{joined}'),
        f"{COLUMNS} class/label",
        X,
        [f"s{i}" for i in range(ROWS)],
    )
    numbered = "".join(f'"{i + 1}",{row}\n' for i, row in enumerate(body))
    refuse(text("r-row-names.csv", f'"",{head}\n{numbered}'), "line 1", "row.names=FALSE")
    semicolons = lines(";", ",")
    read(text("r-write-csv2.csv", head.replace(",", ";") + "\n" + semicolons), COLUMNS, X)
    table = "".join(f'"{i + 1}" {row}\n' for i, row in enumerate(lines(" ").splitlines()))
    # One name less than cells: the first column has the names of rows.
    read(text("r-write-table.csv", head.replace(",", " ") + "\n" + table), None, X, None, None, ["line 2"])
    # Excel: "CSV UTF-8" and "CSV" of a country with decimal commas, and "Unicode text".
    semicolons = lines(";", ",", "\r\n")
    read(text("excel-utf-8.csv", "\ufeffÄa;b;c;d\r\n" + semicolons), "Äa b c d", X)
    read(text("excel.csv", "a;b;c;d\r\n" + semicolons), COLUMNS, X)
    refuse(text("excel-latin-1.csv", "Größe;b;c;d\r\n" + semicolons, "latin-1"), "UTF-8")
    refuse(text("excel-unicode.csv", "a\tb\r\n1\t2\r\n", "utf-16"), "UTF-8")
    # Empty columns and lines at the end, left by deleted cells.
    read(
        text("excel-empty.csv", "a;b;;\r\n1,5;2;;\r\n3;4;;\r\n;;;\r\n"),
        None,
        [[1.5, 2], [3, 4]],
        None,
        None,
        ["line"],
    )


def doubtful():
    "Files that could be read in two ways."
    # A header of whole numbers above floats: wavelengths, years out of order, names that pandas counts.
    for name, head in [("wavelengths", "400,500,600,700"), ("years", "2020,2010,2000,1990"), ("pair", "7,8")]:
        rows = ["0.25,0.5,1.5,2.0", "0.75,1.0,2.5,3e-2"]
        width = head.count(",") + 1
        rows = "".join(",".join(row.split(",")[:width]) + "\n" for row in rows)
        refuse(text(f"head-{name}.csv", f"{head}\n{rows}"), "line 1", "`data.header`")
    read("csv/head-pair.csv", "0 1", [[7, 8], [0.25, 0.5], [0.75, 1]], header=False)
    read("csv/head-pair.csv", "7 8", [[0.25, 0.5], [0.75, 1]], header=True)
    read(text("head-none.csv", "1,2\n0.5,3\n4,0.25\n"), "0 1", [[1, 2], [0.5, 3], [4, 0.25]])
    refuse(text("head-frame.csv", ",0,1\n0,0.5,0.25\n1,0.75,1.5\n"), "line 1", "`data.header`")
    # Commas of thousands beside points of decimals.
    for name, mark in [("tab", "\t"), ("semicolon", ";"), ("bar", "|")]:
        rows = [["price", "weight"], ["1,200", "0.5"], ["2,300", "1.5"], ["850", "2.5"]]
        rows = "".join(mark.join(row) + "\n" for row in rows)
        refuse(text(f"thousands-{name}.csv", rows), "line 2", "`price`", "thousands separators")
    refuse(text("thousands-point.csv", "a;b\n1.234;5,5\n2.345;6,5\n"), "line 2", "thousands separators")
    # Lists that NumPy and PyTorch print, beside a column of numbers.
    for name, cell in [
        ("numpy", "[1. 2. ... 3. 4.]"),
        ("nested", "[[1, 2], [3, 4]]"),
        ("torch", "tensor([1., 2.])"),
        ("nan", "[1, nan]"),
    ]:
        refuse(text(f"cut-{name}.csv", f'e,s\n"{cell}",1\n"{cell}",2\n'), "line 2", "`e`", "every number")
    read("csv/cut-nan.csv", "e/left-out s", [[1], [2]], exclude=["e"])
    # Rows whose first word starts with the mark of a comment.
    read(text("token-mark.csv", "tok,a,b\n#,0.5,1\nthe,1.5,2\n"), "tok/left-out a b", [[0.5, 1], [1.5, 2]])
    read(text("row-off.csv", "a,b\n1,2\n#3,4\n5,6\n"), "a b", [[1, 2], [5, 6]])
    # A label that a pattern of columns names too.
    labelled = text("label-chosen.csv", "a,b,y\n0.5,1.5,7\n2.5,3.5,8\n")
    read(labelled, "a b y/label", [[0.5, 1.5], [2.5, 3.5]], ["7", "8"], columns=["*"], label="y")
    read(labelled, "b a y/label", [[1.5, 0.5], [3.5, 2.5]], ["7", "8"], columns=["b", "a", "y"], label="y")


def bad():
    refuse(text("short.csv", "a,b\n1,2\n3\n"), "line 3", "expected 2", "got 1")
    refuse(text("long.csv", "a,b\n1,2\n3,4,5\n"), "line 3", "expected 2", "got 3")
    refuse(text("no-numbers.csv", "note,word\nx,y\nz,w\n"), "note")
    refuse(text("quote.csv", 'a,b\n1,2\n"3,4\n5,6\n'), "line 3")
    refuse(text("html.csv", "<!DOCTYPE html>\n<html><body>404</body></html>\n"))
    cut = gzip.compress(("a,b\n" + "1,2\n" * 40).encode(), mtime=0)[:-12]
    here("csv/cut.csv.gz").write_bytes(cut)
    refuse("csv/cut.csv.gz")
