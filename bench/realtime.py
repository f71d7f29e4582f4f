#!/usr/bin/env python3
"""How many pipelines of five Python nodes one core holds that pass on 20 ms of audio each 20 ms: ours against Pipecat's.

    realtime.py [ROUNDS]

Held are so many that 99 of 100 frames come out less than 20 ms after they were due to enter. The number grows by half
until it is too much, then the gap is halved three times.
"""

import sys

from rounds import note, row
from voice import ask

LATE_MS_MAX = 20.0
BEGIN = {"ours": 600, "pipecat": 40}


def holds(side, count):
    """Tell whether one core holds so many."""
    return ask(side, "realtime", str(count))["p99_ms"] < LATE_MS_MAX


def most(side):
    """Return how many one core holds."""
    least, too_many = BEGIN[side], None
    while not holds(side, least):
        too_many, least = least, least * 2 // 3
    while too_many is None:
        more = least * 3 // 2
        if holds(side, more):
            least = more
        else:
            too_many = more
    for _ in range(3):
        middle = (least + too_many) // 2
        if holds(side, middle):
            least = middle
        else:
            too_many = middle
    return least


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    for number in range(rounds):
        sides = ["ours", "pipecat"] if number % 2 else ["pipecat", "ours"]
        held = {side: most(side) for side in sides}
        row("realtime", held["ours"], held["pipecat"])
    note("20 ms of 16 kHz mono a frame; our nodes are plain methods with blocking = False, Pipecat's are coroutines")


if __name__ == "__main__":
    main()
