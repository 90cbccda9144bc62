"""Roles of the columns of an Arrow table, and their values: a second implementation to compare the reader with.

The rules are those of `crates/rarefy/src/data/table/roles.rs`. Arrow's Python reader gives the values.
"""

import json
import math

import pyarrow as pa
import pyarrow.types as types

LABELS = ["label", "labels", "class", "target", "word", "name", "category"]
TEXTS = ["text", "sentence", "prompt", "token", "content", "document", "review", "title"]
IDS = ["id", "idx", "index", "row", "row_id", "uuid", "guid", "key", "Unnamed: 0"]
# A shorter column of 0, 1, 2 ... may be data.
FEWEST_COUNTED = 10


class Refused(Exception):
    """The file has no rows of data that can be read; the arguments are words of the expected error."""


def plain(kind):
    "Type of the values of a column: that of the dictionary or extension behind it."
    while True:
        if types.is_dictionary(kind):
            kind = kind.value_type
        elif isinstance(kind, pa.BaseExtensionType) and not isinstance(kind, pa.UuidType):
            kind = kind.storage_type
        else:
            return kind


def is_text(kind):
    return types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)


def is_number(kind):
    return types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)


def is_list(kind):
    "True for lists of numbers or booleans, and lists of one such list."
    if not (types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)):
        return False
    inner = plain(kind.value_type)
    return is_number(inner) or types.is_boolean(inner) or is_list(inner)


def is_flat(kind):
    return not types.is_nested(kind)


def indexes(table):
    "Names of the columns that hold the index of a pandas frame."
    meta = table.schema.pandas_metadata or {}
    return {name for name in meta.get("index_columns", []) if isinstance(name, str)}


def classes(table):
    "Names of the classes of each column of type `ClassLabel`, as the `datasets` package stores them."
    stored = json.loads((table.schema.metadata or {}).get(b"huggingface", b"{}"))
    features = stored.get("info", {}).get("features", {})
    return {name: f["names"] for name, f in features.items() if f.get("_type") == "ClassLabel"}


def is_id_name(name):
    return name in IDS or name.endswith("_id") or name.startswith("__index_level_")


def counts(column):
    values = column.to_pylist()
    n = len(values)
    return n >= FEWEST_COUNTED and values in (list(range(n)), list(range(1, n + 1)))


def roles(table):
    "Role of each column, in the order of the file. Raises `Refused` if no columns are data."
    kinds = {field.name: plain(field.type) for field in table.schema}
    role = {}
    for name, kind in kinds.items():
        is_id = is_id_name(name) and name not in classes(table) and (types.is_integer(kind) or is_text(kind))
        if name in indexes(table) or is_id:
            role[name] = "id"
    numeric = [n for n, k in kinds.items() if is_number(k) or types.is_boolean(k) or is_list(k)]
    for names, found in ((LABELS, "label"), (TEXTS, "text")):
        fits = is_flat if found == "label" else is_text
        told = classes(table) if found == "label" else {}
        named = [n for n, k in kinds.items() if n not in role and (n in told or n.lower() in names and fits(k))]
        role |= dict.fromkeys(named, "left-out")
        role |= {name: found for name in named[:1]}
    data = [n for n in numeric if n not in role]
    lists = [n for n in data if is_list(kinds[n])]
    if len(lists) > 1:
        raise Refused("`data.columns`", *lists)
    counted = [n for n in data if types.is_integer(kinds[n]) and counts(table[n])]
    if not lists and len(counted) < len(data):
        role |= dict.fromkeys(counted, "id")
        data = [n for n in data if n not in counted]
    chosen = lists or data
    if not chosen:
        raise Refused()
    role |= dict.fromkeys(chosen, "data")
    return [(name, role.get(name, "left-out")) for name in kinds]


def flat(cell, name, row):
    "Numbers of one cell."
    if cell is None:
        raise Refused(f"`{name}`", f"row {row}")
    if isinstance(cell, list):
        return [v for inner in cell for v in flat(inner, name, row)]
    number = float(cell)
    if not math.isfinite(number):
        raise Refused(f"`{name}`", f"row {row}")
    return [number]


def values(table, names):
    "Rows of the named columns. Raises `Refused` for the first gap, number that is not finite, or list of another length."
    columns = {
        name: [flat(cell, name, row) for row, cell in enumerate(table[name].to_pylist())] for name in names
    }
    for name, cells in columns.items():
        for row, cell in enumerate(cells):
            if len(cell) != len(cells[0]) or not cell:
                raise Refused(f"`{name}`", f"row {row}")
    return [sum((columns[name][row] for name in names), []) for row in range(len(table))]


def words(table, names):
    "Labels or texts of the rows, empty where one is missing; None without such a column."
    if not names:
        return None
    cells = table[names[0]].to_pylist()
    if names[0] in classes(table):
        # -1 is a missing label.
        cells = [None if cell in (None, -1) else classes(table)[names[0]][cell] for cell in cells]
    return ["" if cell is None else word(cell) for cell in cells]


def word(cell):
    return str(cell).lower() if isinstance(cell, bool) else str(cell)


def content(table):
    "Content of a table by the rules, as `expected.json` keeps it."
    chosen = roles(table)
    if not len(table):
        raise Refused("0 rows")
    pick = lambda role: [name for name, of in chosen if of == role]
    rows = values(table, pick("data"))
    return {
        "columns": chosen,
        "rows": rows,
        "labels": words(table, pick("label")),
        "texts": words(table, pick("text")),
    }
