"""RemoteMedia: pipelines of audio, video, text and tensors.

::

    from remotemedia import Node, Pipeline

``Pipeline`` runs nodes, ``Node`` is what to subclass and how native node types are named; see
`remotemedia.testing` for testing a node. Nothing is imported before it is used: asyncio and numpy
come with the first run that needs them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._core import Error as Error
    from .errors import ConfigurationError as ConfigurationError
    from .errors import NodeError as NodeError
    from .errors import PipelineError as PipelineError
    from .errors import RemoteExecutionError as RemoteExecutionError
    from .errors import RemoteMediaError as RemoteMediaError
    from .errors import SerializationError as SerializationError
    from .errors import WebRTCError as WebRTCError
    from .flow import Edge as Edge
    from .flow import Flow as Flow
    from .flow import merge as merge
    from .media import Audio as Audio
    from .media import Video as Video
    from .metrics import Metrics as Metrics
    from .node import Dependency as Dependency
    from .node import Node as Node
    from .node import NodeSpec as NodeSpec
    from .node import Out as Out
    from .node import Param as Param
    from .node import Port as Port
    from .pipeline import Pipeline as Pipeline
    from .remote.config import RemoteExecutorConfig as RemoteExecutorConfig
    from .session import Session as Session
    from .webrtc import WebRTCManager as WebRTCManager

    __version__: str

_homes = {
    "Audio": "media",
    "ConfigurationError": "errors",
    "Dependency": "node",
    "Edge": "flow",
    "Error": "_core",
    "Flow": "flow",
    "Metrics": "metrics",
    "Node": "node",
    "NodeError": "errors",
    "NodeSpec": "node",
    "Out": "node",
    "Param": "node",
    "Pipeline": "pipeline",
    "PipelineError": "errors",
    "Port": "node",
    "RemoteExecutionError": "errors",
    "RemoteExecutorConfig": "remote.config",
    "RemoteMediaError": "errors",
    "SerializationError": "errors",
    "Session": "session",
    "Video": "media",
    "WebRTCError": "errors",
    "WebRTCManager": "webrtc",
    "__version__": "_core",
    "merge": "flow",
}

__all__ = [name for name in _homes if not name.startswith("_")]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    home = _homes.get(name)
    if home is None:
        nodes = import_module("remotemedia.nodes")
        if name.startswith("_") or name not in dir(nodes):
            raise AttributeError(f"module 'remotemedia' has no attribute '{name}'")
        home = "nodes"
    value = getattr(import_module(f"remotemedia.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_homes})
