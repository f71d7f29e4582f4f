"""Two-way sessions: push, pull, end, interrupt, backpressure."""

import asyncio
import gc

import pytest
from running import Call, in_loop, plan_of, plan_of_rows, run, untranslated  # noqa: F401

from remotemedia import _core, _drive


def stream_of(*nodes, **options):
    return _drive.Stream(plan_of(*nodes, **options), ["feed"], ["out"])


async def rest_of(stream):
    results = []
    try:
        while True:
            results.append(await stream.pull("out"))
    except StopAsyncIteration:
        return results


async def slowly(item):
    await asyncio.sleep(0)
    return item


def test_what_is_pushed_comes_out_in_order():
    async def main():
        async with stream_of(Call(slowly), Call(lambda x: x + 1)) as stream:
            for i in range(5):
                await stream.push("feed", i)
                assert await stream.pull("out") == i + 1
            stream.end("feed")
            assert await rest_of(stream) == []
            with pytest.raises(RuntimeError):
                await stream.push("feed", 1)

    in_loop(main())


@pytest.mark.contract("5 unbounded queues")
def test_push_waits_for_room_and_pull_for_items():
    async def main():
        async with stream_of(Call(slowly)) as stream:
            pushed = []

            async def push():
                for i in range(300):
                    await stream.push("feed", i)
                    pushed.append(i)
                stream.end("feed")

            task = asyncio.create_task(push())
            for _ in range(200):
                await asyncio.sleep(0)
            assert 16 <= len(pushed) < 150  # bounded queues stand between
            assert await rest_of(stream) == list(range(300))
            await task

    in_loop(main())


def test_an_item_that_comes_after_a_pause_is_worked_on_at_once():
    async def main():
        seen, tasks = [], []

        async def note(item):
            tasks.append(asyncio.current_task())
            return item

        async with stream_of(Call(lambda x: seen.append(x) or x), Call(note), blocking=False) as stream:
            await asyncio.sleep(0.02)
            await stream.push("feed", 1)
            assert seen == [1] and len(tasks) == 1
            assert tasks[0] is not asyncio.current_task()  # the node's own
            assert await stream.pull("out") == 1
            await asyncio.sleep(0.02)
            await asyncio.to_thread(lambda: None)
            asyncio.get_running_loop().call_soon(stream.session.push, "feed", 2)  # within no task
            assert await stream.pull("out") == 2
            assert tasks[1] is tasks[0]

    in_loop(main())


def test_who_pushes_one_item_after_another_leaves_the_loop_its_turns():
    async def main():
        turns = 0

        async def count():
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(count())
        async with stream_of(Call(lambda x: None), blocking=False) as stream:
            for i in range(3000):
                await stream.push("feed", i)
            assert turns > 50
        counting.cancel()

    in_loop(main())


def test_an_interrupt_drops_what_is_on_its_way_and_keeps_the_session():
    async def main():
        gate = asyncio.Event()
        cancelled = []

        async def speak(item):
            if item == "hold":
                try:
                    await gate.wait()
                except asyncio.CancelledError:
                    cancelled.append(item)
                    raise
            yield item

        async with stream_of(Call(speak), Call(lambda x: x)) as stream:
            await stream.push("feed", "a")
            assert await stream.pull("out") == "a"
            await stream.push("feed", "hold")
            await asyncio.sleep(0.01)
            stream.interrupt("n0")
            await asyncio.sleep(0.01)
            assert cancelled == ["hold"]
            await stream.push("feed", "b")
            assert await stream.pull("out") == "b"
            with pytest.raises(_core.Error, match="no node 'tts'"):
                stream.interrupt("tts")

    in_loop(main())


def test_an_interrupt_from_the_loop_s_own_thread_has_been_told_when_it_returns():
    async def main():
        told = []

        class Speaks:
            def process(self, item):
                return item

            def interrupt(self):
                told.append(True)

        async with stream_of(Speaks(), blocking=False) as stream:
            await stream.push("feed", 1)
            assert await stream.pull("out") == 1
            stream.interrupt("n0")
            assert told == [True]
            await stream.push("feed", 2)
            assert await stream.pull("out") == 2
            assert told == [True]

    in_loop(main())


class Hears:
    """Interrupts with the first item, and pushes another one. Each `hear` goes on within a task, and after a pause."""

    def __init__(self, whom):
        self.whom, self.stream = whom, None

    async def hear(self, item):
        await asyncio.sleep(0.003)
        if item == 0:
            self.stream.interrupt(self.whom)
            await self.stream.push("feed", 1)
        await asyncio.sleep(0)
        return item


class HearsByCall(Hears):
    async def process(self, item):
        return await self.hear(item)


class HearsByGenerator(Hears):
    async def process(self, item):
        yield await self.hear(item)


class HearsByStream(Hears):
    is_streaming = True

    async def process(self, stream):
        async for item in stream:
            yield await self.hear(item)


@pytest.mark.parametrize("kind", [HearsByCall, HearsByGenerator, HearsByStream])
@pytest.mark.parametrize("whom", ["n0", "n1", None])
def test_a_node_may_push_and_interrupt_from_within(kind, whom):
    async def main():
        told = []

        class Speaks:
            async def process(self, item):
                await asyncio.sleep(0)
                return item

            def interrupt(self):
                told.append(True)

        hears = kind(whom)
        async with stream_of(hears, Speaks()) as stream:
            hears.stream = stream
            await stream.push("feed", 0)
            results = [await stream.pull("out")]
            if whom == "n1":
                results.append(await stream.pull("out"))
            stream.end("feed")
            assert results + await rest_of(stream) == ([0, 1] if whom == "n1" else [1])
            assert told == [True]

    in_loop(main())


