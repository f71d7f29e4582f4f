"""Runs programs that test something, and counts what they say.

A runner gives back a `Count`. A program that cannot be built, dies or says nothing counts as one
failed test: silence is never a success.
"""

import dataclasses
import os
import pathlib
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
LOGS = BUILD / "test-logs"


@dataclasses.dataclass
class Count:
    """What a part of the tests came to."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    failures: list = dataclasses.field(default_factory=list)
    notes: list = dataclasses.field(default_factory=list)

    def __iadd__(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        self.failures += other.failures
        self.notes += other.notes
        return self

    def fail(self, text):
        self.failed += 1
        self.failures.append(text)


class Log:
    """The output of one part, kept in build/test-logs."""

    def __init__(self, name):
        LOGS.mkdir(parents=True, exist_ok=True)
        self.path = LOGS / f"{name}.log"
        self.path.write_text("", encoding="utf-8")

    def run(self, argv, *, env=None, cwd=ROOT, timeout_s=1800):
        """Runs a program; its exit code and its text. A time-out is exit code 124."""
        argv = [str(word) for word in argv]
        with self.path.open("a", encoding="utf-8") as log:
            log.write(f"$ {' '.join(argv)}\n")
        given = {key: str(value) for key, value in (env or {}).items()}
        environment = {"NINJA": str(tool("ninja"))} | os.environ | given
        process = subprocess.Popen(
            argv,
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
            errors="replace",
        )
        try:
            text, _ = process.communicate(timeout=timeout_s)
            code = process.returncode
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            text, _ = process.communicate()
            text += f"\nended after {timeout_s} s\n"
            code = 124
        with self.path.open("a", encoding="utf-8") as log:
            log.write(text)
        return code, text


def count_junit(path, count):
    """Adds the cases of a JUnit file."""
    for suite in xml.etree.ElementTree.parse(path).iter("testsuite"):
        said = suite.findtext("system-out") or ""
        count.notes += re.findall(r"^# note: (.*)$", said, re.MULTILINE)
        for case in suite.iter("testcase"):
            for one in case.iter("property"):
                count.notes.append(f"{case.get('name')}: {one.get('name')} {one.get('value')}")
            if case.find("failure") is not None or case.find("error") is not None:
                count.fail(f"{suite.get('name')} {case.get('name')}")
            elif case.find("skipped") is not None:
                count.skipped += 1
            else:
                count.passed += 1


def tap(log, name, argv, **options):
    """A program that prints TAP."""
    count = Count()
    code, text = log.run(argv, **options)
    for ok, title, why in re.findall(
        r"^(ok|not ok) \d+ ?(.*)\n((?:# (?!note: ).*\n)*)", text, re.MULTILINE
    ):
        if "# SKIP" in title:
            count.skipped += 1
        elif ok == "ok":
            count.passed += 1
        else:
            count.fail(f"{name}: {title}\n{why}".rstrip())
    if not count.passed + count.failed + count.skipped or (code != 0 and not count.failed):
        count.fail(f"{name}: exit code {code}")
    count.notes += re.findall(r"^# note: (.*)$", text, re.MULTILINE)
    return count


def one(log, name, argv, **options):
    """A program whose exit code is the whole answer."""
    count = Count()
    code, _ = log.run(argv, **options)
    if code == 0:
        count.passed += 1
    else:
        count.fail(f"{name}: exit code {code}")
    return count


def pytest(log, name, python, paths, **options):
    """pytest under the given Python, in as many processes as there are cores."""
    count = Count()
    report = LOGS / f"{name}.xml"
    report.unlink(missing_ok=True)
    argv = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "junit_family=legacy",
            "-n", str(os.cpu_count() or 1), "--dist", "worksteal", f"--junitxml={report}", *paths]
    code, _ = log.run(argv, **options)
    if report.exists():
        count_junit(report, count)
    if not count.passed + count.failed or (code != 0 and not count.failed):
        count.fail(f"{name}: pytest's exit code {code}")
    return count


def without_address_randomisation():
    """`setarch -R` where that is allowed: the sanitizers of older compilers lose their shadow memory
    to a randomised address space."""
    if shutil.which("setarch"):
        allowed = subprocess.run(["setarch", "-R", "true"], capture_output=True, check=False)
        if allowed.returncode == 0:
            return ["setarch", "-R"]
    return []


def meson_build(log, name, options, *, env=None):
    """Configures and builds build/NAME. The folder, or None where that failed."""
    folder = BUILD / name
    options = [f"-Dpython_program={sys.executable}", *options]
    setup = [tool("meson"), "setup", folder, *options]
    configured = (folder / "build.ninja").exists()
    code, _ = log.run([*setup, "--reconfigure"] if configured else setup, env=env)
    if code != 0 and folder.exists():
        shutil.rmtree(folder)
        code, _ = log.run(setup, env=env)
    if code == 0:
        code, _ = log.run([tool("meson"), "compile", "-C", folder], env=env)
    return folder if code == 0 else None


def meson_test(log, name, folder, words=(), *, env=None, sanitized=False):
    """The tests of a Meson build folder, each line of TAP for itself."""
    count = Count()
    report = folder / "meson-logs" / "testlog.junit.xml"
    report.unlink(missing_ok=True)
    argv = [tool("meson"), "test", "-C", folder, "--no-rebuild", "--print-errorlogs", *words]
    if sanitized:
        argv = [*without_address_randomisation(), *argv, "--timeout-multiplier=10"]
    code, _ = log.run(argv, env=env)
    if report.exists():
        count_junit(report, count)
    if not count.passed + count.failed or (code != 0 and not count.failed):
        count.fail(f"{name}: meson test's exit code {code}")
    return count


def meson(log, name, options, words=(), *, env=None, sanitized=False):
    """Builds a variant of the tree and runs its tests."""
    folder = meson_build(log, name, options, env=env)
    if not folder:
        count = Count()
        count.fail(f"{name}: does not build")
        return count
    return meson_test(log, name, folder, words, env=env, sanitized=sanitized)


def tool(name):
    """A program of the virtual environment that runs us."""
    return pathlib.Path(sys.executable).parent / name


def clang():
    """clang, whatever its version."""
    for name in ("clang", "clang-19", "clang-16", "clang-14"):
        if shutil.which(name):
            return name
    raise SystemExit("clang is missing: apt-get install clang")
