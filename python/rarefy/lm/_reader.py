"""Kept activations of a running model, batch by batch, for the store, the stream and the evaluation."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import ConfigError, NotFiniteError, ShapeError
from . import _contexts, _hooks
from ._contexts import Batch, Context, TokenMask

#: Tokens whose median norm defines outliers.
CALIBRATION = 10_000
#: Multiple of the median norm beyond which a token is an outlier.
OUTLIER_NORM = 10.0


@dataclass(frozen=True)
class Read:
    """One batch with the activations of its kept tokens at each module.

    Attributes
    ----------
    batch : Batch
    sequence, position : ndarray
        Context within the batch, and place in that context, of each kept token.
    counts : Counter
        Tokens of the batch by the rule that leaves them out.
    digest : str
        Hash of all token ids up to this batch.
    number : int
        Number of batches up to and with this one.
    rows : dict of Tensor
        Activations in float32 on the CPU, `(n_kept, width)`.
    norms : dict of ndarray
        Lengths of the rows.
    """

    batch: Batch
    sequence: np.ndarray
    position: np.ndarray
    counts: Counter[str]
    digest: str
    number: int
    rows: dict[str, Any] = field(default_factory=dict)
    norms: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def tokens(self) -> np.ndarray:
        """Ids of the kept tokens."""
        return self.batch.ids[self.sequence, self.position]


class Reader:
    """Runs a model over contexts and keeps the activations of tokens that count.

    `limits` has the largest norm of a kept row for each module. It follows from the first `CALIBRATION` kept tokens unless it
    is set before.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        modules: Sequence[str],
        *,
        io: str,
        context: int,
        batch_tokens: int,
        skip_first: int,
        skip_special: bool,
        outlier_norm: float | None,
    ) -> None:
        _hooks.need_torch()
        if io not in ("out", "in"):
            raise ConfigError(f"`io` must be 'out' or 'in', got {io!r}")
        if outlier_norm is not None and not outlier_norm > 1:
            raise ConfigError(f"`outlier_norm` must be above 1, a multiple of the median norm, or None, got {outlier_norm}")
        if not modules or len(set(modules)) != len(modules):
            raise ConfigError(f"`module` must be a name or a list of different names, got {list(modules)}")
        for name in modules:
            _hooks.submodule(model, name)
        _contexts.check_context(model, context)
        self.model, self.tokenizer, self.modules, self.io = model, tokenizer, list(modules), io
        self.context, self.batch_tokens, self.outlier_norm = context, batch_tokens, outlier_norm
        self.mask = TokenMask.of(tokenizer, skip_first, skip_special)
        self.pad = _contexts.pad_id(tokenizer)
        self.limits: dict[str, float] = {}

    def contexts(self, texts: Iterable[str], max_tokens: int | None) -> Iterator[Context]:
        """Contexts of texts, at most `max_tokens` tokens in all."""
        if max_tokens is not None and max_tokens < 1:
            raise ConfigError(f"`max_tokens` must be 1 or more, or None, got {max_tokens}")
        return _contexts.contexts(self.tokenizer, texts, self.context, max_tokens)

    def batches(self, contexts: Iterable[Context]) -> Iterator[Batch]:
        """Padded batches of contexts."""
        return _contexts.batches(contexts, self.batch_tokens, self.pad)

    def reads(self, contexts: Iterable[Context]) -> Iterator[Read]:
        """All batches without activations, which `fill` adds."""
        digest = hashlib.sha256()
        for number, batch in enumerate(self.batches(contexts), 1):
            digest.update(np.asarray([batch.ids.shape, (number, 0)], dtype="<i8").tobytes())
            digest.update(batch.ids.astype("<i8").tobytes() + batch.real.tobytes())
            counts: Counter[str] = Counter()
            sequence, position = np.nonzero(self.mask.kept(batch, counts))
            yield Read(batch, sequence, position, counts, digest.hexdigest(), number)

    def fill(self, read: Read) -> Read:
        """Runs the model on a batch up to the last module."""
        torch = _hooks.need_torch()
        inputs = _hooks.inputs_of(self.model, read.batch.ids, read.batch.real)
        found = _hooks.capture(self.model, self.modules, self.io, inputs)
        for name, activations in found.items():
            device = activations.device
            at = torch.as_tensor(read.sequence, device=device), torch.as_tensor(read.position, device=device)
            rows = activations[at].float().cpu()
            norms = rows.double().norm(dim=1).numpy()
            if not np.isfinite(norms).all():
                first = int(np.flatnonzero(~np.isfinite(norms))[0])
                raise NotFiniteError(
                    f"{name}: the activations of token {int(read.tokens[first])} at position {int(read.position[first])} "
                    "are NaN or infinite: run the model in float32 or bfloat16"
                )
            read.rows[name], read.norms[name] = rows, norms
        return read

    def calibrated(self, reads: Iterable[Read]) -> Iterator[Read]:
        """Reads with activations; `limits` is set before the first one is given."""
        source = iter(reads)
        if not self.limits:
            waiting, count = [], 0
            for read in source:
                waiting.append(self.fill(read))
                count += len(read.sequence)
                if count >= CALIBRATION:
                    break
            self._calibrate(waiting)
            yield from waiting
        for read in source:
            yield self.fill(read)

    def _calibrate(self, reads: list[Read]) -> None:
        if not reads or not sum(len(read.sequence) for read in reads):
            raise ShapeError(
                "texts: no token is left after the masks: pass more or longer texts, or lower `skip_first` or `skip_special`"
            )
        for name in self.modules:
            norms = np.concatenate([read.norms[name] for read in reads])[:CALIBRATION]
            factor = np.inf if self.outlier_norm is None else self.outlier_norm
            self.limits[name] = float(factor * np.median(norms)) if np.median(norms) > 0 else float("inf")

    def inliers(self, read: Read, name: str) -> np.ndarray:
        """False for kept tokens whose norm is beyond the limit."""
        return read.norms[name] <= self.limits[name]
