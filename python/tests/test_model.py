"""`rarefy.Model`: codes, edits, metrics, latents, explorer, files."""

from __future__ import annotations

import base64
import copy
import dataclasses
import gzip
import os
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import scipy.stats
from numpy.testing import assert_allclose

import rarefy
from rarefy.errors import ConfigError, FormatError, NotFiniteError, RarefyError, ShapeError

ARCHITECTURES = [line["name"] for line in rarefy.architectures()]
Digits = tuple[np.ndarray, np.ndarray]


def trained(x: np.ndarray, architecture: str = "topk", **more: Any) -> rarefy.Model:
    return rarefy.train(x, architecture, **{"n_latents": 12, "steps": 20, "progress": False} | more).model


# Encode and decode


def test_codes_of_topk_by_hand(rows: np.ndarray) -> None:
    model = trained(rows, k=3)
    w = model.weights
    pre = (rows.astype("f8") - w["b_dec"]) @ w["w_enc"].T.astype("f8") + w["b_enc"]
    kept = np.argsort(-pre, axis=1)[:, :3]
    expected = np.zeros_like(pre)
    np.put_along_axis(expected, kept, np.maximum(np.take_along_axis(pre, kept, 1), 0), 1)
    assert_allclose(model.encode(rows).toarray(), expected, atol=1e-5)
    assert_allclose(model.reconstruct(rows), expected @ w["w_dec"] + w["b_dec"], atol=1e-5)


@pytest.mark.parametrize("preprocess", [[], ["standardise"], ["norm-row"], ["layer-norm", "scale"], ["pca"]])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_decode_of_codes_is_the_reconstruction(architecture: str, preprocess: list[str], rows: np.ndarray) -> None:
    model = trained(rows, architecture, preprocess=preprocess)
    codes = model.codes(rows)
    assert_allclose(model.decode(codes), model.reconstruct(rows), atol=1e-5)
    assert len(codes) == 300
    encoded = model.encode(rows)
    assert_allclose(codes.to_dense(), encoded.toarray() if model.is_sparse else encoded)
    assert model.is_sparse == (architecture != "kl") == scipy.sparse.issparse(encoded)
    if not {"norm-row", "layer-norm"} & set(preprocess):
        assert not len(codes.row_scales)
        assert_allclose(model.decode(encoded), model.reconstruct(rows), atol=1e-5)
        assert_allclose(model.decode(codes.to_dense()), model.reconstruct(rows), atol=1e-5)


def test_decode_takes_sparse_matrices_of_all_formats_and_leaves_them(rows: np.ndarray, model: rarefy.Model) -> None:
    codes = model.encode(rows)
    expected = model.reconstruct(rows)
    for kind in ("csr", "csc", "coo", "lil", "dok"):
        assert_allclose(model.decode(codes.asformat(kind)), expected, atol=1e-6)
    assert_allclose(model.decode(scipy.sparse.csr_array(codes.astype("f8"))), expected, atol=1e-6)
    # Two entries of one place count as their sum.
    twice = scipy.sparse.csr_matrix(
        (np.repeat(codes.data / 2, 2), np.repeat(codes.indices, 2), 2 * codes.indptr), shape=codes.shape
    )
    before = twice.nnz
    assert_allclose(model.decode(twice), expected, atol=1e-6)
    assert twice.nnz == before


def test_wrong_codes_are_refused(rows: np.ndarray, model: rarefy.Model) -> None:
    codes = model.codes(rows)
    replace = lambda **more: model.decode(dataclasses.replace(codes, **more))  # noqa: E731
    with pytest.raises(ShapeError, match="codes: latent: expected below 12, got 1"):
        replace(indices=codes.indices + 12)
    with pytest.raises(ConfigError, match="`indices` must be whole numbers from 0 on"):
        replace(indices=codes.indices - 12)
    with pytest.raises(ShapeError, match="offsets"):
        replace(indptr=codes.indptr[::-1])
    with pytest.raises(ShapeError, match="row_means"):
        replace(row_means=np.zeros(3, np.float32))
    with pytest.raises(NotFiniteError, match="codes: value 0: expected a finite number"):
        replace(values=np.where(np.arange(len(codes.values)) == 0, np.nan, codes.values))
    with pytest.raises(NotFiniteError, match="codes: row 0, column 0: expected a finite number"):
        model.decode(np.full((2, 12), np.inf))
    for wrong in (np.zeros((2, 11)), scipy.sparse.csr_matrix((2, 11))):
        with pytest.raises(ShapeError, match="codes: expected 12 columns, one for each latent, got 11"):
            model.decode(wrong)
    with pytest.raises(TypeError, match="codes: expected Codes, a sparse matrix or an array, got a path"):
        model.decode("codes.npz")
    with pytest.raises(TypeError, match="codes: expected numbers, got dtype complex"):
        model.decode(scipy.sparse.csr_matrix(np.full((1, 12), 1j)))


