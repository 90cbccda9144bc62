"""Peak memory of two runs that a machine must bear.

kl: trains on a 4 GB .npy of uniform numbers in FOLDER with the exact rho_hat, 2 iterations of L-BFGS. Fails
if it takes 1 GB or more: data must not have to fit in memory.

topk: trains 65,536 latents on 20,000 rows of that file, 20 steps and a checkpoint. Parameters, Adam's two
moments and the gradient are four times the parameters, the encoder's bytes another eighth of them; beside
that come the rows. Fails at five times the parameters: a checkpoint or a model that is written must not be
put together in memory first.

Each is the largest resident memory of the release build's process. All that was made is deleted. Needs
NumPy, 5 GB of disk and a minute or two.

Usage, from the root of the repository, after `cargo build --release`:
    python3 benches/memory.py FOLDER [kl|topk] [PROGRAM]
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np

PROGRAM = pathlib.Path(__file__).resolve().parents[1] / "target/release/rarefy"
ROWS, D_IN = 4_000_000, 256
# Rows written at a time: few, because a child counts what its parent held when it was started.
BLOCK = 10_000
LATENTS, TOPK_ROWS = 65_536, 20_000
PARAMETERS = 4 * (2 * LATENTS * D_IN + LATENTS + D_IN)
RUNS = {
    # Arguments, rows of the data, and bytes that it must stay below.
    "kl": ("--latents 64 --rho-estimate exact --steps 2", ROWS, 10**9),
    "topk": (f"--arch topk --latents {LATENTS} --rows {TOPK_ROWS} --steps 20", TOPK_ROWS, 5 * PARAMETERS),
}


def make(path, rows):
    """The header, then block after block: the array is never whole in memory."""
    generator = np.random.default_rng(0)
    header = {"descr": "<f4", "fortran_order": False, "shape": (rows, D_IN)}
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for _ in range(rows // BLOCK):
            file.write(generator.random((BLOCK, D_IN), dtype=np.float32).tobytes())


def train(program, path, arguments, run):
    """What the program says of its run, its largest resident memory, and its seconds from start to end."""
    words = [program, "train", path, *arguments.split(), "--out", run, "--json"]
    begin = time.perf_counter()
    child = subprocess.Popen(words, stdout=subprocess.PIPE)
    said = child.stdout.read()
    # Of this child alone: the largest of all children would be that of another run.
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"{' '.join(map(str, words))} ended with {child.returncode}")
    # Kilobytes on Linux, bytes on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    return json.loads(said), usage.ru_maxrss * unit, time.perf_counter() - begin


def main(folder, names, program):
    failed = []
    with tempfile.TemporaryDirectory(dir=folder, prefix="rarefy-memory-") as work:
        path = pathlib.Path(work) / "rows.npy"
        make(path, max(RUNS[name][1] for name in names))
        size = path.stat().st_size
        for name in names:
            arguments, _, limit = RUNS[name]
            summary, peak, seconds = train(program, path, arguments, pathlib.Path(work) / name)
            print(f"{name}: {summary['rows']} x {D_IN} of a file of {size / 1e9:.2f} GB, {summary['steps']} steps, "
                  f"{seconds:.0f} s: {peak / 1e6:.0f} MB resident at most, limit {limit / 1e6:.0f} MB")
            if peak >= limit:
                failed.append(name)
    if failed:
        sys.exit(f"too much memory: {', '.join(failed)}")


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 4 or not set(sys.argv[2:3]) <= set(RUNS):
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2:3] or list(RUNS), sys.argv[3] if len(sys.argv) > 3 else PROGRAM)
