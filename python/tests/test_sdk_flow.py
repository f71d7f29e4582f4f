"""Flows: what `>>` draws, what `Pipeline.add` and `connect` make of it, and what they refuse."""

import asyncio
import json

import pytest
from remotemedia import Edge, Flow, Node, NodeError, NodeSpec, Out, Pipeline, PipelineError, Port, merge


class Add(Node):
    def __init__(self, n, **config):
        super().__init__(**config)
        self.n = n

    def process(self, x):
        return x + self.n


class Pair(Node):
    spec = NodeSpec("pair", inputs=(Port("left"), Port("right")))

    def process(self, pair):
        return pair


class Halves(Node):
    spec = NodeSpec("halves", outputs=(Port("low"), Port("high")))

    def process(self, x):
        return Out("low" if x < 10 else "high", x)


class Count(Node):
    def process(self):
        yield from range(3)


class Sink(Node):
    spec = NodeSpec("sink", outputs=())

    def process(self, x):
        pass


def nodes(*names):
    return [Add(10**i, id=name) for i, name in enumerate(names)]


def edges(pipeline):
    """The connections as "from[.port]>to[.port]", sorted."""
    rows = pipeline.to_manifest()["connections"]

    def end(row, key):
        port = row.get(f"{key}_port")
        return row[key] + (f".{port}" if port else "")

    return sorted(f"{end(row, 'from')}>{end(row, 'to')}" for row in rows)


# ---- what is drawn


def test_a_chain_is_what_a_list_is():
    a, b, c = nodes("a", "b", "c")
    assert edges(Pipeline(a >> b >> c)) == edges(Pipeline([a, b, c])) == ["a>b", "b>c"]
    assert Pipeline("named", a >> b).name == "named"
    assert Pipeline(a >> b, "named").node_ids == ["a", "b"]
    assert Pipeline(a >> b >> c).run_sync([1]) == 112


def test_fan_out_and_fan_in():
    a, b, c, d = nodes("a", "b", "c", "d")
    expected = ["a>b", "a>c", "b>d", "c>d"]
    assert edges(Pipeline(a >> [b, c] >> d)) == expected
    assert edges(Pipeline(a >> (b, c) >> d)) == expected
    assert edges(Pipeline(a >> merge(b, c) >> d)) == expected
    assert edges(Pipeline([a >> b, a >> c, merge(b, c) >> d])) == expected
    assert edges(Pipeline([a >> b >> d, a >> c >> d])) == expected
    assert sorted(Pipeline(a >> [b, c] >> d).run_sync([0])) == [1011, 1101]


def test_a_flow_that_stands_in_two_branches_is_there_once():
    a, b, c, d, e = nodes("a", "b", "c", "d", "e")
    begin = a >> b
    assert edges(Pipeline(e >> [begin >> c, begin >> d])) == ["a>b", "b>c", "b>d", "e>a"]
    assert edges(Pipeline([a >> c, b >> c] >> d)) == ["a>c", "b>c", "c>d"]


def test_branches_may_be_flows_and_lists_may_begin():
    a, b, c, d, e = nodes("a", "b", "c", "d", "e")
    assert edges(Pipeline(a >> [b >> c, d] >> e)) == ["a>b", "a>d", "b>c", "c>e", "d>e"]
    assert edges(Pipeline([a, b] >> c)) == ["a>c", "b>c"]
    assert edges(Pipeline([a, b] >> c["input"])) == ["a>c.input", "b>c.input"]


def test_ports_are_outputs_before_and_inputs_behind():
    halves, pair, end = Halves(id="h"), Pair(id="p"), Add(1, id="e")
    pipeline = Pipeline([halves["high"] >> pair["left"] >> end, halves["low"] >> pair["right"]])
    assert edges(pipeline) == ["h.high>p.left", "h.low>p.right", "p>e"]
    assert edges(Pipeline(Add(1, id="a") >> halves["input"] >> end)) == ["a>h.input", "h>e"]


def test_branches_that_meet_feed_one_input_each_where_there_are_as_many():
    a, b, c = nodes("a", "b", "c")
    pair = Pair(id="p")
    assert edges(Pipeline(merge(a, b) >> pair)) == ["a>p.left", "b>p.right"]
    assert edges(Pipeline(merge(a, b) >> pair["left"])) == ["a>p.left", "b>p.left"]
    assert edges(Pipeline(merge(a, b, c) >> pair)) == ["a>p", "b>p", "c>p"]
    assert edges(Pipeline(a >> pair)) == ["a>p"]