@pytest.mark.parametrize("preprocess", [[], ["norm-row"], ["layer-norm"]])
def test_slices_of_codes_decode_to_slices_of_rows(preprocess: list[str], rows: np.ndarray) -> None:
    model = trained(rows, k=3, preprocess=preprocess)
    codes = model.codes(rows)
    assert repr(codes) == f"<rarefy.Codes: 300 rows, 12 latents, {len(codes.values)} activations>"
    for part in (slice(3, 9), slice(-4, None), slice(None), slice(0, 1)):
        assert codes[part] == model.codes(rows[part])
        assert_allclose(model.decode(codes[part]), model.reconstruct(rows[part]), atol=1e-5)
    assert len(codes[9:3]) == len(codes[500:]) == 0
    assert codes == model.codes(rows) != codes[1:]
    assert codes != dataclasses.replace(codes, values=codes.values + 1)
    assert codes != "codes"
    with pytest.raises(TypeError, match="Codes cannot be hashed, because arrays can change"):
        hash(codes)
    for wrong in (3, slice(0, 4, 2), [1, 2]):
        with pytest.raises(TypeError, match=r"expected a slice of rows such as codes\[2:5\], got"):
            codes[wrong]  # type: ignore[index]


def test_facts_of_a_model(rows: np.ndarray) -> None:
    model = trained(rows, k=3, preprocess=["standardise"])
    assert (model.architecture, model.n_inputs, model.n_outputs, model.n_latents) == ("topk", 6, 6, 12)
    assert model.options["k"] == 3
    assert model.preprocess == ["standardise"]
    assert repr(model) == "<rarefy.Model topk: 6 inputs, 12 latents, k=3>"
    assert "<td>preprocessing</td><td>standardise</td>" in model._repr_html_()
    assert (model.is_transcoder, model.image_shape) == (False, None)
    pictures = trained(rows, "topk", k=3, image_shape=(2, 3))
    assert pictures.image_shape == (2, 3)
    assert_allclose(np.linalg.norm(model.filters, axis=1), 1, atol=1e-5)
    model.weights["w_dec"][:] = 0
    assert model.weights["w_dec"].any()


def test_folded_model_has_no_preprocessing(rows: np.ndarray) -> None:
    model = trained(3 * rows + 1, k=3, preprocess=["standardise"])
    assert model.folded().preprocess == []
    assert_allclose(model.folded().reconstruct(3 * rows + 1), model.reconstruct(3 * rows + 1), atol=1e-4)


# Edit


@pytest.mark.parametrize("preprocess", [[], ["standardise"], ["norm-row"], ["layer-norm"]])
@pytest.mark.parametrize("architecture", ["topk", "kl"])
def test_edit_changes_rows_by_the_direction_of_the_latent(
    architecture: str, preprocess: list[str], rows: np.ndarray
) -> None:
    x = 2 * rows + 1
    model = trained(x, architecture, preprocess=preprocess)
    assert_allclose(model.edit(x, {}), x, atol=1e-5)
    assert_allclose(model.edit(x, {2: 1.0}, scale=True), x, atol=1e-5)
    codes = model.codes(x)
    latents = codes.to_dense()
    # In preprocessed units the row changes by (new - old) times the decoder row.
    change = np.outer(0.0 - latents[:, 2], model.weights["w_dec"][2])
    if preprocess == ["standardise"]:
        change = change * x.std(axis=0)
    elif preprocess:
        change = change * codes.row_scales[:, None]
    assert abs(change).max() > 0.05
    assert_allclose(model.edit(x, {2: 0.0}), x + change, atol=2e-3 * abs(change).max())
    assert_allclose(model.edit(x, {2: 0.0}, scale=True), x + change, atol=2e-3 * abs(change).max())
    assert_allclose(model.edit(x, {2: 3.0}, scale=True), x - 2 * change, atol=4e-3 * abs(change).max())


