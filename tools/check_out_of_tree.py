#!/usr/bin/env python3
"""Builds tests/out_of_tree with cc and pkg-config against an installed library, and runs it:
check_out_of_tree.py PREFIX."""

import os
import pathlib
import re
import shlex
import sys
import tempfile

import tap

SOURCES = tap.ROOT / "tests" / "out_of_tree"
WARNINGS = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic"]
MODULES = {"every": "example.every.so"}  # others are called like their source


def flags(prefix, *words):
    folder = next(prefix.rglob("remotemedia.pc")).parent
    environment = os.environ | {"PKG_CONFIG_PATH": str(folder)}
    code, text = tap.run(["pkg-config", *words, "remotemedia"], env=environment)
    if code:
        raise SystemExit(text)
    return shlex.split(text)


def main(prefix):
    report = tap.Tap()
    prefix = pathlib.Path(prefix).resolve()
    compiler = os.environ.get("CC", "cc")
    headers = flags(prefix, "--cflags")
    inside = [word for word in headers if str(tap.ROOT / "include") in word]
    report.ok("pkg-config names the installed headers", inside)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for source in sorted(SOURCES.glob("*.c")):
            if source.stem == "host_test":
                argv = [source, *headers, *flags(prefix, "--libs"), "-o", folder / "host_test"]
            else:
                module = folder / MODULES.get(source.stem, f"{source.stem}.so")
                argv = ["-fPIC", "-shared", "-DRM_MODULE_BUILD", source, *headers, "-o", module]
            code, text = tap.run([compiler, *WARNINGS, *argv])
            report.ok(f"{source.name} builds", [text] if code else [])
        (folder / "not_a_module.so").write_text("This is text.\n", encoding="utf-8")
        library = next(prefix.rglob("libremotemedia.so")).parent
        environment = os.environ | {
            "LD_LIBRARY_PATH": str(library),
            "REMOTEMEDIA_MODULE_PATH": str(folder),
        }
        code, text = tap.run([folder / "host_test", folder], env=environment)
        for bad, title in re.findall(r"^(not )?ok \d+ (.*)$", text, re.MULTILINE):
            report.ok(title, [text] if bad else [])
        report.ok("the program ends well", [text] if code or "1.." not in text else [])
    return report.end()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
