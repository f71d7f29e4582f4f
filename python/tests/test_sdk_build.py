"""Building pipelines and writing them down: no session is needed for any of it."""

import asyncio
import json
import pathlib
import subprocess
import sys

import pytest
import remotemedia
from remotemedia import Node, NodeError, NodeSpec, Param, Pipeline, PipelineError, Port
from remotemedia.errors import ConfigurationError, Error, RemoteMediaError, node_error


class Scale(Node):
    def __init__(self, factor, offset=0, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor
        self.offset = offset

    def process(self, x):
        return self.factor * x + self.offset


class Bare(Node):
    """A node that never calls super().__init__()."""

    def __init__(self, size):
        self.size = size

    def process(self, x):
        return x


class Count(Node):
    def process(self):
        yield from range(3)


def test_the_first_argument_is_the_nodes_or_the_name():
    assert Pipeline("talk").name == "talk"
    assert Pipeline([Scale(2)], "talk").name == "talk"
    assert Pipeline("talk", [Scale(2)]).node_ids == ["Scale"]
    assert Pipeline(name="talk", nodes=[Scale(2), Scale(3)]).node_ids == ["Scale", "Scale2"]
    assert Pipeline().name.startswith("Pipeline_")


def test_nodes_are_found_by_id_and_by_name():
    pipeline = Pipeline("p")
    first, second = Scale(2, name="double it"), Scale(3, id="triple")
    assert pipeline.add_node(first).add_node(second) is pipeline
    assert pipeline.node_ids == ["double-it", "triple"]
    assert pipeline.get_node("double it") is first is pipeline.get_node("double-it")
    assert pipeline.get_node("triple") is second
    assert pipeline.get_node("other") is None
    assert list(pipeline) == pipeline.nodes == [first, second]
    assert len(pipeline) == pipeline.node_count == 2
    assert repr(pipeline) == "Pipeline(name='p', nodes=2, not initialized)"


def test_removing_a_node_joins_its_neighbours():
    pipeline = Pipeline("p", [Scale(1, id="a"), Scale(2, id="b"), Scale(3, id="c")])
    assert pipeline.remove_node("b") is True
    assert pipeline.remove_node("b") is False
    assert pipeline.to_manifest()["connections"] == [{"from": "a", "to": "c"}]


@pytest.mark.parametrize("thing", ["no node", "plain", 3, None, Scale, lambda x: x])
def test_what_is_no_node_is_refused(thing):
    with pytest.raises(PipelineError, match="is not a node"):
        Pipeline().add_node(thing)


def test_wrong_building_says_what_was_wanted():
    pipeline = Pipeline("p", [Scale(1, id="a")])
    with pytest.raises(PipelineError, match="node id 'a' is taken"):
        pipeline.add_node(Scale(2, id="a"))
    with pytest.raises(PipelineError, match="names no node") as caught:
        pipeline.add_node(Scale(2), after="b")
    assert caught.value.help == "nodes: a"
    with pytest.raises(ConfigurationError, match="node id is 'a b'"):
        Scale(1, id="a b")
    with pytest.raises(ConfigurationError, match="node type is 'a b'"):
        Node("a b")
    with pytest.raises(ConfigurationError, match="no node type"):
        Node()
    with pytest.raises(TypeError, match="abstract"):
        type("Nothing", (Node,), {})()
    assert pipeline.node_ids == ["a"]


def test_a_graph_with_branches_and_ports():
    pipeline = Pipeline("p")
    pipeline.add_node("media.read", path="a.mp4")
    pipeline.add_node("video.scale", after="read.video", width=320)
    pipeline.add_node("audio.level", after="read.audio")
    pipeline.add_node(Scale(1), after={"first": "scale", "second": "level"})
    assert pipeline.to_manifest()["connections"] == [
        {"from": "read", "to": "scale", "from_port": "video"},
        {"from": "read", "to": "level", "from_port": "audio"},
        {"from": "scale", "to": "Scale", "to_port": "first"},
        {"from": "level", "to": "Scale", "to_port": "second"},
    ]


@pytest.mark.contract("5 constructor parameters and names are lost in the manifest")
def test_constructor_parameters_are_captured():
    assert Scale(2, 5).get_params() == {"factor": 2, "offset": 5}
    assert Scale(factor=2, name="x", id="y").get_params() == {"factor": 2}
    assert Bare(7).get_params() == {"size": 7}
    assert (Bare(7).name, Bare(7).config) == ("Bare", {})
    assert Scale(2, window="hann").config == {"window": "hann"}
    assert repr(Scale(2, 5)) == "Scale(factor=2, offset=5)"
    assert repr(Node("audio.level", rate_hz=8)) == "Node('audio.level', rate_hz=8)"


@pytest.mark.contract("3 nodes[].node_type", "3 nodes[].params")
@pytest.mark.contract("5 constructor parameters and names are lost in the manifest")
def test_a_manifest_holds_types_and_parameters_and_gives_the_pipeline_back():
    pipeline = Pipeline("p", [Node("test.tone", rate_hz=8000), Scale(2, name="twice")])
    manifest = json.loads(pipeline.serialize(description="a tone"))
    assert manifest["version"] == "v1"
    assert manifest["metadata"]["name"] == "p"
    assert manifest["metadata"]["description"] == "a tone"
    assert manifest["metadata"]["created_at"].endswith("Z")
    assert manifest["nodes"] == [
        {"id": "tone", "node_type": "test.tone", "params": {"rate_hz": 8000}},
        {"id": "twice", "node_type": f"{__name__}:Scale", "params": {"factor": 2}},
    ]
    again = Pipeline.from_manifest(pipeline.serialize())
    assert again.to_manifest()["nodes"] == manifest["nodes"]
    assert again.to_manifest()["connections"] == manifest["connections"]
    assert Pipeline.from_manifest(manifest).name == "p"


@pytest.mark.contract("5 results differ by runtime")
def test_values_that_json_lacks_survive_a_manifest():
    numpy = pytest.importorskip("numpy")
    value = {
        "$price": 3,
        "tuple": (1, (2,)),
        "set": {1, 2},
        "bytes": b"\0\xff",
        "big": 2**80,
        "list": [True, None, 1.5, "é"],
        "inf": float("-inf"),
        "array": numpy.eye(2, dtype="f4"),
    }
    text = Pipeline("p", [Scale(value)]).serialize()
    back = Pipeline.from_manifest(text).nodes[0].get_params()["factor"]
    assert numpy.array_equal(back["array"], value["array"])
    assert back.pop("array").dtype == value.pop("array").dtype
    assert back == value
    assert type(back["tuple"][1]) is tuple


def test_what_no_manifest_can_hold_is_pinned_to_this_process():
    keep = Scale(lambda x: x)
    text = Pipeline("p", [keep]).serialize()
    assert "$python" in json.loads(text)["nodes"][0]["code"]
    assert Pipeline.from_manifest(text).nodes == [keep]
    script = f"""
import remotemedia
try:
    remotemedia.Pipeline.from_manifest({text!r})
except remotemedia.PipelineError as error:
    print(error)
"""
    told = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert "pinned to the process that wrote the manifest" in told.stdout


def test_a_class_of_the_main_program_is_named_by_its_file(tmp_path):
    program = tmp_path / "shout.py"
    program.write_text(
        "from remotemedia import Node, Pipeline\n"
        "class Shout(Node):\n"
        "    def process(self, text):\n"
        "        return text.upper()\n"
        "if __name__ == '__main__':\n"
        "    print(Pipeline('p', [Shout()]).serialize())\n"
    )
    told = subprocess.run([sys.executable, program], capture_output=True, text=True, check=True)
    assert json.loads(told.stdout)["nodes"][0]["node_type"] == "shout:Shout"


def test_an_inline_pipeline_and_a_file(tmp_path):
    pipeline = Pipeline.inline("test.tone rate_hz=8000 ! test.pass id=through")
    assert pipeline.node_ids == ["tone", "through"]
    assert pipeline.get_node("tone").get_params() == {"rate_hz": 8000}
    pipeline.save(tmp_path / "p.json")
    assert Pipeline.load(tmp_path / "p.json").to_manifest()["connections"] == [
        {"from": "tone", "to": "through"}
    ]
    with pytest.raises(PipelineError, match="column") as caught:
        Pipeline.inline("test.tone !")
    assert caught.value.code == 111


def test_a_manifest_with_two_faults_is_one_error_with_both():
    with pytest.raises(PipelineError) as caught:
        Pipeline.from_manifest(
            '{"version": "v1", "nodes": [{"id": 1, "node_type": "a.b"},\n{"id": "x"}]}'
        )
    assert len(caught.value.findings) >= 2
    assert str(caught.value).count("line ") >= 2
    assert str(caught.value).startswith("E0105: line 1")


def test_a_pipeline_explains_its_plan_and_checks_it_before_anything_runs():
    plan = Pipeline("p", [Node("test.tone", rate_hz=8000), Node("test.pass"), Scale(2)]).explain()
    assert [n["id"] for n in plan["nodes"]] == ["tone", "pass", "Scale"]
    assert [n["tier"] for n in plan["nodes"]] == ["native", "native", "cpython"]
    assert all(n["reason"] for n in plan["nodes"])
    with pytest.raises(PipelineError) as caught:
        Pipeline("p", [Node("test.tone", rate=8000), Node("test.pas")]).explain()
    assert {finding.code for finding in caught.value.findings} == {301, 302}
    assert "test.pass" in str(caught.value.help) + "".join(f.help for f in caught.value.findings)
    assert not str(caught.value).startswith("E0302: line")
    with pytest.raises(PipelineError, match="empty"):
        Pipeline("p").explain()


class Tone(Node):
    def __init__(self, rate_hz=8000, *, names=(), **config):
        super().__init__(**config)

    def process(self):
        yield from ()


class Plain(Node):
    def process(self, x):
        return x


class Closed(Plain):
    def __init__(self, rate_hz=8000):
        super().__init__()

    def process(self, x):
        return x


def test_a_slip_where_any_parameter_is_taken_is_a_warning_at_the_callers_line():
    slip = Pipeline([Node(f"{__name__}:Tone", rate_hs=3, depth=1)])
    for call in slip.explain, slip.run_sync, lambda: asyncio.run(slip.run()):
        with pytest.warns(UserWarning) as caught:
            call()
        (one,) = caught
        assert "Tone takes any parameter, also 'rate_hs' (did you mean 'rate_hz'?)" in str(one.message)
    with pytest.warns(UserWarning) as caught:
        slip.run_sync()
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    "node", ["Tone rate_hz=1 name=a depth=2", "Closed", "Plain rate=3", "Closed rate_hz=2"]
)
def test_names_that_are_known_or_far_from_the_known_ones_are_not_warned_of(node, recwarn):
    Pipeline.inline(f"{__name__}:{node}").explain()
    assert not recwarn.list


