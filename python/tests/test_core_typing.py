"""The stubs say what the extension has, and pass mypy in strict mode."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from remotemedia import _core

pytest.importorskip("mypy")

PACKAGE = pathlib.Path(_core.__file__).parent


def run(tmp_path, *words, **environ):
    return subprocess.run(
        [sys.executable, "-m", *words], cwd=tmp_path, env=os.environ | environ, capture_output=True,
        text=True, timeout=240, check=False,
    )  # fmt: skip


def test_the_stub_is_what_the_extension_has(tmp_path):
    config = tmp_path / "mypy.ini"
    config.write_text("[mypy]\n")
    allowed = tmp_path / "allowed"
    # A type's __buffer__ can be seen from Python 3.12 on.
    hidden = "".join(f"remotemedia._core.{name}.__buffer__\n" for name in ("Block", "View"))
    allowed.write_text("" if sys.version_info >= (3, 12) else hidden)
    # In the build tree the sources are links: mypy looks where the names are.
    built = {} if PACKAGE.parent.name == "site-packages" else {"MYPYPATH": str(PACKAGE.parent)}
    result = run(
        tmp_path, "mypy.stubtest", "remotemedia._core", "--concise", "--mypy-config-file", str(config),
        "--allowlist", str(allowed), PYTHONPATH=str(PACKAGE.parent), **built,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_stub_passes_mypy_in_strict_mode(tmp_path):
    copy = tmp_path / "remotemedia"  # mypy passes over errors in installed packages
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    result = run(
        tmp_path, "mypy", "--strict", "--follow-imports=silent", "--cache-dir", str(tmp_path),
        "--config-file=", str(copy / "_core.pyi"),
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
