"""Explorer page of an autoencoder of a language model."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _arrays
from .._page import Page
from ..errors import ConfigError, ShapeError
from . import _hooks
from ._store import Store

#: Most rows of each latent that are chosen for it.
STRONGEST = 10
#: Rows that are encoded at once, and numbers of a matrix of dense latents.
PIECE = 16_384
DENSE = 1 << 23


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
        Most rows of the page. Up to half of them are the rows of the whole store on which each latent is most active, at most
        10 of each latent and rare latents first; the others are at equal distances. Rates on the page are those of its rows.
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
    _arrays.refuse_several(store, "store")
    if store.n_inputs != sae.n_inputs:
        raise ShapeError(f"store: expected rows of {sae.n_inputs} values as the model takes them, got {store.n_inputs}")
    chosen = _chosen(sae, store, rows)
    texts = [marked(tokenizer, *store.window(int(row), before, after)) for row in chosen]
    matrix, vocabulary = _lens(model, tokenizer, sae.n_outputs) if unembedding else (None, None)
    return sae.explorer(store.read(chosen), texts=texts, unembedding=matrix, vocabulary=vocabulary)  # type: ignore[no-any-return]


def _chosen(sae: Any, store: Store, most: int) -> np.ndarray:
    """Numbers of the rows of the page, in order."""
    if store.rows <= most:
        return np.arange(store.rows)
    top = strongest(sae, store, min(STRONGEST, max(1, most // 2 // sae.n_latents)))[: most // 2]
    even = np.linspace(0, store.rows - 1, most - len(top)).round().astype(np.int64)
    return np.union1d(top, even)


def strongest(sae: Any, store: Store, count: int) -> np.ndarray:
    """Numbers of the `count` rows of a store on which each latent is most active, each row once.

    The strongest rows of all latents come first, then the second ones; among them those of rare latents come first.
    """
    fired = np.zeros(sae.n_latents, dtype=np.int64)
    least = np.zeros(sae.n_latents, dtype=np.float32)
    latents, rows = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    strengths = np.zeros(0, dtype=np.float32)
    piece = PIECE if sae.is_sparse else max(1, DENSE // sae.n_latents)
    for start in range(0, store.rows, piece):
        latent, strength, row = _activations(sae, store.read(np.arange(start, min(start + piece, store.rows))))
        fired += np.bincount(latent, minlength=sae.n_latents)
        new = strength > least[latent]
        latents = np.concatenate([latents, latent[new]])
        strengths = np.concatenate([strengths, strength[new]])
        rows = np.concatenate([rows, row[new] + start])
        order = np.lexsort((rows, -strengths, latents))
        order = order[_ranks(latents[order]) < count]
        latents, strengths, rows = latents[order], strengths[order], rows[order]
        full = _ranks(latents) == count - 1
        least[latents[full]] = strengths[full]
    rows = rows[np.lexsort((latents, fired[latents], _ranks(latents)))]
    return rows[np.sort(np.unique(rows, return_index=True)[1])]


def _ranks(latents: np.ndarray) -> np.ndarray:
    """Place of each entry among those of its latent, in a sorted array."""
    return np.arange(len(latents)) - np.searchsorted(latents, latents)


def _activations(sae: Any, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Latents, strengths and rows of all activations other than 0."""
    if sae.is_sparse:
        codes = sae.codes(x)
        return codes.indices, np.abs(codes.values), np.repeat(np.arange(len(codes)), np.diff(codes.indptr))
    dense = np.abs(sae.encode(x))
    row, latent = np.nonzero(dense)
    return latent, dense[row, latent], row


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
