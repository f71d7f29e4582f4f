#!/usr/bin/env python3
"""Nodes of the 0.1 SDK, what an item costs: ours against 0.1's scheme with the same node objects.

    catalogue.py [ROUNDS]

Three `MultiplyNode` on numbers; one `CalculatorNode` on dicts. Ours is `await pipeline.run(items)` on the
caller's loop. ns of processor time an item.
"""

import asyncio
import sys

import scheme01
from remotemedia import Pipeline
from remotemedia.nodes import CalculatorNode, MultiplyNode
from rounds import Side, compare


def factors():
    """Return three nodes that give back, as a float, what goes in."""
    return [MultiplyNode(2), MultiplyNode(1), MultiplyNode(0.5)]


def sums(items):
    """Return dicts that ask for each number again."""
    return [{"operation": "add", "args": [number, 0]} for number in items]


def results(dicts):
    """Return the numbers."""
    return [told["result"] for told in dicts]


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    compare(
        "catalogue-multiply", rounds,
        Side(lambda items: asyncio.run(Pipeline(factors()).run(items)), 5_000, 55_000),
        Side(lambda items: asyncio.run(scheme01.run(factors(), items)), 100, 700), 1e9,
    )
    compare(
        "catalogue-calculator", rounds,
        Side(lambda items: results(asyncio.run(Pipeline([CalculatorNode()]).run(sums(items)))), 2_000, 22_000),
        Side(lambda items: results(asyncio.run(scheme01.run([CalculatorNode()], sums(items)))), 200, 1_400), 1e9,
    )


if __name__ == "__main__":
    main()
