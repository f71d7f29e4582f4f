"""What process() may be, and what its node sees: task, context, loop."""

import asyncio
import contextvars
import threading
import time

import pytest
from running import Call, arun, in_loop, plan_of, run, untranslated  # noqa: F401

from remotemedia import _core, _drive

VARIABLE = contextvars.ContextVar("variable", default=0)


class Both:
    """Runs a case with and without the caller's loop."""


BOTH = pytest.mark.parametrize(
    "how", [run, lambda *a, **k: in_loop(arun(*a, **k))], ids=["sync", "loop"]
)


class Coroutine:
    async def process(self, item):
        if item % 3 == 0:
            await asyncio.sleep(0)
        return item + 1


class AsyncGenerator:
    async def process(self, item):
        for i in range(item % 4):
            if i == 2:
                await asyncio.sleep(0)
            yield item


class Streaming:
    is_streaming = True

    async def process(self, stream):
        async for item in stream:
            if item % 5 == 0:
                await asyncio.sleep(0)
            yield item
        yield "end"


class Flushing:
    def __init__(self, size):
        self.size, self.items = size, []

    def process(self, item):
        self.items.append(item)
        if len(self.items) == self.size:
            items, self.items = self.items, []
            return items

    def flush(self):
        items, self.items = self.items, []
        return items or None


class AsyncFlushing(Flushing):
    async def flush(self):
        await asyncio.sleep(0)
        return Flushing.flush(self)


def sync_generator(item):
    yield item
    yield None
    yield -item


@pytest.mark.contract("1.3 streaming")
@BOTH
def test_a_sync_process_is_called_for_each_item_in_order(how):
    items = list(range(2000))
    nodes = [Call(lambda x: x + 1)] * 3
    assert how(items, *nodes) == [x + 3 for x in items]


@pytest.mark.contract("1.3 results of run")
@BOTH
def test_none_goes_nowhere_and_falsy_results_stay(how):
    assert how([None, 0, "", [], 1, False], Call(lambda x: x)) == [0, "", [], 1, False]


@pytest.mark.contract("1.3 streaming")
@BOTH
def test_a_generator_is_iterated(how):
    assert how([1, 2], Call(sync_generator)) == [1, -1, 2, -2]


@BOTH
def test_more_than_one_batch_comes_out_of_one_call(how):
    def many(item):
        yield from range(item)

    async def amany(item):
        for i in range(item):
            yield i

    assert how([1000, 3], Call(many)) == [*range(1000), *range(3)]
    assert how([1000, 3], Call(amany)) == [*range(1000), *range(3)]


@pytest.mark.contract("1.3 streaming")
@BOTH
def test_a_coroutine_is_awaited(how):
    items = list(range(100))
    assert how(items, Coroutine(), Coroutine()) == [x + 2 for x in items]


@pytest.mark.contract("1.3 streaming")
@BOTH
def test_an_async_generator_is_iterated(how):
    want = [x for x in range(50) for _ in range(x % 4)]
    assert how(list(range(50)), AsyncGenerator()) == want


@pytest.mark.contract("1.3 streaming")
@BOTH
def test_a_streaming_node_is_one_generator_for_the_whole_stream(how):
    items = list(range(1, 101))
    assert how(items, Streaming()) == [*items, "end"]
    assert how([], Streaming()) == ["end"]
    assert how(items, Streaming(), Call(lambda x: x)) == [*items, "end"]


@pytest.mark.contract("1.3 streaming")
@BOTH
def test_flush_is_called_at_the_end_of_the_input(how):
    assert how([1, 2, 3, 4, 5], Flushing(2)) == [[1, 2], [3, 4], [5]]
    assert how([1, 2, 3, 4], Flushing(2)) == [[1, 2], [3, 4]]
    assert how([1, 2, 3], AsyncFlushing(2), Call(lambda x: x)) == [[1, 2], [3]]


@pytest.mark.contract("1.3 streaming")
@BOTH
def test_a_streaming_node_that_is_no_async_generator_is_named(how):
    class Wrong:
        is_streaming = True

        def process(self, stream):
            return [1]

    with pytest.raises(TypeError, match="'n0' is_streaming.*gave a list, want an async generator"):
        how([1], Wrong())


