"""Explorer page of an autoencoder of a language model."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _arrays
from .._page import Page
from ..errors import ConfigError, ShapeError
from ._largest import Largest, ranks
from ._lens import final_scale, output_matrix
from ._store import Store

__all__ = ["explorer", "final_scale", "marked", "strongest"]

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
    matrix = output_matrix(model, tokenizer, sae.n_outputs) if unembedding else None
    vocabulary = None if matrix is None else [tokenizer.decode([i]) for i in range(len(matrix))]
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
    top = Largest(sae.n_latents, count)
    piece = PIECE if sae.is_sparse else max(1, DENSE // sae.n_latents)
    for start in range(0, store.rows, piece):
        latent, strength, row = _activations(sae, store.read(np.arange(start, min(start + piece, store.rows))))
        fired += np.bincount(latent, minlength=sae.n_latents)
        top.add(latent, strength, row + start)
    rows = top.rows[np.lexsort((top.groups, fired[top.groups], ranks(top.groups)))]
    return rows[np.sort(np.unique(rows, return_index=True)[1])]


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
