"""Explorer page of an autoencoder of a language model."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._page import Page
from ..errors import ConfigError, ShapeError
from . import _hooks
from ._store import Store


def explorer(
    model: Any,
    tokenizer: Any,
    sae: Any,
    store: Store,
    *,
    rows: int = 20_000,
    before: int = 12,
    after: int = 6,
    unembedding: bool = True,
) -> Page:
    """One HTML page in which a reader searches latents and sees the tokens on which they are active.

    Parameters
    ----------
    model : torch.nn.Module
        Language model; read for its output matrix alone.
    tokenizer : tokenizer of transformers
    sae : Model
    store : Store
        Activations with their tokens.
    rows : int
        Most rows of the page, at equal distances in the store.
    before, after : int
        Most tokens before and after the token of a row; the token itself stands in `⟦ ⟧`.
    unembedding : bool
        Adds the tokens that each latent raises and lowers, if the autoencoder's width is that of the model's output matrix.

    Returns
    -------
    Page
        `page.save("latents.html")`; a notebook shows it in place.
    """
    if rows < 1:
        raise ConfigError(f"`rows` must be 1 or more, got {rows}")
    if store.n_inputs != sae.n_inputs:
        raise ShapeError(f"store: expected rows of {sae.n_inputs} values as the model takes them, got {store.n_inputs}")
    chosen = np.unique(np.linspace(0, store.rows - 1, min(rows, store.rows)).round().astype(np.int64))
    texts = [marked(tokenizer, *store.window(int(row), before, after)) for row in chosen]
    matrix, vocabulary = _lens(model, tokenizer, sae.n_outputs) if unembedding else (None, None)
    return sae.explorer(store.read(chosen), texts=texts, unembedding=matrix, vocabulary=vocabulary)  # type: ignore[no-any-return]


def marked(tokenizer: Any, ids: list[int], at: int) -> str:
    """Text of tokens with one token in `⟦ ⟧`.

    The text around it is decoded as a whole, because decoders add or drop spaces at the ends.
    """
    before, through, whole = (tokenizer.decode(ids[:end]) for end in (at, at + 1, len(ids)))
    if not (through.startswith(before) and whole.startswith(through)):
        # A character of several tokens is not decodable in parts.
        strings = [tokenizer.decode([i]) for i in ids]
        before, through, whole = ("".join(strings[:end]) for end in (at, at + 1, len(ids)))
    token = through[len(before) :]
    space = token[: len(token) - len(token.lstrip(" "))] if token.strip(" ") else ""
    return f"{before}{space}⟦{token[len(space) :]}⟧{whole[len(through) :]}"


def _lens(model: Any, tokenizer: Any, width: int) -> tuple[Any, Any]:
    """Output matrix times the weight of the final norm, centred over tokens, and the tokens; None if there is none."""
    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    if head is None or head.weight.shape[1] != width:
        return None, None
    count = min(len(tokenizer), head.weight.shape[0])
    matrix = head.weight[:count].detach().float().cpu().numpy() * final_scale(model, width)
    return matrix - matrix.mean(axis=0), [tokenizer.decode([i]) for i in range(count)]


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
