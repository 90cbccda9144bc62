"""Event files of `tensorboard=True`, read by TensorBoard."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rarefy
from rarefy.errors import ConfigError

SMALL: dict[str, Any] = {"n_latents": 12, "k": 3, "batch_size": 100, "progress": False, "tensorboard": True}


def test_tensorboard_reads_the_records_of_a_resumed_run(rows: np.ndarray, tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    folder = tmp_path / "run"
    rarefy.train(rows, "topk", out=folder, steps=25, holdout=50, **SMALL)
    run = rarefy.train(rows, "topk", out=folder, steps=43, resume=True, **SMALL)
    events = accumulator.EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [record["step"] for record in records] == [10, 20, 30, 40, 43]
    names = set(records[0]) - {"step", "rows_seen"}
    figures = {f"{part}/{name}" for part in ("training", "held_out") for name in ("explained_variance", "l0", "mse", "dead_fraction", "loss")}
    assert set(events.Tags()["scalars"]) == names | figures
    for name in names:
        found = [(event.step, event.value) for event in events.Scalars(name)]
        assert found == [(record["step"], np.float32(record[name])) for record in records]
    times = [event.wall_time for event in events.Scalars("loss")]
    assert times == sorted(times)
    (held_out,) = events.Scalars("held_out/explained_variance")
    assert run.held_out is not None
    assert (held_out.step, held_out.value) == (43, np.float32(run.held_out["explained_variance"]))


def test_tensorboard_needs_the_folder_of_a_run(rows: np.ndarray) -> None:
    with pytest.raises(ConfigError, match="`tensorboard` needs `out`"):
        rarefy.train(rows, "topk", steps=1, **SMALL)
