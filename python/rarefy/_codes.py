"""Sparse codes as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import scipy.sparse


@dataclass(frozen=True, repr=False, eq=False)
class Codes:
    """Sparse codes: the active latents of each row, as a CSR matrix, with what preprocessing removed from each row.

    `codes[i:j]` are the codes of some rows. `==` compares all values.

    Attributes
    ----------
    values : ndarray of float32
        Activations of all active latents, row by row.
    indices : ndarray of int32
        Latent of each activation.
    indptr : ndarray of int32 or int64, n_rows + 1
        Place of the first activation of each row.
    n_latents : int
        Number of columns.
    row_means, row_scales : ndarray of float32
        Mean and divisor of each row that preprocessing removed; empty if it removes none.
    """

    values: np.ndarray
    indices: np.ndarray
    indptr: np.ndarray
    n_latents: int
    row_means: np.ndarray
    row_scales: np.ndarray

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def __repr__(self) -> str:
        return f"<rarefy.Codes: {len(self)} rows, {self.n_latents} latents, {len(self.values)} activations>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Codes):
            return NotImplemented
        names = ("values", "indices", "indptr", "row_means", "row_scales")
        return self.n_latents == other.n_latents and all(
            np.array_equal(getattr(self, name), getattr(other, name)) for name in names
        )

    def __hash__(self) -> int:
        raise TypeError("Codes cannot be hashed, because arrays can change: use id(codes) as a key")

    def __getitem__(self, rows: slice) -> Codes:
        if not isinstance(rows, slice) or rows.step not in (None, 1):
            raise TypeError(f"codes[...]: expected a slice of rows such as codes[2:5], got {rows!r}; codes.to_scipy() takes others")
        start, stop, _ = rows.indices(len(self))
        stop = max(start, stop)
        first, last = self.indptr[start], self.indptr[stop]

        def part(values: np.ndarray) -> np.ndarray:
            each = len(values) // max(len(self), 1)
            return values[start * each : stop * each]

        return Codes(
            self.values[first:last],
            self.indices[first:last],
            self.indptr[start : stop + 1] - first,
            self.n_latents,
            part(self.row_means),
            part(self.row_scales),
        )

    def to_scipy(self) -> scipy.sparse.csr_matrix:
        """The codes as a `scipy.sparse.csr_matrix` that shares the memory."""
        import scipy.sparse

        shape = (len(self), self.n_latents)
        return scipy.sparse.csr_matrix((self.values, self.indices, self.indptr), shape=shape, copy=False)

    def to_dense(self) -> np.ndarray:
        """The codes as a matrix with zeros, `(n_rows, n_latents)`."""
        dense = np.zeros((len(self), self.n_latents), dtype=np.float32)
        rows = np.repeat(np.arange(len(self)), np.diff(self.indptr))
        dense[rows, self.indices] = self.values
        return dense
