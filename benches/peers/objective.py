"""Times one full-batch cost and gradient of the lecture's objective: rarefy, PyTorch, NumPy.

All in f32, on the same made-up data and weights, with the same number of threads, in interleaved
rounds; the table shows medians. Costs and gradient norms must agree, or there is no table.

Each contender runs in a process of its own, so that its environment and its threads are its own,
and one runs at a time. See README.md beside this file.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
SIZES = [(10_000, 784, 196), (10_000, 64, 25)]
CONTENDERS = ["rarefy", "PyTorch", "PyTorch, compiled", "NumPy", "NumPy, in place"]
# Those of `rarefy bench objective`.
RHO, BETA, DECAY = 0.1, 3.0, 0.003
AGREEMENT = 1e-4
# Before each round the machine rests (threads of the one before may still spin), and each contender
# evaluates for so long before it is timed; `rarefy bench` warms itself up for as long.
REST_SECONDS = 0.5
WARM_UP_SECONDS = 0.3


def made_up(n, d_in, d_sae):
    """The data and weights of `rarefy bench objective`: sines of f32 arguments, rounded to f32."""
    def sines(count, factor):
        return np.sin((np.arange(count, dtype=np.float32) * np.float32(factor)).astype(np.float64))

    x = (0.5 + 0.5 * sines(n * d_in, 0.37)).astype(np.float32).reshape(n, d_in)
    flat = (0.05 * sines(2 * d_in * d_sae + d_in + d_sae, 0.73)).astype(np.float32)
    sizes = np.cumsum([d_sae * d_in, d_sae, d_sae * d_in])
    w_enc, b_enc, w_dec, b_dec = (part.copy() for part in np.split(flat, sizes))
    return x, w_enc.reshape(d_sae, d_in), b_enc, w_dec.reshape(d_sae, d_in), b_dec


# ---- NumPy, by hand, as the formulas are written ----

def blas(threads):
    """What NumPy multiplies with, after a check of its threads."""
    from threadpoolctl import threadpool_info

    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    if any(pool["num_threads"] != threads for pool in pools):
        raise SystemExit(f"expected BLAS on {threads} threads, got {pools}")
    kernels = ", ".join(f"{pool['internal_api']} {pool['version']} {pool.get('architecture')}" for pool in pools)
    return f"NumPy {np.__version__}, {kernels}"


class NumPy:
    def __init__(self, threads, size, _compiled):
        self.about = blas(threads)
        self.given = made_up(*size)

    def __call__(self):
        x, w_enc, b_enc, w_dec, b_dec = self.given
        n = np.float32(len(x))
        h = 1 / (1 + np.exp(-(x @ w_enc.T + b_enc)))
        x_hat = 1 / (1 + np.exp(-(h @ w_dec + b_dec)))
        rho_hat = h.mean(0)
        kl = RHO * np.log(RHO / rho_hat) + (1 - RHO) * np.log((1 - RHO) / (1 - rho_hat))
        cost = (0.5 * ((x_hat - x) ** 2).sum() / n + BETA * kl.sum()
                + 0.5 * DECAY * ((w_enc ** 2).sum() + (w_dec ** 2).sum()))
        output = (x_hat - x) * x_hat * (1 - x_hat) / n
        push = (BETA / n) * ((1 - RHO) / (1 - rho_hat) - RHO / rho_hat)
        hidden = (output @ w_dec.T + push.astype(np.float32)) * h * (1 - h)
        gradients = [hidden.T @ x + DECAY * w_enc, hidden.sum(0), h.T @ output + DECAY * w_dec, output.sum(0)]
        return float(cost), gradients


# ---- NumPy, by hand and tuned: buffers made once, every elementwise step in place ----

class NumPyInPlace:
    def __init__(self, threads, size, _compiled):
        self.about = blas(threads)
        self.given = made_up(*size)
        n, d_in, d_sae = size
        self.ones = np.ones(n, np.float32)
        self.h, self.hidden, self.slope = (np.empty((n, d_sae), np.float32) for _ in range(3))
        self.r, self.output, self.squares = (np.empty((n, d_in), np.float32) for _ in range(3))

    @staticmethod
    def sigmoid(z):
        np.negative(z, out=z)
        np.exp(z, out=z)
        z += 1
        np.reciprocal(z, out=z)

    def __call__(self):
        x, w_enc, b_enc, w_dec, b_dec = self.given
        h, r, output, hidden, slope = self.h, self.r, self.output, self.hidden, self.slope
        n = len(x)
        np.matmul(x, w_enc.T, out=h)
        h += b_enc
        self.sigmoid(h)
        np.matmul(h, w_dec, out=r)
        r += b_dec
        self.sigmoid(r)
        np.subtract(r, x, out=output)
        rho_hat = self.ones @ h / n
        kl = RHO * np.log(RHO / rho_hat) + (1 - RHO) * np.log((1 - RHO) / (1 - rho_hat))
        cost = (0.5 * np.vdot(output, output) / n + BETA * kl.sum()
                + 0.5 * DECAY * (np.vdot(w_enc, w_enc) + np.vdot(w_dec, w_dec)))

        output *= r
        np.subtract(1, r, out=self.squares)
        output *= self.squares
        output *= np.float32(1 / n)
        np.matmul(output, w_dec.T, out=hidden)
        hidden += np.float32(BETA / n) * ((1 - RHO) / (1 - rho_hat) - RHO / rho_hat).astype(np.float32)
        np.subtract(1, h, out=slope)
        slope *= h
        hidden *= slope
        gradients = [hidden.T @ x + DECAY * w_enc, self.ones @ hidden,
                     h.T @ output + DECAY * w_dec, self.ones @ output]
        return float(cost), gradients


# ---- PyTorch: the same objective, autograd's gradient ----

class PyTorch:
    def __init__(self, threads, size, compiled):
        import torch

        torch.set_num_threads(threads)
        blas = "MKL" if torch.backends.mkl.is_available() else "its own BLAS"
        self.about = f"PyTorch {torch.__version__}, {blas}, {torch.backends.cpu.get_cpu_capability()}"
        x, *weights = (torch.from_numpy(part) for part in made_up(*size))
        weights = [weight.requires_grad_() for weight in weights]

        def objective(x, w_enc, b_enc, w_dec, b_dec):
            h = torch.sigmoid(torch.nn.functional.linear(x, w_enc, b_enc))
            r = torch.sigmoid(torch.addmm(b_dec, h, w_dec))
            rho_hat = h.mean(0)
            kl = RHO * torch.log(RHO / rho_hat) + (1 - RHO) * torch.log((1 - RHO) / (1 - rho_hat))
            squared = torch.nn.functional.mse_loss(r, x, reduction="sum")
            return 0.5 * squared / len(x) + BETA * kl.sum() + 0.5 * DECAY * (w_enc.square().sum() + w_dec.square().sum())

        forward = torch.compile(objective) if compiled else objective

        def evaluate():
            cost = forward(x, *weights)
            return cost.item(), torch.autograd.grad(cost, weights)

        self.evaluate = evaluate

    def __call__(self):
        return self.evaluate()


def worker(who, threads, size):
    """Says what it is and what it computes, then answers each number of repeats with so many times."""
    kind = {"NumPy": NumPy, "NumPy, in place": NumPyInPlace}.get(who, PyTorch)
    contender = kind(threads, size, "compiled" in who)
    cost, gradients = contender()
    squares = sum(float(np.vdot(g, g)) for g in (np.asarray(g, dtype=np.float64).ravel() for g in gradients))
    print(json.dumps({"about": contender.about, "cost": cost, "gradient_norm": squares**0.5}), flush=True)
    for line in sys.stdin:
        begun = time.perf_counter()
        while time.perf_counter() - begun < WARM_UP_SECONDS:
            contender()
        seconds = []
        for _ in range(int(line)):
            start = time.perf_counter()
            contender()
            seconds.append(time.perf_counter() - start)
        print(json.dumps({"seconds": seconds}), flush=True)


# ---- The rounds ----

class Peer:
    """A worker process of this file."""

    def __init__(self, who, threads, size):
        # Settings that force an older kernel would slow a current NumPy down.
        environment = {key: value for key, value in os.environ.items()
                       if key not in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")}
        environment |= {name: str(threads) for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        command = [sys.executable, __file__, "--worker", who, "--threads", str(threads), "--size", *map(str, size)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        self.result = self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"a worker ended with exit code {self.process.wait()}")
        return json.loads(line)

    def round(self, repeats):
        self.process.stdin.write(f"{repeats}\n")
        self.process.stdin.flush()
        return self.answer()["seconds"]

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Rarefy:
    """The program, started anew each round; it warms itself up."""

    def __init__(self, program, threads, size):
        rows, d_in, latents = map(str, size)
        self.command = [program, "bench", "objective", "--json", "--rows", rows, "--d-in", d_in,
                        "--latents", latents, "--threads", str(threads)]
        self.peaks = []
        self.round(1)

    def round(self, repeats):
        output = subprocess.run([*self.command, "--repeats", str(repeats)], check=True, capture_output=True, text=True)
        self.result = json.loads(output.stdout)
        self.result["about"] = f"rarefy, {self.result['path']}"
        self.peaks.append(self.result["peak_gflops"])
        return self.result["seconds"]

    def close(self):
        pass


def disagreements(contenders):
    reference = contenders["rarefy"].result
    for who, contender in contenders.items():
        for what in ("cost", "gradient_norm"):
            got, want = contender.result[what], reference[what]
            if not abs(got / want - 1) < AGREEMENT:
                yield f"{who}: {what}: expected {want}, got {got}"


def measure(arguments, size):
    """Medians in seconds by contender, and the peak in GFLOP/s."""
    contenders = {"rarefy": Rarefy(arguments.rarefy, arguments.threads, size)}
    for who in CONTENDERS[1:]:
        try:
            contenders[who] = Peer(who, arguments.threads, size)
        except RuntimeError as error:
            if "compiled" not in who:
                raise
            print(f"{who}: left out, {error}", file=sys.stderr)
    for who, contender in contenders.items():
        result = contender.result
        print(f"{who}: {result['about']}; cost {result['cost']:.7g}, gradient norm {result['gradient_norm']:.7g}",
              file=sys.stderr)
    wrong = list(disagreements(contenders))
    if wrong:
        raise SystemExit("they do not compute the same:\n" + "\n".join(wrong))
    seconds = {who: [] for who in contenders}
    for number in range(arguments.rounds):
        # Each round begins with another one, so that none always runs on a rested machine.
        order = list(contenders)
        for who in order[number % len(order):] + order[:number % len(order)]:
            time.sleep(REST_SECONDS)
            seconds[who] += contenders[who].round(arguments.repeats)
    for contender in contenders.values():
        contender.close()
    return {who: statistics.median(all_of_them) for who, all_of_them in seconds.items()}, max(contenders["rarefy"].peaks)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rarefy", default=str(ROOT / "target" / "release" / "rarefy"), help="the program")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--repeats", type=int, default=7, help="evaluations a round")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        return worker(arguments.worker, arguments.threads, tuple(arguments.size))
    if not pathlib.Path(arguments.rarefy).exists():
        raise SystemExit(f"{arguments.rarefy} is not there: build it with `cargo build --release`")

    rows = []
    for size in SIZES:
        medians, peak = measure(arguments, size)
        n, d_in, d_sae = size
        for who, seconds in medians.items():
            # Five products of n x d_in x d_sae, two operations each.
            gflops = 10 * n * d_in * d_sae / seconds / 1e9
            rows.append(f"| {n}, {d_in} -> {d_sae} | {who} | {seconds * 1e3:.2f} | {seconds / medians['rarefy']:.2f} "
                        f"| {gflops:.0f} | {100 * gflops / peak:.0f} % of {peak:.0f} |")
    print(f"One full-batch cost and gradient, f32, {arguments.threads} threads, median of "
          f"{arguments.rounds} rounds of {arguments.repeats}:\n")
    print("| size | who | ms | times rarefy's | GFLOP/s | share of the f32 peak |\n|---|---|--:|--:|--:|--:|")
    print("\n".join(rows))
    return None


if __name__ == "__main__":
    main()