def test_wrong_edits_are_refused(rows: np.ndarray, model: rarefy.Model) -> None:
    for key in ("a", 1.5, True, None):
        with pytest.raises(TypeError, match="`changes` must have numbers of latents as keys, got"):
            model.edit(rows, {key: 0.0})  # type: ignore[dict-item]
    for value in (np.nan, np.inf, 1e300, None, "a"):
        with pytest.raises(ConfigError, match="`changes` must have finite numbers as values, got .* for latent 1"):
            model.edit(rows, {1: value})  # type: ignore[dict-item]
    with pytest.raises(TypeError, match="`changes` must be a dictionary such as {17: 0.0}, got list"):
        model.edit(rows, [1])  # type: ignore[arg-type]
    assert_allclose(model.edit(rows, {np.int64(1): np.float32(0)}), model.edit(rows, {1: 0}))


def test_edit_sets_latents_that_were_silent(rows: np.ndarray, model: rarefy.Model) -> None:
    latents = model.codes(rows).to_dense()
    changed = latents.copy()
    changed[:, 0] = 2.0
    changed[:, 5] = 0.0
    expected = rows + model.decode(changed) - model.decode(latents)
    assert_allclose(model.edit(rows, {0: 2.0, np.int64(5): 0.0}), expected, atol=1e-5)


