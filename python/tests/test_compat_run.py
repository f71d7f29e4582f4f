"""`Pipeline` as programs of 0.1 use it."""

import asyncio
import json
import subprocess
import sys

import pytest

import remotemedia
from remotemedia import Node, NodeError, Pipeline, PipelineError

contract = pytest.mark.contract


class Pass(Node):
    def process(self, data):
        return data


class Fails(Node):
    def process(self, data):
        if data == 2:
            raise ValueError("two")
        return data


class Log(Node):
    """Keeps what is called on it."""

    def __init__(self, fails=False, **kwargs):
        super().__init__(**kwargs)
        self.fails = fails
        self.calls = []

    async def initialize(self):
        await super().initialize()
        self.calls.append("initialize")
        if self.fails:
            raise OSError("no device")

    def process(self, data):
        self.calls.append(data)
        return data

    async def cleanup(self):
        self.calls.append("cleanup")
        await super().cleanup()


def run(pipeline, *args, **kwargs):
    return asyncio.run(pipeline.run(*args, **kwargs))


@contract("1.3 results of run")
@pytest.mark.parametrize(
    ("given", "result"),
    [
        ([], None),
        ([5], 5),
        ([[1, 2]], [1, 2]),
        ([1, 2], [1, 2]),
        (0, 0),
        ([0, False, ""], [0, False, ""]),
        ([None, 1, None], 1),
        ((1, 2), (1, 2)),
        ({"a": 1}, {"a": 1}),
    ],
)
def test_results(given, result):
    assert run(Pipeline([Pass()]), given) == result


@contract("1.3 results of run")
def test_no_input_for_a_node_that_wants_one_is_a_type_error():
    with pytest.raises(TypeError, match="needs an item"):
        run(Pipeline([Pass()]), None)


@contract("1.3 async run(input_data=None, use_rust=True)")
@pytest.mark.parametrize("use_rust", [True, False])
def test_run_takes_use_rust(use_rust):
    assert run(Pipeline(name="p").add_node(Pass()), [1, 2], use_rust=use_rust) == [1, 2]


@contract("1.3 ctor", '5 Pipeline("name") raised')
def test_the_first_argument_is_the_nodes_or_the_name():
    assert Pipeline([Pass(), Pass()], "p").node_count == 2
    assert Pipeline("p").name == "p"
    assert Pipeline().name.startswith("Pipeline_")


@contract("1.3 add_node(node)", "1.3 remove_node(name)", "1.3 get_node(name)")
def test_nodes_are_added_found_and_removed():
    pipeline, node = Pipeline(name="p"), Pass(name="a b")
    assert pipeline.add_node(node) is pipeline
    assert pipeline.get_node("a b") is node
    assert pipeline.get_node("b") is None
    assert pipeline.remove_node("b") is False
    assert pipeline.remove_node("a b") is True
    with pytest.raises(PipelineError, match="is not a node"):
        pipeline.add_node("x")


@contract("1.3 async initialize()", "1.3 async cleanup()")
def test_initialize_is_done_once_and_closes_the_pipeline_to_change():
    node = Log()

    async def program():
        pipeline = Pipeline([node])
        await pipeline.initialize()
        await pipeline.initialize()
        assert pipeline.is_initialized
        for change in (lambda: pipeline.add_node(Pass()), lambda: pipeline.remove_node("Log")):
            with pytest.raises(PipelineError, match="is initialized"):
                change()
        await pipeline.cleanup()
        assert not pipeline.is_initialized

    asyncio.run(program())
    assert node.calls == ["initialize", "cleanup"]


@contract("1.3 async initialize()")
def test_an_initialization_that_fails_cleans_up_what_was_made_ready():
    good, bad = Log(), Log(fails=True)
    pipeline = Pipeline([good, bad])
    with pytest.raises(PipelineError, match="no device"):
        asyncio.run(pipeline.initialize())
    assert not pipeline.is_initialized
    assert good.calls == ["initialize", "cleanup"]


@contract("1.3 managed_execution()", "1.3 async process(stream=None)")
def test_managed_execution_and_process():
    node = Log()

    async def program():
        async def items():
            yield 1
            yield 2

        pipeline = Pipeline([node])
        async with pipeline.managed_execution() as managed:
            assert managed is pipeline
            assert [result async for result in pipeline.process(items())] == [1, 2]
        with pytest.raises(PipelineError, match="not initialized"):
            await anext(pipeline.process(items()))

    asyncio.run(program())
    assert node.calls == ["initialize", 1, 2, "cleanup"]


@contract("1.3 properties", "1.3 get_config(), __iter__, __len__, __repr__")
def test_properties():
    pipeline = Pipeline([Pass(name="a")], name="p")
    assert (pipeline.is_initialized, pipeline.node_count, pipeline.remote_node_count) == (False, 1, 0)
    assert (len(pipeline), list(pipeline)) == (1, pipeline.nodes)
    assert repr(pipeline) == "Pipeline(name='p', nodes=1, not initialized)"
    assert pipeline.get_config()["nodes"] == [{"name": "a", "class": "Pass", "config": {}}]


