"""Trained models: encode, decode, evaluate, understand, hand over."""

from __future__ import annotations

import json
import numbers
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _arrays, _core, _target
from ._codes import Codes
from ._page import Page
from ._settings import image_shape as as_image_shape
from ._settings import whole
from ._tables import Associations, Figures, Latents, html_table
from .errors import ConfigError, FormatError, NotFiniteError, ShapeError

if TYPE_CHECKING:
    import scipy.sparse


class Model:
    """Trained sparse autoencoder with its preprocessing. Made by `rarefy.load`, `rarefy.train`, `Trainer.finish`, or an
    estimator's `model_`.

    Examples
    --------
    >>> import rarefy
    >>> X, labels = rarefy.samples.digits()
    >>> run = rarefy.train(X, "topk", n_latents=128, k=8, steps=100)
    >>> codes = run.model.encode(X)
    >>> codes.shape
    (1797, 128)
    >>> bool(run.model.evaluate(X).explained_variance > 0.5)
    True
    """

    def __init__(self, core: _core.Model) -> None:
        self._core = core

    # Facts

    @property
    def architecture(self) -> str:
        """Name of the architecture, such as `"topk"`."""
        return self._core.architecture

    @property
    def options(self) -> dict[str, Any]:
        """Options of the architecture, such as `k`."""
        return {name: _value(text) for name, text in self._core.options}

    @property
    def n_latents(self) -> int:
        """Number of latents."""
        return self._core.n_latents

    @property
    def n_inputs(self) -> int:
        """Width of a row that `encode` takes."""
        return self._core.n_inputs

    @property
    def n_outputs(self) -> int:
        """Width of a row that `decode` gives; that of a transcoder's target, else `n_inputs`."""
        return self._core.n_outputs

    @property
    def is_transcoder(self) -> bool:
        """True if the model predicts a target instead of its input."""
        return self._core.is_transcoder

    @property
    def image_shape(self) -> tuple[int, int] | None:
        """Height and width of the pictures that the model was trained on; None for other rows."""
        return self._core.image_shape

    @property
    def preprocess(self) -> list[str]:
        """Names of the preprocessing steps, which `encode` applies and `decode` inverts."""
        return self._core.preprocess

    @property
    def is_sparse(self) -> bool:
        """False for `kl`, whose sigmoid latents are never 0."""
        return not self._core.is_dense

    @property
    def weights(self) -> dict[str, np.ndarray]:
        """Copies of the parameters: `w_enc`, `w_dec` (a row for each latent), `b_enc`, `b_dec` and others, in preprocessed
        units."""
        return self._core.weights()

    @property
    def filters(self) -> np.ndarray:
        """The input of length 1 that each latent responds to most, `(n_latents, n_inputs)`, in raw units."""
        return self._core.filters()

    def __repr__(self) -> str:
        k = self.options.get("k")
        k = "" if k is None else f", k={k}"
        return f"<rarefy.Model {self.architecture}: {self.n_inputs} inputs, {self.n_latents} latents{k}>"

    def _repr_html_(self) -> str:
        facts = {
            "architecture": self.architecture,
            "inputs": self.n_inputs,
            "outputs": self.n_outputs,
            "latents": self.n_latents,
            **self.options,
            "preprocessing": ", ".join(self.preprocess) or "none",
        }
        return html_table(("", ""), facts.items())

    # Encode and decode

    def encode(self, X: Any, *, threads: int | None = None) -> scipy.sparse.csr_matrix | np.ndarray:
        """Latents of rows.

        Parameters
        ----------
        X : array, data frame, tensor or path, `(n_rows, n_inputs)`
            Raw rows; the model's preprocessing is applied.
        threads : int, optional
            All cores by default. The result does not depend on it.

        Returns
        -------
        scipy.sparse.csr_matrix or ndarray of float32, `(n_rows, n_latents)`
            Sparse for all architectures but `kl`.
        """
        x = self._rows(X)
        if not self.is_sparse:
            return self._core.dense(x, _arrays.threads(threads))
        return self._codes(x, threads).to_scipy()

    def codes(self, X: Any, *, threads: int | None = None) -> Codes:
        """Codes of rows with all that `decode` needs to give rows in raw units. See `encode`."""
        return self._codes(self._rows(X), threads)

    def _codes(self, x: _arrays.Rows, threads: int | None = None) -> Codes:
        values, indices, indptr, means, scales = self._core.codes(x, _arrays.threads(threads))
        return Codes(values, indices, indptr, self.n_latents, means, scales)

    def decode(self, codes: Any, *, threads: int | None = None) -> np.ndarray:
        """Rows of codes, in raw units. The skip connection `W_skip x` of a transcoder is not included: see `reconstruct`.

        Parameters
        ----------
        codes : Codes, scipy sparse matrix or array, `(n_rows, n_latents)`
            A matrix lacks the mean and divisor of each row that some preprocessing removes (`row-mean`, `norm-row`,
            `layer-norm`); `Codes` keeps them.
        threads : as in `encode`

        Returns
        -------
        ndarray of float32, `(n_rows, n_outputs)`
        """
        none = np.zeros(0, dtype=np.float32)
        if not isinstance(codes, Codes):
            if not hasattr(codes, "tocsr"):
                rows = _arrays.rows(codes, "codes")
                if rows.paths is not None:
                    raise TypeError("codes: expected Codes, a sparse matrix or an array, got a path")
                dense = _arrays.as_float(rows)
                self._check_latents(dense.shape[1])
                _check_finite(dense)
                return self._core.decode_dense(dense, _arrays.threads(threads))
            csr = codes.tocsr()
            if csr is codes and not csr.has_canonical_format:
                csr = csr.copy()
            csr.sum_duplicates()
            codes = Codes(csr.data, csr.indices, csr.indptr, csr.shape[1], none, none)
        self._check_latents(codes.n_latents)
        if codes.values.dtype.kind not in "fiub":
            raise TypeError(f"codes: expected numbers, got dtype {codes.values.dtype}")
        _check_finite(codes.values)
        return self._core.decode(
            np.ascontiguousarray(codes.values, dtype=np.float32),
            np.ascontiguousarray(codes.indices, dtype=np.int64),
            np.ascontiguousarray(codes.indptr, dtype=np.int64),
            codes.row_means,
            codes.row_scales,
            _arrays.threads(threads),
        )

    def _check_latents(self, count: int) -> None:
        if count != self.n_latents:
            raise ShapeError(f"codes: expected {self.n_latents} columns, one for each latent, got {count}")

    def reconstruct(self, X: Any, *, threads: int | None = None) -> np.ndarray:
        """Rows encoded and decoded, in raw units, `(n_rows, n_outputs)`; with the skip connection of a transcoder."""
        return self._core.reconstruct(self._rows(X), _arrays.threads(threads))

    def evaluate(self, X: Any, *, threads: int | None = None) -> Figures:
        """Metrics on rows: `explained_variance`, `l0`, `mse`, `dead_latents`, `rare_latents` and others.

        `explained_variance` and `mse` are in preprocessed units: they compare the rows after the model's preprocessing with
        their reconstruction before it is inverted. `SparseAutoencoder.score` is in raw units.

        Examples
        --------
        >>> import rarefy
        >>> X, _ = rarefy.samples.digits()
        >>> model = rarefy.train(X, "topk", n_latents=64, k=4, steps=50).model
        >>> model.evaluate(X).l0 <= 4
        True
        """
        return Figures(json.loads(self._core.evaluate(self._rows(X), _arrays.threads(threads))))

    # Understand

    def latents(self, X: Any, *, texts: Any = None, labels: Any = None, top: int = 10) -> Latents:
        """Responses of all latents to rows: firing rate, activations, name, most active rows, nearest latents.

        Parameters
        ----------
        X : rows
        texts, labels : list with one entry for each row, optional
            Latents are named after the words of the texts, or the labels, of the rows on which they are most active. Default:
            those of the data frame or of the files.
        top : int
            Number of most active rows of each latent.

        Returns
        -------
        Latents
            A list with a dictionary for each latent, in the order of their numbers.
        """
        top = whole("top", top)
        x, labels, texts = self._with_cells(X, labels, texts)
        found = Latents(json.loads(_core.responses(self._core, x, labels, texts, top)))
        for number, latent in enumerate(found):
            latent.setdefault("latent", number)
            first = latent["top"][0] if latent["top"] else {}
            latent["example"] = first.get("text") or first.get("label") or (f"row {first['row']}" if first else "")
        return found

    def search(self, X: Any, words: str, *, texts: Any = None) -> Associations:
        """Latents that are active on the texts that contain all `words`, the strongest first.

        Parameters
        ----------
        X : rows
        words : str
        texts : list with one text for each row, optional
            Default: those of the data frame or of the files.
        """
        x, _, texts = self._with_cells(X, None, texts)
        if texts is None and x.paths is None:
            raise ConfigError("`texts` must be given: a list with one text for each row")
        return self._associated(x, texts, words, None, None)

    def target(self, X: Any, y: Any = None, *, kind: str | None = None, texts: Any = None) -> Associations:
        """Latents that go with classes or a score, with false discovery rates and a cross-validated prediction.

        Parameters
        ----------
        X : rows
        y : list with one class or number for each row, optional
            Numbers with fractions, or more than 20 different ones, are a score; whole numbers with at most 20 values are
            classes. Rows with None, NaN or an empty text are left out. Default: the labels of the data frame or of the files.
        kind : {"score", "class"}, optional
            Default: by the values.
        texts : list with one text for each row, optional
            Latents are named after their words.

        Returns
        -------
        Associations
            A list with a dictionary for each latent, the strongest first; `probe` tells how well the best latents predict
            the target, and how well all inputs do: the share of right classes, or R2 of a score. `rows_left_out` is the
            number of rows without a value of `y`; None if the labels are those of files.

        Warns
        -----
        UserWarning
            If `y` is equal to a column of `X`.
        """
        if kind not in (None, "score", "class"):
            raise ConfigError(f"`kind` must be 'score', 'class' or None, got {kind!r}")
        x, y, texts = self._with_cells(X, y, texts, "y")
        if y is None and x.paths is None:
            raise ConfigError("`y` must be given: a list with one class or number for each row")
        if y is not None:
            _target.check(y, kind)
            _target.warn_of_column(x, y)
        found = self._associated(x, y, None, kind, texts)
        found.rows_left_out = None if y is None else y.count("")
        return found

    def _associated(self, x: Any, cells: Any, words: str | None, kind: str | None, texts: Any) -> Associations:
        measured = json.loads(_core.associations(self._core, x, cells, words, kind))
        found = Associations(measured["associations"])
        found.probe = measured["probe"]
        named = texts if words is None else cells
        if named is not None or x.paths is not None:
            names = json.loads(_core.responses(self._core, x, None, named, 10))
            for line in found:
                line["name"] = names[line["latent"]]["name"]
        else:
            for line in found:
                line.setdefault("name", "")
        return found

    def explorer(
        self,
        X: Any,
        *,
        texts: Any = None,
        labels: Any = None,
        image_shape: tuple[int, int] | None = None,
        unembedding: Any = None,
        vocabulary: list[str] | None = None,
    ) -> Page:
        """One HTML page in which a reader searches latents, opens them, and takes rows apart.

        Parameters
        ----------
        X : rows
        texts, labels : list with one entry for each row, optional
            Default: those of the data frame or of the files.
        image_shape : (height, width), optional
            Rows are pictures. Default: `Model.image_shape`.
        unembedding, vocabulary : array `(n_tokens, n_outputs)` and list of tokens, optional
            Output matrix of a language model: adds the tokens that each latent raises and lowers.

        Returns
        -------
        Page
            `page.save("latents.html")`; a notebook shows it in place.
        """
        x, labels, texts = self._with_cells(X, labels, texts)
        if image_shape is not None:
            height, width = as_image_shape(image_shape, self.n_inputs)
            image_shape = (height, width)
        if (unembedding is None) != (vocabulary is None):
            raise ConfigError("`unembedding` and `vocabulary` belong together: give both or none")
        if unembedding is not None:
            unembedding = _arrays.as_float(_arrays.rows(unembedding, "unembedding"))
            if unembedding.shape[1] != self.n_outputs:
                raise ShapeError(
                    f"unembedding: expected {self.n_outputs} columns, the width of the model's output, got {unembedding.shape[1]}"
                )
        return Page(_core.page(self._core, x, labels, texts, image_shape, unembedding, vocabulary))

    # Keep and hand over

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the model into a folder in SAELens's layout, with its preprocessing beside it."""
        self._core.save(os.fspath(path))

    def folded(self) -> Model:
        """The same model without preprocessing, which its weights then contain; an error for steps that no weights can hold."""
        return Model(self._core.folded())

    def edit(self, X: Any, changes: dict[int, float], *, scale: bool = False) -> np.ndarray:
        """Reconstructions of rows with some latents changed.

        Parameters
        ----------
        X : rows
        changes : dict
            New activation of each latent that is changed, or its factor if `scale`; 0 removes the latent.
        scale : bool
            Factors instead of values.

        Returns
        -------
        ndarray of float32, `(n_rows, n_outputs)`
            The residual of each row is added, so that rows without a change stay as they are. A transcoder gives its
            predictions, which without a change are those of `reconstruct`, skip connection included.
        """
        if not isinstance(changes, Mapping):
            raise TypeError(f"`changes` must be a dictionary such as {{17: 0.0}}, got {type(changes).__name__}")
        for latent, value in changes.items():
            if not isinstance(latent, numbers.Integral) or isinstance(latent, bool):
                raise TypeError(f"`changes` must have numbers of latents as keys, got {latent!r}")
            if not _is_finite_number(value):
                raise ConfigError(f"`changes` must have finite numbers as values, got {value!r} for latent {latent}")
            if not 0 <= latent < self.n_latents:
                raise ConfigError(f"`changes` must have numbers of latents below {self.n_latents}, got {latent}")
        x = self._rows(X)
        codes = self._codes(x)
        latents = codes.to_dense()
        context = (codes.row_means, codes.row_scales)
        before = self._decode_dense(latents, context)
        for latent, value in changes.items():
            latents[:, latent] = latents[:, latent] * value if scale else value
        after = self._decode_dense(latents, context)
        unchanged = self._core.reconstruct(x) if self.is_transcoder else _arrays.as_float(x)
        return after + (unchanged - before)

    def _decode_dense(self, latents: np.ndarray, context: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        if not len(context[0]) and not len(context[1]):
            return self._core.decode_dense(np.ascontiguousarray(latents))
        rows, indices = np.nonzero(latents)
        indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(latents)))])
        return self.decode(Codes(latents[rows, indices], indices, indptr, self.n_latents, *context))

    def to_saelens(self) -> Any:
        """The model as an `SAE` of the library SAELens, which must be installed; preprocessing is folded into the weights."""
        from ._peers import to_saelens

        return to_saelens(self)

    def to_torch(self) -> Any:
        """The model as a `torch.nn.Module` with the methods `encode`, `decode` and `forward`, through which gradients flow."""
        from ._torch import to_torch

        return to_torch(self)

    # Inner parts

    def _rows(self, X: Any, name: str = "X") -> _arrays.Rows:
        x = _arrays.rows(X, name)
        if x.paths is None and x.values.shape[1] != self.n_inputs:
            raise ShapeError(
                f"{name}: expected {self.n_inputs} columns as the model was trained on, got {x.values.shape[1]}"
            )
        return x

    def _with_cells(self, X: Any, labels: Any, texts: Any, name: str = "labels") -> tuple[_arrays.Rows, Any, Any]:
        """Rows with their labels, which errors call `name`, and texts."""
        x = self._rows(X)
        return (x, *_arrays.beside(x, labels, texts, name))

    def __getstate__(self) -> dict[str, Any]:
        return {"files": self._core.files()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._core = _core.Model.from_files(state["files"])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Model) and self._core.files() == other._core.files()

    def __hash__(self) -> int:
        # Equal models have equal hashes.
        return hash((self.architecture, self.n_inputs, self.n_latents))


