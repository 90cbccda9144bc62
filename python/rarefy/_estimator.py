"""The estimator for scikit-learn."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn import get_config
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from ._model import Model
from ._runs import train
from ._settings import check_options
from ._trainer import Trainer, sample_of
from .errors import ConfigError

#: Steps of a stream whose length is not known: schedules need a number.
ENDLESS = 1_000_000

#: Rows that `score` reconstructs at a time.
PIECE = 16_384


class SparseAutoencoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Sparse autoencoder as a transformer of scikit-learn: rows to the activations of their latents.

    Without arguments, width, k and steps follow from the data; `chosen_` names them and `why_` says why.

    Parameters
    ----------
    architecture : str, default="topk"
        `"topk"`, `"batch-topk"`, `"jumprelu"`, `"kl"` and others: `rarefy.architectures()`.
    n_latents : int, optional
        Number of latents.
    k : int, optional
        Active latents of each row, for architectures that have it.
    max_iter : int, optional
        Number of training steps.
    batch_size : int, optional
        Rows of a step.
    learning_rate : float, optional
    preprocess : str or list of str, optional
        Steps such as `"norm-row"`, `"standardise"`, `"pca"`, applied before encoding and inverted after decoding.
    holdout : int, optional
        Rows withheld to measure the model on; a twentieth by default if there are enough, 0 for none.
    options : dict, optional
        Further options of the architecture, such as `{"l1": 0.1}`.
    settings : dict, optional
        Further settings of the run by their names, such as `{"train.mask": 0.2}`; see `rarefy.train`.
    sparse_output : bool, default=True
        Give a scipy CSR matrix, except for `kl`, whose latents are never 0. With False, or after `set_output`, an array.
    random_state : int, RandomState or None, default=0
    threads : int, optional
        All cores by default. The result does not depend on it.
    verbose : bool, default=False
        Show progress.

    Attributes
    ----------
    model_ : rarefy.Model
    components_ : ndarray of shape (n_latents, n_features_in_)
        Decoder rows, in preprocessed units.
    chosen_ : dict
        Settings of `fit` with all defaults filled in. `partial_fit` removes this attribute and the next three.
    why_ : str
        Sentence on the settings of `fit` that followed from the data.
    held_out_, training_ : Figures
        Metrics of `fit` on the held-out rows (None if none are held out) and the training rows, in preprocessed units.
    n_iter_ : int
        Steps taken.
    messages_ : list of str
        Warnings and advice.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Only if `X` has names of columns.

    Examples
    --------
    >>> import rarefy
    >>> X, words = rarefy.samples.words()
    >>> sae = rarefy.SparseAutoencoder(n_latents=256, k=8, max_iter=50).fit(X)
    >>> Z = sae.transform(X)
    >>> Z.shape, int(Z[0].nnz)
    ((10000, 256), 8)
    >>> sae.score(X) > 0.4
    True
    """

    def __init__(
        self,
        architecture: str = "topk",
        n_latents: int | None = None,
        *,
        k: int | None = None,
        max_iter: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        preprocess: Any = None,
        holdout: int | None = None,
        options: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
        sparse_output: bool = True,
        random_state: Any = 0,
        threads: int | None = None,
        verbose: bool = False,
    ) -> None:
        self.architecture = architecture
        self.n_latents = n_latents
        self.k = k
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.preprocess = preprocess
        self.holdout = holdout
        self.options = options
        self.settings = settings
        self.sparse_output = sparse_output
        self.random_state = random_state
        self.threads = threads
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> SparseAutoencoder:
        """Trains on the rows of `X`, `(n_samples, n_features)`; `y` is ignored."""
        X = self._validated(X, reset=True, ensure_min_samples=2)
        run = train(
            X,
            self.architecture,
            n_latents=self.n_latents,
            steps=self.max_iter,
            batch_size=None if self.batch_size is None else min(self.batch_size, len(X)),
            learning_rate=self.learning_rate,
            random_state=self._seed(),
            preprocess=self.preprocess,
            holdout=self.holdout,
            threads=self.threads,
            settings=self.settings,
            progress=bool(self.verbose),
            **self._options(),
        )
        self._stream: Trainer | None = None
        self.chosen_, self.why_, self.n_iter_, self.messages_ = run.chosen, run.why, run.steps, run.messages
        self.training_, self.held_out_ = run.training, run.held_out
        return self._fitted(run.model)

    def partial_fit(self, X: Any, y: Any = None) -> SparseAutoencoder:
        """Takes steps on the rows of `X`, in their order, one for each `batch_size` rows (default: one for all of them).

        The first call fits preprocessing and initial weights. After `fit` it starts anew, with a UserWarning: the model of
        `fit` is lost. A call that would take more than `max_iter` steps in all is refused. Without `max_iter` the number of
        steps is not known, so the learning rate stays constant and a sparsity penalty has its full weight from the first step.
        A pickle of the estimator holds the model and all that further calls need: the state of the optimiser and at most 32,768
        rows of the first call.
        """
        stream = self._stream_or_none()
        X = self._validated(X, reset=stream is None, ensure_min_samples=1)
        if stream is None:
            width = X.shape[1]
            stream = Trainer(
                self.architecture,
                n_latents=self.n_latents if self.n_latents is not None else 8 * width,
                steps=self.max_iter or ENDLESS,
                batch_size=self.batch_size or len(X),
                sample=sample_of(X),
                learning_rate=self.learning_rate,
                random_state=self._seed(),
                preprocess=self.preprocess,
                threads=self.threads,
                # By default the penalty rises over a tenth of the steps.
                settings={**({} if self.max_iter else {"train.sparsity_warmup": 0}), **(self.settings or {})},
                **self._options(),
            )
            self._of_stream = self._lasting()
        changed = [name for name, value in self._lasting().items() if value is not self._of_stream[name] and value != self._of_stream[name]]
        if changed:
            names = ", ".join(f"`{name}`" for name in changed)
            raise ConfigError(
                f"{names} cannot change between calls of `partial_fit`: use `fit`, or a new estimator such as `sklearn.base.clone(sae)`"
            )
        size = self.batch_size or len(X)
        count = -(-len(X) // size)
        if stream.steps_done + count > stream.steps:
            raise ConfigError(
                f"`max_iter` is {stream.steps}, of which {stream.steps_done} steps are done, so {count} more cannot be taken: "
                "set a larger `max_iter` before the first `partial_fit`, or None if the number of steps is not known"
            )
        if self._stream_or_none() is None and hasattr(self, "model_"):
            warnings.warn("`partial_fit` after `fit` starts anew: the model of `fit` is replaced", UserWarning, stacklevel=2)
        self._stream = stream
        for start in range(0, len(X), size):
            stream.step(X[start : start + size])
        self.n_iter_, self.messages_ = stream.steps_done, stream.messages
        # Facts of an earlier `fit` are not those of this model.
        for name in ("chosen_", "why_", "training_", "held_out_"):
            self.__dict__.pop(name, None)
        return self._fitted(stream.model())

    def _lasting(self) -> dict[str, Any]:
        """Parameters that the first call of `partial_fit` settles."""
        free = {"batch_size", "max_iter", "holdout", "sparse_output", "threads", "verbose"}
        return {name: value for name, value in self.get_params(deep=False).items() if name not in free}

    def _stream_or_none(self) -> Trainer | None:
        """Trainer of the calls of `partial_fit` so far."""
        return getattr(self, "_stream", None)

    def _validated(self, X: Any, *, reset: bool, ensure_min_samples: int = 1) -> np.ndarray:
        # Any type of number: rows become float32 as they are read, without a copy of all of them.
        found = validate_data(self, X, reset=reset, dtype="numeric", ensure_min_samples=ensure_min_samples)
        return found if found.dtype.kind in "fiub" else found.astype(np.float64)

    def _seed(self) -> int:
        if isinstance(self.random_state, (int, np.integer)):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _options(self) -> dict[str, Any]:
        options = dict(self.options or {})
        if self.k is not None:
            if options.get("k", self.k) != self.k:
                raise ConfigError(f"`k` is given twice: {self.k}, and {options['k']} in `options`")
            options["k"] = self.k
        check_options("SparseAutoencoder", options)
        return options

    def _fitted(self, model: Model) -> SparseAutoencoder:
        self.model_ = model
        self.components_ = model.weights.get("w_dec")
        if self.components_ is None:
            self.components_ = model.weights["w_enc"]
        self._n_features_out = model.n_latents
        return self

    def transform(self, X: Any) -> Any:
        """Activations of the latents, `(n_samples, n_latents)`: CSR or array, see `sparse_output`."""
        check_is_fitted(self)
        return self._encode(self._validated(X, reset=False))

    def _encode(self, X: np.ndarray) -> Any:
        latents = self.model_.encode(X, threads=self.threads)
        # Frames of `set_output` cannot be sparse.
        shown = getattr(self, "_sklearn_output_config", {}).get("transform", get_config()["transform_output"])
        if self.sparse_output and shown == "default" or isinstance(latents, np.ndarray):
            return latents
        return latents.toarray()

    def inverse_transform(self, X: Any) -> np.ndarray:
        """Rows of latents, `(n_samples, n_features)`. The mean and length of single rows that some preprocessing removes
        are not in latents: use `model_.codes` and `model_.decode` to keep them."""
        check_is_fitted(self)
        if not hasattr(X, "tocsr"):
            X = np.asarray(X, dtype=np.float32)
        return self.model_.decode(X, threads=self.threads)

    def score(self, X: Any, y: Any = None) -> float:
        """Share of the variance of `X`, in raw units, that its reconstruction explains; 0 for rows without variance.

        It is `1 - sum (X - model_.reconstruct(X))^2 / sum (X - column means)^2`.
        """
        check_is_fitted(self)
        X = self._validated(X, reset=False)
        pieces = [X[start : start + PIECE] for start in range(0, len(X), PIECE)]
        # Differences to the first row are exactly 0 in columns without variance.
        first = X[0].astype(np.float64)
        mean = sum((piece - first).sum(axis=0) for piece in pieces) / len(X)
        error = total = 0.0
        for piece in pieces:
            error += float(((piece - self.model_.reconstruct(piece, threads=self.threads).astype(np.float64)) ** 2).sum())
            total += float(((piece - first - mean) ** 2).sum())
        return 1.0 - error / total if total > 0 else 0.0

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags
