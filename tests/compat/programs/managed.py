"""managed_execution() and process() over an async generator, with a node of one's own."""
import asyncio

from remotemedia import Node, Pipeline
from remotemedia.nodes import PassThroughNode


class Upper(Node):
    async def initialize(self):
        await super().initialize()
        print("initialize")

    def process(self, data):
        return data.upper()

    async def cleanup(self):
        print("cleanup")
        await super().cleanup()


async def words():
    for word in ("one", "two", "three"):
        yield word
        await asyncio.sleep(0.001)


async def main():
    pipeline = Pipeline([PassThroughNode(), Upper(name="upper")])
    async with pipeline.managed_execution():
        print(pipeline.is_initialized)
        async for result in pipeline.process(words()):
            print(result)
    print(pipeline.is_initialized)


asyncio.run(main())
