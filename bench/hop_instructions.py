#!/usr/bin/env python3
"""Count what a hop executes, by callgrind: deterministic, so that a test can hold it.

    hop_instructions.py CHAIN

CHAIN is the built program bench/chain. A difference of differences, (long - short chain) of (many - few
packets), so that set-up, source and sink fall out. Prints one JSON line as a measuring program does, and
fails where a hop takes more than the bar. Ends with 77, "skipped", where valgrind is not installed.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile

from cases import BARS

SHORT, LONG = 10, 20  # nodes
FEW, MANY = 1_000, 2_000  # packets


def count(chain, nodes, packets):
    """Return the instructions of one run."""
    with tempfile.NamedTemporaryFile(suffix=".callgrind") as out:
        run = subprocess.run(
            ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out.name}", chain, str(nodes), str(packets)],
            capture_output=True, text=True, check=False)
    refs = re.search(r"refs:\s+([\d,]+)", run.stderr)
    if run.returncode != 0 or not refs:
        sys.exit(f"valgrind on {chain} failed: {run.stderr[-2000:]}")
    return int(refs.group(1).replace(",", ""))


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    if not shutil.which("valgrind"):
        print("valgrind is not installed")
        sys.exit(77)
    chain = sys.argv[1]
    grown = [count(chain, nodes, MANY) - count(chain, nodes, FEW) for nodes in (SHORT, LONG)]
    hop = (grown[1] - grown[0]) / ((LONG - SHORT) * (MANY - FEW))
    print(json.dumps({"row": "hop-instructions", "ours": round(hop, 1)}))
    limit = BARS["hop-instructions"].limit
    if not 0 < hop <= limit:
        sys.exit(f"a hop takes {hop:.1f} instructions, want at most {limit}")


if __name__ == "__main__":
    main()
