"""Runs that are killed: what tests of checkpoints share."""

import signal
import subprocess
import sys
import time

DEADLINE_S = 60


def start(folder, program, *arguments):
    """A Python program, as ``program.py`` of the folder, in which it runs."""
    (folder / "program.py").write_text(program)
    return subprocess.Popen([sys.executable, "program.py", *map(str, arguments)], cwd=folder,
                            stderr=subprocess.PIPE, text=True)


def finish(child):
    """What it wrote to stderr; it has to end well."""
    told = child.communicate()[1]
    assert child.returncode == 0, told
    return told


def newest(folder):
    """Number of the newest checkpoint; 0: there is none."""
    numbers = [int(path.stem.split("-")[1]) for path in (folder / "state").glob("checkpoint-*.rmc")]
    return max(numbers, default=0)


def kill(child, is_time):
    """Kills it as soon as it is time."""
    deadline = time.monotonic() + DEADLINE_S
    while not is_time() and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.0002)
    child.send_signal(signal.SIGKILL)
    told = child.communicate()[1]
    assert child.returncode == -signal.SIGKILL, told


def kill_after(folder, child, checkpoints):
    """Kills it once it has made so many checkpoints."""
    last = newest(folder) + checkpoints
    kill(child, lambda: newest(folder) >= last)
