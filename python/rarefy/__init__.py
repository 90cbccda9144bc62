"""Sparse autoencoders, exact and fast.

>>> import rarefy
>>> X, words = rarefy.samples.words()
>>> run = rarefy.train(X, "topk", n_latents=256, k=8, steps=100, progress=False)
>>> codes = run.model.encode(X)                     # scipy CSR, 8 of 256 latents for each row
>>> page = run.model.explorer(X, texts=words)       # page.save("words.html")

`SparseAutoencoder` is the same as an estimator of scikit-learn, `Trainer` takes batches of a stream, `rarefy.lm` harvests and
evaluates language models.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ._core import __version__

if TYPE_CHECKING:
    from . import errors, lm, samples
    from ._estimator import SparseAutoencoder
    from ._codes import Codes
    from ._model import Model, load
    from ._page import Page
    from ._progress import Progress
    from ._runs import Frontier, Run, Synthetic, architectures, compare, frontier, synth, train
    from ._trainer import Trainer

#: Module of each public name; modules are loaded when a name is first used.
_HOMES = {
    "SparseAutoencoder": "_estimator",
    "Codes": "_codes",
    "Model": "_model",
    "load": "_model",
    "Page": "_page",
    "Frontier": "_runs",
    "Run": "_runs",
    "Synthetic": "_runs",
    "architectures": "_runs",
    "compare": "_runs",
    "frontier": "_runs",
    "synth": "_runs",
    "train": "_runs",
    "Progress": "_progress",
    "Trainer": "_trainer",
}
_MODULES = ("errors", "lm", "samples")

__all__ = [
    "Codes",
    "Frontier",
    "Model",
    "Page",
    "Progress",
    "Run",
    "SparseAutoencoder",
    "Synthetic",
    "Trainer",
    "__version__",
    "architectures",
    "compare",
    "errors",
    "frontier",
    "lm",
    "load",
    "samples",
    "synth",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f".{name}", __name__)
    if name in _HOMES:
        try:
            found = getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
        except ModuleNotFoundError as error:
            if name == "SparseAutoencoder" and (error.name or "").startswith("sklearn"):
                raise ModuleNotFoundError(
                    "rarefy.SparseAutoencoder needs scikit-learn: pip install 'rarefy[sklearn]'", name=error.name
                ) from error
            raise
        globals()[name] = found
        return found
    raise AttributeError(f"module 'rarefy' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
