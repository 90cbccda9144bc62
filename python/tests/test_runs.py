"""Run folders, resumed runs, `compare`, `frontier` and `synth`."""

from __future__ import annotations

import _thread
import base64
import gzip
import json
import re
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import rarefy
from rarefy.errors import ConfigError, FormatError, RarefyError, ShapeError

SMALL: dict[str, Any] = {"n_latents": 12, "k": 3, "steps": 20, "progress": False}


# Folders


def test_run_folder_is_read_by_load_compare_and_report(rows: np.ndarray, tmp_path: Path) -> None:
    run = rarefy.train(rows, "topk", out=tmp_path / "a", holdout=50, batch_size=100, **SMALL)
    other = rarefy.train(rows, "topk", out=str(tmp_path / "b"), holdout=50, batch_size=100, **SMALL | {"k": 5})
    assert rarefy.load(tmp_path / "a") == run.model
    assert run.folder == tmp_path / "a"
    assert list(run.timings) == ["evaluation", "preparation", "report", "saving", "start", "steps", "waiting"]
    assert min(run.timings.values()) >= 0 and run.timings["report"] > 0
    assert "<html" in run.report().html
    table = rarefy.compare(tmp_path / "a", tmp_path / "b")
    assert [line["k"] for line in table] == [3, 5]
    assert [line["explained_variance"] for line in table] == pytest.approx(
        [run.explained_variance, other.explained_variance]
    )
    assert [line["run"] for line in table] == [str(tmp_path / "a"), str(tmp_path / "b")]
    # Nothing else differs.
    figures = {"explained_variance", "l0", "dead_latents", "rare_latents", "frequent_latents", "mse"}
    assert set(table[0]) == {"run", "k"} | figures
    assert list(table.to_pandas()["k"]) == [3, 5]
    mixed = rarefy.compare(run, tmp_path / "b", rarefy.train(rows, "topk", batch_size=100, **SMALL | {"k": 6}))
    assert [line["k"] for line in mixed] == [3, 5, 6]
    assert set(mixed[0]) == {"run", "k", "holdout"} | figures


def test_existing_run_is_kept_unless_forced(rows: np.ndarray, tmp_path: Path) -> None:
    out = tmp_path / "run"
    first = rarefy.train(rows, "topk", out=out, **SMALL)
    with pytest.raises(ConfigError, match="holds a run already") as refused:
        rarefy.train(rows, "topk", out=out, **SMALL | {"k": 4})
    message = str(refused.value)
    assert "force" in message and "resume" in message and "--" not in message
    assert rarefy.load(out) == first.model
    forced = rarefy.train(rows, "topk", out=out, force=True, **SMALL | {"k": 4})
    assert rarefy.load(out) == forced.model != first.model


def test_labels_and_texts_are_in_the_report(rows: np.ndarray, tmp_path: Path) -> None:
    texts = [f"sentence-{i}" for i in range(300)]
    run = rarefy.train(rows, "topk", out=tmp_path / "run", texts=texts, **SMALL)
    packed = re.search(r'<script id="data" type="text/plain">([^<]+)<', run.report().html)
    assert packed is not None
    assert b"sentence-" in gzip.decompress(base64.b64decode(packed.group(1)))
    with pytest.raises(ShapeError, match="^labels: expected 300, one for each row, got 1"):
        rarefy.train(rows, labels=["a"], **SMALL)


# Resumed and unfinished runs


