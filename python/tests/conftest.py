"""Data and small models that several tests use."""

from __future__ import annotations

import signal

import numpy as np
import pytest

import rarefy


@pytest.fixture(scope="session", autouse=True)
def interrupts() -> None:
    """Ctrl-C, also where the tests run in the background of a shell, which lets them ignore it: they would wait for ever."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """Pictures of digits and their classes."""
    return rarefy.samples.digits()


@pytest.fixture(scope="session")
def rows() -> np.ndarray:
    """300 rows of 6 values."""
    x = np.random.default_rng(0).normal(size=(300, 6)).astype(np.float32)
    x.flags.writeable = False
    return x


@pytest.fixture(scope="session")
def model(rows: np.ndarray) -> rarefy.Model:
    """TopK model of `rows` with 12 latents."""
    return rarefy.train(rows, "topk", n_latents=12, k=3, steps=20, progress=False).model


@pytest.fixture(scope="session")
def digit_model(digits: tuple[np.ndarray, np.ndarray]) -> rarefy.Model:
    """TopK model of the digits with 64 latents."""
    return rarefy.train(digits[0], "topk", n_latents=64, k=4, steps=60, progress=False).model
