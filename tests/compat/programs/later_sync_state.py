"""A node of the later SDK: initialize, cleanup and state without await."""
import asyncio

from remotemedia import Node, Pipeline


class Greeter(Node):
    def initialize(self):
        super().initialize()
        self.greeting = "hello"

    def process(self, data):
        state = self.get_session_state(data["session_id"])
        state.set("count", state.get("count", 0) + 1)
        return f"{self.greeting} {data['session_id']} {state.get('count')}"

    def cleanup(self):
        super().cleanup()


async def main():
    pipeline = Pipeline([Greeter()])
    print(await pipeline.run([{"session_id": "a"}, {"session_id": "b"}, {"session_id": "a"}]))
    metrics = pipeline.get_metrics()
    print(metrics["total_executions"], [node["success_count"] for node in metrics["node_metrics"]])


asyncio.run(main())
