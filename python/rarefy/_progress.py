"""Progress of training in terminals and notebooks; silent elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from ._tables import Figures

LOG = logging.getLogger("rarefy")

#: Least seconds between two shows of progress.
PAUSE = 0.05


class Progress(Figures):
    """Figures of one step: `step`, `steps`, `loss`, `l0`, `explained_variance`, `dead_fraction` and others. Of a harvest:
    `tokens`, `rows`, `shards` and others."""


class Listener:
    """Receives progress and messages. Keeps the messages; shows progress at most twenty times a second, and the last one.

    It is the context of the work. After an error the last progress is not shown.
    """

    def __init__(self) -> None:
        self.messages: list[str] = []
        self._shown_at = -float("inf")
        self._waiting: Mapping[str, Any] | None = None

    def step(self, progress: Mapping[str, Any]) -> None:
        """Progress after a step."""
        now = time.monotonic()
        if now - self._shown_at < PAUSE:
            self._waiting = progress
            return
        self._shown_at, self._waiting = now, None
        self.show(progress if isinstance(progress, Progress) else Progress(progress))

    def show(self, progress: Progress) -> None:
        """Shows progress, or passes it on."""

    def message(self, text: str) -> None:
        """One sentence for the reader."""
        self.messages.append(text)
        LOG.info(text)

    def end(self) -> None:
        """Called after the work, also after an error."""

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        try:
            if error is None and self._waiting is not None:
                self._shown_at = -float("inf")
                self.step(self._waiting)
        finally:
            self.end()


class _Called(Listener):
    """Passes progress to a function of the user."""

    def __init__(self, function: Callable[[Progress], Any]) -> None:
        super().__init__()
        self.function = function

    def show(self, progress: Progress) -> None:
        self.function(progress)


class _Terminal(Listener):
    """One line on stderr that is written again and again."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.shown = 0

    def show(self, progress: Progress) -> None:
        self.write(self.clock.line(progress))

    def write(self, line: str) -> None:
        sys.stderr.write("\r" + line.ljust(self.shown))
        sys.stderr.flush()
        self.shown = len(line)

    def message(self, text: str) -> None:
        super().message(text)
        self.write("")
        sys.stderr.write("\r" + text + "\n")

    def end(self) -> None:
        if self.shown:
            self.write("")
            sys.stderr.write("\r")
            sys.stderr.flush()


class _Notebook(Listener):
    """One line below the cell."""

    def __init__(self) -> None:
        super().__init__()
        from IPython.display import display

        self.clock = Clock()
        self.handle = display({"text/plain": "training"}, raw=True, display_id=True)

    def show(self, progress: Progress) -> None:
        self.handle.update({"text/plain": self.clock.line(progress)}, raw=True)


class Clock:
    """Throughput and time left."""

    def __init__(self) -> None:
        self.first: tuple[float, int, int] | None = None

    def line(self, progress: Mapping[str, Any]) -> str:
        """A line such as `step 200/1000  loss 0.31  82.1 % explained  L0 8.0  120,000 rows/s  7 s left`."""
        now, step, seen = time.monotonic(), progress["step"], progress["rows_seen"]
        if self.first is None:
            self.first = (now, step, seen)
        began, at, before = self.first
        seconds = max(now - began, 1e-9)
        parts = [f"step {step}/{progress['steps']}", f"loss {progress['loss']:.5g}"]
        if progress["explained_variance"] is not None:
            parts.append(f"{100 * progress['explained_variance']:.1f} % explained")
            parts.append(f"L0 {progress['l0']:.1f}")
            parts.append(f"{100 * progress['dead_fraction']:.1f} % dead")
        if step > at:
            parts.append(f"{(seen - before) / seconds:,.0f} rows/s")
            parts.append(f"{(progress['steps'] - step) * seconds / (step - at):.0f} s left")
        return "  ".join(parts)


def listener(progress: Any) -> Listener:
    """Listener of the parameter `progress`: None shows in terminals and notebooks, False nothing, a function is called."""
    if callable(progress):
        return _Called(progress)
    if progress is False:
        return Listener()
    if _in_notebook():
        return _Notebook()
    return _Terminal() if progress or sys.stderr.isatty() else Listener()


def _in_notebook() -> bool:
    shell = sys.modules.get("IPython")
    if shell is None:
        return False
    shell = shell.get_ipython()
    return shell is not None and shell.__class__.__name__ == "ZMQInteractiveShell"
