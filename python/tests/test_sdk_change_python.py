"""Python nodes that come into a running session and leave it: nothing is lost or doubled, and each
that was initialized is cleaned up once."""

import asyncio
import contextvars
import gc
import os
import subprocess
import sys
import textwrap
import threading
import time
import weakref

import pytest
from remotemedia import Error, Node, NodeError, NodeSpec, Param, Pipeline, PipelineError
from remotemedia.events import Changed

numpy = pytest.importorskip("numpy")

WAIT_S = 20


class Counted(Node):
    """Passes on, and counts what is done with it."""

    def __init__(self, **config):
        super().__init__(**config)
        self.began = self.cleaned = 0
        self.seen = []

    def initialize(self):
        self.began += 1

    def cleanup(self):
        self.cleaned += 1

    def note(self, x):
        assert self.began == 1 and self.cleaned == 0
        self.seen.append(x)
        return x


class Plain(Counted):
    def process(self, x):
        return self.note(x)


class OnThread(Counted):
    blocking = True

    def process(self, x):
        time.sleep(0.0002)
        return self.note(x)


class Generator(Counted):
    def process(self, x):
        yield self.note(x)


class Coroutine(Counted):
    async def initialize(self):
        await asyncio.sleep(0)
        self.began += 1

    async def cleanup(self):
        await asyncio.sleep(0)
        self.cleaned += 1

    async def process(self, x):
        await asyncio.sleep(0.0002)
        return self.note(x)


class AsyncGenerator(Coroutine):
    async def process(self, x):
        await asyncio.sleep(0)
        yield self.note(x)


class Streaming(Coroutine):
    is_streaming = True

    async def process(self, stream):
        async for x in stream:
            yield self.note(x)


class Collecting(Counted):
    """Holds items back until it has four of them."""

    def __init__(self, **config):
        super().__init__(**config)
        self.held = []

    def process(self, x):
        self.held.append(self.note(x))
        return self.flush() if len(self.held) == 4 else None

    def flush(self):
        held, self.held = self.held, []
        yield from held


KINDS = [Plain, OnThread, Generator, Coroutine, AsyncGenerator, Streaming, Collecting]
PASSING = {kind.__name__: kind for kind in KINDS} | {"native": lambda: Node("test.pass")}


async def result(session):
    return await asyncio.wait_for(anext(session), WAIT_S)


async def until(happened):
    async def wait():
        while not happened():
            await asyncio.sleep(0.001)

    await asyncio.wait_for(wait(), WAIT_S)


