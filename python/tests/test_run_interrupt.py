"""An interrupt reaches a node's own state: interrupt() is called after the work at hand and before the
next item, and nothing of what the node collected before comes out."""

import asyncio
import contextvars
import json
import threading

import pytest
from running import Call, in_loop, plan_of, untranslated, until  # noqa: F401

from remotemedia import _drive


class Words:
    """Collects words until a full stop; says whether two of its methods ever ran at once."""

    def __init__(self):
        self.words = []
        self.calls = []
        self.interrupts = 0
        self.overlaps = 0
        self.at_work = threading.Lock()

    def take(self, word):
        self.alone("process")
        if word != ".":
            self.words.append(word)
            return None
        sentence, self.words = " ".join(self.words), []
        return sentence

    def reset(self):
        self.alone("interrupt")
        self.words = []
        self.interrupts += 1

    def alone(self, what):
        if not self.at_work.acquire(blocking=False):
            self.overlaps += 1
            return
        self.calls.append(what)
        self.at_work.release()


class Sync(Words):
    def process(self, word):
        return self.take(word)

    def interrupt(self):
        self.reset()


class Generator(Words):
    def process(self, word):
        yield self.take(word)

    def interrupt(self):
        self.reset()


class Coroutine(Words):
    async def process(self, word):
        await asyncio.sleep(0)
        return self.take(word)

    def interrupt(self):
        self.reset()


class AsyncGenerator(Words):
    async def process(self, word):
        yield self.take(word)
        await asyncio.sleep(0)

    async def interrupt(self):
        await asyncio.sleep(0)
        self.reset()


class AsyncHookOfSync(Sync):
    async def interrupt(self):
        await asyncio.sleep(0)
        self.reset()


class Streaming(Words):
    """Keeps its words where no method reaches them."""

    is_streaming = True
    ended = 0

    async def process(self, stream):
        words = []
        try:
            async for word in stream:
                self.calls.append("process")
                words.append(word)
                if word == ".":
                    yield " ".join(words[:-1])
                    words = []
        finally:
            self.ended += 1

    def interrupt(self):
        self.reset()


KINDS = [Sync, Generator, Coroutine, AsyncGenerator, AsyncHookOfSync, Streaming]


def stream_of(*nodes, **options):
    return _drive.Stream(plan_of(*nodes, **options), ["feed"], ["out"])


