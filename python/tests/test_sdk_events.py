"""What happens in a run is told as it happens: native and Python nodes alike, bounded, to the end."""

import asyncio

import pytest

from remotemedia import Node, NodeError, Pipeline
from remotemedia.events import (
    Breaker,
    Changed,
    Drop,
    Ended,
    EndOfStream,
    Failed,
    FirstPacket,
    Retry,
    Skipped,
    Started,
)


class Double(Node):
    def process(self, x):
        return 2 * x


class Odd(Node):
    """Lets every other item through."""

    def process(self, x):
        return x if x % 2 else None


class Slow(Node):
    async def process(self, x):
        await asyncio.sleep(0.001)
        return x


class Bad(Node):
    """Fails so many times at item 3."""

    def __init__(self, failures=1, transient=False, **config):
        super().__init__(**config)
        self.failures = failures
        self.transient = transient

    def process(self, x):
        if x == 3 and self.failures:
            self.failures -= 1
            raise TimeoutError("too late") if self.transient else ValueError("three is bad")
        return x


def kinds(events):
    return [event.kind for event in events]


def of(events, kind):
    return [event for event in events if isinstance(event, kind)]


@pytest.mark.parametrize("way", ["run", "run_sync", "stream", "open"])
def test_a_run_tells_its_course_in_order(way):
    pipeline = Pipeline("course", [Odd(name="odd"), Slow(name="slow")])
    events = pipeline.events()

    async def drive():
        if way == "run":
            await pipeline.run(list(range(6)))
        elif way == "stream":
            async for _ in pipeline.stream(list(range(6))):
                pass
        else:
            async with pipeline.open() as session:
                for i in range(6):
                    await session.push(i)
                session.end()
                async for _ in session:
                    pass
        return [event async for event in events]

    if way == "run_sync":
        pipeline.run_sync(list(range(6)))
        told = events.take()
    else:
        told = asyncio.run(asyncio.wait_for(drive(), 20))
    assert told[0].kind == "started" and told[-1] == Ended(0, "", time_ns=told[-1].time_ns)
    assert [e.node for e in of(told, FirstPacket)] == ["odd", "slow"]
    assert [(e.node, e.total) for e in of(told, EndOfStream)] == [("odd", 3), ("slow", 3)]
    assert len(told) == 6 and all(event.lost == 0 for event in told)
    times = [event.time_ns for event in told]
    assert times == sorted(times)


def test_native_nodes_tell_the_same():
    pipeline = Pipeline("native", [Node("test.tone", duration_ms=100), Node("test.pass")])
    events = pipeline.events()
    pipeline.run_sync()
    told = events.take()
    assert kinds(told) == ["started", *["first_packet"] * 2, *["end_of_stream"] * 2, "ended"]


def test_a_node_in_several_copies_tells_of_each():
    pipeline = Pipeline([Node("test.pass", id="double", parallel=3)])
    events = pipeline.events()
    pipeline.run_sync(list(range(20)))
    first = [event.node for event in of(events.take(), FirstPacket)]
    assert sorted(first) == ["double.1", "double.2", "double.3"]


def test_events_come_while_the_run_goes_on():
    async def main():
        pipeline = Pipeline([Double()])
        session = pipeline.open()
        events = session.events()
        async with session:
            assert isinstance(await anext(events), Started)
            await session.push(1)
            assert isinstance(await anext(events), FirstPacket)
            assert await anext(session) == 2
        rest = [event async for event in events]
        assert kinds(rest) == ["ended"] and rest[0].code == 6
        with pytest.raises(StopAsyncIteration):
            await anext(events)

    asyncio.run(asyncio.wait_for(main(), 20))


def test_who_listens_late_hears_the_rest():
    async def main():
        async with Pipeline([Double(name="twice")]).open() as session:
            await session.push(1)
            await anext(session)
            events = session.events()
            session.end()
            async for _ in session:
                pass
        return [event async for event in events]

    told = asyncio.run(asyncio.wait_for(main(), 20))
    assert kinds(told) == ["end_of_stream", "ended"]


def test_each_policy_tells_node_item_and_error():
    for policy, kind in (("skip", Skipped), ("bypass", Skipped), (None, Failed)):
        pipeline = Pipeline([Bad(name="bad")], on_error=policy)
        events = pipeline.events()
        if policy:
            pipeline.run_sync([1, 2, 3, 4])
        else:
            with pytest.raises(NodeError):
                pipeline.run_sync([1, 2, 3, 4])
        told = events.take()
        (event,) = of(told, kind)
        assert (event.node, event.item) == ("bad", 3) and "three is bad" in event.error
        assert getattr(event, "policy", None) == policy
        assert bool(told[-1].error) == (policy is None)


