"""The first program of the 0.1 guide: three nodes in a row."""
import asyncio

from remotemedia.core.pipeline import Pipeline
from remotemedia.nodes import PassThroughNode
from remotemedia.nodes.base import BufferNode


async def main():
    pipeline = Pipeline(name="basic")
    pipeline.add_node(PassThroughNode(name="input"))
    pipeline.add_node(BufferNode(buffer_size=2, name="buffer"))
    pipeline.add_node(PassThroughNode(name="output"))
    print(len(pipeline), pipeline.node_count, pipeline)
    result = await pipeline.run([1, 2, 3, 4, 5])
    print(result)
    print(await pipeline.run("hello"))


if __name__ == "__main__":
    asyncio.run(main())
