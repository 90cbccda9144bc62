"""Texts as contexts of tokens, contexts as padded batches, and the tokens that count.

The order of the contexts depends on the texts alone, and batches are cut from that order. So a harvest can continue after a
stop, and figures do not depend on the batch size beyond rounding.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from ..errors import ConfigError, ShapeError

#: Contexts that are sorted by length together.
GROUP = 256
#: Texts that the tokenizer gets at once.
TEXTS = 64


@dataclass(frozen=True)
class Context:
    """Tokens that the model reads together.

    Attributes
    ----------
    ids : ndarray of int64
    text : int
        Number of the text.
    start : int
        Place of the first token within the tokens of the text; a repeated BOS token is not counted.
    """

    ids: np.ndarray
    text: int
    start: int


@dataclass(frozen=True)
class Batch:
    """Contexts side by side, padded on the right: `ids` and `real`, `(n_contexts, n_positions)`."""

    contexts: list[Context]
    ids: np.ndarray
    #: The attention mask: False for padding, which may have the id of a real token.
    real: np.ndarray


@dataclass(frozen=True)
class TokenMask:
    """Tokens that are left out by their place or id."""

    skip_first: int
    special: np.ndarray

    @classmethod
    def of(cls, tokenizer: Any, skip_first: int, skip_special: bool) -> TokenMask:
        """Mask with the special tokens of a tokenizer."""
        if skip_first < 0:
            raise ConfigError(f"`skip_first` must be 0 or more, got {skip_first}")
        special = sorted(set(tokenizer.all_special_ids)) if skip_special else []
        return cls(skip_first, np.asarray(special, dtype=np.int64))

    def kept(self, batch: Batch, counts: Counter[str] | None = None) -> np.ndarray:
        """True for tokens that count. Adds the tokens to `counts` under the first rule that leaves them out."""
        first = batch.real.copy()
        first[:, self.skip_first :] = False
        special = batch.real & ~first & np.isin(batch.ids, self.special)
        if counts is not None:
            counts["padding"] += int((~batch.real).sum())
            counts["tokens"] += int(batch.real.sum())
            counts["first"] += int(first.sum())
            counts["special"] += int(special.sum())
        return batch.real & ~first & ~special


def contexts(tokenizer: Any, texts: Iterable[str], context: int, max_tokens: int | None = None) -> Iterator[Context]:
    """Contexts of at most `context` tokens, in groups that are sorted by length.

    Each context of a text begins with the BOS token if the tokenizer begins a text with it.
    """
    if context < 2:
        raise ConfigError(f"`context` must be 2 tokens or more, got {context}")
    if isinstance(texts, (str, bytes)):
        raise TypeError("texts: expected an iterable of texts, got a single text: pass [text]")
    cut = _limited(_cut(tokenizer, texts, context), max_tokens)
    while group := list(islice(cut, GROUP)):
        yield from sorted(group, key=lambda c: -len(c.ids))


def _limited(found: Iterator[Context], max_tokens: int | None) -> Iterator[Context]:
    left = max_tokens
    for context in found:
        if left is None:
            yield context
            continue
        if left > 0:
            yield Context(context.ids[:left], context.text, context.start)
        left -= len(context.ids)
        if left <= 0:
            return


def _cut(tokenizer: Any, texts: Iterable[str], context: int) -> Iterator[Context]:
    bos = getattr(tokenizer, "bos_token_id", None)
    for number, ids in enumerate(_tokenised(tokenizer, texts)):
        again = ids[:1] if len(ids) and bos is not None and ids[0] == bos else ids[:0]
        width = context - len(again)
        for start in range(len(again), len(ids), width):
            part = np.concatenate([again, ids[start : start + width]])
            yield Context(part, number, 0 if start == len(again) else start)


def _tokenised(tokenizer: Any, texts: Iterable[str]) -> Iterator[np.ndarray]:
    source = iter(texts)
    while some := list(islice(source, TEXTS)):
        for text in some:
            if not isinstance(text, str):
                raise TypeError(f"texts: expected an iterable of str, got {type(text).__name__}")
        # `verbose` silences the warning on texts longer than a context, which are cut here.
        for ids in tokenizer(some, verbose=False)["input_ids"]:
            yield np.asarray(ids, dtype=np.int64)


def batches(found: Iterable[Context], batch_tokens: int, pad: int) -> Iterator[Batch]:
    """Batches of at most `batch_tokens` tokens with their padding, and at least one context."""
    if batch_tokens < 1:
        raise ConfigError(f"`batch_tokens` must be 1 or more, got {batch_tokens}")
    source = iter(found)
    while group := list(islice(source, GROUP)):
        while group:
            # Sorted by length, so the first context is the longest.
            count = max(1, batch_tokens // max(1, len(group[0].ids)))
            yield padded(group[:count], pad)
            group = group[count:]


def padded(some: list[Context], pad: int) -> Batch:
    """One batch of contexts."""
    width = max(len(c.ids) for c in some)
    ids = np.full((len(some), width), pad, dtype=np.int64)
    real = np.zeros(ids.shape, dtype=bool)
    for line, context in enumerate(some):
        ids[line, : len(context.ids)] = context.ids
        real[line, : len(context.ids)] = True
    return Batch(some, ids, real)


def pad_id(tokenizer: Any) -> int:
    """Id that fills a batch; any will do, because padding is masked by the attention mask."""
    for name in ("pad_token_id", "eos_token_id"):
        if getattr(tokenizer, name, None) is not None:
            return int(getattr(tokenizer, name))
    return 0


def check_context(model: Any, context: int) -> None:
    """Refuses contexts longer than the model's positions."""
    limit = getattr(getattr(model, "config", None), "max_position_embeddings", None)
    if isinstance(limit, int) and 0 < limit < context:
        raise ShapeError(f"`context` must be at most {limit}, the positions of {type(model).__name__}, got {context}")
