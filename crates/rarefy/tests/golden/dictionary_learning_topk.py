"""Golden numbers for TopK training: 200 steps of the released dictionary_learning's own TopKTrainer.

Writes `dictionary_learning_topk.safetensors` beside this file: the data, the weights at the start,
what each step reported, the weights along the way and at the end. Every setting is a string in the
file's metadata. `dictionary_learning_batch_topk.py` does the same for BatchTopK with the code here.

Needs torch, safetensors and dictionary-learning==0.1.0 (see benches/peers/README.md). Usage:
    python crates/rarefy/tests/golden/dictionary_learning_topk.py

What is recorded is what the package does; only three things are set from here: the encoder's bias at
the start (some latents begin shy, so that they die), `dead_feature_threshold` (an attribute, not an
argument: 10 million otherwise) and the data. Nothing of the package is replaced; its functions are
wrapped to write down what they were given and what they returned.

What another implementation must know to arrive at the same numbers:

* Step 0, before anything else: b_dec becomes the geometric median of batch 0. Start at the mean; weights
  1/|x - guess|, divided by their sum; guess = weighted sum; at most 100 rounds; stop once a round moves
  the guess by less than 1e-5. Nothing guards a row that equals the guess.
* Forward: pre = W_enc (x - b_dec) + b_enc, ReLU, then the k largest of a row. x_hat = W_dec^T f + b_dec.
  b_dec has a gradient from both places.
* l2 = squares summed over inputs, mean over rows. loss = l2 + auxk_alpha * auxk.
* Fired, TopK: *selected*, even with value 0. Which zeros are selected where a row has fewer than k
  positive values is torch.topk's choice, so the data here never comes to that (asserted).
* Fired, BatchTopK: a positive sum over the batch, so a selected zero does not count.
* Counters: every latent's count grows by the batch's rows, then those that fired go to 0; *then* dead is
  `count >= dead_feature_threshold`, so this step's AuxK already knows of this step's firing.
* AuxK: k_aux = min(d // 2, dead latents). Of the dead latents' values *after* the ReLU the k_aux largest
  of each row, decoded *without* b_dec, against the residual e = x - x_hat, a constant (detached).
  auxk = mean_n |e - aux|^2 / mean_n |e - mean_n(e)|^2, NaN turned to 0. The denominator is constant too.
  A chosen zero adds nothing and has no gradient (ReLU's slope at 0 is 0), so ties do not matter here.
  No factor for few dead latents. Where none is dead the term is 0. BatchTopK's AuxK also goes row by row.
* After the backward pass, in this order: the decoder's gradient loses its part along each latent's
  direction, w / (|w| + 1e-6); then all gradients together are clipped to norm 1, factor
  min(1, 1 / (norm + 1e-6)), the norm being that after the projection (recorded as `grad_norm`, before the
  clip); Adam (0.9, 0.999, eps 1e-8, bias-corrected, no decay) on all four blocks; the schedule steps;
  each latent's decoder row is divided by |w| + 1.1920929e-7. Adam's moments are left as they are.
* A latent without a gradient still moves by its old momentum: Adam is dense.
* Learning rate of step t, from 0: lr * t / warmup_steps before warmup_steps (so step 0 changes nothing
  but b_dec, and Adam's moments), lr, then lr * (steps - t) / (steps - decay_start) from decay_start on.
* Threshold, from step t > threshold_start_step (strictly), by the values of this step's forward.
  TopK: mean over rows of the smallest positive selected value (a row without one makes it infinite for
  good). BatchTopK: the smallest positive value kept in the whole batch, or 0. The first is taken as it
  is (-1 says that there is none yet), later beta * old + (1 - beta) * new. It has no part in training.
* BatchTopK keeps the k * rows largest of the whole batch.
"""

import argparse
import json
import pathlib

import numpy as np
import safetensors.numpy
import torch

HERE = pathlib.Path(__file__).resolve().parent
D, F, K, BATCH, STEPS, POOL = 24, 96, 6, 64, 200, 512
SHY = 32  # Latents whose bias starts negative
GRADIENTS = (0, 6)  # Steps whose gradients are kept, projected and not yet clipped: none dead, many dead
SNAPSHOTS = (1, 2, 5, 20, 50, 100, 150)
SETTINGS = dict(lr=3e-3, auxk_alpha=1 / 32, warmup_steps=10, decay_start=150,
                threshold_beta=0.9, threshold_start_step=120)
