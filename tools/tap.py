"""Prints results in TAP, https://testanything.org."""

import pathlib
import subprocess

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