class NeedsMuch(Node):
    spec = NodeSpec(
        name="test.needs",
        requires=(
            remotemedia.Dependency("json", "pip install json"),
            remotemedia.Dependency("no_such_module", "pip install --no-deps no-such-module"),
            remotemedia.Dependency("nor_this", "pip install nor-this"),
        ),
    )

    def process(self, x):
        return x


@pytest.mark.parametrize("node", [NeedsMuch(), Node(f"{__name__}:NeedsMuch")])
def test_a_missing_dependency_is_one_error_with_the_commands_before_the_run(node):
    with pytest.raises(PipelineError) as caught:
        Pipeline("p", [Node("test.tone"), node]).explain()
    assert caught.value.code == 309
    assert "needs no_such_module and nor_this, which are not installed" in str(caught.value)
    assert caught.value.help == "pip install --no-deps no-such-module && pip install nor-this"
    assert len(caught.value.findings) == 1


class Levels(Node):
    spec = NodeSpec(
        name="test.levels",
        inputs=(Port("audio", "audio rate_hz=16000 channels=1 sample_format=f32"),),
        params=(
            Param("window_ms", "int", 20, 1, 1000, "ms"),
            Param("shape", "enum", "flat", choices=("flat", "hann")),
        ),
    )

    def __init__(self, window_ms=20, shape="flat"):
        super().__init__()

    def process(self, audio):
        return audio