DEAD_AFTER = 256  # Rows: four batches


def made_up(seed):
    """Rows that are sparse sums of 48 directions, some of them rare, around a centre that is not 0."""
    random = np.random.default_rng(seed)
    directions = random.standard_normal((48, D))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    often = np.where(np.arange(48) < 36, 0.1, 0.01)
    active = random.random((POOL, 48)) < often
    rows = (active * random.gamma(4.0, 0.25, (POOL, 48))) @ directions
    rows += 0.05 * random.standard_normal((POOL, D)) + 0.5 * random.standard_normal(D)
    return rows.astype(np.float32)


def started(trainer_class, seed, dtype):
    """A trainer of the package; a third of its latents begin shy, some more than others."""
    trainer = trainer_class(steps=STEPS, activation_dim=D, dict_size=F, k=K, layer=0, lm_name="none",
                            seed=seed, device="cpu", **SETTINGS)
    with torch.no_grad():
        trainer.ae.encoder.bias[:SHY] = -torch.linspace(0.2, 1.2, SHY)
    trainer.ae.to(dtype)
    trainer.dead_feature_threshold = DEAD_AFTER
    return trainer


def weights(ae, prefix):
    """A row per latent, in both directions."""
    parts = {"W_enc": ae.encoder.weight, "b_enc": ae.encoder.bias, "W_dec": ae.decoder.weight.T, "b_dec": ae.b_dec}
    return {f"{prefix}.{name}": part.detach().contiguous().numpy().copy() for name, part in parts.items()}


def margin(values, count):
    """How near a selection came to a tie, the nearest of all: (last in - first out) / last in."""
    top = values.topk(count + 1, dim=-1).values
    last, out = top[..., -2], top[..., -1]
    # The choice among zeros would be torch's own.
    assert bool((last > 0).all()), "a zero was selected"
    return float(((last - out) / last).min())


def gradients(ae, prefix):
    """Laid out like the weights."""
    parts = {"W_enc": ae.encoder.weight, "b_enc": ae.encoder.bias, "W_dec": ae.decoder.weight, "b_dec": ae.b_dec}
    parts = {name: part.grad.T if name == "W_dec" else part.grad for name, part in parts.items()}
    return {f"{prefix}.{name}": part.contiguous().numpy().copy() for name, part in parts.items()}


def run(trainer_class, median, seed, whole_batch, dtype=torch.float32):
    """All steps; what each reported, and the weights along the way."""
    data = torch.from_numpy(made_up(seed)).to(dtype)
    trainer = started(trainer_class, seed, dtype)
    ae = trainer.ae
    tensors = weights(ae, "initial")
    tensors["b_dec_before_the_median"] = tensors["initial.b_dec"]
    steps = {name: [] for name in ("loss", "l2_loss", "auxk_loss", "pre_norm_auxk_loss", "lr", "dead", "l0",
                                   "grad_norm", "threshold", "margin")}
    seen = {}

    encode, auxiliary, clip = ae.encode, trainer.get_auxiliary_loss, torch.nn.utils.clip_grad_norm_

    def watched_encode(x, **options):
        out = encode(x, **options)
        seen["l0"] = float((out[0] > 0).sum(dim=-1).double().mean())
        acts = out[-1].detach()
        seen["margin"] = margin(acts.flatten(), K * len(acts)) if whole_batch else margin(acts, K)
        return out

    def watched_auxiliary(residual, acts):
        out = auxiliary(residual, acts)
        seen["l2_loss"] = float(residual.pow(2).sum(dim=-1).mean())
        seen["auxk_loss"] = float(out.detach())
        seen["pre_norm_auxk_loss"] = float(torch.as_tensor(trainer.pre_norm_auxk_loss).detach())
        seen["dead"] = trainer.dead_features
        return out

    def watched_clip(parameters, most):
        if seen["step"] in GRADIENTS:
            tensors.update(gradients(ae, f"gradient.{seen['step']}"))
        norm = clip(parameters, most)
        seen["grad_norm"] = float(norm)
        return norm

    ae.encode, trainer.get_auxiliary_loss = watched_encode, watched_auxiliary
    torch.nn.utils.clip_grad_norm_ = watched_clip
    try:
        for step in range(STEPS):
            seen["step"] = step
            at = torch.arange(step * BATCH, (step + 1) * BATCH) % POOL
            seen["lr"] = trainer.optimizer.param_groups[0]["lr"]
            seen["loss"] = trainer.update(step, data[at])
            seen["threshold"] = float(ae.threshold)
            if step == 0:
                # With a learning rate of 0 this step changed b_dec alone, to the median.
                tensors["initial.b_dec"] = ae.b_dec.detach().numpy().copy()
                assert seen["lr"] == 0 and np.array_equal(tensors["initial.b_dec"], median(data[at]).numpy())
            if step + 1 in SNAPSHOTS:
                tensors |= weights(ae, f"after.{step + 1}")
            for name, values in steps.items():
                values.append(seen[name])
    finally:
        torch.nn.utils.clip_grad_norm_ = clip
    tensors |= {f"steps.{name}": np.array(values, np.int64 if name == "dead" else np.float64)
                for name, values in steps.items()}
    tensors |= weights(ae, "final")
    tensors["final.num_tokens_since_fired"] = trainer.num_tokens_since_fired.numpy()
    tensors["data"] = data.numpy()
    return tensors, {key: value for key, value in trainer.config.items() if value is not None}


