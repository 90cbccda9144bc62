"""List of the fixtures with their expected content, and helpers that add to it."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq

import rules

HERE = Path(__file__).parent
FIXTURES = []

rng = np.random.default_rng(14)
ROWS = 6
# Numbers with few digits that f16 holds too.
X = rng.integers(-4000, 4000, (ROWS, 4)) / 8
LABELS = ["ant", "bee, the", 'a "cat"', "dog", "été", "fox"]
TEXTS = ["One.", "Two, or\nthree lines.", "", "Vier", "cinq", "six"]


def here(name):
    path = HERE / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def load(path):
    "Table of a parquet or Arrow file as pyarrow reads it."
    path = HERE / path
    if path.suffix == ".parquet":
        return pq.ParquetFile(path).read()
    with open(path, "rb") as file:
        if file.read(6) == b"ARROW1":
            return pa.ipc.open_file(path).read_all()
        file.seek(0)
        return pa.ipc.open_stream(file).read_all()


def with_roles(columns):
    "Names with their roles from `a id/id note/left-out`, or a list of such words; data if no role is given."
    parts = [word.rpartition("/") for word in (columns.split() if isinstance(columns, str) else columns)]
    return [(name, role) if slash else (role, "data") for name, slash, role in parts]


def numbers(rows):
    "Rows of f64."
    return np.asarray(rows, np.float64).reshape(len(rows), -1)


def add(file, columns, rows, labels=None, texts=None, refusal=None, options=None):
    rows = numbers(rows)
    content = {
        "file": file,
        "options": options,
        "rows": rows.shape[0],
        "d_in": rows.shape[1],
        "values": rows.ravel().tolist(),
        "labels": labels,
        "texts": texts,
        "columns": columns,
        "refused": refusal,
    }
    FIXTURES.append(
        {key: value for key, value in content.items() if value or key == "refused" and value == []}
    )


def read(file, named, rows, labels=None, texts=None, may_refuse=None, **options):
    """A file that must read as these rows.

    `named` has all columns with their roles, None to leave the roles open. `may_refuse` holds words of the error
    of a reader that refuses the file instead.
    """
    add(file, named and with_roles(named), rows, labels, texts, may_refuse, options)


def arrow(file, columns, may_refuse=None, table=None):
    "As `read`; pyarrow's reader gives the values, and the rules must give the same roles."
    table = load(file) if table is None else table
    chosen = with_roles(columns)
    pick = lambda role: [name for name, of in chosen if of == role]
    assert chosen == rules.roles(table), f"{file}: {chosen}\n{rules.roles(table)}"
    rows = rules.values(table, pick("data"))
    labels, texts = rules.words(table, pick("label")), rules.words(table, pick("text"))
    add(file, chosen, rows, labels, texts, may_refuse)


def refuse(file, *words, **options):
    "A file that must be refused in these words (and with its name)."
    FIXTURES.append(
        {"file": file, "options": options, "refused": words} if options else {"file": file, "refused": words}
    )
