"""Data embedded in the package, for trials and lessons."""

from __future__ import annotations

import numpy as np

from . import _arrays, _core

__all__ = ["digits", "patches", "words"]


def digits() -> tuple[np.ndarray, np.ndarray]:
    """1797 pictures of handwritten digits, 8 x 8 pixels, values 0 to 16, and their classes.

    Returns
    -------
    X : ndarray of float32, (1797, 64)
    y : ndarray of int, (1797,)

    Examples
    --------
    >>> import rarefy
    >>> X, y = rarefy.samples.digits()
    >>> X.shape, int(y[0])
    ((1797, 64), 0)
    """
    values, labels, _, _, _ = _core.open(_arrays.Rows(["sample:digits"]))
    return values, np.array([int(label) for label in labels or []])


def words() -> tuple[np.ndarray, list[str]]:
    """10,000 frequent English words as GloVe vectors of 50 values, and the words.

    Examples
    --------
    >>> import rarefy
    >>> X, words = rarefy.samples.words()
    >>> X.shape, words[3:6]
    ((10000, 50), ['of', 'to', 'and'])
    """
    values, labels, texts, _, _ = _core.open(_arrays.Rows(["sample:words"]))
    return values, list(texts or labels or [])


def patches() -> np.ndarray:
    """10,000 patches of natural photographs, 8 x 8 pixels, values 0 to 255.

    Examples
    --------
    >>> import rarefy
    >>> rarefy.samples.patches().shape
    (10000, 64)
    """
    return _core.open(_arrays.Rows(["sample:patches"]))[0]
