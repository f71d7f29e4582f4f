"""A remote node: its configuration is checked, the connection is for a later version."""
import asyncio

from remotemedia import Pipeline, RemoteExecutorConfig
from remotemedia.core.exceptions import ConfigurationError, RemoteExecutionError

config = RemoteExecutorConfig(host="127.0.0.1", port=50052, ssl_enabled=False)
print(config.protocol, config.timeout, config.max_retries)
for wrong in ({"port": 0}, {"protocol": "ftp"}, {"timeout": -1}):
    try:
        RemoteExecutorConfig(**{"host": "127.0.0.1", "port": 1, **wrong})
    except ConfigurationError as error:
        print("refused:", list(wrong))


async def main():
    pipeline = Pipeline(name="remote")
    pipeline.add_node(config("TransformersPipelineNode", node_config={"task": "summarization"}))
    print(pipeline.remote_node_count)
    try:
        await pipeline.run("text")
    except RemoteExecutionError as error:
        print("no transport for grpc is installed" in str(error))


asyncio.run(main())