def test_parameters_of_a_python_type_are_checked_by_its_table():
    def explain(**params):
        name = f"{__name__}:Levels"
        return Pipeline("p", [Node("test.tone"), Node(name, **params)]).explain()

    assert explain(window_ms=30, shape="hann")["nodes"][-1]["type"] == "test.levels"
    for params, code in (({"window_ms": 0}, 304), ({"shape": "x"}, 304), ({"windows": 1}, 302)):
        with pytest.raises(PipelineError) as caught:
            explain(**params)
        assert caught.value.code == code


@pytest.mark.parametrize(
    "node_type, code", [("no_such_module:Thing", 601), ("json:Thing", 601), ("json:loads", 601)]
)
def test_code_that_cannot_be_found_is_an_error_that_names_it(node_type, code):
    with pytest.raises(PipelineError) as caught:
        Pipeline("p", [Count(), Node(node_type)]).explain()
    assert caught.value.code == code
    assert node_type.split(":")[1] in str(caught.value) or "no_such_module" in str(caught.value)


# ---- errors


class Special(ValueError):
    def __init__(self, first, second):
        super().__init__(f"{first} and {second}")
        self.second = second


@pytest.mark.parametrize(
    "original",
    [
        ValueError("boom"),
        KeyError("key"),
        Special(1, 2),
        FileNotFoundError(2, "none", "a.wav"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
        ExceptionGroup("two", [OSError()]),
        StopIteration(3),
        ZeroDivisionError(),
    ],
    ids=lambda e: type(e).__name__,
)
def test_what_a_node_raised_is_caught_by_its_own_class_and_as_a_node_error(original):
    made = node_error(original, "scale", 3)
    assert isinstance(made, NodeError)
    assert isinstance(made, (PipelineError, RemoteMediaError)) and isinstance(made, Error)
    if not isinstance(original, (StopIteration, ExceptionGroup)):
        assert isinstance(made, type(original))
    assert (made.node, made.item, made.code) == ("scale", 3, 402)
    assert made.original is made.__cause__ is original
    assert str(made).startswith(f"E0402: node 'scale', item 3: {type(original).__name__}")
    assert str(original) in str(made)
    assert made.args == original.args


def test_attributes_and_the_traceback_of_the_original_are_kept():
    try:
        raise Special(1, 2)
    except Special as error:
        made = node_error(error, "a", 1)
    assert made.second == 2
    assert "raise Special(1, 2)" in made.traceback
    assert node_error(FileNotFoundError(2, "none", "a.wav"), "a", 1).errno == 2


@pytest.mark.parametrize("passing", [KeyboardInterrupt(), SystemExit(3), NodeError("x")])
def test_what_ends_a_program_passes_unchanged(passing):
    assert node_error(passing, "a", 1) is passing


@pytest.mark.contract("5 import pulls every heavy dependency")
def test_importing_the_package_imports_neither_numpy_nor_asyncio():
    script = (
        "import sys, remotemedia; from remotemedia import Node, Pipeline;"
        "print([m for m in ('numpy', 'asyncio', 'logging', 'av') if m in sys.modules])"
    )
    told = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert told.stdout == "[]\n"
    assert "Pipeline" in dir(remotemedia)
    with pytest.raises(AttributeError, match="no attribute 'Pipelin'"):
        remotemedia.Pipelin


# ---- drawing


def test_a_pipeline_draws_itself():
    from xml.etree import ElementTree

    pipeline = Pipeline("p", [Node("test.tone"), Scale("<&>")])
    shown = pipeline._repr_mimebundle_()
    root = ElementTree.fromstring(shown["image/svg+xml"])
    texts = [element.text for element in root.iter() if element.tag.endswith("text")]
    assert texts == ["tone", "test.tone", "Scale", "Scale"]
    boxes = [element.get("class") for element in root.iter() if element.tag.endswith("rect")]
    assert boxes == ["b", "p"]  # native, Python
    assert shown["text/plain"] == repr(pipeline)
    ElementTree.fromstring(Pipeline("p").to_svg())


def test_the_catalog_of_the_plain_binary_is_current():
    tool = pathlib.Path(__file__).parents[2] / "tools" / "catalog.py"
    told = subprocess.run([sys.executable, tool, "--check"], capture_output=True, text=True)
    assert (told.returncode, told.stderr) == (0, "")


def test_a_node_says_what_it_needs_and_where_it_runs():
    class Far(Scale):
        requirements = [{"gpu": {"type": "cuda", "min_memory_gb": 1000}}, {"memory_gb": 0.01}]
        tier = "cpython"

    tone = Node("test.tone")
    tone.placement = "prefer_remote"
    pipeline = Pipeline("p", [tone, Far(2)])
    entries = json.loads(pipeline.serialize())["nodes"]
    assert entries[0]["placement"] == {"where": "prefer_remote"} and "tier" not in entries[0]
    assert entries[1]["requirements"] == Far.requirements and entries[1]["tier"] == "cpython"
    nodes = pipeline.explain()["nodes"]
    assert "meets alternative 2" in nodes[1]["placement"]["reason"], nodes[1]
    tone.placement = {"where": "remote", "fallback": False}
    with pytest.raises(PipelineError, match="nothing can run node 'tone'") as raised:
        pipeline.explain()
    assert raised.value.code == 202
