"""Evaluation of an autoencoder inside its language model.

```text
CE recovered = (CE_ablated - CE_spliced) / (CE_ablated - CE_original)
```

Ablation sets the activations to zero, or to their mean. Each sum is pooled over all tokens before the division, so the batch
size has no effect beyond rounding.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .._tables import Figures, number
from ..errors import ConfigError, ShapeError
from . import _hooks
from ._contexts import Batch
from ._reader import OUTLIER_NORM, Reader

#: Numbers of a softmax that is computed at once, 64 MB in float32.
CHUNK = 1 << 24


class Evaluation(Figures):
    """Figures of an evaluation. `intervals` has 95 % confidence intervals by the name of the figure."""

    def _lines(self) -> list[tuple[str, str]]:
        intervals = self._values.get("intervals", {})
        within = {name: f"  ({number(low)} to {number(high)})" for name, (low, high) in intervals.items()}
        return [(name, text + within.get(name, "")) for name, text in super()._lines()]


def evaluate(
    model: Any,
    tokenizer: Any,
    sae: Any,
    texts: Iterable[str],
    *,
    module: str,
    io: str = "out",
    context: int = 128,
    batch_tokens: int = 1024,
    skip_first: int = 1,
    skip_special: bool = True,
    outlier_norm: float | None = None,
    compat: str | None = None,
    max_tokens: int | None = None,
    resamples: int = 200,
    seed: int = 0,
) -> Evaluation:
    """Losses of a language model with reconstructions in place of activations.

    Parameters
    ----------
    model : torch.nn.Module
        Causal language model whose output has `logits`.
    tokenizer : tokenizer of transformers
    sae : Model
        Autoencoder of the module's activations, or transcoder of its input to its output.
    texts : iterable of str
        Texts that were not trained on.
    module, context, max_tokens
        As in `harvest`; `module` is a single name.
    io : {"out", "in", "in-out"}
        Activations that are replaced: the output or the input of the module. `"in-out"` is for transcoders: they read the input,
        and their prediction replaces the output. Ablations, norm outliers and explained variance are then those of the
        output.
    batch_tokens : int
        Most tokens in a forward pass. Memory grows with this number times the size of the vocabulary.
    skip_first, skip_special, outlier_norm
        As in `harvest`. Activations of these tokens stay as they are in all ablations, and the figures of the
        reconstruction leave them out. Their predictions count.
    compat : {"sae-lens"}, optional
        Conventions of SAELens instead: activations of special tokens stay as they are (none without `skip_special`), but zero
        ablation replaces those too; predictions from special tokens do not count; the KL divergence counts the last position
        of a context; `skip_first` and `outlier_norm` have no effect; no mean ablation.
    resamples : int
        Resamples of contexts for the confidence intervals; 0 for none.
    seed : int
        Seed of the resamples.

    Returns
    -------
    Evaluation
        `ce_original`, `ce_spliced`, `ce_zero`, `ce_mean`: cross-entropy in nats per token, of the model as it is, with
        reconstructions, and with ablations.
        `ce_recovered_zero`, `ce_recovered_mean`: share of the ablation's damage that reconstructions avoid; None if the
        ablation does no damage.
        `kl_spliced`, `kl_zero`, `kl_mean`: KL divergence of the original predictions to the changed ones, in nats;
        `kl_recovered_zero`, `kl_recovered_mean`: one minus the share of the ablation's divergence that is left.
        `explained_variance`, `explained_variance_inliers`: of the kept tokens, with and without norm outliers (10 medians
        unless `outlier_norm` is given).
        `l0`: mean number of active latents.
        `tokens`, `targets`, `kept`, `outliers`, `contexts`: numbers of tokens, scored predictions, replaced activations,
        norm outliers and contexts.
    """
    if compat not in (None, "sae-lens"):
        raise ConfigError(f"`compat` must be 'sae-lens' or None, got {compat!r}")
    is_transcoder = getattr(sae, "is_transcoder", False)
    if is_transcoder and io != "in-out":
        raise ConfigError(f"`io` must be 'in-out' for a transcoder, which predicts the output from the input, got {io!r}")
    if is_transcoder and compat:
        raise ConfigError(f"`compat={compat!r}` is for autoencoders: leave it out for a transcoder")
    if io == "in-out" and not is_transcoder:
        raise ConfigError("`io` must be 'in' or 'out' for an autoencoder, which reconstructs what it reads, got 'in-out'")
    reader = Reader(
        model,
        tokenizer,
        [module],
        io="out" if is_transcoder else io,
        context=context,
        batch_tokens=batch_tokens,
        skip_first=0 if compat else skip_first,
        skip_special=skip_special,
        outlier_norm=OUTLIER_NORM if outlier_norm is None else outlier_norm,
    )
    contexts = list(reader.contexts(texts, max_tokens))
    trial = _Trial(reader, sae, module, compat is not None, outlier_norm is not None and not compat, is_transcoder)
    mean = trial.mean(contexts)
    for batch in reader.batches(contexts):
        trial.batch(batch, mean)
    return trial.result(resamples, seed)


@dataclass
class _Variance:
    """Sums for the explained variance; `x` less a fixed shift, against cancellation."""

    n: int = 0
    error: float = 0.0
    square: float = 0.0
    total: Any = 0.0

    def add(self, x: np.ndarray, x_hat: np.ndarray, shift: np.ndarray) -> None:
        moved = x.astype(np.float64) - shift
        self.n += len(x)
        self.error += float(np.square(x.astype(np.float64) - x_hat).sum())
        self.square += float(np.square(moved).sum())
        self.total = self.total + moved.sum(axis=0)

    @property
    def explained(self) -> float | None:
        variance = self.square - float(np.square(self.total).sum()) / max(self.n, 1)
        return 1 - self.error / variance if variance > 0 else None


@dataclass
class _Trial:
    """Sums of an evaluation over its batches."""

    reader: Reader
    sae: Any
    module: str
    is_saelens: bool
    skips_outliers: bool
    is_transcoder: bool
    variance: _Variance = field(default_factory=_Variance)
    inliers: _Variance = field(default_factory=_Variance)
    active: int = 0
    tokens: int = 0
    #: Sums of each context: targets, positions of the KL divergence, and the losses of each arm.
    sums: dict[str, list[np.ndarray]] = field(default_factory=dict)

    def mean(self, contexts: list[Any]) -> np.ndarray:
        """Mean of the activations that are replaced; also sets the limit of the norms."""
        total, count = np.zeros(1), 0
        for read in self.reader.calibrated(self.reader.reads(contexts)):
            rows = read.rows[self.module].numpy()
            if not self.is_transcoder:
                self._check_widths(rows.shape[1], rows.shape[1])
            if self.skips_outliers:
                rows = rows[self.reader.inliers(read, self.module)]
            total = total + rows.sum(axis=0, dtype=np.float64)
            count += len(rows)
        if not count:
            raise ShapeError("texts: all tokens are outliers: raise `outlier_norm`, or pass None")
        return total / count

    def _check_widths(self, n_inputs: int, n_outputs: int) -> None:
        got = self.sae.n_inputs, getattr(self.sae, "n_outputs", self.sae.n_inputs)
        if got == (n_inputs, n_outputs):
            return
        expected = f"a model with {n_inputs} inputs and outputs, the width of {self.module}"
        if self.is_transcoder:
            expected = f"a transcoder with {n_inputs} inputs and {n_outputs} outputs, those of {self.module}"
        raise ShapeError(f"sae: expected {expected}, got {got[0]} inputs and {got[1]} outputs")

    def batch(self, batch: Batch, mean: np.ndarray) -> None:
        """Runs the model as it is, spliced and ablated."""
        torch = _hooks.need_torch()
        inputs = _hooks.inputs_of(self.reader.model, batch.ids, batch.real)
        place = (self.reader.model, self.module, self.reader.io, inputs)
        output, x = _hooks.run(*place)
        read = x
        if self.is_transcoder:
            read = _hooks.capture(self.reader.model, [self.module], "in", inputs)[self.module]
            self._check_widths(read.shape[2], x.shape[2])
        original = _logits(output, self.reader.model)
        kept = self._kept(batch, x)
        at = torch.as_tensor(kept, device=x.device)
        arms = {"spliced": self._spliced(x, read, at, mean), "zero": x.masked_fill(at[..., None], 0)}
        if self.is_saelens:
            arms["zero"] = torch.zeros_like(x)
        else:
            arms["mean"] = torch.where(at[..., None], torch.as_tensor(mean, device=x.device).to(x.dtype), x)
        score = _Score(batch, kept if self.is_saelens else None)
        self._add("targets", score.targets.sum(axis=1))
        self._add("positions", score.positions.sum(axis=1))
        self._add("ce_original", score.losses(original, original)[0])
        for arm, replacement in arms.items():
            changed = _logits(_hooks.run(*place, replacement)[0], self.reader.model)
            ce, kl = score.losses(original, changed)
            self._add(f"ce_{arm}", ce)
            self._add(f"kl_{arm}", kl)
        self.tokens += int(batch.real.sum())

    def _add(self, name: str, values: np.ndarray) -> None:
        self.sums.setdefault(name, []).append(values)

    def _kept(self, batch: Batch, x: Any) -> np.ndarray:
        """Tokens whose activations are replaced."""
        kept = self.reader.mask.kept(batch)
        if self.skips_outliers:
            kept &= x.float().cpu().double().norm(dim=2).numpy() <= self.reader.limits[self.module]
        return kept

    def _spliced(self, x: Any, read: Any, at: Any, mean: np.ndarray) -> Any:
        """Activations `x` with reconstructions of `read` in place of the kept ones; adds the figures of the reconstruction."""
        rows = x[at].float().cpu().numpy()
        if not len(rows):
            return x
        x_hat, active = _reconstructed(self.sae, read[at].float().cpu().numpy(), self.is_transcoder)
        self.active += active
        self.variance.add(rows, x_hat, mean)
        inlier = np.linalg.norm(rows.astype(np.float64), axis=1) <= self.reader.limits[self.module]
        self.inliers.add(rows[inlier], x_hat[inlier], mean)
        spliced = x.clone()
        spliced[at] = _hooks.need_torch().as_tensor(x_hat, device=x.device).to(x.dtype)
        return spliced

    def result(self, resamples: int, seed: int) -> Evaluation:
        """Figures, with intervals from resampled contexts."""
        sums = {name: np.concatenate(values).astype(np.float64) for name, values in self.sums.items()}
        whole = {name: values.sum() for name, values in sums.items()}
        if not whole["targets"]:
            raise ShapeError("texts: expected contexts with at least two tokens that count, got none")
        figures = {name: None if np.isnan(value) else float(value) for name, value in _ratios(whole).items()}
        known = [name for name, value in figures.items() if value is not None]
        intervals = _intervals(sums, resamples, seed)
        return Evaluation(
            figures
            | {
                "explained_variance": self.variance.explained,
                "explained_variance_inliers": self.inliers.explained,
                "l0": self.active / self.variance.n if self.sae.is_sparse else None,
                "tokens": self.tokens,
                "targets": int(whole["targets"]),
                "kept": self.variance.n,
                "outliers": self.variance.n - self.inliers.n,
                "contexts": len(sums["targets"]),
                "intervals": {name: intervals[name] for name in known if name in intervals},
            }
        )


class _Score:
    """Positions of a batch that are scored.

    A prediction counts if its position and its target are no padding. SAELens counts predictions from tokens that it does not
    ignore, and the KL divergence at the last position too.
    """

    def __init__(self, batch: Batch, saelens: np.ndarray | None) -> None:
        self.ids = batch.ids
        self.targets = np.zeros(batch.ids.shape, dtype=bool)
        self.targets[:, :-1] = batch.real[:, :-1] & batch.real[:, 1:]
        if saelens is not None:
            self.targets &= saelens
        self.positions = self.targets if saelens is None else saelens

    def losses(self, original: Any, changed: Any) -> tuple[np.ndarray, np.ndarray]:
        """Sums of the cross-entropy and of KL(original || changed) in each context; the softmax is computed in chunks."""
        torch = _hooks.need_torch()
        ce, kl = np.zeros(self.ids.shape), np.zeros(self.ids.shape)
        sequence, position = np.nonzero(self.targets | self.positions)
        following = np.roll(self.ids, -1, axis=1)
        step = max(1, CHUNK // original.shape[-1])
        for start in range(0, len(sequence), step):
            at = sequence[start : start + step], position[start : start + step]
            places = tuple(torch.as_tensor(part, device=original.device) for part in at)
            q = torch.log_softmax(changed[places].float(), dim=-1)
            target = torch.as_tensor(following[at], device=original.device)
            ce[at] = -q.gather(1, target[:, None])[:, 0].cpu().numpy()
            if changed is not original:
                p = torch.log_softmax(original[places].float(), dim=-1)
                kl[at] = (p.exp() * (p - q)).sum(dim=1).cpu().numpy()
        return (ce * self.targets).sum(axis=1), (kl * self.positions).sum(axis=1)


def _logits(output: Any, model: Any) -> Any:
    logits = output if _hooks.need_torch().is_tensor(output) else getattr(output, "logits", None)
    if logits is None:
        raise TypeError(
            f"model: expected a causal language model whose output has `logits`, got {type(model).__name__}: "
            "load it with transformers.AutoModelForCausalLM"
        )
    return logits


def _reconstructed(sae: Any, rows: np.ndarray, is_transcoder: bool) -> tuple[np.ndarray, int]:
    """Reconstructions, and the number of active latents of all rows."""
    if not sae.is_sparse:
        return sae.reconstruct(rows), 0
    codes = sae.codes(rows)
    # `decode` leaves out the skip connection of a transcoder.
    x_hat = sae.reconstruct(rows) if is_transcoder else sae.decode(codes)
    return x_hat, int(np.count_nonzero(codes.values))


def _ratios(sums: dict[str, Any]) -> dict[str, Any]:
    """Figures of sums, which may be arrays with one entry for each resample."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found = {
            name: values / sums["targets" if name.startswith("ce_") else "positions"]
            for name, values in sums.items()
            if name.startswith(("ce_", "kl_"))
        }
        for arm in ("zero", "mean"):
            if f"ce_{arm}" in found:
                damage = np.asarray(found[f"ce_{arm}"] - found["ce_original"])
                damage = np.where(damage == 0, np.nan, damage)
                found[f"ce_recovered_{arm}"] = (found[f"ce_{arm}"] - found["ce_spliced"]) / damage
                found[f"kl_recovered_{arm}"] = 1 - found["kl_spliced"] / np.where(damage == 0, np.nan, found[f"kl_{arm}"])
    return found


def _intervals(sums: dict[str, np.ndarray], resamples: int, seed: int) -> dict[str, tuple[float, float]]:
    """Percentiles 2.5 and 97.5 over contexts drawn with replacement."""
    n = len(sums["targets"])
    if resamples < 1 or n < 2:
        return {}
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=resamples)
    figures = _ratios({name: drawn @ values for name, values in sums.items()})
    found = {}
    for name, values in figures.items():
        low, high = np.nanpercentile(values, [2.5, 97.5]) if np.isfinite(values).any() else (np.nan, np.nan)
        found[name] = float(low), float(high)
    return found