def test_an_interrupt_from_the_input_on_drops_what_was_pushed():
    async def main():
        gate = asyncio.Event()

        async def process(item):
            if item < 0:
                await gate.wait()
            return item

        async with stream_of(Call(process)) as stream:
            for i in (-1, -2, -3):
                await stream.push("feed", i)
            await asyncio.sleep(0.01)
            stream.interrupt()
            await asyncio.sleep(0.01)
            await stream.push("feed", 5)
            assert await stream.pull("out") == 5

    in_loop(main())


def test_a_streaming_node_begins_anew_after_an_interrupt():
    class Echo:
        is_streaming = True
        begun = 0

        async def process(self, stream):
            Echo.begun += 1
            async for item in stream:
                if item == "hold":
                    await asyncio.sleep(60)
                yield item

    async def main():
        async with stream_of(Echo()) as stream:
            await stream.push("feed", 1)
            assert await stream.pull("out") == 1
            await stream.push("feed", "hold")
            await asyncio.sleep(0.01)
            stream.interrupt("n0")
            await asyncio.sleep(0.01)
            await stream.push("feed", 2)
            assert await stream.pull("out") == 2
            assert Echo.begun == 2

    in_loop(main())


def test_leaving_early_cancels_and_cleans_up():
    log = []

    class Node:
        async def process(self, item):
            await asyncio.sleep(60)

        async def cleanup(self):
            log.append("cleanup")

    async def main():
        async with stream_of(Node()) as stream:
            await stream.push("feed", 1)
            await asyncio.sleep(0)

    in_loop(main())
    assert log == ["cleanup"]


def test_a_failure_is_raised_where_the_caller_waits():
    def process(item):
        if item == 3:
            raise ValueError("three")
        return item

    async def main():
        async with stream_of(Call(process)) as stream:
            for i in (1, 2, 3):
                await stream.push("feed", i)
            assert await stream.pull("out") == 1
            assert await stream.pull("out") == 2
            with pytest.raises(ValueError, match="three"):
                await stream.pull("out")
            with pytest.raises(ValueError, match="three"):
                await stream.push("feed", 4)

    in_loop(main())


def test_a_failure_that_nobody_saw_is_raised_at_the_end():
    async def main():
        with pytest.raises(ZeroDivisionError):
            async with stream_of(Call(lambda x: 1 / x)) as stream:
                await stream.push("feed", 0)
                await asyncio.sleep(0.05)

    in_loop(main())


def test_an_error_of_the_caller_passes_through():
    async def main():
        with pytest.raises(LookupError):
            async with stream_of(Call(slowly)) as stream:
                await stream.push("feed", 0)
                raise LookupError

    in_loop(main())
    gc.collect()


def test_interrupt_and_cancel_come_from_any_thread():
    async def main():
        loop = asyncio.get_running_loop()

        async def process(item):
            await asyncio.sleep(60)

        async with stream_of(Call(process)) as stream:
            await stream.push("feed", 1)
            await asyncio.sleep(0.01)
            await loop.run_in_executor(None, stream.interrupt, "n0")
            await loop.run_in_executor(None, stream.session.cancel)
            with pytest.raises(_core.Error, match="cancelled"):
                await stream.pull("out")

    in_loop(main())


ARRAY_BYTES = 1 << 20


def array_kinds():
    np = pytest.importorskip("numpy")
    from remotemedia import Audio

    return {
        "bytes": lambda: bytes(ARRAY_BYTES),
        "bytearray": lambda: bytearray(ARRAY_BYTES),
        "array": lambda: np.zeros(ARRAY_BYTES // 4, np.float32),
        "slices": lambda: np.zeros((2, ARRAY_BYTES // 4), np.float32)[:, ::2],
        "audio": lambda: Audio(np.zeros((1, ARRAY_BYTES // 4), np.float32), 48000),
    }


@pytest.mark.parametrize("kind", ["bytes", "bytearray", "array", "slices", "audio"])
def test_a_capacity_in_bytes_holds_for_live_objects(kind):
    """Three items of a megabyte fill an edge of three, which has places for a thousand."""
    make = array_kinds()[kind]

    async def made_while_nobody_takes(capacity):
        made, gate = [], asyncio.Event()

        def produce():
            for number in range(200):
                made.append(number)
                yield make()

        async def take(item):
            await gate.wait()
            return len(memoryview(item[0] if kind == "audio" else item).tobytes())

        nodes = [Call(produce), Call(take)]
        rows = [{"id": "n0", "node_type": "live:N0"}, {"id": "n1", "node_type": "live:N1"},
                {"id": "out", "node_type": "python.collect"}]
        links = [{"from": "n0", "to": "n1", "capacity": capacity}, {"from": "n1", "to": "out"}]
        plan = plan_of_rows(rows, links, nodes, first_is_source=True, blocking=False)
        results = []
        running = asyncio.create_task(_drive.run(plan, {}, {"out": results}))
        for _ in range(1000):
            await asyncio.sleep(0)
        held = len(made)
        gate.set()
        await running
        assert results == [ARRAY_BYTES] * 200
        return held

    held = in_loop(made_while_nobody_takes({"packets": 1000, "bytes": 3 * ARRAY_BYTES}))
    assert held == 4  # one in the consumer's hands, three on the edge
    assert in_loop(made_while_nobody_takes(1000)) == 200


def test_an_object_whose_buffer_cannot_be_had_passes_all_the_same():
    np = pytest.importorskip("numpy")
    dates = np.array(["2020-01-01"], "M8[D]")
    released = memoryview(b"abc")
    released.release()
    assert run([dates, released], Call(lambda x: x)) == [dates, released]