def test_how_is_the_merge_of_what_follows_and_of_no_other_pipeline():
    a, b, c = nodes("a", "b", "c")
    pair = Pair(id="p")
    pipeline = Pipeline(a >> merge(b, c, how="zip") >> pair)
    merges = {node["id"]: node.get("merge") for node in pipeline.to_manifest()["nodes"]}
    assert merges == {"a": None, "b": None, "c": None, "p": "zip"}
    assert pipeline.run_sync([0, 1]) == [(11, 101), (12, 102)]
    assert pair.merge is None
    assert "merge" not in Pipeline(merge(b, c) >> pair).to_manifest()["nodes"][2]


def test_an_edge_says_how_it_queues():
    a, b, c = nodes("a", "b", "c")
    pipeline = Pipeline(a >> Edge(capacity=4, policy="latest") >> [b, Edge(latency_ms_max=9) >> c])
    assert pipeline.to_manifest()["connections"] == [
        {"from": "a", "to": "b", "capacity": 4, "policy": "latest"},
        {"from": "a", "to": "c", "capacity": 4, "policy": "latest", "latency_ms_max": 9},
    ]
    assert repr(Edge(capacity=4)) == "Edge(capacity=4)"
    with pytest.raises(PipelineError, match="policy"):
        Pipeline(a >> Edge(policy="lost") >> b).run_sync(1)


def test_connect_takes_nodes_ids_and_ports():
    pipeline = Pipeline()
    halves, pair = Halves(id="h"), Pair(id="p")
    pipeline.add(halves, pair)
    assert pipeline.connect(halves, pair, from_port="low", to_port="left", policy="drop_oldest",
                            capacity={"packets": 3}) is pipeline  # fmt: skip
    pipeline.connect("h.high", "p.right", id="second").connect(halves["low"], "p", to_port="right")
    assert pipeline.to_manifest()["connections"] == [
        {"from": "h", "to": "p", "from_port": "low", "to_port": "left",
         "capacity": {"packets": 3}, "policy": "drop_oldest"},
        {"from": "h", "to": "p", "from_port": "high", "to_port": "right", "id": "second"},
        {"from": "h", "to": "p", "from_port": "low", "to_port": "right"},
    ]  # fmt: skip


def test_a_manifest_of_a_flow_gives_the_pipeline_back():
    a, b, c = nodes("a", "b", "c")
    pipeline = Pipeline(a >> Edge(capacity=2) >> [b, c] >> Pair(id="p"))
    again = Pipeline.from_manifest(json.dumps(pipeline.to_manifest()))
    assert again.to_manifest()["connections"] == pipeline.to_manifest()["connections"]
    a, b = again.get_node("a"), Add(1, id="new")
    assert "a>new" in edges(again.add(a >> b))


# ---- what is refused


@pytest.mark.parametrize(("draw", "code", "text", "help"), [
    (lambda a, b: a >> b >> a, 109, "cycle: b > a > b", ""),
    (lambda a, b: a >> a, 109, "cycle: a > a", ""),
    (lambda a, b: [a >> b, a >> b], 107, "'a' is connected to 'b' already", ""),
    (lambda a, b: [a, a], 107, "in this pipeline already, as 'a'", "one object is one node"),
    (lambda a, b: a >> [b, b], 1, "stands twice in one list", "one object is one node"),
    (lambda a, b: a["outptu"] >> b, 108, "node 'a' has no output 'outptu'", "did you mean 'output'?"),
    (lambda a, b: a >> b["left"], 108, "node 'b' has no input 'left'", "inputs: input"),
    (lambda a, b: a >> Count(id="c"), 108, "node 'c' has no inputs", ""),
    (lambda a, b: Sink(id="s") >> a, 108, "node 's' has no outputs", ""),
    (lambda a, b: a >> Edge(capacity=3), 108, "Edge(capacity=3) beside Add(n=1) leads to nothing", ""),
    (lambda a, b: Edge(capacity=3) >> a, 108, "leads to nothing", ""),
    (lambda a, b: merge(a, b, how="zip"), 108, "merge(how='zip') is followed by nothing", ""),
    (lambda a, b: merge(merge(a, how="zip"), merge(b, how="any")) >> Pair(), 1, "to meet by", ""),
    (lambda a, b: [merge(a, how="zip") >> (p := Pair(id="p")), merge(b, how="any") >> p], 1,
     "inputs of node 'p' are to meet by 'zip' and by 'any'", ""),
    (lambda a, b: a >> Add, 1, "the class Add cannot be joined", "join nodes"),
    (lambda a, b: a >> "audio.level", 1, "'audio.level' cannot be joined", "join nodes"),
    (lambda a, b: a >> [], 1, "the list is empty", ""),
    (lambda a, b: merge(), 1, "the list is empty", ""),
    (lambda a, b: a >> b[0], 1, "is named 0, want str", ""),
])  # fmt: skip
def test_what_cannot_be_is_refused(draw, code, text, help):
    with pytest.raises(PipelineError) as caught:
        Pipeline(draw(*nodes("a", "b")))
    assert (caught.value.code, text in caught.value.message) == (code, True), caught.value.message
    assert help in caught.value.help