@BOTH
def test_a_source_is_an_iterable_or_an_async_iterable(how):
    class Iterator:
        def process(self):
            return iter([1, 2, 3])

    class Generator:
        def process(self):
            yield from range(500)

    class Async:
        async def process(self):
            for i in range(5):
                await asyncio.sleep(0)
                yield i

    class Awaited:
        async def process(self):
            await asyncio.sleep(0)
            return [7, None, 8]

    assert how(None, Iterator()) == [1, 2, 3]
    assert how(None, Generator(), Call(lambda x: x)) == list(range(500))
    assert how(None, Async()) == list(range(5))
    assert how(None, Awaited()) == [7, 8]
    with pytest.raises(TypeError, match="'n0' has no input.*gave a int"):
        how(None, Call(lambda: 3))


@BOTH
def test_what_is_fed_may_be_any_iterable(how):
    async def agen():
        for i in range(40):
            await asyncio.sleep(0)
            yield i

    class Async:
        def __init__(self):
            self.i = 0

        def __aiter__(self):
            return self

        async def __anext__(self):
            self.i += 1
            if self.i > 3:
                raise StopAsyncIteration
            return self.i

    assert how((1, 2, 3), Call(lambda x: x)) == [1, 2, 3]
    assert how(range(300), Call(lambda x: x)) == list(range(300))
    assert how((x for x in "abc"), Call(lambda x: x)) == ["a", "b", "c"]
    assert how(agen(), Call(lambda x: x)) == list(range(40))
    assert how(Async(), Coroutine()) == [2, 3, 4]


def test_a_live_object_is_carried_itself():
    thing = object()
    assert run([thing], Call(lambda x: x), Call(lambda x: x))[0] is thing


@BOTH
def test_an_item_that_is_given_back_goes_on_and_the_others_too(how):
    odd = Call(lambda item: item if item[0] % 2 else None)
    new = Call(lambda item: item if item[0] % 3 else [*item, "new"])
    items = [[n] for n in range(300)]
    results = how(items, odd, new, Call(lambda item: item))
    wanted = [item if item[0] % 3 else [*item, "new"] for item in items if item[0] % 2]
    assert results == wanted
    assert all((a is items[a[0]]) == (a[0] % 3 != 0) for a in results)
    assert how([None, 1], Call(lambda item: item)) == [1]


def test_a_node_that_becomes_slow_leaves_the_loop():
    here = threading.get_ident()
    threads = []

    def becomes_slow(item):
        threads.append(threading.get_ident())
        if item >= 2000:
            time.sleep(0.002)
        return item

    assert in_loop(arun(range(2040), Call(lambda item: item), Call(becomes_slow))) == [*range(2040)]
    assert here not in threads[-10:]


def test_objects_are_given_back():
    class Thing:
        pass

    import gc
    import weakref

    things = [Thing() for _ in range(100)]
    seen = [weakref.ref(thing) for thing in things]
    in_loop(arun(things, Call(lambda x: id(x)), Coroutine()))
    del things
    gc.collect()
    assert not any(ref() for ref in seen)


def test_a_plain_function_that_gives_a_coroutine_works_everywhere():
    def process(item):
        return Coroutine().process(item)

    assert run([1, 2, 3], Call(process)) == [2, 3, 4]
    assert in_loop(arun([1, 2, 3], Call(process))) == [2, 3, 4]
    assert run([1, 2, 3], Call(lambda x: x), Call(process), Call(lambda x: x)) == [2, 3, 4]


class Identity:
    async def process(self, item):
        task = asyncio.current_task()
        VARIABLE.set(VARIABLE.get() + 1)
        if item % 3 == 0:
            await asyncio.sleep(0)
        assert asyncio.current_task() is task
        return task, VARIABLE.get()


