"""Trains the same TopK autoencoder with rarefy and the released packages, and judges all by one measure.

The same activations (a .npy file, f32, [n, d]), steps, batch, k, latents and learning rate for all, each
one's own defaults for the rest. The last twentieth of the rows is held out. See README.md beside this file.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import torch
from topk import PEERS, ROOT, SAELens

HELD_OUT = 0.05
# Training rows that are looked at, beside those held out, before a latent is called dead.
DEAD_ROWS = 50_000
# How near a peer's own reconstruction must be to the one that is measured here.
AGREEMENT = 1e-3


def codes(weights, x, k):
    """What all of them compute at inference: ReLU and the k largest of a row."""
    w_enc, b_enc, _, b_dec = weights
    return torch.topk(torch.relu((x - b_dec) @ w_enc + b_enc), k, dim=-1, sorted=False)


def decoded(weights, top):
    _, _, w_dec, b_dec = weights
    return torch.einsum("nk,nkd->nd", top.values, w_dec[top.indices]) + b_dec


@torch.no_grad()
def judged(weights, train, held_out, k):
    """Explained variance and L0 over the rows held out; latents that fire for no row at all."""
    error = spread = fired = 0.0
    mean = torch.from_numpy(held_out.mean(0, dtype=np.float64)).float()
    alive = torch.zeros(len(weights[1]), dtype=torch.bool)
    for rows, measured in ((held_out, True), (train[:DEAD_ROWS], False)):
        for at in range(0, len(rows), 1024):
            x = torch.from_numpy(np.ascontiguousarray(rows[at:at + 1024]))
            top = codes(weights, x, k)
            alive[top.indices[top.values > 0]] = True
            if measured:
                error += float((x - decoded(weights, top)).double().pow(2).sum())
                spread += float((x - mean).double().pow(2).sum())
                fired += int((top.values > 0).sum())
    return {"explained_variance": 1 - error / spread, "l0": fired / len(held_out), "dead": int((~alive).sum())}


def batches(train, batch, steps, seed):
    """Every row once an epoch, in a new order each; the rest that fills no batch is left for another epoch."""
    random = np.random.default_rng(seed)
    order = at = None
    for _ in range(steps):
        if order is None or at + batch > len(order):
            order, at = random.permutation(len(train)), 0
        # In rising order: a file on disk is read forwards.
        yield torch.from_numpy(train[np.sort(order[at:at + batch])])
        at += batch


def train_peer(who, train, arguments, seed):
    """A peer's weights at inference, in rarefy's layout."""
    # Short runs cannot hold a warm-up of 1000 steps.
    options = {} if PEERS[who] is SAELens else {"warmup": min(1000, arguments.steps // 5)}
    if PEERS[who] is SAELens:
        options["batch"] = arguments.batch
    peer = PEERS[who](train.shape[1], arguments.latents, arguments.k, steps=arguments.steps, lr=arguments.lr,
                      seed=seed, **options)
    for x in batches(train, arguments.batch, arguments.steps, seed):
        peer.step(x)
    with torch.no_grad():
        weights = tuple(part.detach().clone().contiguous() for part in peer.weights())
        # The weights say the same to our reading as to the peer's own.
        x = torch.from_numpy(train[:256])
        own, ours = peer.reconstruct(x), decoded(weights, codes(weights, x, arguments.k))
        off = float((own - ours).norm() / own.norm())
    if not off < AGREEMENT:
        raise SystemExit(f"{who}: its reconstruction and ours differ by {off:.1e}")
    return weights


def train_rarefy(train, arguments, seed):
    """`rarefy train` on a file of the training rows. All that is known here of its command line and its files."""
    from safetensors.torch import load_file

    with tempfile.TemporaryDirectory() as folder:
        data, run = pathlib.Path(folder) / "train.npy", pathlib.Path(folder) / "run"
        np.save(data, train)
        command = [arguments.rarefy, "train", data, "--arch", "topk", "--k", arguments.k, "--latents", arguments.latents,
                   "--steps", arguments.steps, "--batch", arguments.batch, "--lr", arguments.lr, "--seed", seed,
                   "--threads", arguments.threads, "--out", run]
        begun = time.perf_counter()
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
        seconds = time.perf_counter() - begun
        if done.returncode:
            raise SystemExit(f"rarefy: {done.stderr.strip()}")
        weights = load_file(run / "model" / "sae_weights.safetensors")
    return tuple(weights[name] for name in ("W_enc", "b_enc", "W_dec", "b_dec")), seconds


def scaled(data, how):
    if how == "none":
        return data
    # One number for all rows, so that a row's mean square is 1.
    return data / np.sqrt(np.mean([np.square(part, dtype=np.float64).mean() for part in data]), dtype=np.float32)


def spread(values, digits):
    middle = f"{statistics.mean(values):.{digits}f}"
    if len(values) == 1:
        return middle
    return f"{middle} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=pathlib.Path, help="activations: .npy, f32, [n, d]")
    parser.add_argument("--rarefy", default=str(ROOT / "target" / "release" / "rarefy"), help="the program")
    parser.add_argument("--peers", default=",".join(["rarefy", *PEERS]), help="who, by commas")
    parser.add_argument("--latents", type=int, default=4096)
    parser.add_argument("--k", type=int, default=32)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=2048)
    parser.add_argument("--lr", type=float, help="2e-4 / sqrt(latents / 16384) where not given, the packages' own rule")
    parser.add_argument("--scale", choices=("unit", "none"), default="unit",
                        help="unit: all values divided by one number, so that their mean square is 1")
    parser.add_argument("--seeds", type=int, default=1, help="runs of each")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    arguments.lr = arguments.lr or 2e-4 / (arguments.latents / 2**14) ** 0.5
    peers = arguments.peers.split(",")
    unknown = set(peers) - {"rarefy", *PEERS}
    if unknown:
        parser.error(f"--peers: expected some of rarefy, {', '.join(PEERS)}, got {', '.join(sorted(unknown))}")
    torch.set_num_threads(arguments.threads)

    data = np.load(arguments.data)
    if data.dtype != np.float32 or data.ndim != 2:
        raise SystemExit(f"{arguments.data}: expected f32 [n, d], got {data.dtype} {list(data.shape)}")
    data = scaled(data, arguments.scale)
    cut = round(len(data) * (1 - HELD_OUT))
    train, held_out = data[:cut], data[cut:]
    if len(train) < arguments.batch:
        raise SystemExit(f"{arguments.data}: expected at least {arguments.batch} rows to train on, got {len(train)}")
    results = {who: [] for who in peers}
    for seed in range(arguments.seeds):
        for who in peers:
            begun = time.perf_counter()
            if who == "rarefy":
                weights, seconds = train_rarefy(train, arguments, seed)
            else:
                weights = train_peer(who, train, arguments, seed)
                seconds = time.perf_counter() - begun
            result = judged(weights, train, held_out, arguments.k) | {"seconds": seconds}
            results[who].append(result)
            print(f"{who}, seed {seed}: {result}", file=sys.stderr)

    settings = {name: getattr(arguments, name) for name in ("latents", "k", "steps", "batch", "lr", "scale", "threads")}
    settings |= {"data": arguments.data.name, "rows": len(train), "held_out": len(held_out), "d_in": data.shape[1]}
    if arguments.json:
        print(json.dumps(settings | {"who": results}))
        return
    print(f"{arguments.data.name}, {len(train)} rows of {data.shape[1]}, {len(held_out)} held out; {arguments.latents} "
          f"latents, k = {arguments.k}, {arguments.steps} steps of {arguments.batch}, learning rate {arguments.lr:.2g}, "
          f"runs of each: {arguments.seeds}\n")
    print("| who | explained variance, held out | mean L0 | dead latents | seconds |\n|---|--:|--:|--:|--:|")
    for who, got in results.items():
        columns = [spread([one[name] for one in got], digits)
                   for name, digits in (("explained_variance", 4), ("l0", 2), ("dead", 0), ("seconds", 0))]
        print(f"| {who} | " + " | ".join(columns) + " |")


if __name__ == "__main__":
    main()
