"""Programs as users of 0.1 wrote them: each runs as it is, and prints what the contract says."""

import pathlib
import subprocess
import sys

import pytest

PROGRAMS = pathlib.Path(__file__).resolve().parents[2] / "tests" / "compat" / "programs"


@pytest.mark.parametrize("program", sorted(PROGRAMS.glob("*.py")), ids=lambda path: path.stem)
def test_program(program, tmp_path):
    for name in ("soxr", "av"):
        if f"{name}" in program.read_text(encoding="utf-8"):
            pytest.importorskip(name)
    done = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", program], capture_output=True, text=True,
        cwd=tmp_path, timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == program.with_suffix(".out").read_text(encoding="utf-8")
    assert "Traceback" not in done.stderr
