"""Calculator dicts, with the errors that come back as items."""
import asyncio

from remotemedia import Pipeline
from remotemedia.nodes import CalculatorNode


async def main():
    pipeline = Pipeline([CalculatorNode(name="calc")], name="calculator")
    requests = [
        {"operation": "add", "args": [10, 5]},
        {"operation": "power", "args": [2, 10]},
        {"operation": "divide", "args": [1, 0]},
        {"operation": "sqrt", "args": [4, 1]},
        {"operation": "add", "args": [1]},
    ]
    for answer in await pipeline.run(requests):
        if "error" in answer:
            print("error:", answer["error"], "from", answer["processed_by"])
        else:
            print(answer["operation"], answer["args"], "=", answer["result"])


asyncio.run(main())
