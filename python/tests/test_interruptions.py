"""State of `rarefy.Trainer` over a stop: checkpoints and pickles. Ctrl-C and fork during any work."""

from __future__ import annotations

import _thread
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rarefy
from rarefy import _core, _trainer
from rarefy.errors import ConfigError, FormatError
from test_trainer import needs_torch, pieces, stream, torch, trainer  # noqa: F401

PACKAGE = Path(rarefy.__file__).parent.parent


# Checkpoints


@pytest.mark.parametrize("architecture", [line["name"] for line in rarefy.architectures()])
def test_resume_gives_the_bytes_of_training_without_a_stop(
    architecture: str, stream: np.ndarray, tmp_path: Path
) -> None:
    batches = list(pieces(stream[:1000], 50))
    whole, subject = (trainer(architecture, preprocess=["standardise"], random_state=3) for _ in range(2))
    for batch in batches[:9]:
        whole.step(batch)
        subject.step(batch)
    subject = rarefy.Trainer.resume(subject.checkpoint(tmp_path / "checkpoint"))
    assert (subject.steps_done, subject.rows_seen, subject.steps) == (9, 450, 20)
    for batch in batches[9:]:
        whole.step(batch)
        subject.step(batch)
    assert whole.finish() == subject.finish()


def test_stream_after_resume_is_shuffled_by_the_same_seed(stream: np.ndarray, tmp_path: Path) -> None:
    subject = trainer(random_state=3)
    subject.step(stream[:50])
    resumed = rarefy.Trainer.resume(subject.checkpoint(tmp_path))
    assert resumed.fit([stream], shuffle_rows=500).finish() == subject.fit([stream], shuffle_rows=500).finish()


def test_checkpoint_of_settings_of_numpy(stream: np.ndarray, tmp_path: Path) -> None:
    subject = trainer(k=np.int64(3), steps=np.int32(9), learning_rate=np.float32(0.01), settings={"train.beta2": np.float64(0.99)})
    subject.step(stream[:50])
    assert rarefy.Trainer.resume(subject.checkpoint(tmp_path)).finish() == subject.finish()


@needs_torch
def test_checkpoint_of_a_bf16_sample(stream: np.ndarray, tmp_path: Path) -> None:
    subject = trainer(sample=torch.tensor(stream).bfloat16(), preprocess="standardise")
    subject.step(stream[:50])
    assert rarefy.Trainer.resume(subject.checkpoint(tmp_path)).finish() == subject.finish()


def test_checkpoint_is_replaced(stream: np.ndarray, tmp_path: Path) -> None:
    subject = trainer()
    for batch in pieces(stream[:150], 50):
        subject.step(batch)
        subject.checkpoint(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sample.npy", "settings.json", "state.safetensors"]
    assert rarefy.Trainer.resume(tmp_path).steps_done == 3


@pytest.mark.parametrize("name", ["sample.npy", "settings.json", "state.safetensors"])
@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "garbage", "other"])
def test_damaged_checkpoint_is_refused(damage: str, name: str, stream: np.ndarray, tmp_path: Path) -> None:
    subject = trainer()
    subject.step(stream[:50])
    path = subject.checkpoint(tmp_path) / name
    content = path.read_bytes()
    other = {"sample.npy": b"PK\x03\x04 no archive", "settings.json": b"[1, 2]", "state.safetensors": bytes(100)}
    if damage == "missing":
        path.unlink()
        with pytest.raises(FileNotFoundError):
            rarefy.Trainer.resume(tmp_path)
        return
    path.write_bytes(
        {"empty": b"", "truncated": content[:-9], "garbage": b"\xff\xfe" + bytes(range(256)), "other": other[name]}[damage]
    )
    with pytest.raises((FormatError, OSError)):
        rarefy.Trainer.resume(tmp_path)


def test_missing_checkpoint_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        rarefy.Trainer.resume(tmp_path / "none")


def test_pickled_trainer_goes_on(stream: np.ndarray) -> None:
    subject = pickle.loads(pickle.dumps(trainer(preprocess="standardise")))
    assert subject.steps_done == 0
    other = trainer(preprocess="standardise")
    for batch in pieces(stream[:500], 50):
        subject = pickle.loads(pickle.dumps(subject))
        subject.step(batch)
        other.step(batch)
    assert subject.finish() == other.finish()


