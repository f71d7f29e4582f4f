"""Nodes in worker processes give what they give in process, fail as they do there, and leave nothing
behind: no process, no descriptor."""

import asyncio
import contextlib
import gc
import itertools
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from random import Random

import pytest
import worker_nodes as nodes

from remotemedia import Error, NodeError, Pipeline, PipelineError, _worker_host, _zygote, workers

np = pytest.importorskip("numpy")

INLINE = "cpython"
LEFT_S = 5.0


def workers_of_this_process():
    """Ids of the workers: the children of our zygotes."""
    found = []
    ours = {os.getpid()}
    for _ in range(2):
        found = []
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{name}/stat") as file:
                    parent = int(file.read().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if parent in ours:
                found.append(int(name))
        ours = set(found)
    return found


def descriptors():
    """Of links and workers; the thread of `remotemedia top` has its own, at times."""
    gc.collect()  # loops that an earlier test left
    found = []
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found.append(os.readlink(f"/proc/self/fd/{fd}"))
    return [name for name in found if "memfd" in name or "anon_inode" in name]


@pytest.fixture(autouse=True)
def _nothing_is_left():
    Pipeline([nodes.Double()]).run_sync([1])  # the zygote is there from here on
    before = descriptors()
    yield
    assert workers_of_this_process() == []
    until = time.monotonic() + LEFT_S  # a thread may just have its own
    while descriptors() != before and time.monotonic() < until:
        time.sleep(0.05)
    assert descriptors() == before


def in_process(node):
    node.tier = INLINE
    return node


@pytest.mark.parametrize(
    ("make", "given"),
    [
        (nodes.Double, [1, 2, 3]),
        (nodes.Later, [1, 2, 3]),
        (nodes.Twice, [1, 2]),
        (nodes.TwiceLater, [1, 2]),
        (nodes.Total, [1, 2, 3]),
        (nodes.Running, [1, 2, 3]),
        (lambda: nodes.Source(5), None),
        (nodes.Double, [{"a": [1, (2, b"x")]}.get("a"), "text", 2.5]),
    ],
)
def test_a_node_gives_in_a_worker_what_it_gives_in_process(make, given):
    expected = Pipeline([in_process(make())]).run_sync(given)
    assert Pipeline([make()]).run_sync(given) == expected
    assert asyncio.run(Pipeline([make()]).run(given)) == expected


def test_which_nodes_run_in_workers_is_said_by_the_pipeline():
    here = os.getpid()
    assert Pipeline([nodes.Where()]).run_sync(1) == here
    assert Pipeline([nodes.Where()], workers=True).run_sync(1) != here
    both = [nodes.Where(id="one"), nodes.Where(id="two")]
    assert Pipeline(both, workers={"one"}).run_sync(1) == here
    assert Pipeline(both, workers={"two"}).run_sync(1) != here
    assert Pipeline([in_process(nodes.Where())], workers=True).run_sync(1) == here
    with pytest.raises(PipelineError, match="workers names 'three'"):
        Pipeline(both, workers={"three"}).run_sync(1)


def test_each_node_has_a_process_of_its_own():
    class_of = [nodes.Where(id=f"n{i}") for i in range(2)]
    found = [Pipeline([node], workers=True).run_sync([1, 2, 3]) for node in class_of]
    assert all(len(set(pids)) == 1 for pids in found)


def test_a_manifest_says_it_too(tmp_path):
    manifest = {
        "version": "v1",
        "nodes": [
            {"id": "sum", "node_type": "worker_nodes:Total", "params": {"start": 10}, "tier": "worker"}
        ],
        "connections": [],
    }
    path = tmp_path / "m.json"
    path.write_text(json.dumps(manifest))
    assert Pipeline.load(path).run_sync([1, 2]) == 13


def test_arrays_come_as_views_and_go_as_they_lie_in_memory():
    given = [np.arange(n, dtype=np.float32) for n in (0, 1, 100, 300_000)]
    results = Pipeline([nodes.Scaled()]).run_sync(given)
    assert [r.tolist() for r in results] == [(3 * g).tolist() for g in given]
    assert results[0].dtype == np.float32
    assert not results[-1].flags.writeable and results[-1].base is not None


def test_arrays_stay_when_the_worker_is_gone():
    result = Pipeline([nodes.Scaled(), nodes.Scaled(id="two")]).run_sync(np.ones((1000, 500)))
    assert float(result.sum()) == 9 * 500_000


def test_an_exception_keeps_its_type_message_and_traceback():
    with pytest.raises(ValueError, match="three is too much") as caught:
        Pipeline([nodes.Raises()]).run_sync([1, 2, 3])
    assert isinstance(caught.value, NodeError)
    assert (caught.value.node, caught.value.item) == ("Raises", 3)
    assert "worker_nodes.py" in caught.value.traceback
    assert 'raise ValueError("three is too much")' in caught.value.traceback


def test_an_exception_that_cannot_travel_says_what_it_was():
    with pytest.raises(NodeError, match="worker_nodes.Odd: 1 and 2"):
        Pipeline([nodes.Raises()]).run_sync([4])


def test_on_error_skip_goes_on_in_the_same_worker():
    assert Pipeline([nodes.Raises()], on_error="skip").run_sync([1, 3, 5]) == [1, 5]


@pytest.mark.parametrize(
    ("by", "how"), [("signal", r"signal 9 \(SIGKILL\)"), ("exit", "ended with status 7")]
)
def test_a_worker_that_dies_is_named_and_how(by, how):
    with pytest.raises(workers.WorkerDied, match=rf"worker process \d+ .*{how}") as caught:
        Pipeline([nodes.Dies(by)]).run_sync([1, 2, 3])
    assert isinstance(caught.value, NodeError)
    assert (caught.value.node, caught.value.item) == ("Dies", 3)


def test_a_killed_worker_is_replaced_where_the_policy_goes_on():
    assert Pipeline([nodes.Dies()], on_error="skip").run_sync([1, 2, 3, 4]) == [1, 2, 4]


def test_retry_starts_another_worker_with_the_last_saved_state(tmp_path):
    node = nodes.Kept(str(tmp_path), deadly=(3, 6))
    policy = {"policy": "retry", "attempts": 3, "backoff_ms": 1}
    results = Pipeline([node], on_error=policy).run_sync(list(range(10)))
    assert results == [sum(range(n + 1)) for n in range(10)]


def test_a_poison_item_is_tried_again_and_skipped(tmp_path):
    node = nodes.Kept(str(tmp_path), always=(3,))
    node.on_error = {"policy": "retry", "attempts": 2, "backoff_ms": 1, "then": "skip"}
    assert Pipeline([node]).run_sync([1, 2, 3, 4]) == [1, 3, 7]


def test_workers_are_started_anew_only_so_often():
    with pytest.raises(PipelineError, match=f"started anew {workers.RESTARTS_MAX} times"):
        errors = []
        pipeline = Pipeline([nodes.Dies()], on_error="skip")
        try:
            assert pipeline.run_sync([3] * (workers.RESTARTS_MAX + 3)) is None
        finally:
            errors += pipeline.errors
        raise errors[-1]


def test_a_call_that_hangs_is_ended():
    with pytest.raises(workers.WorkerDied, match=r"took more than 0\.3 s for one call"):
        Pipeline([nodes.Hangs()]).run_sync([1, 2, 3])


def test_a_worker_is_held_to_its_memory():
    assert Pipeline([nodes.Greedy()]).run_sync(10 << 20) == 10 << 20
    with pytest.raises(NodeError, match="MemoryError") as caught:
        Pipeline([nodes.Greedy()]).run_sync(300 << 20)
    assert "limit of its worker is 104857600 bytes" in caught.value.traceback


def test_a_limit_that_a_process_cannot_be_held_to_is_refused():
    node = nodes.Greedy()
    node.limits = {"fuel": 5}
    with pytest.raises(PipelineError, match="limits.fuel cannot be held"):
        Pipeline([node]).run_sync(1)


def test_initialize_that_fails_is_the_nodes_error():
    with pytest.raises(OSError, match="no such device") as caught:
        Pipeline([nodes.FailsToBegin()]).run_sync(1)
    assert isinstance(caught.value, NodeError)


def test_a_node_that_cannot_be_pickled_says_so():
    with pytest.raises(PipelineError, match="node 'Locked' cannot go to a worker process") as caught:
        Pipeline([nodes.Locked()]).run_sync(1)
    assert "initialize()" in caught.value.help


def test_a_value_that_cannot_be_pickled_says_so():
    with pytest.raises(PipelineError, match="its input cannot go to a worker process"):
        Pipeline([nodes.Double()]).run_sync([lambda: 1])


def test_cancel_reaches_the_node(tmp_path):
    path = tmp_path / "note"

    async def main():
        run = asyncio.ensure_future(Pipeline([nodes.Waits(str(path))]).run([1]))
        while not (tmp_path / "note.begun").exists():
            await asyncio.sleep(0.01)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

    asyncio.run(main())
    assert path.read_text() == "cancelled"
    assert (tmp_path / "note.cleanup").exists()


def test_copies_work_side_by_side_and_keep_the_order():
    results = Pipeline([nodes.Slow()]).run_sync(list(range(20)))
    assert [item for item, _ in results] == list(range(20))
    assert len({pid for _, pid in results}) == 2
    node = nodes.Slow()
    node.tier = INLINE
    with pytest.raises(PipelineError, match="several copies only where its tier is worker"):
        Pipeline([node]).run_sync([1])


def test_an_interrupt_reaches_the_node():
    async def main():
        got = []
        async with Pipeline([nodes.Collects()]).open() as session:
            await session.push(1)
            got.append(await anext(session))
            session.interrupt()
            await session.push(2)
            got.append(await anext(session))
            session.end()
            got += [item async for item in session]
        return got

    assert asyncio.run(main()) == [1, 2, [2]]


def test_parameters_are_set_while_it_runs():
    async def main():
        async with Pipeline([nodes.Adds(1, id="adds")]).open() as session:
            await session.push(1)
            first = await anext(session)
            session.set_params("adds", amount=10)
            with pytest.raises(Error, match="amount is negative"):
                session.set_params("adds", amount=-1)
            await session.push(1)
            return first, await anext(session)

    assert asyncio.run(main()) == (2, 11)


def test_items_are_there_ahead_of_their_turn_and_fail_on_their_own():
    given = list(range(500))
    assert Pipeline([nodes.Double(), nodes.Double(id="two")]).run_sync(given) == [4 * i for i in given]
    results = []
    with pytest.raises(ValueError, match="three is too much") as caught:
        Pipeline([nodes.Raises()]).run_into([1, 2, 5, 6, 7, 3, 8, 9], results.append)
    assert caught.value.item == 6
    assert results == [1, 2, 5, 6, 7]


def test_large_arrays_do_not_all_go_ahead():
    given = [np.full(1 << 20, i, np.uint8) for i in range(40)]
    results = Pipeline([nodes.Scaled()]).run_sync(given)
    assert [int(r[5]) for r in results] == [3 * i % 256 for i in range(40)]


def test_several_inputs_arrive_together():
    left, right, both = nodes.Double(id="a"), nodes.Double(id="b"), nodes.Both(id="both")
    pipeline = Pipeline([left >> both["left"], right >> both["right"]])
    assert pipeline.run_sync([1, 2, 3]) == [4, 8, 12]


def test_an_interrupt_drops_what_is_there_ahead(tmp_path):
    path = tmp_path / "log"

    async def main():
        async with Pipeline([nodes.Logs(str(path))]).open() as session:
            for item in range(8):
                await session.push(item)
            first = await anext(session)
            session.interrupt()
            await session.push(100)
            later = [await anext(session)]
            session.end()
            return first, later + [item async for item in session]

    assert asyncio.run(main()) == (0, [100])
    seen = path.read_text().split()
    assert seen[0] == "0" and seen[-1] == "100" and len(seen) < 8


def test_parameters_are_set_while_an_item_is_out():
    async def main():
        async with Pipeline([nodes.Adds(1, id="adds")]).open() as session:
            for item in range(8):
                await session.push(item)
            await asyncio.sleep(0)
            session.set_params("adds", amount=1)
            return [await anext(session) for _ in range(8)]

    assert asyncio.run(main()) == list(range(1, 9))


def test_a_worker_that_waits_is_not_woken():
    def switches(pid):
        with open(f"/proc/{pid}/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("voluntary"))

    async def main():
        async with Pipeline([nodes.Where()], workers=True).open() as session:
            await session.push(1)
            pid = await anext(session)
            await asyncio.sleep(0.2)  # it comes to rest
            before = switches(pid)
            await asyncio.sleep(1)
            return switches(pid) - before

    assert asyncio.run(main()) == 0


def test_kills_at_random_moments_lose_and_double_nothing(tmp_path):
    """20 kills under load; policy retry; the node keeps its sum by save() and load()."""
    kills, count = 20, 4000
    random = Random(5)
    node = nodes.Kept(str(tmp_path))
    node.on_error = {"policy": "retry", "attempts": 20, "backoff_ms": 1}

    async def main():
        killed = 0
        results = []
        async with Pipeline([node]).open() as session:

            async def feed():
                for item in range(count):
                    await session.push(item)
                session.end()

            feeding = asyncio.ensure_future(feed())
            next_kill = random.randrange(20, 150)
            async for result in session:
                results.append(result)
                if len(results) >= next_kill and killed < kills:
                    for pid in workers_of_this_process():
                        os.kill(pid, signal.SIGKILL)
                        killed += 1
                    next_kill += random.randrange(20, 180)
            await feeding
        return killed, results

    workers_before = workers.RESTARTS_MAX
    _worker_host.RESTARTS_MAX = kills + 1
    try:
        killed, results = asyncio.run(main())
    finally:
        _worker_host.RESTARTS_MAX = workers_before
    assert killed == kills
    assert results == list(itertools.accumulate(range(count)))


def run_program(text, folder, check=True):
    path = folder / "program.py"
    path.write_text(textwrap.dedent(text))
    here = os.path.dirname(nodes.__file__)
    return subprocess.run(
        [sys.executable, path],
        capture_output=True,
        text=True,
        timeout=120,
        check=check,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([here, *filter(None, sys.path)])},
    )


def test_a_class_of_the_main_program_runs_in_a_worker(tmp_path):
    made = run_program(
        """
        from remotemedia import Node, Pipeline

        class Add(Node):
            tier = "worker"
            def process(self, item):
                return item + 1

        class Pair:
            def __init__(self, a): self.a = a

        class Give(Node):
            tier = "worker"
            def process(self, item):
                return Pair(item)

        if __name__ == "__main__":
            print(Pipeline([Add()]).run_sync([1, 2]))
            print(Pipeline([Give()]).run_sync(5).a)
        """,
        tmp_path,
    )
    assert made.stdout == "[2, 3]\n5\n", made.stderr


def test_a_program_that_is_killed_takes_its_workers_along(tmp_path):
    made = run_program(
        """
        import asyncio, os, signal
        from remotemedia import Pipeline
        from worker_nodes import Where

        async def main():
            async with Pipeline([Where()], workers=True).open() as session:
                await session.push(1)
                print(await anext(aiter(session)), flush=True)
                os.kill(os.getpid(), signal.SIGKILL)

        asyncio.run(main())
        """,
        tmp_path,
        check=False,
    )
    assert made.returncode == -signal.SIGKILL, made.stderr
    pid = int(made.stdout)
    for _ in range(1000):
        if not os.path.exists(f"/proc/{pid}"):
            return
        os.sched_yield()
        subprocess.run(["sleep", "0.01"], check=True)
    pytest.fail(f"worker {pid} is still there")


def test_a_fork_of_the_program_leaves_its_workers_alone(tmp_path):
    made = run_program(
        """
        import asyncio, os
        from remotemedia import Pipeline
        from worker_nodes import Double

        async def main():
            async with Pipeline([Double()]).open() as session:
                await session.push(1)
                print(await anext(session), flush=True)
                pid = os.fork()
                if pid == 0:
                    links = [name for fd in os.listdir("/proc/self/fd")
                             if os.path.exists(path := f"/proc/self/fd/{fd}")
                             and "remotemedia-link" in (name := os.readlink(path))]
                    print("child", len(links), flush=True)
                    os._exit(0)
                os.waitpid(pid, 0)
                await session.push(2)
                print(await anext(session), flush=True)

        asyncio.run(main())
        """,
        tmp_path,
    )
    assert made.stdout == "2\nchild 0\n4\n", made.stderr


def test_a_zygote_that_is_killed_is_replaced():
    zygote = _zygote._zygote
    assert Pipeline([nodes.Double()]).run_sync(1) == 2
    zygote.process.kill()
    zygote.process.wait()
    assert Pipeline([nodes.Double()]).run_sync(2) == 4
    assert _zygote._zygote is not zygote


def test_what_a_node_prints_is_there_though_its_worker_is_killed(tmp_path):
    made = run_program(
        """
        import os, signal
        from remotemedia import Node, Pipeline

        class Says(Node):
            tier = "worker"
            def process(self, item):
                print("item", item)
                if item == 2:
                    os.kill(os.getpid(), signal.SIGKILL)

        if __name__ == "__main__":
            Pipeline([Says()], on_error="skip").run_sync([1, 2, 3])
        """,
        tmp_path,
    )
    assert made.stdout == "item 1\nitem 2\nitem 3\n", made.stderr


def test_many_runs_leave_nothing():
    def resident():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")

    pipeline = Pipeline([nodes.Scaled()])
    array = np.ones(50_000)
    for _ in range(10):
        pipeline.run_sync(array)
    gc.collect()
    before = resident()
    for _ in range(40):
        pipeline.run_sync(array)
    gc.collect()
    assert resident() - before < 40 * 400_000  # less than the array itself, each


def test_warm_names_what_cannot_be_imported():
    workers.warm(["decimal"])
    with pytest.raises(PipelineError, match="no_such_module"):
        workers.warm(["no_such_module"])
