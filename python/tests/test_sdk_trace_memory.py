"""What Python nodes hold in memory, as ``trace_memory`` counts it: in process, on worker threads, in
coroutines and generators; what is given away, freed, or only had for a while."""

import asyncio
import subprocess
import sys
import tracemalloc

import pytest

from remotemedia import Node, Pipeline

MB = 1_000_000
SMALL = 200_000  # what a node that keeps nothing may have, of caches and frames


@pytest.fixture(autouse=True)
def traced_alone():
    """What other tests leave would be looked at each time."""
    yield
    tracemalloc.stop()


class Keeps(Node):
    def __init__(self, bytes_an_item, **options):
        super().__init__(**options)
        self.bytes_an_item = bytes_an_item
        self.kept = []

    def process(self, item):
        self.kept.append(bytearray(self.bytes_an_item))
        return item


class KeepsOnThread(Keeps):
    blocking = True


class KeepsInProcess(Keeps):
    blocking = False


class KeepsAsync(Keeps):
    async def process(self, item):
        await asyncio.sleep(0)
        self.kept.append(bytearray(self.bytes_an_item))
        return item


class KeepsGenerating(Keeps):
    def process(self, item):
        for _ in range(2):
            self.kept.append(bytearray(self.bytes_an_item // 2))
            yield None
        yield item


class KeepsStreaming(Keeps):
    is_streaming = True

    async def process(self, stream):
        async for item in stream:
            self.kept.append(bytearray(self.bytes_an_item))
            yield item


class KeepsFromBegin(Node):
    async def initialize(self):
        self.kept = bytearray(10 * MB)

    def process(self, item):
        return item


class ForAWhile(Node):
    blocking = False

    def process(self, item):
        return len(bytearray(20 * MB)) - 20 * MB + item


KINDS = [KeepsInProcess, KeepsOnThread, KeepsAsync, KeepsGenerating, KeepsStreaming]


async def run_on_a_loop(pipeline):
    return await pipeline.run(list(range(10)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("runs", [lambda p: asyncio.run(run_on_a_loop(p)),
                                  lambda p: p.run_sync(list(range(10)))], ids=["loop", "sync"])
def test_a_node_that_keeps_10_mb_has_them_and_its_neighbours_nothing(kind, runs):
    nodes = [kind(0, name="before"), kind(MB, name="keeps"), kind(0, name="behind")]
    pipeline = Pipeline(nodes, trace_memory=True)
    runs(pipeline)
    metrics = pipeline.metrics
    assert 10 * MB <= metrics["keeps"].memory_bytes < 10 * MB + SMALL
    assert 10 * MB <= metrics["keeps"].memory_bytes_peak < 11 * MB + SMALL
    for name in "before", "behind":
        assert metrics[name].memory_bytes < SMALL
    rows = {row["node_id"]: row for row in pipeline.get_metrics()["node_metrics"]}
    assert rows["keeps"]["memory_bytes"] == metrics["keeps"].memory_bytes
    assert rows["keeps"]["peak_memory_bytes"] >= 10 * MB


def test_what_initialize_made_is_the_nodes():
    pipeline = Pipeline([KeepsFromBegin(name="model")], trace_memory=True)
    assert asyncio.run(pipeline.run(1)) == 1
    assert 10 * MB <= pipeline.metrics["model"].memory_bytes < 10 * MB + SMALL


def test_what_a_node_has_for_a_while_is_in_its_peak_alone():
    pipeline = Pipeline([ForAWhile(name="while")], trace_memory=True)
    assert pipeline.run_sync(3) == 3
    metrics = pipeline.metrics["while"]
    assert metrics.memory_bytes < SMALL
    assert 20 * MB <= metrics.memory_bytes_peak < 20 * MB + SMALL


def test_a_session_shows_it_while_it_runs_and_two_nodes_of_a_class_are_two():
    async def main():
        nodes = [KeepsOnThread(MB, name="one"), KeepsOnThread(2 * MB, name="two")]
        async with Pipeline(nodes, trace_memory=True).open() as session:
            await session.push(1)
            await anext(session)
            first = session.metrics
            nodes[1].kept.clear()
            return first, session.metrics

    first, second = asyncio.run(main())
    assert MB <= first["one"].memory_bytes < MB + SMALL
    assert 2 * MB <= first["two"].memory_bytes < 2 * MB + SMALL
    assert second["two"].memory_bytes < SMALL
    assert second["two"].memory_bytes_peak >= 2 * MB


def test_it_costs_nothing_where_nobody_asks():
    program = """if True:
    import sys, tracemalloc
    from remotemedia import Node, Pipeline

    class Looks(Node):
        def process(self, item):
            return tracemalloc.is_tracing() or "remotemedia._memory" in sys.modules

    pipeline = Pipeline([Looks(name="looks")])
    assert pipeline.run_sync(1) is False
    assert pipeline.metrics["looks"].memory_bytes is None
    assert all("memory_bytes" not in row for row in pipeline.get_metrics()["node_metrics"])
    """
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_what_a_node_raises_comes_through():
    class Fails(Node):
        def process(self, item):
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        Pipeline([Fails(name="fails")], trace_memory=True).run_sync(1)


def test_tracemalloc_of_the_program_has_to_keep_enough():
    program = """if True:
    import tracemalloc
    from remotemedia import Node, Pipeline
    from remotemedia.errors import PipelineError

    class Keeps(Node):
        def process(self, item):
            self.kept = bytearray(1_000_000)
            return item

    pipeline = Pipeline([Keeps(name="keeps")], trace_memory=True)
    tracemalloc.start(1)
    try:
        pipeline.run_sync(1)
    except PipelineError as error:
        assert "keeps 1 frames, want 64 or more" in str(error), error
    else:
        raise AssertionError
    tracemalloc.stop()
    tracemalloc.start(70)
    pipeline.run_sync(1)
    assert tracemalloc.get_traceback_limit() == 70
    assert 1_000_000 <= pipeline.metrics["keeps"].memory_bytes < 1_100_000
    """
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
