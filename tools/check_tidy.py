#!/usr/bin/env python3
"""clang-tidy over the C files of a build by clang, two at once: check_tidy.py BUILD_FOLDER
[--analyze]. With --analyze the static analyzer of clang as well, which takes its time."""

import concurrent.futures
import json
import pathlib
import sys

import tap

PROCESSES = 2
ANALYZER = "--checks=clang-analyzer-core.*,clang-analyzer-deadcode.*,clang-analyzer-unix.*"


def tidy(build, path, words):
    code, text = tap.run(["clang-tidy", "--quiet", *words, "-p", build, path], cwd=tap.ROOT)
    lines = [line for line in text.splitlines() if "error:" in line or "warning:" in line]
    return (lines or [text[-2000:]]) if code else []


def main(build, *words):
    report = tap.Tap()
    build = pathlib.Path(build).resolve()
    commands = json.loads((build / "compile_commands.json").read_text(encoding="utf-8"))
    files = sorted({(pathlib.Path(one["directory"]) / one["file"]).resolve() for one in commands})
    files = [path for path in files if path.suffix == ".c" and not path.is_relative_to(build)]
    extra = [ANALYZER] if "--analyze" in words else []
    with concurrent.futures.ThreadPoolExecutor(PROCESSES) as pool:
        found = list(pool.map(lambda path: tidy(build, path, extra), files))
    bad = [(path, lines) for path, lines in zip(files, found) if lines]
    for path, lines in bad:
        report.ok(f"{path.relative_to(tap.ROOT)} is tidy", lines)
    report.ok(f"{len(files) - len(bad)} of {len(files)} files are tidy", ["none"] if not files else [])
    return report.end()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
