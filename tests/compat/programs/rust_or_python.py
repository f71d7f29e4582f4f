"""Programs that compared the native runtime with the Python one."""
import asyncio

from remotemedia import Pipeline
from remotemedia.nodes import AddNode, MultiplyNode

try:
    import remotemedia_runtime
    print("runtime available:", remotemedia_runtime.is_available())
except ImportError:
    print("runtime missing")


async def main():
    pipeline = Pipeline(name="math")
    pipeline.add_node(MultiplyNode(factor=3, name="times"))
    pipeline.add_node(AddNode(addend=1, name="plus"))
    native = await pipeline.run([1, 2, 3], use_rust=True)
    python = await pipeline.run([1, 2, 3], use_rust=False)
    print(native == python, native)
    print(await pipeline.run(0))


asyncio.run(main())
