"""Registry, graph and plan through the extension: what is returned, what is raised, who keeps what alive."""

import gc
import json
import pathlib
import weakref

import pytest

from remotemedia import _core


def manifest(*nodes, connections=()):
    return json.dumps(
        {"version": "v1", "metadata": {"name": "m"}, "nodes": list(nodes),
         "connections": list(connections)}
    )


def test_a_manifest_parses_into_nodes_and_edges():
    graph = _core.Graph.parse(
        manifest(
            {"id": "a", "node_type": "test.tone", "params": {"rate_hz": 8000}},
            {"id": "b", "node_type": "test.pass"},
            connections=[{"from": "a", "to": "b"}],
        )
    )
    assert graph.name == "m"
    assert [node["id"] for node in graph.nodes] == ["a", "b"]
    assert json.loads(graph.nodes[0]["params"]) == {"rate_hz": 8000}
    assert graph.nodes[0]["line"] == 1
    assert [(edge["from"], edge["to"], edge["policy"]) for edge in graph.edges] == [
        ("a", "b", "block")
    ]
    assert _core.Graph.parse(graph.to_json()).nodes[1]["node_type"] == "test.pass"


def test_a_manifest_may_be_bytes_and_nothing_else():
    assert _core.Graph.parse(manifest({"id": "a", "node_type": "test.tone"}).encode()).name == "m"
    with pytest.raises(TypeError, match="a manifest is a int, want str or bytes"):
        _core.Graph.parse(1)


def test_two_faults_are_two_findings_of_one_error():
    text = '{"version": "v1", "nodes": [{"id": 1, "node_type": "x.y"},\n {"id": "b"}]}'
    with pytest.raises(_core.Error) as caught:
        _core.Graph.parse(text)
    findings = caught.value.findings
    assert len(findings) >= 2
    assert {finding.severity for finding in findings} == {"error"}
    assert findings[0].code == caught.value.code == 105
    assert (findings[0].line, findings[0].pointer) == (1, "/nodes/0/id")
    assert "errors in all" in str(caught.value)
    graph, same = _core.Graph.check(text)
    assert graph is None
    assert same == findings


def test_an_unknown_type_is_an_error_with_a_near_name():
    with pytest.raises(_core.Error) as caught:
        _core.Graph.inline("test.tome ! test.pass").plan(_core.Registry())
    assert caught.value.code == 301
    assert caught.value.status == "RM_ENOENT"
    assert "test.tone" in caught.value.help
    assert str(caught.value).startswith("E0301: ")


def test_set_param_makes_a_new_graph():
    graph = _core.Graph.inline("test.tone ! test.pass")
    changed = graph.set_param("tone", "rate_hz", "16000")
    assert json.loads(changed.nodes[0]["params"]) == {"rate_hz": 16000}
    assert json.loads(graph.nodes[0]["params"]) == {}
    with pytest.raises(_core.Error) as caught:
        graph.set_param("tome", "rate_hz", "16000")
    assert caught.value.code == 108


def test_a_resolver_is_asked_for_what_no_module_has():
    asked = []
    node_type = _core.NodeType(None, name="mine:Node")

    def resolve(spec):
        asked.append(spec)
        return node_type if spec["node_type"] == "mine:Node" else None

    graph = _core.Graph.parse(
        manifest(
            {"id": "a", "node_type": "test.tone"},
            {"id": "b", "node_type": "mine:Node", "params": {"depth": 3}, "code": {"$python": 7}},
            connections=[{"from": "a", "to": "b"}],
        )
    )
    plan = graph.plan(_core.Registry(resolve))
    assert [(spec["id"], spec["node_type"], spec["instance"]) for spec in asked] == [
        ("b", "mine:Node", 7)
    ]
    assert json.loads(asked[0]["params"]) == {"depth": 3}
    assert json.loads(asked[0]["node"])["id"] == "b"
    assert plan.python_nodes == [("b", node_type)]
    assert not plan.native_only
    assert _core.Graph.inline("test.tone ! test.pass").plan(_core.Registry()).native_only


def test_a_resolvers_exception_is_the_cause_of_the_error():
    def resolve(spec):
        raise LookupError("no such class")

    with pytest.raises(_core.Error, match="LookupError: no such class") as caught:
        _core.Graph.inline("mine:Node").plan(_core.Registry(resolve))
    assert caught.value.code == 602
    assert isinstance(caught.value.__cause__, LookupError)
    assert caught.value.__cause__.__traceback__ is not None


def test_a_resolvers_error_keeps_its_code_and_help():
    def resolve(spec):
        error = _core.Error("text")
        error.code, error.message, error.help = 309, "vad.silero needs onnxruntime", "pip install it"
        raise error

    with pytest.raises(_core.Error) as caught:
        _core.Graph.inline("mine:Node").plan(_core.Registry(resolve))
    assert caught.value.code == 309
    assert "vad.silero needs onnxruntime" in caught.value.message
    assert caught.value.help == "pip install it"


def test_a_resolver_that_returns_something_else_is_told():
    with pytest.raises(_core.Error, match="returned a int for node"):
        _core.Graph.inline("mine:Node").plan(_core.Registry(lambda spec: 3))


