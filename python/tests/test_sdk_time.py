"""Where the time of a Python node goes: its own code, marshaling, waiting for the GIL."""

import asyncio
import sys
import threading
from time import perf_counter_ns, sleep

import pytest

from remotemedia import Node, Pipeline

WORK_NS = 2_000_000
ITEMS = 20


def work():
    until = perf_counter_ns() + WORK_NS
    while perf_counter_ns() < until:
        pass


class Sync(Node):
    def process(self, x):
        work()
        return x


class Async(Node):
    async def process(self, x):
        work()
        await asyncio.sleep(0)
        return x


class Generator(Node):
    def process(self, x):
        work()
        yield x


class AsyncGenerator(Node):
    async def process(self, x):
        work()
        yield x


class Source(Node):
    def process(self):
        for x in range(ITEMS):
            work()
            yield x


@pytest.mark.parametrize("kind", [Sync, Async, Generator, AsyncGenerator, Source])
def test_the_nodes_own_code_is_measured(kind):
    pipeline = Pipeline([kind(name="busy")])
    pipeline.run_sync(None if kind is Source else list(range(ITEMS)))
    busy = pipeline.metrics["busy"]
    assert busy.user_ns >= 0.7 * ITEMS * WORK_NS, busy
    assert busy.marshal_ns < busy.user_ns / 2, busy


class Waits(Node):
    async def process(self, x):
        await asyncio.sleep(0.01)
        return x


def test_what_a_coroutine_waits_is_not_its_own_code():
    pipeline = Pipeline([Waits(name="waits")])
    pipeline.run_sync(list(range(ITEMS)))
    waits = pipeline.metrics["waits"]
    assert 0 < waits.user_ns < ITEMS * 10_000_000 / 2, waits


class Same(Node):
    def process(self, x):
        return x


def test_marshaling_is_where_native_and_python_nodes_meet():
    pipeline = Pipeline(
        [Same(name="first"), Same(name="second"), Node("test.pass", id="native"), Same(name="last")]
    )
    pipeline.run_sync([{"a": list(range(200))}] * 64)
    metrics = pipeline.metrics
    assert metrics["first"].marshal_ns == 0
    assert metrics["second"].marshal_ns > 64 * 100, metrics["second"]
    assert metrics["last"].marshal_ns > 64 * 100, metrics["last"]
    assert metrics["native"].user_ns == metrics["native"].marshal_ns == 0
    (row,) = (r for r in pipeline.get_metrics()["node_metrics"] if r["node_id"] == "last")
    assert row["marshal_us"] == metrics["last"].marshal_ns / 1e3


class Sleeps(Node):
    def process(self, x):
        sleep(0.002)
        return x


def test_waiting_for_the_gil_is_measured():
    over = threading.Event()

    def hold():
        while not over.is_set():
            pass

    before, busy = sys.getswitchinterval(), [threading.Thread(target=hold) for _ in range(3)]
    sys.setswitchinterval(0.01)
    for thread in busy:
        thread.start()
    try:
        pipeline = Pipeline([Sleeps(name="sleeps")], on_error="skip")  # each item is a job of its own
        pipeline.run_sync(list(range(ITEMS)))
    finally:
        over.set()
        for thread in busy:
            thread.join()
        sys.setswitchinterval(before)
    assert pipeline.metrics["sleeps"].gil_wait_ns > 5_000_000, pipeline.metrics["sleeps"]