def load(path: str | os.PathLike[str]) -> Model:
    """Reads a model: a folder written by `Model.save`, by the program or by SAELens, or a run folder.

    Raises
    ------
    FileNotFoundError
        No such path.
    rarefy.errors.FormatError
        The folder holds no model, a damaged one, or a run that is not finished.
    """
    path = os.fspath(path)
    try:
        return Model(_core.Model.load(path))
    except FileNotFoundError as error:
        if not os.path.exists(path):
            raise FileNotFoundError(error.errno, error.strerror, path) from None
        if os.path.isfile(os.path.join(path, "config.toml")):
            raise FormatError(
                f"{path}: the run is not finished, so it has no model yet: rarefy.train(..., out={path!r}, resume=True) continues it"
            ) from error
        raise FormatError(f"{path}: expected a model or a run folder, got no file {error.filename}") from error
    except FormatError as error:
        file, _, why = str(error).partition(": ")
        if why.startswith("damaged") or _is_broken_json(file):
            raise FormatError(
                f"{error}; the file is damaged or was not written to its end: copy the model again, or train it again"
            ) from error
        raise


def _is_broken_json(file: str) -> bool:
    """True for a file of JSON that no reader of JSON understands, because it is cut off or has other bytes."""
    if not file.endswith(".json") or not os.path.isfile(file):
        return False
    try:
        json.loads(Path(file).read_bytes())
    except ValueError:
        return True
    return False


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _check_finite(values: np.ndarray) -> None:
    if not np.isfinite(values).all():
        place = np.argwhere(~np.isfinite(values))[0].tolist()
        at = f"row {place[0]}, column {place[1]}" if len(place) == 2 else f"value {place[0]}"
        raise NotFiniteError(f"codes: {at}: expected a finite number")


def _is_finite_number(value: Any) -> bool:
    """True if all of `value` is finite in float32."""
    try:
        with np.errstate(over="ignore"):
            return bool(np.isfinite(np.asarray(value, dtype=np.float32)).all())
    except (TypeError, ValueError, OverflowError):
        return False
