"""Records by the SDK: a run with Python nodes of every kind comes out the same again; one that does
otherwise is named; what cannot be kept, and a record of another pipeline, are refused."""

import asyncio
import random
import time

import numpy as np
import pytest

from remotemedia import Node, NodeError, Pipeline
from remotemedia.errors import PipelineError

ITEMS = list(range(1, 120))


class Slow(Node):
    """Sync: on a thread, later on the loop, and back."""

    def process(self, x):
        if random.random() < 0.05:
            time.sleep(0.003)
        return x + 1


class Burst(Node):
    def process(self, x):
        for i in range(x % 4):
            if random.random() < 0.03:
                time.sleep(0.002)
            yield x * 10 + i


class Waits(Node):
    async def process(self, x):
        if random.random() < 0.3:
            await asyncio.sleep(random.random() * 0.002)
        return x * 3 % 1009


class WaitsBetween(Node):
    async def process(self, x):
        for i in range(x % 3):
            if random.random() < 0.2:
                await asyncio.sleep(0.001)
            yield x * 7 + i


class Streams(Node):
    is_streaming = True

    async def process(self, stream):
        total = 0
        async for x in stream:
            total += x
            if random.random() < 0.1:
                await asyncio.sleep(0.001)
            yield total % 997
            if x % 3 == 0:
                yield x


class Sum(Node):
    """Tells the order in which all before came."""

    def __init__(self, **keywords):
        super().__init__(**keywords)
        self.total = 0

    def process(self, x):
        self.total = (self.total * 31 + x) % 1000003
        return self.total

    def flush(self):
        return -self.total


class Flaky(Node):
    def __init__(self, **keywords):
        super().__init__(**keywords)
        self.failed = None

    def process(self, x):
        if x % 5 == 0 and self.failed != x:
            self.failed = x
            raise ConnectionError(f"{x} is not to be had")
        if x % 7 == 0:
            raise ValueError(f"{x} is bad")
        return x


KINDS = [Slow, Burst, Waits, WaitsBetween, Streams, Sum]


def chain(seed):
    choose = random.Random(seed)
    return [choose.choice(KINDS) for _ in range(choose.randint(1, 4))]


def pipeline_of(kinds, **options):
    nodes = [kind(name=f"{kind.__name__}{i}") for i, kind in enumerate(kinds)]
    return Pipeline([*nodes, Sum(name="end")], **options)


@pytest.mark.parametrize("seed", range(12))
def test_a_run_on_a_loop_comes_out_the_same_again(seed, tmp_path):
    kinds, record = chain(seed), tmp_path / "run.rmrec"
    results = asyncio.run(pipeline_of(kinds, record=record).run(ITEMS))
    assert len(results if isinstance(results, list) else [results]) > 0
    assert asyncio.run(pipeline_of(kinds).replay(record)) == results


@pytest.mark.parametrize("kinds", [[Slow, Burst], [Sum, Waits]])
def test_a_run_without_a_loop_comes_out_the_same_again(kinds, tmp_path):
    record = tmp_path / "run.rmrec"
    results = pipeline_of(kinds, record=record).run_sync(ITEMS)
    assert pipeline_of(kinds).replay_sync(record) == results


async def talk(pipeline):
    """A two-way session in which items come and go; what it gave."""
    async with pipeline.open() as session:
        async def push():
            for x in ITEMS:
                await session.push(x)
                if x % 4 == 0:
                    await asyncio.sleep(0.0005)
            session.end()

        pushing = asyncio.create_task(push())
        got = [result async for result in session]
        await pushing
    return got


@pytest.mark.parametrize("seed", range(4))
def test_a_two_way_session_comes_out_the_same_again(seed, tmp_path):
    kinds, record = chain(seed), tmp_path / "run.rmrec"
    results = asyncio.run(talk(pipeline_of(kinds, record=record)))
    assert len(results) > 0
    assert asyncio.run(pipeline_of(kinds).replay(record)) == results


