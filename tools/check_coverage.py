#!/usr/bin/env python3
"""Line coverage of a build with -Db_coverage=true whose tests have run:
check_coverage.py BUILD_FOLDER PERCENT_MIN."""

import collections
import json
import pathlib
import sys

import tap

EXCLUDED = ["--exclude=.*_test\\.[ch]", "--exclude=.*_fuzz\\.c", "--exclude=.*/testnodes\\.h",
            "--exclude=.*/test\\.h", "--exclude=tests/", "--exclude=bench/", "--exclude=build/"]


def measure(build):
    """Lines and covered lines of each file, by gcovr."""
    out = build / "coverage.json"
    argv = [pathlib.Path(sys.executable).parent / "gcovr", "--root", tap.ROOT,
            "--json-summary", out, "--gcov-ignore-parse-errors=all", *EXCLUDED, build]
    code, text = tap.run(argv, cwd=tap.ROOT)
    if code:
        raise SystemExit(text)
    return {
        one["filename"]: (one["line_total"], one["line_covered"])
        for one in json.loads(out.read_text(encoding="utf-8"))["files"]
    }


def percent(total, covered):
    return 100 * covered / total if total else 0


def main(build, percent_min):
    report = tap.Tap()
    files = measure(pathlib.Path(build))
    folders = collections.defaultdict(lambda: [0, 0])
    for name, (total, covered) in files.items():
        for folder in (str(pathlib.Path(name).parent), "all"):
            folders[folder][0] += total
            folders[folder][1] += covered
        print(f"# {percent(total, covered):5.1f} % of {total:5} lines  {name}")
    total, covered = folders.pop("all", (0, 0))
    for folder, numbers in sorted(folders.items()):
        report.note(f"{percent(*numbers):5.1f} % of {numbers[0]:5} lines  {folder}")
    text = f"line coverage {percent(total, covered):.1f} % of {total} lines"
    report.note(text)
    good = percent(total, covered) >= float(percent_min)
    report.ok(f"{text}, want {percent_min} %", [] if good else ["see the lines above"])
    return report.end()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
