"""Training on batches that the caller pushes."""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from . import _arrays, _core
from ._model import Model
from ._progress import LOG, Listener, Progress, listener
from ._settings import plain, whole
from ._settings import settings as as_settings
from ._settings import threads as threads_of
from .errors import ConfigError, FormatError, ShapeError

#: Begin of the message of a stream that ended before all steps.
ENDED = "the stream ended after"

#: Most rows of the default sample, which checkpoints and pickles hold.
SAMPLE = 32_768


class Trainer:
    """Training loop that the caller drives, for example on activations of a running language model.

    Preprocessing and initial weights follow from `sample`, or from the first batch. A pickle holds what a checkpoint holds:
    settings, weights, the state of the optimiser and the sample.

    Parameters
    ----------
    architecture : str
    n_latents : int, optional
    steps : int
        Number of steps, which schedules need; training may end earlier.
    batch_size : int
        Usual number of rows of a step; `fit` cuts the stream into batches of this size.
    d_in : int, optional
        Width of a row, to be checked.
    sample : rows, optional
        Rows that represent the data, for preprocessing and initial weights. Default: the first batch, or 32,768 rows at equal
        distances of a larger one.
    threads : int, optional
        All cores by default. The result does not depend on it.
    learning_rate, optimizer, random_state, preprocess, settings, **options
        As in `rarefy.train`.

    Attributes
    ----------
    messages : list of str
        Warnings about the settings, after the first batch, and a note if the stream of `fit` ended early; the logger `rarefy` gets them too.

    Examples
    --------
    >>> import numpy as np, rarefy
    >>> rng = np.random.default_rng(0)
    >>> trainer = rarefy.Trainer("batch-topk", n_latents=32, k=3, steps=20, batch_size=64)
    >>> for _ in range(20):
    ...     progress = trainer.step(rng.normal(size=(64, 10)).astype(np.float32))
    >>> progress.step
    20
    >>> model = trainer.finish()
    >>> model.n_inputs, model.n_latents
    (10, 32)
    """

    def __init__(
        self,
        architecture: str = "topk",
        *,
        n_latents: int | None = None,
        steps: int = 10_000,
        batch_size: int = 4096,
        d_in: int | None = None,
        sample: Any = None,
        learning_rate: float | None = None,
        optimizer: str | None = None,
        random_state: int | None = 0,
        preprocess: str | Sequence[str] | None = None,
        threads: int | None = None,
        settings: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        parameters = {
            "architecture": architecture,
            "n_latents": n_latents,
            "steps": whole("steps", steps),
            "batch_size": whole("batch_size", batch_size),
            "learning_rate": learning_rate,
            "optimizer": optimizer,
            "random_state": random_state,
            "preprocess": preprocess,
        }
        self._plan(as_settings("Trainer", parameters, options, settings), threads, d_in)
        if sample is not None:
            self._begin(self._rows(sample, "sample"))

    def _plan(self, settings: dict[str, Any], threads: int | None, d_in: int | None = None) -> None:
        """State before the first batch."""
        self._d_in = d_in
        self._settings, self._threads = settings, threads_of(threads, settings)
        self._core: _core.Trainer | None = None
        self._sample: np.ndarray | None = None
        self.messages: list[str] = []
        self._steps: int = settings["train.steps"]
        self._batch_size: int = settings["train.batch"]
        self._seed: int = settings.get("train.seed", 0)
        self._ended: tuple[int, int, bool] | None = None

    def _rows(self, batch: Any, name: str = "batch") -> _arrays.Rows:
        rows = _arrays.rows(_only_matrix(batch, name), name)
        if rows.paths is not None:
            raise TypeError(f"{name}: expected an array or tensor, got a path: use rarefy.train for files")
        if self._d_in is not None and rows.values.shape[1] != self._d_in:
            raise ShapeError(f"{name}: expected {self._d_in} columns, got {rows.values.shape[1]}")
        return rows

    def _begin(self, sample: _arrays.Rows, checkpoint: Path | None = None) -> None:
        self._core = _core.Trainer(sample, self._settings, checkpoint, self._threads)
        self.messages = self._core.warnings
        for text in self.messages:
            LOG.info(text)
        self._sample, self._sample_is_bf16 = sample.values, sample.is_bf16
        self._d_in = sample.values.shape[1]

    def step(self, batch: Any) -> Progress:
        """Takes one step on a batch of raw rows, `(n_rows, d_in)`; a list or tuple of one matrix, as a DataLoader gives it, too.

        Raises
        ------
        rarefy.errors.NotFiniteError
            The batch has NaN or infinities; nothing has changed.
        rarefy.errors.ConfigError
            All steps are done.
        """
        rows = self._rows(batch)
        if self._core is None:
            self._begin(_arrays.Rows(sample_of(rows.values), "batch", rows.is_bf16))
        assert self._core is not None
        return Progress(self._core.step(rows))

    def fit(
        self,
        batches: Iterable[Any],
        *,
        shuffle_rows: int = 65_536,
        callback: Callable[[Progress], Any] | None = None,
        progress: Any = None,
    ) -> Trainer:
        """Trains on a stream until all steps are done or the stream ends, which `messages` then says.

        Parameters
        ----------
        batches : iterable of arrays or tensors, `(n_rows, d_in)`
            Of any size; read on the calling thread.
        shuffle_rows : int
            Most rows that are kept, because neighbours in a stream are alike: a batch is drawn at random from the rows that
            were read and not drawn yet. Checkpoints and pickles do not hold these rows. 0 takes the rows as they come.
        callback : callable, optional
            Gets the `Progress` of each step; training ends if it returns True.
        progress : as in `rarefy.train`

        Returns
        -------
        Trainer
            Itself; `finish()` makes the model.
        """
        if isinstance(batches, (str, os.PathLike)):
            raise TypeError(
                f"batches: expected an iterable of matrices, got a path ({os.fspath(batches)}): "
                "rarefy.train(store) is for files and stores"
            )
        if getattr(batches, "ndim", 3) < 3:
            raise TypeError("batches: expected an iterable of matrices, such as a list or a generator, got one: pass [X]")
        self.messages = [text for text in self.messages if not text.startswith(ENDED)]
        with listener(progress) as watcher:
            self._fit(batches, whole("shuffle_rows", shuffle_rows), watcher, callback)
        return self

    def _fit(self, batches: Iterable[Any], shuffle_rows: int, watcher: Listener, callback: Any) -> None:
        mixer: _core.Mixer | _InOrder | None = None
        capacity = max(shuffle_rows, self._batch_size)

        def take() -> bool:
            """One step on a drawn batch; False if training ends."""
            assert mixer is not None
            done = self.step(mixer.draw(self._batch_size))
            watcher.step(done)
            stop = callback is not None and callback(done) is True
            return not stop and not self.is_done

        for batch in batches:
            rows = self._rows(batch)
            if mixer is None:
                width = rows.values.shape[1]
                mixer = _core.Mixer(width, capacity, self._seed) if shuffle_rows else _InOrder(width, capacity)
            start = 0
            while start < len(rows.values):
                start = mixer.push(rows, start)
                if mixer.is_full and not take():
                    return
        if mixer is None:
            raise ShapeError("batches: expected at least one batch, got none")
        while len(mixer) >= self._batch_size or (len(mixer) and self.steps_done == 0):
            if not take():
                return
        if not self.is_done:
            text = f"{ENDED} {self.steps_done} of {self.steps} steps"
            self.messages = [*self.messages, text]
            watcher.message(text)

    @property
    def steps_done(self) -> int:
        """Steps taken so far, those before a checkpoint included."""
        return self._done()[0]

    @property
    def rows_seen(self) -> int:
        """Rows trained on so far."""
        return self._done()[1]

    @property
    def steps(self) -> int:
        """Steps planned."""
        return self._steps

    @property
    def is_done(self) -> bool:
        """True if all steps are done."""
        return self._done()[2]

    def _done(self) -> tuple[int, int, bool]:
        """Steps, rows, and True if all steps are done; `finish` empties the compiled trainer."""
        if self._ended is not None:
            return self._ended
        core = self._core
        return (core.steps_done, core.rows_seen, core.is_done) if core else (0, 0, False)

    def _begun(self) -> _core.Trainer:
        if self._core is None:
            raise ConfigError("no batch was pushed yet: call `step` first")
        return self._core

    def model(self) -> Model:
        """Model of the steps so far; training can go on."""
        return Model(self._begun().snapshot())

    def finish(self, *, held_out: Any = None) -> Model:
        """Ends training and returns the model.

        Parameters
        ----------
        held_out : rows, optional
            Rows that were not trained on, for the threshold of `batch-topk` and `matryoshka`; by default it is calibrated on
            recent rows of the stream.
        """
        rows = None if held_out is None else self._rows(held_out, "held_out")
        core, done = self._begun(), self._done()
        model = Model(core.finish(rows))
        self._ended = done
        return model

    def checkpoint(self, folder: str | os.PathLike[str]) -> Path:
        """Writes a folder from which `Trainer.resume` continues: state, settings and the sample. Returns its path."""
        core, place = self._begun(), Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        assert self._sample is not None
        sample = place / ".rarefy-sample.npy"
        np.save(sample, self._sample)
        os.replace(sample, place / "sample.npy")
        described = {"settings": self._settings, "is_bf16": self._sample_is_bf16}
        (place / ".rarefy-settings.json").write_text(json.dumps(described, indent=2, default=plain), encoding="utf-8")
        os.replace(place / ".rarefy-settings.json", place / "settings.json")
        core.checkpoint(place / "state.safetensors")
        return place

    @classmethod
    def resume(cls, folder: str | os.PathLike[str], *, threads: int | None = None) -> Trainer:
        """Trainer that continues from a folder of `checkpoint`. If the caller pushes the batches that follow, the model is the
        same to the last byte as that of training without a stop."""
        place = Path(folder)
        trainer = cls.__new__(cls)
        try:
            described = json.loads((place / "settings.json").read_text(encoding="utf-8"))
            trainer._plan(dict(described["settings"]), threads)
            with open(place / "sample.npy", "rb") as file:
                sample = _arrays.rows(np.load(file, allow_pickle=False), "sample")
            is_bf16 = bool(described["is_bf16"])
        except (KeyError, TypeError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise FormatError(f"{place}: expected a folder that Trainer.checkpoint wrote: {error!r}") from error
        trainer._begin(_arrays.Rows(sample.values, "sample", is_bf16), place / "state.safetensors")
        return trainer

    def __getstate__(self) -> dict[str, Any]:
        if self._ended is not None:
            raise ConfigError("`finish` was called, so the trainer cannot be pickled: pickle the model that it returned")
        if self._core is None:
            return {"settings": self._settings, "d_in": self._d_in, "threads": self._threads}
        with tempfile.TemporaryDirectory() as folder:
            files = {path.name: path.read_bytes() for path in self.checkpoint(folder).iterdir()}
        return {"files": files, "threads": self._threads}

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "files" not in state:
            self._plan(state["settings"], state["threads"], state["d_in"])
            return
        with tempfile.TemporaryDirectory() as folder:
            for name, content in state["files"].items():
                (Path(folder) / name).write_bytes(content)
            self.__dict__.update(type(self).resume(folder, threads=state["threads"]).__dict__)

    def __repr__(self) -> str:
        return f"<rarefy.Trainer: step {self.steps_done} of {self.steps}>"


def _only_matrix(batch: Any, name: str) -> Any:
    """The matrix of a list or tuple of one, which is a batch of a DataLoader; other batches as they are."""
    if not isinstance(batch, (list, tuple)) or not batch or getattr(batch[0], "ndim", 0) < 2:
        return batch
    if len(batch) > 1:
        raise TypeError(f"{name}: got a {type(batch).__name__} of {len(batch)} arrays or tensors: pass {name}[0]")
    return batch[0]


def sample_of(values: np.ndarray) -> np.ndarray:
    """Copy of at most `SAMPLE` rows at equal distances. The rows may be the caller's buffer, which is overwritten."""
    if len(values) <= SAMPLE:
        return values.copy()
    return values[np.linspace(0, len(values) - 1, SAMPLE).round().astype(np.int64)]


class _InOrder:
    """Rows of a stream in their order, with the methods of `_core.Mixer`."""

    def __init__(self, width: int, capacity: int) -> None:
        self._width, self._capacity = width, capacity
        self._pieces: list[np.ndarray] = []

    def push(self, rows: _arrays.Rows, start: int) -> int:
        width = rows.values.shape[1]
        if width != self._width:
            raise ShapeError(f"batches: expected {self._width} columns as in the first batch, got {width}")
        part = rows.values[start : start + self._capacity - len(self)]
        # The batch may be the caller's buffer, which the next batch overwrites.
        self._pieces.append(_arrays.as_float(_arrays.Rows(part, rows.name, rows.is_bf16)).copy())
        return start + len(part)

    def __len__(self) -> int:
        return sum(map(len, self._pieces))

    @property
    def is_full(self) -> bool:
        return len(self) >= self._capacity

    def draw(self, count: int) -> np.ndarray:
        rows = np.concatenate(self._pieces)
        self._pieces = [rows[count:]] if count < len(rows) else []
        return rows[:count]
