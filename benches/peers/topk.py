"""Times one TopK training step: rarefy and the released packages SAELens, dictionary_learning and sparsify.

A step is all of it: encode, select, decode, loss, backward, what each does to gradients and decoder, Adam,
its schedule and its count of what fired. On the CPU, f32, the same shape and number of threads, in
interleaved rounds; the tables show medians. No latent counts as dead yet, so nobody computes AuxK.

Each peer runs in a process of its own, and one runs at a time. See README.md beside this file.
"""

import argparse
import functools
import json
import math
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import threading
import time

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
GRID = [(d_in, latents, k) for d_in in (256, 768, 2048) for latents in (4096, 16384, 65536, 131072)
        for k in (8, 32, 128)]
# Before each turn the machine rests: threads of the one before may still spin.
REST_SECONDS = 0.5
# What other processes may have of a core before a round is said to be disturbed.
QUIET = 0.1
# Batches that a peer goes through in turn.
BATCHES = 4
# A lane's time limit covers steps; a process may need so much longer to import its packages and begin.
START_SECONDS = 180


def made_up(rows, d_in, seed):
    """Rows as a language model's: sparse sums of many directions, a few strong, around a far centre."""
    random = np.random.default_rng(seed)
    dictionary = np.random.default_rng(0)
    directions = dictionary.standard_normal((4 * d_in, d_in), np.float32) / np.float32(math.sqrt(d_in))
    centre = 2 * dictionary.standard_normal(d_in, np.float32) / np.float32(math.sqrt(d_in))
    # Zipf's law: the i-th direction is used in proportion to 1 / (i + 10).
    often = 1 / (np.arange(len(directions)) + 10)
    x = np.empty((rows, d_in), np.float32)
    for at in range(0, rows, 256):
        part = x[at:at + 256]
        which = random.choice(len(directions), (len(part), 24), p=often / often.sum())
        much = random.exponential(size=which.shape).astype(np.float32)
        part[:] = np.einsum("nj,njd->nd", much, directions[which])
    x += 0.1 / math.sqrt(d_in) * random.standard_normal(x.shape, np.float32) + centre
    return x


# ---- The peers: each begins with a shape and takes steps on batches; `weights` are those of inference ----

class DictionaryLearning:
    """Its TopKTrainer: AuxK on (1/32), Adam, clip, unit decoder."""

    name = "dictionary_learning"

    def __init__(self, d_in, latents, k, steps, lr, seed, warmup=1000):
        from dictionary_learning.trainers.top_k import TopKTrainer

        self.trainer = TopKTrainer(steps=steps, activation_dim=d_in, dict_size=latents, k=k, layer=0, lm_name="none",
                                   lr=lr, warmup_steps=warmup, seed=seed, device="cpu")
        self.steps = 0

    def step(self, x):
        self.trainer.update(self.steps, x)
        self.steps += 1

    def weights(self):
        ae = self.trainer.ae
        return ae.encoder.weight.T, ae.encoder.bias, ae.decoder.weight.T, ae.b_dec

    def reconstruct(self, x):
        return self.trainer.ae(x)


class SAELens:
    """Its TopKTrainingSAE under its SAETrainer: AuxK on (1), Adam, clip; activations dense, as is its default."""

    name = "SAELens"

    def __init__(self, d_in, latents, k, steps, lr, seed, warmup=0, batch=4096):
        import torch
        from sae_lens import TopKTrainingSAE, TopKTrainingSAEConfig
        from sae_lens.config import LoggingConfig, SAETrainerConfig
        from sae_lens.training.sae_trainer import SAETrainer

        torch.manual_seed(seed)
        self.sae = TopKTrainingSAE(TopKTrainingSAEConfig(d_in=d_in, d_sae=latents, k=k, device="cpu"))
        # `lr_end` is what its runner sets; the constant schedule, its default, ignores it.
        config = SAETrainerConfig(total_training_samples=steps * batch, train_batch_size_samples=batch, lr=lr,
                                  lr_warm_up_steps=warmup, lr_end=lr / 10, logger=LoggingConfig(log_to_wandb=False))
        self.trainer = SAETrainer(config, self.sae, data_provider=iter(()))

    def step(self, x):
        # As its `fit` does, without its logging and checkpoints.
        self.trainer.maybe_reset_sparsity()
        self.trainer.step(x)
        self.trainer.n_training_steps += 1

    def weights(self):
        # Its own way from training to inference, which folds the decoder's norms in.
        state = {name: part.detach().clone() for name, part in self.sae.state_dict().items()}
        self.sae.process_state_dict_for_saving_inference(state)
        return tuple(state[name] for name in ("W_enc", "b_enc", "W_dec", "b_dec"))

    def reconstruct(self, x):
        return self.sae(x)


