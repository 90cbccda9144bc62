"""Results as plain objects: dictionaries with attributes, tables that print and show well."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any


def number(value: Any) -> str:
    """A number with four significant digits; other values as they are."""
    if value is None:
        return "–"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if not math.isfinite(value):
        return str(value)
    if isinstance(value, int) or value == int(value) and abs(value) < 1e6:
        return str(int(value))
    return f"{value:.4g}"


class Figures(Mapping[str, Any]):
    """Named figures; `figures.l0` is `figures["l0"]`.

    Shows as a table with a line for each figure that is a number.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = dict(values)

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._values:
            known = ", ".join(self._values) if not name.startswith("_") else ""
            raise AttributeError(f"no figure {name!r}; there are: {known}")
        return self._values[name]

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._values]

    def __reduce__(self) -> Any:
        return type(self), (self._values,)

    def _lines(self) -> list[tuple[str, str]]:
        plain = (int, float, str, bool, type(None))
        return [(name, number(v)) for name, v in self._values.items() if isinstance(v, plain) and v is not None]

    def __repr__(self) -> str:
        width = max((len(name) for name, _ in self._lines()), default=0)
        return "\n".join(f"{name:{width}}  {value}" for name, value in self._lines())

    def _repr_html_(self) -> str:
        return html_table(("", ""), self._lines())


class Table(list[dict[str, Any]]):
    """List of dictionaries that shows as a table. `to_pandas()` makes a data frame."""

    #: Columns that are shown, with the texts of their cells; all plain ones if empty.
    shown: tuple[tuple[str, Callable[[Any], str]], ...] = ()
    #: Lines that are shown.
    most: int = 20

    def _cells(self) -> tuple[list[str], list[list[str]]]:
        # Columns that no line has are left out: scores have no odds ratios.
        shown = tuple((name, text) for name, text in self.shown if not self or any(line.get(name) is not None for line in self))
        if not shown:
            plain = (int, float, str, bool, type(None))
            every = dict.fromkeys(name for line in self for name in line)
            names = [n for n in every if all(isinstance(line.get(n), plain) for line in self)]
            shown = tuple((name, number) for name in names)
        lines = [[text(line.get(name)) for name, text in shown] for line in self[: self.most]]
        return [name for name, _ in shown], lines

    def __repr__(self) -> str:
        header, lines = self._cells()
        widths = [max(len(line[at]) for line in [header, *lines]) for at in range(len(header))]
        show = lambda line: "  ".join(f"{cell:{width}}" for cell, width in zip(line, widths)).rstrip()  # noqa: E731
        more = [f"... {len(self) - self.most} more"] if len(self) > self.most else []
        return "\n".join([show(header), *map(show, lines), *more])

    def _repr_html_(self) -> str:
        header, lines = self._cells()
        more = f"<p>{len(self) - self.most} more</p>" if len(self) > self.most else ""
        return html_table(header, lines) + more

    def to_pandas(self) -> Any:
        """The table as a pandas data frame."""
        import pandas

        return pandas.DataFrame(list(self))


class Latents(Table):
    """Latents with their firing rates, activations, names, most active rows and neighbours."""

    shown = (
        ("latent", str),
        ("firing_rate", lambda share: f"{100 * share:.2f} %"),
        ("mean", number),
        ("max", number),
        ("name", str),
        ("example", lambda text: str(text)[:80]),
    )


class Associations(Table):
    """Latents with their association with words, classes or a score; the strongest first."""

    shown = (
        ("latent", str),
        ("class", number),
        ("correlation", number),
        ("odds_ratio", number),
        ("active", number),
        ("inactive", number),
        ("q", number),
        ("name", str),
    )
    #: Prediction of the target by the best latents and by all inputs, cross-validated.
    probe: Any = None
    #: Rows without a value of the target; None if that is not known.
    rows_left_out: int | None = None

    def __repr__(self) -> str:
        note = f"\n{self.rows_left_out} rows without a value of y are left out" if self.rows_left_out else ""
        return super().__repr__() + note

    def _repr_html_(self) -> str:
        note = f"<p>{self.rows_left_out} rows without a value of y are left out</p>" if self.rows_left_out else ""
        return super()._repr_html_() + note


def html_table(header: Any, lines: Any) -> str:
    """Table of HTML; without a header if all its cells are empty."""
    def row(cells: Any, tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(str(cell))}</{tag}>" for cell in cells) + "</tr>"

    head = row(header, "th") if any(header) else ""
    return f"<table>{head}{''.join(row(line, 'td') for line in lines)}</table>"