def test_connect_names_what_is_near():
    pipeline = Pipeline(nodes("first", "second"))
    with pytest.raises(PipelineError, match="source='frist' names no node") as caught:
        pipeline.connect("frist", "second")
    assert (caught.value.code, caught.value.help) == (108, "did you mean 'first'?")
    with pytest.raises(PipelineError, match="target=Add.* is not in this pipeline"):
        pipeline.connect("first", Add(5))
    with pytest.raises(PipelineError, match="names a port, and 'input' is named beside it"):
        pipeline.connect("first", "second.input", to_port="input")
    with pytest.raises(PipelineError, match="cycle: second > first > second"):
        pipeline.connect("second", "first")


def test_what_is_refused_leaves_the_pipeline_as_it_was():
    a, b, c = nodes("a", "b", "c")
    pipeline = Pipeline(a >> b)
    before = pipeline.to_manifest()
    with pytest.raises(PipelineError, match="cycle"):
        pipeline.add(b >> Edge(policy="latest") >> c, c >> a)
    with pytest.raises(PipelineError, match="no input"):
        pipeline.add_node(Pipeline([Count()]), after=b)
    assert pipeline.to_manifest()["connections"] == before["connections"]
    assert pipeline.node_ids == ["a", "b"]
    assert edges(pipeline.add(b >> c)) == ["a>b", "b>c"]


def test_a_node_is_no_sequence():
    with pytest.raises(TypeError, match="not iterable"):
        list(Add(1))
    assert isinstance(Add(1) >> Add(2), Flow)
    assert repr(Add(1) >> Add(2)) == "Flow(2 nodes, 1 edges)"
    assert repr(Add(1)["x"]) == "Add(n=1)['x']"


# ---- a pipeline as a node


def test_a_pipeline_as_a_node_stands_flat_in_the_graph_around_it():
    a, b, c, d = nodes("a", "b", "c", "d")
    inner = Pipeline("inner", b >> c)
    expected = ["a>inner__b", "inner__b>inner__c", "inner__c>d"]
    for pipeline in (
        Pipeline(a >> inner >> d),
        Pipeline([a, inner, d]),
        Pipeline([a]).add_node(inner).add_node(d),
        Pipeline([a]).add_node(inner, after=None).add_node(d).connect("a", inner),
        Pipeline([a]).add_node(inner, after=a).add_node(d, after="inner"),
    ):
        assert edges(pipeline) == expected
        assert pipeline.run_sync([0]) == 1111
    assert Pipeline(a >> inner >> d).node_ids == ["a", "inner__b", "inner__c", "d"]
    assert inner.node_ids == ["b", "c"]
    assert Pipeline(inner).run_sync([0]) == 110


def test_a_pipeline_as_a_node_runs_from_its_manifest_alone():
    inner = Pipeline("inner", [Node("audio.level", id="level", interval_ms=100)])
    tone = Node("test.tone", id="tone", duration_ms=200)
    manifest = json.dumps(Pipeline(tone >> inner).to_manifest())
    assert "subgraph" not in manifest
    assert len(Pipeline.from_manifest(manifest).run_sync()) == 2


