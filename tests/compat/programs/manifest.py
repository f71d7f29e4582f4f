"""serialize(), and what it says."""
import asyncio
import json

from remotemedia import Pipeline
from remotemedia.nodes import MultiplyNode, PassThroughNode

pipeline = Pipeline([PassThroughNode(name="first"), MultiplyNode(factor=4, name="times")], name="saved")
manifest = json.loads(pipeline.serialize(description="two nodes"))
print(manifest["version"], manifest["metadata"]["name"], manifest["metadata"]["description"])
for node in manifest["nodes"]:
    print(node["node_type"], node.get("params"))
print(len(manifest["connections"]), manifest["metadata"]["created_at"].endswith("Z"))

definition = pipeline.export_definition()
print([(node["class_name"], node["config"]) for node in definition["nodes"]])


async def main():
    again = await Pipeline.from_definition(definition)
    print(again.name, await again.run([1, 2]))


asyncio.run(main())
