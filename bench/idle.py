#!/usr/bin/env python3
"""Wake-ups of a process whose sessions have nothing to do: voluntary context switches of all its threads, a second.

    idle.py PROGRAM [SECONDS]

Sessions in C, each with two threads (PROGRAM is bench/idle), and pipelines of five Python nodes on an event loop.
"""

import pathlib
import subprocess
import sys
import time

from rounds import fail, row

HERE = pathlib.Path(__file__).resolve().parent
SETTLE_S = 0.5


def switches(pid):
    """Return how often threads of the process have waited, and how many threads there are."""
    total, threads = 0, 0
    for status in pathlib.Path(f"/proc/{pid}/task").glob("*/status"):
        line = next(line for line in status.read_text().splitlines() if line.startswith("voluntary_ctxt_switches"))
        total += int(line.split()[1])
        threads += 1
    return total, threads


def wakes(command, seconds):
    """Start the program, and return its wake-ups a second once its sessions are open."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        if process.stdout.readline() != "ready\n":
            fail(f"{command} did not open its sessions")
        time.sleep(SETTLE_S)
        before, threads = switches(process.pid)
        time.sleep(seconds)
        after, threads_after = switches(process.pid)
        process.stdin.close()
    if process.returncode or threads != threads_after:
        fail(f"{command} ended with {process.returncode}; {threads} threads became {threads_after}")
    return (after - before) / seconds


def main():
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 3.0
    row("idle-wakes", wakes([sys.argv[1]], seconds), 0)
    row("idle-wakes-python", wakes([sys.executable, HERE / "voice_ours.py", "rest"], seconds), 0)


if __name__ == "__main__":
    main()
