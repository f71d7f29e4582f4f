"""A node whose place refuses it as the session opens runs here, if its code is Python as well."""

import asyncio

import pytest
from remotemedia import Node, NodeError, Pipeline, PipelineError, _core, _resolve
from remotemedia.events import FellBack

places = pytest.importorskip("remotemedia._places", reason="only in the build tree")
HERE = f"{__name__}:"
log = []


@pytest.fixture(autouse=True)
def far(monkeypatch):
    """All pipelines have the place test.far, which refuses nodes."""
    registries = [_core.Registry(_resolve.resolve) for _ in range(2)]
    for registry in registries:
        places.add(registry)
    monkeypatch.setattr(_resolve, "_registries", {None: registries})
    places.refuse(True)
    log.clear()
    yield
    places.refuse(False)


class Near(Node):
    """What a node does here; there it gives its items back."""

    def __init__(self, by=10, **config):
        super().__init__(**config)
        self.by = by

    def initialize(self):
        log.append(f"initialize {self.by}")

    def cleanup(self):
        log.append(f"cleanup {self.by}")

    def process(self, x):
        log.append("process")
        return x * self.by


class NearAsync(Near):
    async def initialize(self):
        await asyncio.sleep(0)
        Near.initialize(self)

    async def process(self, x):
        await asyncio.sleep(0)
        return Near.process(self, x)


class NearGenerator(Near):
    def process(self, x):
        yield Near.process(self, x)


class NearOnThread(Near):
    blocking = True


class BreaksAtStart(Near):
    def initialize(self):
        super().initialize()
        raise LookupError("no model")


class Adds(Node):
    def initialize(self):
        log.append("initialize adds")

    def process(self, x):
        return x + 1

    def cleanup(self):
        log.append("cleanup adds")


KINDS = [Near, NearAsync, NearGenerator, NearOnThread]


def manifest(kind=Near, **entry):
    node = {"id": "near", "node_type": HERE + kind.__name__, "params": {"by": 7}}
    node["placement"] = {"where": "prefer_remote"}
    nodes = [{"id": "adds", "node_type": HERE + "Adds"}, node | entry]
    return {"version": "v1", "nodes": nodes, "connections": [{"from": "adds", "to": "near"}]}


def run(pipeline, items, how):
    return pipeline.run_sync(items) if how == "run_sync" else asyncio.run(pipeline.run(items))


