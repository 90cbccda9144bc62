"""What both makers of fixtures share: data, weights that are not a fresh start, rows far from every edge, the file.

A fixture is five steps of a released package's own training step. Our sums run in another order, so
nothing may hang on the last bits of an f32: a latent that fires by a hair, two latents that are equal at a
top-k cut, a pre-activation on the edge of a window. The rows of a batch are therefore chosen with the
weights of that very step at hand: a row is taken only if it stays away from every edge, a batch only if it
stays away from the cuts that belong to the whole batch. The same run in f64 shows what is left: it must
keep the same latents and end at the same weights but for rounding, or another seed is tried.
"""

import json
import math
import pathlib

import numpy as np
import safetensors.numpy
import torch

HERE = pathlib.Path(__file__).resolve().parent
ROWS, STEPS = 24, 5
POOL = 600  # Rows drawn for one batch
LR = 2e-3
# Of the root mean square of a row's pre-activations (of the batch's, where a cut goes through the batch).
MARGIN = 1e-3
# What f64 may change: losses and norms, gradients, weights at the end (norm of the difference over the norm).
LOSS_OFF, GRADIENT_OFF, AFTER_OFF = 2e-6, 5e-6, 5e-6


class Rejected(Exception):
    """This seed gives no good fixture."""


def require(condition, why):
    if not condition:
        raise Rejected(why)


class Data:
    """Rows that are sparse sums of directions around a centre that is not 0."""

    def __init__(self, random, d_in):
        self.random, self.d_in = random, d_in
        self.directions = random.standard_normal((2 * d_in, d_in))
        self.directions /= np.linalg.norm(self.directions, axis=1, keepdims=True)
        self.centre = 0.4 * random.standard_normal(d_in)

    def rows(self, count):
        active = self.random.random((count, 2 * self.d_in)) < 0.2
        sums = (active * self.random.gamma(4.0, 0.25, active.shape)) @ self.directions
        noise = 0.1 * self.random.standard_normal((count, self.d_in))
        return torch.from_numpy((sums + noise + self.centre).astype(np.float32))


def start(random, data, names, d_sae, norms=(0.6, 1.4), shy=(), weak=(), threshold=(0.15, 0.5)):
    """Weights by plain name; matrices with a latent a row. Latents that shall not fire are `shy`, by a bias that
    keeps them down, or `weak`, by a small encoder row where the sign does not matter.

    Nothing is where a package starts: no bias is 0, encoder and decoder are no transposes of each other.
    """
    unit = random.standard_normal((d_sae, data.d_in))
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    bias = 0.15 * random.standard_normal(d_sae) - 0.15
    bias[list(shy)] = -0.6 - 0.6 * random.random(len(shy))
    encoder = unit + 0.15 * random.standard_normal(unit.shape)
    encoder[list(weak)] *= 0.15
    bias[list(weak)] *= 0.3
    every = {
        "W_dec": unit * random.uniform(*norms, (d_sae, 1)),
        "W_enc": encoder,
        "b_enc": bias,
        "b_gate": bias,
        "b_mag": 0.15 * random.standard_normal(d_sae) - 0.05,
        "r_mag": 0.2 * random.standard_normal(d_sae),
        "threshold": random.uniform(*threshold, d_sae),
        "b_dec": data.centre + 0.2 * random.standard_normal(data.d_in),
    }
    return {name: torch.from_numpy(every[name].astype(np.float32)) for name in names}


def size(values):
    """Root mean square of each row: what a distance is compared with."""
    return values.pow(2).mean(dim=-1, keepdim=True).sqrt()


def from_edge(pre, edge=0.0):
    """How near each row comes to an edge, of all its latents the nearest."""
    return ((pre - edge).abs() / size(pre)).min(dim=-1).values


def from_cut(values, k):
    """(last in - first out) / size of the row, of each row. No cut where all are in."""
    if k >= values.shape[-1]:
        return torch.full(values.shape[:-1], math.inf, dtype=values.dtype)
    top = values.topk(k + 1, dim=-1).values
    last, out = top[..., -2], top[..., -1]
    # A choice among equal zeros, as after a ReLU, changes nothing.
    return torch.where(last == out, torch.where(last == 0, math.inf, 0.0),
                       (last - out) / size(values)[..., 0])


def nearest(*distances):
    return torch.stack(distances).min(dim=0).values


