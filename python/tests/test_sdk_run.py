"""Running pipelines: what goes in, what comes out, what fails, who is cleaned up."""

import asyncio
import json
import threading

import pytest
from remotemedia import Node, NodeError, NodeSpec, Out, Pipeline, PipelineError, Port, _core
from remotemedia.testing import run_node

pytestmark = pytest.mark.skipif(
    not hasattr(_core, "Session"), reason="the extension has no sessions"
)


class Pass(Node):
    def process(self, x):
        return x


class Double(Node):
    def process(self, x):
        return 2 * x


class Later(Node):
    async def process(self, x):
        await asyncio.sleep(0)
        return x + 1


class Twice(Node):
    async def process(self, x):
        yield x
        await asyncio.sleep(0)
        yield None
        yield -x


class Sync(Node):
    def process(self, x):
        yield x
        yield None
        yield -x


class Sum(Node):
    """Streaming: one generator over the whole stream."""

    is_streaming = True

    async def process(self, stream):
        total = 0
        async for x in stream:
            total += x
            yield total


class Pairs(Node):
    """Collects two, and flushes the rest."""

    def __init__(self):
        super().__init__()
        self.kept = []

    def process(self, x):
        self.kept.append(x)
        if len(self.kept) == 2:
            pair, self.kept = self.kept, []
            return pair
        return None

    def flush(self):
        rest, self.kept = self.kept, []
        return rest or None


class Count(Node):
    def __init__(self, n=3):
        super().__init__()
        self.n = n

    def process(self):
        yield from range(self.n)


class CountSlowly(Node):
    async def process(self):
        for i in range(3):
            await asyncio.sleep(0)
            yield i


class Fail(Node):
    def __init__(self, at, where="process"):
        super().__init__()
        self.at = at
        self.where = where
        self.events = []

    def initialize(self):
        self.events.append("initialize")
        if self.where == "initialize":
            raise ValueError("at the begin")

    def process(self, x):
        self.events.append(x)
        if self.where == "process" and x == self.at:
            raise KeyError(f"no {x}")
        return x

    def flush(self):
        if self.where == "flush":
            raise ZeroDivisionError("in the end")

    def cleanup(self):
        self.events.append("cleanup")
        if self.where == "cleanup":
            raise OSError(28, "full")


async def run(pipeline, *args):
    return await pipeline.run(*args)


def both(pipeline, *args):
    """The result of run_sync(), which must be that of run() as well."""
    result = pipeline.run_sync(*args)
    again = asyncio.run(run(pipeline, *args))
    assert repr(sorted(again, key=repr) if isinstance(again, list) else again) == repr(
        sorted(result, key=repr) if isinstance(result, list) else result
    )
    return result


# ---- what goes in and comes out


@pytest.mark.parametrize(
    "given, expected",
    [
        ([], None),
        ([5], 5),
        (5, 5),
        (0, 0),
        ([0], 0),
        ([[1, 2]], [1, 2]),
        ([None, 1, None], 1),
        ([1, 2, 3], [1, 2, 3]),
        ((1, 2), (1, 2)),
        ({"a": [1]}, {"a": [1]}),
        ("text", "text"),
        ([b"\0", 2**80, 1.5], [b"\0", 2**80, 1.5]),
        (range(3), range(3)),
    ],
)
def test_a_list_is_a_stream_anything_else_an_item_and_one_result_is_unwrapped(given, expected):
    assert both(Pipeline([Pass()]), given) == expected
    assert both(Pipeline([Pass(), Pass(), Pass()]), given) == expected


def test_iterators_and_async_iterables_are_streams():
    async def numbers():
        for i in range(3):
            await asyncio.sleep(0)
            yield i

    pipeline = Pipeline([Double()])
    assert pipeline.run_sync(iter([1, 2])) == [2, 4]
    assert pipeline.run_sync(i for i in range(3)) == [0, 2, 4]
    assert asyncio.run(run(pipeline, numbers())) == [0, 2, 4]
    assert pipeline.run_sync(numbers()) == [0, 2, 4]