@pytest.mark.parametrize("how", ["run_sync", "run"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_python_node_that_its_place_refuses_runs_here(kind, how):
    pipeline = Pipeline.from_manifest(manifest(kind))
    assert run(pipeline, [1, 2, 3], how) == [14, 21, 28]
    assert log == ["initialize adds", "initialize 7", *["process"] * 3, "cleanup 7", "cleanup adds"]
    assert run(pipeline, [1], how) == 14


@pytest.mark.parametrize("how", ["run_sync", "run"])
def test_where_its_place_takes_it_the_local_one_is_not_begun(how):
    places.refuse(False)
    pipeline = Pipeline.from_manifest(manifest())
    assert run(pipeline, [1, 2, 3], how) == [2, 3, 4]
    assert log == ["initialize adds", "cleanup adds"]


def test_the_metrics_tell_where_it_runs_and_why():
    pipeline = Pipeline.from_manifest(manifest())
    pipeline.run_sync([1])
    near, adds = pipeline.metrics["near"], pipeline.metrics["adds"]
    assert (near.place, near.fell_back) == ("local", "test.far takes no nodes now")
    assert (adds.place, adds.fell_back) == ("local", None)
    assert near.items == 1
    places.refuse(False)
    pipeline.run_sync([1])
    near = pipeline.metrics["near"]
    assert (near.place, near.fell_back) == ("test.far", None)


def test_an_event_tells_it_with_its_reason():
    pipeline = Pipeline.from_manifest(manifest())
    events = pipeline.events()
    pipeline.run_sync([1])
    (told,) = (event for event in events.take() if isinstance(event, FellBack))
    assert (told.node, told.code, told.error) == ("near", 203, "test.far takes no nodes now")
    places.refuse(False)
    events = pipeline.events()
    pipeline.run_sync([1])
    assert not [event for event in events.take() if isinstance(event, FellBack)]


def test_explain_tells_what_it_falls_back_to():
    near = Pipeline.from_manifest(manifest()).explain()["nodes"][-1]
    assert (near["id"], near["place"], near["placement"]["fallback"]) == ("near", "test.far", "local")
    assert near["strand"] == 0
    assert "it may fall back to Python: on the home strand" in near["reason"]


@pytest.mark.parametrize("kind", [Near, NearAsync])
def test_a_two_way_session_falls_back_as_well(kind):
    async def main():
        pipeline = Pipeline.from_manifest(manifest(kind))
        async with pipeline.open() as session:
            await session.push(1)
            assert await anext(session) == 14
            session.interrupt("near")
            await session.push(2)
            session.end()
            assert [item async for item in session] == [21]
        assert log[-2:] == ["cleanup 7", "cleanup adds"]

    asyncio.run(main())


@pytest.mark.parametrize("how", ["run_sync", "run"])
def test_a_fallback_whose_initialize_raises_ends_the_run_and_all_is_cleaned_up(how):
    with pytest.raises(NodeError) as caught:
        run(Pipeline.from_manifest(manifest(BreaksAtStart)), [1], how)
    assert (caught.value.node, caught.value.error_type) == ("near", "LookupError")
    assert log == ["initialize adds", "initialize 7", "cleanup 7", "cleanup adds"]


def test_a_two_way_session_does_not_open_where_a_fallbacks_initialize_raises():
    async def main():
        with pytest.raises(NodeError, match="no model"):
            async with Pipeline.from_manifest(manifest(BreaksAtStart)).open():
                pytest.fail("it is open")

    asyncio.run(main())
    assert log == ["initialize adds", "initialize 7", "cleanup 7", "cleanup adds"]


@pytest.mark.parametrize(
    "entry",
    [
        {"placement": {"where": "remote"}},
        {"placement": {"where": "prefer_remote", "fallback": False}},
        {"metadata": {"far_blocks": True}},
    ],
    ids=["remote", "no fallback", "would block the home strand"],
)
def test_without_a_fallback_the_session_does_not_open(entry):
    pipeline = Pipeline.from_manifest(manifest(**entry))
    with pytest.raises(PipelineError, match="test.far takes no nodes now") as caught:
        pipeline.run_sync([1])
    assert caught.value.code == 203
    assert log == ["initialize adds", "cleanup adds"]


def test_a_pipeline_of_python_says_it_by_an_attribute():
    node = Node(HERE + "Near", by=3, id="near")
    node.placement = "prefer_remote"
    pipeline = Pipeline([Adds(), node, Adds(id="again")])
    assert pipeline.run_sync([1, 2]) == [7, 10]
    assert pipeline.to_manifest()["nodes"][1]["placement"] == {"where": "prefer_remote"}


@pytest.mark.parametrize("how", ["run_sync", "run"])
def test_no_item_comes_before_all_fallbacks_are_initialized(how):
    first, second = (Node(HERE + "Near", by=by, id=f"by_{by}") for by in (3, 5))
    first.placement = second.placement = "prefer_remote"
    assert run(Pipeline([Adds(), first, second]), [1, 2], how) == [30, 45]
    assert log[:4] == ["initialize adds", "initialize 3", "initialize 5", "process"]
    assert log[-3:] == ["cleanup 5", "cleanup 3", "cleanup adds"]


def test_a_live_object_falls_back_to_itself():
    node = Near(by=4)
    node.placement = "prefer_remote"
    assert Pipeline([Adds(), node]).run_sync([1, 2]) == [8, 12]
    assert log == ["initialize adds", "initialize 4", *["process"] * 2, "cleanup 4", "cleanup adds"]
    assert not node.is_initialized