def test_all_ends_of_a_pipeline_are_connected_or_the_named_ones():
    a, b, c, d, e = nodes("a", "b", "c", "d", "e")
    branches = Pipeline("both", a >> [b, c])
    assert edges(Pipeline(branches >> d)) == ["both__a>both__b", "both__a>both__c", "both__b>d", "both__c>d"]
    assert edges(Pipeline(branches["b"] >> d))[-1] == "both__b>d"
    assert "both__a.output>d" in edges(Pipeline(branches["a.output"] >> d))
    manifest = branches.to_manifest() | {
        "inputs": {"in": {"node": "a", "port": "input"}},
        "outputs": {"main": {"node": "b"}, "other": {"node": "c", "port": "output"}},
    }
    named = Pipeline.from_manifest(manifest)
    around = Pipeline([e >> named["in"], named["other"] >> d])
    assert edges(around)[2:] == ["both__c.output>d", "e>both__a.input"]
    assert "inputs" not in around.to_manifest()
    with pytest.raises(PipelineError, match="pipeline 'both' has no output 'othr'") as caught:
        Pipeline(named["othr"] >> d)
    assert caught.value.help == "did you mean 'other'?"
    with pytest.raises(PipelineError, match="no input 'x'") as caught:
        Pipeline(e >> branches["x"])
    assert caught.value.help == "inputs: a, b, c"


def test_pipelines_nest_and_keep_their_policies_and_fields():
    a, b, c = nodes("a", "b", "c")
    b.on_error = "bypass"
    deep = Pipeline("deep", a >> Edge(capacity=3) >> b, on_error="skip")
    middle = Pipeline("middle", deep >> merge(c, how="any") >> (p := Add(5, id="p")))
    outer = Pipeline("outer", Add(7, id="x") >> middle)
    assert outer.node_ids == ["x", "middle__deep__a", "middle__deep__b", "middle__c", "middle__p"]
    rows = {row["id"]: row for row in outer.to_manifest()["nodes"]}
    assert rows["middle__deep__a"]["on_error"] == "skip"
    assert rows["middle__deep__b"]["on_error"] == "bypass"
    assert "on_error" not in rows["middle__c"]
    assert rows["middle__p"]["merge"] == "any"
    assert outer.to_manifest()["connections"][0]["capacity"] == 3
    assert outer.run_sync([0]) == 7 + 1 + 10 + 100 + 5
    assert "x>middle__deep__b" in edges(outer.connect("x", "middle.deep__b"))
    assert outer.get_node("middle__p") is p


def test_ids_within_the_fields_of_nodes_go_along():
    manifest = {"version": "v1", "requires": [], "x-tool": 1, "nodes": [
        {"id": "a", "node_type": "test.tone", "placement": {"with": "b"}},
        {"id": "b", "node_type": "audio.level", "placement": {"with": "elsewhere"}},
    ], "packages": [{"ref": "one"}]}  # fmt: skip
    outer = Pipeline("outer", [Pipeline.from_manifest(manifest)]).to_manifest()
    assert [row["placement"]["with"] for row in outer["nodes"]] == ["pipeline__b", "elsewhere"]
    assert outer["packages"] == [{"ref": "one"}]
    assert "x-tool" not in outer


def test_a_pipeline_is_a_node_once_and_not_of_itself():
    a, b, c = nodes("a", "b", "c")
    inner = Pipeline("inner", [a])
    outer = Pipeline("outer", b >> inner)
    with pytest.raises(PipelineError, match="is in this pipeline already, as 'inner'"):
        outer.add_node(inner)
    with pytest.raises(PipelineError, match="node id 'inner' is taken"):
        outer.add_node(Pipeline([c]), id="inner")
    with pytest.raises(PipelineError, match="cannot be a node of itself"):
        outer.add_node(outer)
    with pytest.raises(PipelineError, match="is empty"):
        outer.add_node(Pipeline("nothing"))
    with pytest.raises(PipelineError, match="takes no input"):
        Pipeline(c >> Pipeline("s", [Count()]))
    with pytest.raises(PipelineError, match="gives no output"):
        Pipeline(Pipeline("s", [Sink()]) >> c)
    with pytest.raises(PipelineError, match="got parameters"):
        outer.add_node(Pipeline([c]), gain=3)
    assert outer.remove_node("inner") is True
    assert outer.node_ids == ["b"]