@pytest.mark.parametrize(
    "nodes, given, expected",
    [
        ([Double(), Double()], [1, 2], [4, 8]),
        ([Double(), Later(), Double()], [1, 2], [6, 10]),
        ([Twice(), Double()], [1, 2], [2, -2, 4, -4]),
        ([Sync(), Double()], [1, 2], [2, -2, 4, -4]),
        ([Sum(), Double()], [1, 2, 3], [2, 6, 12]),
        ([Pairs(), Pass()], [1, 2, 3], [[1, 2], [3]]),
        ([Pairs()], [1, 2], [1, 2]),
        ([Double(), Pairs(), Pass()], list(range(7)), [[0, 2], [4, 6], [8, 10], [12]]),
    ],
)
def test_each_kind_of_process(nodes, given, expected):
    assert both(Pipeline(nodes), given) == expected


@pytest.mark.parametrize("source", [Count(), CountSlowly()])
def test_a_source_needs_no_input(source):
    assert both(Pipeline([source, Double()])) == [0, 2, 4]
    assert both(Pipeline([source])) == [0, 1, 2]


def test_a_pipeline_without_source_and_input_is_a_type_error():
    with pytest.raises(TypeError, match="node 'Double' of pipeline 'p' needs an item"):
        Pipeline("p", [Double()]).run_sync()


def test_an_empty_pipeline_is_an_error():
    with pytest.raises(PipelineError, match="'p' is empty"):
        Pipeline("p").run_sync([1])


def test_native_nodes_beside_python_nodes():
    np = pytest.importorskip("numpy")
    seen = []

    class Peak(Node):
        def process(self, audio):
            seen.append((audio.rate_hz, audio.frames, audio.pts_ns))
            return float(np.abs(audio.samples).max())

    tone = Node("test.tone", rate_hz=8000, duration_ms=100)
    peaks = Pipeline([tone, Node("test.pass"), Peak()]).run_sync()
    assert sum(frames for _, frames, _ in seen) == 800
    assert [pts for _, _, pts in seen] == sorted(pts for _, _, pts in seen)
    assert all(0.05 < peak <= 1 for peak in peaks)


def test_a_node_is_made_of_its_type_and_parameters():
    pipeline = Pipeline([Node(f"{__name__}:Count", n=4), Node(f"{__name__}:Double")])
    assert both(pipeline) == [0, 2, 4, 6]
    again = Pipeline.from_manifest(pipeline.serialize())
    assert again.run_sync() == [0, 2, 4, 6]


def test_two_branches_give_all_their_results():
    pipeline = Pipeline("p", [Count(3)])
    pipeline.add_node(Double(), after="Count").add_node(Later(), after="Count")
    for result in pipeline.run_sync(), asyncio.run(run(pipeline)):
        assert sorted(result) == [0, 1, 2, 2, 3, 4]


class Split(Node):
    spec = NodeSpec("test.split", outputs=(Port("even"), Port("odd")))

    def process(self, x):
        return Out("odd" if x % 2 else "even", x)


class Add(Node):
    spec = NodeSpec("test.add", inputs=(Port("a"), Port("b")))
    merge = "zip"

    def process(self, pair):
        return sum(pair)


def test_several_outputs_and_inputs():
    pipeline = Pipeline("p", [Count(6), Split()])
    pipeline.add_node(Add(), after={"a": "Split.even", "b": "Split.odd"})
    assert both(pipeline) == [1, 5, 9]
    odd = Pipeline("p", [Count(6), Split()]).add_node(Pass(), after="Split.odd")
    assert both(odd) == [1, 3, 5]


def test_run_sync_inside_a_loop_says_await():
    async def main():
        Pipeline([Double()]).run_sync([1])

    with pytest.raises(RuntimeError, match="await"):
        asyncio.run(main())


def test_results_can_be_had_one_by_one():
    async def main(pipeline, *args):
        return [x async for x in pipeline.stream(*args)]

    assert asyncio.run(main(Pipeline([Twice(), Double()]), [1, 2])) == [2, -2, 4, -4]
    assert asyncio.run(main(Pipeline([Count()]))) == [0, 1, 2]

    async def iterated():
        return [x async for x in Pipeline([Count()])]

    assert asyncio.run(iterated()) == [0, 1, 2]


def test_leaving_the_iteration_early_cleans_up():
    node = Fail(None)

    async def main():
        results = Pipeline([node]).stream(iter(range(1000)))
        async for x in results:
            if x == 3:
                break
        await results.aclose()

    asyncio.run(main())
    assert node.events[0] == "initialize"
    assert node.events[-1] == "cleanup"
    assert len(node.events) < 500


# ---- failures


