"""Python parameters as settings of the configuration."""

from __future__ import annotations

import difflib
import functools
import inspect
import json
import numbers
from collections.abc import Iterable, Mapping
from typing import Any

from . import _arrays, _core
from .errors import ConfigError

#: Setting of each parameter.
NAMES = {
    "architecture": "model.arch",
    "n_latents": "model.latents",
    "steps": "train.steps",
    "epochs": "train.epochs",
    "batch_size": "train.batch",
    "learning_rate": "train.lr",
    "optimizer": "train.optimizer",
    "random_state": "train.seed",
    "preprocess": "data.preprocess",
    "holdout": "data.holdout",
    "image_shape": "data.image_shape",
    "target": "data.target",
    "member": "data.member",
    "memory": "data.memory",
}

#: Public functions with such parameters.
FUNCTIONS = ("train", "Trainer", "SparseAutoencoder")

#: Parameters that are whole numbers.
WHOLE = ("n_latents", "steps", "epochs", "batch_size", "random_state", "holdout")

#: Names that other libraries and functions use, and ours.
#: Optimisers of the program.
OPTIMIZERS = ("lbfgs", "adam", "sgd", "schedule-free", "signum")

#: Names that other libraries use, and ours.
SYNONYMS = {
    "arch": "architecture",
    "d_sae": "n_latents",
    "hidden": "n_latents",
    "n_components": "n_latents",
    "dict_size": "n_latents",
    "expansion_factor": "n_latents",
    "lr": "learning_rate",
    "seed": "random_state",
    "batch": "batch_size",
    "max_iter": "steps",
    "steps": "max_iter",
    "l1_coefficient": "l1",
}

#: Names that other libraries use, and the reason why there is none here.
NOT_HERE = {
    "device": "rarefy works on the CPU",
    "dtype": "rarefy trains in float32",
    "columns": "all columns of an array are data; pass the columns that are wanted",
    "exclude": "drop the columns before: X.drop(columns=[...])",
}


def settings(
    function: str, parameters: Mapping[str, Any], options: Mapping[str, Any], more: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Dotted keys and values for a public function; parameters that are None are left out."""
    found: dict[str, Any] = {}
    for name, value in parameters.items():
        if value is None:
            continue
        found[NAMES[name]] = _checked(name, value)
    check_options(function, options)
    for name, value in options.items():
        if value is not None:
            found[f"model.options.{name}"] = _option(name, value)
    found.update((key, value) for key, value in (more or {}).items() if value is not None)
    names = {key: name for name, key in NAMES.items()}
    for key, value in found.items():
        if isinstance(value, numbers.Integral) and not -(2**63) <= int(value) < 2**63:
            name = names.get(key, key.removeprefix("model.options."))
            raise ConfigError(f"`{name}` must be a whole number of at most 64 bits, got {value}")
    return found


def check_options(function: str, options: Iterable[str]) -> None:
    """Refuses names that no architecture has as an option, with the name that `function` takes instead."""
    for name in options:
        if name not in _options():
            raise ConfigError(_unknown(function, name))


def _unknown(function: str, name: str) -> str:
    own = _parameters(function)
    if name in own:
        return f"`{name}` is a parameter of rarefy.{function}, not an option of an architecture"
    other = SYNONYMS.get(name)
    if other in own or other in _options():
        return f"unknown parameter `{name}`; use `{other}`"
    if name in NOT_HERE:
        return f"unknown parameter `{name}`: {NOT_HERE[name]}"
    others = [f"rarefy.{other}" for other in FUNCTIONS if name in _parameters(other)]
    if others:
        return f"`{name}` is a parameter of {' and '.join(others)}; rarefy.{function} does not take it"
    near = difflib.get_close_matches(name, [*own, *sorted(_options())], n=1)
    hint = f", did you mean `{near[0]}`?" if near else "; rarefy.architectures() lists the options of each architecture"
    return f"unknown parameter `{name}`{hint}"


def _parameters(function: str) -> list[str]:
    """Names of the parameters of a public function that trains."""
    import rarefy

    try:
        found = inspect.signature(getattr(rarefy, function)).parameters.values()
    except ModuleNotFoundError:  # The estimator, without scikit-learn.
        return []
    return [p.name for p in found if p.kind is not p.VAR_KEYWORD]


def threads(n: Any, settings: Mapping[str, Any]) -> int | None:
    """Number of threads: `train.threads` of the settings, else the parameter; None for all cores."""
    return _arrays.threads(settings.get("train.threads", n))


def plain(value: Any) -> Any:
    """A number of numpy as one of Python, for `json.dumps`."""
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"expected a number or text, got {type(value).__name__}")


@functools.cache
def _options() -> frozenset[str]:
    """Options of all architectures."""
    return frozenset(option["name"] for line in json.loads(_core.architectures()) for option in line["options"])


def whole(name: str, value: Any) -> int:
    """A whole number not below 0."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < 0:
        raise ConfigError(f"`{name}` must be a whole number not below 0, got {value!r}")
    return int(value)


def _checked(name: str, value: Any) -> Any:
    """Value of a parameter, of the type that the configuration expects."""
    if name in WHOLE:
        return whole(name, value)
    if name == "learning_rate":
        if not isinstance(value, numbers.Real) or isinstance(value, bool):
            raise ConfigError(f"`{name}` must be a number, got {value!r}")
        return float(value)
    if name == "preprocess":
        return _steps_of(value)
    if name == "image_shape":
        return image_shape(value)
    if not isinstance(value, str):
        raise ConfigError(f"`{name}` must be a text, got {value!r}")
    if name == "optimizer" and value not in OPTIMIZERS:
        raise ConfigError(f"`optimizer` must be one of {', '.join(OPTIMIZERS)}, got {value!r}")
    return value


def image_shape(value: Any, width: int | None = None) -> list[int]:
    """Height and width of a picture, which make up a row of `width` values, or three colours of it."""
    try:
        height, breadth = (whole("image_shape", side) for side in value)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"`image_shape` must be (height, width), got {value!r}") from error
    if width is not None and width not in (height * breadth, 3 * height * breadth):
        raise ConfigError(f"`image_shape` must have height x width (x 3 for colour) = {width} values, got {height} x {breadth}")
    return [height, breadth]


def _option(name: str, value: Any) -> Any:
    """Lists of numbers are written with commas, as the program takes them."""
    if isinstance(value, (list, tuple)):
        return ",".join(str(v) for v in value)
    if not isinstance(value, (str, bool, numbers.Real)) and not hasattr(value, "item"):
        raise TypeError(f"`{name}` must be a number, text, bool or list, got {type(value).__name__}")
    return value.item() if hasattr(value, "item") else value


def _steps_of(preprocess: Any) -> list[str]:
    """Names of preprocessing steps; one name may stand alone."""
    if isinstance(preprocess, str):
        return [preprocess]
    try:
        steps = list(preprocess)
    except TypeError:
        steps = [preprocess]
    if not all(isinstance(step, str) for step in steps):
        raise ConfigError(f"`preprocess` must be a name or a list of names, got {preprocess!r}")
    return steps
