"""Models as PyTorch modules.

```text
pre     = W_enc (x - b_dec) + b_enc            without b_dec for kl, transcoders and crosscoders
latents = rule(pre)                            the rule of the architecture: RULES
x_hat   = latents W_dec + b_dec                with a sigmoid, for some kl models
```

`x` is a preprocessed row. The steps of preprocessing are parts of the module, so that all of them are possible and the
weights are those of `Model.weights`. Folded into the weights they would cost digits: with `kl` after `zca`, reconstructions
differed by 1.8e-6 of their size, in place of 3.6e-7. `Model.folded` folds them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import ConfigError

try:
    import torch
    from torch import Tensor, nn
    from torch.nn import functional
except ModuleNotFoundError as error:
    if error.name != "torch":
        raise
    raise ModuleNotFoundError("Model.to_torch needs PyTorch: pip install 'rarefy[torch]'", name="torch") from error

if TYPE_CHECKING:
    from . import _core
    from ._model import Model

#: Mean and divisor of each row that preprocessing removed, under `"mean"` and `"scale"`.
Context = dict[str, Tensor]

#: Share of a row's length below which a matching pursuit takes a product for rounding and ends.
ROUNDING = 1e-6


def to_torch(model: Model) -> TorchModel:
    """Makes a `torch.nn.Module` that computes the same as a model, from raw rows to raw rows.

    Raises
    ------
    rarefy.errors.ConfigError
        The model is a crosscoder whose inputs are preprocessed.

    Examples
    --------
    >>> import rarefy, torch
    >>> X, _ = rarefy.samples.digits()
    >>> model = rarefy.train(X, "topk", n_latents=64, k=4, steps=20).model
    >>> module = rarefy._torch.to_torch(model)
    >>> x = torch.as_tensor(X[:5], dtype=torch.float32)
    >>> module.encode(x).shape, module(x).shape
    (torch.Size([5, 64]), torch.Size([5, 64]))
    """
    return TorchModel(model._core)


class TorchModel(nn.Module):
    """Sparse autoencoder, transcoder or crosscoder as a PyTorch module. Made by `Model.to_torch`.

    Gradients flow through active latents; none reaches thresholds, nor which latents are active. Rows may have any leading
    dimensions, such as `(batch, position, n_inputs)`.

    Attributes
    ----------
    w_enc, b_enc : Parameter, `(n_latents, d_in)` and `(n_latents,)`
    w_dec, b_dec : Parameter, `(n_latents, d_out)` and `(d_out,)`
        One parameter with `w_enc` for a tied decoder and for `matching-pursuit`.
    threshold, r_mag, b_mag, w_skip : Parameter
        Only of architectures that have them, with the names of `Model.weights`.
    inputs : Pipeline
        Preprocessing that `encode` applies and `decode` inverts.
    target : Pipeline or None
        Preprocessing of a transcoder's target, which `decode` inverts instead.
    """

    w_enc: nn.Parameter
    b_enc: nn.Parameter
    w_dec: nn.Parameter
    b_dec: nn.Parameter
    w_skip: nn.Parameter
    threshold: nn.Parameter
    r_mag: nn.Parameter
    b_mag: nn.Parameter

    def __init__(self, core: _core.Model) -> None:
        super().__init__()
        files = core.files()
        config, options = json.loads(files["cfg.json"]), dict(core.options)
        self.architecture = core.architecture
        self.n_inputs, self.n_outputs, self.n_latents = core.n_inputs, core.n_outputs, core.n_latents
        self.k = int(options["k"]) if self.architecture in K_RULES else None
        self.residual = float(options.get("residual", 0.0))
        self.centre: bool = config["apply_b_dec_to_input"]
        self.sigmoid_output = options.get("decoder", "linear") != "linear"
        self._add_parameters(core.weights())
        self.inputs = Pipeline.read(files.get("preprocess.safetensors"), core.preprocess)
        target = Pipeline.read(files.get("preprocess_target.safetensors"), [])
        self.target = target if "d_out" in config else None

    def _add_parameters(self, weights: Mapping[str, np.ndarray]) -> None:
        pursues = self.architecture == "matching-pursuit"
        for name, values in weights.items():
            learns = name != "threshold" and not (name == "b_enc" and pursues)
            self.register_parameter(name, nn.Parameter(torch.tensor(values), requires_grad=learns))
        if pursues or "w_dec" not in weights:
            self.w_dec = self.w_enc

    def encode(self, x: Tensor) -> Tensor:
        """Latents of raw rows, `(..., n_inputs)` to `(..., n_latents)`."""
        return self._latents(self.inputs(x, {}))

    def decode(self, latents: Tensor, x: Tensor | None = None) -> Tensor:
        """Rows of latents, in raw units.

        Parameters
        ----------
        latents : Tensor, `(..., n_latents)`
        x : Tensor, `(..., n_inputs)`, optional
            Raw rows of the latents. Needed to restore what latents lack: the mean and divisor of each row that `row-mean`,
            `norm-row` and `layer-norm` remove, and the skip connection of a transcoder.
        """
        context: Context = {}
        prepared = None if x is None else self.inputs(x, context)
        return self._rows(latents, prepared, context)

    def forward(self, x: Tensor) -> Tensor:
        """Reconstructions of raw rows, `(..., n_inputs)` to `(..., n_outputs)`; predictions, for a transcoder."""
        context: Context = {}
        prepared = self.inputs(x, context)
        return self._rows(self._latents(prepared), prepared, context)

    def _latents(self, prepared: Tensor) -> Tensor:
        x = prepared - self.b_dec if self.centre else prepared
        if self.architecture == "matching-pursuit":
            return _pursue(self, x)
        return RULES[self.architecture](self, functional.linear(x, self.w_enc, self.b_enc))

    def _rows(self, latents: Tensor, prepared: Tensor | None, context: Context) -> Tensor:
        x_hat = latents @ self.w_dec + self.b_dec
        if prepared is not None and "w_skip" in self._parameters:
            x_hat = x_hat + functional.linear(prepared, self.w_skip)
        if self.sigmoid_output:
            x_hat = torch.sigmoid(x_hat)
        outputs = self.inputs if self.target is None else self.target
        return outputs.invert(x_hat, context)

    def extra_repr(self) -> str:
        """Architecture and sizes."""
        k = "" if self.k is None else f", k={self.k}"
        return f"{self.architecture}, {self.n_inputs} inputs, {self.n_latents} latents{k}"


# Rules from pre-activations to latents


def _largest(module: TorchModel, pre: Tensor) -> Tensor:
    values, latents = pre.topk(min(module.k or 0, pre.shape[-1]), dim=-1)
    return torch.zeros_like(pre).scatter(-1, latents, values.relu())


def _largest_magnitudes(module: TorchModel, pre: Tensor) -> Tensor:
    latents = pre.abs().topk(min(module.k or 0, pre.shape[-1]), dim=-1).indices
    return torch.zeros_like(pre).scatter(-1, latents, pre.gather(-1, latents))


def _largest_of_groups(module: TorchModel, pre: Tensor) -> Tensor:
    groups = pre.reshape(*pre.shape[:-1], module.k or 1, -1)
    values, latents = groups.max(dim=-1, keepdim=True)
    return torch.zeros_like(groups).scatter(-1, latents, values.relu()).flatten(-2)


def _above_threshold(module: TorchModel, pre: Tensor) -> Tensor:
    return torch.where(pre > module.threshold, pre, 0.0)


def _gated(module: TorchModel, pre: Tensor) -> Tensor:
    magnitude = (pre - module.b_enc) * module.r_mag.exp() + module.b_mag
    return torch.where(pre > 0, magnitude.relu(), 0.0)


#: Rule of each architecture; `matching-pursuit` has no pre-activations.
RULES: dict[str, Callable[[TorchModel, Tensor], Tensor]] = {
    "kl": lambda _, pre: torch.sigmoid(pre),
    "relu": lambda _, pre: torch.relu(pre),
    "topk": _largest,
    "batch-topk": _above_threshold,
    "abs-topk": _largest_magnitudes,
    "groupmax": _largest_of_groups,
    "jumprelu": _above_threshold,
    "gated": _gated,
    "matryoshka": _above_threshold,
}

#: Architectures whose rule reads `k`.
K_RULES = ("topk", "abs-topk", "groupmax", "matching-pursuit")


def _pursue(module: TorchModel, residual: Tensor) -> Tensor:
    """Latents of centred rows, one after the other: each round takes the latent with the largest product."""
    least = ROUNDING * residual.detach().norm(dim=-1, keepdim=True)
    latents = residual.new_zeros(*residual.shape[:-1], module.n_latents)
    taken = torch.zeros_like(latents, dtype=torch.bool)
    going = torch.ones_like(least, dtype=torch.bool)
    for _ in range(module.k or 0):
        value, latent = functional.linear(residual, module.w_enc).max(dim=-1, keepdim=True)
        going = going & (value > least)
        if not going.any():
            break
        value = torch.where(going, value, 0.0)
        latents = latents.scatter_add(-1, latent, value)
        residual = residual - value * module.w_enc[latent.squeeze(-1)]
        # A row ends when it takes a latent again, with that value counted, or when its residual is short.
        long = residual.detach().norm(dim=-1, keepdim=True) >= module.residual
        going = going & ~taken.gather(-1, latent) & long
        taken = taken.scatter(-1, latent, True)
    return latents


# Preprocessing


class Step(nn.Module):
    """Preprocessing step, which leaves the rows as they are."""

    def __init__(self) -> None:
        super().__init__()

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """Prepared rows; adds what was removed from each row to `context`."""
        return x

    def invert(self, x: Tensor, context: Context) -> Tensor:
        """Rows as they were before the step; an empty `context` leaves out means and divisors of rows."""
        return x


class Pipeline(Step):
    """Preprocessing steps in order."""

    def __init__(self, steps: list[Step]) -> None:
        super().__init__()
        self.steps: Any = nn.ModuleList(steps)

    @staticmethod
    def read(file: bytes | None, names: list[str]) -> Pipeline:
        """Pipeline of a saved file; of `names` if there is none, which then are steps without numbers."""
        numbers: dict[str, np.ndarray] = {}
        if file is not None:
            numbers, texts = _safetensors(file)
            names = texts["steps"].splitlines()
        return Pipeline([_step(name, str(at), numbers) for at, name in enumerate(names)])

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """Prepared rows."""
        for step in self.steps:
            x = step(x, context)
        return x

    def invert(self, x: Tensor, context: Context) -> Tensor:
        """Raw rows."""
        for step in reversed(self.steps):
            x = step.invert(x, context)
        return x


class Columns(Step):
    """`(x - mean) / deviation` of each column."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, mean: np.ndarray, deviation: np.ndarray) -> None:
        super().__init__()
        self.register_buffer("mean", _float(mean))
        self.register_buffer("deviation", _float(deviation))

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """Scaled columns."""
        return (x - self.mean) / self.deviation

    def invert(self, x: Tensor, context: Context) -> Tensor:
        """Columns in raw units."""
        return x * self.deviation + self.mean


