#!/usr/bin/env python3
"""Each public header compiles alone, as C99 and as C++11, pedantically."""

import os
import sys

import tap

LANGUAGES = [
    (os.environ.get("CC", "cc"), "c", "c99"),
    (os.environ.get("CXX", "c++"), "c++", "c++11"),
]


def main():
    report = tap.Tap()
    for header in sorted((tap.ROOT / "include/remotemedia").glob("*.h")):
        for compiler, language, standard in LANGUAGES:
            argv = [compiler, "-x", language, f"-std={standard}", "-pedantic-errors", "-Wall",
                    "-Wextra", "-Werror", "-Wundef", "-I", tap.ROOT / "include", "-fsyntax-only", "-"]
            code, text = tap.run(argv, input=f"#include <remotemedia/{header.name}>\nint main(void);\n")
            report.ok(f"{header.name} compiles alone as {standard}", [text] if code else [])
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
