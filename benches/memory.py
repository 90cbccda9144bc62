"""Peak memory of training on a file that is larger than what training may take.

Makes a 4 GB .npy of uniform numbers in FOLDER, trains on it with the exact rho_hat for 2 iterations
of L-BFGS through the release build, prints the largest resident memory of that process, and deletes
all it made. Fails if it is 1 GB or more. Needs NumPy, 4.1 GB of disk and a minute or two.

Usage, from the root of the repository, after `cargo build --release`:
    python3 benches/memory.py FOLDER
"""

import json
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np

PROGRAM = pathlib.Path(__file__).resolve().parents[1] / "target/release/rarefy"
ROWS, D_IN = 4_000_000, 256
# Rows written at a time: few, because a child counts what its parent held when it was started.
BLOCK = 10_000
LIMIT = 10**9


def make(path):
    """The header, then block after block: the array is never whole in memory."""
    generator = np.random.default_rng(0)
    header = {"descr": "<f4", "fortran_order": False, "shape": (ROWS, D_IN)}
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for _ in range(ROWS // BLOCK):
            file.write(generator.random((BLOCK, D_IN), dtype=np.float32).tobytes())


def train(path, run):
    """What the program says of its run, and the seconds that it took from start to end."""
    arguments = ["train", path, "--latents", "64", "--rho-estimate", "exact", "--steps", "2", "--out", run, "--json"]
    begin = time.perf_counter()
    done = subprocess.run([PROGRAM, *arguments], stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout), time.perf_counter() - begin


def main(folder):
    with tempfile.TemporaryDirectory(dir=folder, prefix="rarefy-memory-") as work:
        path = pathlib.Path(work) / "rows.npy"
        make(path)
        size = path.stat().st_size
        summary, seconds = train(path, pathlib.Path(work) / "run")
    # Kilobytes on Linux, bytes on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit
    print(f"{size / 1e9:.2f} GB, {summary['rows']} x {D_IN}, {summary['steps']} iterations, {seconds:.0f} s: "
          f"{peak / 1e6:.0f} MB resident at most")
    if peak >= LIMIT:
        sys.exit(f"expected less than {LIMIT / 1e6:.0f} MB")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