def distance(single, double):
    """What rounding alone does: the same run in f64 beside that in f32."""
    loss = np.abs(single["steps.loss"] / double["steps.loss"] - 1).max()
    final = max(np.abs(single[f"final.{name}"] - double[f"final.{name}"]).max()
                for name in ("W_enc", "b_enc", "W_dec", "b_dec"))
    return float(loss), float(final)


def save(tensors, metadata, path):
    """safetensors orders the metadata as it likes; sorted, the same run gives the same bytes."""
    raw = safetensors.numpy.save(tensors, metadata)
    end = 8 + int.from_bytes(raw[:8], "little")
    header, body = raw[8:end], raw[end:]
    header = json.dumps(json.loads(header), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    path.write_bytes(len(header).to_bytes(8, "little") + header + body)


def write(trainer_class, median, seed, whole_batch, name):
    torch.set_num_threads(1)
    tensors, config = run(trainer_class, median, seed, whole_batch)
    double, _ = run(trainer_class, median, seed, whole_batch, torch.float64)
    loss_off, weights_off = distance(tensors, double)
    aux = np.flatnonzero(tensors["steps.auxk_loss"])
    config |= {"batch": BATCH, "dead_feature_threshold": DEAD_AFTER, "top_k_aux": D // 2, "betas": "0.9 0.999",
               "eps": 1e-8, "clip": 1.0, "rows_of_step_t": f"(t * {BATCH} .. (t + 1) * {BATCH}) mod {POOL}",
               "package": "dictionary-learning 0.1.0", "torch": torch.__version__,
               "steps_with_auxk": len(aux), "f64_run_loss_off": f"{loss_off:.2e}",
               "f64_run_final_weights_off": f"{weights_off:.2e}",
               "least_margin": f"{tensors['steps.margin'].min():.2e}"}
    save(tensors, {key: str(value) for key, value in config.items()}, HERE / name)
    print(json.dumps({key: str(value) for key, value in config.items()}, indent=1))
    show = {key: tensors[f"steps.{key}"] for key in ("loss", "l2_loss", "auxk_loss", "dead", "grad_norm", "lr",
                                                     "l0", "threshold", "margin")}
    for step in (*range(0, STEPS, 14), STEPS - 1):
        print(step, *(f"{key} {values[step]:.5g}" for key, values in show.items()))
    print("steps with AuxK:", aux.tolist())
    print((HERE / name).stat().st_size, "bytes")


def main():
    from dictionary_learning.trainers.top_k import TopKTrainer, geometric_median

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=9, help="of data and weights; 9 of 1 to 16 keeps farthest from ties")
    write(TopKTrainer, geometric_median, parser.parse_args().seed, False, "dictionary_learning_topk.safetensors")


if __name__ == "__main__":
    main()
