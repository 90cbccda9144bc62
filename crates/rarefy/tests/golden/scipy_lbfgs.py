"""Golden numbers for L-BFGS: the cost that SciPy reaches from initial weights that we read too.

The lecture's objective and its gradient, written in NumPy (f64) from the formulas and not from our
code, checked by central differences and minimised by SciPy's L-BFGS-B. Writes `scipy_lbfgs.json`
and the initial weights `init-digits/` and `init-patches/` beside this file. MNIST is taken in if
its folder is given; otherwise its last numbers are kept. Its weights are too large to live here:
the test makes them by the same formula as `initial`, or they are written on request.

Needs numpy, scipy and safetensors. Usage, from the root of the repository:
    python crates/rarefy/tests/golden/scipy_lbfgs.py [--mnist data/fetched/mnist [--mnist-init FOLDER]]
"""

import argparse
import csv
import gzip
import hashlib
import json
import pathlib
import time

import numpy as np
import scipy
from safetensors.numpy import load_file, save_file
from scipy.optimize import minimize
from scipy.special import expit

HERE = pathlib.Path(__file__).resolve().parent
DATA = HERE.parents[1] / "data"
MNIST_SHA256 = "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
BLOCKS = ("W_enc", "b_enc", "W_dec", "b_dec")
ITERATIONS = 400
PAIRS = 20

# The digits' own settings; those of the Stanford exercises on patches and on MNIST.
CASES = {
    "digits": {"latents": 25, "rho": 0.1, "beta": 3.0, "weight_decay": 1e-3},
    "patches": {"latents": 25, "rho": 0.01, "beta": 3.0, "weight_decay": 1e-4},
    "mnist": {"latents": 196, "rho": 0.1, "beta": 3.0, "weight_decay": 3e-3},
}


def digits():
    """8x8 digits, all values together scaled to [0, 1]; the last column is the label."""
    with gzip.open(DATA / "digits" / "digits.csv.gz", "rt") as file:
        table = np.array([[float(v) for v in row] for row in csv.reader(file)])
    pixels = table[:, :64]
    return (pixels - pixels.min()) / (pixels.max() - pixels.min())


def pixels(residuals):
    """Patches from residuals: the inverse of `residuals` in the program that made the sample."""
    x = np.pad(residuals.astype(int), ((0, 0), (1, 0), (1, 0)))
    for row in range(1, 9):
        for column in range(1, 9):
            left, up, corner = x[:, row, column - 1], x[:, row - 1, column], x[:, row - 1, column - 1]
            if row == 1:
                predicted = left
            elif column == 1:
                predicted = up
            else:
                # The median is the smaller neighbour, the larger one, or the plane through all three.
                predicted = np.median([left, up, left + up - corner], axis=0).astype(int)
            x[:, row, column] = (x[:, row, column] + predicted) % 256
    return x[:, 1:, 1:]


def patches():
    """8x8 patches: each one's mean removed, cut at three standard deviations, to [0.1, 0.9]."""
    with gzip.open(DATA / "patches" / "patches.residuals.gz") as file:
        x = pixels(np.frombuffer(file.read(), np.uint8).reshape(-1, 8, 8)).reshape(-1, 64).astype(float)
    x = x - x.mean(axis=1, keepdims=True)
    x = np.clip(x, x.mean() - 3 * x.std(), x.mean() + 3 * x.std())
    return 0.1 + 0.8 * (x - x.min()) / (x.max() - x.min())


def mnist(folder, rows=10_000):
    """The first training images, pixels divided by 255."""
    raw = (folder / "train-images-idx3-ubyte").read_bytes()
    got = hashlib.sha256(raw).hexdigest()
    if got != MNIST_SHA256:
        raise SystemExit(f"{folder}: train-images-idx3-ubyte: expected sha256 {MNIST_SHA256}, got {got}")
    return np.frombuffer(raw, np.uint8, rows * 784, 16).reshape(rows, 784) / 255


def hashed(count):
    """Numbers in [-1, 1) from a hash of their place: exact, so any language makes the same."""
    h = np.arange(1, count + 1, dtype=np.uint64)
    for shift in (16, 15):
        h = (h ^ (h >> np.uint64(shift))) * np.uint64(0x9E3779B1) & np.uint64(0xFFFFFFFF)
    return ((h ^ (h >> np.uint64(16))) >> np.uint64(8)) / 2**23 - 1


def initial(d_in, d_sae):
    """The Stanford exercise's start: weights in (-r, r), biases zero. A latent's weights are neighbours."""
    u = np.sqrt(6 / (d_in + d_sae + 1)) * hashed(2 * d_in * d_sae)
    encoder, decoder = u.reshape(2, d_sae, d_in).astype(np.float32)
    return {"W_enc": np.ascontiguousarray(encoder.T), "b_enc": np.zeros(d_sae, np.float32),
            "W_dec": decoder, "b_dec": np.zeros(d_in, np.float32)}


