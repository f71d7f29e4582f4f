#!/usr/bin/env python3
"""clang-format (the pinned one) has nothing to change in the C files; --fix changes them."""

import pathlib
import sys

import tap


PASSES_MAX = 10  # long macros settle after a few


def main(words):
    report = tap.Tap()
    formatter = pathlib.Path(sys.executable).parent / "clang-format"
    for _ in range(PASSES_MAX if words == ["--fix"] else 0):
        tap.run([formatter, "-i", *tap.tracked("*.c", "*.h")], cwd=tap.ROOT)
    bad = "int  x;\n"
    _, formatted = tap.run([formatter, "--assume-filename=x.c"], input=bad, cwd=tap.ROOT)
    report.ok("the formatter works", [formatted] if formatted != "int x;\n" else [])
    files = tap.tracked("*.c", "*.h")
    code, text = tap.run([formatter, "--dry-run", "-Werror", *files], cwd=tap.ROOT)
    lines = [line for line in text.splitlines() if "error:" in line]
    report.ok("C files are formatted (if not: tools/check_format.py --fix)", lines[:40] or [text] if code else [])
    return report.end()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
