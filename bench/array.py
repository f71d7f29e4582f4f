#!/usr/bin/env python3
"""float32 arrays of 1 KB to 100 MB through three Python nodes and out: no copy, so the cost is flat.

    array.py [ROUNDS]

Each node looks at the first number and gives the array on. What comes out must be at the address of what
went in. The peer of each size is a loop of the same calls; `array-flat` compares the largest size with
the smallest, ours with ours. ns of processor time an array.
"""

import asyncio
import sys
import time

import numpy as np
from remotemedia import Node, Pipeline
from rounds import fail, row, timed

SIZES = {"1KB": 1 << 10, "1MB": 1 << 20, "100MB": 100 << 20}
FEW, MANY = 2_000, 22_000


class Look(Node):
    """Looks at an array and gives it on."""

    def process(self, data):
        """Return the array."""
        if data[0] != 1:
            raise ValueError(f"the array begins with {data[0]}")
        return data


def by_hand(items):
    """Make the same calls in a loop."""
    a, b, c = Look(), Look(), Look()
    results = []
    for item in items:
        results.append(c.process(b.process(a.process(item))))
    return results


def ours(items):
    """Run a pipeline."""
    return asyncio.run(Pipeline([Look(), Look(), Look()]).run(items))


def seconds(side, array, count):
    """Return the seconds that so many arrays took."""
    took, results = timed(side, [array] * count, clock=time.process_time)
    addresses = {result.ctypes.data for result in results[::100]}
    if len(results) != count or addresses != {array.ctypes.data}:
        fail(f"{side.__name__}: {len(results)} of {count} arrays, at {addresses}, want {array.ctypes.data}")
    return took


def cost(side, array):
    """Return the ns of one more array."""
    few = seconds(side, array, FEW)
    return (seconds(side, array, MANY) - few) / (MANY - FEW) * 1e9


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    arrays = {name: np.ones(size // 4, np.float32) for name, size in SIZES.items()}
    for number in range(rounds + 1):
        names = list(arrays) if number % 2 else list(reversed(arrays))
        costs = {name: (cost(ours, arrays[name]), cost(by_hand, arrays[name])) for name in names}
        if number == 0:
            continue  # warms up
        for name, (own, loop) in costs.items():
            row(f"array-{name}", own, loop)
        row("array-flat", costs["100MB"][0], costs["1KB"][0])


if __name__ == "__main__":
    main()
