"""Statistics of latents over all rows of a store: rates, histograms, correlations, and contexts with their activations.

The codes of a store are computed once and kept if they are few enough, else once for each pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ._largest import Largest
from ._store import Store

#: Rows that are encoded at once, and numbers of a matrix of dense latents.
PIECE = 8_192
DENSE = 1 << 22
#: Activations that are kept between passes: 512 MB of sparse codes.
KEPT = 1 << 26
#: Most pairs of latents whose correlations are computed in one pass: 512 MB.
PAIRS = 1 << 26
#: Most tokens whose activations are looked up in one pass.
TOKENS = 1 << 23
#: Bars of a histogram.
BARS = 50
#: Variance below which a latent counts as constant, as a share of its mean square.
CONSTANT = 1e-12


class Pieces:
    """Codes of a store, piece by piece."""

    def __init__(self, sae: Any, store: Store) -> None:
        self.sae, self.store = sae, store
        size = PIECE if sae.is_sparse else max(1, DENSE // sae.n_latents)
        self.bounds = [(start, min(start + size, store.rows)) for start in range(0, store.rows, size)]
        self._kept: dict[int, Any] = {}
        self._free = KEPT

    def read(self, start: int, end: int) -> np.ndarray:
        """Rows of the store."""
        return self.store.read(np.arange(start, end))

    def codes(self, start: int, end: int, x: np.ndarray | None = None) -> Any:
        """Codes of a piece, a CSR matrix or an array; `x` are its rows if they were read already."""
        if start in self._kept:
            return self._kept[start]
        codes = self.sae.encode(self.read(start, end) if x is None else x)
        count = codes.nnz if self.sae.is_sparse else codes.size
        if count <= self._free:
            self._free -= count
            self._kept[start] = codes
        return codes

    def entries(self, start: int, end: int, codes: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Latents, rows and values of all activations of a piece other than 0."""
        if self.sae.is_sparse:
            row = np.repeat(np.arange(start, end), np.diff(codes.indptr))
            latent, value = codes.indices.astype(np.int64), codes.data
        else:
            row, latent = np.nonzero(codes)
            value, row = codes[row, latent], row + start
        active = value != 0
        return latent[active], row[active], value[active]

    def values(self, latents: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Activation of each latent on the row beside it."""
        found = np.zeros(len(rows), dtype=np.float32)
        order = np.argsort(rows, kind="stable")
        ends = np.searchsorted(rows[order], [end for _, end in self.bounds])
        first = 0
        for (start, end), last in zip(self.bounds, ends):
            at, first = order[first:last], last
            if not len(at):
                continue
            if start in self._kept:
                codes, lines = self._kept[start], rows[at] - start
            else:
                needed, lines = np.unique(rows[at], return_inverse=True)
                codes = self.sae.encode(self.store.read(needed))
            found[at] = np.asarray(codes[lines, latents[at]]).ravel()
        return found


@dataclass
class Sums:
    """Sums over all rows of a store, for a block of latents and for the latents and inputs that they are compared with.

    Attributes
    ----------
    latents : ndarray
        Latents of the block.
    n : int
        Number of rows.
    fired : ndarray, n_latents
        Rows on which a latent is not 0.
    total, squares : ndarray, n_latents
        Sums of activations and of their squares.
    low, high : ndarray, n_latents
        Least and greatest activation other than 0.
    pairs : ndarray, (n_block, n_latents)
        Sums of products of two latents.
    inputs : ndarray, (n_block, n_inputs)
        Sums of products of a latent and an input from which `shift` is subtracted.
    shift, x_total, x_squares : ndarray, n_inputs
        An approximate mean of the inputs; sums of the inputs less `shift`, and of their squares.
    """

    latents: np.ndarray
    n: int
    fired: np.ndarray
    total: np.ndarray
    squares: np.ndarray
    low: np.ndarray
    high: np.ndarray
    pairs: np.ndarray
    inputs: np.ndarray
    shift: np.ndarray
    x_total: np.ndarray
    x_squares: np.ndarray

    @classmethod
    def zeros(cls, latents: np.ndarray, n: int, n_latents: int, shift: np.ndarray) -> Sums:
        """Sums without rows yet."""
        width = len(shift)
        return cls(
            latents,
            n,
            fired=np.zeros(n_latents, dtype=np.int64),
            total=np.zeros(n_latents),
            squares=np.zeros(n_latents),
            low=np.full(n_latents, np.inf),
            high=np.full(n_latents, -np.inf),
            pairs=np.zeros((len(latents), n_latents)),
            inputs=np.zeros((len(latents), width)),
            shift=shift,
            x_total=np.zeros(width),
            x_squares=np.zeros(width),
        )

    def add(self, x: np.ndarray, codes: Any, latent: np.ndarray, value: np.ndarray) -> None:
        """Adds the rows of a piece, given as rows, codes and entries."""
        count = len(self.total)
        wide = value.astype(np.float64)
        self.fired += np.bincount(latent, minlength=count)
        self.total += np.bincount(latent, weights=wide, minlength=count)
        self.squares += np.bincount(latent, weights=wide * wide, minlength=count)
        np.minimum.at(self.low, latent, wide)
        np.maximum.at(self.high, latent, wide)
        centred = x - self.shift
        self.x_total += centred.sum(axis=0)
        self.x_squares += np.einsum("ij,ij->j", centred, centred)
        every = codes.astype(np.float64)
        is_whole = np.array_equal(self.latents, np.arange(count))
        block = (every if is_whole else every[:, self.latents]).T
        self.inputs += block @ centred
        products = block @ every
        if isinstance(products, np.ndarray):
            self.pairs += products
        else:
            sparse = products.tocoo()
            self.pairs[sparse.row, sparse.col] += sparse.data

    def with_latents(self, place: int) -> tuple[np.ndarray, np.ndarray]:
        """Pearson correlation and cosine of a latent of the block with each latent; NaN with itself and with constant latents."""
        latent = self.latents[place]
        one = (self.total[latent], self.squares[latent])
        pearson = _pearson(self.n, self.pairs[place], one, (self.total, self.squares))
        pearson[latent] = np.nan
        return pearson, _divided(self.pairs[place], np.sqrt(one[1] * self.squares))

    def with_inputs(self, place: int) -> tuple[np.ndarray, np.ndarray]:
        """Pearson correlation and cosine of a latent of the block with each input; NaN with constant inputs."""
        latent = self.latents[place]
        total, squares = self.total[latent], self.squares[latent]
        # Pearson correlations do not depend on the shift, which keeps their digits; cosines do.
        pearson = _pearson(self.n, self.inputs[place], (total, squares), (self.x_total, self.x_squares))
        products = self.inputs[place] + self.shift * total
        raw = self.x_squares + 2 * self.shift * self.x_total + self.n * self.shift**2
        return pearson, _divided(products, np.sqrt(squares * raw))


def _pearson(
    n: int, products: np.ndarray, one: tuple[float, float], others: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """Pearson correlations from sums of products, and from the sums and sums of squares of both sides; NaN for constants."""
    spread = n * one[1] - one[0] ** 2
    spreads = n * others[1] - others[0] ** 2
    varies = (spread > CONSTANT * n * one[1]) & (spreads > CONSTANT * n * others[1])
    return _divided(n * products - one[0] * others[0], np.sqrt(np.where(varies, spread * spreads, 0.0)))


def _divided(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.divide(a, b, out=np.full(a.shape, np.nan), where=b > 0)  # type: ignore[no-any-return]


@dataclass
class Contexts:
    """Rows that are shown for latents of a block, and counts of the activations.

    Attributes
    ----------
    bars : ndarray of int, (n_block, BARS)
        Histogram of the activations other than 0, between the least and the greatest.
    within : ndarray of int, (n_block, n_intervals)
        Activations above 0 in intervals of equal width from 0 to the greatest.
    places, kinds, rows : ndarray
        Place of the latent in the block; 0 for the largest activations, else the number of the interval, 1 for the highest; the
        row.
    """

    bars: np.ndarray
    within: np.ndarray
    places: np.ndarray
    kinds: np.ndarray
    rows: np.ndarray


def sums(pieces: Pieces, latents: np.ndarray, count: int) -> tuple[Sums, Largest]:
    """First pass: sums, and the `count` rows on which each latent of a block is most active."""
    place = _places(pieces.sae.n_latents, latents)
    top = Largest(len(latents), count)
    found = None
    for start, end in pieces.bounds:
        x = pieces.read(start, end)
        codes = pieces.codes(start, end, x)
        latent, row, value = pieces.entries(start, end, codes)
        if found is None:
            shift = x.mean(axis=0, dtype=np.float64)
            found = Sums.zeros(latents, pieces.store.rows, pieces.sae.n_latents, shift)
        found.add(x, codes, latent, value)
        mine = place[latent] >= 0
        top.add(place[latent[mine]], value[mine], row[mine])
    assert found is not None, "the store has rows"
    return found, top


def contexts(pieces: Pieces, found: Sums, top: Largest, intervals: int, count: int, seed: int) -> Contexts:
    """Second pass: histograms, and `count` random rows of each interval."""
    latents = found.latents
    place = _places(pieces.sae.n_latents, latents)
    bars = np.zeros(len(latents) * BARS, dtype=np.int64)
    within = np.zeros(len(latents) * intervals, dtype=np.int64)
    drawn = Largest(len(latents) * intervals, count, np.float64)
    span = found.high - found.low
    span = np.where(np.isfinite(span) & (span > 0), span, 1.0)
    for start, end in pieces.bounds:
        latent, row, value = pieces.entries(start, end, pieces.codes(start, end))
        mine = place[latent] >= 0
        latent, row, wide = latent[mine], row[mine], value[mine].astype(np.float64)
        bar = np.minimum(((wide - found.low[latent]) / span[latent] * BARS).astype(np.int64), BARS - 1)
        bars += np.bincount(place[latent] * BARS + bar, minlength=len(bars))
        if intervals:
            above = wide > 0
            latent, row, wide = latent[above], row[above], wide[above]
            interval = np.minimum((wide / found.high[latent] * intervals).astype(np.int64), intervals - 1)
            group = place[latent] * intervals + interval
            within += np.bincount(group, minlength=len(within))
            drawn.add(group, _random(latent, row, seed), row)
    return Contexts(
        bars.reshape(len(latents), BARS),
        within.reshape(len(latents), intervals),
        np.concatenate([top.groups, drawn.groups // max(intervals, 1)]),
        np.concatenate([np.zeros(len(top.rows), dtype=np.int64), intervals - drawn.groups % max(intervals, 1)]),
        np.concatenate([top.rows, drawn.rows]),
    )


@dataclass(frozen=True)
class Context:
    """Tokens around a row with the activation of one latent on each; `kind` as in `Contexts`, `at` is the row's own token."""

    kind: int
    ids: np.ndarray
    values: np.ndarray
    at: int


def windows(
    pieces: Pieces, found: Sums, shown: Contexts, before: int, after: int, longest: int
) -> Iterator[list[Context]]:
    """Third pass: the contexts of each latent of a block, those of each kind by falling activation."""
    most = max(1, np.bincount(shown.places, minlength=1).max() if len(shown.places) else 1)
    size = max(1, TOKENS // int(most * min(before + after + 1, longest)))
    for first in range(0, len(found.latents), size):
        last = min(first + size, len(found.latents))
        at = np.flatnonzero((shown.places >= first) & (shown.places < last))
        around = pieces.store.windows(shown.rows[at], before, after)
        lengths = np.diff(around.starts)
        kept = around.rows >= 0
        values = np.zeros(len(around.ids), dtype=np.float32)
        values[kept] = pieces.values(np.repeat(found.latents[shown.places[at]], lengths)[kept], around.rows[kept])
        own = values[around.starts[:-1] + around.at]
        order = np.lexsort((shown.rows[at], -own, shown.kinds[at], shown.places[at]))
        ends = np.searchsorted(shown.places[at][order], np.arange(first, last + 1))
        for low, high in zip(ends[:-1], ends[1:]):
            yield [
                Context(int(shown.kinds[at[i]]), around.ids[a:b], values[a:b], int(around.at[i]))
                for i in order[low:high]
                for a, b in [around.starts[i : i + 2]]
            ]


def _places(n_latents: int, latents: np.ndarray) -> np.ndarray:
    """Place of each latent in a block; -1 outside of it."""
    found = np.full(n_latents, -1, dtype=np.int64)
    found[latents] = np.arange(len(latents))
    return found


def _random(latents: np.ndarray, rows: np.ndarray, seed: int) -> np.ndarray:
    """A number above 0 for each latent and row, by SplitMix64; it does not depend on the other rows."""
    with np.errstate(over="ignore"):
        x = rows.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + latents.astype(np.uint64) * np.uint64(0xD1B54A32D192ED03)
        x += np.uint64(seed % 2**64)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x ^= x >> np.uint64(31)
    return ((x >> np.uint64(11)).astype(np.float64) + 1.0) / 2.0**53  # type: ignore[no-any-return]
