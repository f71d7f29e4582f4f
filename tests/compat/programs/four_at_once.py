"""Four runs of one pipeline at the same time."""
import asyncio

from remotemedia import Node, Pipeline
from remotemedia.nodes import MultiplyNode


class Wait(Node):
    async def process(self, number):
        await asyncio.sleep(0.001 * (number % 3))
        return number


async def main():
    pipeline = Pipeline([MultiplyNode(factor=2), Wait()])
    print(await asyncio.gather(*(pipeline.run([n, n + 1]) for n in range(4))))


asyncio.run(main())
