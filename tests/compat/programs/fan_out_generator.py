"""An async generator without is_streaming: several results for an item, None is left out."""
import asyncio

from remotemedia import Node, Pipeline


class Words(Node):
    async def process(self, text):
        for word in text.split():
            yield word
        yield None


class Count(Node):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seen = 0

    def process(self, word):
        self.seen += 1
        return len(word) if len(word) > 1 else None

    def flush(self):
        return f"{self.seen} words"


print(asyncio.run(Pipeline([Words(), Count()]).run(["a quick fox", "jumps"])))