class Counting(Node):
    """Tells how far it had come each time."""

    count = 0

    def on(self):
        self.count += 1
        return self.count


class Plain(Counting):
    def process(self, x):
        return self.on()


class OnThread(Counting):
    blocking = True

    def process(self, x):
        time.sleep(random.random() * 0.001)
        return self.on()


class Gives(Counting):
    def process(self, x):
        for _ in range(x % 7):
            if random.random() < 0.02:
                time.sleep(0.002)
            yield self.on()


class WaitsTwice(Counting):
    interrupts = 0

    async def process(self, x):
        self.on()
        await asyncio.sleep(random.random() * 0.001)
        self.on()
        await asyncio.sleep(random.random() * 0.0005)
        return self.on() * 100 + self.interrupts

    def interrupt(self):
        self.interrupts += 1


class GivesBetween(Counting):
    async def process(self, x):
        try:
            for _ in range(4):
                yield self.on()
                if self.count % 3 == 0:
                    await asyncio.sleep(random.random() * 0.0005)
        finally:
            self.on()


class Follows(Counting):
    is_streaming = True

    async def process(self, stream):
        async for x in stream:
            self.on()
            if x % 4 == 0:
                await asyncio.sleep(random.random() * 0.001)
            yield self.on()
            if x % 3 == 0:
                yield x


async def talk_and_interrupt(pipeline, choose):
    async with pipeline.open() as session:
        async def push():
            for x in ITEMS:
                await session.push(x)
                if choose.random() < 0.3:
                    await asyncio.sleep(choose.random() * 0.0005)
                if choose.random() < 0.08:
                    session.interrupt(choose.choice([None, pipeline.nodes[-1].name]))
            session.end()

        pushing = asyncio.create_task(push())
        got = [result async for result in session]
        await pushing
    return got


@pytest.mark.parametrize("kinds", [[Plain], [OnThread], [Slow], [Gives], [WaitsTwice], [GivesBetween], [Follows],
                                   [Slow, Burst, Waits], [OnThread, Follows], [Gives, WaitsTwice]])
def test_an_interrupted_session_comes_out_the_same_again(kinds, tmp_path):
    for seed in range(4):
        choose, record = random.Random(seed), tmp_path / f"{seed}.rmrec"
        results = asyncio.run(talk_and_interrupt(pipeline_of(kinds, record=record), choose))
        for _ in range(2):
            assert asyncio.run(pipeline_of(kinds).replay(record)) == results


class Steps(Node):
    """Waits twice within an item, for so long that nothing else happens meanwhile."""

    def __init__(self):
        super().__init__()
        self.at = 0

    async def process(self, x):
        for self.at in (1, 2):
            await asyncio.sleep(0.005 if x else 0)
        return x


def test_a_node_that_nothing_else_wakes_comes_as_far_as_it_was_when_interrupted(tmp_path):
    async def talk(node):
        async with Pipeline([node], record=tmp_path / "run.rmrec").open() as session:
            await session.push(1)
            while node.at < 2:
                await asyncio.sleep(0)
            session.interrupt()
            await session.push(0)
            await session.push(0)
            session.end()
            return [result async for result in session]

    results = asyncio.run(talk(Steps()))
    assert results == [0, 0]
    replayed = Pipeline([Steps()]).replay(tmp_path / "run.rmrec")
    assert asyncio.run(asyncio.wait_for(replayed, 20)) == results


def test_branches_come_together_in_the_order_of_then(tmp_path):
    def make(**options):
        first, second, end = Waits(name="first"), Slow(name="second"), Sum(name="end")
        return Pipeline([Slow(name="begin") >> [first, second] >> end], **options)

    record = tmp_path / "run.rmrec"
    results = asyncio.run(make(record=record).run(ITEMS))
    for _ in range(3):
        assert asyncio.run(make().replay(record)) == results


