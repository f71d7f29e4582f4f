"""Adding, finding and removing nodes; what is refused once it is initialized."""
import asyncio

from remotemedia import Pipeline, PipelineError
from remotemedia.nodes import AddNode, MultiplyNode, PassThroughNode


async def main():
    pipeline = Pipeline()
    print(pipeline.name.startswith("Pipeline_"))
    assert pipeline.add_node(PassThroughNode(name="a")) is pipeline
    pipeline.add_node(MultiplyNode(factor=2, name="b")).add_node(AddNode(addend=1, name="c"))
    print([node.name for node in pipeline], pipeline.get_node("b").factor, pipeline.get_node("x"))
    print(pipeline.remove_node("a"), pipeline.remove_node("a"), len(pipeline))
    print(pipeline.get_config()["name"] == pipeline.name)
    await pipeline.initialize()
    await pipeline.initialize()
    for change in (lambda: pipeline.add_node(PassThroughNode()), lambda: pipeline.remove_node("b")):
        try:
            change()
        except PipelineError:
            print("refused")
    print([result async for result in pipeline.process(numbers())])
    await pipeline.cleanup()
    print(pipeline.is_initialized)


async def numbers():
    for number in (1, 2):
        yield number


asyncio.run(main())
