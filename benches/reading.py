"""Speed of reading each data format from the page cache.

    python3 benches/reading.py FOLDER

Writes about 900 MB to a new FOLDER (deleted at the end), builds the example `read_speed` and runs it on all files. Needs numpy
and pyarrow. Targets: 500 MB/s of f32 for npy and a column of lists in parquet, 50 MB/s of the file for csv.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parent.parent
WIDTH = 512
ROWS = 100_000_000 // 4 // WIDTH
# A csv file of this many rows has about 100 MB.
ROWS_OF_TEXT = 20_000


def make(folder):
    "Files of 100 MB of f32 in each format; returns their paths."
    x = np.random.default_rng(0).standard_normal((ROWS, WIDTH), np.float32)
    flat = pa.array(x.ravel())
    starts = pa.array(np.arange(0, x.size + 1, WIDTH, dtype=np.int32))
    lists = {
        "list": pa.ListArray.from_arrays(starts, flat),
        "fixed": pa.FixedSizeListArray.from_arrays(flat, WIDTH),
    }
    columns = pa.table({f"x{i}": np.ascontiguousarray(x[:, i]) for i in range(WIDTH)})
    np.save(folder / "x.npy", x)
    for name, array in lists.items():
        table = pa.table({"x": array})
        pq.write_table(table, folder / f"{name}.parquet", compression="snappy", use_dictionary=False)
        pq.write_table(table, folder / f"{name}-plain.parquet", compression="none", use_dictionary=False)
    # The default of pyarrow: dictionaries until they grow too large.
    pq.write_table(pa.table({"x": lists["list"]}), folder / "list-default.parquet")
    pq.write_table(columns, folder / "columns.parquet", use_dictionary=False)
    pa.feather.write_feather(
        pa.table({"x": lists["list"]}), folder / "list.feather", compression="uncompressed"
    )
    pa.csv.write_csv(columns[:ROWS_OF_TEXT], folder / "x.csv")
    return sorted(path for path in folder.iterdir() if path.is_file())


def main(folder):
    folder.mkdir(parents=True, exist_ok=False)
    try:
        files = make(folder)
        command = [
            "cargo",
            "run",
            "--release",
            "--quiet",
            "--package",
            "rarefy",
            "--example",
            "read_speed",
            "--",
        ]
        subprocess.run([*command, *map(str, files)], cwd=ROOT, check=True)
    finally:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
