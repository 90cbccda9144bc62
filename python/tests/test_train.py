"""`rarefy.train` on rows: figures, messages, progress, parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rarefy
from rarefy import _core, _progress
from rarefy._progress import listener
from rarefy.errors import ConfigError, FormatError, NotFiniteError, ShapeError

SMALL: dict[str, Any] = {"n_latents": 12, "k": 3, "steps": 20, "progress": False}


# Rows and figures


def test_path_gives_the_model_of_the_array(digits: tuple[np.ndarray, np.ndarray]) -> None:
    by_path = rarefy.train("sample:digits", "topk", preprocess=[], **SMALL)
    by_array = rarefy.train(digits[0], "topk", **SMALL)
    weights = by_path.model.weights
    assert all(np.array_equal(weights[name], found) for name, found in by_array.model.weights.items())
    assert by_path.training == by_array.training
    assert by_path.explained_variance == by_array.explained_variance == by_path.held_out.explained_variance


def test_default_preprocessing_of_a_sample_is_told() -> None:
    run = rarefy.train("sample:digits", "topk", **SMALL)
    assert run.chosen["preprocess"] == run.model.preprocess == ["scale"]
    assert "preprocessing scale" in run.why


def test_figures_are_those_of_evaluate(rows: np.ndarray) -> None:
    run = rarefy.train(rows, "topk", **SMALL)
    assert run.held_out is None
    assert dict(run.training) == pytest.approx(dict(run.model.evaluate(rows)))
    assert run.explained_variance == run.training.explained_variance
    assert run.steps == 20
    assert run.rows_seen == 20 * run.chosen["batch_size"]
    assert run.records[-1]["step"] == 20
    assert run.reason == "all 20 steps done"


def test_held_out_rows_are_not_trained_on(rows: np.ndarray) -> None:
    run = rarefy.train(rows, "topk", holdout=100, **SMALL)
    assert (run.training.rows, run.held_out.rows) == (200, 100)
    assert run.chosen["holdout"] == 100
    assert run.explained_variance == run.held_out.explained_variance < run.training.explained_variance
    assert "100 rows held out" in run.why
    with pytest.raises(ConfigError, match="`holdout` must be less than the 300 rows of X, got 300"):
        rarefy.train(rows, "topk", holdout=300, **SMALL)


def test_missing_hold_out_of_a_large_batch_is_told(digits: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    # A twentieth of the 1797 rows are 89.
    expected = (
        "no rows are held out: of 1797 rows 1708 would be left, fewer than `batch_size`, 1797; "
        "figures of unseen rows need a `batch_size` of at most 1708"
    )
    run = rarefy.train(digits[0], "topk", batch_size=1797, out=tmp_path / "run", **SMALL)
    assert run.held_out is None and run.messages.count(expected) == 1
    assert rarefy.train("sample:digits", "topk", batch_size=1797, **SMALL).messages.count(expected) == 1
    for told in ({"batch_size": 1708}, {"batch_size": 1797, "holdout": 0}, {}, {"settings": {"train.batch": 1708}}):
        assert not any("held out" in text for text in rarefy.train(digits[0], "topk", **SMALL, **told).messages)
    # Fewer than 1000 rows have no held-out part with any batch.
    assert rarefy.train(digits[0][:999], "topk", batch_size=999, **SMALL).messages == []
    # The run has recorded its held-out rows.
    again = rarefy.train(digits[0], "topk", batch_size=1797, out=tmp_path / "run", resume=True, **SMALL)
    assert not any("held out" in text for text in again.messages)


def test_text_of_a_run_has_its_figures_and_settings(rows: np.ndarray) -> None:
    run = rarefy.train(rows, "topk", **SMALL)
    text = repr(run)
    assert "<rarefy.Model topk: 6 inputs, 12 latents, k=3>" in text
    assert "explained_variance" in text
    assert "k=3, 20 steps" in text
    assert "&lt;rarefy.Model topk" in run._repr_html_()


def test_warnings_are_kept_and_have_the_names_of_parameters(rows: np.ndarray) -> None:
    run = rarefy.train(rows, "topk", **SMALL, settings={"train.optimizer": "signum", "train.beta2": 0.9})
    assert any('`settings["train.beta2"]`' in text for text in run.messages)
    assert not any("--" in text for text in run.messages)


def test_why_has_no_rule_for_given_latents(rows: np.ndarray) -> None:
    run = rarefy.train(rows, "topk", **SMALL)
    run.chosen["rule"] = None
    assert run.why == "topk, 12 latents, k=3, 20 steps"
    run.chosen["rule"] = "8 for each input"
    assert run.why == "topk, 12 latents (8 for each input), k=3, 20 steps"


def test_transcoder_of_paths(rows: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", rows)
    np.save(tmp_path / "y.npy", rows[:, :4] + rows[:, 2:])
    run = rarefy.train(tmp_path / "x.npy", "topk", target=tmp_path / "y.npy", **SMALL | {"steps": 100})
    assert (run.model.n_inputs, run.model.n_outputs) == (6, 4)
    assert run.model.reconstruct(rows).shape == (300, 4)
    with pytest.raises(ConfigError, match="`target` is a path beside the path `X`"):
        rarefy.train(rows, target=tmp_path / "y.npy", **SMALL)


def test_member_names_an_array_of_a_file(rows: np.ndarray, tmp_path: Path) -> None:
    np.savez(tmp_path / "rows.npz", few=rows[:, :3], all=rows)
    run = rarefy.train(tmp_path / "rows.npz", "topk", member="all", preprocess=[], **SMALL)
    assert run.model == rarefy.train(rows, "topk", **SMALL).model
    assert rarefy.train(tmp_path / "rows.npz", "topk", member="few", **SMALL).model.n_inputs == 3
    with pytest.raises(FormatError, match="choose one with `member`"):
        rarefy.train(tmp_path / "rows.npz", "topk", **SMALL)
    with pytest.raises(ConfigError, match="`member` names .* of a file, so `X` must be a path"):
        rarefy.train(rows, "topk", member="all", **SMALL)
    with pytest.raises(ConfigError, match="`member` must be a text, got 1"):
        rarefy.train(tmp_path / "rows.npz", "topk", member=1, **SMALL)  # type: ignore[arg-type]


def test_dictionary_of_stores_is_refused(rows: np.ndarray, tmp_path: Path) -> None:
    stores = {"model.layers.10": tmp_path, "model.layers.11": tmp_path}
    with pytest.raises(TypeError, match=r"got a dictionary of 2 stores: pass one of them: stores\['model.layers.10'\]"):
        rarefy.train(stores, "topk", **SMALL)
    with pytest.raises(TypeError, match="expected a numpy array, .* got dict"):
        rarefy.train({"a": rows}, "topk", **SMALL)


def test_rows_with_nan_are_refused(rows: np.ndarray, tmp_path: Path) -> None:
    bad = rows.copy()
    bad[299, 5] = np.nan
    with pytest.raises(NotFiniteError, match="^X: row 299, column 5: expected a finite number, got NaN"):
        rarefy.train(bad, out=tmp_path / "run", **SMALL)
    assert not (tmp_path / "run" / "config.toml").exists()


# Progress and threads


def test_progress_is_passed_to_a_function(rows: np.ndarray) -> None:
    seen: list[dict[str, Any]] = []
    rarefy.train(rows, "topk", **SMALL | {"progress": seen.append})
    assert seen[-1]["step"] == seen[-1]["steps"] == 20
    assert seen[-1]["loss"] > 0


def test_progress_is_passed_at_most_twenty_times_a_second_and_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    assert _progress.PAUSE == 1 / 20
    # A power of two, so that times are exact.
    monkeypatch.setattr(_progress, "PAUSE", 1 / 16)
    seen: list[rarefy.Progress] = []
    with listener(seen.append) as watcher:
        for step in range(100):
            now[0] = step / 64
            watcher.step({"step": step})
    assert [p.step for p in seen] == [*range(0, 100, 4), 99]
    assert {type(p) for p in seen} == {rarefy.Progress}
    with pytest.raises(ZeroDivisionError), listener(seen.append) as watcher:
        watcher.step({"step": 100})
        watcher.step({"step": 101})
        raise ZeroDivisionError
    assert seen[-1].step == 100


def test_progress_is_of_one_type_everywhere(rows: np.ndarray) -> None:
    seen: list[Any] = []
    rarefy.train(rows, "topk", **SMALL | {"progress": seen.append})
    trainer = rarefy.Trainer("topk", n_latents=12, k=3, steps=400, batch_size=10)
    trainer.fit([rows] * 20, callback=seen.append, progress=seen.append)
    assert {type(p) for p in seen} == {rarefy.Progress}


def test_setting_of_threads_is_used(rows: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[Any] = []
    train = _core.train

    def spy(*arguments: Any) -> Any:
        used.append(arguments[8])
        return train(*arguments)

    monkeypatch.setattr(_core, "train", spy)
    rarefy.train(rows, "topk", **SMALL, settings={"train.threads": 1})
    rarefy.train(rows, "topk", **SMALL, threads=2)
    rarefy.train(rows, "topk", **SMALL)
    assert used == [1, 2, None]
    with pytest.raises(ConfigError, match="`threads` must be a whole number above 0"):
        rarefy.train(rows, "topk", **SMALL, settings={"train.threads": 0})


def test_function_of_progress_raises_its_own_exception(rows: np.ndarray) -> None:
    def failing(progress: dict[str, Any]) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        rarefy.train(rows, "topk", **SMALL | {"progress": failing, "steps": 10**6})


def test_progress_is_shown_on_request_only(rows: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    rarefy.train(rows, "topk", **SMALL | {"progress": None})
    assert capsys.readouterr().err == ""
    rarefy.train(rows, "topk", **SMALL | {"progress": True})
    assert "step 20/20" in capsys.readouterr().err


# Parameters


@pytest.mark.parametrize(
    ("wrong", "error", "text"),
    [
        ({"lr": 0.1}, ConfigError, "unknown parameter `lr`; use `learning_rate`"),
        ({"d_sae": 9}, ConfigError, "unknown parameter `d_sae`; use `n_latents`"),
        ({"device": "cuda"}, ConfigError, "unknown parameter `device`: rarefy works on the CPU"),
        ({"d_in": 9}, ConfigError, "`d_in` is a parameter of rarefy.Trainer; rarefy.train does not take it"),
        ({"max_iter": 9}, ConfigError, "unknown parameter `max_iter`; use `steps`"),
        ({"labelz": 9}, ConfigError, "unknown parameter `labelz`, did you mean `labels`?"),
        ({"stepz": 9}, ConfigError, "unknown parameter `stepz`, did you mean `steps`?"),
        ({"kk": 9}, ConfigError, "unknown parameter `kk`, did you mean `k`?"),
        ({"zebra": 9}, ConfigError, "unknown parameter `zebra`; rarefy.architectures() lists"),
        ({"l1": 9}, ConfigError, "topk has no option `l1`"),
        ({"architecture": "topkk"}, ConfigError, "unknown architecture `topkk`, did you mean `topk`?"),
        ({"architecture": 3}, ConfigError, "`architecture` must be a text, got 3"),
        ({"n_latents": "many"}, ConfigError, "`n_latents` must be a whole number not below 0, got 'many'"),
        ({"n_latents": 2.5}, ConfigError, "`n_latents` must be a whole number not below 0, got 2.5"),
        ({"n_latents": 0}, ConfigError, "`n_latents` must be at least 1, got 0"),
        ({"n_latents": True}, ConfigError, "`n_latents` must be a whole number not below 0, got True"),
        ({"steps": -1}, ConfigError, "`steps` must be a whole number not below 0, got -1"),
        ({"epochs": 3}, ConfigError, "set `steps` or `epochs`, not both"),
        ({"k": 99}, ConfigError, "`k` must be at most the 12 latents, got 99"),
        ({"k": "a"}, ConfigError, "`k` must be"),
        ({"k": object()}, TypeError, "`k` must be a number, text, bool or list, got object"),
        ({"learning_rate": "fast"}, ConfigError, "`learning_rate` must be a number, got 'fast'"),
        ({"learning_rate": -1}, ConfigError, "`learning_rate` must be a finite number above 0, got -1"),
        ({"learning_rate": float("nan")}, ConfigError, "`learning_rate` must be a finite number above 0, got NaN"),
        ({"random_state": -1}, ConfigError, "`random_state` must be a whole number"),
        ({"optimizer": "x"}, ConfigError, "`optimizer` must be one of lbfgs, adam, sgd, schedule-free, signum"),
        ({"preprocess": "x"}, ConfigError, "unknown preprocessing step `x`"),
        ({"preprocess": 3}, ConfigError, "`preprocess` must be a name or a list of names, got 3"),
        ({"threads": 0}, ConfigError, "`threads` must be a whole number above 0"),
        ({"image_shape": 3}, ConfigError, "`image_shape` must be (height, width), got 3"),
        ({"image_shape": (2, 2)}, ShapeError, "6 values in a row, got 2 x 2"),
        ({"settings": {"train.foo": 1}}, ConfigError, 'unknown config key `settings["train.foo"]`'),
    ],
)
def test_wrong_parameters_are_named(wrong: dict[str, Any], error: Any, text: str, rows: np.ndarray) -> None:
    with pytest.raises(error) as refused:
        rarefy.train(rows, **{"architecture": "topk", **SMALL, **wrong})
    assert text in str(refused.value)


def test_numbers_of_numpy_are_parameters(rows: np.ndarray) -> None:
    expected = rarefy.train(rows, "topk", learning_rate=0.5, **SMALL).model
    numbers = {"n_latents": np.int64(12), "k": np.uint8(3), "steps": np.int32(20), "learning_rate": np.float32(0.5)}
    assert rarefy.train(rows, "topk", progress=False, **numbers).model == expected
    assert rarefy.train(rows, "topk", random_state=None, learning_rate=0.5, **SMALL).model == expected


@pytest.mark.parametrize("name", ["k", "n_latents", "steps", "random_state"])
def test_numbers_beyond_64_bits_are_refused(name: str, rows: np.ndarray) -> None:
    with pytest.raises(ConfigError, match=f"`{name}` must be a whole number of at most 64 bits, got 1180591620717411303424"):
        rarefy.train(rows, "topk", **SMALL | {name: 2**70})
    with pytest.raises(ConfigError, match="`train.log_every` must be a whole number of at most 64 bits"):
        rarefy.train(rows, "topk", settings={"train.log_every": 2**63}, **SMALL)


def test_unknown_optimizer_names_the_parameter_and_those_that_there_are() -> None:
    X = np.zeros((20, 3), dtype=np.float32)
    with pytest.raises(ConfigError, match="`optimizer` must be one of lbfgs, adam.*got 'adamx'"):
        rarefy.train(X, optimizer="adamx", progress=False)
    assert rarefy.train(X + np.arange(3, dtype=np.float32), optimizer="signum", steps=2, progress=False).steps == 2


def test_architectures_have_summaries_and_options() -> None:
    found = rarefy.architectures()
    assert len(found) == 10
    assert all(line["summary"] and line["options"] for line in found)
    assert "topk" in repr(found)
