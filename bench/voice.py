#!/usr/bin/env python3
"""Pipelines of five Python nodes that pass 20 ms frames on, as a voice agent has one a call: ours against Pipecat's.

    voice.py [ROUNDS]

What an idle one holds, what it takes to start and stop one, and how long an interrupt takes through 200 frames that
wait. Each side is a process of its own each round, in turn.
"""

import json
import pathlib
import subprocess
import sys

from rounds import fail, note, row

HERE = pathlib.Path(__file__).resolve().parent


def ask(side, *words):
    """Run one side; return its figures."""
    command = [sys.executable, HERE / f"voice_{side}.py", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0:
        fail(f"{side} {words}: {(done.stderr or done.stdout)[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    for number in range(rounds):
        sides = ["ours", "pipecat"] if number % 2 else ["pipecat", "ours"]
        idle = {side: ask(side, "idle") for side in sides}
        barge = {side: ask(side, "interrupt") for side in sides}
        row("voice-memory", idle["ours"]["kib"], idle["pipecat"]["kib"])
        row("voice-start", idle["ours"]["start_stop_ms"], idle["pipecat"]["start_stop_ms"])
        row("voice-interrupt", barge["ours"]["us"], barge["pipecat"]["us"])
        if barge["ours"]["stale"]:
            fail(f"{barge['ours']['stale']} frames came after the interrupt")
    note(f"Pipecat {idle['pipecat']['version']}, without RTVI and turn tracking")


if __name__ == "__main__":
    main()