@pytest.mark.parametrize("sync", [True, False])
@pytest.mark.parametrize(
    "where, kind, item",
    [
        ("initialize", ValueError, None),
        ("process", KeyError, 3),
        ("flush", ZeroDivisionError, None),
        ("cleanup", OSError, None),
    ],
)
@pytest.mark.contract("5 an exception in a node or source silently truncates the stream")
def test_a_node_that_raises_ends_the_run_after_everyone_is_cleaned_up(where, kind, item, sync):
    before, node, behind = Fail(None), Fail(7, where), Fail(None)
    before.id, node.id, behind.id = "before", "faulty", "behind"
    pipeline = Pipeline("p", [before, node, behind])
    with pytest.raises(NodeError) as caught:
        pipeline.run_sync([5, 6, 7, 8]) if sync else asyncio.run(run(pipeline, [5, 6, 7, 8]))
    assert isinstance(caught.value, kind)
    assert caught.value.node == "faulty"
    if item is not None:
        assert caught.value.item == item
    assert "in " + where in caught.value.traceback
    assert "faulty" in str(caught.value)
    for one in (before, node, behind):
        assert one.events.count("cleanup") == one.events.count("initialize")
    assert pipeline.run_sync([1]) == 1 if where == "process" else True


@pytest.mark.contract("5 an exception in a node or source silently truncates the stream")
def test_a_source_that_raises():
    class Broken(Node):
        def process(self):
            yield 1
            raise ValueError("no more")

    with pytest.raises(ValueError, match="no more") as caught:
        Pipeline([Broken(id="source"), Pass()]).run_sync()
    assert caught.value.node == "source"

    def broken():
        yield 1
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        Pipeline([Pass()]).run_sync(broken())


def test_items_that_fail_can_be_skipped_and_are_kept_as_errors():
    pipeline = Pipeline("p", [Fail(7, "process"), Pass()], on_error="skip")
    assert both(pipeline, [5, 6, 7, 8]) == [5, 6, 8]
    assert [(type(e).__name__, e.node, e.item) for e in pipeline.errors] == [
        ("KeyError", "Fail", 3)
    ] * 2
    assert pipeline.metrics["Fail"].skipped == 1
    mild = Fail(7, "process")
    mild.on_error = "bypass"
    assert Pipeline([mild, Double()]).run_sync([7, 8]) == [14, 16]


def test_a_value_that_the_next_node_cannot_take_names_node_and_type():
    with pytest.raises(NodeError, match="Pass") as caught:
        Pipeline([Pass(), Node("audio.level")]).run_sync([object()])
    assert "object" in str(caught.value)


# ---- lives


@pytest.mark.contract("1.3 streaming")
def test_state_survives_from_run_to_run_and_four_runs_at_once_are_right():
    class Slow(Node):
        begun = ended = 0

        async def initialize(self):
            await asyncio.sleep(0.001)
            self.begun += 1

        async def process(self, x):
            assert self.begun == 1 and self.ended == 0
            await asyncio.sleep(0)
            return x

        async def cleanup(self):
            self.ended += 1

    slow, pairs = Slow(), Pairs()

    async def main():
        pipeline = Pipeline([slow, Double()])
        return await asyncio.gather(*(pipeline.run([i, i + 1]) for i in range(4)))

    assert asyncio.run(main()) == [[2 * i, 2 * i + 2] for i in range(4)]
    assert (slow.begun, slow.ended) == (1, 1)
    assert Pipeline([pairs]).run_sync([1]) == [1]


def test_runs_from_several_threads_at_once():
    pipeline = Pipeline([Double(), Later()])
    found = {}

    def work(i):
        found[i] = pipeline.run_sync([i, i])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert found == {i: [2 * i + 1] * 2 for i in range(4)}


def test_managed_execution_keeps_the_nodes_ready():
    node = Fail(None)
    pipeline = Pipeline("p", [node])

    async def main():
        with pytest.raises(PipelineError, match="not initialized"):
            [x async for x in pipeline.process([1])]
        async with pipeline.managed_execution() as same:
            assert same is pipeline and pipeline.is_initialized and node.is_initialized
            with pytest.raises(PipelineError, match="is initialized"):
                pipeline.add_node(Pass())
            first = [x async for x in pipeline.process([1, 2])]
            return first, await pipeline.run([3])

    assert asyncio.run(main()) == ([1, 2], 3)
    assert node.events == ["initialize", 1, 2, 3, "cleanup"]
    assert not pipeline.is_initialized


