#!/usr/bin/env python3
"""10,000 sessions of Python nodes, opened, run and closed: how the process's memory grows a session.

    sessions.py [SESSIONS]

Fitted over the second half. No descriptor, thread or file is left.
"""

import asyncio
import gc
import os
import sys

from remotemedia import Node, Pipeline
from rounds import fail, row


class Pass(Node):
    """Gives back what it gets."""

    blocking = False

    def process(self, item):
        """Return the item."""
        return item


class Wait(Node):
    """As Pass, after a turn of the loop."""

    async def process(self, item):
        """Return the item."""
        await asyncio.sleep(0)
        return item


def resident_bytes():
    """Return what the process has in memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def held():
    """Return how many descriptors, threads and files there are."""
    return [len(os.listdir(folder)) for folder in ("/proc/self/fd", "/proc/self/task", "/dev/shm")]


async def one():
    """Open a session, run an item through it, close it."""
    async with Pipeline([Pass(), Wait(), Pass()]).open() as session:
        await session.push(b"item")
        if await anext(session) != b"item":
            fail("another item came")


def slope(values):
    """Return the rise of the line through the values."""
    middle, mean = (len(values) - 1) / 2, sum(values) / len(values)
    above = sum((i - middle) * (value - mean) for i, value in enumerate(values))
    return above / sum((i - middle) ** 2 for i in range(len(values)))


async def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10000
    for _ in range(100):
        await one()
    before, values = held(), []
    for number in range(count):
        await one()
        if number >= count // 2 and number % 10 == 0:
            gc.collect(0)
            values.append(resident_bytes())
    after = held()
    if after != before:
        fail(f"descriptors, threads and files were {before}, are {after}")
    row("sessions-python", slope(values) / 10, 0)


if __name__ == "__main__":
    asyncio.run(main())
