"""Sessions of nodes, and what else a node of 0.1 has."""

import asyncio
import json
import subprocess
import sys
from datetime import datetime, timedelta

import pytest

import remotemedia
from remotemedia import (
    ConfigurationError,
    Node,
    Pipeline,
    PipelineError,
    RemoteExecutionError,
    RemoteExecutorConfig,
)
from remotemedia.core.node import SessionState, StateManager
from remotemedia.nodes import MultiplyNode, PassThroughNode

contract = pytest.mark.contract


class Turns(Node):
    """Counts the items of each session, as a program of 0.1 would."""

    async def initialize(self):
        await super().initialize()

    async def process(self, data):
        item, told = self.split_data_metadata(data)
        state = await self.get_session_state(self.extract_session_id(data))
        state.set("turns", state.get("turns", 0) + 1)
        return self.merge_data_metadata((item, state.get("turns")), told)

    async def cleanup(self):
        await super().cleanup()


class Plain(Node):
    """The same without await."""

    def initialize(self):
        super().initialize()

    def process(self, data):
        state = self.get_session_state(self.extract_session_id(data))
        state.set("turns", state.get("turns", 0) + 1)
        return state.get("turns")

    def cleanup(self):
        super().cleanup()


def items(ids):
    return [("hello", {"session_id": id}) for id in ids]


@contract("1.4 `get_session_state(session_id=None)`")
@contract("5 initialize/cleanup/state API async")
def test_sessions_are_kept_apart_with_await_and_without():
    wanted = [("hello", 1), ("hello", 1), ("hello", 2)]
    results = Pipeline([Turns()]).run_sync(items(["a", "b", "a"]))
    assert [r[:2] for r in results] == wanted
    assert results[2][2] == {"session_id": "a"}
    assert Pipeline([Plain()]).run_sync(items(["a", "b", "a"])) == [1, 1, 2]


@contract("1.4 `get_session_state(session_id=None)`")
def test_no_session_is_none_awaited_and_false_otherwise():
    async def main():
        node, off = PassThroughNode(), PassThroughNode(enable_state=False)
        assert await node.get_session_state() is None
        assert not node.get_session_state() and node.get_session_state() == None  # noqa: E711
        assert off.state is None
        assert await off.get_session_state("a") is None
        node.set_session_id("a")
        assert node.get_session_id() == "a"
        assert (await node.get_session_state()).session_id == "a"
        assert node.get_session_state("b").session_id == "b"

    asyncio.run(main())


@contract("1.4 `extract_session_id(data)`")
def test_a_session_id_is_found_in_a_dict_and_in_the_last_dict_of_a_tuple():
    node = PassThroughNode()
    assert node.extract_session_id({"session_id": "a"}) == "a"
    assert node.extract_session_id((1, {"session_id": "b"}, {"session_id": "c"}, 2)) == "c"
    assert node.extract_session_id("text") is None
    assert node.extract_session_id((1, 2)) is None


@contract("1.4 `split_data_metadata(data)`")
@contract("1.4 merge_data_metadata(data, meta)")
@pytest.mark.parametrize(
    ("data", "item", "told"),
    [
        ((1, {"session_id": "a"}), 1, {"session_id": "a"}),
        ((1, 2, {"timestamp": 0}), (1, 2), {"timestamp": 0}),
        ((1, {"other": 1}), (1, {"other": 1}), None),
        ({"session_id": "a"}, {"session_id": "a"}, None),
        (7, 7, None),
    ],
)
def test_metadata_is_taken_off_and_put_back(data, item, told):
    node = PassThroughNode()
    assert node.split_data_metadata(data) == (item, told)
    assert node.merge_data_metadata(item, told) == data


@contract("1.4 `SessionState(session_id, data, created_at, last_accessed, metadata)`")
def test_a_state_knows_when_it_was_used():
    old = datetime(2020, 1, 1)
    state = SessionState("a", {"n": 1}, old, old, {"m": 2})
    assert (state.created_at, state.last_accessed, state.metadata) == (old, old, {"m": 2})
    for use in (lambda: state.get("n"), lambda: state.set("n", 2), lambda: state.update({"k": 3}),
                state.clear, state.update_access_time):
        state.last_accessed = old
        use()
        assert state.last_accessed > old
    assert state.data == {} and state.created_at == old


