"""`rarefy.SparseAutoencoder` as an estimator of scikit-learn."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse

sklearn = pytest.importorskip("sklearn")

from sklearn.base import clone  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.model_selection import GridSearchCV  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402
from sklearn.utils.estimator_checks import check_estimator  # noqa: E402

import rarefy  # noqa: E402
from rarefy import SparseAutoencoder  # noqa: E402
from rarefy.errors import ConfigError  # noqa: E402

ARCHITECTURES = [line["name"] for line in rarefy.architectures()]
PACKAGE = Path(rarefy.__file__).parent.parent


def small(architecture: str = "topk", **more: Any) -> SparseAutoencoder:
    """Estimator that trains in milliseconds."""
    has_k = {line["name"]: any(o["name"] == "k" for o in line["options"]) for line in rarefy.architectures()}
    k = 2 if has_k[architecture] else None
    options = {"levels": [0.25, 0.5]} if architecture == "matryoshka" else {}
    settings = {"n_latents": 8, "k": k, "max_iter": 5, "options": options} | more
    return SparseAutoencoder(architecture, **settings)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("sparse_output", [True, False])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_checks_of_scikit_learn_pass(architecture: str, sparse_output: bool) -> None:
    results = check_estimator(small(architecture, sparse_output=sparse_output), on_fail=None)
    failed = [(r["check_name"], r["exception"]) for r in results if r["status"] not in ("passed", "skipped")]
    assert not failed
    skipped = {r["check_name"] for r in results if r["status"] == "skipped"}
    assert skipped <= {"check_array_api_input", "check_array_api_input_and_values"}
    assert len(results) > 40


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_latents_have_one_column_each(architecture: str, rows: np.ndarray) -> None:
    found = small(architecture).fit_transform(rows)
    assert found.shape == (300, 8)
    assert found.dtype == np.float32
    assert scipy.sparse.issparse(found) == (architecture != "kl")
    dense = small(architecture, sparse_output=False).fit_transform(rows)
    assert isinstance(dense, np.ndarray)
    assert np.array_equal(dense, found.toarray() if scipy.sparse.issparse(found) else found)


def test_pipeline_predicts_digits(digits: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = digits
    pipeline = make_pipeline(small(n_latents=64, k=8, max_iter=60), LogisticRegression(max_iter=200))
    assert pipeline.fit(X[:1000], y[:1000]).score(X[1000:], y[1000:]) > 0.7


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_grid_search_with_two_processes_gives_the_scores_of_one(digits: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = digits[0][:400], digits[1][:400]
    pipeline = make_pipeline(StandardScaler(), small(n_latents=32, max_iter=20), LogisticRegression(max_iter=50))
    grid = {"sparseautoencoder__k": [1, 8]}
    scores = [
        GridSearchCV(pipeline, grid, n_jobs=n, cv=2, error_score="raise").fit(X, y).cv_results_["mean_test_score"]
        for n in (1, 2)
    ]
    assert np.array_equal(*scores)
    assert scores[0][1] > scores[0][0]


@pytest.mark.parametrize("sparse_output", [True, False])
def test_set_output_gives_frames(sparse_output: bool, rows: np.ndarray) -> None:
    given = pd.DataFrame(rows, columns=list("abcdef"), index=range(10, 310))
    plain = small().fit(given)
    expected = plain.transform(given).toarray()
    fitted = clone(plain).set_params(sparse_output=sparse_output)
    found = fitted.set_output(transform="pandas").fit_transform(given)
    assert isinstance(found, pd.DataFrame)
    assert list(found.columns) == [f"sparseautoencoder{i}" for i in range(8)]
    assert list(found.index) == list(range(10, 310))
    assert np.array_equal(found, expected)
    found = fitted.set_output(transform="polars").transform(given)
    assert isinstance(found, pl.DataFrame)
    assert np.array_equal(found, expected)
    with sklearn.config_context(transform_output="pandas"):
        assert isinstance(clone(plain).fit(given).transform(given), pd.DataFrame)


def test_names_of_columns_are_kept_and_checked(rows: np.ndarray) -> None:
    given = pd.DataFrame(rows, columns=list("abcdef"))
    fitted = small().fit(given)
    assert list(fitted.feature_names_in_) == list("abcdef")
    assert list(fitted.get_feature_names_out()) == [f"sparseautoencoder{i}" for i in range(8)]
    with pytest.raises(ValueError, match="feature names"):
        fitted.transform(given[list("fedcba")])


def test_clone_has_the_parameters_and_is_not_fitted(rows: np.ndarray) -> None:
    fitted = small("relu", k=None, options={"l1": 0.5}, preprocess=["standardise"], random_state=3).fit(rows)
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params()
    assert not hasattr(copy, "model_")
    assert copy.fit(rows).model_ == fitted.model_


def test_pickle_gives_the_same_latents_in_another_process(rows: np.ndarray, tmp_path: Path) -> None:
    fitted = small().fit(rows)
    (tmp_path / "sae.pickle").write_bytes(pickle.dumps(fitted))
    np.save(tmp_path / "rows.npy", rows)
    program = (
        "import pickle, numpy, scipy.sparse\n"
        "sae = pickle.load(open('sae.pickle', 'rb'))\n"
        "scipy.sparse.save_npz('codes.npz', sae.transform(numpy.load('rows.npy')))\n"
        "print(sae.training_.l0, sae.chosen_['k'])\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(PACKAGE)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert (scipy.sparse.load_npz(tmp_path / "codes.npz") != fitted.transform(rows)).nnz == 0
    assert told.stdout.split() == [str(fitted.training_.l0), "2"]


def test_same_bytes_with_one_thread_and_two(digits: tuple[np.ndarray, np.ndarray]) -> None:
    one, two = (small(n_latents=64, k=4, max_iter=20, threads=n).fit(digits[0]) for n in (1, 2))
    assert one.model_ == two.model_
    assert one.model_.weights["w_dec"].tobytes() == two.model_.weights["w_dec"].tobytes()
    assert small(n_latents=64, k=4, max_iter=20, random_state=1).fit(digits[0]).model_ != one.model_


def test_chosen_settings_follow_from_the_data(digits: tuple[np.ndarray, np.ndarray]) -> None:
    fitted = SparseAutoencoder(max_iter=20).fit(digits[0])
    assert fitted.chosen_["n_latents"] == fitted.model_.n_latents == fitted.components_.shape[0]
    assert fitted.chosen_["steps"] == fitted.n_iter_ == 20
    assert fitted.chosen_["k"] == fitted.model_.options["k"]
    assert isinstance(fitted.chosen_["k"], int)
    assert fitted.chosen_["holdout"] == 89 == fitted.held_out_.rows
    assert fitted.training_.rows == 1797 - 89
    assert f"{fitted.model_.n_latents} latents" in fitted.why_
    assert "20 steps, 89 rows held out" in fitted.why_
    assert SparseAutoencoder(max_iter=5, holdout=0).fit(digits[0]).held_out_ is None


def test_score_is_the_explained_variance(digits: tuple[np.ndarray, np.ndarray]) -> None:
    X = digits[0]
    fitted = small(n_latents=64, k=8, max_iter=60).fit(X)
    rest = X - fitted.model_.reconstruct(X)
    expected = 1 - (rest.astype("f8") ** 2).sum() / ((X - X.mean(axis=0, dtype="f8")) ** 2).sum()
    assert fitted.score(X) == pytest.approx(expected, abs=1e-5)
    assert fitted.score(X) > 0.5
    assert fitted.score(np.ones((3, 64))) == 0.0


@pytest.mark.parametrize("preprocess", ["standardise", "norm-row", "pca:3"])
def test_score_is_in_raw_units(preprocess: str, rows: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    X = rows * [1, 10, 100, 1, 1, 1] + 1000
    fitted = small(preprocess=preprocess).fit(X)
    rest = X - fitted.model_.reconstruct(X).astype("f8")
    expected = 1 - (rest**2).sum() / ((X - X.mean(axis=0)) ** 2).sum()
    assert fitted.score(X) == pytest.approx(expected, abs=1e-6)
    monkeypatch.setattr("rarefy._estimator.PIECE", 70)
    assert fitted.score(X) == pytest.approx(expected, abs=1e-6)
    assert fitted.score(np.full((200, 6), 0.1)) == 0.0
    assert fitted.score(X[:1]) == 0.0


def test_inverse_transform_of_sparse_and_dense_latents(rows: np.ndarray) -> None:
    fitted = small(preprocess=["standardise"]).fit(rows)
    latents = fitted.transform(rows)
    found = fitted.inverse_transform(latents)
    assert np.allclose(found, fitted.model_.reconstruct(rows), atol=1e-6)
    assert np.allclose(fitted.inverse_transform(latents.toarray()), found, atol=1e-6)
    assert np.allclose(fitted.inverse_transform(pd.DataFrame(latents.toarray())), found, atol=1e-6)
    assert np.allclose(fitted.inverse_transform(latents.tocoo()), found, atol=1e-6)
    with pytest.raises(ValueError, match="expected 8 columns, one for each latent, got 7"):
        fitted.inverse_transform(latents[:, :7])


def test_random_state_takes_generators_of_numpy(rows: np.ndarray) -> None:
    of = lambda state: small(random_state=state).fit(rows).model_  # noqa: E731
    assert of(np.random.RandomState(5)) == of(np.random.RandomState(5))
    assert of(np.random.RandomState(5)) != of(np.random.RandomState(6))
    assert of(np.int64(7)) == of(7)
    assert of(None).n_latents == 8


def test_options_are_checked(rows: np.ndarray) -> None:
    with pytest.raises(ConfigError, match="`k` is given twice: 2, and 3 in `options`"):
        small(options={"k": 3}).fit(rows)
    with pytest.raises(ConfigError, match="unknown parameter `ll1`, did you mean `l1`"):
        small("relu", k=None, options={"ll1": 3}).fit(rows)
    with pytest.raises(ConfigError, match="`steps`; use `max_iter`"):
        small(options={"steps": 3}).fit(rows)
    with pytest.raises(ConfigError, match="`max_iter` is a parameter of rarefy.SparseAutoencoder, not an option"):
        small(options={"max_iter": 3}).fit(rows)
    with pytest.raises(ConfigError, match="`epochs` is a parameter of rarefy.train; rarefy.SparseAutoencoder does not"):
        small(options={"epochs": 3}).fit(rows)
    with pytest.raises(ConfigError, match="`n_latents` must be a whole number"):
        small(n_latents=2.5).fit(rows)
    with pytest.raises(ConfigError, match="`threads` must be a whole number"):
        small(threads=0).fit(rows)


def test_verbose_shows_progress(rows: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    small(max_iter=2).fit(rows)
    assert capsys.readouterr().err == ""
    small(max_iter=2, verbose=True).fit(rows)
    assert "step 2/2" in capsys.readouterr().err


# partial_fit


def test_partial_fit_equals_the_steps_of_a_trainer(rows: np.ndarray) -> None:
    estimator = small(max_iter=30, batch_size=100)
    trainer = rarefy.Trainer("topk", n_latents=8, k=2, steps=30, batch_size=100, sample=rows)
    for _ in range(3):
        estimator.partial_fit(rows)
        for start in (0, 100, 200):
            trainer.step(rows[start : start + 100])
    assert estimator.n_iter_ == trainer.steps_done == 9
    assert estimator.model_ == trainer.model()


def test_partial_fit_improves(digits: tuple[np.ndarray, np.ndarray]) -> None:
    estimator = small(n_latents=64, k=8, max_iter=None)
    scores = []
    for _ in range(3):
        for start in range(0, 1500, 300):
            estimator.partial_fit(digits[0][start : start + 300])
        scores.append(estimator.score(digits[0]))
    assert scores[0] < scores[1] < scores[2]


def test_partial_fit_without_a_number_of_steps_has_the_whole_penalty(digits: tuple[np.ndarray, np.ndarray]) -> None:
    X = (digits[0] / 16).astype(np.float32)
    estimator = small("relu", n_latents=64, max_iter=None, batch_size=300, options={"l1": 0.3}, learning_rate=0.003)
    active = []
    for _ in range(60):
        estimator.partial_fit(X[:1500])
        active.append(estimator.model_.evaluate(X).l0)
    assert active[-1] < 0.5 * active[0]


def test_threads_are_used_by_all_methods(rows: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[Any] = []
    for name in ("encode", "decode", "reconstruct"):
        method = getattr(rarefy.Model, name)

        def spy(*arguments: Any, method: Any = method, threads: Any = None) -> Any:
            used.append(threads)
            return method(*arguments, threads=threads)

        monkeypatch.setattr(rarefy.Model, name, spy)
    estimator = small(threads=1).partial_fit(rows)
    assert estimator._stream is not None
    assert estimator._stream._threads == 1
    estimator.inverse_transform(estimator.transform(rows))
    estimator.score(rows)
    assert used == [1, 1, 1]


def test_warnings_are_kept(rows: np.ndarray) -> None:
    estimator = small("relu", k=None, max_iter=3, options={"l1": 0.0}).fit(rows)
    assert isinstance(estimator.messages_, list)
    assert small(max_iter=3).partial_fit(rows).messages_ == small(max_iter=3).partial_fit(rows)._stream.messages


def test_pickle_holds_a_part_of_a_large_first_call(rows: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rarefy._trainer.SAMPLE", 50)
    assert len(small(max_iter=9).partial_fit(rows)._stream._sample) == 50


def test_partial_fit_refuses_other_parameters(rows: np.ndarray) -> None:
    estimator = small().partial_fit(rows)
    with pytest.raises(ConfigError, match="`k`, `n_latents` cannot change between calls of `partial_fit`"):
        estimator.set_params(n_latents=9, k=3).partial_fit(rows)


def test_settings_reach_the_run(rows: np.ndarray) -> None:
    plain, masked = small(), small(settings={"train.mask": 0.5})
    assert plain.fit(rows).model_ != masked.fit(rows).model_
    assert small().partial_fit(rows).model_ != small(settings={"train.mask": 0.5}).partial_fit(rows).model_


def test_partial_fit_refuses_another_width(rows: np.ndarray) -> None:
    estimator = small().partial_fit(rows)
    before = estimator.model_
    with pytest.raises(ValueError, match="5 features, but SparseAutoencoder is expecting 6"):
        estimator.partial_fit(rows[:, :5])
    assert estimator.partial_fit(rows).n_iter_ == 2
    assert estimator.model_ != before


def test_partial_fit_goes_on_after_pickling(rows: np.ndarray) -> None:
    estimator = small(max_iter=30).partial_fit(rows)
    copy = pickle.loads(pickle.dumps(estimator))
    assert copy.partial_fit(rows).n_iter_ == 2
    assert copy.model_ == estimator.partial_fit(rows).model_


def test_partial_fit_after_fit_begins_anew(rows: np.ndarray) -> None:
    estimator = small().fit(rows)
    with pytest.warns(UserWarning, match="`partial_fit` after `fit` starts anew") as found:
        estimator.partial_fit(rows)
    assert found[0].filename == __file__
    assert estimator.n_iter_ == 1
    assert estimator.model_ == small().partial_fit(rows).model_
    assert not hasattr(estimator, "chosen_")
    assert estimator.fit(rows).n_iter_ == 5


def test_partial_fit_ends_with_the_planned_steps(rows: np.ndarray) -> None:
    estimator = small(max_iter=2).partial_fit(rows).partial_fit(rows)
    model = estimator.model_
    with pytest.raises(ConfigError, match="`max_iter` is 2, of which 2 steps are done, so 1 more cannot be taken"):
        estimator.partial_fit(rows)
    assert (estimator.n_iter_, estimator.model_) == (2, model)
    with pytest.raises(ConfigError, match="`max_iter` is 2, of which 0 steps are done, so 3 more cannot be taken"):
        small(max_iter=2, batch_size=100).partial_fit(rows)
