"""Models as those of other libraries."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import ConfigError

if TYPE_CHECKING:
    from ._model import Model

#: Architectures of SAELens that a saved model may have.
SAELENS = (
    "abstopk",
    "gated",
    "jumprelu",
    "jumprelu_skip_transcoder",
    "jumprelu_transcoder",
    "matching_pursuit",
    "skip_transcoder",
    "standard",
    "topk",
    "transcoder",
)

#: Architectures that SAELens does not have.
OWN = ("groupmax", "kl")

#: Preprocessing that SAELens applies itself.
SAELENS_NORMALISATIONS = (["norm-row"], ["layer-norm"])


def to_saelens(model: Model) -> Any:
    """Makes an `SAE` of SAELens that computes the same as a model, on raw rows.

    Raises
    ------
    ModuleNotFoundError
        SAELens is not installed.
    rarefy.errors.ConfigError
        SAELens has no such architecture, or the weights cannot hold the preprocessing.
    """
    try:
        from sae_lens import SAE  # type: ignore[import-not-found,unused-ignore]
    except ModuleNotFoundError as error:
        if error.name != "sae_lens":
            raise
        raise ModuleNotFoundError("Model.to_saelens needs SAELens: pip install sae-lens", name="sae_lens") from error
    if model.architecture in OWN:
        raise _unknown(model.architecture)
    core = model._core if model.preprocess in SAELENS_NORMALISATIONS else model._core.folded()
    with tempfile.TemporaryDirectory() as folder:
        core.save(folder)
        config = json.loads(Path(folder, "cfg.json").read_text(encoding="utf-8"))
        if config["architecture"] not in SAELENS:
            raise _unknown(config["architecture"])
        return SAE.load_from_disk(folder, device="cpu")


def _unknown(name: str) -> ConfigError:
    return ConfigError(f"SAELens has no model that computes the same as `{name}`: use Model.to_torch instead")