@pytest.mark.parametrize("skip", [False, True])
def test_edit_of_a_transcoder_keeps_its_skip_connection(skip: bool, rows: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", rows)
    np.save(tmp_path / "y.npy", rows[:, :4] ** 2 + 1)
    more = {"target": tmp_path / "y.npy", "settings": {"model.skip": skip}, "preprocess": "standardise"}
    model = trained(tmp_path / "x.npy", "relu", **more)
    assert model.is_transcoder
    predicted = model.reconstruct(rows)
    assert_allclose(model.edit(rows, {}), predicted, atol=1e-6)
    assert np.allclose(model.decode(model.codes(rows)), predicted, atol=1e-4) != skip
    latents = model.encode(rows).toarray()
    latent = int(latents.sum(axis=0).argmax())
    changed = latents.copy()
    changed[:, latent] = 0.0
    expected = predicted + model.decode(changed) - model.decode(latents)
    assert abs(expected - predicted).max() > 0.01
    assert_allclose(model.edit(rows, {latent: 0.0}), expected, atol=1e-5)


def test_edit_refuses_other_latents(rows: np.ndarray, model: rarefy.Model) -> None:
    for latent in (12, -1):
        with pytest.raises(ConfigError, match=f"`changes` must have numbers of latents below 12, got {latent}"):
            model.edit(rows, {latent: 0.0})


# Metrics


def test_metrics_by_hand(digits: Digits, digit_model: rarefy.Model) -> None:
    X = digits[0]
    found = digit_model.evaluate(X)
    latents = digit_model.encode(X).toarray()
    rest = (X - digit_model.reconstruct(X)).astype("f8") ** 2
    rates = (latents != 0).mean(axis=0)
    assert found.rows == 1797
    assert found["l0"] == found.l0 == pytest.approx((latents != 0).sum(axis=1).mean())
    assert found.mse == pytest.approx(rest.sum(axis=1).mean(), rel=1e-5)
    assert found.explained_variance == pytest.approx(1 - rest.sum() / (X.var(axis=0, dtype="f8") * 1797).sum(), abs=1e-6)
    assert found.dead_latents == (rates == 0).sum()
    assert found.frequent_latents == (rates > 0.1).sum()
    assert {"rare_latents", "always_on_latents", "dead_fraction", "loss", "reconstruction"} <= set(found)
    assert "explained_variance" in repr(found)
    assert "<td>l0</td>" in found._repr_html_()
    assert pickle.loads(pickle.dumps(found)) == found
    with pytest.raises(AttributeError, match="no figure 'l1'; there are: .*explained_variance"):
        found.l1  # noqa: B018


# Latents


def test_responses_of_latents_by_hand(digits: Digits, digit_model: rarefy.Model) -> None:
    X, y = digits
    latents = digit_model.encode(X).toarray()
    found = digit_model.latents(X, labels=y, top=5)
    assert [line["latent"] for line in found] == list(range(64))
    assert_allclose([line["firing_rate"] for line in found], (latents > 0).mean(axis=0), rtol=1e-6)
    assert_allclose([line["max"] for line in found], latents.max(axis=0), rtol=1e-6)
    active = [line for line in found if line["firing_rate"]]
    assert len(active) > 40
    for line in active:
        column = latents[:, line["latent"]]
        assert line["mean"] == pytest.approx(column[column > 0].mean(), rel=1e-5)
        assert len(line["top"]) == min(5, (column > 0).sum())
        assert [top["activation"] for top in line["top"]] == sorted(column, reverse=True)[: len(line["top"])]
        assert all(top["label"] == str(y[top["row"]]) for top in line["top"])
        assert line["example"] == line["top"][0]["label"]
    w = digit_model.weights["w_dec"]
    cosines = w @ w.T / np.outer(np.linalg.norm(w, axis=1), np.linalg.norm(w, axis=1))
    np.fill_diagonal(cosines, -2)
    assert found[3]["nearest"][0]["similarity"] == pytest.approx(cosines[3].max(), abs=1e-5)
    assert found[3]["nearest"][0]["latent"] == cosines[3].argmax()
    assert "firing_rate" in repr(found).splitlines()[0]
    assert "44 more" in repr(found)
    for top in (-1, 2.5):
        with pytest.raises(ConfigError, match="`top` must be a whole number not below 0"):
            digit_model.latents(X, top=top)


def test_target_correlations_by_hand(digits: Digits, digit_model: rarefy.Model) -> None:
    X, y = digits
    latents = digit_model.encode(X).toarray()
    found = digit_model.target(X, y)
    for line in found[:20]:
        expected = np.corrcoef(latents[:, line["latent"]], y == int(line["class"]))[0, 1]
        assert line["correlation"] == pytest.approx(expected, abs=1e-5)
        assert line["active"] == pytest.approx((y == int(line["class"]))[latents[:, line["latent"]] > 0].mean())
        assert line["q"] < 1e-50
    assert found.probe["baseline"] == pytest.approx(0.1, abs=0.01)
    assert found.probe["probes"][-1]["score"] > 0.85
    assert "correlation" in repr(found).splitlines()[0]


def test_target_that_is_a_score(digits: Digits, digit_model: rarefy.Model) -> None:
    X = digits[0]
    ink = X.sum(axis=1)
    latents = digit_model.encode(X).toarray()
    found = digit_model.target(X, ink, texts=[f"digit {v}" for v in digits[1]])
    for line in found[:10]:
        column = latents[:, line["latent"]]
        ranks = scipy.stats.spearmanr(column, ink).statistic
        plain = np.corrcoef(column, ink)[0, 1]
        assert min(abs(line["correlation"] - plain), abs(line["correlation"] - ranks)) < 1e-4
    assert any("digit" in line["name"] for line in found)
    as_class = digit_model.target(X, digits[1], kind="class")
    as_score = digit_model.target(X, digits[1], kind="score")
    assert as_class[0]["class"] is not None
    assert as_score[0].get("class") is None


def test_search_finds_the_latents_of_a_word(digits: Digits, digit_model: rarefy.Model) -> None:
    X, y = digits
    texts = [f"picture of {['zero', 'one', 'two', 'three'][v] if v < 4 else 'more'}" for v in y]
    latents = digit_model.encode(X).toarray()
    found = digit_model.search(X, "zero", texts=texts)
    expected = [np.corrcoef(column, y == 0)[0, 1] for column in latents.T if column.any()]
    assert found[0]["correlation"] == pytest.approx(max(expected), abs=1e-5)
    assert found[0]["name"]
    assert [line["correlation"] for line in found] == sorted((line["correlation"] for line in found), reverse=True)
    with pytest.raises(ShapeError, match="got 0 of 1797 texts"):
        digit_model.search(X, "nine", texts=texts)
    with pytest.raises(ConfigError, match="`texts` must be given"):
        digit_model.search(X, "zero")
    with pytest.raises(ConfigError, match="`y` must be given"):
        digit_model.target(X)


def test_search_and_target_take_texts_and_labels_of_files(rows: np.ndarray, model: rarefy.Model, tmp_path: Path) -> None:
    table = pd.DataFrame(rows, columns=list("abcdef"))
    table["label"] = np.where(rows[:, 0] > 0, "yes", "no")
    table["text"] = np.where(rows[:, 1] > 0, "some north", "some south")
    table.to_csv(tmp_path / "rows.csv", index=False)
    table.drop(columns=["label", "text"]).to_csv(tmp_path / "bare.csv", index=False)
    for found, expected in (
        (model.search(tmp_path / "rows.csv", "north"), model.search(table, "north")),
        (model.target(tmp_path / "rows.csv"), model.target(table)),
    ):
        assert [line["latent"] for line in found] == [line["latent"] for line in expected]
        assert_allclose([line["correlation"] for line in found], [line["correlation"] for line in expected], atol=1e-4)
        assert [bool(line["name"]) for line in found] == [bool(line["name"]) for line in expected]
    with pytest.raises(ConfigError, match="`texts` must be given"):
        model.search(tmp_path / "bare.csv", "north")
    with pytest.raises(ConfigError, match="`y` must be given"):
        model.target(tmp_path / "bare.csv")


def test_threads_do_not_change_results(rows: np.ndarray, model: rarefy.Model) -> None:
    assert (model.encode(rows, threads=1) != model.encode(rows)).nnz == 0
    codes = model.codes(rows, threads=2)
    assert np.array_equal(model.decode(codes, threads=1), model.reconstruct(rows, threads=1))
    assert model.evaluate(rows, threads=1) == model.evaluate(rows)
    for call in (model.encode, model.codes, model.reconstruct, model.evaluate):
        with pytest.raises(ConfigError, match="`threads` must be a whole number above 0"):
            call(rows, threads=0)


def test_wrong_targets_are_refused(rows: np.ndarray, model: rarefy.Model) -> None:
    with pytest.raises(ShapeError, match="^y: expected 300, one for each row, got 2"):
        model.target(rows, [1, 2])
    with pytest.raises(ShapeError, match="^y: expected one entry for each row, got several"):
        model.target(rows, np.zeros((300, 2)))
    for one in (["a"] * 300, np.ones(300), [None, *np.ones(299)]):
        with pytest.raises(ShapeError, match="^y: expected different values, .* got one value in all rows: "):
            model.target(rows, one)
    with pytest.raises(ShapeError, match="^y: expected a class or number .* all 300 are missing or NaN"):
        model.target(rows, np.full(300, np.nan))
    with pytest.raises(NotFiniteError, match="^y: row 7: expected a finite number, or NaN to leave the row out, got -inf"):
        model.target(rows, [float(v) if v != 7 else -np.inf for v in range(300)])
    with pytest.raises(ShapeError, match="expected numbers .*, got `a` in row 0"):
        model.target(rows, ["a", "b"] * 150, kind="score")
    with pytest.raises(ConfigError, match="`kind` must be 'score', 'class' or None, got 'x'"):
        model.target(rows, ["a", "b"] * 150, kind="x")


@pytest.mark.parametrize("kind", ["float32", "float16", "bfloat16", "int"])
def test_target_that_is_a_column_gives_a_warning(kind: str, rows: np.ndarray, model: rarefy.Model) -> None:
    X, y = 10 * rows, (10 * rows[:, 4]).astype("f8") * (1 + 1e-8)
    if kind == "bfloat16":
        X = pytest.importorskip("torch").tensor(X).bfloat16()
    elif kind == "int":
        X, y = X.astype(int), y.astype(int)
    else:
        X = X.astype(kind)
    with pytest.warns(UserWarning, match="`y` is column 4 of X, so latents know it: leave the column out") as found:
        model.target(X, y)
    assert found[0].filename == __file__
    # Warnings are errors in these tests.
    model.target(X, y + 1)
    model.target(X, np.where(y > 0, "yes", "no"))


def test_target_counts_the_rows_without_a_value(rows: np.ndarray, model: rarefy.Model, tmp_path: Path) -> None:
    y = rows[:, 0] + rows[:, 1]
    y[:5] = np.nan
    found = model.target(rows, y)
    assert found.rows_left_out == 5
    assert "5 rows without a value of y are left out" in repr(found)
    assert "5 rows without a value of y are left out" in found._repr_html_()
    assert found[0]["correlation"] == pytest.approx(model.target(rows[5:], y[5:])[0]["correlation"], abs=1e-6)
    assert pickle.loads(pickle.dumps(found)).rows_left_out == 5
    complete = model.target(rows, rows[:, 0] > 0)
    assert complete.rows_left_out == 0
    assert "left out" not in repr(complete)
    pd.DataFrame(rows, columns=list("abcdef")).assign(label=np.where(rows[:, 0] > 0, "yes", "no")).to_csv(tmp_path / "rows.csv", index=False)
    assert model.target(tmp_path / "rows.csv").rows_left_out is None


# Explorer


def test_explorer_is_one_page_with_the_texts(rows: np.ndarray, model: rarefy.Model) -> None:
    page = model.explorer(rows, texts=[f"sentence-{i}" for i in range(300)])
    assert page.html.startswith("<!DOCTYPE html>")
    # Nothing is loaded; the namespace of SVG is a name.
    urls = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"'`)]*", page.html))
    assert urls <= {"http://www.w3.org/2000/svg", "//www.w3.org/2000/svg"}
    assert not re.search(r"<(?:link|img|script)[^>]+(?:src|href)=", page.html)
    packed = re.search(r'<script id="data" type="text/plain">([^<]+)<', page.html)
    assert packed is not None
    assert b"sentence-" in gzip.decompress(base64.b64decode(packed.group(1)))
    assert "srcdoc=" in page._repr_html_()
    assert re.fullmatch(r"<rarefy.Page of 0.\d\d MB; save\(path\) writes it>", repr(page))


