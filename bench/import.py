#!/usr/bin/env python3
"""What `from remotemedia import Pipeline, Node` costs a fresh process, against `import numpy`.

    import.py [ROUNDS]

Seconds between before and after the import statement; the start of the interpreter is not counted. The
names that a program needs are imported, because `import remotemedia` alone loads hardly anything.
"""

import subprocess
import sys

from rounds import alternate, fail, note, row

MEASURE = "import time; begin = time.perf_counter(); {}; print(time.perf_counter() - begin, {})"
OURS = MEASURE.format("from remotemedia import Pipeline, Node", "Pipeline.__name__")
PEER = MEASURE.format("import numpy", "numpy.__name__")


def seconds(program, name):
    """Run a program in a fresh interpreter; return the seconds it printed."""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    words = run.stdout.split()
    if run.returncode != 0 or words[1:] != [name]:
        fail(f"{program}: {run.stdout}{run.stderr[-1000:]}")
    return float(words[0])


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 31
    took = {}

    def run_ours():
        took["ours"] = seconds(OURS, "Pipeline")

    def run_peer():
        took["peer"] = seconds(PEER, "numpy")

    for _ in alternate(rounds, {"ours": run_ours, "peer": run_peer}):
        row("import", took["ours"] * 1e3, took["peer"] * 1e3)
    note("the names Pipeline and Node, not the bare module")


if __name__ == "__main__":
    main()
