#!/usr/bin/env python3
"""Writes docs/reference/compat.md, which test stands for which row of the contract of 0.1.

    tools/compat.py            writes the page
    tools/compat.py --check    exit code 1 and a line for each thing that is wrong, where it is not
                               current, or a test names a row that is none

The rows stand in python/tests/contract_rows.toml, the tests name them by
``@pytest.mark.contract("1.3 Pipeline.run")``. The tests are read, not imported.
"""

import ast
import pathlib
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[1]
TESTS = ROOT / "python/tests"
PAGE = ROOT / "docs/reference/compat.md"
HEAD = """\
# Rows of the 0.1 contract

What programs of the 0.1 SDK rely on, row by row, and the tests in `python/tests` that hold it. Written by
`tools/compat.py`.
"""


def plain(row):
    """A row without the marks of code, which a name may have or not."""
    return row.replace("`", "")


def is_contract(call):
    """Whether a decorator is ``@contract(…)`` or ``@pytest.mark.contract(…)``."""
    target = call.func if isinstance(call, ast.Call) else None
    return getattr(target, "id", None) == "contract" or getattr(target, "attr", None) == "contract"


def marks_of(text):
    """Pairs of a row and the name of a test that is marked with it, in the order of a file."""
    for node in ast.walk(ast.parse(text)):
        for call in filter(is_contract, getattr(node, "decorator_list", ())):
            for argument in call.args:
                yield plain(ast.literal_eval(argument)), node.name


def load_rows(text):
    """(title and rows by section, reasons by row) of contract_rows.toml."""
    sections = tomllib.loads(text)
    later = {plain(row): reason for row, reason in sections.pop("later", {}).items()}
    return sections, later


def tests_by_row(folder):
    """Tests by row: {"1.3 Pipeline.run": ["test_compat_run.py::test_run", …]}."""
    tests = {}
    for path in sorted(folder.glob("test_*.py")):
        for row, name in marks_of(path.read_text(encoding="utf-8")):
            tests.setdefault(row, []).append(f"{path.name}::{name}")
    return tests


def problems(sections, later, tests):
    """What is wrong with the marks: rows that there are none of, rows that wait and have a test."""
    known = [f"{number} {plain(row)}" for number, part in sections.items() for row in part["rows"]]
    for row in sorted({row for row in known if known.count(row) > 1}):
        yield f"contract_rows.toml has the row '{row}' twice"
    for row in sorted(set(later) - set(known)):
        yield f"contract_rows.toml, [later], names '{row}', which is no row"
    for row in sorted(set(tests) - set(known)):
        yield f"{tests[row][0]} names the row '{row}', which contract_rows.toml has not"
    for row in sorted(set(tests) & set(later)):
        yield f"the row '{row}' is to come later and has a test, {tests[row][0]}"


def state_of(row, later, tests):
    """The second cell of a row."""
    if row in tests:
        return "<br>".join(f"`{name}`" for name in dict.fromkeys(tests[row]))
    return f"later: {later[row]}" if row in later else "no test yet"


def page(sections, later, tests):
    """The page as text."""
    lines = [HEAD]
    for number, part in sections.items():
        lines += [f"## {number} {part['title']}", "", "| row | tests |", "|---|---|"]
        for row in part["rows"]:
            state = state_of(f"{number} {plain(row)}", later, tests)
            lines.append(f"| `{plain(row)}` | {state} |")
        lines.append("")
    return "\n".join(lines)


def main(arguments):
    sections, later = load_rows((TESTS / "contract_rows.toml").read_text(encoding="utf-8"))
    tests = tests_by_row(TESTS)
    wrong = list(problems(sections, later, tests))
    text = page(sections, later, tests)
    if arguments != ["--check"]:
        PAGE.write_text(text, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
        wrong.append(f"{PAGE.name} is not current: run tools/compat.py")
    print("\n".join(wrong), end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
