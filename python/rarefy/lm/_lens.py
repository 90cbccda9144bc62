"""Logit lens: directions of an autoencoder as logits of the language model, and token ids as strings."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import _hooks

#: String of an id that the tokenizer does not know, as in SAEDashboard.
OUT_OF_RANGE = "<|outofrange|>"
#: Begin a token with a space in the vocabularies of SentencePiece and of byte-level BPE.
SPACES = ("\u2581", "\u0120")
#: Activation at which a decoder row is measured. Large, so that an offset costs no digits of the row.
LARGE = 1024.0


def output_matrix(model: Any, tokenizer: Any, width: int) -> np.ndarray | None:
    """Output matrix times the weight of the final norm, centred over tokens, `(n_tokens, width)`; None if there is none."""
    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    if head is None or head.weight.shape[1] != width:
        return None
    count = min(len(tokenizer), head.weight.shape[0])
    matrix = head.weight[:count].detach().float().cpu().numpy() * final_scale(model, width)
    return matrix - matrix.mean(axis=0)  # type: ignore[no-any-return]


def final_scale(model: Any, width: int) -> np.ndarray:
    """Factor by which the model's final norm multiplies each value; ones if there is none.

    Measured on rows of ±1 with mean 0, because norms keep their factor as `weight` or as `1 + weight` (Gemma).
    """
    torch = _hooks.need_torch()
    # The final norm is outside of the list of layers: no part of its name is a number.
    norms = [
        module
        for name, module in model.named_modules()
        if not any(part.isdigit() for part in name.split("."))
        and getattr(getattr(module, "weight", None), "shape", None) == (width,)
    ]
    if not norms:
        return np.ones(width, dtype=np.float32)
    weight = norms[-1].weight
    signs = torch.ones(1, 1, width, dtype=weight.dtype, device=weight.device)
    signs[..., 1::2] = -1
    with torch.no_grad():
        # The difference removes the bias.
        scale = signs * (norms[-1](signs) - norms[-1](-signs)) / 2
    return scale.reshape(-1).float().cpu().numpy()  # type: ignore[no-any-return]


def decoder_rows(sae: Any, latents: np.ndarray) -> np.ndarray:
    """Decoder rows of latents in raw units, `(len(latents), n_outputs)`: the reconstruction's change by an activation of 1."""
    weights = sae.weights
    rows = weights["w_dec"] if "w_dec" in weights else weights["w_enc"]
    # A decoder that ends with a sigmoid has no such rows behind it.
    if not sae.preprocess or sae.options.get("decoder") == "sigmoid":
        return rows[latents]  # type: ignore[no-any-return]
    codes = np.zeros((len(latents), sae.n_latents), dtype=np.float32)
    codes[np.arange(len(latents)), latents] = LARGE
    return (sae.decode(codes) - sae.decode(-codes)) / np.float32(2 * LARGE)  # type: ignore[no-any-return]


class TokenStrings:
    """Strings of single tokens, such as `" word"`.

    A space at the beginning is kept. A token that is a part of a character is written as in the vocabulary.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self._known: dict[int, str] = {}

    def __call__(self, ids: Any) -> list[str]:
        known = self._known
        for number in set(ids).difference(known):
            known[number] = self._string(int(number))
        return [known[number] for number in ids]

    def _string(self, number: int) -> str:
        try:
            token = self.tokenizer.convert_ids_to_tokens(number)
        except (IndexError, KeyError, OverflowError):
            token = None
        if token is None:
            return OUT_OF_RANGE
        text = self.tokenizer.decode([number])
        if "\ufffd" in text:
            return str(token)
        # The decoders of some tokenizers drop the first space of a text.
        return f" {text}" if token.startswith(SPACES) and not text.startswith(" ") else text
