#!/usr/bin/env python3
"""Three async-generator nodes, what an item costs: ours against generators nested by hand and 0.1's scheme.

    python_generator.py [ROUNDS]

The nodes yield what they get, once. ns of processor time an item.
"""

import asyncio
import sys

import scheme01
from remotemedia import Node, Pipeline
from rounds import Side, compare


class Pass(Node):
    """Yields what it gets."""

    async def process(self, data):
        """Yield the item."""
        yield data


async def nested(items):
    """Nest the same generators in loops."""
    a, b, c = Pass(), Pass(), Pass()
    results = []
    for item in items:
        async for x in a.process(item):
            async for y in b.process(x):
                async for z in c.process(y):
                    results.append(z)
    return results


def by_hand(items):
    """Run the nested loops."""
    return asyncio.run(nested(items))


def ours(items):
    """Run a pipeline."""
    return asyncio.run(Pipeline([Pass(), Pass(), Pass()]).run(items))


def by_01(items):
    """Run 0.1's scheme."""
    return asyncio.run(scheme01.run([Pass(), Pass(), Pass()], items))


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    side = Side(ours, 2_000, 22_000)
    compare("python-generator-loop", rounds, side, Side(by_hand, 2_000, 22_000), 1e9)
    compare("python-generator-01", rounds, side, Side(by_01, 500, 5_500), 1e9)


if __name__ == "__main__":
    main()
