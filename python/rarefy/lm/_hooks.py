"""Activations of modules, read or replaced in one forward pass.

Hooks exist during one pass only and are removed after it, also after an error. The model runs in evaluation mode and without
gradients; the mode of each module is restored.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from ..errors import ConfigError, ShapeError

#: Gets the activations of a module; returns their replacement, or None to leave them.
Visit = Callable[[Any], Any]


class _Stop(BaseException):
    """Ends a forward pass. No `Exception`, which the code of a model might catch."""


def need_torch() -> Any:
    """The module `torch`, or an error with the command that installs it."""
    try:
        import torch
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "rarefy.lm needs PyTorch and transformers: pip install 'rarefy[lm]'", name=error.name
        ) from error
    return torch


def capture(model: Any, names: Sequence[str], io: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Activations of modules in one forward pass, which ends after the last of them.

    Parameters
    ----------
    model : torch.nn.Module
    names : list of str
        Names of modules, as in `model.named_modules()`.
    io : {"out", "in"}
        Output or first input of the modules.
    inputs : dict
        Arguments of the model, among them `input_ids`.

    Returns
    -------
    dict of Tensor, `(n_sequences, n_positions, width)`
        Of the first call, for a module that is called several times.
    """
    found: dict[str, Any] = {}

    def keep(name: str, activations: Any) -> None:
        found.setdefault(name, activations.detach())
        if len(found) == len(names):
            raise _Stop

    with _quiet(model), _hooked(model, {name: partial(keep, name) for name in names}, io, inputs):
        try:
            model(**inputs)
        except _Stop:
            pass
    for name in names:
        if name not in found:
            raise ConfigError(f"`module`: {name} exists, but a forward pass of {type(model).__name__} does not call it")
    return found


def run(model: Any, name: str, io: str, inputs: Mapping[str, Any], replacement: Any = None) -> tuple[Any, Any]:
    """Output of a whole forward pass, and the activations of a module; `replacement` takes their place if given."""
    found: list[Any] = []

    def visit(activations: Any) -> Any:
        found.append(activations.detach())
        return replacement

    with _quiet(model), _hooked(model, {name: visit}, io, inputs):
        output = model(**inputs)
    if len(found) != 1:
        raise ConfigError(f"`module`: expected one call of {name} in a forward pass, got {len(found)}")
    return output, found[0]


def submodule(model: Any, name: str) -> Any:
    """Module of a name, or an error with the nearest names."""
    try:
        return model.get_submodule(name)
    except AttributeError:
        pass
    names = [known for known, _ in model.named_modules() if known]
    near = [known for known in names if known.endswith("." + name)] or difflib.get_close_matches(name, names, 5, 0.5)
    hint = f"nearest names: {', '.join(near[:5])}" if near else f"there are: {', '.join(names[:10])}"
    raise ConfigError(f"`module`: {type(model).__name__} has no module {name!r}; {hint}")


def inputs_of(model: Any, ids: Any, attention: Any) -> dict[str, Any]:
    """Arguments of the model for arrays of token ids and of the attention mask, on the model's device."""
    torch = need_torch()
    device = next((p.device for p in model.parameters()), None)
    found = {
        "input_ids": torch.as_tensor(ids, dtype=torch.long, device=device),
        "attention_mask": torch.as_tensor(attention, dtype=torch.long, device=device),
    }
    if "use_cache" in inspect.signature(model.forward).parameters:
        found["use_cache"] = False
    return found


@contextmanager
def _quiet(model: Any) -> Iterator[None]:
    """Evaluation mode without gradients; restores the mode of each module."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with need_torch().no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextmanager
def _hooked(model: Any, visits: Mapping[str, Visit], io: str, inputs: Mapping[str, Any]) -> Iterator[None]:
    """Calls `visits` with the activations of modules; removes the hooks at the end."""
    shape = tuple(inputs["input_ids"].shape)
    handles = []
    try:
        for name, visit in visits.items():
            module = submodule(model, name)
            if io == "out":
                handles.append(module.register_forward_hook(partial(_on_output, name, shape, visit)))
            else:
                hook = partial(_on_input, name, shape, visit)
                handles.append(module.register_forward_pre_hook(hook, with_kwargs=True))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _on_output(name: str, shape: tuple[int, ...], visit: Visit, module: Any, args: Any, output: Any) -> Any:
    is_tuple = isinstance(output, (tuple, list)) and len(output) > 0
    new = visit(_checked(output[0] if is_tuple else output, f"the output of {name}", shape))
    return (new, *output[1:]) if is_tuple and new is not None else new


def _on_input(name: str, shape: tuple[int, ...], visit: Visit, module: Any, args: Any, kwargs: Any) -> Any:
    """Takes the first positional argument, else `hidden_states`, else the first argument that is a tensor."""
    if args:
        new = visit(_checked(args[0], f"the input of {name}", shape))
        return None if new is None else ((new, *args[1:]), kwargs)
    is_tensor = need_torch().is_tensor
    key = "hidden_states" if "hidden_states" in kwargs else next((k for k, v in kwargs.items() if is_tensor(v)), None)
    new = visit(_checked(kwargs.get(key), f"the input of {name}", shape))
    return None if new is None else (args, kwargs | {key: new})


def _checked(value: Any, what: str, shape: tuple[int, ...]) -> Any:
    """A tensor with one row of floating-point numbers for each token."""
    if not need_torch().is_tensor(value):
        raise TypeError(
            f"`module`: expected {what} to be a tensor or a tuple that begins with one, got {type(value).__name__}: "
            "name a layer or a part of a layer, such as model.layers.0.mlp"
        )
    if value.ndim != 3 or tuple(value.shape[:2]) != shape or not value.is_floating_point():
        raise ShapeError(
            f"`module`: expected {what} to have one row for each token, ({shape[0]}, {shape[1]}, width), "
            f"got shape {tuple(value.shape)} of {value.dtype}"
        )
    return value
