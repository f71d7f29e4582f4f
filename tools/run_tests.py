#!/usr/bin/env python3
"""./test: builds the tree in its variants, runs all tests, and adds up what they say.

The last line is "N passed, N failed", the sum over all runners; the exit code is 1 where a test
failed. What each part printed is in build/test-logs/NAME.log.
"""

import argparse
import re
import sys
import time

import runners
from runners import BUILD, ROOT, Count, Log

FUZZ_S, FUZZ_LONG_S = 30, 3600
FAILURE_LINES_MAX = 15
COVERAGE_PERCENT_MIN = 85
PREFIX = BUILD / "prefix"
PARTS = {}
TROUBLE = re.compile(r"not ok|error:|warning:|FAIL|ERROR|Sanitizer|Traceback|^# ")


def part(summary, *, long_only=False):
    """Makes a function a part of the tests: NAME is its name with dashes."""

    def register(function):
        name = function.__name__.replace("_", "-")
        PARTS[name] = (function, summary, long_only)
        return function

    return register


def check(log, name, *words):
    """One of the checks in tools/, which print TAP."""
    return runners.tap(log, name, [sys.executable, ROOT / "tools" / f"{name}.py", *words])


@part("layers, budgets, public headers, formatting")
def style(log, options):
    count = check(log, "check_layers")
    count += check(log, "check_style")
    count += check(log, "check_headers")
    count += check(log, "check_format")
    return count


@part("unit tests, node tests and command line tests of a release build")
def unit(log, options):
    count = runners.meson(log, "test-unit", ["-Dbuildtype=debugoptimized", f"--prefix={PREFIX}"])
    count += check(log, "check_symbols", BUILD / "test-unit")
    return count


def install(log):
    """Installs the release build in build/prefix."""
    folder = runners.meson_build(
        log, "test-unit", ["-Dbuildtype=debugoptimized", f"--prefix={PREFIX}"]
    )
    if not folder:
        return Count(failed=1, failures=["test-unit does not build"])
    return runners.one(
        log, "meson install", [runners.tool("meson"), "install", "-C", folder, "--quiet"]
    )


@part("line coverage of the C code by all of its tests")
def coverage(log, options):
    variant = ["-Db_coverage=true", "-Dwerror=false", "-Dbuildtype=debug", "-Doptimization=0"]
    folder = runners.meson_build(log, "test-coverage", variant)
    if not folder:
        return Count(failed=1, failures=["coverage: does not build"])
    for old in folder.rglob("*.gcda"):
        old.unlink()
    tested = runners.meson_test(log, "coverage", folder)
    count = Count(failed=tested.failed, failures=tested.failures)  # the good ones were counted before
    count += check(log, "check_coverage", folder, str(COVERAGE_PERCENT_MIN))
    return count


@part("a node module and a program outside the tree, against the installed library")
def out_of_tree(log, options):
    count = install(log)
    count += check(log, "check_out_of_tree", PREFIX)
    return count


@part("the same under AddressSanitizer and UndefinedBehaviorSanitizer (gcc)")
def asan(log, options):
    env = {
        "ASAN_OPTIONS": "detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1",
        "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
    }
    variant = ["-Db_sanitize=address,undefined", "-Dwerror=false", "-Dbuildtype=debug",
               "-Doptimization=1"]
    return runners.meson(log, "test-asan", variant, env=env, sanitized=True)


@part("what has threads, under ThreadSanitizer (clang)")
def tsan(log, options):
    env = {"CC": runners.clang(), "TSAN_OPTIONS": "halt_on_error=1"}
    variant = ["-Db_sanitize=thread", "-Db_lundef=false", "-Dbuildtype=debug", "-Doptimization=1",
               "-Dauto_features=disabled", "-Duv=enabled"]
    suites = ["--suite=base", "--suite=media", "--suite=engine"]
    return runners.meson(log, "test-tsan", variant, suites, env=env, sanitized=True)


def fuzz_build(log):
    """The build by clang that the fuzzers and clang-tidy use."""
    variant = ["-Dfuzzers=true", "-Dtests=false", "-Db_sanitize=address,undefined",
               "-Db_lundef=false", "-Dbuildtype=debug", "-Doptimization=1"]
    return runners.meson_build(log, "test-fuzz", variant, env={"CC": runners.clang()})


@part("clang-tidy; with --long clang's static analyzer too")
def tidy(log, options):
    folder = fuzz_build(log)
    if not folder:
        return Count(failed=1, failures=["tidy: does not build"])
    return check(log, "check_tidy", folder, *(["--analyze"] if options.long else []))


@part("fuzzers under ASan and UBSan (clang), 30 s each; with --long an hour")
def fuzz(log, options):
    folder = fuzz_build(log)
    if not folder:
        return Count(failed=1, failures=["fuzz: does not build"])
    seconds = FUZZ_LONG_S if options.long else FUZZ_S
    return check(log, "run_fuzzers", folder, str(seconds))


@part("everything optional off: four libraries are enough")
def minimal(log, options):
    count = runners.meson(log, "test-minimal", ["-Dauto_features=disabled"])
    count += check(log, "check_needed", BUILD / "test-minimal")
    return count


def show_log(log):
    """The lines of a failed part's log that tell of trouble, and its end."""
    lines = log.path.read_text(encoding="utf-8").splitlines()
    telling = [line for line in lines[:-20] if TROUBLE.search(line)]
    print(f"    from {log.path.relative_to(ROOT)}:")
    print("\n".join(f"    | {line[:300]}" for line in telling[-30:] + lines[-20:]))


def run_part(name, options):
    function, _, _ = PARTS[name]
    log = Log(name)
    begin = time.monotonic()
    count = function(log, options)
    seconds = time.monotonic() - begin
    skipped = f", {count.skipped} skipped" if count.skipped else ""
    print(f"{name:14} {seconds:6.0f} s   {count.passed} ok, {count.failed} not ok{skipped}")
    for text in count.notes:
        print(f"    {text}")
    for text in count.failures:
        lines = text.splitlines()
        print("    FAILED " + "\n        ".join(lines[:FAILURE_LINES_MAX]))
        if len(lines) > FAILURE_LINES_MAX:
            print(f"        … {len(lines) - FAILURE_LINES_MAX} more lines in {log.path}")
    if any("\n" not in text for text in count.failures):
        show_log(log)
    sys.stdout.flush()
    return count


def arguments(argv):
    listed = "\n".join(
        f"  {name:14} {summary}{' (only with --long)' if long_only else ''}"
        for name, (_, summary, long_only) in PARTS.items()
    )
    parser = argparse.ArgumentParser(
        prog="./test",
        description="Installs what is missing, builds, runs the tests.",
        epilog=f"parts:\n{listed}\n\nenvironment:\n  PYTHON         what builds and runs, "
        "/usr/bin/python3 unless set",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--long", action="store_true", help="also what takes hours")
    parser.add_argument("parts", nargs="*", metavar="NAME", help="parts to run, instead of all")
    options = parser.parse_args(argv)
    unknown = [name for name in options.parts if name not in PARTS]
    if unknown:
        parser.error(f"no part is called '{unknown[0]}', want one of {', '.join(PARTS)}")
    return options


def main(argv):
    options = arguments(argv)
    begin = time.monotonic()
    total = Count()
    for name, (_, _, long_only) in PARTS.items():
        if name in options.parts or (not options.parts and (options.long or not long_only)):
            total += run_part(name, options)
    print(f"{'in all':14} {time.monotonic() - begin:6.0f} s")
    print(f"{total.passed} passed, {total.failed} failed")
    return 1 if total.failed or not total.passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
