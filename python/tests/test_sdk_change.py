"""Changes of a running session from Python: nothing is lost, and what is refused changes nothing."""

import asyncio
import gc

import pytest
from remotemedia import Node, Pipeline, PipelineError
from remotemedia._resolve import is_native
from remotemedia.events import Changed

numpy = pytest.importorskip("numpy")
needs_resampler = pytest.mark.skipif(
    not is_native(Node("audio.resample")), reason="built without libsoxr"
)


class Double(Node):
    def process(self, x):
        return 2 * x


def three():
    return Pipeline([Node("test.pass", id="a"), Double(id="double"), Node("test.pass", id="b")])


def newer():
    node = Node("test.pass")
    node.deadline_ms = 60000
    return node


async def pushed(session, numbers):
    for number in numbers:
        await session.push(number)


async def results(session, count):
    return [await asyncio.wait_for(session.__anext__(), 10) for _ in range(count)]


def test_nodes_come_and_go_and_nothing_is_lost():
    async def main():
        async with three().open() as session:
            feed = asyncio.create_task(pushed(session, range(300)))
            got = await results(session, 50)
            async with session.change() as change:
                change.insert(Node("test.pass", id="c"), after="a")
                change.replace("b", newer())
            got += await results(session, 50)
            async with session.change() as change:
                change.remove("c")
                change.insert(Node("test.pass", id="d"), before="b")
            assert change.pause_ns > 0
            got += await results(session, 50)
            async with session.change() as change:
                change.remove("a")
            got += await results(session, 150)
            await feed
            session.end()
            assert [result async for result in session] == []
            return got

    assert asyncio.run(main()) == [2 * x for x in range(300)]


def test_a_change_is_told_and_seen_in_the_metrics():
    async def main():
        session = three().open()
        events = session.events()
        async with session:
            await session.push(1)
            async with session.change() as change:
                change.insert(Node("test.pass", id="c"), after="double", before="b")
            assert await results(session, 1) == [2]
            session.end()
            assert [r async for r in session] == []
        told = [event async for event in events if isinstance(event, Changed)]
        assert [(event.node, event.what) for event in told] == [("c", "insert")]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("node", "says"),
    [
        (Node("test.pass"), "no id"),
        (Node("no.such.type", id="x"), "no.such.type"),
        (Node("wav.write", id="x", path="/nowhere/x.wav"), "wav.write|double"),
    ],
)
def test_what_is_refused_leaves_the_session_as_it_was(node, says):
    async def main():
        async with three().open() as session:
            await session.push(1)
            with pytest.raises(Exception, match=says):
                async with session.change() as change:
                    change.insert(node, after="a", before="double")
            with pytest.raises(Exception, match="no node 'z'"):
                async with session.change() as change:
                    change.remove("z")
            await session.push(2)
            session.end()
            assert [r async for r in session] == [2, 4]

    asyncio.run(main())


def test_what_cannot_be_said_is_refused():
    async def main():
        async with three().open() as session:
            with pytest.raises(PipelineError, match="inputs and outputs stay"):
                async with session.change() as change:
                    change.replace("output", Double())
            with pytest.raises(Exception, match="without set_params..: a change can't set its par"):
                async with session.change() as change:
                    change.set_params("double", factor=3)
            with pytest.raises(PipelineError, match="not open"):
                async with three().open().change() as change:
                    change.remove("a")
            session.end()
            assert [r async for r in session] == []

    asyncio.run(main())


class Tone(Node):
    def process(self, x):
        return numpy.full(480, x, numpy.float32), 48000


class Rate(Node):
    def process(self, sound):
        return sound[1]


@needs_resampler
def test_a_native_node_between_two_python_nodes_gets_packets_and_not_their_objects():
    async def main():
        pipeline = Pipeline([Tone(id="tone"), Rate(id="rate")])
        async with pipeline.open() as session:
            await session.push(0.1)
            assert await results(session, 1) == [48000]
            async with session.change() as change:
                change.insert(Node("audio.resample", id="resample", rate_hz=16000), after="tone")
            for _ in range(20):
                await session.push(0.1)
            got = await results(session, 5)
            async with session.change() as change:
                change.remove("resample")
            await session.push(0.1)
            session.end()
            return got + [result async for result in session]

    rates = asyncio.run(main())
    assert set(rates) == {16000, 48000}  # what still waits before the tone is as the first one
    assert rates == sorted(rates)


def test_many_changes_of_a_graph_with_python_nodes_keep_what_they_need():
    async def main():
        async with three().open() as session:
            for turn in range(20):
                async with session.change() as change:
                    change.replace("a", newer() if turn % 2 else Node("test.pass"))
                three()._plan(fed=True, collected=True, outputs=None)  # the registry's next plan
                gc.collect()
                await session.push(turn)
                assert await results(session, 1) == [2 * turn]
            session.interrupt("a")
            session.end()
            assert [r async for r in session] == []

    asyncio.run(main())


def test_a_node_gets_more_copies_and_fewer_while_it_runs():
    async def main():
        async with three().open() as session:
            feed = asyncio.create_task(pushed(session, range(400)))
            got = await results(session, 50)
            for copies in (2, 4, 3, 1):
                async with session.change() as change:
                    change.replace("a", Node("test.pass", parallel=copies))
                got += await results(session, 50)
            async with session.change() as change:
                change.insert(Node("test.pass", id="c", parallel=2), after="double")
                change.remove("a")
            got += await results(session, 150)
            await feed
            shown = [node.id for node in session.metrics.nodes]
            assert {"c.1", "c.2"} <= set(shown)
            assert not [id for id in shown if id.partition(".")[0] == "a"]
            session.end()
            assert [result async for result in session] == []
            return got

    assert asyncio.run(main()) == [2 * x for x in range(400)]