def test_an_initialization_that_fails_cleans_up_and_tells():
    first, second = Fail(None), Fail(None, "initialize")

    async def main():
        await Pipeline("p", [first, second]).initialize()

    with pytest.raises(PipelineError, match="Pipeline initialization failed: node 'Fail2'"):
        asyncio.run(main())
    assert first.events == ["initialize", "cleanup"]
    with pytest.raises(PipelineError, match="Cannot initialize empty pipeline"):
        asyncio.run(Pipeline().initialize())


def test_super_initialize_can_be_awaited_or_not():
    class Awaits(Node):
        async def initialize(self):
            await super().initialize()

        def process(self, x):
            return x

        def cleanup(self):
            super().cleanup()

    assert both(Pipeline([Awaits()]), [1]) == 1


# ---- two ways


def test_a_two_way_session():
    async def main():
        async with Pipeline("p", [Twice(), Double()]).open() as session:
            await session.push(1)
            assert await anext(session) == 2
            assert await anext(session) == -2
            await session.push(2)
            session.end()
            rest = [x async for x in session]
            assert session.metrics["Double"].items == 4
        return rest

    assert asyncio.run(main()) == [4, -4]


def test_more_is_pushed_than_a_queue_holds():
    async def main():
        async with Pipeline("p", [Double()]).open() as session:

            async def feed():
                for i in range(1000):
                    await session.push(i)
                session.end()

            feeding = asyncio.create_task(feed())
            results = [x async for x in session]
            await feeding
            return results

    assert asyncio.run(main()) == [2 * i for i in range(1000)]


def test_an_interrupt_drops_what_is_behind_the_node():
    class Say(Node):
        async def process(self, words):
            for word in words.split():
                yield word

    class Speak(Node):
        async def process(self, word):
            await asyncio.sleep(0.005)
            return word

    async def main():
        async with Pipeline("p", [Say(id="say"), Speak(id="tts")]).open() as session:
            await session.push("a b c d e f g h")
            first = await anext(session)
            session.interrupt("say")
            await session.push("x y")
            session.end()
            return first, [x async for x in session]

    first, rest = asyncio.run(main())
    assert first == "a"
    assert rest[-2:] == ["x", "y"]
    assert "h" not in rest


def test_a_session_tells_what_was_done_wrong():
    async def main():
        session = Pipeline("p", [Count()]).open()
        with pytest.raises(PipelineError, match="is not open"):
            await session.push(1)
        async with session:
            with pytest.raises(PipelineError, match="takes no input"):
                await session.push(1)
            return [x async for x in session]

    assert asyncio.run(main()) == [0, 1, 2]

    async def failing():
        async with Pipeline("p", [Fail(1)]).open() as session:
            await session.push(1)
            await anext(session)

    with pytest.raises(KeyError) as caught:
        asyncio.run(failing())
    assert caught.value.item == 1


# ---- numbers


def test_metrics_of_a_run():
    pipeline = Pipeline("p", [Double(), Sync()])
    with pytest.raises(PipelineError, match="has not run"):
        _ = pipeline.metrics
    assert pipeline.get_metrics() == {}
    pipeline.run_sync(list(range(100)))
    metrics = pipeline.metrics
    assert [(n.id, n.items, n.emitted) for n in metrics] == [("Double", 100, 100), ("Sync", 100, 200)]
    assert sum(n.share for n in metrics) == pytest.approx(1)
    assert str(metrics).splitlines()[0].split()[:3] == ["node", "type", "items"]
    html = metrics._repr_mimebundle_()["text/html"]
    assert html.count("<tr>") == 3 and "Double" in html
    row = pipeline.get_metrics()["node_metrics"][0]
    assert (row["node_id"], row["error_count"], row["success_rate"]) == ("Double", 0, 1.0)
    json.dumps(pipeline.get_metrics())


