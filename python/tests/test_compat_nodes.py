"""The nodes of 0.1 whose work is plain Python: each as its row of the contract says."""

import asyncio
import subprocess
import sys

import pytest

from remotemedia import ConfigurationError, Node, NodeError, Pipeline
from remotemedia.nodes import (
    AddNode,
    BidirectionalNode,
    BufferNode,
    CalculatorNode,
    DataSinkNode,
    DataSourceNode,
    JavaScriptBridgeNode,
    MultiplyNode,
    PassThroughNode,
    StatefulCounter,
    TextProcessorNode,
    TextTransformNode,
)

contract = pytest.mark.contract


def run(nodes, data):
    return Pipeline(nodes).run_sync(data)


def again(node):
    """The node as a manifest makes it again."""
    return Pipeline.from_manifest(Pipeline([node]).serialize()).nodes[0]


@contract("1.1 remotemedia.nodes")
def test_star_gives_what_it_gave_and_needs_the_standard_library_alone():
    code = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in sys.stdlib_module_names and top != "remotemedia":
            raise ImportError(f"{name} is not of the standard library")
sys.meta_path.insert(0, Refuse())
from remotemedia.nodes import *
from remotemedia.nodes import BufferNode, LocalMediaReaderNode, TrackSource
AudioTransform(), VoiceActivityDetector(), MediaReaderNode("a.mp4"), DataSourceNode()
try:
    PassThroughNode
except NameError:
    print("not PassThroughNode")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "not PassThroughNode\n"


@contract("2 PassThroughNode (base)")
def test_pass_through_gives_the_object_itself():
    item = {"a": [1]}
    assert run([PassThroughNode()], item) is item
    assert run([PassThroughNode()], [None, 1, None]) == 1


@contract("2 BufferNode (base)")
def test_buffer_gives_full_lists_and_at_the_end_what_is_left():
    assert run([BufferNode(2)], [1, 2, 3, 4]) == [[1, 2], [3, 4]]
    node = BufferNode(buffer_size=3)
    assert run([node], [1, 2, 3, 4]) == [[1, 2, 3], [4]]
    assert run([node], [5]) == [5]  # nothing of the run before
    assert run([again(node)], [1, 2, 3, 4]) == [[1, 2, 3], [4]]
    with pytest.raises(ConfigurationError, match="buffer_size is 0, want an int, 1 or more"):
        BufferNode(0)


@contract("2 CalculatorNode (calculator)")
@pytest.mark.parametrize(
    ("operation", "args", "result"),
    [
        ("add", [2, 3], 5),
        ("multiply", [2, 3.5], 7.0),
        ("subtract", [2, 3, 100], -1),
        ("divide", [3, 2], 1.5),
        ("power", [2, 100], 2**100),
        ("modulo", [7, 4], 3),
    ],
)
def test_calculator_does_what_a_dict_asks(operation, args, result):
    node = CalculatorNode(name="sum", unit="m")
    assert run([node], {"operation": operation, "args": args}) == {
        "operation": operation,
        "args": args,
        "result": result,
        "processed_by": "CalculatorNode[sum]",
        "node_config": {"unit": "m"},
    }


@contract("2 CalculatorNode (calculator)")
@pytest.mark.parametrize(
    ("operation", "args", "error"),
    [
        ("divide", [1, 0], "Division by zero"),
        ("modulo", [1, 0], "Modulo by zero"),
        ("root", [1, 2], "Unknown operation: root"),
        ("add", [1], "Operation 'add' requires at least 2 arguments"),
    ],
)
def test_calculator_tells_what_it_cannot_calculate(operation, args, error):
    assert run([CalculatorNode(name="c")], {"operation": operation, "args": args}) == {
        "error": error,
        "operation": operation,
        "args": args,
        "processed_by": "CalculatorNode[c]",
    }


@contract("5 `CalculatorNode` means two things")
def test_calculator_takes_numbers_too():
    node = CalculatorNode(operation="multiply", operand=3)
    assert run([node], [1, 2.5]) == [3, 7.5]
    assert run([again(node)], [1, 2.5]) == [3, 7.5]
    assert "power" in node.get_supported_operations()
    assert run([CalculatorNode(name="c")], "two") == {
        "error": "Input must be a dict, not str",
        "input": "two",
        "processed_by": "CalculatorNode[c]",
    }
    with pytest.raises(ConfigurationError, match="operation is 'root', want one of add"):
        CalculatorNode(operation="root")
    with pytest.raises(ZeroDivisionError):
        run([CalculatorNode(operation="divide", operand=0)], 1)


@contract("2 MultiplyNode / AddNode (simple_math; since 0.1)")
def test_multiply_and_add_take_numbers_and_lists():
    assert run([MultiplyNode()], [3]) == 6.0
    assert run([MultiplyNode(factor=2), AddNode(addend=1)], [1, [1, 2]]) == [3, [3, 5]]
    assert run([MultiplyNode(2)], "ab") == "abab"
    assert run([again(MultiplyNode(5)), again(AddNode(7))], 2) == 17
    with pytest.raises(NodeError, match="can only concatenate str"):
        run([AddNode()], "a")


