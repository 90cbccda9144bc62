"""HTML pages that are saved or shown in a notebook."""

from __future__ import annotations

import html
import os
import secrets
import tempfile
from pathlib import Path


class Page:
    """One HTML page without anything outside it.

    Attributes
    ----------
    html : str
        The page.
    """

    def __init__(self, html: str) -> None:
        self.html = html

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes the page to a file, whole or not at all; returns its path."""
        target = Path(path)
        folder = target.parent
        folder.mkdir(parents=True, exist_ok=True)
        # Not `mkstemp`, whose files nobody else may read.
        beside = folder / f".rarefy-{secrets.token_hex(8)}"
        try:
            with open(beside, "x", encoding="utf-8", newline="\n") as file:
                file.write(self.html)
            os.replace(beside, target)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
        return target

    def open(self) -> None:
        """Opens the page in the browser."""
        import webbrowser

        folder = tempfile.mkdtemp(prefix="rarefy-")
        webbrowser.open(self.save(Path(folder) / "latents.html").as_uri())

    def __repr__(self) -> str:
        return f"<rarefy.Page of {len(self.html) / 1e6:.2f} MB; save(path) writes it>"

    def _repr_html_(self) -> str:
        return f'<iframe srcdoc="{html.escape(self.html)}" width="100%" height="800" style="border:0"></iframe>'
