"""`rarefy.Trainer`: batches that the caller pushes, and streams."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rarefy
from rarefy.errors import ConfigError, FormatError, NotFiniteError, RarefyError, ShapeError

try:
    import torch
except ModuleNotFoundError:
    torch = None  # type: ignore[assignment]

needs_torch = pytest.mark.skipif(torch is None, reason="LEFT OUT: batches that are tensors need torch")


def trainer(architecture: str = "topk", **more: Any) -> rarefy.Trainer:
    options = {} if architecture in ("relu", "kl", "jumprelu", "gated") else {"k": 2}
    return rarefy.Trainer(architecture, **{"n_latents": 12, "steps": 20, "batch_size": 50} | options | more)


def pieces(x: np.ndarray, *sizes: int) -> Iterator[np.ndarray]:
    """The rows of `x` in pieces of these sizes, again and again."""
    start = 0
    while True:
        for size in sizes:
            if start >= len(x):
                return
            yield x[start : start + size]
            start += size


@pytest.fixture(scope="module")
def stream() -> np.ndarray:
    """2000 rows that 6 directions generate."""
    rng = np.random.default_rng(5)
    codes = rng.exponential(size=(2000, 6)) * (rng.random((2000, 6)) < 0.3)
    return (codes @ rng.normal(size=(6, 8))).astype(np.float32)


# Steps


def test_steps_improve_the_model(stream: np.ndarray) -> None:
    subject = trainer(steps=100, d_in=8)
    progress = [subject.step(stream[50 * i % 2000 :][:50]) for i in range(100)]
    assert [p.step for p in progress] == list(range(1, 101))
    assert progress[-1].loss < progress[0].loss / 2
    assert progress[-1].l0 <= 2
    assert subject.is_done
    assert subject.rows_seen == 5000
    assert subject.finish().evaluate(stream).explained_variance > 0.7


def test_step_after_the_last_is_refused(stream: np.ndarray) -> None:
    subject = trainer(steps=1)
    subject.step(stream)
    with pytest.raises(ConfigError, match="1 steps are done|1 step"):
        subject.step(stream)
    assert subject.steps_done == 1


def test_batches_of_any_kind_give_the_same_model(stream: np.ndarray) -> None:
    kinds = [lambda x: x, lambda x: x.astype("f8"), lambda x: np.asfortranarray(x), lambda x: x.tolist()]
    kinds += [torch.tensor] if torch else []
    models = []
    for kind in kinds:
        subject = trainer()
        for batch in pieces(stream[:150], 50):
            subject.step(kind(batch))
        models.append(subject.finish())
    assert all(model == models[0] for model in models)


@needs_torch
def test_bf16_batches_equal_their_floats(stream: np.ndarray) -> None:
    first, second = trainer(), trainer()
    for batch in pieces(stream[:150], 50):
        half = torch.tensor(batch).bfloat16()
        first.step(half)
        second.step(half.float())
    assert first.finish() == second.finish()


def test_batch_with_nan_is_refused_and_changes_nothing(stream: np.ndarray) -> None:
    bad = stream[:50].copy()
    bad[7, 3] = np.nan
    subject, other = trainer(), trainer()
    with pytest.raises(NotFiniteError, match="^batch: row 7, column 3: expected a finite number, got NaN"):
        subject.step(bad)
    assert subject.steps_done == 0
    for batch in pieces(stream[:150], 50):
        subject.step(batch)
        other.step(batch)
        with pytest.raises(NotFiniteError, match="row 7, column 3"):
            subject.step(bad)
    assert subject.steps_done == 3
    assert subject.rows_seen == 150
    assert subject.finish() == other.finish()


def test_batch_of_another_width_is_refused(stream: np.ndarray) -> None:
    subject = trainer(d_in=7)
    with pytest.raises(ShapeError, match="^batch: expected 7 columns, got 8"):
        subject.step(stream[:50])
    subject = trainer()
    subject.step(stream[:50])
    with pytest.raises(ShapeError, match="^batch: expected 8 columns, got 5"):
        subject.step(stream[:50, :5])
    with pytest.raises(TypeError, match="^batch: expected an array or tensor, got a path: use rarefy.train"):
        subject.step("rows.npy")
    assert subject.steps_done == 1


def test_first_batch_may_be_overwritten(stream: np.ndarray, tmp_path: Path) -> None:
    buffer = stream[:50].copy()
    first, second = trainer(preprocess="standardise"), trainer(preprocess="standardise")
    first.step(buffer)
    buffer[:] = 0
    second.step(stream[:50])
    assert rarefy.Trainer.resume(first.checkpoint(tmp_path / "1")).finish() == second.finish()


def test_sample_fits_the_preprocessing(stream: np.ndarray) -> None:
    by_sample = trainer(preprocess="standardise", sample=stream)
    by_batch = trainer(preprocess="standardise")
    for subject in (by_sample, by_batch):
        subject.step(stream[:50])
    assert by_sample.finish() != by_batch.finish()
    with pytest.raises(NotFiniteError, match="^sample: row 0, column 0"):
        trainer(sample=np.full((10, 8), np.nan))


def test_model_in_the_middle_does_not_disturb_training(stream: np.ndarray) -> None:
    subject, other = trainer("batch-topk"), trainer("batch-topk")
    for batch in pieces(stream[:500], 50):
        subject.step(batch)
        other.step(batch)
        middle = subject.model()
    assert middle.encode(stream).shape == (2000, 12)
    assert subject.finish() == other.finish()


def test_calls_after_finish_are_refused(stream: np.ndarray, tmp_path: Path) -> None:
    subject = trainer()
    subject.step(stream[:50])
    model = subject.finish()
    for call in (subject.finish, lambda: subject.step(stream), lambda: subject.fit([stream])):
        with pytest.raises(ConfigError, match="`finish` was called"):
            call()
    assert model.encode(stream).shape == (2000, 12)
    assert (subject.steps_done, subject.rows_seen, subject.is_done) == (1, 50, False)
    assert repr(subject) == "<rarefy.Trainer: step 1 of 20>"


def test_calls_before_the_first_batch_are_refused(tmp_path: Path) -> None:
    subject = trainer()
    for call in (subject.finish, subject.model, lambda: subject.checkpoint(tmp_path / "x")):
        with pytest.raises(ConfigError, match="no batch was pushed yet: call `step` first"):
            call()
    assert subject.steps_done == subject.rows_seen == 0
    assert not subject.is_done
    assert not (tmp_path / "x").exists()
    assert repr(subject) == "<rarefy.Trainer: step 0 of 20>"


def test_held_out_rows_calibrate_the_threshold(stream: np.ndarray) -> None:
    def finished(**more: Any) -> rarefy.Model:
        subject = trainer("batch-topk", preprocess="standardise")
        return subject.fit([stream], shuffle_rows=0).finish(**more)

    found = finished(held_out=stream)
    assert found.evaluate(stream).l0 == pytest.approx(2, abs=0.1)
    assert found != finished(held_out=3 * stream)
    assert finished() == finished()
    with pytest.raises(ShapeError, match="^held_out: expected 8 columns, got 5"):
        finished(held_out=stream[:, :5])
    with pytest.raises(NotFiniteError, match="^held_out: row 0"):
        finished(held_out=np.full((9, 8), np.inf))


@pytest.mark.parametrize(
    ("wrong", "pattern"),
    [
        ({"steps": None}, "`steps` must be a whole number not below 0, got None"),
        ({"batch_size": None}, "`batch_size` must be a whole number not below 0, got None"),
        ({"epochs": 3}, "`epochs` is a parameter of rarefy.train; rarefy.Trainer does not take it"),
        ({"holdout": 3}, "`holdout` is a parameter of rarefy.train and rarefy.SparseAutoencoder; rarefy.Trainer does not"),
        ({"epoch": 3}, "unknown parameter `epoch`; rarefy.architectures() lists"),
        ({"steps": "x"}, "`steps` must be a whole number"),
        ({"batch_size": 1.5}, "`batch_size` must be a whole number"),
        ({"lr": 0.1}, "unknown parameter `lr`; use `learning_rate`"),
        ({"bacth_size": 3}, "unknown parameter `bacth_size`, did you mean `batch_size`?"),
        ({"device": "cuda"}, "unknown parameter `device`: rarefy works on the CPU"),
        ({"k": 99}, "`k` must be at most the 12 latents, got 99"),
    ],
)
def test_wrong_parameters_are_named(wrong: dict[str, Any], pattern: str, stream: np.ndarray) -> None:
    with pytest.raises(ConfigError, match=re.escape(pattern)):
        trainer(**wrong).step(stream)


def test_warnings_about_settings_are_kept_and_logged(stream: np.ndarray, caplog: pytest.LogCaptureFixture) -> None:
    subject = trainer(optimizer="signum", settings={"train.beta2": 0.9})
    assert subject.messages == []
    with caplog.at_level("INFO", "rarefy"):
        subject.step(stream[:50])
    assert any('`settings["train.beta2"]`' in text for text in subject.messages)
    assert caplog.messages == subject.messages


def test_errors_are_of_one_family() -> None:
    assert issubclass(FormatError, RarefyError)
    assert all(issubclass(error, (RarefyError, ValueError)) for error in (ConfigError, ShapeError, NotFiniteError))


# Streams


@pytest.mark.parametrize("shuffle_rows", [0, 200, 65_536])
def test_fit_gives_the_same_model_however_the_stream_is_cut(shuffle_rows: int, stream: np.ndarray) -> None:
    cuts = [(2000,), (50,), (7, 120, 1), (333,)]
    models = [trainer().fit(pieces(stream, *cut), shuffle_rows=shuffle_rows).finish() for cut in cuts]
    assert all(model == models[0] for model in models)


def test_fit_without_shuffling_takes_the_rows_in_their_order(stream: np.ndarray) -> None:
    by_step = trainer()
    for batch in pieces(stream[:1000], 50):
        by_step.step(batch)
    found = trainer().fit(pieces(stream, 77), shuffle_rows=0)
    assert found.rows_seen == by_step.rows_seen == 1000
    model = by_step.finish()
    assert found.finish() == model
    assert trainer().fit(pieces(stream, 77), shuffle_rows=500).finish() != model


def test_fit_reads_no_more_of_the_stream_than_it_needs(stream: np.ndarray) -> None:
    taken = []

    def endless() -> Iterator[np.ndarray]:
        while True:
            taken.append(1)
            yield stream[:50]

    subject = trainer().fit(endless(), shuffle_rows=100)
    assert subject.is_done
    assert len(taken) == 21


def test_fit_on_a_stream_that_ends_early(stream: np.ndarray) -> None:
    subject = trainer().fit(pieces(stream[:320], 90))
    assert subject.steps_done == 6
    assert subject.rows_seen == 300
    assert not subject.is_done
    assert subject.finish().n_inputs == 8


def test_fit_on_fewer_rows_than_a_batch_takes_one_step(stream: np.ndarray) -> None:
    subject = trainer().fit([stream[:20]])
    assert (subject.steps_done, subject.rows_seen) == (1, 20)


def test_fit_on_a_buffer_that_each_batch_overwrites(stream: np.ndarray) -> None:
    def reused() -> Iterator[np.ndarray]:
        buffer = np.empty((40, 8), np.float32)
        for batch in pieces(stream, 40):
            buffer[:] = batch
            yield buffer

    for shuffle_rows in (0, 300):
        found = trainer().fit(reused(), shuffle_rows=shuffle_rows).finish()
        assert found == trainer().fit(pieces(stream, 50), shuffle_rows=shuffle_rows).finish()


def test_batches_of_a_data_loader_are_matrices(stream: np.ndarray) -> None:
    plain, listed = trainer(), trainer()
    plain.step(stream[:64])
    listed.step([stream[:64]])
    listed.step((stream[64:128],))
    plain.step(stream[64:128])
    assert plain.model() == listed.model()
    for wrong in ([stream[:64], stream[:64, 0]], (stream[:64], stream[:64])):
        with pytest.raises(TypeError, match=r"^batch: got a (list|tuple) of 2 arrays or tensors: pass batch\[0\]"):
            listed.step(wrong)
    # A list of rows.
    assert listed.step(list(stream[:64])).step == 3


def test_fit_says_that_the_stream_ended(stream: np.ndarray) -> None:
    subject = rarefy.Trainer("topk", n_latents=8, k=2, steps=10, batch_size=100)
    subject.fit([[stream[:300]]], progress=False)
    assert subject.messages[-1] == "the stream ended after 3 of 10 steps"
    subject.fit([stream[:100]], callback=lambda _: True, progress=False)
    assert not any("stream ended" in text for text in subject.messages)
    subject.fit([stream], progress=False)
    assert subject.is_done
    assert not any("stream ended" in text for text in subject.messages)


def test_fit_refuses_what_is_no_stream(stream: np.ndarray) -> None:
    with pytest.raises(ShapeError, match="^batches: expected at least one batch, got none"):
        trainer().fit([])
    for path in ("rows.npy", Path("rows.npy")):
        with pytest.raises(TypeError, match=r"^batches: .* got a path \(rows.npy\): rarefy.train\(store\) is for files"):
            trainer().fit(path)
    for wrong in (stream, *([torch.tensor(stream)] if torch else [])):
        with pytest.raises(TypeError, match=r"^batches: expected an iterable of matrices.*pass \[X\]"):
            trainer().fit(wrong)
    for shuffle_rows in (0, 100):
        with pytest.raises(ShapeError, match="expected 8"):
            trainer().fit([stream[:30], stream[:30, :5]], shuffle_rows=shuffle_rows)
    with pytest.raises(NotFiniteError, match="^batch: row 2, column 1"):
        bad = stream[:50].copy()
        bad[2, 1] = np.nan
        trainer().fit([stream[:50], bad])
    with pytest.raises(ConfigError, match="`shuffle_rows` must be a whole number"):
        trainer().fit([stream], shuffle_rows=-1)


def test_callback_that_returns_true_ends_training(stream: np.ndarray) -> None:
    seen = []
    subject = trainer().fit(pieces(stream, 50), callback=lambda p: seen.append(p.step) or p.step == 7)
    assert seen == [1, 2, 3, 4, 5, 6, 7]
    assert subject.steps_done == 7


def test_callback_raises_its_own_exception(stream: np.ndarray) -> None:
    class Mine(Exception):
        pass

    def failing(progress: rarefy.Progress) -> None:
        if progress.step == 3:
            raise Mine

    subject = trainer()
    with pytest.raises(Mine):
        subject.fit(pieces(stream, 50), callback=failing)
    assert subject.steps_done == 3
    assert subject.step(stream[:50]).step == 4


def test_stream_raises_its_own_exception(stream: np.ndarray) -> None:
    def failing() -> Iterator[np.ndarray]:
        yield stream[:50]
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        trainer().fit(failing())