@pytest.mark.parametrize("blocking", [None, False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_that_was_collected_comes_out_after_an_interrupt(kind, blocking):
    node = kind()

    async def main():
        async with stream_of(node, blocking=blocking) as stream:
            for round in range(3):
                node.calls.clear()
                await stream.push("feed", "old")
                await until(lambda: node.calls == ["process"])
                stream.interrupt("n0")
                await until(lambda: node.interrupts == round + 1)  # without a further item
                await stream.push("feed", f"new{round}")
                await stream.push("feed", ".")
                assert await stream.pull("out") == f"new{round}"
            stream.end("feed")

    in_loop(main())
    assert node.overlaps == 0
    assert node.calls == ["process", "interrupt", "process", "process"]


@pytest.mark.parametrize("from_node", ["n0", None])
@pytest.mark.parametrize("kind", KINDS)
def test_an_item_pushed_at_once_after_an_interrupt_is_not_lost(kind, from_node):
    node = kind()

    async def main():
        async with stream_of(node) as stream:
            await stream.push("feed", "old")
            await until(lambda: node.calls == ["process"])
            stream.interrupt(from_node)
            await stream.push("feed", "new")
            await stream.push("feed", ".")
            assert await stream.pull("out") == "new"
            stream.end("feed")

    in_loop(main())
    assert node.interrupts == 1


@pytest.mark.parametrize("kind", KINDS)
def test_the_end_of_the_input_finds_the_node_reset(kind):
    """The interrupt comes together with the end: flush() has nothing to say."""
    node = kind()
    node.flush = lambda: " ".join(node.words) or None

    async def main():
        async with stream_of(node) as stream:
            await stream.push("feed", "old")
            await until(lambda: node.calls == ["process"])
            stream.interrupt("n0")
            stream.end("feed")
            with pytest.raises(StopAsyncIteration):
                print(await stream.pull("out"))

    in_loop(main())
    assert node.interrupts == 1


def test_nodes_behind_are_reset_and_nodes_before_are_not():
    first, second, third = Sync(), Sync(), Coroutine()

    async def main():
        async with stream_of(first, second, third) as stream:
            stream.interrupt("n1")
            await until(lambda: third.interrupts == 1)

    in_loop(main())
    assert (first.interrupts, second.interrupts) == (0, 1)


@pytest.mark.parametrize("from_node", ["n0", None])
def test_results_that_wait_to_be_pulled_are_gone_at_once(from_node):
    seen = []

    async def main():
        async with stream_of(Call(lambda x: seen.append(x) or x)) as stream:
            for item in ("old", "older"):
                await stream.push("feed", item)
            await until(lambda: len(seen) == 2)
            for _ in range(100):
                await asyncio.sleep(0)
            stream.interrupt(from_node)
            await stream.push("feed", "new")
            assert await stream.pull("out") == "new"

    in_loop(main())


def test_what_was_pushed_and_not_taken_yet_dies_with_an_interrupt_from_the_input_on():
    gate = asyncio.Event()

    async def process(item):
        await gate.wait()
        return item

    async def main():
        async with stream_of(Call(process)) as stream:
            fill = asyncio.create_task(push_all(stream, range(1000)))
            for _ in range(100):
                await asyncio.sleep(0)
            fill.cancel()
            stream.interrupt()
            gate.set()
            await stream.push("feed", "new")
            assert await stream.pull("out") == "new"

    async def push_all(stream, items):
        for item in items:
            await stream.push("feed", item)

    in_loop(main())


def test_a_call_that_waits_is_cancelled_first():
    class Node:
        log = []

        async def process(self, item):
            try:
                self.log.append("process")
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                await asyncio.sleep(0)  # what it does on its way out is waited for
                self.log.append("cancelled")
                raise

        async def interrupt(self):
            self.log.append("interrupt")
            assert asyncio.current_task().cancelling() == 0
            await asyncio.sleep(0)
            self.log.append("done")

    async def main():
        async with stream_of(Node()) as stream:
            await stream.push("feed", 1)
            await until(lambda: Node.log)
            stream.interrupt("n0")
            await until(lambda: "done" in Node.log)

    in_loop(main())
    assert Node.log == ["process", "cancelled", "interrupt", "done"]


@pytest.mark.parametrize("as_callback", [False, True])
@pytest.mark.parametrize("count", [1, 3])
def test_who_waits_for_a_plain_future_is_told_before_interrupt_returns(count, as_callback):
    """As a node's Task, in its context, and whoever interrupted is the current task again."""
    name = contextvars.ContextVar("name")

    class Node:
        def __init__(self):
            self.log = []

        async def process(self, item):
            name.set("node")
            if item < count:
                return  # the Task goes on by itself with the next one
            try:
                self.log.append("waits")
                self.task = asyncio.current_task()
                await asyncio.sleep(60)
            finally:
                assert asyncio.current_task() is self.task
                assert self.task.cancelling() == 1
                self.log.append(name.get())

        def interrupt(self):
            self.log.append("told")

    async def main():
        node, told = Node(), asyncio.get_running_loop().create_future()

        def interrupt():
            mine = asyncio.current_task() if not as_callback else None
            stream.interrupt()
            assert node.log == ["waits", "node", "told"]
            assert name.get(None) is None
            assert as_callback or asyncio.current_task() is mine
            told.set_result(node.task.cancelling())

        async with stream_of(node) as stream:
            for item in range(1, count + 1):
                await stream.push("feed", item)
            await until(lambda: node.log)
            await asyncio.sleep(0.01)  # its Task has begun
            if as_callback:
                asyncio.get_running_loop().call_soon(interrupt)
            else:
                interrupt()
            assert await told == 0  # the Task lives on
            [numbers] = [n for n in json.loads(stream.session.numbers().json())["nodes"] if n["id"] == "n0"]
            assert numbers["errors"] == 0  # it did as it was asked to

    in_loop(main())


def test_who_waits_for_something_with_an_end_of_its_own_is_told_after_that():
    class Node:
        log = []

        async def inner(self):
            try:
                self.log.append("waits")
                await asyncio.sleep(60)
            finally:
                await asyncio.sleep(0)
                self.log.append("inner")

        async def process(self, item):
            await asyncio.gather(self.inner(), self.inner())

        def interrupt(self):
            self.log.append("told")

    async def main():
        async with stream_of(Node()) as stream:
            await stream.push("feed", 1)
            await until(lambda: len(Node.log) == 2)
            stream.interrupt()
            assert len(Node.log) == 2
            await until(lambda: "told" in Node.log)

    in_loop(main())
    assert Node.log == ["waits", "waits", "inner", "inner", "told"]


@pytest.mark.parametrize("is_generator", [False, True])
def test_a_call_on_a_thread_ends_first_and_its_result_is_dropped(is_generator):
    began, go_on = threading.Event(), threading.Event()
    node = Sync()

    def work(item):
        if item == "old":
            began.set()
            assert go_on.wait(30)
        return item

    def produce(item):
        yield work(item)
        yield work(item)

    node.process = produce if is_generator else work

    async def main():
        async with stream_of(node, Call(lambda x: x), blocking=True) as stream:
            await stream.push("feed", "old")
            await until(began.is_set)
            stream.interrupt("n0")
            for _ in range(100):
                await asyncio.sleep(0)
            assert node.interrupts == 0  # one call at a time
            go_on.set()
            await until(lambda: node.interrupts == 1)
            await stream.push("feed", "new")
            assert await stream.pull("out") == "new"

    in_loop(main())


def test_an_async_generator_between_two_items_is_closed():
    log = []

    class Node:
        async def process(self, item):
            try:
                for i in range(1000):
                    yield (item, i)
            finally:
                await asyncio.sleep(0)
                log.append("closed")

        def interrupt(self):
            log.append("interrupt")

    async def main():
        async with stream_of(Node()) as stream:
            await stream.push("feed", "old")
            await stream.pull("out")
            stream.interrupt("n0")
            await until(lambda: len(log) == 2)
            await stream.push("feed", "new")
            assert await stream.pull("out") == ("new", 0)

    in_loop(main())
    assert log[:2] == ["closed", "interrupt"]


def test_a_streaming_node_that_only_waits_begins_anew():
    node = Streaming()

    async def main():
        async with stream_of(node) as stream:
            for n in range(3):
                node.calls.clear()
                await stream.push("feed", "old")
                await until(lambda: node.calls == ["process"])
                stream.interrupt("n0")
                await until(lambda n=n: node.ended == n + 1)

    in_loop(main())
    assert node.ended >= 3


def test_a_source_is_told_before_its_next_item():
    log = []

    class Source:
        async def process(self):
            for i in range(1000):
                log.append(i)
                yield i

        async def interrupt(self):
            await asyncio.sleep(0)
            log.append("interrupt")

    async def main():
        plan = plan_of(Source(), feed=False)
        async with _drive.Stream(plan, [], ["out"]) as stream:
            await stream.pull("out")
            stream.interrupt("n0")
            await until(lambda: "interrupt" in log)
            at = log.index("interrupt")
            last = log[at - 1]
            while (got := await stream.pull("out")) < last:
                pass
            assert got - last < 2  # it goes on with its next item

    in_loop(main())


@pytest.mark.parametrize("blocking", [False, True])
@pytest.mark.parametrize("is_async", [False, True])
def test_what_the_hook_raises_is_an_error_of_the_node(is_async, blocking):
    node = Sync()

    def fail():
        raise LookupError("reset failed")

    async def fail_later():
        await asyncio.sleep(0)
        fail()

    node.interrupt = fail_later if is_async else fail

    async def main():
        async with stream_of(node, blocking=blocking) as stream:
            await stream.push("feed", "a")
            await until(lambda: node.calls)
            stream.interrupt("n0")
            with pytest.raises(LookupError, match="reset failed"):
                await stream.pull("out")

    in_loop(main())


def test_interrupts_in_a_row_and_in_the_middle_of_one_are_safe():
    """A hook that waits is cancelled by the next interrupt, and called anew."""
    begun, ended = [], []

    class Node:
        async def process(self, item):
            return item

        async def interrupt(self):
            begun.append(1)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            ended.append(1)

    async def main():
        async with stream_of(Node()) as stream:
            for _ in range(20):
                stream.interrupt("n0")
                for _ in range(3):
                    await asyncio.sleep(0)
            await until(lambda: ended)
            await stream.push("feed", "x")
            assert await stream.pull("out") == "x"

    in_loop(main())
    assert len(begun) >= len(ended) >= 1
