#!/usr/bin/env python3
"""Three sync Python nodes, what an item costs: ours against a loop by hand and against 0.1's scheme.

    python_sync.py [ROUNDS]

The nodes give back what they get. Ours is `await pipeline.run(items)` on the caller's loop. ns of processor time an item.
"""

import asyncio
import sys

import scheme01
from remotemedia import Node, Pipeline
from rounds import Side, compare


class Pass(Node):
    """Gives back what it gets."""

    def process(self, data):
        """Return the item."""
        return data


def by_hand(items):
    """Make the same calls in a loop."""
    a, b, c = Pass(), Pass(), Pass()
    results = []
    for item in items:
        results.append(c.process(b.process(a.process(item))))
    return results


def ours(items):
    """Run a pipeline."""
    return asyncio.run(Pipeline([Pass(), Pass(), Pass()]).run(items))


def by_01(items):
    """Run 0.1's scheme."""
    return asyncio.run(scheme01.run([Pass(), Pass(), Pass()], items))


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    side = Side(ours, 5_000, 55_000)
    compare("python-sync-loop", 2 * rounds, side, Side(by_hand, 5_000, 55_000), 1e9)
    compare("python-sync-01", rounds, side, Side(by_01, 100, 700), 1e9)


if __name__ == "__main__":
    main()
