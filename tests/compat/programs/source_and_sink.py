"""A source that the program pushes into, and a sink that it listens to."""
import asyncio

from remotemedia import Pipeline
from remotemedia.nodes import DataSinkNode, DataSourceNode, MultiplyNode


async def main():
    source, results = DataSourceNode(name="source"), []
    sink = DataSinkNode(callback=results.append, buffer_output=True, name="sink")
    pipeline = Pipeline(name="bridge")
    pipeline.add_node(source).add_node(MultiplyNode(factor=10)).add_node(sink)

    async def feed():
        for number in range(4):
            await source.push_data(number)
        await source.close()

    feeding = asyncio.create_task(feed())
    async with pipeline.managed_execution():
        async for result in pipeline.process():
            print("out", result)
    await feeding
    print(results, sink.get_buffered_output())


asyncio.run(main())