def test_removing_a_pipeline_joins_its_neighbours():
    a, b, c, d = nodes("a", "b", "c", "d")
    outer = Pipeline(a >> Pipeline("inner", b >> c) >> d)
    assert outer.remove_node("inner")
    assert edges(outer) == ["a>d"]


@pytest.mark.parametrize("name", [None, "speech in", "x" * 90])
def test_a_pipeline_gets_an_id_of_its_name(name):
    inner = Pipeline(nodes("a"), name)
    outer = Pipeline("outer")
    if name and len(name) == 90:
        outer.add_node(inner)
        assert outer.node_ids == ["x" * 80 + "__a"]
        with pytest.raises(PipelineError, match="want 1 to 95"):
            outer.add_node(Pipeline([Add(1, id="y" * 20)], name))
        return
    outer.add_node(inner)
    assert outer.node_ids == ["speech-in__a" if name else "pipeline__a"]


# ---- conditions


class Give(Node):
    def process(self, x):
        return x


class Scored:
    def __init__(self, score, **more):
        self.score = score
        self.__dict__.update(more)

    @property
    def broken(self):
        raise RuntimeError("not to be read")


@pytest.mark.parametrize(
    ("when", "taken"),
    [
        ({"field": "value", "above": 2}, [3, 2.5]),
        ({"field": "value", "equals": 1}, [1]),
        ({"field": "value", "equals": True}, [True]),
        ({"field": "value", "equals": None}, [None]),
        ({"field": "text", "not_equals": "no"}, ["yes"]),
        ({"field": "value.lang", "in": ["fr", "de"]}, [{"lang": "fr"}]),
        ({"field": "value.1.x", "exists": True}, [(0, {"x": 1})]),
        ({"field": "value.lang", "not_equals": "de"}, [{"lang": "fr"}]),
        ({"field": "kind", "not_equals": "object"}, []),
    ],
)  # fmt: skip
def test_a_condition_looks_into_live_objects(when, taken):
    items = [1, 3, 2.5, True, "yes", "no", {"lang": "fr"}, (0, {"x": 1}), [0], 10**40]
    if when.get("equals", 0) is None:
        items = [Scored(1)]  # None itself is nothing, and no item
        items[0].none, when, taken = None, {"field": "value.none", "equals": None}, items
    if "above" in when:
        taken = [*taken, 10**40]
    got = []

    class Take(Node):
        spec = NodeSpec("take", outputs=())

        def process(self, x):
            got.append(x)

    pipeline = Pipeline(Give() >> Edge(when=when) >> Take())
    pipeline.run_sync(items)
    assert got == taken
    counts = {node["id"]: node["unrouted"] for node in pipeline.metrics.raw["nodes"]}
    assert counts["Give"] == len(items) - len(taken)


def test_attributes_are_fields_and_one_that_raises_is_not_there():
    items = [Scored(0.9), Scored(0.1), Scored(0.7, metadata={"lang": "fr"})]
    give = Give()
    pipeline = Pipeline(
        [
            give >> Edge(when={"field": "value.score", "above": 0.5}) >> Give(id="sure"),
            give >> Edge(when={"field": "value.broken", "exists": True}) >> Give(id="broken"),
            give >> Edge(when={"field": "metadata.lang", "equals": "fr"}) >> Give(id="french"),
        ]
    )
    results = pipeline.run_sync(items)
    assert sorted(x.score for x in results) == [0.7, 0.7, 0.9]


def test_a_condition_is_part_of_the_manifest_and_refused_where_it_is_wrong():
    pipeline = Pipeline(nodes("a", "b"))
    pipeline.add_node(Add(1, id="c"), after=None)
    pipeline.connect("a", "c", when={"field": "value", "above": 3})
    assert pipeline.to_manifest()["connections"][-1]["when"] == {"field": "value", "above": 3}
    pipeline.connect("b", "c", when={"field": "kind", "equals": "adio"})
    with pytest.raises(PipelineError, match=r"'adio', which is no kind[\s\S]*mean 'audio'"):
        pipeline.run_sync([1])


# ---- graphs of manifests


