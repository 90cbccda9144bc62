"""Tables of random schemas in `random.zip.gz`, with the content that `rules.py` and Arrow's Python reader give them.

`random.json` in the archive lists the files. Each table has up to seven columns of random types, names, nulls and order.
It is written as parquet or as an Arrow file or stream with a random layout.
"""

import datetime
import decimal
import io
import json
import random

import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq

import rules

TABLES = 150
NAMES = ["a", "b", "x1", "x2", "speed", "Temp (C)", "größe", "n", "value", "v.w", "A", "col 1"]
ODD = [
    "id",
    "doc_id",
    "uuid",
    "key",
    "label",
    "Label",
    "class",
    "name",
    "word",
    "text",
    "title",
    "prompt",
    "idx",
]
WORDS = ["ant", "bee, the", 'a "cat"', "", "été", "x\ny", "0", "null"]


def numbers(rng, kind, n):
    "Random values of a numeric type; each is an f32 or far from the middle between two."
    if pa.types.is_boolean(kind):
        return [rng.random() < 0.5 for _ in range(n)]
    if pa.types.is_decimal(kind):
        return [decimal.Decimal(rng.randrange(-9999, 9999)).scaleb(-2) for _ in range(n)]
    if pa.types.is_floating(kind):
        return [rng.randrange(-4000, 4000) / 8 + 0.0625 for _ in range(n)]
    low = 0 if str(kind).startswith("uint") else -(2 ** (kind.bit_width - 1))
    ends = [low, low + 2**kind.bit_width - 1]
    return [rng.choice(ends) if rng.random() < 0.2 else rng.randrange(0, 100) for _ in range(n)]


NUMERIC = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()]
NUMERIC += [
    pa.float16(),
    pa.float32(),
    pa.float64(),
    pa.float64(),
    pa.bool_(),
    pa.decimal128(9, 2),
    pa.decimal64(6, 2),
]
INTEGERS = NUMERIC[:8]
TEXT = [
    pa.string(),
    pa.large_string(),
    pa.dictionary(pa.int8(), pa.string()),
    pa.dictionary(pa.int32(), pa.string()),
]
OTHERS = [
    pa.timestamp("us"),
    pa.duration("ms"),
    pa.date32(),
    pa.time64("us"),
    pa.binary(),
    pa.null(),
    "struct",
    "map",
    "list of words",
]


def others(rng, kind, n):
    if kind == "struct":
        return pa.array([{"p": rng.random(), "q": 1} for _ in range(n)])
    if kind == "map":
        return pa.array([[("k", rng.random())] for _ in range(n)], pa.map_(pa.string(), pa.float64()))
    if kind == "list of words":
        return pa.array([["u", "v"]] * n)
    if pa.types.is_binary(kind):
        return pa.array([rng.randbytes(3) for _ in range(n)])
    if pa.types.is_null(kind):
        return pa.nulls(n)
    numbers = [rng.randrange(10**6) for _ in range(n)]
    return pa.array(numbers, pa.int32()).cast(kind) if kind == pa.date32() else pa.array(numbers, kind)


def lists(rng, n):
    "Lists of one length, one of four kinds; rarely nested."
    width = rng.randrange(1, 5)
    inner = rng.choice([pa.float16(), pa.float32(), pa.float64(), pa.int8(), pa.int64()])
    kind = rng.choice([pa.list_(inner), pa.large_list(inner), pa.list_(inner, width)])
    rows = [numbers(rng, inner, width) for _ in range(n)]
    if rng.random() < 0.15:
        return pa.array([[row] for row in rows], pa.list_(kind))
    return pa.array(rows, kind)


def column(rng, n, name):
    "Values for a column of this name."
    low = name.lower()
    chance = rng.random()
    if rules.is_id_name(name):
        kind = rng.choice(INTEGERS[:4] + TEXT[:2])
        if kind in INTEGERS:
            return pa.array([rng.randrange(100) for _ in range(n)], kind)
        return pa.array([f"r{rng.randrange(1000)}" for _ in range(n)], kind)
    if low in rules.LABELS:
        kind = rng.choice(TEXT + [pa.int16(), pa.uint64(), pa.bool_(), pa.date32(), pa.float64()])
    elif low in rules.TEXTS:
        kind = rng.choice(TEXT)
    elif chance < 0.62:
        kind = rng.choice(NUMERIC)
    elif chance < 0.72:
        kind = rng.choice(TEXT)
    elif chance < 0.84:
        return lists(rng, n)
    elif chance < 0.89:
        start = rng.choice([0, 1])
        return pa.array(range(start, start + n), rng.choice(INTEGERS))
    else:
        return others(rng, rng.choice(OTHERS), n)
    if kind in TEXT:
        words = pa.array([rng.choice(WORDS) for _ in range(n)])
        return words.cast(kind)
    if kind == pa.date32():
        return pa.array(
            [datetime.date(2000, 1, 1) + datetime.timedelta(rng.randrange(9000)) for _ in range(n)]
        )
    values = pa.array(numbers(rng, kind, n), kind)
    coded = not (pa.types.is_decimal(kind) or pa.types.is_boolean(kind) or kind == pa.float16())
    return values.dictionary_encode() if coded and rng.random() < 0.1 else values