def test_explorer_of_pictures_checks_their_shape(digits: Digits, digit_model: rarefy.Model) -> None:
    assert digit_model.explorer(digits[0][:100], image_shape=(8, 8)).html != digit_model.explorer(digits[0][:100]).html
    with pytest.raises(ConfigError, match=r"height x width \(x 3 for colour\) = 64 values, got 9 x 9"):
        digit_model.explorer(digits[0], image_shape=(9, 9))


def test_explorer_checks_unembedding_and_vocabulary(rows: np.ndarray, model: rarefy.Model) -> None:
    with pytest.raises(ConfigError, match="`unembedding` and `vocabulary` belong together"):
        model.explorer(rows, vocabulary=["a"])
    with pytest.raises(ShapeError, match="unembedding: expected 6 columns, the width of the model's output, got 5"):
        model.explorer(rows, unembedding=np.zeros((1, 5)), vocabulary=["a"])
    with pytest.raises(ShapeError, match="vocabulary"):
        model.explorer(rows, unembedding=np.zeros((2, 6)), vocabulary=["a"])


def test_page_is_saved_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = rarefy.Page("<p>Grüße</p>\n")
    path = page.save(tmp_path / "new" / "page.html")
    assert path.read_bytes() == "<p>Grüße</p>\n".encode()
    umask = os.umask(0)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask
    page.save(str(path))

    def failing(*_: Any) -> None:
        raise OSError("disk is full")

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(OSError, match="disk is full"):
        rarefy.Page("<p>other</p>").save(path)
    assert path.read_text(encoding="utf-8") == page.html
    assert [p.name for p in path.parent.iterdir()] == ["page.html"]