def inner_manifest(**more):
    nodes = [{"id": name, "node_type": "test.pass"} for name in ("p", "q")]
    return {"version": "v1", "nodes": nodes, **more}


def outer_manifest(graph):
    nodes = [{"id": "a", "node_type": "test.pass"}, {"id": "g", "node_type": "graph", "graph": graph}]
    return {"version": "v1", "nodes": nodes}


def test_a_manifest_is_a_node(tmp_path):
    inline = Pipeline.from_manifest(outer_manifest(inner_manifest()))
    assert inline.node_ids == ["a", "g__p", "g__q"]
    assert inline.run_sync([1, 2]) == [1, 2]
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "inner.json").write_text(json.dumps(inner_manifest()))
    (tmp_path / "sub" / "middle.json").write_text(json.dumps(outer_manifest("inner.json")))
    (tmp_path / "outer.json").write_text(json.dumps(outer_manifest("sub/middle.json")))
    loaded = Pipeline.load(tmp_path / "outer.json")
    assert loaded.node_ids == ["a", "g__a", "g__g__p", "g__g__q"]
    assert loaded.run_sync([1, 2]) == [1, 2]
    assert Pipeline.from_manifest(loaded.to_manifest()).node_ids == loaded.node_ids


def test_what_is_wrong_in_a_manifest_inside_is_told_with_its_place(tmp_path):
    (tmp_path / "inner.json").write_text('{"version": "v1",\n "nodes": [{"id": "p"}]}')
    (tmp_path / "outer.json").write_text(json.dumps(outer_manifest("inner.json"), indent=1))
    with pytest.raises(PipelineError, match=r"inner\.json, line 2, column 12: nodes\[0\] lacks") as e:
        Pipeline.load(tmp_path / "outer.json")
    assert [(f.pointer, f.line) for f in e.value.findings] == [("/nodes/1/graph", 11)]
    with pytest.raises(PipelineError, match="in no folder"):
        Pipeline.from_manifest(outer_manifest("inner.json"))
    wrong = inner_manifest()
    wrong["nodes"][1]["node_type"] = "test.pas"
    with pytest.raises(PipelineError, match=r"test\.pass") as e:
        Pipeline.from_manifest(outer_manifest(wrong)).run_sync([1])


# ---- times


class Timed(Node):
    pts_repair = "fill"

    def process(self, x):
        return x


def test_a_node_repairs_the_times_of_what_it_gives():
    pipeline = Pipeline(Timed())
    assert pipeline.to_manifest()["nodes"][0]["pts"] == "fill"
    assert pipeline.run_sync([1, {"a": 2}, "x"]) == [1, {"a": 2}, "x"]
    counts = {node["id"]: node["pts_repaired"] for node in pipeline.metrics.raw["nodes"]}
    assert counts["Timed"] == 3
    assert Pipeline.from_manifest(pipeline.to_manifest()).to_manifest()["nodes"][0]["pts"] == "fill"
    node = Timed()
    node.pts_repair = "filled"
    with pytest.raises(PipelineError, match='pts is "filled", want one of keep, fill, monotonic'):
        Pipeline(node).run_sync([1])


# ---- copies


def test_a_native_node_runs_in_several_copies_and_keeps_the_order():
    double = Pipeline([Node("test.pass", id="double", parallel=3)])
    assert double.to_manifest()["nodes"][0] == {
        "id": "double", "node_type": "test.pass", "params": {}, "parallel": 3,
    }  # fmt: skip
    assert double.run_sync(list(range(50))) == list(range(50))
    items = {row["id"]: row["items"] for row in double.metrics.raw["nodes"] if row.get("copy")}
    assert items == {"double.1": 17, "double.2": 17, "double.3": 16}
    assert {node.id: node.items for node in double.metrics} == items
    assert double.metrics["double.3"].items == 16
    assert [n["node_id"] for n in double.get_metrics()["node_metrics"]] == list(items)


def test_what_cannot_have_copies_says_why():
    with pytest.raises(PipelineError, match=r"node 'resample' \(audio.resample\) keeps state"):
        Pipeline([Node("audio.resample", rate_hz=16000, parallel=2)]).run_sync([])
    node = Timed()
    node.parallel = 2
    with pytest.raises(PipelineError, match="is Python, which runs in several copies only where its tier is worker"):
        Pipeline(node).run_sync([1])


