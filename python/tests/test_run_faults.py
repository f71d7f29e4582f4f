"""Failing nodes, cancelled runs: one clear error, every cleanup called, nothing left behind."""

import asyncio
import gc
import weakref

import pytest
from running import Call, arun, in_loop, plan_of, run, untranslated  # noqa: F401

from remotemedia import _core, _drive

BOTH = pytest.mark.parametrize(
    "how", [run, lambda *a, **k: in_loop(arun(*a, **k))], ids=["sync", "loop"]
)


class Lives:
    """Notes what is called, and raises where it is told to."""

    def __init__(self, name, log, where=None):
        self.name, self.log, self.where = name, log, where

    def note(self, what):
        self.log.append(f"{what} {self.name}")
        if what == self.where:
            raise ValueError(f"{what} of {self.name}")

    def initialize(self):
        self.note("initialize")

    def process(self, item):
        if f"item {item}" == self.where:
            raise ValueError(f"item {item} of {self.name}")
        return item

    def flush(self):
        self.note("flush")

    def cleanup(self):
        self.note("cleanup")


class AsyncLives(Lives):
    async def initialize(self):
        await asyncio.sleep(0)
        self.note("initialize")

    async def process(self, item):
        await asyncio.sleep(0)
        return Lives.process(self, item)

    async def flush(self):
        self.note("flush")

    async def cleanup(self):
        await asyncio.sleep(0)
        self.note("cleanup")


@BOTH
@pytest.mark.parametrize("kind", [Lives, AsyncLives])
def test_lives_of_nodes_are_called_in_order(how, kind):
    log = []
    assert how([1, 2], kind("a", log), kind("b", log)) == [1, 2]
    assert log == [
        "initialize a", "initialize b", "flush a", "flush b", "cleanup b", "cleanup a",
    ]  # fmt: skip


@BOTH
@pytest.mark.parametrize("kind", [Lives, AsyncLives])
@pytest.mark.parametrize("where", ["initialize", "item 1", "item 30", "flush", "cleanup"])
def test_a_node_that_raises_gives_one_error_and_every_cleanup(how, kind, where):
    log = []
    nodes = [kind("a", log), kind("b", log, where), kind("c", log)]
    with pytest.raises(ValueError, match=f"^{where} of b$") as caught:
        how(list(range(1, 60)), *nodes)
    names = {entry.name for entry in caught.traceback}
    assert names & {"note", "process"}, names
    cleaned = [line for line in log if line.startswith("cleanup")]
    reached = ["cleanup b", "cleanup a"]
    assert cleaned == (reached if where == "initialize" else ["cleanup c", *reached])


@BOTH
def test_node_and_item_of_a_failure_are_told(how, monkeypatch):
    told = []
    monkeypatch.setattr(_drive, "translate", lambda e, node, item, *_: told.append((node, item)) or e)
    for item in (1, 17, 200):
        with pytest.raises(ValueError):
            how(list(range(1, 400)), Lives("a", []), Lives("b", [], f"item {item}"))
    assert told == [("n1", 1), ("n1", 17), ("n1", 200)]


@BOTH
def test_what_came_before_the_failure_has_arrived(how):
    results = []

    def process(item):
        if item == 50:
            raise KeyError(item)
        return item

    with pytest.raises(KeyError):
        plan = plan_of(Call(process))
        if how is run:
            _drive.run_sync(plan, {"feed": list(range(100))}, {"out": results})
        else:
            in_loop(_drive.run(plan, {"feed": list(range(100))}, {"out": results}))
    assert results == list(range(50))


def failing_every(n, kind=ValueError):
    def process(item):
        if item % n == 0:
            raise kind(f"bad {item}")
        return item

    return process


@BOTH
@pytest.mark.parametrize("wrap", [lambda f: f, "coroutine"])
def test_skip_drops_the_item_only_and_keeps_the_error(how, wrap):
    process = failing_every(10)
    if wrap == "coroutine":

        async def process(item):
            await asyncio.sleep(0)
            return failing_every(10)(item)

    errors = []
    plan = plan_of(Call(process), options={"n0": {"on_error": "skip"}})
    results, sessions = [], []
    feed, collect = {"feed": list(range(1, 101))}, {"out": results}
    if how is run:
        _drive.run_sync(plan, feed, collect, on_session=sessions.append)
    else:
        in_loop(_drive.run(plan, feed, collect, on_session=sessions.append))
    assert results == [x for x in range(1, 101) if x % 10]
    errors = sessions[0].take_errors()
    assert [(str(e), node, item) for e, node, item, *_ in errors] == [
        (f"bad {x}", "n0", x) for x in range(10, 101, 10)
    ]
    assert sessions[0].take_errors() == []


@BOTH
def test_retry_tries_what_may_go_well_again(how):
    tries = []

    def process(item):
        tries.append(item)
        if item == 2 and tries.count(2) < 3:
            raise ConnectionError("try again")
        return item

    policy = {"n0": {"on_error": {"policy": "retry", "attempts": 3, "backoff_ms": 1}}}
    assert how([1, 2, 3], Call(process), options=policy) == [1, 2, 3]
    assert tries == [1, 2, 2, 2, 3]
    with pytest.raises(ValueError):
        how([1, 2], Call(failing_every(2)), options=policy)