def test_a_registry_is_not_used_while_it_plans():
    def resolve(spec):
        _core.Graph.inline("test.tone").plan(registry)

    registry = _core.Registry(resolve)
    with pytest.raises(_core.Error) as caught:
        _core.Graph.inline("mine:Node").plan(registry)
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert _core.Graph.inline("test.tone").plan(registry).native_only  # it is free again


def test_parameters_of_a_node_type_are_checked_at_planning():
    node_type = _core.NodeType(
        None,
        name="mine:Node",
        params=[
            {"name": "depth", "kind": "int", "default": 3, "min": 0, "max": 5, "required": True},
            {"name": "mode", "kind": "enum", "choices": ["low", "high"], "default": "low"},
        ],
    )
    registry = _core.Registry(lambda spec: node_type)
    assert _core.Graph.inline("test.tone ! mine:Node depth=5 mode=high").plan(registry)
    for text, code in [("depth=6", 304), ("depth=x", 303), ("", 305), ("depth=1 mode=mid", 304),
                       ("depth=1 deep=2", 302)]:
        with pytest.raises(_core.Error) as caught:
            _core.Graph.inline(f"test.tone ! mine:Node {text}").plan(registry)
        assert caught.value.code == code, text


def test_without_a_parameter_table_any_parameter_is_accepted():
    node_type = _core.NodeType(None, name="mine:Node")
    assert _core.Graph.inline("test.tone ! mine:Node x=1 y=z").plan(_core.Registry(lambda spec: node_type))


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"make": 3}, TypeError, "make is a int, want a callable or None"),
        ({"name": 3}, TypeError, "name is a int, want str"),
        ({"inputs": [("in", "audio hertz=3")]}, _core.Error, "port 'in'"),
        ({"inputs": ["in"]}, TypeError, "want \\(name, formats\\)"),
        ({"outputs": [("p", None)] * 17}, ValueError, "17 ports on a side, want at most 16"),
        ({"params": [{"kind": "int"}]}, ValueError, "a parameter has no name"),
        ({"params": [{"name": "a", "kind": "integer"}]}, ValueError, "kind is 'integer', want bool"),
        ({"params": [{"name": "a", "kind": "enum"}]}, ValueError, "an enum needs choices"),
        ({"params": [{"name": "a", "kind": "json", "default": {1}}]}, TypeError, "serializable"),
        ({"params": [3]}, TypeError, "want a mapping"),
    ],
)
def test_a_wrong_argument_of_a_node_type_is_named(arguments, error, text):
    with pytest.raises(error, match=text):
        _core.NodeType(**{"make": None, "name": "mine:Node", **arguments})


def test_a_type_is_described_with_ports_and_parameters():
    described = _core.Registry().describe("test.tone")
    assert described["name"] == "test.tone"
    assert described["inputs"] == []
    assert described["outputs"][0]["name"] == "audio"
    rate = next(param for param in described["params"] if param["name"] == "rate_hz")
    assert (rate["kind"], rate["unit"], rate["default"]) == ("int", "Hz", "48000")
    choice = next(param for param in described["params"] if param["name"] == "sample_format")
    assert choice["choices"] == ["f32", "s16"]
    assert json.loads(_core.Registry().schema("test.tone"))["properties"]["rate_hz"]


def test_all_modules_load_and_a_broken_one_is_told(tmp_path, monkeypatch):
    (tmp_path / "broken.node.so").write_bytes(b"not a shared object")
    monkeypatch.setenv("REMOTEMEDIA_MODULE_PATH", str(tmp_path))
    registry = _core.Registry()
    [(path, error)] = registry.load_all()
    assert path == str(tmp_path / "broken.node.so")
    assert error.code == 306
    assert "test.pass" in registry.names()
    assert _core.module_path()[0] == str(tmp_path)
    with pytest.raises(_core.Error) as caught:
        registry.load(path)
    assert caught.value.code == 306


def test_codes_have_meanings():
    codes = dict(_core.codes())
    assert codes[301] == _core.code_meaning(301) != ""
    assert _core.code_meaning(9998) == _core.code_meaning(-1) == ""


def test_a_cycle_through_a_node_type_is_collected():
    class Owner:
        pass

    def build():
        owner = Owner()
        node_type = _core.NodeType(lambda: owner, name="mine:Node")
        registry = _core.Registry(lambda spec: node_type)
        owner.plan = _core.Graph.inline("test.tone ! mine:Node").plan(registry)
        return weakref.ref(owner)

    owner = build()
    gc.collect()
    assert owner() is None


def test_a_plan_keeps_graph_registry_and_types_alive():
    def build():
        node_type = _core.NodeType(None, name="mine:Node", params=[{"name": "a", "kind": "int"}])
        registry = _core.Registry(lambda spec: node_type)
        return _core.Graph.inline("test.tone ! mine:Node a=1").plan(registry)

    plan = build()
    gc.collect()
    [(name, node_type)] = plan.python_nodes
    assert json.loads(plan.to_json())["nodes"][1]["type"] == "mine:Node"
    assert node_type.name == "mine:Node"


def test_a_wrong_log_sink_or_filter_is_an_error():
    with pytest.raises(_core.Error, match="loud"):
        _core.set_log(None, "loud")
    with pytest.raises(TypeError, match="sink is a int"):
        _core.set_log(3)


def test_the_package_is_the_one_under_test():
    """Guards against testing an installed copy."""
    assert pathlib.Path(_core.__file__).parent.name == "remotemedia"
    assert _core.__version__ == "0.1.0"