def choose(run, data):
    """The rows of the next step, and how near they come to an edge."""
    for _ in range(300):
        rows = data.rows(POOL)
        with torch.no_grad():
            away, allowed = run.rows(rows)
        rows = rows[(away >= run.margin) & allowed][:ROWS]
        if len(rows) < ROWS:
            continue
        with torch.no_grad():
            near = min(float(run.rows(rows)[0].min()), run.whole(rows))
        if near >= run.margin:
            return rows, near
    raise Rejected("no batch is far from all edges")


class Watch:
    """Writes down the gradients that reach the optimiser, around a step of the package.

    `raw` is what the backward pass gave. `given` and `norm` are taken as late as it goes before anything is
    rescaled: as clip_grad_norm_ is called, or, where a trainer does not clip, as Adam is. Nothing is replaced.
    """

    def __init__(self, params):
        self.params, self.raw, self.given, self.norm, self.clips = params, {}, None, None, False
        for name, param in params.items():
            param.register_post_accumulate_grad_hook(lambda param, name=name: self.seen(name, param))

    def seen(self, name, param):
        self.raw[name] = param.grad.detach().clone()

    def take(self):
        zeros = torch.zeros_like
        self.given = {name: zeros(p) if p.grad is None else p.grad.detach().clone() for name, p in self.params.items()}
        self.norm = float(sum(float(g.double().pow(2).sum()) for g in self.given.values())) ** 0.5

    def __enter__(self):
        self.given, self.clips = None, False
        self.clip, self.adam = torch.nn.utils.clip_grad_norm_, torch.optim.Adam.step

        def clip(parameters, most):
            self.take()
            self.clips = True
            norm = self.clip(parameters, most)
            assert abs(float(norm) / self.norm - 1) < 1e-5, "another norm than the package's"
            return norm

        def adam(optimiser, *rest, **named):
            if self.given is None:
                self.take()
            return self.adam(optimiser, *rest, **named)

        torch.nn.utils.clip_grad_norm_, torch.optim.Adam.step = clip, adam
        return self

    def __exit__(self, *_):
        torch.nn.utils.clip_grad_norm_, torch.optim.Adam.step = self.clip, self.adam


def plain(tensor):
    """As numpy, in the order of the shape. Losses and counts are f64 and i64 already."""
    array = tensor.detach().cpu().contiguous().numpy().copy()
    return array.astype(np.float32) if array.dtype == np.float64 else array


def five_steps(case, seed, dtype=torch.float32, batches=None):
    """Everything that is recorded; in f64 on batches that were chosen in f32."""
    random = np.random.default_rng(seed)
    data = Data(random, case.d_in)
    run = case.begin(random, data, dtype)
    watch = Watch(run.params)
    tensors = {f"before.{name}": plain(p) for name, p in run.params.items()}
    scalars, dead, near = {}, [], math.inf
    tensors |= {name: plain(value) for name, value in run.state().items()}
    fired = torch.zeros(case.d_sae, dtype=torch.bool)
    for t in range(STEPS):
        if batches is None:
            x, away = choose(run, data)
            near = min(near, away)
        else:
            x = torch.from_numpy(batches[t])
        tensors[f"x.{t}"] = x.numpy()
        with watch:
            out = run.step(x.to(dtype))
        if t == 0:
            tensors |= {f"step1.{name}": plain(value) for name, value in out.first.items()}
            tensors |= {f"grad.{name}": plain(value) for name, value in watch.given.items()}
            for name, raw in watch.raw.items():
                if not torch.equal(raw, watch.given[name]):
                    tensors[f"grad_before_projection.{name}"] = plain(raw)
        active = out.acts != 0
        fired |= active.any(dim=0)
        parts = {f"loss.{name}": value for name, value in out.parts.items()}
        total = sum(out.parts.values())
        assert abs(total / out.total - 1) < 1e-5, f"the parts add up to {total}, not to {out.total}"
        parts |= {"loss.total": out.total, "grad_norm": watch.norm, "l0": float(active.double().sum(dim=1).mean())}
        for name, value in (parts | out.scalars).items():
            scalars.setdefault(name, []).append(float(value))
        if out.dead is not None:
            dead.append(out.dead.numpy().astype(np.uint8))
    tensors |= {name: np.array(values) for name, values in scalars.items()}
    tensors |= {f"after.{name}": plain(p) for name, p in run.params.items()}
    tensors |= {name: plain(value) for name, value in run.at_end().items()}
    if dead:
        tensors["dead"] = np.stack(dead)
    return tensors, run, {"nearest_edge": near, "fired": fired.numpy(), "clips": watch.clips} | run.about()


def off(single, double):
    return float(np.linalg.norm(single.astype(np.float64) - double) / max(np.linalg.norm(double), 1e-30))