def save_initial(folder, weights, case):
    """A model folder: `cfg.json` and `sae_weights.safetensors`."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, folder / "sae_weights.safetensors")
    d_in, d_sae = weights["W_enc"].shape
    options = {"rho": str(case["rho"]), "beta": str(case["beta"]), "weight_decay": str(case["weight_decay"]),
               "loss": "squared", "decoder": "sigmoid"}
    config = {"architecture": "kl", "d_in": d_in, "d_sae": d_sae, "dtype": "float32", "device": "cpu",
              "options": options}
    (folder / "cfg.json").write_text(json.dumps(config, indent=2) + "\n")


def flat(weights):
    return np.concatenate([weights[name].ravel() for name in BLOCKS]).astype(float)


def unflat(theta, n, k):
    """The lecture's W (n x k) and b, then V (k x n) and c."""
    w, b, v, c = np.split(theta, np.cumsum([n * k, k, k * n]))
    return w.reshape(n, k), b, v.reshape(k, n), c


def objective(theta, x, case):
    """1/m sum_i 1/2 |x_i - r_i|^2 + beta sum_l KL(rho || rho_hat_l) + lambda/2 (|W|^2 + |V|^2), and its gradient."""
    m, n = x.shape
    rho, beta, decay = case["rho"], case["beta"], case["weight_decay"]
    w, b, v, c = unflat(theta, n, case["latents"])
    h = expit(x @ w + b)
    r = expit(h @ v + c)
    rho_hat = h.mean(axis=0)
    kl = rho * np.log(rho / rho_hat) + (1 - rho) * np.log((1 - rho) / (1 - rho_hat))
    cost = (0.5 * np.sum((x - r) ** 2) / m + beta * kl.sum()
            + 0.5 * decay * (np.sum(w**2) + np.sum(v**2)))

    d_logit = (r - x) * r * (1 - r) / m
    slope = -rho / rho_hat + (1 - rho) / (1 - rho_hat)
    d_pre = (d_logit @ v.T + beta * slope / m) * h * (1 - h)
    gradient = [x.T @ d_pre + decay * w, d_pre.sum(axis=0), h.T @ d_logit + decay * v, d_logit.sum(axis=0)]
    return cost, np.concatenate([g.ravel() for g in gradient])


def check_gradient(theta, x, case, eps=1e-4):
    """Central differences at places spread over all blocks; the exercise asks for less than 1e-9."""
    n, k = x.shape[1], case["latents"]
    starts = np.cumsum([0, n * k, k, k * n])
    places = np.concatenate([start + np.arange(0, size, max(1, size // 12))
                             for start, size in zip(starts, (n * k, k, k * n, n))])
    _, gradient = objective(theta, x, case)
    step = np.zeros_like(theta)
    differences = np.empty(len(places))
    for at, place in enumerate(places):
        step[place] = eps
        differences[at] = (objective(theta + step, x, case)[0] - objective(theta - step, x, case)[0]) / (2 * eps)
        step[place] = 0
    off = np.linalg.norm(differences - gradient[places]) / np.linalg.norm(differences + gradient[places])
    if not off < 1e-9:
        raise SystemExit(f"the gradient is off by {off:.1e} against central differences")
    return off


def golden(name, x, folder):
    """Reads the initial weights back from their file and minimises from there."""
    case = CASES[name]
    weights = load_file(folder / "sae_weights.safetensors")
    theta = flat(weights)
    off = check_gradient(theta, x[:200], case)
    begin = time.perf_counter()
    # No early stop: both programs go through all their iterations.
    end = minimize(objective, theta, (x, case), method="L-BFGS-B", jac=True,
                   options={"maxcor": PAIRS, "maxiter": ITERATIONS, "maxfun": 10 * ITERATIONS, "ftol": 0, "gtol": 0})
    start_cost = objective(theta, x, case)[0]
    print(f"{name}: {start_cost:.6f} -> {end.fun:.6f} in {end.nit} iterations, {end.nfev} evaluations, "
          f"{time.perf_counter() - begin:.1f} s; gradient off by {off:.1e}; {end.message}")
    return {"rows": x.shape[0], "d_in": x.shape[1], **case, "decoder": "sigmoid", "loss": "squared",
            "maxcor": PAIRS, "maxiter": ITERATIONS, "start_cost": start_cost, "final_cost": end.fun,
            "iterations": end.nit, "evaluations": end.nfev, "numpy": np.__version__, "scipy": scipy.__version__}


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--mnist", type=pathlib.Path, help="folder with train-images-idx3-ubyte")
    arguments.add_argument("--mnist-init", type=pathlib.Path, help="folder for MNIST's initial weights")
    arguments = arguments.parse_args()

    path = HERE / "scipy_lbfgs.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    data = {"digits": digits(), "patches": patches()}
    folders = {name: HERE / f"init-{name}" for name in data}
    if arguments.mnist:
        data["mnist"] = mnist(arguments.mnist)
        folders["mnist"] = arguments.mnist_init or arguments.mnist / "init-mnist"
    for name, x in data.items():
        save_initial(folders[name], initial(x.shape[1], CASES[name]["latents"]), CASES[name])
        results[name] = golden(name, x, folders[name])
    path.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
