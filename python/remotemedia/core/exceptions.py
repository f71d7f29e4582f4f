"""The errors, by the name of the module that 0.1 had them in."""

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

__all__ = [
    "ConfigurationError",
    "NodeError",
    "PipelineError",
    "RemoteExecutionError",
    "RemoteMediaError",
    "SerializationError",
    "WebRTCError",
]