def test_resume_after_an_interrupt_gives_the_bytes_of_one_run(rows: np.ndarray, tmp_path: Path) -> None:
    long = {**SMALL, "steps": 1000, "settings": {"train.checkpoint_every": 300}}
    whole = rarefy.train(rows, "topk", out=tmp_path / "whole", **long)

    def interrupt(progress: dict[str, Any]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rarefy.train(rows, "topk", out=tmp_path / "cut", **long | {"progress": interrupt})
    with pytest.raises(FormatError, match="train it to the end with resume=True"):
        rarefy.compare(tmp_path / "cut")
    resumed = rarefy.train(rows, "topk", out=tmp_path / "cut", resume=True, **long)
    assert resumed.steps == 1000
    assert resumed.model == whole.model
    assert [line["step"] for line in resumed.records] == [line["step"] for line in whole.records]
    figures = [json.loads((tmp_path / folder / "figures.json").read_text()) for folder in ("whole", "cut")]
    assert figures[0] == figures[1]


def test_ctrl_c_is_resumable(rows: np.ndarray, tmp_path: Path) -> None:
    timer = threading.Timer(0.2, _thread.interrupt_main)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        rarefy.train(rows, "topk", out=tmp_path, **SMALL | {"steps": 10**7})
    timer.join()
    began: list[int] = []

    def stop(progress: dict[str, Any]) -> None:
        began.append(progress["step"])
        raise StopIteration

    with pytest.raises(StopIteration):
        rarefy.train(rows, "topk", out=tmp_path, resume=True, **SMALL | {"steps": 10**7, "progress": stop})
    # The second run goes on where the first ended.
    steps = [int(path.stem.split("-")[1]) for path in (tmp_path / "checkpoints").iterdir()]
    assert 0 < min(steps) <= began[0]


def test_resume_of_a_finished_run_gives_it_again(rows: np.ndarray, tmp_path: Path) -> None:
    run = rarefy.train(rows, "topk", out=tmp_path / "run", **SMALL)
    again = rarefy.train(rows, "topk", out=tmp_path / "run", resume=True, **SMALL)
    assert again.model == run.model
    assert again.steps == 20


def test_resume_is_refused_without_a_run(rows: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="`resume` needs `out`"):
        rarefy.train(rows, resume=True, **SMALL)
    with pytest.raises(ConfigError, match="not both"):
        rarefy.train(rows, resume=True, force=True, out=tmp_path, **SMALL)
    with pytest.raises(RarefyError, match="no checkpoint to resume from|expected a run folder"):
        rarefy.train(rows, resume=True, out=tmp_path / "none", **SMALL)
    rarefy.train(rows, "topk", out=tmp_path / "run", **SMALL)
    with pytest.raises(RarefyError):
        rarefy.train(rows, "topk", resume=True, out=tmp_path / "run", **SMALL | {"n_latents": 13})


def test_finished_run_keeps_its_settings(tmp_path: Path) -> None:
    X = np.random.default_rng(0).normal(size=(400, 6)).astype(np.float32)
    out = tmp_path / "run"
    rarefy.train(X, "topk", n_latents=12, k=3, steps=10, out=out, progress=False)
    weights = (out / "model/sae_weights.safetensors").read_bytes()
    with pytest.raises(rarefy.errors.ConfigError, match="is finished, so its settings stay: `k` was 3"):
        rarefy.train(X, k=4, out=out, resume=True, progress=False)
    with pytest.raises(rarefy.errors.ConfigError, match="cannot be resumed as"):
        rarefy.train(X, "jumprelu", out=out, resume=True, progress=False)
    assert (out / "model/sae_weights.safetensors").read_bytes() == weights
    run = rarefy.train(X, steps=20, out=out, resume=True, progress=False)
    assert run.steps == 20 and run.model.options["k"] == 3


def test_load_of_an_unfinished_run_says_so(rows: np.ndarray, tmp_path: Path) -> None:
    out = tmp_path / "run"

    def stop(_: Any) -> None:
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        rarefy.train(rows, "topk", out=out, **SMALL | {"steps": 10**6, "progress": stop})
    with pytest.raises(FormatError, match="the run is not finished, so it has no model yet: .*resume=True.* continues it"):
        rarefy.load(out)


# Several runs


def test_compare_shows_the_options_of_each_architecture(rows: np.ndarray, tmp_path: Path) -> None:
    rarefy.train(rows, "topk", out=tmp_path / "a", **SMALL)
    rarefy.train(rows, "relu", out=tmp_path / "b", n_latents=12, l1=0.5, steps=20, progress=False)
    table = rarefy.compare(tmp_path / "a", tmp_path / "b")
    assert [(line["architecture"], line["k"], line["l1"]) for line in table] == [("topk", 3, None), ("relu", None, 0.5)]


def test_compare_refuses_what_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        rarefy.compare(tmp_path / "none")
    with pytest.raises(FormatError, match="expected a run folder, got no config.toml"):
        rarefy.compare(tmp_path)
    with pytest.raises(ConfigError, match="`out` was not given, so there is no report"):
        rarefy.train(np.eye(8), "topk", n_latents=4, k=1, steps=1, progress=False).report()


def test_compare_names_what_it_takes(rows: np.ndarray) -> None:
    run = rarefy.train(rows, "topk", **SMALL)
    with pytest.raises(TypeError, match="compare: expected each argument to be a Run or the path of a run folder, got Model"):
        rarefy.compare(run, run.model)  # type: ignore[arg-type]


def test_frontier_trains_a_model_for_each_value(digits: tuple[np.ndarray, np.ndarray]) -> None:
    found = rarefy.frontier(
        digits[0], {"topk": {"k": [2, 8]}, "relu": {"l1": [1.0]}}, n_latents=32, steps=30, progress=False
    )
    assert [(line["architecture"], line.get("k"), line.get("l1")) for line in found] == [
        ("topk", 2, None),
        ("topk", 8, None),
        ("relu", None, 1.0),
    ]
    assert [run.model.architecture for run in found.runs] == ["topk", "topk", "relu"]
    assert [line["l0"] for line in found[:2]] == [2, 8]
    assert found[1]["explained_variance"] == found.runs[1].explained_variance
    header = repr(found).splitlines()[0].split()
    assert {"k", "l1"} <= set(header)
    assert isinstance(found.to_pandas(), pd.DataFrame)
    with pytest.raises(ConfigError, match="`architectures` must have one option with its values for topk"):
        rarefy.frontier(digits[0], {"topk": {"k": [1], "aux_k": [2]}})


def test_frontier_writes_a_folder_for_each_run(rows: np.ndarray, tmp_path: Path) -> None:
    found = rarefy.frontier(rows, k=[1, 2], n_latents=12, steps=5, out=tmp_path / "runs", progress=False)
    assert sorted(p.name for p in (tmp_path / "runs").iterdir()) == ["topk-k-1", "topk-k-2"]
    assert rarefy.load(tmp_path / "runs" / "topk-k-2") == found.runs[1].model
    assert [line["k"] for line in rarefy.compare(*found.runs)] == [1, 2]


# Rows of a known dictionary


def test_synthetic_data_shows_as_a_table() -> None:
    assert "<td>features</td><td>32</td>" in rarefy.synth(50, 16, 32)._repr_html_()


def test_synth_gives_rows_of_its_dictionary() -> None:
    data = rarefy.synth(500, 16, 32, l0=3, random_state=4)
    codes = data.codes.to_scipy()
    assert np.allclose(codes @ data.directions, data.X, atol=1e-5)
    assert np.allclose(np.linalg.norm(data.directions, axis=1), 1, atol=1e-6)
    assert codes.nnz / 500 == pytest.approx(3, abs=0.3)
    assert np.array_equal(data.X, rarefy.synth(500, 16, 32, l0=3, random_state=4).X)
    assert not np.array_equal(data.X, rarefy.synth(500, 16, 32, l0=3, random_state=5).X)
    assert repr(data) == "<rarefy.Synthetic: 500 rows of 16 values, 32 features>"


def test_synth_makes_the_data_of_a_benchmark_in_other_sizes() -> None:
    data = rarefy.synth(2000, 8, 4096, like="synthsaebench-16k")
    assert data.X.shape == (2000, 8)
    assert data.directions.shape == (4096, 8)
    fires = data.codes.to_scipy().toarray() > 0
    # The first children fire with their parents only, one at a time.
    children = fires[:, 128:640].reshape(2000, 128, 4)
    assert not (children.any(axis=2) & ~fires[:, :128]).any()
    assert children.sum(axis=2).max() == 1
    with pytest.raises(rarefy.errors.ConfigError, match="remove `l0`"):
        rarefy.synth(10, like="synthsaebench-16k", l0=3)
    with pytest.raises(rarefy.errors.RarefyError, match="synthsaebench-16k"):
        rarefy.synth(10, like="synthsaebench")


def test_synth_takes_all_parts_of_the_specification() -> None:
    data = rarefy.synth(
        np.int64(2000),
        np.int32(16),
        16,
        l0=np.float32(2),
        zipf=0.5,
        centre=5.0,
        directions="orthogonal",
        magnitudes="constant",
        noise=0.01,
    )
    assert np.allclose(data.directions @ data.directions.T, np.eye(16), atol=1e-5)
    assert np.allclose(data.codes.values, 1, atol=1e-6)
    rest = data.X - data.codes.to_scipy() @ data.directions
    assert np.linalg.norm(rest.mean(axis=0)) == pytest.approx(5, abs=0.01)
    assert rest.std(axis=0).mean() == pytest.approx(0.01, rel=0.1)
    rates = np.bincount(data.codes.indices, minlength=16)
    assert rates[0] > 2 * rates[15]


def test_synth_correlation_and_hierarchy() -> None:
    fired = rarefy.synth(4000, 8, 8, l0=2, correlation=0.8, cluster=2).codes.to_dense() > 0
    assert np.corrcoef(fired[:, 0], fired[:, 1])[0, 1] == pytest.approx(0.8, abs=0.05)
    fired = rarefy.synth(2000, 8, 8, l0=1, hierarchy={"depth": 1, "branch": 3}).codes.to_dense() > 0
    assert fired[:, 1].any()
    assert not (fired[:, 1] & ~fired[:, 0]).any()


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"features": 3}, "unknown parameter `features`"),
        ({"hierarchy": "2x3"}, "`hierarchy` must be a dictionary"),
        ({"n_rows": -1}, "`n_rows` must be a whole number"),
        ({"n_inputs": 2.5}, "`n_inputs` must be a whole number"),
        ({"cluster": 1}, "`cluster` must be at least 2, got 1"),
        ({"l0": 1000}, "`l0` must be above 0 and at most 64"),
        ({"directions": "sideways"}, "sideways"),
    ],
)
def test_wrong_parts_of_a_synthetic_specification_are_named(wrong: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        rarefy.synth(**{"n_rows": 10, **wrong})
    assert text in str(refused.value)


def test_known_dictionary_is_recovered() -> None:
    data = rarefy.synth(4000, 16, 16, l0=1.5)
    run = rarefy.train(data.X, "topk", n_latents=32, k=2, steps=400, batch_size=256, progress=False)
    assert data.recovered(run.model) > 0.8
    untrained = rarefy.train(data.X, "topk", n_latents=32, k=2, steps=1, batch_size=256, progress=False)
    assert data.recovered(untrained.model) < 0.5


def test_compare_shows_the_option_l0_beside_the_figure(rows: np.ndarray, tmp_path: Path) -> None:
    for weight in (1.0, 2.0):
        rarefy.train(rows, "jumprelu", out=tmp_path / str(weight), n_latents=12, l0=weight, steps=5, progress=False)
    table = rarefy.compare(tmp_path / "1.0", tmp_path / "2.0")
    assert [line["option l0"] for line in table] == [1.0, 2.0]
    assert all(line["l0"] not in (1.0, 2.0) for line in table)


def test_a_model_is_not_saved_into_the_folder_of_a_run(rows: np.ndarray, tmp_path: Path) -> None:
    run = rarefy.train(rows, "topk", out=tmp_path / "run", **SMALL)
    with pytest.raises(ConfigError, match="is the folder of a run"):
        run.model.save(tmp_path / "run")
    assert rarefy.load(tmp_path / "run") == run.model
    run.model.save(tmp_path / "other")


def test_settings_of_files_are_refused_for_rows_in_memory(rows: np.ndarray) -> None:
    for key, value in {"data.exclude": ["a"], "data.columns": ["a"], "data.label": "a", "data.rows": 3}.items():
        with pytest.raises(ConfigError, match="says how files are read"):
            rarefy.train(rows, "topk", settings={key: value}, **SMALL)


def test_advice_names_settings_as_they_are_passed(rows: np.ndarray) -> None:
    run = rarefy.train(rows, "topk", n_latents=12, k=3, steps=20, settings={"train.resample": "dictionary-learning"}, progress=False)
    assert any('`settings["train.resample"]` has no effect' in message for message in run.messages), run.messages
