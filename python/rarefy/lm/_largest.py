"""Entries with the largest scores of each group, from a stream of entries."""

from __future__ import annotations

import numpy as np


class Largest:
    """Keeps the `count` entries of each group with the largest scores; of equal scores the first rows.

    Attributes
    ----------
    groups, scores, rows : ndarray
        Kept entries: those of a group together, the largest first.
    """

    def __init__(self, n_groups: int, count: int, dtype: type = np.float32) -> None:
        self.count = count
        self.groups, self.rows = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        self.scores: np.ndarray = np.zeros(0, dtype=dtype)
        # A new score must be larger than this one.
        self._least: np.ndarray = np.zeros(n_groups, dtype=dtype)

    def add(self, groups: np.ndarray, scores: np.ndarray, rows: np.ndarray) -> None:
        """Adds entries with scores above 0. Rows must not be smaller than those of earlier calls."""
        if not self.count:
            return
        new = scores > self._least[groups]
        groups = np.concatenate([self.groups, groups[new]])
        scores = np.concatenate([self.scores, scores[new]])
        rows = np.concatenate([self.rows, rows[new]])
        order = np.lexsort((rows, -scores, groups))
        order = order[ranks(groups[order]) < self.count]
        self.groups, self.scores, self.rows = groups[order], scores[order], rows[order]
        full = ranks(self.groups) == self.count - 1
        self._least[self.groups[full]] = self.scores[full]


def ranks(groups: np.ndarray) -> np.ndarray:
    """Place of each entry among those of its group, in a sorted array."""
    return np.arange(len(groups)) - np.searchsorted(groups, groups)