@contract("1.4 `StateManager(default_ttl=None→24 h, max_sessions=None, enable_persistence=False)`")
def test_the_manager_keeps_the_latest_and_what_has_not_expired():
    async def main():
        manager = StateManager(max_sessions=2)
        assert manager.default_ttl == timedelta(hours=24)
        first = await manager.get_or_create_session("a")
        manager.get_or_create_session("b").set("x", 1)
        first.set("x", 1)  # now b is the one that was used least lately
        await manager.get_or_create_session("c")
        assert set(await manager.get_all_sessions()) == {"a", "c"}
        assert await manager.get_session("b") is None
        assert await manager.get_session("a") is first
        assert await manager.delete_session("a") == True  # noqa: E712
        assert not manager.delete_session("a")
        await manager.start_cleanup_task(timedelta(minutes=5))
        await manager.stop_cleanup_task()
        assert await manager.clear_all_sessions() == 1

        brief = StateManager(default_ttl=timedelta(seconds=10))
        state = await brief.get_or_create_session("a")
        state.last_accessed -= timedelta(seconds=11)
        assert await brief.get_session("a") is None
        (await brief.get_or_create_session("b")).last_accessed -= timedelta(seconds=11)
        assert await brief.cleanup_expired_sessions() == 1

    asyncio.run(main())
    with pytest.raises(ConfigurationError, match="max_sessions is 0"):
        StateManager(max_sessions=0)


def test_cleanup_forgets_the_sessions():
    node = Plain()
    Pipeline([node]).run_sync(items(["a"]))
    assert node.state.get_all_sessions() == {}


@contract("1.4 `to_manifest(include_capabilities=True)`")
@contract("1.4 _extract_params(), get_capabilities()")
def test_a_node_as_an_entry_of_a_manifest():
    class Gpu(Turns):
        is_streaming = True

        def get_capabilities(self):
            return {"gpu": {"type": "cuda"}}

    assert MultiplyNode(3, name="m").to_manifest() == {
        "id": "m", "node_type": "MultiplyNode", "params": {"factor": 3}
    }
    entry = Gpu(name="g").to_manifest()
    assert entry["is_streaming"] is True
    assert entry["capabilities"] == {"gpu": {"type": "cuda"}}
    assert "capabilities" not in Gpu().to_manifest(include_capabilities=False)


@contract("1.1 `remotemedia`")
def test_the_package_has_the_names_of_0_1():
    for name in ("Pipeline", "Node", "RemoteExecutorConfig", "RemoteMediaError", "PipelineError",
                 "NodeError", "RemoteExecutionError", "WebRTCError", "__version__", "AudioTransform"):
        assert getattr(remotemedia, name)
    assert remotemedia.AudioTransform is remotemedia.nodes.AudioTransform
    with pytest.raises(AttributeError, match="no attribute 'NoSuchName'"):
        _ = remotemedia.NoSuchName


@contract("1.1 `remotemedia.core`")
@contract("1.2 RemoteExecutionError")
@contract("1.2 WebRTCError")
def test_the_core_has_them_too():
    import remotemedia.core as core
    from remotemedia.core import exceptions, pipeline, types

    assert core.Pipeline is pipeline.Pipeline is Pipeline
    assert exceptions.PipelineError is core.PipelineError is PipelineError
    assert types._SENTINEL is not None
    error = RemoteExecutionError("no", remote_traceback="there")
    assert (str(error), error.remote_traceback) == ("no", "there")
    for name in exceptions.__all__:
        assert issubclass(getattr(exceptions, name), exceptions.RemoteMediaError)


@contract("1.4 `RemoteExecutorConfig`")
def test_a_remote_config_checks_what_it_is_told():
    config = RemoteExecutorConfig("host", 50052, auth_token="secret")
    assert (config.protocol, config.timeout, config.max_retries, config.ssl_enabled) == (
        "grpc", 30.0, 3, True
    )
    assert "secret" not in repr(config)
    for change, wanted in (
        ({"protocol": "ftp"}, "grpc or http"), ({"port": 0}, "1 to 65535"),
        ({"port": 65536}, "1 to 65535"), ({"timeout": 0}, "more than 0 s"), ({"host": ""}, "a name"),
    ):
        with pytest.raises(ConfigurationError, match=wanted):
            RemoteExecutorConfig(**{"host": "h", "port": 1, **change})
    node = config("WhisperNode", node_config={"size": "tiny"})
    assert node.is_remote and node.node_config == {"size": "tiny"}
    assert config(MultiplyNode()).obj_to_execute.factor == 2.0
    with pytest.raises(TypeError, match="a int cannot run elsewhere"):
        config(7)
    pipeline = Pipeline([node])
    assert pipeline.remote_node_count == 1
    with pytest.raises(RemoteExecutionError, match="no transport for grpc is installed"):
        pipeline.run_sync([1])