def test_a_node_has_one_task_and_one_context_and_the_callers_are_untouched():
    async def main():
        VARIABLE.set(10)
        mine = asyncio.current_task()
        results = await arun(list(range(10)), Identity())
        assert VARIABLE.get() == 10
        assert asyncio.current_task() is mine
        tasks = {task for task, _ in results}
        assert len(tasks) == 1 and mine not in tasks
        assert [value for _, value in results] == list(range(11, 21))

    in_loop(main())


def test_context_variables_are_kept_by_a_sync_node_wherever_it_is_called():
    def process(item):
        VARIABLE.set(VARIABLE.get() + 1)
        return VARIABLE.get()

    async def main():
        assert await arun(list(range(300)), Call(process)) == list(range(1, 301))
        assert VARIABLE.get() == 0

    in_loop(main())
    assert run(list(range(300)), Call(process)) == list(range(1, 301))
    assert VARIABLE.get() == 0


def test_a_timeout_in_a_node_hits_that_node_only():
    async def process(item):
        try:
            async with asyncio.timeout(0.01):
                await asyncio.sleep(10 if item == 2 else 0)
            return item
        except TimeoutError:
            return -item

    assert in_loop(arun([1, 2, 3, 2, 4], Call(process))) == [1, -2, 3, -2, 4]


def test_a_timeout_within_a_streaming_node_lets_it_speak_by_itself():
    class Silence:
        is_streaming = True

        async def process(self, stream):
            iterator = aiter(stream)
            while True:
                try:
                    async with asyncio.timeout(0.02):
                        item = await anext(iterator)
                except TimeoutError:
                    yield "silence"
                    continue
                except StopAsyncIteration:
                    return
                yield item

    async def source(heard):
        yield 1
        await heard.wait()
        yield 2

    async def main():
        heard, results = asyncio.Event(), []

        def collect(item):
            results.append(item)
            if item == "silence":
                heard.set()

        await _drive.run(plan_of(Silence()), {"feed": source(heard)}, {"out": collect})
        assert [x for x in results if x != "silence"] == [1, 2]
        assert results[0] == 1 and results[-1] == 2 and "silence" in results

    in_loop(main())


def test_another_task_may_wait_for_the_stream():
    class Waits:
        is_streaming = True

        async def process(self, stream):
            queue = asyncio.Queue()

            async def pump():
                async for item in stream:
                    await queue.put(item)
                await queue.put(None)

            task = asyncio.create_task(pump())
            while (item := await queue.get()) is not None:
                yield item
            await task
            yield await asyncio.wait_for(asyncio.sleep(0, "waited"), 1)

    items = list(range(1, 200))
    assert in_loop(arun(items, Waits())) == [*items, "waited"]


def test_queues_of_the_caller_work_inside_nodes():
    async def main():
        queue = asyncio.Queue()
        asyncio.get_running_loop().call_later(0.01, queue.put_nowait, 5)

        async def process(item):
            return item + await queue.get()

        assert await arun([1], Call(process)) == [6]

    in_loop(main())


def test_a_future_of_another_loop_is_refused_as_by_any_task():
    other = asyncio.new_event_loop()
    future = other.create_future()

    async def process(item):
        return await future

    with pytest.raises(RuntimeError, match="attached to a different loop"):
        in_loop(arun([1], Call(process)))
    other.close()


def test_asyncio_run_works_inside_a_sync_node():
    async def inner(item):
        await asyncio.sleep(0)
        return item

    def process(item):
        if item < 200 and item != 3:
            return item
        return asyncio.run(inner(item))

    items = list(range(220))
    assert in_loop(arun(items, Call(process))) == items
    assert run(items, Call(process)) == items


def test_run_sync_inside_a_loop_says_await():
    async def main():
        with pytest.raises(RuntimeError, match="await"):
            run([1], Call(lambda x: x))

    in_loop(main())


def test_run_sync_without_async_nodes_needs_no_loop():
    seen = []

    def process(item):
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
        seen.append(threading.get_ident())

    run([1, 2], Call(process))
    assert set(seen) == {threading.get_ident()}