class SAELensOther(SAELens):
    """Another architecture of its, under its trainer; biases lowered until about k latents of a row are on."""

    def __init__(self, arch, d_in, latents, k, steps, lr, seed, batch=4096):
        import sae_lens
        import torch
        from sae_lens.config import LoggingConfig, SAETrainerConfig
        from sae_lens.training.sae_trainer import SAETrainer

        name, counts = ARCHITECTURES[arch]
        own = {"k": k} if counts else {}
        if arch == "matryoshka":
            own["matryoshka_widths"] = [latents * share // 16 for share in (1, 2, 4, 8, 16)]
        torch.manual_seed(seed)
        config = getattr(sae_lens, f"{name}Config")(d_in=d_in, d_sae=latents, device="cpu", **own)
        self.sae = getattr(sae_lens, name)(config)
        if not counts:
            with torch.no_grad():
                x = torch.from_numpy(made_up(64, d_in, 1))
                self.sae.b_dec.copy_(x.mean(0))
                pre = ((x - self.sae.b_dec) @ self.sae.W_enc).flatten()
                down = pre.sort(descending=True).values[64 * k]
                bias = self.sae.b_gate if arch == "gated" else self.sae.b_enc
                bias -= down - (self.sae.threshold[0] if arch == "jumprelu" else 0)
        settings = SAETrainerConfig(total_training_samples=steps * batch, train_batch_size_samples=batch, lr=lr,
                                    lr_warm_up_steps=0, lr_end=lr / 10, logger=LoggingConfig(log_to_wandb=False))
        self.trainer = SAETrainer(settings, self.sae, data_provider=iter(()))


# By our names: the package's class, and whether it counts its latents.
ARCHITECTURES = {"relu": ("StandardTrainingSAE", False), "jumprelu": ("JumpReLUTrainingSAE", False),
                 "gated": ("GatedTrainingSAE", False), "batch-topk": ("BatchTopKTrainingSAE", True),
                 "abs-topk": ("AbsTopKTrainingSAE", True), "matryoshka": ("MatryoshkaBatchTopKTrainingSAE", True)}


class Sparsify:
    """Its SparseCoder, decoded eagerly, in the order of its Trainer's `fit`, with the Adam that this
    takes where bitsandbytes is missing. Its Trainer itself wants a language model, so the loop is ours."""

    name = "sparsify"

    def __init__(self, d_in, latents, k, steps, lr, seed, warmup=1000):
        os.environ["SPARSIFY_DISABLE_TRITON"] = "1"
        # It says on import which decoder it took; stdout is for results.
        out, sys.stdout = sys.stdout, sys.stderr
        import torch
        from sparsify import SparseCoder, SparseCoderConfig
        from transformers import get_linear_schedule_with_warmup

        sys.stdout = out
        torch.manual_seed(seed)
        self.coder = SparseCoder(d_in, SparseCoderConfig(num_latents=latents, k=k), dtype=torch.float32)
        self.optimizer = torch.optim.Adam(self.coder.parameters(), lr=lr)
        self.schedule = get_linear_schedule_with_warmup(self.optimizer, warmup, steps)
        self.since_fired = torch.zeros(latents, dtype=torch.long)
        self.did_fire = torch.zeros(latents, dtype=torch.bool)
        self.begun = False

    def step(self, x):
        coder = self.coder
        if not self.begun:
            coder.b_dec.data = x.mean(0)
            self.begun = True
        coder.set_decoder_norm_to_unit_norm()
        out = coder(x=x, y=x, dead_mask=None, total_variance=(x - x.mean(0)).pow(2).sum())
        self.did_fire[out.latent_indices.flatten()] = True
        out.fvu.backward()
        coder.remove_gradient_parallel_to_decoder_directions()
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.schedule.step()
        self.since_fired += len(x)
        self.since_fired[self.did_fire] = 0
        self.did_fire.zero_()

    def weights(self):
        return self.coder.encoder.weight.T, self.coder.encoder.bias, self.coder.W_dec, self.coder.b_dec

    def reconstruct(self, x):
        return self.coder(x).sae_out


PEERS = {peer.name: peer for peer in (SAELens, DictionaryLearning, Sparsify)}


# ---- A peer's process ----

def others():
    """Seconds of a core that all other processes have had since the machine began (Linux)."""
    user, nice, system = open("/proc/stat").readline().split()[1:4]
    return (int(user) + int(nice) + int(system)) / os.sysconf("SC_CLK_TCK") - time.process_time()


def worker(who, arguments):
    """Takes a step, says how long it took, then answers each number of seconds with steps for so long."""
    # An allocation beyond the limit fails here, instead of the machine taking somebody else's process.
    resource.setrlimit(resource.RLIMIT_DATA, (int(arguments.memory * 2**30),) * 2)
    try:
        import torch

        torch.set_num_threads(arguments.threads)
        rows, d_in = arguments.rows, arguments.d_in
        begin = PEERS[who] if arguments.arch == "topk" else functools.partial(SAELensOther, arguments.arch)
        # Where nothing counts latents, Adam's first steps would turn on hundreds.
        counted = arguments.arch == "topk" or ARCHITECTURES[arguments.arch][1]
        peer = begin(d_in, arguments.latents, arguments.k, steps=10**6, lr=2e-4 if counted else 1e-9, seed=0)
        batches = [torch.from_numpy(made_up(rows, d_in, seed)) for seed in range(1, BATCHES + 1)]
        taken, rested = 0, False

        def step():
            nonlocal taken, rested
            begun = time.perf_counter()
            peer.step(batches[taken % BATCHES])
            taken, rested = taken + 1, False
            return time.perf_counter() - begun

        print(json.dumps({"ready": True}), flush=True)
        first = step()
        print(json.dumps({"first": first}), flush=True)
        for line in sys.stdin:
            if rested:
                # Others have had the caches since.
                step()
            seconds, begun, busy = [], time.perf_counter(), others()
            while not seconds or time.perf_counter() < begun + float(line):
                seconds.append(step())
            cores = (others() - busy) / (time.perf_counter() - begun)
            print(json.dumps({"seconds": {"steps": seconds, "others": cores}}), flush=True)
            rested = True
    except (MemoryError, RuntimeError) as error:
        text = str(error)
        wants_memory = isinstance(error, MemoryError) or "allocate" in text or "memory" in text
        why = f"out of memory ({arguments.memory:g} GiB)" if wants_memory else text.splitlines()[0]
        print(json.dumps({"skip": why}), flush=True)


class Skip(Exception):
    """Why someone is left out of a shape."""


class Peer:
    """A worker process of this file. Kept between rounds where memory allows, else begun anew."""

    def __init__(self, who, arguments):
        self.who, self.arguments = who, arguments
        self.process = None
        # Weights, gradients and Adam's two moments, of encoder and decoder.
        self.keep = 32 * arguments.latents * arguments.d_in < arguments.memory / 8 * 2**30
        if self.keep:
            self.open()

    def open(self):
        environment = os.environ | {name: str(self.arguments.threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        given = {"worker": self.who, "arch": self.arguments.arch, "rows": self.arguments.rows, "d-in": self.arguments.d_in, "k": self.arguments.k,
                 "latents": self.arguments.latents, "threads": self.arguments.threads, "memory": self.arguments.memory}
        command = [sys.executable, __file__, *(f"--{name}={value}" for name, value in given.items())]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        stderr=subprocess.DEVNULL, env=environment)
        self.answer("ready", START_SECONDS)
        first = self.answer("first", 2 * self.arguments.limit + 10)
        if first > self.arguments.limit:
            self.close()
            raise Skip(f"a step takes {first:.0f} s")

    def answer(self, what, limit):
        late = threading.Timer(limit, self.process.kill)
        late.start()
        line = self.process.stdout.readline()
        in_time = late.is_alive()
        late.cancel()
        if not line:
            code = self.process.wait()
            raise Skip(f"ended with exit code {code}" if in_time else f"nothing within {limit:.0f} s")
        answer = json.loads(line)
        if "skip" in answer:
            self.close()
            raise Skip(answer["skip"])
        return answer[what]

    def round(self, seconds):
        if self.process is None:
            self.open()
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()
        taken = self.answer("seconds", 3 * self.arguments.limit + seconds)
        if not self.keep:
            self.close()
        if taken["others"] > QUIET:
            print(f"{self.who}: others had {taken['others']:.2f} of a core meanwhile; this round counts for little", file=sys.stderr)
        return statistics.median(taken["steps"])

    def close(self):
        if self.process is not None:
            self.process.stdin.close()
            self.process.wait()
            self.process = None


# ---- rarefy ----

def bench_rarefy(arguments, steps):
    """`rarefy bench step`: the seconds of its median step, and the f32 peak in GFLOP/s. All that is known
    here of its command line and its answer."""
    command = [arguments.rarefy, "bench", "step", "--arch", arguments.arch, "--rows", arguments.rows, "--d-in", arguments.d_in,
               "--latents", arguments.latents, "--k", arguments.k, "--threads", arguments.threads,
               "--steps", steps, "--json"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode:
        raise Skip((done.stderr.strip() or f"exit code {done.returncode}").splitlines()[0])
    answer = json.loads(done.stdout)
    return answer["step_seconds"], answer["peak_f32_gflops"]


class Rarefy:
    """The program, begun anew each round."""

    def __init__(self, arguments):
        self.arguments, self.peaks = arguments, []
        self.last = self.measure(1)

    def measure(self, steps):
        seconds, peak = bench_rarefy(self.arguments, steps)
        self.peaks.append(peak)
        return seconds

    def round(self, seconds):
        self.last = self.measure(max(2, math.ceil(seconds / self.last)))
        return self.last

    def close(self):
        pass


# ---- The rounds ----

def measure(arguments):
    """By contender, the median seconds of a step or why it is left out; and the f32 peak in GFLOP/s."""
    contenders, result, seconds, peak = {}, {}, {}, None
    for who in arguments.peers:
        try:
            contenders[who] = Rarefy(arguments) if who == "rarefy" else Peer(who, arguments)
            seconds[who] = []
        except Skip as why:
            result[who] = str(why)
    for number in range(arguments.rounds):
        # Each round begins with another one, so that none always runs on a rested machine.
        order = list(contenders)
        at = number % max(1, len(order))
        for who in order[at:] + order[:at]:
            time.sleep(REST_SECONDS)
            try:
                seconds[who].append(contenders[who].round(arguments.seconds))
            except Skip as why:
                result[who] = str(why)
                del contenders[who]
    for who, contender in contenders.items():
        contender.close()
        result[who] = statistics.median(seconds[who])
        if who == "rarefy":
            peak = max(contender.peaks)
    return {who: result[who] for who in arguments.peers}, peak


def work(arguments):
    """Operations that a step cannot do without: the encoder's product, and four times k rows of a
    matrix per row of data (decoding, the latents' gradients, both weights' gradients)."""
    return 2 * arguments.rows * arguments.d_in * (arguments.latents + 4 * arguments.k)


def one_table(arguments, result, peak):
    print(f"One {arguments.arch} training step, {arguments.rows} rows, {arguments.d_in} -> {arguments.latents}, k = {arguments.k}, "
          f"f32, {arguments.threads} threads, median of {arguments.rounds} rounds:\n")
    print("| who | ms a step | samples per second | rarefy is so many times as fast |\n|---|--:|--:|--:|")
    ours = result.get("rarefy")
    for who, got in result.items():
        if isinstance(got, str):
            print(f"| {who} | left out: {got} | | |")
        else:
            ratio = f"{got / ours:.2f}" if isinstance(ours, float) else ""
            print(f"| {who} | {got * 1e3:.1f} | {arguments.rows / got:.0f} | {ratio} |")
    if peak:
        print(f"\nf32 peak: {peak:.0f} GFLOP/s. What a step cannot do without takes {work(arguments) / peak / 1e6:.1f} ms at it.")
    else:
        print("\nf32 peak: not measured (rarefy measures it).")


def grid_row(arguments, result, peak):
    cells = [arguments.rows, arguments.d_in, arguments.latents, arguments.k]
    ours = result.get("rarefy")
    for got in result.values():
        if isinstance(got, str):
            cells.append(got)
        else:
            ratio = f" ({got / ours:.1f})" if isinstance(ours, float) and got is not ours else ""
            cells.append(f"{arguments.rows / got:.0f}{ratio}")
    cells.append(f"{peak:.0f}" if peak else "")
    return "| " + " | ".join(map(str, cells)) + " |"


def record(arguments, result, peak):
    shape = {name: getattr(arguments, name) for name in ("arch", "rows", "d_in", "latents", "k", "threads", "rounds")}
    return shape | {"peak_f32_gflops": peak, "who": {
        who: {"left_out": got} if isinstance(got, str)
        else {"step_seconds": got, "samples_per_second": arguments.rows / got} for who, got in result.items()}}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rarefy", default=str(ROOT / "target" / "release" / "rarefy"), help="the program")
    parser.add_argument("--peers", default=",".join(["rarefy", *PEERS]), help="who, by commas; rarefy may be left out")
    parser.add_argument("--rows", type=int, default=4096, help="of a batch")
    parser.add_argument("--d-in", type=int, default=768)
    parser.add_argument("--latents", type=int, default=16384)
    parser.add_argument("--arch", default="topk", choices=["topk", *ARCHITECTURES], help="others than topk: SAELens alone")
    parser.add_argument("--k", type=int, default=32, help="latents of a row, or about so many")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of steps a round and contender, one step at least")
    parser.add_argument("--limit", type=float, default=60.0, help="whose first step takes more seconds is left out")
    parser.add_argument("--memory", type=float, default=16.0, help="GiB that a peer may take")
    parser.add_argument("--grid", action="store_true", help="all shapes of a grid, in place of one")
    parser.add_argument("--json", action="store_true", help="one JSON object for each shape, in place of the table")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        return worker(arguments.worker, arguments)
    arguments.peers = arguments.peers.split(",")
    if arguments.arch != "topk":
        arguments.peers = [who for who in arguments.peers if who in ("rarefy", "SAELens")]
    unknown = set(arguments.peers) - {"rarefy", *PEERS}
    if unknown:
        parser.error(f"--peers: expected some of rarefy, {', '.join(PEERS)}, got {', '.join(sorted(unknown))}")

    if arguments.grid and not arguments.json:
        print(f"TopK training steps, samples per second (in brackets how many times as fast rarefy is), f32, "
              f"{arguments.threads} threads, median of {arguments.rounds} rounds:\n")
        print("| rows | d_in | d_sae | k | " + " | ".join(arguments.peers) + " | f32 peak, GFLOP/s |")
        print("|--:" * (5 + len(arguments.peers)) + "|", flush=True)
    for shape in GRID if arguments.grid else [(arguments.d_in, arguments.latents, arguments.k)]:
        arguments.d_in, arguments.latents, arguments.k = shape
        result, peak = measure(arguments)
        if arguments.json:
            print(json.dumps(record(arguments, result, peak)), flush=True)
        elif arguments.grid:
            print(grid_row(arguments, result, peak), flush=True)
        else:
            one_table(arguments, result, peak)
    return None


if __name__ == "__main__":
    main()
