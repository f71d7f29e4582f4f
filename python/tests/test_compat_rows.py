"""The page of the contract of 0.1: it is current, and what is wrong with a marker is told."""

import importlib.util
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]

ROWS = """
["1.3"]
title = "Pipeline"
rows = ["`run`", "process", "stop"]

[later]
"1.3 process" = "needs more"
"""


@pytest.fixture(scope="module")
def compat():
    spec = importlib.util.spec_from_file_location("compat", ROOT / "tools/compat.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_current_and_every_marker_names_a_row(compat, capsys):
    code = compat.main(["--check"])
    assert capsys.readouterr().out == ""
    assert code == 0


def test_a_marker_is_found_in_each_form(compat):
    text = (
        '@contract("1.3 `run`")\n@contract("1.3 process", "1.3 stop")\ndef test_a(): pass\n'
        '@pytest.mark.contract("1.3 run")\nasync def test_b(): pass\n'
        '@other("1.3 run")\n@plain\ndef test_c(): pass\n'
    )
    assert list(compat.marks_of(text)) == [
        ("1.3 run", "test_a"),
        ("1.3 process", "test_a"),
        ("1.3 stop", "test_a"),
        ("1.3 run", "test_b"),
    ]


def test_a_row_has_its_tests_or_the_reason_why_it_has_none(compat):
    sections, later = compat.load_rows(ROWS)
    text = compat.page(sections, later, {"1.3 run": ["x.py::a", "x.py::b", "x.py::a"]})
    assert "| `run` | `x.py::a`<br>`x.py::b` |\n" in text
    assert "| `process` | later: needs more |\n" in text
    assert "| `stop` | no test yet |\n" in text


@pytest.mark.parametrize(
    ("rows", "tests", "told"),
    [
        (ROWS, {"1.3 ruin": ["x.py::a"]}, "x.py::a names the row '1.3 ruin', which"),
        (ROWS, {"1.3 process": ["x.py::a"]}, "'1.3 process' is to come later and has a test, x.py::a"),
        (ROWS + '"1.3 pause" = "x"', {}, "[later], names '1.3 pause', which is no row"),
        (ROWS.replace("stop", "run"), {}, "has the row '1.3 run' twice"),
    ],
)
def test_what_is_wrong_is_named(compat, rows, tests, told):
    (problem,) = compat.problems(*compat.load_rows(rows), tests)
    assert told in problem