def test_several_inputs_come_as_a_tuple_and_several_outputs_by_name():
    class Split:
        outputs = [("even", None), ("odd", None)]

        def process(self, item):
            return ("odd", item) if item % 2 else {"even": item}

    class Join:
        inputs = [("a", None), ("b", None)]

        def process(self, item):
            return item

    from running import plan_of_rows

    rows = [
        {"id": "feed", "node_type": "python.feed"},
        {"id": "n0", "node_type": "live:N0"},
        {"id": "n1", "node_type": "live:N1", "merge": "zip"},
        {"id": "out", "node_type": "python.collect"},
    ]
    links = [
        {"from": "feed", "to": "n0"},
        {"from": "n0", "from_port": "even", "to": "n1", "to_port": "a"},
        {"from": "n0", "from_port": "odd", "to": "n1", "to_port": "b"},
        {"from": "n1", "to": "out"},
    ]
    for blocking in (None, True, False):
        results = []
        plan = plan_of_rows(rows, links, [Split(), Join()], blocking=blocking)
        _drive.run_sync(plan, {"feed": list(range(8))}, {"out": results})
        assert results == [(0, 1), (2, 3), (4, 5), (6, 7)]

def test_sync_joins_what_is_of_one_time():
    from running import plan_of_rows

    class Join:
        inputs = [("a", None), ("b", None)]

        def process(self, item):
            return [one and one[0].size for one in item]

    tone = {"node_type": "test.tone"}
    rows = [
        tone | {"id": "a", "params": {"duration_ms": 240, "packet_ms": 20}},
        tone | {"id": "b", "params": {"duration_ms": 240, "packet_ms": 60}},
        {"id": "n0", "node_type": "live:N0", "merge": {"policy": "sync", "tolerance_ms": 5}},
        {"id": "out", "node_type": "python.collect"},
    ]
    links = [
        {"from": "a", "to": "n0", "to_port": "a"},
        {"from": "b", "to": "n0", "to_port": "b"},
        {"from": "n0", "to": "out"},
    ]
    results = []
    _drive.run_sync(plan_of_rows(rows, links, [Join()]), {}, {"out": results})
    assert [b is not None for _, b in results] == [True, False, False] * 4
    assert all(b == 3 * a for a, b in results if b is not None)



def test_four_runs_of_one_plan_at_once_keep_apart():
    async def main():
        plan = plan_of(Coroutine(), Call(lambda x: x))

        async def one(base):
            results = []
            await _drive.run(plan, {"feed": list(range(base, base + 50))}, {"out": results})
            return results

        got = await asyncio.gather(*(one(1000 * i) for i in range(4)))
        assert got == [[x + 1 for x in range(1000 * i, 1000 * i + 50)] for i in range(4)]

    in_loop(main())


def test_native_nodes_run_between_python_nodes():
    assert run([b"ab", b"c"], "test.pass", Call(lambda x: x)) == [b"ab", b"c"]
    assert in_loop(arun(["x", 3, (1, 2)], Call(lambda x: x), "test.pass", Coroutine2())) == [
        "x",
        3,
        (1, 2),
    ]


class Coroutine2:
    async def process(self, item):
        await asyncio.sleep(0)
        return item


def test_the_states_of_a_session_are_said():
    session = _core.Session(plan_of(Call(lambda x: x)), {"n0": Call(lambda x: x)})
    with pytest.raises(RuntimeError, match="call feed"):
        session.open()
    session.feed("feed", [1])
    with pytest.raises(KeyError):
        session.feed("n0", [1])
    with pytest.raises(TypeError):
        session.collect("out", 3)
    session.collect("out", out := [])
    session.open()
    assert session.run() == _core.DONE and out == [1]
    assert session.failure() is None
    session.close()
    session.close()


def test_time_for_waiting_nodes_overlaps():
    async def process(item):
        await asyncio.sleep(0.002)
        return item

    async def main():
        items = list(range(30))
        begin = time.perf_counter()
        for _ in items:
            for _ in range(3):
                await process(0)
        loop_s = time.perf_counter() - begin
        begin = time.perf_counter()
        assert await arun(items, Call(process), Call(process), Call(process)) == items
        return loop_s / (time.perf_counter() - begin)

    assert max(in_loop(main()) for _ in range(3)) > 2
