"""Training on rows at hand, and comparing runs."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from . import _arrays, _core
from ._codes import Codes
from ._model import Model
from ._page import Page
from ._progress import Listener, listener
from ._settings import plain
from ._settings import settings as as_settings
from ._settings import threads as threads_of
from ._settings import whole as whole_number
from ._tables import Figures, Table, html_table, number
from .errors import ConfigError, FormatError

#: Figures that tables of runs show.
SHOWN = ("explained_variance", "l0", "dead_latents", "rare_latents", "frequent_latents", "mse")


class Run:
    """A trained model with its figures. Made by `rarefy.train`.

    Attributes
    ----------
    model : Model
    training, held_out : Figures
        Metrics of the training rows, and of the held-out rows (None if none are held out); `explained_variance` and `mse` are
        in preprocessed units.
    records : Table
        Loss, L0 and other figures over the steps.
    chosen : dict
        Settings with all defaults filled in, such as `n_latents`, `k`, `steps`, `holdout`.
    reason : str
        Reason for the end of training.
    messages : list of str
        Warnings and advice.
    timings : dict
        Seconds of `preparation` (of rows), `start` (initial weights), `steps`, `saving`, `evaluation` and `report`.
    folder : Path or None
        Run folder, which the program reads too.
    """

    def __init__(self, model: Model, outcome: dict[str, Any], messages: list[str], folder: Path | None) -> None:
        self.model = model
        self.steps: int = outcome["steps"]
        self.rows_seen: int = outcome["rows_seen"]
        self.reason: str = outcome["reason"]
        self.training = Figures(outcome["training"])
        self.held_out = Figures(outcome["held_out"]) if outcome["held_out"] else None
        self.records = Table(outcome["records"])
        self.chosen: dict[str, Any] = outcome["chosen"]
        if self.chosen["k"] is not None and self.chosen["k"] == int(self.chosen["k"]):
            self.chosen["k"] = int(self.chosen["k"])
        self.chosen["preprocess"] = model.preprocess
        self.messages = messages
        self.timings: dict[str, float] = outcome["timings"]
        self.folder = folder

    @property
    def explained_variance(self) -> float:
        """Share of variance explained, of held-out rows if there are any."""
        return (self.held_out or self.training)["explained_variance"]

    @property
    def why(self) -> str:
        """Sentence on the settings that followed from the data."""
        chosen = self.chosen
        k = "" if chosen["k"] is None else f", k={chosen['k']:g}"
        hidden = f", {100 * chosen['mask']:.3g} % of the values of a row hidden from the encoder in each step" if chosen["mask"] else ""
        held = f", {chosen['holdout']} rows held out" if chosen["holdout"] else ""
        rule = f" ({chosen['rule']})" if chosen.get("rule") else ""
        steps = f", preprocessing {', '.join(chosen['preprocess'])}" if chosen["preprocess"] else ""
        return f"{chosen['architecture']}, {chosen['n_latents']} latents{rule}{k}{hidden}, {chosen['steps']} steps{held}{steps}"

    def _table(self) -> Table:
        parts = {"held-out": self.held_out, "training": self.training}
        line = lambda name: {"": name} | {p: f.get(name) for p, f in parts.items() if f}  # noqa: E731
        return Table(line(name) for name in SHOWN if self.training.get(name) is not None)

    def __repr__(self) -> str:
        advice = "".join(f"\n{text}" for text in self.messages)
        return f"{self.model!r}\n{self.why}\n{self._table()!r}{advice}"

    def _repr_html_(self) -> str:
        import html

        advice = "".join(f"<p>{html.escape(text)}</p>" for text in self.messages)
        return f"<p>{html.escape(repr(self.model))}</p><p>{html.escape(self.why)}</p>{self._table()._repr_html_()}{advice}"

    def report(self) -> Page:
        """The report of the run folder."""
        if self.folder is None:
            raise ConfigError("`out` was not given, so there is no report: use model.explorer(X)")
        return Page((self.folder / "report.html").read_text(encoding="utf-8"))


def train(
    X: Any,
    architecture: str | None = None,
    *,
    n_latents: int | None = None,
    steps: int | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    optimizer: str | None = None,
    random_state: int = 0,
    preprocess: str | Sequence[str] | None = None,
    holdout: int | None = None,
    image_shape: tuple[int, int] | None = None,
    labels: Any = None,
    texts: Any = None,
    target: str | None = None,
    member: str | None = None,
    memory: str | int | None = None,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    force: bool = False,
    tensorboard: bool = False,
    threads: int | None = None,
    progress: Any = None,
    settings: Mapping[str, Any] | None = None,
    **options: Any,
) -> Run:
    """Trains a sparse autoencoder.

    Parameters
    ----------
    X : array, data frame, tensor, path or list of paths
        Rows. Paths may be files, folders of shards, globs and `"sample:digits"`, as in the program. Columns of a data frame
        are data, labels, texts or left out by the rules of files; `run.messages` names those that are not data.
    architecture : str, optional
        `"topk"`, `"batch-topk"`, `"jumprelu"`, `"kl"` and others: `rarefy.architectures()`. Default: `"topk"`, or `"kl"` for
        pictures: files of them, and any rows with `image_shape`.
    n_latents, steps, epochs, batch_size, learning_rate, optimizer : optional
        Defaults follow from the data; `run.why` names them.
    random_state : int
        Seed of the initial weights and of the order of rows. The same seed gives the same bytes with any number of threads.
    preprocess : str or list of str, optional
        Steps such as `"norm-row"`, `"standardise"`, `"pca"`; they are saved in the model.
    holdout : int, optional
        Rows withheld to measure the model on; 0 for none. Default: a twentieth of 1000 rows or more, unless fewer than
        `batch_size` rows would be left, which `run.messages` says.
    image_shape : (height, width), optional
        Rows are pictures.
    labels, texts : list with one entry for each row, optional
        For the report. Default: those of the data frame or of the files.
    target : path, optional
        Rows to predict: trains a transcoder. `X` must be a path.
    member : str, optional
        Array of an npz file, tensor of a safetensors file or column of a table that holds the rows. `X` must be a path.
    memory : str or int, optional
        Memory for rows of files, such as `"4GiB"` (default `"1GiB"`). Rows that fit are shuffled as a whole, larger data in windows of
        this size.
    out : path, optional
        Run folder with model, records, checkpoints and report.
    resume, force : bool
        Continue the run in `out`, or replace it.
    tensorboard : bool
        Also write TensorBoard event files, into the folder `tensorboard` of `out`. A resumed run goes on with its event files in any
        case.
    threads : int, optional
        All cores by default.
    progress : bool or callable, optional
        None shows progress in terminals and notebooks. A function gets a `Progress` at most twenty times a second, and at the
        end.
    settings : dict, optional
        Any setting of the program's configuration by its dotted key, such as `{"train.ema": 0.999}`.
    **options
        Options of the architecture, such as `k=32`, `l1=0.1`, `rho=0.05`.

    Returns
    -------
    Run

    Examples
    --------
    >>> import rarefy
    >>> X, words = rarefy.samples.words()
    >>> run = rarefy.train(X, "topk", n_latents=256, k=8, steps=50, progress=False)
    >>> run.steps, run.model
    (50, <rarefy.Model topk: 50 inputs, 256 latents, k=8>)
    """
    rows = _arrays.rows(X)
    labels, texts = _arrays.beside(rows, labels, texts)
    if target is not None and rows.paths is None:
        raise ConfigError("`target` is a path beside the path `X`: put arrays into files, for example with numpy.save")
    if member is not None and rows.paths is None:
        raise ConfigError("`member` names an array, tensor or column of a file, so `X` must be a path: pass X['name'] instead")
    if resume and out is None:
        raise ConfigError("`resume` needs `out`, the folder of the run to continue")
    if resume and force:
        raise ConfigError("set `resume` to continue the run in `out`, or `force` to replace it, not both")
    if tensorboard and out is None:
        raise ConfigError("`tensorboard` needs `out`, the folder of the run that gets the event files")
    parameters = {
        "architecture": architecture,
        "n_latents": n_latents,
        "steps": steps,
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "optimizer": optimizer,
        "random_state": random_state,
        "preprocess": preprocess,
        "holdout": holdout,
        "image_shape": image_shape,
        "target": None if target is None else os.fspath(target),
        "member": member,
        "memory": memory,
    }
    found = as_settings("train", parameters, options, settings)
    n_threads = threads_of(threads, found)
    folder = None if out is None else Path(out)
    with listener(progress) as watcher:
        for note in rows.notes:
            watcher.message(note)
        core, described = _core.train(rows, found, labels, texts, folder, resume, force, tensorboard, n_threads, watcher)
        outcome = json.loads(described)
        missing = None if resume else _missing_holdout(found, outcome)  # A resumed run keeps the held-out rows that it recorded.
        if missing:
            watcher.message(missing)
    return Run(Model(core), outcome, watcher.messages, folder)


def _missing_holdout(settings: Mapping[str, Any], outcome: Mapping[str, Any]) -> str | None:
    """Sentence on a batch so large that no rows are held out, by the rule of `default_holdout` in the library."""
    batch = settings.get("train.batch")
    if batch is None or "data.holdout" in settings or outcome["chosen"]["holdout"]:
        return None
    rows = outcome["training"]["rows"]
    left = rows - min(rows // 20, 50_000)
    if rows < 1000 or batch <= left:
        return None
    return (
        f"no rows are held out: of {rows} rows {left} would be left, fewer than `batch_size`, {batch}; "
        f"figures of unseen rows need a `batch_size` of at most {left}"
    )


def architectures() -> Table:
    """Names, summaries and options of all architectures.

    Examples
    --------
    >>> import rarefy
    >>> [line["name"] for line in rarefy.architectures()][:3]
    ['kl', 'relu', 'topk']
    """
    return Table(json.loads(_core.architectures()))


def compare(*runs: Run | str | os.PathLike[str]) -> Table:
    """Runs side by side: settings that differ, and figures of the held-out rows (else of the training rows).

    Parameters
    ----------
    *runs : Run or path of a run folder

    Returns
    -------
    Table
        One dictionary for each run.
    """
    found = [_described(run, at) for at, run in enumerate(runs)]
    keys = [key for key in dict.fromkeys(k for _, s, _ in found for k in s)]
    # A run without a folder knows few of its settings: those that are absent do not differ.
    whole = [not isinstance(run, Run) or run.folder is not None for run in runs]
    known = {key: [s.get(key) for (_, s, _), w in zip(found, whole) if w or key in s] for key in keys}
    differ = [key for key in keys if len({json.dumps(value) for value in known[key]}) > 1]
    lines = []
    for name, run_settings, figures in found:
        line: dict[str, Any] = {"run": name}
        # The option `l0` is the weight of a penalty, the figure is what came of it.
        line.update({f"option {key}" if key in SHOWN else key: run_settings.get(key) for key in differ})
        line.update({figure: figures.get(figure) for figure in SHOWN})
        lines.append(line)
    return Table(lines)


def _described(run: Run | str | os.PathLike[str], at: int) -> tuple[str, dict[str, Any], Mapping[str, Any]]:
    if isinstance(run, Run) and run.folder is not None:
        run = run.folder
    if isinstance(run, Run):
        chosen = {k: v for k, v in run.chosen.items() if k != "rule"}
        return f"run {at}", chosen, run.held_out or run.training
    if not isinstance(run, (str, os.PathLike)):
        raise TypeError(f"compare: expected each argument to be a Run or the path of a run folder, got {type(run).__name__}")
    path = os.fspath(run)
    if not os.path.exists(path):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    recorded = json.loads(_core.read_run(path))
    if recorded["figures"] is None:
        raise FormatError(f"{path}: expected figures.json, which a finished run has: train it to the end with resume=True")
    flat = {f"{section}.{key}": v for section, values in recorded["settings"].items() for key, v in values.items()}
    options = flat.pop("model.options", {})
    settings = {"architecture": flat.get("model.arch"), "n_latents": flat.get("model.latents")} | options | {
        "steps": flat.get("train.steps"),
        "batch_size": flat.get("train.batch"),
        "learning_rate": flat.get("train.lr"),
        "mask": flat.get("train.mask", 0.0),
        "holdout": flat.get("data.holdout"),
        "preprocess": flat.get("data.preprocess") or [],
        "data": flat.get("data.path"),
    }
    return path, settings, recorded["figures"]["held_out"] or recorded["figures"]["training"]


class Frontier(Table):
    """Explained variance at several sparsities, one dictionary for each model; `runs` has the runs in the same order."""

    runs: list[Run]

    def plot(self, ax: Any = None) -> Any:
        """Draws explained variance over L0 with matplotlib; returns the axes."""
        if ax is None:
            import matplotlib.pyplot as plt

            ax = plt.gca()
        for name in dict.fromkeys(line["architecture"] for line in self):
            points = sorted((p["l0"], p["explained_variance"]) for p in self if p["architecture"] == name)
            ax.plot(*zip(*points), marker="o", label=name)
        ax.set_xlabel("active latents per row (L0)")
        ax.set_ylabel("explained variance")
        ax.set_xscale("log")
        ax.legend()
        return ax


def frontier(
    X: Any,
    architectures: str | Iterable[str] | Mapping[str, Mapping[str, Sequence[float]]] = "topk",
    *,
    k: Sequence[int] = (4, 8, 16, 32),
    out: str | os.PathLike[str] | None = None,
    progress: Any = None,
    **parameters: Any,
) -> Frontier:
    """Trains models at several sparsities on the same rows.

    Parameters
    ----------
    X : rows
    architectures : str, list of str, or dict
        Architectures with an option `k`, which is set to each value of `k`. A dictionary names the option and its values for
        each architecture: `{"topk": {"k": [4, 8]}, "relu": {"l1": [0.1, 1.0]}}`.
    k : list of int
    out : path, optional
        Folder of the run folders, which are named like `topk-k-8`.
    progress : as in `train`
    **parameters
        Further parameters of `train`, such as `n_latents` and `steps`.

    Returns
    -------
    Frontier

    Examples
    --------
    >>> import rarefy
    >>> X, _ = rarefy.samples.digits()
    >>> found = rarefy.frontier(X, k=[2, 8], n_latents=64, steps=50, progress=False)
    >>> found[0]["explained_variance"] < found[1]["explained_variance"]
    True
    """
    if isinstance(architectures, Mapping):
        dials = {name: dict(dial) for name, dial in architectures.items()}
    else:
        names = [architectures] if isinstance(architectures, str) else list(architectures)
        dials = {name: {"k": list(k)} for name in names}
    found, runs = Frontier(), []
    for name, dial in dials.items():
        if len(dial) != 1:
            raise ConfigError(f"`architectures` must have one option with its values for {name}, got {list(dial)}")
        ((option, values),) = dial.items()
        for value in values:
            folder = None if out is None else Path(out) / f"{name}-{option}-{value}"
            run = train(X, name, out=folder, progress=progress, **{**parameters, option: value})
            figures = run.held_out or run.training
            found.append(
                {"architecture": name, option: value, "n_latents": run.model.n_latents}
                | {figure: figures.get(figure) for figure in SHOWN}
            )
            runs.append(run)
    found.runs = runs
    return found


class Synthetic:
    """Rows of a known dictionary.

    Attributes
    ----------
    X : ndarray of float32, `(n_rows, n_inputs)`
    codes : Codes
        Features that fired in each row, with their magnitudes.
    directions : ndarray of float32, `(n_features, n_inputs)`
    """

    def __init__(self, X: np.ndarray, codes: Codes, directions: np.ndarray) -> None:
        self.X, self.codes, self.directions = X, codes, directions

    def __repr__(self) -> str:
        rows, width = self.X.shape
        return f"<rarefy.Synthetic: {rows} rows of {width} values, {len(self.directions)} features>"

    def _repr_html_(self) -> str:
        rows, width = self.X.shape
        active = number(len(self.codes.values) / max(rows, 1))
        facts = {"rows": rows, "values per row": width, "features": len(self.directions), "active features per row": active}
        return html_table(("", ""), facts.items())

    def recovered(self, model: Model, cosine: float = 0.9) -> float:
        """Share of the features with a decoder row of `model` at this cosine or above."""
        w = model.weights["w_dec"]
        w = w / np.maximum(np.linalg.norm(w, axis=1, keepdims=True), 1e-30)
        d = self.directions / np.linalg.norm(self.directions, axis=1, keepdims=True)
        return float(np.mean((d @ w.T).max(axis=1) >= cosine))


def synth(
    n_rows: int,
    n_inputs: int | None = None,
    n_features: int | None = None,
    *,
    like: str | None = None,
    l0: float = 4.0,
    zipf: float = 0.0,
    correlation: float = 0.0,
    cluster: int = 8,
    noise: float = 0.0,
    random_state: int = 0,
    **more: Any,
) -> Synthetic:
    """Rows of a random dictionary, to test whether a method finds what is there.

    Parameters
    ----------
    n_rows, n_inputs, n_features : int
        64 inputs and 128 features by default, or those of `like`.
    like : str, optional
        `"synthsaebench-16k"` for the data of that benchmark: 16,384 features in 768 dimensions, of which 34 fire in a row. Making its
        dictionary takes half a minute. Of the parameters below it takes `random_state` alone.
    l0 : float
        Mean number of features that fire in a row.
    zipf : float
        Exponent of a power law of firing rates; 0 for equal rates.
    correlation, cluster
        Correlation of firing within clusters of this many features.
    noise : float
        Standard deviation of the noise on each value.
    random_state : int
    **more
        Further parts of the specification: `centre` (length of a constant vector in each row), `directions` (`"random"` or
        `"orthogonal"`), `magnitudes` (`"half-normal"`, `"constant"`, `"uniform"` or `"exponential"`) and `hierarchy` (trees of
        features, such as `{"depth": 2, "branch": 3, "children": 0.8, "exclusive": False}`).

    Examples
    --------
    >>> import rarefy
    >>> data = rarefy.synth(1000, n_inputs=16, n_features=32, l0=2)
    >>> data.X.shape, data.codes.n_latents
    ((1000, 16), 32)
    """
    n_rows = whole_number("n_rows", n_rows)
    if like is not None:
        given = {"l0": l0 != 4.0, "zipf": zipf != 0.0, "correlation": correlation != 0.0, "noise": noise != 0.0}
        if others := [name for name, changed in given.items() if changed] + list(more):
            raise ConfigError(f"`like` sets the whole distribution: remove `{others[0]}`")
        sizes = {"d_in": ("n_inputs", n_inputs), "features": ("n_features", n_features), "seed": ("random_state", random_state)}
        numbers = {key: whole_number(name, value) for key, (name, value) in sizes.items() if value is not None}
        published = {"like": like, **numbers}
        return _drawn(published, n_rows)
    n_inputs = 64 if n_inputs is None else n_inputs
    n_features = 128 if n_features is None else n_features
    spec: dict[str, Any] = {
        "d_in": whole_number("n_inputs", n_inputs),
        "features": whole_number("n_features", n_features),
        "l0": l0,
        "zipf": zipf,
        "correlation": correlation,
        "cluster": whole_number("cluster", cluster),
        "hierarchy": None,
        "directions": "random",
        "magnitudes": "half-normal",
        "noise": noise,
        "centre": 0.0,
        "seed": whole_number("random_state", random_state),
    }
    for name, value in more.items():
        if name not in ("centre", "directions", "magnitudes", "hierarchy"):
            raise ConfigError(f"unknown parameter `{name}`: expected centre, directions, magnitudes or hierarchy")
        spec[name] = value
    if spec["hierarchy"] is not None:
        if not isinstance(spec["hierarchy"], Mapping):
            raise ConfigError("`hierarchy` must be a dictionary such as {'depth': 2, 'branch': 3}, got " + repr(spec["hierarchy"]))
        spec["hierarchy"] = {"children": 0.8, "exclusive": False} | dict(spec["hierarchy"])
    return _drawn(spec, n_rows)


def _drawn(spec: dict[str, Any], n_rows: int) -> Synthetic:
    """Rows of a specification."""
    x, (values, indices, indptr, means, scales), directions = _core.synth(json.dumps(spec, default=plain), n_rows)
    return Synthetic(x, Codes(values, indices, indptr, len(directions), means, scales), directions)