def test_retries_are_told_with_their_attempt():
    retry = {"policy": "retry", "attempts": 3, "backoff_ms": 0}
    pipeline = Pipeline([Bad(2, transient=True, name="bad")], on_error=retry)
    events = pipeline.events()
    assert pipeline.run_sync([1, 2, 3, 4]) == [1, 2, 3, 4]
    told = of(events.take(), Retry)
    assert [(e.node, e.item, e.attempt) for e in told] == [("bad", 3, 1), ("bad", 3, 2)]


def test_a_breaker_tells_its_states():
    policy = {"policy": "skip", "breaker": {"failures": 1, "open_ms": 5}}

    async def items():
        for i in range(1, 6):
            yield i
            await asyncio.sleep(0.01)

    async def main():
        pipeline = Pipeline([Bad(1, name="bad")], on_error=policy)
        events = pipeline.events()
        await pipeline.run(items())
        return [event async for event in events]

    told = of(asyncio.run(asyncio.wait_for(main(), 20)), Breaker)
    assert [e.state for e in told] == ["open", "half_open", "closed"]
    assert {(e.node, e.opened) for e in told} == {("bad", 1)}


def test_a_change_of_parameters_is_told():
    class Gain(Node):
        def process(self, x):
            return x

    async def main():
        pipeline = Pipeline([Gain(name="in"), Node("test.pass", id="pass")])
        session = pipeline.open()
        events = session.events()
        async with session:
            await session.push("x")
            await anext(session)
            session.set_params("pass")
            async for event in events:
                if isinstance(event, Changed):
                    return event

    changed = asyncio.run(asyncio.wait_for(main(), 20))
    assert changed is not None and changed.what == "params"


def test_drops_add_up():
    manifest = {
        "version": "v1",
        "nodes": [
            {"id": "tone", "node_type": "test.tone", "params": {"duration_ms": 4000}},
            {"id": "slow", "node_type": f"{__name__}:Late"},
        ],
        "connections": [{"from": "tone", "to": "slow", "capacity": 2, "policy": "drop_oldest"}],
    }
    pipeline = Pipeline.from_manifest(manifest)
    events = pipeline.events()
    results = pipeline.run_sync() or []
    told = events.take()
    drops = of(told, Drop)
    edges = pipeline.metrics.raw["edges"]
    (edge,) = [e for e in edges if e["from"] == "tone"]
    assert edge["drops"] > 0 and sum(d.count for d in drops) == edge["drops"] == drops[-1].total
    assert {(d.node, d.to, d.reason) for d in drops} == {("tone", "slow", "full")}
    assert len(results) + edge["drops"] == 200


class Late(Node):
    async def process(self, block):
        await asyncio.sleep(0.002)
        return 1


def test_who_does_not_take_them_loses_the_newest_but_the_end():
    class Fails(Node):
        def process(self, x):
            raise ValueError(x)

    pipeline = Pipeline([Fails(name="fails")], on_error="skip")
    events = pipeline.events()
    pipeline.run_sync(list(range(3000)))
    told = events.take()
    assert len(told) == 1001 and isinstance(told[-1], Ended)
    assert len(told) + told[-1].lost == 3000 + 3  # started, end of stream, ended
    assert pipeline.metrics["fails"].skipped == 3000


def test_a_run_that_never_begins_ends_its_events():
    async def main():
        pipeline = Pipeline([Node("test.pass", no_such=1), Node("test.pass")])
        events = pipeline.events()
        with pytest.raises(Exception, match="no_such"):
            await pipeline.run([1])
        return [event async for event in events]

    assert asyncio.run(asyncio.wait_for(main(), 20)) == []


def test_events_reach_a_loop_on_another_thread():
    async def main():
        pipeline = Pipeline([Double()])
        events = pipeline.events()
        run = asyncio.create_task(asyncio.to_thread(pipeline.run_sync, [1, 2]))
        told = [event async for event in events]
        assert await run == [2, 4]
        return told

    assert kinds(asyncio.run(asyncio.wait_for(main(), 20)))[-1] == "ended"


def test_the_next_run_tells_nothing_more():
    pipeline = Pipeline([Double()])
    events = pipeline.events()
    pipeline.run_sync([1])
    first = events.take()
    pipeline.run_sync([1])
    assert kinds(first) == ["started", "first_packet", "end_of_stream", "ended"]
    assert events.take() == []
