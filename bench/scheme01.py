"""How 0.1 ran a pipeline, at its best: one `asyncio.Queue` and one task a node; sync nodes on a
`ThreadPoolExecutor` of as many workers as there are nodes.

Rebuilt from what its programs show, with nothing that would slow it: no logging, no metrics, no checks.
"""

import asyncio
import concurrent.futures
import inspect

END = object()


async def _stage(node, source, sink, loop, pool):
    """One node's task: what comes out of its queue goes through the node into the next queue."""
    process = node.process
    if inspect.isasyncgenfunction(process):
        while (item := await source.get()) is not END:
            async for result in process(item):
                await sink.put(result)
    elif inspect.iscoroutinefunction(process):
        while (item := await source.get()) is not END:
            result = await process(item)
            if result is not None:
                await sink.put(result)
    else:
        while (item := await source.get()) is not END:
            result = await loop.run_in_executor(pool, process, item)
            if result is not None:
                await sink.put(result)
    await sink.put(END)


async def _feed(items, queue):
    for item in items:
        await queue.put(item)
    await queue.put(END)


async def run(nodes, items, capacity=16):
    """Run all items through the nodes; return the list of results."""
    loop = asyncio.get_running_loop()
    queues = [asyncio.Queue(capacity) for _ in range(len(nodes) + 1)]
    with concurrent.futures.ThreadPoolExecutor(len(nodes)) as pool:
        tasks = [asyncio.create_task(_feed(items, queues[0]))]
        tasks += [asyncio.create_task(_stage(node, queues[i], queues[i + 1], loop, pool))
                  for i, node in enumerate(nodes)]
        results = []
        while (item := await queues[-1].get()) is not END:
            results.append(item)
        await asyncio.gather(*tasks)
    return results
