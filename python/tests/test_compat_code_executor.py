"""The nodes of 0.1 that run code: each as its row of the contract says."""

import asyncio
import base64
import sys

import pytest
from remotemedia import ConfigurationError, Pipeline, PipelineError, _core
from remotemedia.nodes.code_executor import CodeExecutorNode, SerializedClassExecutorNode

contract = pytest.mark.contract
runs = pytest.mark.skipif(not hasattr(_core, "Session"), reason="the extension has no sessions")


class Counter:
    def __init__(self):
        self.value = 0

    def add(self, n, times=1):
        self.value += n * times
        return self.value

    def fail(self):
        raise LookupError("nothing there")

    async def later(self):
        return 1


def packed(value):
    cloudpickle = pytest.importorskip("cloudpickle")
    return base64.b64encode(cloudpickle.dumps(value)).decode()


@contract("2 CodeExecutorNode (code_executor)")
@runs
def test_the_value_of_result_goes_on():
    node = CodeExecutorNode(name="code", note=1)
    item = {"code": "result = sum(n * n for n in input_data)", "input": [1, 2, 3]}
    assert asyncio.run(Pipeline([node]).run(item)) == {
        "executed_code": item["code"],
        "input": [1, 2, 3],
        "result": 14,
        "processed_by": "CodeExecutorNode[code]",
        "node_config": {"note": 1},
    }


@contract("2 CodeExecutorNode (code_executor)")
def test_code_and_input_of_the_parameters_stand_in():
    node = CodeExecutorNode("result = input_data + 1", input_data=4)
    assert node.process(None)["result"] == 5
    assert node.process({"input": 6})["result"] == 7
    assert node.process({"code": "result = -input_data"})["result"] == -4
    assert node.get_params() == {"code": "result = input_data + 1", "input_data": 4}


@contract("2 CodeExecutorNode (code_executor)")
def test_without_a_result():
    assert CodeExecutorNode("x = 1").process()["result"] == "No result variable set"
    assert CodeExecutorNode("result = None").process()["result"] is None


@contract("2 CodeExecutorNode (code_executor)")
@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("result = 1 / 0", "ZeroDivisionError: division by zero"),
        ("result = (", "SyntaxError: "),
        ("import os", "ImportError: "),
        ("open('x')", "NameError: "),
        ("eval('1')", "NameError: "),
        ("", "No code provided"),
    ],
)
def test_code_that_fails_gives_an_error_dict(code, error):
    told = CodeExecutorNode(name="code").process({"code": code, "input": 7})
    assert told.pop("error").startswith(error)
    assert told == {"code": code, "input": 7, "processed_by": "CodeExecutorNode[code]"}


@contract("2 CodeExecutorNode (code_executor)")
def test_an_item_of_another_type_gives_an_error_dict():
    told = CodeExecutorNode("result = 1").process([1])
    assert told["error"] == "Input must be None or a dict with 'code', not list"
    assert told["input"] == [1]


@contract("2 CodeExecutorNode (code_executor)")
def test_what_may_be_imported():
    code = "import math, json\nfrom collections import deque\nresult = math.floor(2.5)"
    assert "ImportError" in CodeExecutorNode(code).process()["error"]
    assert CodeExecutorNode(code, enable_safe_imports=True).process()["result"] == 2
    pickled = "import pickle\nresult = pickle.loads(pickle.dumps((1, 2)))"
    assert "error" in CodeExecutorNode(pickled, enable_safe_imports=True).process()
    assert CodeExecutorNode(pickled, enable_pickle=True).process()["result"] == (1, 2)
    inner = "import os.path\nresult = os.path.basename('a/b')"
    assert CodeExecutorNode(inner, allowed_modules=["os"]).process()["result"] == "b"
    told = CodeExecutorNode("import osx", allowed_modules=["os"]).process()["error"]
    assert told == "ImportError: module 'osx' may not be imported, only os"


@contract("2 CodeExecutorNode (code_executor)")
def test_security_info():
    info = CodeExecutorNode(enable_pickle=True, allowed_modules=["csv"]).get_security_info()
    assert info["sandboxed"] is False
    assert info["allowed_modules"] == ["csv", "pickle"]
    assert "open" not in info["allowed_builtins"] and "len" in info["allowed_builtins"]


@contract("2 CodeExecutorNode (code_executor)")
def test_allowed_modules_is_a_list():
    with pytest.raises(ConfigurationError, match="allowed_modules is 'os', want a list"):
        CodeExecutorNode(allowed_modules="os")


@contract("2 SerializedClassExecutorNode")
@runs
def test_the_object_comes_back_as_it_is_after_the_call():
    cloudpickle = pytest.importorskip("cloudpickle")
    node = SerializedClassExecutorNode(name="call")
    item = {
        "serialized_object": packed(Counter()),
        "method_name": "add",
        "method_args": [2],
        "method_kwargs": {"times": 3},
    }
    told = asyncio.run(Pipeline([node]).run(item))
    updated = cloudpickle.loads(base64.b64decode(told.pop("updated_serialized_object")))
    assert updated.value == 6
    assert told == {"result": 6, "processed_by": "SerializedClassExecutorNode[call]"}


@contract("2 SerializedClassExecutorNode")
@pytest.mark.parametrize(
    ("method", "kind", "text"),
    [
        ("fail", "LookupError", "nothing there"),
        ("gone", "AttributeError", "gone"),
        ("later", "TypeError", "'later' is no plain method of Counter"),
        ("", "ValueError", "Missing required field: method_name"),
    ],
)
def test_what_fails_gives_an_error_dict(method, kind, text):
    node = SerializedClassExecutorNode(name="call")
    told = node.process({"serialized_object": packed(Counter()), "method_name": method})
    assert text in told.pop("error")
    assert told == {
        "error_type": kind,
        "method_name": method,
        "processed_by": "SerializedClassExecutorNode[call]",
    }


@contract("2 SerializedClassExecutorNode")
def test_an_item_that_is_no_object_gives_an_error_dict():
    pytest.importorskip("cloudpickle")
    node = SerializedClassExecutorNode()
    assert node.process([1])["error_type"] == "TypeError"
    damaged = {"serialized_object": "no base64", "method_name": "add"}
    assert "error" in node.process(damaged)


@contract("2 SerializedClassExecutorNode")
def test_without_cloudpickle_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    with pytest.raises(PipelineError, match="needs the Python package 'cloudpickle'") as caught:
        SerializedClassExecutorNode(name="call").initialize()
    assert caught.value.code == 309
    assert caught.value.help == "pip install cloudpickle"
