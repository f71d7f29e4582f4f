"""Nodes of test_worker_nodes.py, in a module of their own: a worker process imports it."""

import asyncio
import contextlib
import os
import signal
import threading
import time

from remotemedia import Node
from remotemedia.node import NodeSpec, Port


class Double(Node):
    tier = "worker"

    def process(self, item):
        return 2 * item


class Where(Node):
    """Gives where it runs."""

    def process(self, item):
        return os.getpid()


class Later(Node):
    tier = "worker"

    async def process(self, item):
        await asyncio.sleep(0)
        return item + 1


class Slow(Node):
    """Says in which process it ran, after some work."""

    tier = "worker"
    stateless = True
    parallel = 2

    def process(self, item):
        time.sleep(0.02)
        return item, os.getpid()


class Collects(Node):
    """Keeps items until it is interrupted or the end comes."""

    tier = "worker"

    def __init__(self):
        super().__init__()
        self.items = []

    def process(self, item):
        self.items.append(item)
        return item

    def interrupt(self):
        self.items.clear()

    def flush(self):
        return self.items


class Both(Node):
    """Of two inputs; says what it got, and how large the arrays were."""

    tier = "worker"
    spec = NodeSpec("worker_nodes:Both", inputs=(Port("left"), Port("right")))
    merge = "zip"

    def process(self, pair):
        return pair[0] + pair[1]


class Logs(Node):
    """Leaves a note of each item that it was called for."""

    tier = "worker"

    def __init__(self, path):
        super().__init__()
        self.path = path

    def process(self, item):
        with open(self.path, "a") as file:
            file.write(f"{item} ")
        time.sleep(0.05)
        return item


class Adds(Node):
    tier = "worker"

    def __init__(self, amount):
        super().__init__()
        self.amount = amount

    def set_params(self, amount):
        if amount < 0:
            raise ValueError("amount is negative")
        self.amount = amount

    def process(self, item):
        return item + self.amount


class Twice(Node):
    tier = "worker"

    def process(self, item):
        yield item
        yield -item


class TwiceLater(Node):
    tier = "worker"

    async def process(self, item):
        yield item
        await asyncio.sleep(0)
        yield -item


class Source(Node):
    tier = "worker"

    def __init__(self, count):
        super().__init__()
        self.count = count

    def process(self):
        yield from range(self.count)


class Total(Node):
    tier = "worker"

    def __init__(self, start=0):
        super().__init__()
        self.total = start

    def process(self, item):
        self.total += item

    def flush(self):
        return self.total


class Kept(Node):
    """Keeps its total over the end of its worker; ends that at some items."""

    tier = "worker"

    def __init__(self, folder, deadly=(), always=()):
        super().__init__()
        self.folder = folder
        self.deadly = deadly
        self.always = always
        self.total = 0

    def save(self):
        return self.total

    def load(self, state):
        self.total = state

    def process(self, item):
        mark = os.path.join(self.folder, str(item))
        if item in self.always or (item in self.deadly and not os.path.exists(mark)):
            with open(mark, "w"):
                pass
            os.kill(os.getpid(), signal.SIGKILL)
        self.total += item
        return self.total


class Running(Node):
    """One generator for the whole stream."""

    tier = "worker"
    is_streaming = True

    async def process(self, items):
        total = 0
        async for item in items:
            total += item
            yield total
        yield "end"


class Odd(Exception):
    """Cannot be made again from what pickle writes."""

    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


class Raises(Node):
    tier = "worker"

    def process(self, item):
        if item == 3:
            raise ValueError("three is too much")
        if item == 4:
            raise Odd(1, 2)
        return item


class Dies(Node):
    tier = "worker"

    def __init__(self, by="signal"):
        super().__init__()
        self.by = by

    def process(self, item):
        if item == 3:
            if self.by == "exit":
                os._exit(7)
            os.kill(os.getpid(), signal.SIGKILL)
        return item


class Hangs(Node):
    tier = "worker"
    limits = {"time_ms": 300}

    def process(self, item):
        if item == 2:
            time.sleep(600)
        return item


class Greedy(Node):
    tier = "worker"
    limits = {"memory_bytes": 100 << 20}

    def process(self, item):
        return len(bytearray(item))


class FailsToBegin(Node):
    tier = "worker"

    def initialize(self):
        raise OSError("no such device")

    def process(self, item):
        return item


class Locked(Node):
    """Cannot be pickled."""

    tier = "worker"

    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()

    def process(self, item):
        return item


class Scaled(Node):
    """Gives an array that it makes in the memory of the link."""

    tier = "worker"

    def process(self, item):
        import numpy

        out = self.empty(item.shape, item.dtype)
        numpy.multiply(item, 3, out=out)
        return out


class Waits(Node):
    """Waits until it is cancelled, and leaves a note of that."""

    tier = "worker"

    def __init__(self, path):
        super().__init__()
        self.path = path

    async def process(self, item):
        with open(self.path + ".begun", "w"):
            pass
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            with contextlib.suppress(OSError), open(self.path, "w") as file:
                file.write("cancelled")
            raise

    async def cleanup(self):
        with open(self.path + ".cleanup", "w"):
            pass


class Trick:
    """Unpickles by a call of os.system()."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


class Confined(Node):
    """Tries what it is told to."""

    tier = "worker"

    def process(self, item):
        import socket
        import subprocess

        what, path = item
        if what == "read":
            with open(path) as file:
                return file.read()
        if what == "write":
            with open(path, "w") as file:
                return file.write("text")
        if what == "list":
            return os.listdir(path)
        if what == "shell":
            # What is preloaded here, as a sanitizer is, has no place in a program of the system's.
            bare = {"PATH": os.environ["PATH"]}
            return subprocess.run(["cat", path], capture_output=True, check=False, env=bare).returncode
        if what == "inet":
            socket.socket(socket.AF_INET).close()
            return "made"
        if what == "unix":
            for end in socket.socketpair():
                end.close()
            return "made"
        if what == "trick":
            return Trick(path)
        if what == "import":
            return str(__import__(path).__name__)
        raise KeyError(what)
