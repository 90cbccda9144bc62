"""Packs the members of a wheel again by Zopfli, which takes a minute and makes them 4 % smaller; run by `cargo xtask wheel`.

Contents, names and the digests of RECORD stay; any unpacker of zip files reads the result. Usage: repack.py WHEEL
"""

import os
import sys
import zipfile

import zopfli.zlib


class Compressor:
    """Stands in for the object that `zipfile` gets from zlib."""

    def __init__(self):
        self.parts = []

    def compress(self, data):
        self.parts.append(bytes(data))
        return b""

    def flush(self):
        # As many blocks with codes of their own as help; by default fifteen, however long the file.
        packed = zopfli.zlib.compress(b"".join(self.parts), blocksplittingmax=0)
        # The stream of deflate lies between the header of zlib, two bytes, and its checksum of four.
        return packed[2:-4]


def compressor(kind, level=None):
    """Stands in for `zipfile._get_compressor`, the one place where `zipfile` chooses how to compress."""
    return Compressor() if kind == zipfile.ZIP_DEFLATED else None


def main(path):
    beside = path + ".new"
    zipfile._get_compressor = compressor
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(beside, "w") as new:
        for member in old.infolist():
            new.writestr(member, old.read(member))
    # Read back with the interpreter's own zlib.
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(beside) as new:
        if any(old.read(name) != new.read(name) for name in old.namelist()):
            raise SystemExit(f"{path}: a member of the packed wheel differs")
    os.replace(beside, path)


if __name__ == "__main__":
    main(sys.argv[1])
