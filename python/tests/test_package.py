"""The package as a whole: import, public names, types."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import rarefy

PACKAGE = Path(rarefy.__file__).parent


def python(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Runs Python with this package on its path."""
    paths = {"PYTHONPATH": str(PACKAGE.parent), "MYPYPATH": str(PACKAGE.parent)}
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=os.environ | paths, capture_output=True, text=True, timeout=120
    )


def test_import_is_fast_and_loads_no_large_library() -> None:
    program = (
        "import time, numpy, sys, json\n"
        "began = time.process_time()\n"
        "import rarefy\n"
        "seconds = time.process_time() - began\n"
        "rarefy.train, rarefy.Trainer, rarefy.Model, rarefy.load, rarefy.samples, rarefy.errors\n"
        "print(json.dumps([seconds, sorted({name.split('.')[0] for name in sys.modules})]))\n"
    )
    told = python("-c", program)
    assert told.returncode == 0, told.stderr
    seconds, modules = json.loads(told.stdout)
    assert seconds < 0.6
    assert not {"sklearn", "scipy", "torch", "pandas", "polars", "matplotlib", "IPython"} & set(modules)
    assert {"rarefy", "numpy"} <= set(modules)


def test_public_names_exist_and_are_sorted() -> None:
    assert list(rarefy.__all__) == sorted(rarefy.__all__)
    for name in rarefy.__all__:
        assert getattr(rarefy, name) is not None
    assert set(rarefy.__all__) <= set(dir(rarefy))
    assert set(rarefy._HOMES) | set(rarefy._MODULES) | {"__version__"} == set(rarefy.__all__)
    with pytest.raises(AttributeError, match="module 'rarefy' has no attribute 'tarin'"):
        rarefy.tarin  # noqa: B018


def test_public_names_have_documentation() -> None:
    for name in set(rarefy.__all__) - {"__version__"}:
        found = getattr(rarefy, name)
        assert found.__doc__, name
        if isinstance(found, type):
            public = {n: v for n, v in vars(found).items() if not n.startswith("_") and (callable(v) or isinstance(v, property))}
            assert all(v.__doc__ for v in public.values()), (name, [n for n, v in public.items() if not v.__doc__])


def test_estimator_without_scikit_learn_tells_what_to_install() -> None:
    program = (
        "import sys\n"
        "sys.modules['sklearn'] = None\n"
        "import rarefy\n"
        "rarefy.train\n"
        "try:\n"
        "    rarefy.SparseAutoencoder\n"
        "except ModuleNotFoundError as error:\n"
        "    print(error)\n"
    )
    told = python("-c", program)
    assert told.stdout == "rarefy.SparseAutoencoder needs scikit-learn: pip install 'rarefy[sklearn]'\n", told.stderr


def test_types_agree_with_the_compiled_part_and_within_the_package(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    config = tmp_path / "mypy.ini"
    # Large libraries are not read: they take a minute.
    config.write_text(
        "[mypy]\n"
        "ignore_missing_imports = True\n"
        f"cache_dir = {tmp_path / 'cache'}\n"
        "[mypy-torch.*,transformers.*,sklearn.*,pandas.*,matplotlib.*,IPython.*]\n"
        "follow_imports = skip\n"
    )
    stub = python("-m", "mypy.stubtest", "rarefy._core", "--mypy-config-file", str(config), cwd=tmp_path)
    assert stub.returncode == 0, stub.stdout + stub.stderr
    found = python("-m", "mypy", "--config-file", str(config), str(PACKAGE), cwd=tmp_path)
    assert found.returncode == 0, found.stdout + found.stderr
