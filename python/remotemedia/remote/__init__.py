"""Running nodes elsewhere: what 0.1's programs say about it.

This version has no transport between machines. What is told here is checked; where a connection
would be needed a `RemoteExecutionError` says that there is none.
"""

from __future__ import annotations

from .client import RemoteExecutionClient, RemoteProxyClient
from .config import RemoteExecutorConfig

__all__ = ["RemoteExecutionClient", "RemoteExecutorConfig", "RemoteProxyClient"]
