"""Free configuration by keywords, and what get_config() says."""
import asyncio

from remotemedia import Node, Pipeline


class Scale(Node):
    def __init__(self, factor=1, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def process(self, number):
        return number * self.factor + self.config.get("offset", 0)


node = Scale(factor=3, name="scale", offset=100, unit="m")
print(node.get_config())
print(node.to_manifest()["params"])
print(asyncio.run(Pipeline([node]).run([1, 2])))
