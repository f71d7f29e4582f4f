"""Prints results in TAP, https://testanything.org."""

import pathlib
import subprocess
import traceback

ROOT = pathlib.Path(__file__).resolve().parent.parent


class Tap:
    """Numbers the results and remembers whether one was bad."""

    def __init__(self):
        self.count = 0
        self.failed = 0

    def ok(self, name, problems=()):
        """One result: it is good where there is no problem."""
        problems = list(problems)
        self.count += 1
        self.failed += bool(problems)
        print(f"{'not ok' if problems else 'ok'} {self.count} {name}")
        for line in problems:
            print("\n".join(f"# {part}" for part in str(line).splitlines()))

    def note(self, text):
        """What the summary of the part shows."""
        print(f"# note: {text}")

    def end(self):
        """Prints the plan; the exit code."""
        print(f"1..{self.count}", flush=True)
        return 1 if self.failed else 0


class Skip(Exception):
    """Raised by a test that cannot run here; its text is the reason."""


class Tests:
    """A decorator that collects functions whose names are sentences, to run them in that order."""

    def __init__(self):
        self.functions = []

    def __call__(self, function):
        self.functions.append(function)
        return function

    def run(self, words=()):
        """Runs all, or those in whose name one of the words is; prints TAP; the exit code."""
        chosen = [f for f in self.functions if not words or any(w in f.__name__ for w in words)]
        print(f"1..{len(chosen)}", flush=True)
        failed = 0
        for number, function in enumerate(chosen, 1):
            name = f"{number} - {function.__name__.replace('_', ' ')}"
            try:
                function()
                print(f"ok {name}", flush=True)
            except Skip as reason:
                print(f"ok {name} # SKIP {reason}", flush=True)
            except Exception:  # any failure is one of this test
                failed += 1
                print(f"not ok {name}", flush=True)
                for line in traceback.format_exc().splitlines():
                    print(f"# {line}", flush=True)
        return 1 if failed else 0


def tracked(*patterns):
    """The files of the tree that match, as paths relative to it. Outside a checkout: all that lie
    there, build/ left out."""
    listed = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "-co", "--exclude-standard", "--", *patterns],
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0:
        names = listed.stdout.split("\n")
    else:
        names = [
            str(path.relative_to(ROOT))
            for pattern in patterns
            for path in ROOT.rglob(pattern)
            if not path.is_relative_to(ROOT / "build")
        ]
    return sorted({name for name in names if name and (ROOT / name).is_file()})


def run(argv, **options):
    """A program's exit code and its text."""
    done = subprocess.run(
        [str(word) for word in argv],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
        **options,
    )
    return done.returncode, done.stdout
