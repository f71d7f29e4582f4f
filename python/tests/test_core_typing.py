"""The stubs say what the extension has, and pass mypy in strict mode."""

import os
import pathlib
import subprocess
import sys

import pytest

from remotemedia import _core

pytest.importorskip("mypy")

PACKAGE = pathlib.Path(_core.__file__).parent


def run(tmp_path, *words):
    environ = dict(os.environ)
    if PACKAGE.parent.name != "site-packages":
        # Linked sources: mypy follows the build tree's names, not the files that they point to.
        environ |= {"MYPYPATH": str(PACKAGE.parent), "PYTHONPATH": str(PACKAGE.parent)}
    return subprocess.run(
        [sys.executable, "-m", *words], cwd=tmp_path, env=environ, capture_output=True, text=True,
        timeout=240, check=False,
    )  # fmt: skip


def test_the_stub_is_what_the_extension_has(tmp_path):
    config = tmp_path / "mypy.ini"
    config.write_text("[mypy]\n")
    allowed = tmp_path / "allowed"
    # A type's __buffer__ can be seen from Python 3.12 on.
    allowed.write_text("" if sys.version_info >= (3, 12) else "remotemedia._core.View.__buffer__\n")
    result = run(
        tmp_path, "mypy.stubtest", "remotemedia._core", "--concise", "--mypy-config-file", str(config),
        "--allowlist", str(allowed),
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_stub_passes_mypy_in_strict_mode(tmp_path):
    result = run(
        tmp_path, "mypy", "--strict", "--follow-imports=silent", "--cache-dir", str(tmp_path),
        "--config-file=", str(PACKAGE / "_core.pyi"),
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
