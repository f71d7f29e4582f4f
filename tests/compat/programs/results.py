"""What run() gives back for what is put in."""
import asyncio

import numpy as np
from remotemedia import Pipeline
from remotemedia.nodes import PassThroughNode


async def main():
    pipeline = Pipeline([PassThroughNode()])
    for data in ([], [5], [[1, 2]], [1, 2], (1, 2), {"a": 1}, 0, "", [None, 1, None], [0, False]):
        print(repr(data), "->", repr(await pipeline.run(data)))
    array = np.arange(3)
    print((await pipeline.run(array)) is array)
    try:
        await pipeline.run()
    except TypeError:
        print("TypeError")


asyncio.run(main())
