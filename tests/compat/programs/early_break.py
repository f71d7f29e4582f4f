"""Leaving process() early cancels what runs, quietly."""
import asyncio

from remotemedia import Node, Pipeline


class Slow(Node):
    async def process(self, number):
        await asyncio.sleep(0.001)
        return number

    async def cleanup(self):
        print("cleanup")


async def endless():
    number = 0
    while True:
        yield number
        number += 1


async def main():
    pipeline = Pipeline([Slow()])
    async with pipeline.managed_execution():
        async for result in pipeline.process(endless()):
            print(result)
            if result == 3:
                break


asyncio.run(main())
