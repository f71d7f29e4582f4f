"""The names of 0.1's ``remotemedia.core``; they live in `remotemedia`."""

from __future__ import annotations

from ..errors import (
    ConfigurationError,
    NodeError,
    PipelineError,
    RemoteExecutionError,
    RemoteMediaError,
    SerializationError,
    WebRTCError,
)
from ..node import Node
from ..pipeline import Pipeline
from ..remote.config import RemoteExecutorConfig

__all__ = [
    "ConfigurationError",
    "Node",
    "NodeError",
    "Pipeline",
    "PipelineError",
    "RemoteExecutionError",
    "RemoteExecutorConfig",
    "RemoteMediaError",
    "SerializationError",
    "WebRTCError",
]