async def changed_each(session, count, every, change):
    """The results of a session that is fed 0, 1, … and changed after each few of them."""
    changed = asyncio.Event()

    async def feed():
        for item in range(count):
            await session.push(item)
        await changed.wait()
        session.end()

    feeding = asyncio.create_task(feed())
    got = []
    for turn in range(1, count // every - 1):
        got += [await result(session) for _ in range(every)]
        await change(turn)
    changed.set()
    got += [left async for left in session]
    await feeding
    return got


@pytest.mark.parametrize("before", PASSING)
@pytest.mark.parametrize("after", PASSING)
def test_each_kind_in_the_place_of_each_other_loses_and_doubles_nothing(before, after):
    nodes = []

    def make(turn):
        nodes.append(PASSING[(before, after)[turn % 2]]())
        return nodes[-1]

    async def main():
        async with Pipeline([named(make(0), "x")]).open() as session:

            async def replace(turn):
                async with session.change() as change:
                    change.replace("x", make(turn))

            return await changed_each(session, 100, 20, replace)

    assert asyncio.run(main()) == list(range(100))
    ours = [node for node in nodes if isinstance(node, Counted)]
    assert all((node.began, node.cleaned) == (1, 1) for node in ours)
    if len(ours) == len(nodes):
        assert [x for node in nodes for x in node.seen] == list(range(100))


def named(node, id):
    node.id = id
    return node


class Sound(Node):
    """Frames of a 48 kHz stream, of which each sample says its number."""

    def process(self, number):
        return numpy.arange(480 * number, 480 * number + 480, dtype=numpy.float32), 48000


class Numbers(Node):
    def process(self, sound):
        samples = numpy.asarray(sound[0]).reshape(-1)
        assert sound[1] == 48000 and len(samples) == 480
        assert numpy.array_equal(numpy.diff(samples), numpy.ones(479))
        return int(samples[0]) // 480


def test_nodes_of_a_48_khz_stream_are_inserted_replaced_and_removed_without_a_gap():
    """400 frames; a node comes, is another one, and goes, of a kind after the other."""
    kinds = list(PASSING.values())

    async def main():
        async with Pipeline([Sound(id="sound"), Numbers(id="numbers")]).open() as session:

            async def one_change(turn):
                async with session.change() as change:
                    kind = kinds[turn % len(kinds)]
                    if turn % 3 == 1:
                        change.insert(named(kind(), "x"), after="sound")
                    elif turn % 3 == 2:
                        change.replace("x", kind())
                    else:
                        change.remove("x")

            return await changed_each(session, 400, 4, one_change)

    assert asyncio.run(main()) == list(range(400))


def test_a_node_that_cannot_begin_leaves_the_session_as_it_was():
    class Broken(Counted):
        def initialize(self):
            super().initialize()
            raise ValueError("no model")

        def process(self, x):
            return x

    class BrokenLater(Coroutine):
        async def initialize(self):
            await super().initialize()
            raise ValueError("no model")

    class Unmade(Node):
        def __init__(self):
            raise ValueError("no model")

    async def main(kind):
        first, other, broken = Plain(id="x"), Plain(id="y"), kind()
        async with Pipeline([first]).open() as session:
            await session.push(1)
            assert await result(session) == 1
            with pytest.raises(NodeError, match="no model") as raised:
                async with session.change() as change:
                    change.insert(other, after="x")
                    change.replace("x", broken)
            assert isinstance(raised.value, ValueError)
            assert raised.value.node == "x"
            assert (broken.began, broken.cleaned) == (1, 1)
            assert other.began == other.cleaned
            await session.push(2)
            session.end()
            assert [r async for r in session] == [2]
            assert first.seen == [1, 2]
        assert (first.began, first.cleaned) == (1, 1)

    asyncio.run(main(Broken))
    asyncio.run(main(BrokenLater))


class Sum(Node):
    def __init__(self, **config):
        super().__init__(**config)
        self.total = 0

    def process(self, x):
        self.total += x
        return self.total

    def save(self):
        return self.total

    def load(self, total):
        self.total = total

    def flush(self):
        return "flushed"


class LaterSum(Sum):
    async def process(self, x):
        await asyncio.sleep(0)
        return super().process(x)


class Other(Node):
    def process(self, x):
        return -x


def test_state_is_handed_over_where_both_know_it_else_the_node_flushes():
    async def main():
        got = []
        async with Pipeline([Sum(id="sum")]).open() as session:
            for node in (LaterSum(), Sum(), Other(), Sum()):
                await session.push(1)
                got.append(await result(session))
                async with session.change() as change:
                    change.replace("sum", node)
            session.end()
            return got + [r async for r in session]

    assert asyncio.run(main()) == [1, 2, 3, "flushed", -1, "flushed"]


@pytest.mark.parametrize("what", ["save", "load", "flush"])
def test_a_node_that_fails_as_it_goes_stays(what):
    failed = []

    def fail(self, *args):
        if not failed:
            failed.append(what)
            raise ValueError("cannot")

    Failing = type("Failing", (Sum,), {what: fail})
    nodes = Failing(id="sum"), Failing() if what != "flush" else Other()

    async def main():
        async with Pipeline([nodes[0]]).open() as session:
            await session.push(1)
            assert await result(session) == 1
            with pytest.raises(NodeError, match="cannot") as raised:
                async with session.change() as change:
                    change.replace("sum", nodes[1])
            assert isinstance(raised.value, ValueError) and raised.value.node == "sum"
            await session.push(1)
            assert await result(session) == 2
            session.end()
            assert [r async for r in session] == ["flushed"] * (what != "flush")

    asyncio.run(main())


def test_a_change_waits_for_the_coroutine_at_work_and_for_no_further_one():
    class Waiting(Coroutine):
        at_work = 0

        async def process(self, x):
            self.at_work += 1
            await self.gate.wait()
            return self.note(x)

    async def main():
        old, new = Waiting(id="x"), Plain()
        old.gate = asyncio.Event()
        async with Pipeline([old]).open() as session:
            for x in range(10):
                await session.push(x)
            await until(lambda: old.at_work)
            changing = asyncio.create_task(replaced(session, "x", new))
            await until(lambda: new.began)
            await asyncio.sleep(0.01)
            assert not changing.done() and old.at_work == 1
            old.gate.set()
            await asyncio.wait_for(changing, WAIT_S)
            session.end()
            assert [r async for r in session] == list(range(10))
        assert (old.seen, new.seen) == ([0], list(range(1, 10)))
        assert old.cleaned == new.cleaned == 1

    asyncio.run(main())


async def replaced(session, id, node):
    async with session.change() as change:
        change.replace(id, node)
    return change.pause_ns


def test_a_coroutine_that_never_ends_its_item_refuses_the_change_and_goes_on():
    class Endless(Coroutine):
        at_work = False

        async def process(self, x):
            self.at_work = True
            if x == 0:
                await self.gate.wait()
            return self.note(x)

    async def main():
        old, new = Endless(id="x"), Plain()
        old.gate = asyncio.Event()
        async with Pipeline([old]).open() as session:
            await session.push(0)
            await session.push(1)
            await until(lambda: old.at_work)
            with pytest.raises(PipelineError, match="'x' is within an item"):
                await replaced(session, "x", new)
            assert (new.began, new.cleaned) == (1, 1)
            old.gate.set()
            session.end()
            assert [r async for r in session] == [0, 1]

    asyncio.run(main())


def test_an_interrupt_while_a_change_waits_drops_the_item_at_work_alone():
    class Waiting(Coroutine):
        at_work = False

        async def process(self, x):
            self.at_work = True
            await asyncio.sleep(WAIT_S if x == 0 else 0)
            return self.note(x)

        def interrupt(self):
            self.interrupted = True

    async def main():
        first, old, new = Plain(id="first"), Waiting(id="x"), Waiting()
        async with Pipeline([first, old]).open() as session:
            await session.push(0)
            await until(lambda: old.at_work)
            changing = asyncio.create_task(replaced(session, "x", new))
            await until(lambda: new.began)
            session.interrupt("x")
            await asyncio.wait_for(changing, WAIT_S)
            for x in range(1, 5):
                await session.push(x)
            assert [await result(session) for _ in range(4)] == [1, 2, 3, 4]
            session.interrupt("x")
            await session.push(5)
            session.end()
            assert [r async for r in session] == [5]
            assert new.interrupted
        assert old.cleaned == new.cleaned == 1

    asyncio.run(main())


class Counting(Node):
    """A source."""

    def __init__(self, begin, end, **config):
        super().__init__(**config)
        self.begin, self.end = begin, end
        self.given = []

    def process(self):
        for x in range(self.begin, self.end):
            self.given.append(x)
            yield x


class ThreadCounting(Counting):
    blocking = True

    def process(self):
        for x in super().process():
            time.sleep(0.001)
            yield x


class AsyncCounting(Counting):
    async def process(self):
        try:
            for x in Counting.process(self):
                yield x
                await asyncio.sleep(0.001)
        finally:
            self.ended = asyncio.current_task() is not None


@pytest.mark.parametrize("kind", [Counting, ThreadCounting, AsyncCounting])
def test_a_source_is_replaced_and_what_it_has_made_goes_on(kind):
    async def main():
        old, new = kind(0, 10**9, id="x"), kind(-5, 0)
        async with Pipeline([old, Plain(id="y")]).open() as session:
            got = [await result(session) for _ in range(50)]
            await asyncio.wait_for(replaced(session, "x", new), WAIT_S)
            return old, got + [r async for r in session]

    old, got = asyncio.run(main())
    assert got == [*range(len(got) - 5), -5, -4, -3, -2, -1]
    assert len(got) > 50 and len(got) - 5 >= len(old.given) - 1  # one may have been at work
    assert kind is not AsyncCounting or old.ended


def test_context_and_task_are_the_new_node_s_own():
    name = contextvars.ContextVar("name", default="none")

    class Mine(Coroutine):
        async def initialize(self):
            await super().initialize()
            self.task = asyncio.current_task()
            name.set(id(self))

        async def process(self, x):
            assert asyncio.current_task() is self.task and name.get() == id(self)
            async with asyncio.timeout(10):
                await asyncio.sleep(0)
            return self.task.get_name()

        async def cleanup(self):
            assert asyncio.current_task() is self.task and name.get() == id(self)
            await super().cleanup()

    async def main():
        nodes = [Mine(id="x"), Mine(), Mine()]
        async with Pipeline([nodes[0]]).open() as session:
            for node in [*nodes[1:], Plain()]:
                await session.push(0)
                assert await result(session) == "remotemedia:x"
                await replaced(session, "x", node)
        assert len({node.task for node in nodes}) == 3
        assert all(node.task.done() and node.cleaned == 1 for node in nodes)
        assert name.get() == "none"

    asyncio.run(main())


def test_threads_of_a_node_that_is_out_end():
    async def main():
        async with Pipeline([OnThread(id="x")]).open() as session:
            for turn in range(30):
                await session.push(turn)
                assert await result(session) == turn
                await replaced(session, "x", OnThread())
            for _ in range(200):
                if threading.active_count() < 10 and os_threads() < 20:
                    break
                await asyncio.sleep(0.01)
            assert os_threads() < 20

    asyncio.run(main())


def os_threads():
    return len(os.listdir("/proc/self/task"))


def test_a_change_is_of_its_session_alone():
    async def main():
        shared = Counted_everywhere(id="x")
        pipeline = Pipeline([shared, Plain(id="y")])
        async with pipeline.open() as first, pipeline.open() as second:
            async with first.change() as change:
                change.replace(shared, Other())
            await first.push(1)
            await second.push(1)
            assert (await result(first), await result(second)) == (-1, 1)
            assert shared.cleaned == 0
            async with second.change() as change:
                change.remove("x")
            assert shared.cleaned == 1
            async with pipeline.open() as third:
                await third.push(7)
                assert await result(third) == 7
        assert shared.cleaned == 2 and pipeline.node_ids == ["x", "y"]

    class Counted_everywhere(Node):
        cleaned = 0

        def process(self, x):
            return x

        def cleanup(self):
            self.cleaned += 1

    asyncio.run(main())


def test_changes_are_told_and_counted():
    async def main():
        session = Pipeline([Plain(id="x")]).open()
        events = session.events()
        async with session:
            await session.push(1)
            assert await result(session) == 1
            async with session.change() as change:
                change.replace("x", Coroutine())
                change.insert(Generator(id="y"), after="x")
            assert change.pause_ns > 0
            await session.push(2)
            assert await result(session) == 2
            items = {node.id: node.items for node in session.metrics.nodes}
            async with session.change() as change:
                change.remove("y")
            session.end()
            assert [r async for r in session] == []
        told = [event async for event in events if isinstance(event, Changed)]
        assert [(e.node, e.what) for e in told] == [
            ("x", "replace"), ("y", "insert"), ("y", "remove"),
        ]  # fmt: skip
        assert items == {"x": 2, "y": 1}

    asyncio.run(main())


def test_the_number_of_an_item_goes_on_behind_a_change():
    class Picky(Node):
        def process(self, x):
            return 1 / x

    async def main():
        async with Pipeline([Plain(id="x")]).open() as session:
            for x in (1, 2, 3):
                await session.push(x)
                await result(session)
            await replaced(session, "x", Picky())
            await session.push(0)
            with pytest.raises(ZeroDivisionError) as raised:
                await result(session)
            assert (raised.value.node, raised.value.item) == ("x", 4)

    asyncio.run(main())


def test_a_live_object_is_in_a_session_once():
    async def main():
        node = Plain(id="x")
        async with Pipeline([node]).open() as session:
            with pytest.raises(PipelineError, match="is in this session already, as 'x'"):
                async with session.change() as change:
                    change.insert(node, after="x")
            with pytest.raises(PipelineError, match="is not in this session"):
                async with session.change() as change:
                    change.remove(Plain())

    asyncio.run(main())


class Scale(Node):
    def __init__(self, factor=1, **config):
        super().__init__(**config)
        self.factor = factor

    def process(self, x):
        return self.factor * x


class Strict(Node):
    def __init__(self):
        super().__init__()

    def process(self, x):
        return x


def test_a_class_by_its_name_comes_in_and_another_one_has_its_parameters():
    async def main():
        async with Pipeline([Plain(id="x")]).open() as session:
            await replaced(session, "x", Node(f"{__name__}:Scale", factor=2))
            await session.push(1)
            got = [await result(session)]
            async with session.change() as change:
                change.set_params("x", factor=3)
            await session.push(1)
            got.append(await result(session))
            with pytest.raises(PipelineError, match="cannot be made of these parameters"):
                await replaced(session, "x", Node(f"{__name__}:Strict", nonsense=2))
            await session.push(1)
            return [*got, await result(session)]

    assert asyncio.run(main()) == [2, 3, 3]


def test_two_hundred_changes_keep_no_node_alive():
    known = weakref.WeakSet()

    def make(turn):
        node = (Plain, Coroutine, Streaming, AsyncGenerator)[turn % 4]()
        known.add(node)
        return node

    async def main():
        async with Pipeline([Plain(id="y"), Plain(id="x")]).open() as session:
            tasks = None
            for turn in range(200):
                await replaced(session, "x", make(turn))
                await session.push(turn)
                assert await result(session) == turn
                if turn == 20:
                    gc.collect()
                    tasks = len(asyncio.all_tasks())
            gc.collect()
            assert len(known) == 1  # the one that runs
            assert len(asyncio.all_tasks()) <= tasks + 1

    asyncio.run(main())
    gc.collect()
    assert len(known) == 0


class Slow(Counted):
    """Takes its time to begin."""

    async def initialize(self):
        self.began += 1
        self.begun = asyncio.Event()
        try:
            await asyncio.sleep(60)
        finally:
            self.left = True

    def process(self, x):
        return x


@pytest.mark.parametrize("how", ["caller", "session"])
def test_a_change_that_is_cancelled_leaves_nothing(how):
    async def main():
        old, new = Plain(id="x"), Slow()
        async with Pipeline([old]).open() as session:
            changing = asyncio.create_task(replaced(session, "x", new))
            await until(lambda: new.began)
            if how == "caller":
                changing.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await changing
                assert new.left and new.cleaned == 1
                await replaced(session, "x", Generator())
                await session.push(1)
                assert await result(session) == 1
                assert old.cleaned == 1
        if how == "session":
            with pytest.raises(RuntimeError, match="ended before it was changed"):
                await changing
        assert new.left and new.cleaned == 1 and old.cleaned == 1

    asyncio.run(main())


def test_ctrl_c_within_a_change_cleans_everything_up():
    program = """
        import asyncio, os, signal
        from remotemedia import Node, Pipeline

        class Slow(Node):
            def __init__(self, name, **config):
                super().__init__(**config)
                self.tag = name
            async def initialize(self):
                print(self.tag, "begins", flush=True)
                if self.tag == "new":
                    asyncio.get_running_loop().call_later(0.05, os.kill, os.getpid(), signal.SIGINT)
                    await asyncio.sleep(60)
            def process(self, x):
                return x
            async def cleanup(self):
                await asyncio.sleep(0)
                print(self.tag, "ends", flush=True)

        async def main():
            async with Pipeline([Slow("old", id="x")]).open() as session:
                await session.push(1)
                async with session.change() as change:
                    change.replace("x", Slow("new"))

        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            print("interrupted", flush=True)
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=60
    )
    assert run.stderr == ""
    assert run.stdout.split("\n")[:-1] == [
        "old begins", "new begins", "new ends", "old ends", "interrupted",
    ]  # fmt: skip


def test_several_changes_at_once_are_made_one_after_the_other():
    async def main():
        async with Pipeline([Plain(id="x")]).open() as session:
            for number in range(5):
                await session.push(number)
            changes = [replaced(session, "x", kind()) for kind in KINDS]
            assert min(await asyncio.gather(*changes)) > 0
            session.end()
            assert [r async for r in session] == list(range(5))

    asyncio.run(main())


def test_results_have_room_while_a_change_waits():
    """Who changes pulls nothing meanwhile; the item at work has more results than there is room."""

    class Many(Counted):
        def process(self, x):
            for number in range(1000):
                yield 1000 * x + number

    async def main():
        async with Pipeline([Many(id="x")]).open() as session:
            await session.push(0)
            await session.push(1)
            got = [await result(session)]
            await replaced(session, "x", Plain())
            session.end()
            return got + [r async for r in session]

    got = asyncio.run(main())
    assert got in ([*range(1000), 1], list(range(2000)))


class Gain(Node):
    factor = 1

    def process(self, x):
        return self.factor * x

    def set_params(self, factor):
        if factor < 0:
            raise ValueError("a gain below zero")
        self.factor = factor


class ThreadGain(Gain):
    blocking = True


class AsyncGain(Gain):
    async def process(self, x):
        await asyncio.sleep(0)
        return super().process(x)


@pytest.mark.parametrize("kind", [Gain, ThreadGain, AsyncGain])
def test_an_object_that_takes_parameters_gets_them_while_it_runs(kind):
    async def main():
        session = Pipeline([kind(id="gain"), Plain(id="plain")]).open()
        events = session.events()
        async with session:
            await session.push(1)
            got = [await result(session)]
            session.set_params("gain", factor=5)
            await session.push(1)
            got.append(await result(session))
            with pytest.raises(Error, match="below zero"):
                session.set_params("gain", factor=-1)
            with pytest.raises(Error):
                session.set_params("gain", other=1)
            with pytest.raises(Error, match="factor"):
                session.set_params("plain", factor=1)
            await session.push(1)
            got.append(await result(session))
        told = [event async for event in events if isinstance(event, Changed)]
        return got, [(event.node, event.what) for event in told]

    assert asyncio.run(main()) == ([1, 5, 5], [("gain", "params")])


class Table(Counted):
    """Its parameter is an object that no manifest can hold."""

    def __init__(self, table=None, **config):
        super().__init__(**config)
        self.table = table or (lambda x: x)

    def process(self, x):
        first = self.table
        time.sleep(0.0002)
        assert self.table is first, "set within an item"
        return self.table(self.note(x))

    def set_params(self, table):
        if not callable(table):
            raise TypeError(f"a table is a {type(table).__name__}, want a function")
        self.table = table


class ThreadTable(Table):
    blocking = True


class AsyncTable(Table):
    async def process(self, x):
        first = self.table
        await asyncio.sleep(0.0002)
        assert self.table is first, "set within an item"
        return self.table(self.note(x))


TABLES = [Table, ThreadTable, AsyncTable]


@pytest.mark.parametrize("kind", TABLES)
def test_nodes_whose_parameters_no_manifest_holds_come_in_are_replaced_and_set(kind):
    """Each turn adds 1,000: what comes out says by which table it came, and none came by two."""

    def adding(turn):
        return lambda x: x + 1000 * turn

    async def main():
        tables = [kind(adding(0), id="table")]
        async with Pipeline([tables[0]]).open() as session:

            async def change_it(turn):
                async with session.change() as change:
                    if turn % 3 == 0:
                        tables.append(kind(adding(turn)))
                        change.replace("table", tables[-1])
                    else:
                        change.set_params(tables[-1] if turn % 3 == 1 else "table", table=adding(turn))
                    if turn == 4:
                        change.insert(kind(lambda x: x, id="more"), after="table")

            return await changed_each(session, 200, 20, change_it)

    got = asyncio.run(main())
    assert [x % 1000 for x in got] == list(range(200))
    turns = [x // 1000 for x in got]
    assert turns == sorted(turns) and set(turns) == set(range(9))


@pytest.mark.parametrize("kind", TABLES)
def test_parameters_that_a_node_refuses_refuse_the_change_and_others_get_theirs_back(kind):
    async def main():
        first, second = kind(id="first"), kind(id="second")
        session = Pipeline([first, second]).open()
        events = session.events()
        async with session:
            with pytest.raises(NodeError, match="want a function") as refused:
                async with session.change() as change:
                    change.set_params(first, table=lambda x: -x)
                    change.insert(Node("test.pass", id="more"), after="first")
                    change.set_params("second", table=7)
            assert refused.value.node == "second"
            assert isinstance(refused.value.__cause__, TypeError)
            await session.push(1)
            got = [await result(session)]
            async with session.change() as change:
                change.set_params(first, table=lambda x: -x)
                change.set_params(second, table=lambda x: 2 * x)
            await session.push(1)
            got.append(await result(session))
            assert [node.id for node in session.metrics.nodes][:2] == ["first", "second"]
        told = [event async for event in events if isinstance(event, Changed)]
        return got, [(event.node, event.what) for event in told]

    got, told = asyncio.run(main())
    assert got == [1, -2]
    assert told == [("first", "params"), ("second", "params")]


def test_what_is_to_be_set_stays():
    async def main():
        async with Pipeline([Table(id="x"), Node(f"{__name__}:Scale", id="y", factor=2)]).open() as session:
            with pytest.raises(Error, match="'x' comes or goes with this change"):
                async with session.change() as change:
                    change.set_params("x", table=abs)
                    change.replace("x", Table())
            with pytest.raises(Error, match="'y', parameter 'factor': a object does not fit"):
                async with session.change() as change:
                    change.set_params("y", factor=object())
            session.set_params("x", table=lambda x: x + 1)
            with pytest.raises(TypeError, match="not such as JSON has"):
                session.set_params("y", factor=object())
            await session.push(1)
            return await result(session)

    assert asyncio.run(main()) == 4


class Late(Table):
    async def set_params(self, table):
        self.table = table


class NoAttribute(Table):
    def set_params(self, other):
        self.table = other


def test_a_set_params_that_awaits_or_cannot_be_taken_back_is_refused():
    async def main():
        async with Pipeline([NoAttribute(id="a"), Late(id="b")]).open() as session:
            with pytest.raises(NodeError, match="set_params.. is a plain method"):
                async with session.change() as change:
                    change.set_params("b", table=abs)
            with pytest.raises(NodeError, match="no attribute 'other'") as refused:
                async with session.change() as change:
                    change.set_params("a", other=lambda x: 0)
                    change.set_params("b", table=abs)
            assert refused.value.node == "a"
            await session.push(-1)
            return await result(session)

    assert asyncio.run(main()) == -1


class Named(Node):
    spec = NodeSpec("", params=[Param("factor", "int", live=True, default=1)])

    def __init__(self, factor=1, **config):
        super().__init__(**config)
        self.factor = factor

    def process(self, x):
        return self.factor * x


def test_a_live_parameter_of_a_class_by_its_name_is_set_on_its_node():
    async def main():
        async with Pipeline([Node(f"{__name__}:Named", id="x", factor=2)]).open() as session:
            await session.push(1)
            got = [await result(session)]
            session.set_params("x", factor=5)
            await session.push(1)
            return [*got, await result(session)]

    assert asyncio.run(main()) == [2, 5]
