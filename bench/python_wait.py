#!/usr/bin/env python3
"""Three nodes that await 2 ms each: ours, which overlaps them, against awaiting one after the other.

    python_wait.py [ROUNDS]

ms an item.
"""

import asyncio
import sys
import time

from remotemedia import Node, Pipeline
from rounds import Side, compare

WAIT_S = 0.002


class Wait(Node):
    """Waits, then gives back what it got."""

    async def process(self, data):
        """Return the item after 2 ms."""
        await asyncio.sleep(WAIT_S)
        return data


async def one_after_the_other(items):
    """Await the same calls in a loop."""
    a, b, c = Wait(), Wait(), Wait()
    results = []
    for item in items:
        results.append(await c.process(await b.process(await a.process(item))))
    return results


def by_hand(items):
    """Run the loop."""
    return asyncio.run(one_after_the_other(items))


def ours(items):
    """Run a pipeline."""
    return asyncio.run(Pipeline([Wait(), Wait(), Wait()]).run(items))


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    compare("python-wait", rounds, Side(ours, 10, 110, time.perf_counter), Side(by_hand, 5, 45, time.perf_counter),
            1e3)


if __name__ == "__main__":
    main()