def with_gaps(rng, array):
    "The column with some nulls."
    if pa.types.is_null(array.type):
        return array
    gone = [rng.random() < 0.3 for _ in range(len(array))]
    gone[rng.randrange(len(array))] = True
    keep = pa.array([None if g else i for i, g in enumerate(gone)], pa.int64())
    return array.take(keep)


def table(rng):
    n = rng.choice([1, 2, 3, 5, 8, 9, 10, 11, 14])
    count = rng.randrange(1, 8)
    names = rng.sample(NAMES, count)
    for at in range(count):
        if rng.random() < 0.22 and (odd := rng.choice(ODD)) not in names:
            names[at] = odd
    columns = {name: column(rng, n, name) for name in names}
    for name in names:
        # A gap in a label, text or column that is left out is common; in data it refuses the table.
        often = 0.4 if name.lower() in rules.LABELS + rules.TEXTS else 0.03
        if rng.random() < often:
            columns[name] = with_gaps(rng, columns[name])
    if rng.random() < 0.04:
        bad = [rng.choice([float("nan"), float("inf")]) if i == n // 2 else 0.5 * i for i in range(n)]
        columns[rng.choice(names)] = pa.array(bad)
    return pa.table(columns)


def indexed(rng, made):
    "The table with the metadata of a pandas frame, whose index is one of its columns."
    name = rng.choice(made.column_names)
    frame = made.select([name]).to_pandas()
    if frame[name].isna().any() or pa.types.is_nested(made.schema.field(name).type):
        return made
    if rng.random() < 0.5:
        made = made.rename_columns([old if old != name else "__index_level_0__" for old in made.column_names])
        name = "__index_level_0__"
    meta = {
        "index_columns": [name],
        "columns": [],
        "column_indexes": [],
        "creator": {"library": "pyarrow"},
        "pandas_version": pd.__version__,
    }
    return made.replace_schema_metadata({"pandas": json.dumps(meta)})


def written(rng, made):
    "Ending and bytes of the table in a random format and layout."
    out = io.BytesIO()
    form = rng.choice(["parquet", "parquet", "feather", "arrow"])
    if form == "parquet":
        rows = rng.choice([1, 3, 4, 100])
        pq.write_table(
            made,
            out,
            row_group_size=rows,
            compression=rng.choice(["none", "snappy", "zstd", "gzip"]),
            data_page_version=rng.choice(["1.0", "2.0"]),
            use_dictionary=rng.random() < 0.5,
            write_statistics=rng.random() < 0.2,
        )
    elif form == "feather":
        pa.feather.write_feather(
            made,
            out,
            compression=rng.choice(["uncompressed", "lz4", "zstd"]),
            chunksize=rng.choice([1, 4, 100]),
        )
    else:
        with pa.ipc.new_stream(out, made.schema) as writer:
            writer.write_table(made, rng.choice([1, 4, 100]))
    return form, out.getvalue()


def read_back(form, content):
    source = io.BytesIO(content)
    if form == "parquet":
        return pq.ParquetFile(source).read()
    return (pa.ipc.open_stream if form == "arrow" else pa.ipc.open_file)(source).read_all()


def unclear(made, chosen):
    "True if the rules leave open what the table is: no data, and numbers in columns of ids or labels."
    kinds = {field.name: rules.plain(field.type) for field in made.schema}
    numeric = {name for name, kind in kinds.items() if rules.is_number(kind) or pa.types.is_boolean(kind)}
    if chosen is None:
        return bool(numeric)
    counted = [name for name in numeric if pa.types.is_integer(kinds[name]) and rules.counts(made[name])]
    roles = dict(chosen)
    # A column that counts is an id if other data remains; a label or the only data may count too.
    return any(roles[name] != "id" for name in counted)


def bad_columns(made):
    "Number of columns of data with an unusable cell. With more than one, an error may name either."
    try:
        chosen = rules.roles(made)
    except rules.Refused:
        return 0
    count = 0
    for name, role in chosen:
        try:
            rules.values(made, [name] if role == "data" else [])
        except rules.Refused:
            count += 1
    return count


def expectation(made):
    "Content of the table, or words of its refusal; None if the rules do not decide."
    try:
        content = rules.content(made)
    except rules.Refused as refusal:
        if not refusal.args:
            return None if unclear(made, None) else {"refused": []}
        return None if bad_columns(made) > 1 else {"refused": list(refusal.args)}
    if unclear(made, content["columns"]):
        return None
    rows = content.pop("rows")
    return {**content, "d_in": len(rows[0]), "rows": len(rows), "values": sum(rows, [])}


def files():
    "Content of each file of the archive, by its name."
    rng = random.Random(14)
    listed, made = [], {}
    while len(listed) < TABLES:
        new = table(rng)
        if rng.random() < 0.15:
            new = indexed(rng, new)
        form, content = written(rng, new)
        expected = expectation(read_back(form, content))
        if expected is None:
            continue
        file = f"{len(listed):03}.{form}"
        listed.append({"file": file, **expected})
        made[file] = content
    lines = "[\n" + ",\n".join(map(json.dumps, listed)) + "\n]\n"
    return {"random.json": lines.encode(), **made}
