"""Text nodes, and a function of one's own."""
import asyncio

from remotemedia.core import Pipeline
from remotemedia.nodes import TextProcessorNode
from remotemedia.nodes.transform import TextTransformNode


async def main():
    pipeline = Pipeline([TextProcessorNode(name="text")])
    answer = await pipeline.run({"text": "Hello World", "operations": ["uppercase", "word_count", "reverse"]})
    print(answer["original_text"], answer["results"], answer["processed_by"])
    transform = TextTransformNode(transform_func=lambda text: text.strip().title())
    print(await Pipeline([transform]).run([" a b ", (" c d ", 1), 7]))


asyncio.run(main())