def test_clients_say_that_there_is_no_transport():
    from remotemedia.remote import RemoteExecutionClient, RemoteProxyClient
    from remotemedia.webrtc import WebRTCConfig, WebRTCServer

    async def main():
        config = RemoteExecutorConfig("host", 50052)
        with pytest.raises(RemoteExecutionError, match="Connection failed: host:50052: no transport"):
            async with RemoteProxyClient(config) as client:
                await client.create_proxy(object())
        client = RemoteExecutionClient(config)
        assert set(client.serializers) == {"json", "pickle"}
        with pytest.raises(RemoteExecutionError, match="no transport for grpc is installed"):
            await client.execute_node("CalculatorNode", {}, 1)
        with pytest.raises(TypeError, match="config is a dict"):
            RemoteProxyClient({})
        server = WebRTCServer(WebRTCConfig(port=0))
        server.set_pipeline_factory(Pipeline)
        with pytest.raises(remotemedia.WebRTCError, match="no WebRTC transport is installed"):
            await server.start()
        await server.stop()
        assert server.get_connection_stats()["total_connections"] == 0
        with pytest.raises(ConfigurationError, match="port is 70000"):
            WebRTCConfig(port=70000)
        assert WebRTCConfig().host == "127.0.0.1"

    asyncio.run(main())


@contract("1.3 `export_definition()`")
def test_a_pipeline_as_a_dict_and_back():
    pipeline = Pipeline([PassThroughNode(name="in"), MultiplyNode(factor=3)], name="p")
    told = pipeline.export_definition()
    assert [n["node_id"] for n in told["nodes"]] == ["in_0", "MultiplyNode_1"]
    second = told["nodes"][1]
    assert (second["node_type"], second["class_name"], second["config"]) == (
        "MultiplyNode", "MultiplyNode", {"factor": 3}
    )
    assert second["module"] == "remotemedia.nodes.simple_math"
    assert told["connections"] == [{"from_node": "in_0", "to_node": "MultiplyNode_1",
                                    "output_port": "default", "input_port": "default"}]
    assert told["metadata"]["node_count"] == "2"
    assert told["metadata"]["pipeline_type"] == "linear"
    assert told["dependencies"] == []

    async def main():
        again = await Pipeline.from_definition(json.loads(json.dumps(told)))
        assert [node.name for node in again.nodes] == ["in", "MultiplyNode"]
        return again.name, await again.run([1, 2])

    assert asyncio.run(main()) == ("p", [3, 6])


@contract("1.3 `async classmethod from_definition(def)`")
def test_a_definition_makes_nodes_only():
    def make(**entry):
        whole = {"node_id": "x", "node_type": "x", "config": {}, **entry}
        return asyncio.run(Pipeline.from_definition({"name": "p", "nodes": [whole]}))

    with pytest.raises(PipelineError, match="module 'os' has no process\\(\\) in 'system'"):
        make(module="os", class_name="system")
    with pytest.raises(PipelineError, match="cannot be made of its config"):
        make(module="remotemedia.nodes.simple_math", class_name="AddNode", config={"addend": 1, 1: 2})
    node = make(module="remotemedia.node", class_name="TypedNode", node_type="audio.level").nodes[0]
    assert node.node_type == "audio.level"


MANIFEST = json.dumps({
    "version": "v1", "metadata": {"name": "m"},
    "nodes": [{"id": "a", "node_type": "PassThrough"},
              {"id": "b", "node_type": "MultiplyNode", "params": {"factor": 2}}],
    "connections": [{"from": "a", "to": "b"}],
})


@contract("1.8 `execute_pipeline_with_input(manifest_json, input_list)`")
@contract("1.8 execute_pipeline(manifest_json)")
@contract("1.8 get_runtime_version(), is_available(), __version__")
def test_the_native_module_runs_manifests():
    import remotemedia_runtime as runtime

    assert runtime.is_available() is True
    assert runtime.get_runtime_version() == runtime.__version__ == remotemedia.__version__
    run = runtime.execute_pipeline_with_input
    assert asyncio.run(run(MANIFEST, [1, 2.5])) == [2, 5.0]
    assert asyncio.run(run(MANIFEST, [4])) == 8
    assert asyncio.run(run(MANIFEST, [])) == []
    assert asyncio.run(runtime.execute_pipeline(MANIFEST)) == []
    with pytest.raises(ValueError, match="Failed to parse manifest: "):
        asyncio.run(run("{", [1]))
    with pytest.raises(RuntimeError, match="Execution failed: .*MultiplyNode|Execution failed: .*'b'"):
        asyncio.run(run(MANIFEST, [None, object()]))
    from remotemedia.runtime import execute_pipeline

    assert execute_pipeline is runtime.execute_pipeline


def test_the_native_module_is_found_by_a_program_of_its_own():
    code = "import remotemedia_runtime as r; print(r.is_available(), r.__version__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == f"True {remotemedia.__version__}\n", done.stderr