class RowMean(Step):
    """`x - mean(x)` of each row."""

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """Rows of mean 0."""
        context["mean"] = x.mean(dim=-1, keepdim=True)
        return x - context["mean"]

    def invert(self, x: Tensor, context: Context) -> Tensor:
        """Rows with their means."""
        return x + context.get("mean", 0.0)


class NormRow(Step):
    """`x sqrt(n_inputs) / |x|` of each row; rows of zeros stay."""

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """Rows of equal lengths."""
        scale = x.norm(dim=-1, keepdim=True) / x.shape[-1] ** 0.5
        context["scale"] = torch.where(scale > 0, scale, 1.0)
        return x / context["scale"]

    def invert(self, x: Tensor, context: Context) -> Tensor:
        """Rows with their lengths."""
        return x * context.get("scale", 1.0)


class LayerNorm(Step):
    """`(x - mean(x)) / (deviation(x) + 1e-5)` of each row, with n - 1 in the deviation."""

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """Rows of mean 0 and deviation 1."""
        context["mean"] = x.mean(dim=-1, keepdim=True)
        x = x - context["mean"]
        length = x.norm(dim=-1, keepdim=True)
        context["scale"] = length / max(x.shape[-1] - 1, 1) ** 0.5 + 1e-5
        return x / context["scale"]

    def invert(self, x: Tensor, context: Context) -> Tensor:
        """Rows with their deviations and means."""
        return x * context.get("scale", 1.0) + context.get("mean", 0.0)


