"""The notebooks and the code of the pages run."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "python/examples").glob("*.ipynb"))


def needs_torch(name: str) -> bool:
    return "language_model" in name


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs_from_top_to_bottom(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if needs_torch(path.stem):
        missing = [name for name in ("torch", "transformers") if importlib.util.find_spec(name) is None]
        if missing:
            pytest.skip(f"LEFT OUT: {path.name} needs {', '.join(missing)}")
    monkeypatch.chdir(tmp_path)
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert len(code) >= 4
    names: dict[str, object] = {"__name__": "__main__"}
    for at, source in enumerate(code):
        exec(compile(source, f"{path.name}, code cell {at}", "exec"), names)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_keeps_small_outputs(path: Path) -> None:
    assert path.stat().st_size < 40_000
    assert "<iframe" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("page", ["README.md", "python/README.md", "docs/python.md"])
def test_first_python_block_of_page_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    assert blocks
    # Fewer steps, so that the test is short; the code is otherwise that of the page.
    code = blocks[0].replace('"topk", n_latents=512, k=8)', '"topk", n_latents=512, k=8, steps=30)').replace("max_iter=200", "max_iter=20")
    exec(compile(code, page, "exec"), {})
    assert (tmp_path / "words.html").exists() or "page = " in code
