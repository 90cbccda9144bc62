"""Python parameters as settings of the configuration."""

from __future__ import annotations

import difflib
import functools
import json
import numbers
from collections.abc import Mapping
from typing import Any

from . import _core
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
    "label": "data.label",
    "text": "data.text",
}

#: Parameters that are whole numbers.
WHOLE = ("n_latents", "steps", "epochs", "batch_size", "random_state", "holdout")

#: Names that other libraries use, and ours.
ELSEWHERE = {
    "d_sae": "n_latents",
    "hidden": "n_latents",
    "n_components": "n_latents",
    "dict_size": "n_latents",
    "expansion_factor": "n_latents",
    "lr": "learning_rate",
    "seed": "random_state",
    "batch": "batch_size",
    "max_iter": "steps",
    "l1_coefficient": "l1",
}

#: Names that other libraries use, and the reason why there is none here.
NOT_HERE = {
    "device": "rarefy works on the CPU",
    "dtype": "rarefy trains in float32",
}


def settings(parameters: Mapping[str, Any], options: Mapping[str, Any], more: Mapping[str, Any] | None) -> dict[str, Any]:
    """Dotted keys and values; parameters that are None are left out."""
    found: dict[str, Any] = {}
    for name, value in parameters.items():
        if value is None:
            continue
        found[NAMES[name]] = _checked(name, value)
    for name, value in options.items():
        if name in ELSEWHERE:
            raise ConfigError(f"unknown parameter `{name}`; use `{ELSEWHERE[name]}`")
        if name in NOT_HERE:
            raise ConfigError(f"unknown parameter `{name}`: {NOT_HERE[name]}")
        if name not in _options():
            raise ConfigError(f"unknown parameter `{name}`{_nearest(name)}")
        if value is not None:
            found[f"model.options.{name}"] = _option(name, value)
    found.update(more or {})
    return found


@functools.cache
def _options() -> frozenset[str]:
    """Options of all architectures."""
    return frozenset(option["name"] for line in json.loads(_core.architectures()) for option in line["options"])


def _nearest(name: str) -> str:
    """Question after a name that is written nearly alike."""
    found = difflib.get_close_matches(name, [*NAMES, *sorted(_options())], n=1)
    return f", did you mean `{found[0]}`?" if found else "; rarefy.architectures() lists the options of each architecture"


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
