#!/usr/bin/env python3
"""./test: builds the tree in its variants, runs all tests, and adds up what they say.

The last line is "N passed, N failed", the sum over all runners; the exit code is 1 where a test
failed. What each part printed is in build/test-logs/NAME.log.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time

import pythons
import runners
from runners import BUILD, ROOT, Count, Log

FUZZ_S, FUZZ_LONG_S = 30, 3600
GRAPHS_S_MAX = 3 * 3600
KILLS_LONG = 13  # of each of four pipelines
BENCH_S_MAX = 1800
GRAPHS_LONG = {  # how they are run, and how many seeds
    "": 50000, "--disturb interrupt": 50000, "--disturb cancel": 50000, "--disturb restart": 50000,
    "--disturb change": 50000, "--threads": 5000, "--threads --disturb change": 2000,
    "--record": 20000, "--record --disturb interrupt": 20000, "--record --threads": 2000,
}
FAILURE_LINES_MAX = 15
COVERAGE_PERCENT_MIN = 85
PREFIX = BUILD / "prefix"
REQUIREMENTS = ROOT / "tools"
PARTS = {}
FAST = ["--no-suite=slow"]  # without what runs under valgrind
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
    variant = ["-Dbuildtype=debugoptimized", f"--prefix={PREFIX}"]
    count = runners.meson(log, "test-unit", variant, ["--no-suite=python"])  # the wheel has that one
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


def build_wheel(log, version, program):
    """The wheel for one Python, built by it; None where that failed."""
    home = BUILD / "pythons" / version
    builder = home / "builder" / "bin" / "python"
    if not builder.exists():
        builder = pythons.make_venv(log, program, home / "builder")
        if not builder or not pythons.install(log, builder, "-r", REQUIREMENTS / "requirements-build.txt"):
            return None
    shutil.rmtree(home / "wheel", ignore_errors=True)
    code, _ = log.run(
        [builder, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir",
         home / "wheel", "--config-settings", f"build-dir={home / 'build'}", "."],
        env={"PATH": f"{builder.parent}:{os.environ['PATH']}"},
    )
    wheels = list((home / "wheel").glob("*.whl"))
    return wheels[0] if code == 0 and wheels else None


def test_wheel(log, version, program, *, full):
    """Builds the wheel, installs it alone in a clean environment, then what the tests need."""
    wheel = build_wheel(log, version, program)
    python = pythons.make_venv(log, program, BUILD / "pythons" / version / "clean")
    if not wheel or not python or not pythons.install(log, python, wheel):
        return Count(failed=1, failures=[f"Python {version}: the wheel is not built or installed"])
    name = f"Python {version}"
    alone = "import remotemedia, sys; assert 'numpy' not in sys.modules and 'asyncio' not in sys.modules"
    count = runners.one(log, f"{name}: the wheel alone", [python, "-c", alone])
    words = ["-r", REQUIREMENTS / "requirements-python.txt"]
    if full:
        words += ["-r", REQUIREMENTS / "requirements-speech.txt"]
        silero = ["--no-deps", "-r", REQUIREMENTS / "requirements-silero.txt"]
    if not pythons.install(log, python, *words) or (
        full and not pythons.install(log, python, *silero)
    ):
        count.fail(f"{name}: what the tests need is not installed")
        return count
    tests = ["python/tests"] if full else sorted(ROOT.glob("python/tests/test_core_*.py"))
    count += runners.pytest(log, f"pytest-{version}", python, tests)
    return count


@part("the wheel in a clean environment of each Python found, with pytest")
def wheel(log, options):
    count = Count()
    found = pythons.find()
    own = f"{sys.version_info[0]}.{sys.version_info[1]}"
    for version, program in found.items():
        one = test_wheel(log, version, program, full=options.long or version == own)
        count.notes.append(f"Python {version}: {one.passed} ok, {one.failed} not ok, {program}")
        count += one
    missing = [version for version in pythons.WANTED if version not in found]
    if missing:
        count.notes.append(f"not found on this machine: Python {', '.join(missing)}")
    return count


@part("./demo and what it says to paste, compared with known values")
def demo(log, options):
    return check(log, "check_demo")


@part("every code block of the documentation")
def docs(log, options):
    count = install(log)
    ready = "make_venv build/venv build test python speech silero && install_wheel build/venv"
    count += runners.one(log, "environment", ["bash", "-ec", f". tools/install.sh && {ready}"])
    count += check(log, "check_docs", "--bin", BUILD / "venv" / "bin", "--prefix", PREFIX)
    return count


@part("line coverage of the C code by its tests; random graphs and kills, which find more, are left out")
def coverage(log, options):
    variant = ["-Db_coverage=true", "-Dwerror=false", "-Dbuildtype=debug", "-Doptimization=0"]
    folder = runners.meson_build(log, "test-coverage", variant)
    if not folder:
        return Count(failed=1, failures=["coverage: does not build"])
    for old in folder.rglob("*.gcda"):
        old.unlink()
    env = {"PYTEST_ADDOPTS": "-k 'not typing and not memory and not killed'"}  # no line of their own
    tested = runners.meson_test(log, "coverage", folder, [*FAST, "--no-suite=span"], env=env)
    count = Count(failed=tested.failed, failures=tested.failures)  # the good ones were counted before
    count += check(log, "check_coverage", folder, str(COVERAGE_PERCENT_MIN))
    return count


@part("a node module and a program outside the tree, against the installed library")
def out_of_tree(log, options):
    count = install(log)
    count += check(log, "check_out_of_tree", PREFIX)
    return count


def sanitized_extension(log, package, env):
    """pytest with the extension of this folder. The interpreter is not a sanitized program, so the
    sanitizers come before it, and its own objects, of which it keeps many, are no leaks."""
    libraries = [subprocess.run(["gcc", f"-print-file-name={name}"], capture_output=True, text=True,
                                check=True).stdout.strip() for name in ("libasan.so", "libubsan.so")]
    env = env | {
        "ASAN_OPTIONS": "use_sigaltstack=0:detect_leaks=0:strict_string_checks=1",
        "LD_PRELOAD": " ".join(libraries),
        "PYTHONMALLOC": "malloc",
        "PYTHONPATH": package,
    }
    tests = ["python/tests", "-k", "not memory and not typing"]
    return runners.pytest(log, "pytest-asan", sys.executable, tests, env=env)


def share_of_graphs(options):
    """Under a sanitizer a third of the random graphs, 333 of 1,000: each takes several times as long."""
    return {} if options.long else {"RANDOM_GRAPHS_SHARE": "3"}


@part("the same under AddressSanitizer and UndefinedBehaviorSanitizer (gcc)")
def asan(log, options):
    env = {
        "ASAN_OPTIONS": "detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1",
        "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
    } | share_of_graphs(options)
    variant = ["-Db_sanitize=address,undefined", "-Dwerror=false", "-Dbuildtype=debug",
               "-Doptimization=1"]
    folder = runners.meson_build(log, "test-asan", variant, env=env)
    if not folder:
        return Count(failed=1, failures=["test-asan: does not build"])
    words = [*FAST, "--no-suite=python"]
    count = runners.meson_test(log, "test-asan", folder, words, env=env, sanitized=True)
    count += sanitized_extension(log, folder / "python", env)
    return count


@part("what has threads, under ThreadSanitizer (clang)")
def tsan(log, options):
    env = {"CC": runners.clang(), "TSAN_OPTIONS": "halt_on_error=1"} | share_of_graphs(options)
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


@part("every benchmark beside its peer; its bars", long_only=True)
def bench(log, options):
    rows_file = BUILD / "bench.json"
    rows_file.unlink(missing_ok=True)
    code, text = log.run([sys.executable, ROOT / "bench" / "run", "--install", "--json", rows_file],
                         timeout_s=BENCH_S_MAX)
    rows = json.loads(rows_file.read_text(encoding="utf-8")) if rows_file.exists() else []
    count = Count()
    for row in rows:
        told = f"{row['row']}: {row['ratio']:.3g}, want {row['bar']}"
        if row["met"] is False:
            count.fail(f"bench {told}")
        else:
            count.passed += 1
    if code != 0 and not count.failed:
        count.fail(f"bench/run ended with {code}\n{text[-500:]}")
    return count


@part("more random graphs than each run has", long_only=True)
def graphs(log, options):
    folder = runners.meson_build(log, "test-unit", ["-Dbuildtype=debugoptimized", f"--prefix={PREFIX}"])
    if not folder:
        return Count(failed=1, failures=["test-unit does not build"])
    home = ROOT / "core" / "engine" / "random_graphs"
    runner = folder / "core" / "engine" / "random_graphs" / "random_graphs_runner"
    count = Count()
    for words, seeds in GRAPHS_LONG.items():
        argv = [sys.executable, home / "random_graphs_test.py", runner, "--seeds", str(seeds)]
        count += runners.tap(log, "random graphs", [*argv, *words.split()], timeout_s=GRAPHS_S_MAX)
    return count


@part("more kills of runs with checkpoints than each run has", long_only=True)
def kills(log, options):
    folder = runners.meson_build(log, "test-unit", ["-Dbuildtype=debugoptimized", f"--prefix={PREFIX}"])
    if not folder:
        return Count(failed=1, failures=["test-unit does not build"])
    argv = [sys.executable, ROOT / "tests" / "kill_test.py", folder / "cli" / "remotemedia"]
    return runners.tap(log, "kill_test", [*argv, "--points", str(KILLS_LONG)],
                       env={"REMOTEMEDIA_MODULE_PATH": str(folder / "nodes")})


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
