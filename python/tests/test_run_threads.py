"""Where sync nodes run: on threads until they are proven short, slow ones on their own."""

import asyncio
import threading
import time

import pytest
from running import Call, arun, in_loop, plan_of, run, untranslated  # noqa: F401

from remotemedia import _core, _drive


def slow(item):
    time.sleep(0.005)
    return item


async def beat(delays):
    while True:
        begin = time.perf_counter()
        await asyncio.sleep(0.001)
        delays.append(time.perf_counter() - begin - 0.001)


def test_a_slow_sync_node_does_not_hold_up_the_callers_loop():
    async def main():
        delays = []
        beats = asyncio.create_task(beat(delays))
        assert await arun(list(range(40)), Call(slow)) == list(range(40))
        beats.cancel()
        delays.sort()
        return delays[len(delays) // 2]

    assert min(in_loop(main()) for _ in range(3)) < 0.0025  # of 5 ms


@pytest.mark.parametrize("how", [run, lambda *a: in_loop(arun(*a))], ids=["sync", "loop"])
def test_slow_sync_nodes_overlap(how):
    items = list(range(20))

    def once():
        begin = time.perf_counter()
        for item in items:
            slow(slow(slow(item)))
        loop_s = time.perf_counter() - begin
        begin = time.perf_counter()
        assert how(items, Call(slow), Call(slow), Call(slow)) == items
        return loop_s / (time.perf_counter() - begin)

    assert max(once() for _ in range(3)) > 1.8


@pytest.mark.contract("5 a thread hop for each sync call")
def test_a_short_node_moves_to_the_loop_and_a_long_one_does_not():
    seen = {}

    def note(name, item):
        seen.setdefault(name, []).append(threading.get_ident())
        return item

    def short(item):
        return note("short", item)

    def middling(item):
        until = time.perf_counter() + 0.0001
        while time.perf_counter() < until:
            pass
        return note("middling", item)

    items = list(range(2000))
    assert in_loop(arun(items, Call(short))) == items
    here = threading.get_ident()
    assert seen["short"][0] != here
    assert seen["short"].count(here) > 500
    assert in_loop(arun(items[:300], Call(middling))) == items[:300]
    assert here not in seen["middling"]


def test_a_node_that_was_long_now_and_then_comes_back_to_the_loop():
    here, left, last = threading.get_ident(), 10, None

    def process(item):
        nonlocal left, last
        last = threading.get_ident()
        if last == here and left:
            left -= 1
            time.sleep(0.002)
        return item

    items = list(range(64 * 2**6 * 10))  # each time it has to be short for longer, at most for that long
    assert in_loop(arun(items, Call(process))) == items
    assert left == 0
    assert last == here


def test_blocking_decides():
    seen = []

    def process(item):
        seen.append(threading.get_ident())
        return item

    here = threading.get_ident()
    assert in_loop(arun([1] * 200, Call(process), blocking=False)) == [1] * 200
    assert set(seen) == {here}
    seen.clear()
    assert in_loop(arun([1] * 200, Call(process), blocking=True)) == [1] * 200
    assert here not in seen and len(set(seen)) == 1
    seen.clear()
    assert run([1] * 200, Call(process), blocking=True) == [1] * 200
    assert here not in seen and len(set(seen)) == 1


def test_a_node_that_turns_slow_leaves_the_loop():
    where = []

    def process(item):
        if item > 500:
            time.sleep(0.002)
        where.append(threading.get_ident())
        return item

    items = list(range(540))
    assert in_loop(arun(items, Call(process))) == items
    here = threading.get_ident()
    assert here in where[200:500]
    assert here not in where[510:]


def test_sync_initialize_and_cleanup_do_not_hold_up_the_loop():
    class Node:
        def initialize(self):
            self.thread = threading.get_ident()
            time.sleep(0.02)

        def process(self, item):
            return item

        def cleanup(self):
            time.sleep(0.02)

    async def main():
        delays = []
        node = Node()
        beats = asyncio.create_task(beat(delays))
        assert await arun([1], node) == [1]
        beats.cancel()
        assert node.thread != threading.get_ident()
        return len(delays)

    assert max(in_loop(main()) for _ in range(3)) > 10


def test_a_slice_comes_back_to_the_loop():
    async def main():
        turns = 0

        async def turn():
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        def process(item):
            seen.append(turns)
            return item

        seen = []
        turning = asyncio.create_task(turn())
        items = list(range(200_000))
        assert await arun(items, Call(process), Call(lambda x: x), blocking=False) == items
        turning.cancel()
        return len(set(seen))

    assert in_loop(main()) > 5


def test_other_threads_run_while_a_session_runs_no_bytecode():
    counted, stop = [0], threading.Event()

    def count():
        while not stop.is_set():
            counted[0] += 1

    thread = threading.Thread(target=count)
    thread.start()
    plan = plan_of("test.pass", "test.pass")
    items = [b"x"] * 2_000_000  # many times longer than what one thread may hold the interpreter
    results = []
    before = counted[0]
    _drive.run_sync(plan, {"feed": items}, {"out": results})
    during = counted[0] - before
    stop.set()
    thread.join()
    assert len(results) == len(items) and during > 100


def test_an_error_on_a_thread_keeps_its_item():
    def process(item):
        time.sleep(0.0002)
        if item == 37:
            raise ValueError("bad")
        return item

    told = []

    async def main():
        plan = plan_of(Call(process), blocking=True)
        session = []
        with pytest.raises(ValueError, match="bad"):
            await _drive.run(plan, {"feed": list(range(100))}, {"out": told}, on_session=session.append)
        return session[0].failure()

    failure = in_loop(main())
    assert failure[1:3] == ("n0", 38)
    assert told == list(range(37))


def test_params_of_a_live_node_can_be_set():
    class Gain:
        gain = 1

        def process(self, item):
            return item * self.gain

    node = Gain()
    kind = _core.NodeType(
        lambda: node,
        name="test.gain",
        params=[{"name": "gain", "kind": "int", "min": 0, "max": 9, "live": True, "default": 1}],
    )
    manifest = """{"version": "v1", "metadata": {"name": "t"}, "nodes": [
        {"id": "feed", "node_type": "python.feed"}, {"id": "gain", "node_type": "test.gain"},
        {"id": "out", "node_type": "python.collect"}],
        "connections": [{"from": "feed", "to": "gain"}, {"from": "gain", "to": "out"}]}"""
    plan = _core.Graph.parse(manifest).plan(_core.Registry(lambda asked: kind))

    async def main():
        async with _drive.Stream(plan, ["feed"], ["out"]) as stream:
            await stream.push("feed", 2)
            assert await stream.pull("out") == 2
            stream.session.set_params("gain", '{"gain": 3}', {"gain": 3})
            await stream.push("feed", 2)
            assert await stream.pull("out") == 6
            with pytest.raises(_core.Error):
                stream.session.set_params("gain", '{"gain": 30}', {"gain": 30})

    in_loop(main())
