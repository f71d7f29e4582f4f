"""Checkpoints of two-way sessions: what was pushed and what waits to be taken is kept, the caller learns
how many items that is, and a session that is killed at any point gives all results: those that were
taken since the checkpoint twice, and equal each time."""

import asyncio
import json
import random
import textwrap
import time

import pytest
from killing import finish, kill, newest, start

import remotemedia
from remotemedia import Node, Pipeline, _drive

PROGRAM = textwrap.dedent("""
    import asyncio, json, sys
    from remotemedia import Node, Pipeline

    COUNT, mode = 500, sys.argv[1]

    class Threaded(Node):
        stateless = blocking = True

        def process(self, x):
            return x

    class Twice(Node):
        stateless = True

        async def process(self, x):
            await asyncio.sleep(0.0005 * (x % 3))
            yield x
            yield -x

    class Sums(Node):
        total = 0

        def process(self, x):
            self.total = (self.total * 31 + x) % 1000003
            return [x, self.total]

        def save(self):
            return self.total

        def load(self, state):
            self.total = state

    pipeline = Pipeline([Threaded(id="threaded"), Twice(id="twice"), Sums(id="sums")], checkpoint="state",
                        checkpoint_interval_ms=1)

    async def push(session):
        for x in range(session.pushed, COUNT):
            await session.push(x)
            await asyncio.sleep(0.002 if mode == "slow input" else 0)
        session.end()

    async def main():
        async with pipeline.open() as session:
            number = session.pulled
            print(json.dumps([session.pushed, number]), file=sys.stderr)
            pushing = asyncio.create_task(push(session))
            with open("out", "a") as out:
                async for result in session:
                    out.write(json.dumps([number, result]) + "\\n")
                    out.flush()
                    number += 1
                    await asyncio.sleep(0.001 if mode == "slow output" else 0)
            await pushing

    asyncio.run(main())
""")


def expected():
    total, results = 0, []
    for x in (y for x in range(500) for y in (x, -x)):
        total = (total * 31 + x) % 1000003
        results.append([x, total])
    return results


@pytest.mark.parametrize("mode", ["slow input", "slow output", "both fast"])
def test_a_session_that_is_killed_anywhere_gives_all_results(tmp_path, mode):
    choose, kills = random.Random(mode), 0
    for _ in range(6):
        child = start(tmp_path, PROGRAM, mode)
        first = newest(tmp_path) + 1
        until = [None]

        def is_time(first=first, until=until):
            if until[0] is None and newest(tmp_path) >= first:
                until[0] = time.monotonic() + choose.random() * 0.15
            return until[0] is not None and time.monotonic() >= until[0]

        try:
            kill(child, is_time)
        except AssertionError:
            assert child.returncode == 0  # it was at its end before
            break
        kills += 1
    if newest(tmp_path):
        pushed, pulled = json.loads(finish(start(tmp_path, PROGRAM, mode)).splitlines()[-1])
        assert pushed > 0 and pulled <= 2 * pushed
    assert kills > 0 and newest(tmp_path) == 0
    lines, wanted = (tmp_path / "out").read_text().splitlines(), expected()
    seen = set()
    for number, result in map(json.loads, lines):
        assert result == wanted[number], number
        seen.add(number)
    assert seen == set(range(len(wanted)))


class Same(Node):
    stateless = True

    def process(self, item):
        return item


def pipeline_of(folder, node=None):
    return Pipeline([node or Same(id="same")], checkpoint=folder / "state", checkpoint_interval_ms=5)


async def wait_for_checkpoints(events, count, what="made"):
    async for event in events:
        count -= event.kind == "checkpoint" and event.what == what
        if count == 0:
            return event


async def leave_behind(folder, items, node=None):
    """A session that is left without its end, with results that nobody took; the first one was."""
    session = pipeline_of(folder, node).open()
    events = session.events()
    async with session:
        for item in items:
            await session.push(item)
        assert await anext(session) == items[0]
        assert (session.pushed, session.pulled) == (len(items), 1)
        await wait_for_checkpoints(events, 2)  # the second one was begun after all of that