class Clip(Step):
    """Values between two bounds; not inverted."""

    bounds: Tensor

    def __init__(self, bounds: np.ndarray) -> None:
        super().__init__()
        self.register_buffer("bounds", _float(bounds))

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """Clipped values."""
        return torch.clamp(x, self.bounds[0], self.bounds[1])


class Whiten(Step):
    """`(x - mean) matrix^T`: principal components, or decorrelated columns."""

    mean: Tensor
    matrix: Tensor
    inverse: Tensor

    def __init__(self, mean: np.ndarray, matrix: np.ndarray, inverse: np.ndarray) -> None:
        super().__init__()
        self.register_buffer("mean", _float(mean))
        self.register_buffer("matrix", _float(matrix).reshape(-1, len(mean)))
        self.register_buffer("inverse", _float(inverse).reshape(len(mean), -1))

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """Whitened rows."""
        return functional.linear(x - self.mean, self.matrix)

    def invert(self, x: Tensor, context: Context) -> Tensor:
        """Rows in raw units."""
        return functional.linear(x, self.inverse, self.mean)


def _step(name: str, at: str, numbers: Mapping[str, np.ndarray]) -> Step:
    """Step of a pipeline, with its numbers under `AT.NAME`."""

    def of(key: str) -> np.ndarray:
        return numbers[f"{at}.{key}"]

    match name.split(":")[0]:
        case "row-mean":
            return RowMean()
        case "norm-row":
            return NormRow()
        case "layer-norm":
            return LayerNorm()
        case "clip-sd":
            return Clip(of("range"))
        case "pca" | "zca":
            return Whiten(of("mean"), of("forward"), of("backward"))
        case "standardise":
            return Columns(of("mean"), of("deviation"))
        case "scale" | "norm-average" | "norm-square":
            factor, shift = of("affine")
            return Columns(-shift / factor, 1.0 / factor)
    raise ConfigError(
        f"preprocessing `{name}` of several inputs cannot be part of a PyTorch module: use `model.folded().to_torch()`"
    )


def _float(values: np.ndarray) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)


def _safetensors(content: bytes) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Tensors and texts of a safetensors file of rarefy, whose numbers have 32 or 64 bits."""
    start = 8 + int.from_bytes(content[:8], "little")
    header: dict[str, Any] = json.loads(content[8:start])
    texts = json.loads(header.pop("__metadata__", {}).get("rarefy", "{}"))
    kinds = {"F32": "<f4", "F64": "<f8"}

    def tensor(entry: dict[str, Any]) -> np.ndarray:
        first, end = entry["data_offsets"]
        values = np.frombuffer(content[start + first : start + end], kinds[entry["dtype"]])
        return values.reshape(entry["shape"])

    return {name: tensor(entry) for name, entry in header.items()}, texts
