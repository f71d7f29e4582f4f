"""Nodes that stand for ones elsewhere. This version has no transport that would reach them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import RemoteExecutionError
from ..node import Node
from ..remote.config import RemoteExecutorConfig

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["RemoteExecutionNode", "RemoteObjectExecutionNode"]


class _RemoteNode(Node):
    """What both have in common."""

    is_streaming = True
    is_remote = True

    def __init__(self, remote_config: RemoteExecutorConfig, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(remote_config, RemoteExecutorConfig):
            raise ValueError(
                f"remote_config is a {type(remote_config).__name__}, want a RemoteExecutorConfig"
            )
        self.remote_config = remote_config

    def initialize(self) -> Any:
        """Raises RemoteExecutionError: there is no transport."""
        where = f"{self.remote_config.host}:{self.remote_config.port}"
        raise RemoteExecutionError(
            f"node '{self.name}' is to run on {where}, and no transport for "
            f"{self.remote_config.protocol} is installed",
            help="this version runs nodes on this machine: leave out the RemoteExecutorConfig",
        )

    async def process(self, data_stream: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """Yields nothing: `initialize` has raised."""
        async for _ in data_stream:
            self.initialize()
        return
        yield


class RemoteExecutionNode(_RemoteNode):
    """A node of a type that is known elsewhere.

    Parameters
    ----------
    node_to_execute : str
        The node type.
    remote_config : RemoteExecutorConfig
        Where.
    node_config : dict or None
        The node's parameters.
    serialization_format : "pickle" or "json"
        How items travel.

    Raises
    ------
    ValueError
        ``remote_config`` is of another type.
    """

    def __init__(
        self,
        node_to_execute: str,
        remote_config: RemoteExecutorConfig,
        node_config: dict[str, Any] | None = None,
        serialization_format: str = "pickle",
        **kwargs: Any,
    ) -> None:
        super().__init__(remote_config, **kwargs)
        self.node_to_execute = node_to_execute
        self.node_config = node_config or {}
        self.serialization_format = serialization_format


class RemoteObjectExecutionNode(_RemoteNode):
    """A node whose object goes elsewhere.

    Parameters
    ----------
    obj_to_execute : object
        Has ``initialize``, ``process`` and ``cleanup``.
    remote_config : RemoteExecutorConfig
        Where.
    node_config : dict or None
        Kept.

    Raises
    ------
    ValueError
        ``remote_config`` is of another type, or the object lacks a method.
    """

    def __init__(
        self,
        obj_to_execute: Any,
        remote_config: RemoteExecutorConfig,
        node_config: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(remote_config, **kwargs)
        for method in ("initialize", "process", "cleanup"):
            if not callable(getattr(obj_to_execute, method, None)):
                raise ValueError(f"a {type(obj_to_execute).__name__} has no method {method}()")
        self.obj_to_execute = obj_to_execute
        self.node_config = node_config or {}
