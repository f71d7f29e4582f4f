"""What was cut off without a word in 0.1 is an error now; a policy keeps the stream going."""
import asyncio

from remotemedia import Node, NodeError, Pipeline, PipelineError
from remotemedia.core.exceptions import RemoteMediaError


class Half(Node):
    def process(self, number):
        if number % 2:
            raise ValueError(f"{number} is odd")
        return number // 2


async def main():
    try:
        await Pipeline([Half(name="half")]).run([2, 3, 4])
    except NodeError as error:
        print(type(error.original).__name__, error.node, error.item, isinstance(error, PipelineError))
    print(await Pipeline([Half()], on_error="skip").run([2, 3, 4]))
    for wrong in (lambda: Pipeline().add_node("text"), lambda: Pipeline([1])):
        try:
            wrong()
        except RemoteMediaError as error:
            print(type(error).__name__)
    try:
        await Pipeline().initialize()
    except PipelineError as error:
        print(error)


asyncio.run(main())