def hold_against_f64(tensors, double):
    """What rounding alone does; a seed where it does more is no good."""
    worst = {"losses": 0.0, "gradients": 0.0, "after": 0.0}
    for name, values in tensors.items():
        other = double[name].astype(np.float64)
        if name.startswith(("loss.", "grad_norm", "threshold_ema")):
            apart = np.abs(values - other).max() / max(np.abs(other).max(), 1e-30)
            worst["losses"] = max(worst["losses"], float(apart))
        elif name.startswith("grad"):
            worst["gradients"] = max(worst["gradients"], off(values, other))
        elif name.startswith("after."):
            worst["after"] = max(worst["after"], off(values, other))
    for name in ("l0", "dead", "step1.acts"):
        if name in tensors:
            same = np.array_equal(tensors[name] != 0, double[name] != 0) and (
                name == "step1.acts" or np.array_equal(tensors[name], double[name]))
            require(same, f"f64 keeps other latents: {name}")
    require(worst["losses"] < LOSS_OFF, f"losses in f64: {worst}")
    require(worst["gradients"] < GRADIENT_OFF, f"gradients in f64: {worst}")
    require(worst["after"] < AFTER_OFF, f"weights in f64: {worst}")
    return worst


def hold(case, tensors, about):
    """A fixture in which little happens tests little."""
    for name, values in tensors.items():
        require(np.isfinite(values.astype(np.float64)).all(), f"{name} is not finite")
    dead = tensors.get("dead", np.zeros((STEPS, case.d_sae), np.uint8)).any(axis=0)
    awake = about["fired"][~dead].mean()
    require(awake >= 0.7, f"{awake:.2f} of the living latents ever fire")
    require(1 <= tensors["l0"].min() and tensors["l0"].max() <= 0.7 * case.d_sae, "L0 is extreme")
    if about["clips"]:
        require(tensors["grad_norm"].max() > 1, "nothing was ever clipped")
    case.hold(tensors, about)


def save(tensors, metadata, path):
    """safetensors orders the metadata as it likes; sorted, the same run gives the same bytes."""
    raw = safetensors.numpy.save({name: np.ascontiguousarray(tensors[name]) for name in sorted(tensors)}, metadata)
    end = 8 + int.from_bytes(raw[:8], "little")
    header = json.dumps(json.loads(raw[8:end]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    path.write_bytes(len(header).to_bytes(8, "little") + header + raw[end:])


def make(case, package):
    """The first seed that gives a good fixture; writes it."""
    for seed in range(1, 60):
        try:
            tensors, run, about = five_steps(case, seed)
            hold(case, tensors, about)
            batches = [tensors[f"x.{t}"] for t in range(STEPS)]
            double, _, _ = five_steps(case, seed, torch.float64, batches)
            worst = hold_against_f64(tensors, double)
        except Rejected as why:
            print(f"  {case.name}, seed {seed}: {why}")
            continue
        metadata = run.settings() | {
            "package": package, "torch": torch.__version__, "seed": seed, "d_in": case.d_in, "d_sae": case.d_sae,
            "rows": ROWS, "steps": STEPS, "clip": 1.0 if about["clips"] else "none",
            "layout_W_enc": case.layout.get("W_enc", "none"), "layout_W_dec": case.layout["W_dec"],
            "nearest_edge": f"{about['nearest_edge']:.1e}", "f64_losses_off": f"{worst['losses']:.1e}",
            "f64_gradients_off": f"{worst['gradients']:.1e}", "f64_after_off": f"{worst['after']:.1e}",
        }
        path = HERE / f"{case.name}.safetensors"
        save(tensors, {key: str(value) for key, value in metadata.items()}, path)
        tell(case, seed, tensors, metadata, path)
        return
    raise SystemExit(f"{case.name}: no seed is good")


def tell(case, seed, tensors, metadata, path):
    print(f"{case.name}: seed {seed}, {path.stat().st_size} bytes, edge {metadata['nearest_edge']}, f64 off "
          f"{metadata['f64_losses_off']} {metadata['f64_gradients_off']} {metadata['f64_after_off']}")
    for name, values in tensors.items():
        if values.ndim == 1 and len(values) == STEPS:
            print(f"    {name:40}", *(f"{value:.6g}" for value in values))
    if "dead" in tensors:
        print("    dead", tensors["dead"].sum(axis=1).tolist())


def main(doc, cases, package):
    import argparse

    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("names", nargs="*", help="only these (a part of the name is enough)")
    names = parser.parse_args().names
    torch.set_num_threads(1)
    for case in cases:
        if not names or any(name in case.name for name in names):
            make(case, package)