@contract("1.3 serialize(include_capabilities=True, description=None)")
@contract("3 version", "3 metadata.name", "3 connections[] {from, to}")
@contract("3 metadata.description, metadata.created_at", "3 nodes[].id", "3 nodes")
def test_serialize_writes_a_manifest_v1():
    manifest = json.loads(Pipeline([Pass(name="a b"), Pass()], "p").serialize(description="d"))
    assert manifest["version"] == "v1"
    assert manifest["metadata"]["name"] == "p"
    assert manifest["metadata"]["description"] == "d"
    assert manifest["metadata"]["created_at"].endswith("Z")
    assert [node["id"] for node in manifest["nodes"]] == ["a-b", "Pass"]
    assert manifest["connections"] == [{"from": "a-b", "to": "Pass"}]
    assert Pipeline.from_manifest(json.dumps(manifest)).node_ids == ["a-b", "Pass"]


@contract("3 version", "3 nodes[].id", "3 connections[] {from, to}")
@pytest.mark.parametrize(
    "change",
    [
        {"version": "v2"},
        {"nodes": [{"id": "a b", "node_type": "x.y"}], "connections": []},
        {"connections": [{"from": "a", "to": "b"}]},
    ],
)
def test_a_manifest_that_is_wrong_is_refused(change):
    good = {"version": "v1", "metadata": {"name": "p"}, "nodes": [{"id": "a", "node_type": "x.y"}]}
    assert Pipeline.from_manifest(good).node_ids == ["a"]
    with pytest.raises(PipelineError):
        Pipeline.from_manifest(good | change)


@contract("5 an exception in a node or source silently truncates the stream")
def test_an_exception_ends_the_run_with_node_item_and_traceback():
    node = Log()
    with pytest.raises(NodeError) as caught:
        run(Pipeline([node, Fails(name="f")]), [1, 2, 3])
    assert (caught.value.node, caught.value.item) == ("f", 2)
    assert "two" in caught.value.traceback
    assert node.calls[-1] == "cleanup"
    skipping = Pipeline([Fails()], on_error="skip")
    assert run(skipping, [1, 2, 3]) == [1, 3]
    assert len(skipping.errors) == 1


@contract("5 results differ by runtime")
@pytest.mark.parametrize(
    "value", [(1, (2,)), 2**80, float("inf"), b"\0\xff", {1, 2}, {"a": [1, 1.0, True]}]
)
def test_values_keep_their_type(value):
    result = run(Pipeline([Pass(), Pass()]), [value, value])[1]
    assert (repr(result), type(result)) == (repr(value), type(value))


@contract("5 import pulls every heavy dependency")
@pytest.mark.parametrize("module", ["remotemedia", "remotemedia.nodes"])
def test_the_import_loads_the_standard_library_only(module):
    script = f"""
import sys
before = set(sys.modules)
from {module} import *
tops = {{name.partition(".")[0] for name in set(sys.modules) - before}}
print(sorted(tops - set(sys.stdlib_module_names) - {{"remotemedia"}}))
"""
    told = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert told.stdout == "[]\n"


@contract("5 an early break out of process() leaves un-awaited coroutines and warnings on stderr")
def test_an_early_break_is_quiet():
    script = """
import asyncio, itertools
from remotemedia import Node, Pipeline

class Slow(Node):
    async def process(self, data):
        await asyncio.sleep(0)
        return data

async def main():
    async with Pipeline([Slow(), Slow()]).managed_execution() as pipeline:
        async for item in pipeline.process(itertools.count(1)):
            print(item)
            break

asyncio.run(main(), debug=True)
"""
    told = subprocess.run(
        [sys.executable, "-W", "always", "-c", script], capture_output=True, text=True, timeout=60
    )
    assert (told.returncode, told.stdout, told.stderr) == (0, "1\n", "")


@contract("1.4 initialize(), cleanup()")
@pytest.mark.parametrize("awaited", [True, False])
def test_initialize_and_cleanup_may_be_plain_or_coroutines(awaited):
    calls = []

    class Plain(Pass):
        def initialize(self):
            super().initialize()
            calls.append("initialize")

        def cleanup(self):
            super().cleanup()
            calls.append("cleanup")

    node = Log() if awaited else Plain()
    assert run(Pipeline([node]), 1) == 1
    assert (node.calls if awaited else calls)[0] == "initialize"
    assert (node.calls if awaited else calls)[-1] == "cleanup"


@contract("1.2 RemoteMediaError", "1.2 PipelineError", "1.2 NodeError")
@contract("1.2 ConfigurationError", "1.2 SerializationError")
def test_the_errors_have_one_base():
    for name in ("PipelineError", "NodeError", "ConfigurationError", "SerializationError"):
        assert issubclass(getattr(remotemedia, name), remotemedia.RemoteMediaError)
    assert issubclass(remotemedia.RemoteMediaError, Exception)


def test_a_program_without_workers_loads_nothing_of_them():
    code = (
        "import sys; from remotemedia import Node, Pipeline; Pipeline(); "
        "print([name for name in sys.modules if name == 'ctypes' or name.startswith('remotemedia._w')"
        " and name != 'remotemedia._watch'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n", done.stdout + done.stderr
