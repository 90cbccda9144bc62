"""Makes the tables of this folder with the packages that users write them with.

Run as `python make.py` in this folder. Last run with Python 3.11, numpy 2.4.6, pandas 3.1.1, polars 2.1.0,
pyarrow 26.0.1, duckdb 2.0.1, fastparquet 2026.9.0 and datasets 5.2.0. All numbers are made up.

- `csv/`, `jsonl/`: texts. `packed.zip.gz`: folders of parquet and Arrow files, by the package that wrote them.
- `expected.json`: the content of each file. The role of each column is stated by hand; values are those of the package,
  or of pyarrow's reader. For parquet and Arrow files, `rules.py` derives the roles again, and both must agree.
- `random.zip.gz`: tables of random schemas with their content, by `corpus.py`.
"""

import gzip
import io
import json
import shutil
import zipfile

import corpus
import write_csv
import write_jsonl
import write_others
import write_pandas
import write_pyarrow
from fixtures import FIXTURES, HERE

PACKED = ["datasets", "duckdb", "fastparquet", "folders", "pandas", "polars", "pyarrow"]


def main():
    for folder in [*PACKED, "csv", "jsonl"]:
        shutil.rmtree(HERE / folder, ignore_errors=True)
    for module in [write_csv, write_jsonl, write_others, write_pandas, write_pyarrow]:
        module.write()
    with open(HERE / "expected.json", "w") as out:
        out.write("[\n" + ",\n".join(map(json.dumps, FIXTURES)) + "\n]\n")
    files = [file for folder in PACKED for file in (HERE / folder).rglob("*") if file.is_file()]
    pack("packed", {str(file.relative_to(HERE)): file.read_bytes() for file in sorted(files)})
    for folder in PACKED:
        shutil.rmtree(HERE / folder)
    pack("random", corpus.files())


def pack(name, files):
    """Archive of files, compressed as a whole, because the files are small and alike.

    No time of day is stored, so that the archive stays the same.
    """
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for path, content in files.items():
            archive.writestr(zipfile.ZipInfo(path), content)
    (HERE / f"{name}.zip.gz").write_bytes(gzip.compress(out.getvalue(), 9, mtime=0))


if __name__ == "__main__":
    main()
