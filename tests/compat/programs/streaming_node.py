"""A node with is_streaming: one call that gets the whole stream, and its flush at the end."""
import asyncio

from remotemedia.core.node import Node
from remotemedia.core.pipeline import Pipeline


class MovingAverage(Node):
    def __init__(self, window=2, **kwargs):
        super().__init__(**kwargs)
        self.window = window
        self.is_streaming = True

    async def process(self, data_stream):
        values = []
        async for value in data_stream:
            values.append(value)
            if len(values) == self.window:
                yield sum(values) / self.window
                values.pop(0)
        yield "end"


async def main():
    pipeline = Pipeline(name="stream")
    pipeline.add_node(MovingAverage(window=2, name="average"))
    print(await pipeline.run([1, 2, 3, 4]))


asyncio.run(main())