@pytest.mark.contract("1.3 metrics")
def test_get_metrics_has_what_programs_of_0_1_read():
    pipeline = Pipeline("p", [Double()], enable_metrics=True)
    pipeline.run_sync([1, 2, 3])
    numbers = pipeline.get_metrics()
    whole = ["pipeline_id", "total_executions", "total_duration_us", "total_duration_ms"]
    whole += ["peak_memory_bytes", "peak_memory_mb", "metrics_overhead_us", "node_metrics"]
    assert set(whole) <= set(numbers)
    row = numbers["node_metrics"][0]
    names = ["node_id", "execution_count", "success_count", "error_count", "success_rate"]
    names += [f"{name}_duration_us" for name in ("total", "avg", "min", "max")]
    assert set(names) <= set(row)
    assert 0 < row["min_duration_us"] <= row["p50_duration_us"] <= row["max_duration_us"]
    assert row["max_duration_us"] < numbers["total_duration_us"]
    assert 0 < numbers["metrics_overhead_us"] < numbers["total_duration_us"]


def counts_of(node, items, **params):
    pipeline = Pipeline("p", [node], **params)
    try:
        pipeline.run_sync(items)
    except NodeError:
        pass
    told = pipeline.get_metrics()
    assert told["total_executions"] == 1
    row = told["node_metrics"][0]
    return row["execution_count"], row["success_count"], row["error_count"]


@pytest.mark.parametrize("blocking", [False, True])
def test_executions_are_items_however_they_were_called(blocking):
    class Picky(Node):
        def process(self, item):
            if item % 3 == 0:
                raise ValueError("by three")
            return item

    class Source(Node):
        def process(self):
            yield from range(5)

    picky, source = Picky(), Source()
    picky.blocking = source.blocking = blocking
    assert counts_of(picky, [1, 2, 4]) == (3, 3, 0)
    assert counts_of(picky, [1, 3, 2, 6], on_error="skip") == (4, 2, 2)
    if not blocking:  # a thread may have taken the next item when the run fails
        assert counts_of(picky, [1, 3, 2]) == (2, 1, 1)
    assert counts_of(source, None) == (5, 5, 0)


def test_waiting_is_told_apart_from_working():
    class Slow(Node):
        async def process(self, x):
            await asyncio.sleep(0.005)
            return x

    pipeline = Pipeline("p", [Node("test.tone", duration_ms=400), Slow(name="slow")])
    pipeline.run_sync()
    metrics = pipeline.metrics
    slow = metrics["slow"]
    assert slow.wait_max_ns >= slow.wait_p99_ns >= slow.wait_p90_ns > 9e6
    assert slow.wait_max_ns < metrics.elapsed_ns
    (edge,) = [e for e in metrics.edges if e.to == "slow"]
    assert (edge.node, edge.packets, edge.drops) == (metrics.nodes[0].id, 20, 0)
    assert 1 < edge.peak <= edge.capacity and edge.bytes == 20 * 960 * 4
    (age,) = metrics.ages
    assert 5e6 <= age.p50_ns <= age.max_ns < metrics.elapsed_ns
    assert metrics.rss_bytes_peak >= metrics.rss_bytes > 1e6
    assert metrics.memory_bytes_peak > 0


@pytest.mark.parametrize("sync", [True, False])
def test_time_on_a_thread_of_its_own_counts(sync):
    import time

    class Slow(Node):
        blocking = True

        def process(self, x):
            time.sleep(0.01)
            return x

    pipeline = Pipeline("p", [Pass(), Slow(), Double()])
    pipeline.run_sync([1, 2, 3]) if sync else asyncio.run(run(pipeline, [1, 2, 3]))
    metrics = pipeline.metrics
    assert metrics["Slow"].time_ns > 25e6
    assert metrics["Slow"].share > 0.5


def test_what_a_coroutine_waits_is_time_of_its_node():
    class Waits(Node):
        async def process(self, number):
            await asyncio.sleep(0.005)

    pipeline = Pipeline([Waits()])
    pipeline.run_sync(list(range(10)))
    assert pipeline.metrics["Waits"].time_ns > 45e6


# ---- testing help


def test_run_node():
    assert run_node(Double(), [1, 2, 3]) == [2, 4, 6]
    assert run_node(Double(), [5]) == [10]
    assert run_node(Pairs(), [1, 2, 3]) == [[1, 2], [3]]
    assert run_node(Count(2)) == [0, 1]
    assert run_node(Pass(), [None]) == []
    assert run_node(Fail(2), [1, 2, 3], on_error="skip") == [1, 3]
    assert run_node("test.pass", ["a", "b"]) == ["a", "b"]
    with pytest.raises(KeyError):
        run_node(Fail(2), [1, 2])
