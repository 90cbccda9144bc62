"""Modules whose doctests need libraries that are not installed are left out, and named at the end."""

from __future__ import annotations

import importlib.util
from typing import Any

#: Library that each module needs.
NEEDS = {"rarefy/_torch.py": "torch", "rarefy/_estimator.py": "sklearn"}

collect_ignore = [module for module, library in NEEDS.items() if importlib.util.find_spec(library) is None]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for module in collect_ignore:
        terminalreporter.write_line(f"LEFT OUT: the doctests of {module} need {NEEDS[module]}")
