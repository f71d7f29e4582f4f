#!/usr/bin/env python3
"""Items to a worker process and back.

    workers.py [ROUNDS]

`worker-hop`: one small item at a time, there and back, next to a byte that two processes write to each
other by eventfd, waiting by epoll: what waking costs here. `worker-messages`: many items in a row through
one worker, next to the same through a pipe of `multiprocessing`. `worker-array`: 10 MB to a worker that
gives back a number, next to one copy into memory that is there. `worker-start`: a pipeline with one worker
from nothing to nothing, next to a bare interpreter.
"""

import asyncio
import multiprocessing
import os
import select
import subprocess
import sys
import time

import numpy as np
from remotemedia import Node, Pipeline
from rounds import alternate, fail, row

HOPS, MESSAGES, ARRAYS = 2_000, 20_000, 20
ARRAY_BYTES = 10_000_000


class Next(Node):
    """Gives the number after the item."""

    tier = "worker"

    def process(self, item):
        """Add one."""
        return item + 1


class First(Node):
    """Gives the first number of an array."""

    tier = "worker"

    def process(self, item):
        """Look at the array."""
        return float(item[0])


def hops():
    """Send one item after the other, each once the one before is back."""

    async def main():
        async with Pipeline([Next()]).open() as session:
            await session.push(0)
            await anext(session)
            begin = time.perf_counter()
            for number in range(HOPS):
                await session.push(number)
                if await anext(session) != number + 1:
                    fail("a worker gave a wrong number")
            return time.perf_counter() - begin

    return asyncio.run(main())


def wakes():
    """Two processes that wake each other."""
    there, back = os.eventfd(0), os.eventfd(0)
    pid = os.fork()
    mine, theirs = (there, back) if pid == 0 else (back, there)
    poll = select.epoll()
    poll.register(mine, select.EPOLLIN)
    if pid == 0:
        for _ in range(HOPS):
            poll.poll()
            os.eventfd_read(mine)
            os.eventfd_write(theirs, 1)
        os._exit(0)
    begin = time.perf_counter()
    for _ in range(HOPS):
        os.eventfd_write(theirs, 1)
        poll.poll()
        os.eventfd_read(mine)
    took = time.perf_counter() - begin
    os.waitpid(pid, 0)
    poll.close()
    os.close(there)
    os.close(back)
    return took


def messages():
    """Many items through one worker."""
    if Pipeline([Next()]).run_sync(list(range(MESSAGES))) != list(range(1, MESSAGES + 1)):
        fail("a worker lost or changed something")


def echo(connection):
    """Add one to each number, until None comes."""
    while (item := connection.recv()) is not None:
        connection.send(item + 1)


def piped():
    """The same by a process of multiprocessing, eight on their way at a time."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=echo, args=(theirs,))
    process.start()
    for number in range(MESSAGES + 8):
        if number < MESSAGES:
            ours.send(number)
        if number >= 8 and ours.recv() != number - 7:
            fail("a pipe lost or changed something")
    ours.send(None)
    process.join()


def arrays():
    """The seconds of each of some arrays, and of copies of them."""
    data = np.ones(ARRAY_BYTES // 4, np.float32)
    target = np.empty_like(data)
    target[:] = 0

    async def main():
        async with Pipeline([First()]).open() as session:
            for number in range(ARRAYS + 2):
                if number == 2:  # the memory of the link is there from here on
                    begin = time.perf_counter()
                await session.push(data)
                if await anext(session) != 1:
                    fail("an array came changed")
            return (time.perf_counter() - begin) / ARRAYS

    ours = asyncio.run(main())
    begin = time.perf_counter()
    for _ in range(ARRAYS):
        np.copyto(target, data)
    return ours, (time.perf_counter() - begin) / ARRAYS


def start():
    """One worker, for one item."""
    if Pipeline([Next()]).run_sync(1) != 2:
        fail("a worker gave a wrong number")


def bare():
    """A bare interpreter."""
    subprocess.run([sys.executable, "-c", "pass"], check=True)


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    start()  # the process that forks workers is there
    for _ in range(rounds):
        row("worker-hop", hops() / HOPS * 1e6, wakes() / HOPS * 1e6)
        ours, copy = arrays()
        row("worker-array", ours * 1e6, copy * 1e6)
    for took in alternate(rounds, {"ours": messages, "peer": piped}):
        row("worker-messages", MESSAGES / took["ours"], MESSAGES / took["peer"])
    for took in alternate(rounds, {"ours": start, "peer": bare}):
        row("worker-start", took["ours"] * 1e3, took["peer"] * 1e3)


if __name__ == "__main__":
    main()