class Device(Node):
    """A source that cannot wait, before a node that keeps its first item for a while."""

    def __init__(self, at_overrun=lambda: None):
        self.overruns = 0
        self.at_overrun = at_overrun

    def process(self):
        yield from range(40)

    def overrun(self):
        self.overruns += 1
        self.at_overrun()


class HoldsFirst(Node):
    async def process(self, x):
        if x == 0:
            await asyncio.sleep(0.02)
        return x


def run_device(device):
    pipeline = Pipeline(device >> Edge(capacity=2) >> HoldsFirst())
    return pipeline, pipeline.run_sync()


def test_a_source_that_cannot_wait_is_told_once_that_nothing_has_room():
    device = Device()
    pipeline, results = run_device(device)
    assert results == list(range(40))
    assert device.overruns >= 1
    counts = {node["id"]: node["overruns"] for node in pipeline.metrics.raw["nodes"]}
    assert counts["Device"] == device.overruns
    assert counts["HoldsFirst"] == 0


def test_what_overrun_raises_is_told_and_the_run_goes_on():
    device = Device(lambda: 1 // 0)
    pipeline, results = run_device(device)
    assert results == list(range(40))
    first = pipeline.errors[0]
    assert isinstance(first, NodeError)
    assert first.node == "Device"
    assert isinstance(first.__cause__, ZeroDivisionError)


def test_overrun_is_a_plain_function():
    class Waits(Device):
        async def overrun(self):
            pass

    with pytest.raises(TypeError, match=r"overrun\(\) is a coroutine, want a plain function"):
        run_device(Waits())


def test_overrun_of_a_node_that_is_no_source_is_its_own_matter():
    class Counts(HoldsFirst):
        async def overrun(self):
            raise AssertionError

    assert Pipeline([Counts()]).run_sync([0, 1]) == [0, 1]


# ---- fallbacks


class Picky(Node):
    def process(self, x):
        if x % 3 == 0:
            raise ValueError(f"{x} is too much")
        return ("well", x, object)  # no manifest value: it stays live


class Spare(Node):
    def process(self, x):
        return ("spare", x, object)


class Words(Node):
    def process(self, x):
        return list(x[:2])


def with_fallback(spare):
    picky = Picky()
    picky.on_error = {"policy": "fallback", "fallback": spare}
    return picky


RESCUED = [["well", 1], ["well", 2], ["spare", 3], ["well", 4], ["well", 5], ["spare", 6]]


def test_a_fallback_takes_what_its_node_fails_on():
    pipeline = Pipeline(with_fallback(Spare()) >> Words())
    assert pipeline.node_ids == ["Spare", "Picky", "Words"]
    assert pipeline.run_sync([1, 2, 3, 4, 5, 6]) == RESCUED
    assert [(error.policy, error.node) for error in pipeline.errors] == [("fallback", "Picky")] * 2
    assert Pipeline("outer", pipeline).run_sync([1, 2, 3, 4, 5, 6]) == RESCUED
    manifest = pipeline.to_manifest()
    assert manifest["nodes"][1]["on_error"] == {"policy": "fallback", "fallback": "Spare"}


@pytest.mark.parametrize("slow", [True, False, None])
def test_what_a_fallback_gives_keeps_its_place_wherever_it_works(slow):
    spare = Spare()
    spare.blocking = slow
    items = [3, 6, 9, 12, 1, 15, 18, 2, 4, 21]  # several at once wait for the fallback
    got = Pipeline(with_fallback(spare) >> Words()).run_sync(items)
    assert got == [["well" if x % 3 else "spare", x] for x in items]


def test_a_fallback_may_be_named_and_be_native():
    picky = with_fallback("same")
    pipeline = Pipeline([picky, Words()])
    pipeline.add_node("test.pass", id="same", after=None)
    with pytest.raises(NodeError):  # what is passed on is no list
        pipeline.run_sync([1, 2, 3])
    picky.on_error = {"policy": "fallback", "fallback": "sane"}
    with pytest.raises(PipelineError, match="which is no node: did you mean 'same'"):
        pipeline.run_sync([1])
    picky.on_error = {"policy": "fallback", "fallback": Spare()}
    with pytest.raises(PipelineError, match="is not in this pipeline"):
        pipeline.run_sync([1])