def test_failures_come_again(tmp_path):
    policy = {"policy": "retry", "attempts": 2, "backoff_ms": 0, "then": "skip"}

    def make(**options):
        return Pipeline([Flaky(name="flaky"), Sum(name="end")], on_error=policy, **options)

    record = tmp_path / "run.rmrec"
    results = make(record=record).run_sync(ITEMS)
    assert make().replay_sync(record) == results


@pytest.mark.parametrize("threads", [(True, False), (False, True)])
def test_items_that_are_given_on_are_the_same_from_a_thread_and_from_the_loop(threads, tmp_path):
    class Gate(Flaky):
        def process(self, x):
            return None if x % 3 == 0 else super().process(x) if x % 7 else x

    def make(on_thread, **options):
        Gate.blocking = on_thread
        return Pipeline([Gate(name="gate"), Sum(name="end")], on_error={"policy": "retry", "backoff_ms": 0}, **options)

    record = tmp_path / "run.rmrec"
    results = make(threads[0], record=record).run_sync(ITEMS)
    assert make(threads[1]).replay_sync(record) == results


def test_what_a_node_raised_before_does_not_hide_where_a_replay_differs(tmp_path):
    last = 0

    class Last(Flaky):
        def process(self, x):
            return super().process(x) if x < 14 else last

    def make(**options):
        return Pipeline([Last(name="last")], on_error={"policy": "retry", "backoff_ms": 0, "then": "skip"}, **options)

    record = tmp_path / "run.rmrec"
    make(record=record).run_sync([5, 6, 14])
    last = "other"
    with pytest.raises(NodeError, match="node 'last': packet 3 of 'output' has another payload") as raised:
        make().replay_sync(record)
    assert raised.value.code == 413


def test_native_nodes_and_arrays(tmp_path):
    class Mean(Node):
        def process(self, block):
            samples = block[0] if isinstance(block, tuple) else block
            return np.asarray([np.mean(np.abs(samples)), len(samples)])

    def make(**options):
        return Pipeline([Node("test.tone", duration_ms=200, id="tone"), Mean(name="mean")], **options)

    record = tmp_path / "run.rmrec"
    results = make(record=record).run_sync()
    again = make().replay_sync(record)
    assert len(results) == 10 and all(map(np.array_equal, results, again))


def test_a_node_that_does_otherwise_is_named(tmp_path):
    change = {}

    class Step(Node):
        def process(self, x):
            return change.get(x, x + 1)

    def make(**options):
        return Pipeline([Step(name="step"), Sum(name="end")], **options)

    record = tmp_path / "run.rmrec"
    make(record=record).run_sync(ITEMS)
    change[9] = 0
    with pytest.raises(NodeError, match="packet 9 of .* has another payload") as raised:
        make().replay_sync(record)
    assert (raised.value.node, raised.value.code) == ("step", 413)
    change[9] = None  # nothing
    with pytest.raises(NodeError, match="node 'step'"):
        make().replay_sync(record)
    change.clear()
    change[ITEMS[-1]] = None
    with pytest.raises(NodeError, match="gave fewer packets"):
        make().replay_sync(record)


def test_an_object_without_a_value_is_refused_by_name(tmp_path):
    class Opaque(Node):
        def process(self, x):
            return object()

    with pytest.raises(NodeError, match="node 'opaque'.*would not come back") as raised:
        Pipeline([Opaque(name="opaque")], record=tmp_path / "run.rmrec").run_sync([1])
    assert raised.value.code == 411


def test_a_record_of_another_pipeline_is_refused(tmp_path):
    record = tmp_path / "run.rmrec"
    Pipeline([Slow(name="slow")], record=record).run_sync(ITEMS)
    with pytest.raises(PipelineError, match="planned otherwise"):
        Pipeline([Slow(name="other")]).replay_sync(record)
    data = bytearray(record.read_bytes())
    data[len(data) // 2] ^= 1
    record.write_bytes(data)
    with pytest.raises(PipelineError, match=r"damaged.*\bbyte"):
        Pipeline([Slow(name="slow")]).replay_sync(record)