# Files


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_saved_and_pickled_models_are_equal(architecture: str, rows: np.ndarray, tmp_path: Path) -> None:
    model = trained(rows, architecture, preprocess=["standardise", "norm-row"])
    model.save(tmp_path / "model")
    for found in (rarefy.load(tmp_path / "model"), rarefy.load(str(tmp_path / "model")), pickle.loads(pickle.dumps(model))):
        assert found == model
        assert hash(found) == hash(model)
        assert found.preprocess == model.preprocess
        assert found.options == model.options
        assert np.array_equal(found.reconstruct(rows), model.reconstruct(rows))
    assert copy.deepcopy(model) == model
    assert trained(rows, architecture, random_state=1) != model
    assert model != "model"


def test_load_tells_missing_paths_from_folders_without_a_model(model: rarefy.Model, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as missing:
        rarefy.load(tmp_path / "none")
    assert missing.value.filename == str(tmp_path / "none")
    with pytest.raises(FormatError, match="expected a model or a run folder"):
        rarefy.load(tmp_path)


@pytest.mark.parametrize("name", ["cfg.json", "sae_weights.safetensors"])
@pytest.mark.parametrize("damage", ["empty", "cut", "zeros"])
def test_error_of_a_damaged_model_names_the_file_and_the_way_out(
    damage: str, name: str, model: rarefy.Model, tmp_path: Path
) -> None:
    model.save(tmp_path)
    file = tmp_path / name
    content = file.read_bytes()
    file.write_bytes({"empty": b"", "cut": content[:-9], "zeros": bytes(len(content))}[damage])
    with pytest.raises(FormatError) as refused:
        rarefy.load(tmp_path)
    way_out = "; the file is damaged or was not written to its end: copy the model again, or train it again"
    assert str(refused.value).startswith(f"{file}: ") and str(refused.value).endswith(way_out)


def test_error_of_what_is_no_damage_has_no_such_advice(model: rarefy.Model, tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(b"weights")
    model.save(tmp_path / "other")
    config = tmp_path / "other" / "cfg.json"
    config.write_text(config.read_text().replace('"k"', '"kk"'))
    for path in (tmp_path / "model.pt", tmp_path / "other"):
        with pytest.raises(RarefyError) as refused:
            rarefy.load(path)
        assert "train it again" not in str(refused.value)