@BOTH
@pytest.mark.parametrize("blocking", [True, False, None])
def test_retry_ends_after_its_attempts_wherever_the_node_works(how, blocking):
    tries = []

    def process(item):
        tries.append(item)
        if item == 2:
            assert len(tries) < 9, "it goes on for ever"
            raise ConnectionError("never")
        return item

    policy = {"n0": {"on_error": {"policy": "retry", "attempts": 3, "backoff_ms": 1}}}
    with pytest.raises(ConnectionError):
        how([1, 2, 3], Call(process), options=policy, blocking=blocking)
    assert tries == [1, 2, 2, 2, 2]


@BOTH
def test_an_exit_ends_the_run_whatever_the_policy(how):
    with pytest.raises(SystemExit):
        how([1, 2, 3], Call(failing_every(2, SystemExit)), options={"n0": {"on_error": "skip"}})


@BOTH
def test_a_generator_that_raises_has_delivered_what_came_before(how):
    def process(item):
        yield from range(200)
        raise ValueError("late")

    results = []
    with pytest.raises(ValueError, match="late"):
        plan = plan_of(Call(process))
        if how is run:
            _drive.run_sync(plan, {"feed": [1]}, {"out": results})
        else:
            in_loop(_drive.run(plan, {"feed": [1]}, {"out": results}))
    assert results == list(range(len(results))) and len(results) >= 128


@BOTH
def test_sources_and_feeds_that_raise_are_named(how):
    def bad():
        yield 1
        raise ValueError("no more")

    async def abad():
        yield 1
        raise ValueError("no more")

    for source in (bad, abad):
        with pytest.raises(ValueError, match="no more"):
            how(source(), Call(lambda x: x))
        with pytest.raises(ValueError, match="no more"):
            how(None, Call(source), Call(lambda x: x))


def test_cancelling_a_run_reaches_the_node_that_waits():
    log = []

    class Waits(AsyncLives):
        async def process(self, item):
            started.set()
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                log.append("cancelled")
                raise

    async def main():
        global started
        before = asyncio.all_tasks()
        started = asyncio.Event()
        task = asyncio.create_task(arun([1, 2], Waits("a", log), AsyncLives("b", log)))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() == before

    in_loop(main())
    assert log == ["initialize a", "initialize b", "cancelled", "cleanup b", "cleanup a"]


def test_cancelling_while_nodes_initialize_cleans_up_those_that_began():
    log = []

    class Slow(AsyncLives):
        async def initialize(self):
            log.append("begin")
            started.set()
            await asyncio.sleep(60)

    async def main():
        global started
        started = asyncio.Event()
        nodes = AsyncLives("a", log), Slow("b", log), AsyncLives("c", log)
        task = asyncio.create_task(arun([1], *nodes))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    in_loop(main())
    assert log == ["initialize a", "begin", "cleanup b", "cleanup a"]


def test_wait_for_ends_a_run():
    async def main():
        before = asyncio.all_tasks()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(arun([1], Call(lambda x: asyncio.sleep(60))), 0.02)
        assert asyncio.all_tasks() == before

    in_loop(main())


def test_a_node_may_cancel_itself_and_others_may_cancel_its_task():
    async def cancels_itself(item):
        try:
            asyncio.current_task().cancel()
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            asyncio.current_task().uncancel()
            return "cancelled"

    assert in_loop(arun([1, 2], Call(cancels_itself))) == ["cancelled", "cancelled"]

    tasks = []

    async def process(item):
        tasks.append(asyncio.current_task())
        if item == 1:
            asyncio.get_running_loop().call_later(0.005, tasks[0].cancel)
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                return "from outside"
        return item

    assert in_loop(arun([1, 2], Call(process))) == ["from outside", 2]


def test_generators_that_are_not_run_to_their_end_are_closed():
    closed = []

    async def process(item):
        try:
            for i in range(1000):
                await asyncio.sleep(0)
                yield i
        finally:
            await asyncio.sleep(0)
            closed.append(item)

    def take(item):
        if item == 3:
            raise LookupError("enough")
        return item

    async def main():
        before = asyncio.all_tasks()
        with pytest.raises(LookupError):
            await arun([1, 2], Call(process), Call(take))
        assert asyncio.all_tasks() == before

    in_loop(main())
    assert closed == [1]


def test_a_session_that_is_dropped_frees_all():
    async def process(item):
        await asyncio.sleep(60)

    async def main():
        node = Call(process)
        session = _core.Session(plan_of(node), {"n0": node})
        session.attach(asyncio.get_running_loop())
        session.feed("feed", [1])
        session.collect("out", [])
        session.open(asyncio.get_running_loop())
        session.start(None, asyncio.current_task())
        assert session.state == _core.PENDING
        seen = weakref.ref(node)
        for task in session.tasks():
            task.cancel()
        await asyncio.sleep(0)
        session.close()
        del session, node, task
        gc.collect()
        await asyncio.sleep(0)
        gc.collect()
        assert seen() is None

    in_loop(main())


def test_a_thousand_sessions_leave_memory_flat():
    import resource

    class Async:
        async def process(self, item):
            await asyncio.sleep(0)
            yield item

    async def some(n):
        for _ in range(n):
            assert await arun([1, 2, 3], Async(), Call(lambda x: x), blocking=False) == [1, 2, 3]

    def resident_bytes():
        gc.collect()
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize()

    async def main():
        await some(150)
        slopes = []
        for _ in range(4):
            begin = resident_bytes()
            await some(200)
            slopes.append((resident_bytes() - begin) / 200)
        return slopes

    slopes = asyncio.run(main())
    print("bytes a session:", *map(round, slopes))
    assert sorted(slopes)[1] < 500  # what leaks does so in each part