def test_what_was_pushed_and_what_waits_is_in_the_checkpoint(tmp_path):
    items = [*range(30), (1, 2), {"a": [None]}, "last"]

    async def use():
        await leave_behind(tmp_path, items)
        async with pipeline_of(tmp_path).open() as session:
            assert (session.pushed, session.pulled) == (len(items), 1)
            session.end()
            return [result async for result in session], session.pulled

    results, pulled = asyncio.run(asyncio.wait_for(use(), 60))
    assert results == items[1:] and pulled == len(items)
    assert newest(tmp_path) == 0  # it has ended well


@pytest.mark.parametrize("last", ["sink", "results"])
def test_an_input_that_had_ended_has_all_that_was_pushed(tmp_path, last):
    class Gate(Same):
        def process(self, item):
            time.sleep(0.01)
            if item == 90 and not again:
                raise ValueError("enough")
            return {"item": item}

    async def use():
        sink = [Node("json.write", path=str(tmp_path / "out"))] if last == "sink" else []
        pipeline = Pipeline([Gate(id="gate"), *sink], checkpoint=tmp_path / "state", checkpoint_interval_ms=5)
        async with pipeline.open() as session:
            async def push():
                for item in range(session.pushed, 100):
                    await session.push(item)
                session.end()

            pushing = asyncio.create_task(push())
            results = [] if sink else [result["item"] async for result in session]
            await pushing
            while session._stream.session.state not in _drive.OVER:
                await asyncio.sleep(0.005)
            return session.pushed, results

    again = False
    with pytest.raises(ValueError, match="enough"):
        asyncio.run(asyncio.wait_for(use(), 60))
    again = True
    pushed, results = asyncio.run(asyncio.wait_for(use(), 60))
    assert pushed == 100
    if last == "sink":
        results = [json.loads(line)["item"] for line in (tmp_path / "out").read_text().splitlines()]
        assert results == list(range(100))
    else:
        assert results == list(range(results[0], 100)) and results[0] < 90


def test_a_stream_goes_on_with_the_same_input(tmp_path):
    async def use():
        await leave_behind(tmp_path, list(range(20)))
        return [result async for result in pipeline_of(tmp_path).stream(iter(range(25)))]

    assert asyncio.run(asyncio.wait_for(use(), 60)) == list(range(1, 25))


def test_what_has_no_form_is_told_and_the_session_goes_on(tmp_path):
    async def use():
        session = pipeline_of(tmp_path).open()
        events = session.events()
        async with session:
            thing = object()
            await session.push(thing)
            event = await wait_for_checkpoints(events, 1, "failed")
            assert await anext(session) is thing
            await wait_for_checkpoints(events, 1)
            return event

    event = asyncio.run(asyncio.wait_for(use(), 60))
    assert "saving node 'output': what waits there: a object would not come back" in event.error


class Stops(Same):
    def process(self, item):
        time.sleep(0.002)
        if item == 40:
            raise ValueError("enough")
        return item


def test_a_checkpoint_of_a_run_is_none_of_a_session_and_the_other_way_round(tmp_path):
    with pytest.raises(ValueError, match="enough"):
        asyncio.run(pipeline_of(tmp_path, Stops(id="same")).run(list(range(1000))))
    with pytest.raises(remotemedia.PipelineError, match="was not of a two-way session then") as caught:
        asyncio.run(leave_behind(tmp_path, [1], Stops(id="same")))
    assert caught.value.code == 410
    (tmp_path / "other").mkdir()
    asyncio.run(leave_behind(tmp_path / "other", [1, 2]))
    with pytest.raises(remotemedia.PipelineError, match="was of a two-way session then") as caught:
        asyncio.run(pipeline_of(tmp_path / "other").run([1, 2]))
    assert caught.value.code == 410