def test_pickle_of_a_finished_trainer_is_refused(stream: np.ndarray) -> None:
    subject = trainer()
    subject.step(stream[:50])
    subject.finish()
    with pytest.raises(ConfigError, match="`finish` was called, so the trainer cannot be pickled: pickle the model"):
        pickle.dumps(subject)


def test_pickle_holds_a_part_of_a_large_first_batch(monkeypatch: pytest.MonkeyPatch, stream: np.ndarray) -> None:
    monkeypatch.setattr(_trainer, "SAMPLE", 100)
    subject, other = trainer(preprocess="standardise"), trainer(preprocess="standardise")
    subject.step(stream)
    assert subject._sample is not None
    assert len(subject._sample) == 100
    assert np.array_equal(subject._sample[[0, -1]], stream[[0, -1]])
    other.step(stream[:100])
    assert abs(len(pickle.dumps(subject)) - len(pickle.dumps(other))) < 1000
    copy = pickle.loads(pickle.dumps(subject))
    copy.step(stream)
    subject.step(stream)
    assert copy.finish() == subject.finish()


def test_threads_are_passed_on_and_kept_by_pickles(stream: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[Any] = []
    made = _core.Trainer

    def spy(*arguments: Any) -> Any:
        used.append(arguments[3])
        return made(*arguments)

    monkeypatch.setattr(_core, "Trainer", spy)
    subject, other = trainer(threads=1), trainer()
    subject, other = pickle.loads(pickle.dumps(subject)), pickle.loads(pickle.dumps(other))
    subject.step(stream[:50])
    other.step(stream[:50])
    pickle.loads(pickle.dumps(subject))
    rarefy.Trainer.resume(subject.checkpoint(tmp_path), threads=2)
    trainer(settings={"train.threads": 2}).step(stream[:50])
    assert used == [1, None, 1, 2, 2]
    assert subject.finish() == other.finish()
    with pytest.raises(ConfigError, match="`threads` must be a whole number above 0"):
        trainer(threads=0)


# Ctrl-C and fork


@pytest.fixture(scope="module")
def many() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(60_000, 64)).astype(np.float32)


#: Seconds within which endless work has to end. It takes some tenths of a second where nothing else runs.
SOON = 5.0


def seconds_until_interrupt(work: Any) -> float:
    """Time from Ctrl-C to the end of `work`."""
    pressed = []

    def press() -> None:
        pressed.append(time.monotonic())
        _thread.interrupt_main()

    timer = threading.Timer(0.3, press)
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            work()
        return time.monotonic() - pressed[0]
    finally:
        timer.cancel()
        timer.join()


def test_interrupt_ends_training_at_once(many: np.ndarray) -> None:
    work = lambda: rarefy.train(many, "topk", n_latents=512, k=8, steps=10**6, progress=False)  # noqa: E731
    assert seconds_until_interrupt(work) < SOON


def test_interrupt_ends_encoding_at_once(many: np.ndarray) -> None:
    model = rarefy.train(many[:500], "topk", n_latents=4096, k=8, steps=1, holdout=0, progress=False).model

    def work() -> None:
        for _ in range(100):
            model.encode(many)

    assert seconds_until_interrupt(work) < SOON


def test_interrupt_ends_fit_and_training_can_go_on(many: np.ndarray) -> None:
    subject = trainer(steps=10**6)

    def endless() -> Iterator[np.ndarray]:
        while True:
            yield many[:5000]

    assert seconds_until_interrupt(lambda: subject.fit(endless(), shuffle_rows=10_000)) < SOON
    done = subject.steps_done
    assert done > 0
    assert subject.step(many[:50]).step == done + 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_forked_process_raises_instead_of_waiting_for_ever() -> None:
    program = (
        "import os, sys, numpy, rarefy\n"
        "x = numpy.random.default_rng(0).normal(size=(300, 8)).astype('f4')\n"
        "model = rarefy.train(x, 'topk', n_latents=8, k=2, steps=3, progress=False).model\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    found = []\n"
        "    for work in (lambda: model.encode(x), lambda: rarefy.train(x, steps=1, progress=False)):\n"
        "        try:\n"
        "            work()\n"
        "        except RuntimeError as error:\n"
        "            found.append('os.fork()' in str(error))\n"
        "    os._exit(0 if found == [True, True] else 3)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0\n"
        "model.encode(x)\n"
    )
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        env=os.environ | {"PYTHONPATH": str(PACKAGE)},
        timeout=60,
        check=True,
    )
