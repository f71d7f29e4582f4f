"""`TransformersPipelineNode`, with a module in the place of transformers: what is asked of it, what is
shared, what is told where it fails. No model runs here."""

import asyncio
import sys
import types

import pytest
from remotemedia import NodeError, PipelineError
from remotemedia.nodes.ml import TransformersPipelineNode
from remotemedia.nodes.ml import transformers_pipeline as subject


@pytest.fixture
def asked(monkeypatch):
    """The arguments of each pipeline that was loaded."""
    every = []

    def pipeline(**options):
        every.append(options)
        if options["model"] == "gone":
            raise OSError("no such model")
        return lambda data: [{"label": options["task"], "of": data}]

    module = types.SimpleNamespace(pipeline=pipeline)
    monkeypatch.setitem(sys.modules, "transformers", module)
    monkeypatch.setattr(subject, "_shared", subject._Shared())
    return every


async def once(node, data):
    await node.initialize()
    try:
        return await node.process(data)
    finally:
        await node.cleanup()


@pytest.mark.contract("2 TransformersPipelineNode (ml)")
def test_the_parameters_reach_the_pipeline(asked):
    node = TransformersPipelineNode(
        "text-classification", "tiny", device="cpu", model_kwargs={"a": 1}, torch_dtype="float16"
    )
    result = asyncio.run(once(node, "fine"))
    assert result == [{"label": "text-classification", "of": "fine"}]
    assert asked == [{"task": "text-classification", **node.get_params()}]
    assert node.get_params() == {
        "task": "text-classification",
        "model": "tiny",
        "device": "cpu",
        "model_kwargs": {"a": 1},
        "torch_dtype": "float16",
    }


@pytest.mark.contract("2 TransformersPipelineNode (ml)")
def test_what_is_loaded_is_shared_up_to_a_bound(asked):
    for _ in range(3):
        asyncio.run(once(TransformersPipelineNode("summarization"), "x"))
    assert len(asked) == 1
    for n in range(subject.LOADED_MAX):
        asyncio.run(once(TransformersPipelineNode("summarization", f"m{n}"), "x"))
    asyncio.run(once(TransformersPipelineNode("summarization"), "x"))
    assert len(asked) == subject.LOADED_MAX + 2


@pytest.mark.contract("2 TransformersPipelineNode (ml)")
def test_a_task_is_required():
    with pytest.raises(ValueError, match="task is None"):
        TransformersPipelineNode()


@pytest.mark.contract("2 TransformersPipelineNode (ml)")
def test_capabilities_go_by_the_task():
    assert TransformersPipelineNode("text-generation").get_capabilities()["memory_gb"] == 8
    assert TransformersPipelineNode("fill-mask").get_capabilities()["memory_gb"] == 2


@pytest.mark.contract("2 TransformersPipelineNode (ml)")
def test_a_model_that_cannot_be_loaded_is_named(asked):
    with pytest.raises(NodeError, match="gone cannot be loaded for the task 'fill-mask': no such"):
        asyncio.run(once(TransformersPipelineNode("fill-mask", "gone"), "x"))


@pytest.mark.contract("2 TransformersPipelineNode (ml)")
def test_without_transformers_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(PipelineError, match="needs transformers and torch") as caught:
        asyncio.run(once(TransformersPipelineNode("fill-mask", "other"), "x"))
    assert caught.value.code == 309
    assert caught.value.help == "pip install transformers torch"