@contract("2 TextProcessorNode (text_processor)")
def test_text_processor_does_what_is_asked():
    asked = ["uppercase", "lowercase", "reverse", "word_count", "char_count", "title_case",
             "remove_spaces", "first_word", "last_word", "shout"]
    assert run([TextProcessorNode(name="t")], {"text": "Ab cd", "operations": asked}) == {
        "original_text": "Ab cd",
        "operations": asked,
        "results": {
            "uppercase": "AB CD", "lowercase": "ab cd", "reverse": "dc bA", "word_count": 2,
            "char_count": 5, "title_case": "Ab Cd", "remove_spaces": "Abcd", "first_word": "Ab",
            "last_word": "cd", "shout": "unknown_operation_shout",
        },
        "processed_by": "TextProcessorNode[t]",
        "node_config": {},
    }
    assert run([TextProcessorNode()], {"text": "a"})["results"] == {"uppercase": "A"}
    assert run([TextProcessorNode()], {"text": "", "operations": ["last_word"]})["results"] == {
        "last_word": ""
    }
    assert run([TextProcessorNode(name="t")], 7) == {
        "error": "Input must be a dict with a str 'text'",
        "input": 7,
        "processed_by": "TextProcessorNode[t]",
    }


@contract("2 TextTransformNode (transform)")
def test_text_transform_changes_text_and_lets_the_rest_pass():
    node = TextTransformNode(str.upper)
    assert run([node], ["ab", ("cd", 1), 7]) == ["AB", ("CD", 1), 7]
    with pytest.raises(ConfigurationError, match="transform_func is 7, want a function"):
        TextTransformNode(7)


@contract("2 StatefulCounter (custom)")
def test_counter_goes_on_from_run_to_run():
    node = StatefulCounter(initial_value=5)
    assert run([node], ["a", "b"]) == [(6,), (7,)]
    assert run([node], ["c"]) == (8,)
    assert run([again(StatefulCounter(3))], ["a"]) == (4,)


@contract("2 DataSourceNode(buffer_size=100, timeout_seconds=30.0, name=None)")
@contract("5 DataSourceNode.close drops queued items")
def test_source_gives_what_is_pushed_also_after_it_was_closed():
    async def main():
        source = DataSourceNode(buffer_size=3, timeout_seconds=0.01)
        pushed = [await source.push_data(n) for n in range(4)]
        await source.close()
        assert await source.push_data(9) is False
        return pushed, await Pipeline([source, PassThroughNode()]).run()

    assert asyncio.run(main()) == ([True, True, True, False], [0, 1, 2])


@contract("2 DataSourceNode(buffer_size=100, timeout_seconds=30.0, name=None)")
def test_a_full_source_holds_up_who_pushes_until_there_is_room():
    async def main():
        source = DataSourceNode(buffer_size=2)

        async def push():
            for n in range(50):
                assert await source.push_data(n)
            await source.close()

        pushing = asyncio.create_task(push())
        results = await Pipeline([source]).run()
        await pushing
        return results

    assert asyncio.run(main()) == list(range(50))


@contract("2 DataSinkNode(callback=None, buffer_output=False, buffer_size=100, name=None)")
def test_sink_shows_items_and_passes_them_on(caplog):
    async def main():
        seen, queue = [], asyncio.Queue()

        async def note(item):
            seen.append(item)
            if item == 2:
                raise ValueError("no twos")

        sink = DataSinkNode(callback=note, buffer_output=True, buffer_size=2, name="sink")
        sink.set_output_queue(queue)
        assert await Pipeline([sink]).run([1, 2, 3]) == [1, 2, 3]
        assert seen == [1, 2, 3]
        assert sink.get_buffered_output() == [2, 3]
        assert [queue.get_nowait() for _ in range(3)] == [1, 2, 3]
        sink.clear_buffer()
        sink.set_callback(seen.append)
        await Pipeline([sink]).run([4])
        assert seen[-1] == 4
        assert sink.get_buffered_output() == [4]

    asyncio.run(main())
    assert "the callback of 'sink' failed" in caplog.text
    assert "no twos" in caplog.text


@contract("2 BidirectionalNode(process_callback=None, buffer_size=100, name=None)")
def test_bidirectional_gives_results_to_both_sides():
    async def main():
        node = BidirectionalNode(process_callback=lambda n: 2 * n, buffer_size=3)
        running = asyncio.create_task(Pipeline([node]).run())
        for n in range(3):
            assert await node.push_input(n)
        assert [await node.pull_output(5) for _ in range(3)] == [0, 2, 4]
        assert await node.pull_output(timeout=0.01) is None
        for n in range(6):  # nobody takes these: the latest three stay
            await node.push_input(n)
        await node.close()
        assert await running == [0, 2, 4, 0, 2, 4, 6, 8, 10]
        assert [await node.pull_output(1) for _ in range(3)] == [6, 8, 10]
        assert await node.push_input(1) is False

    asyncio.run(main())


@contract("2 JavaScriptBridgeNode(transform_input=None, transform_output=None, name=None)")
def test_bridge_applies_both_functions():
    async def double(n):
        return 2 * n

    assert run([JavaScriptBridgeNode(lambda n: n + 1, double)], [1, 2]) == [4, 6]
    assert run([JavaScriptBridgeNode()], "x") == "x"


def test_a_manifest_names_them_by_their_class(tmp_path):
    manifest = tmp_path / "m.json"
    Pipeline([MultiplyNode(3, name="m"), BufferNode(2)], name="x").save(manifest)
    assert '"node_type": "MultiplyNode"' in manifest.read_text(encoding="utf-8")
    loaded = Pipeline.load(manifest)
    assert loaded.run_sync([1, 2, 3]) == [[3, 6], [9]]


def test_a_subclass_is_a_node_type_of_its_own():
    class Loud(TextTransformNode):
        def __init__(self):
            super().__init__(str.upper)

    assert Loud().node_type.endswith(":test_a_subclass_is_a_node_type_of_its_own.<locals>.Loud")
    assert isinstance(Loud(), Node)
    assert run([Loud()], "a") == "A"
