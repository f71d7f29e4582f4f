"""`RemoteExecutionClient` and `RemoteProxyClient`: what speaks to another machine.

Both check what they are told. This version has no transport: connecting raises, and so does all that
needs a connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from ..errors import RemoteExecutionError
from ..serialization import JSONSerializer, PickleSerializer, Serializer
from .config import RemoteExecutorConfig

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["RemoteExecutionClient", "RemoteProxyClient"]


class _Client:
    """What both have in common.

    Parameters
    ----------
    config : RemoteExecutorConfig
        Where to connect, and how.

    Raises
    ------
    TypeError
        ``config`` is of another type.
    """

    def __init__(self, config: RemoteExecutorConfig) -> None:
        if not isinstance(config, RemoteExecutorConfig):
            raise TypeError(f"config is a {type(config).__name__}, want a RemoteExecutorConfig")
        self.config = config

    async def connect(self) -> None:
        """Raises RemoteExecutionError: there is no transport."""
        self._refuse()

    async def disconnect(self) -> None:
        """Does nothing: there is no connection."""

    async def __aenter__(self) -> Any:
        await self.connect()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.disconnect()

    def _refuse(self) -> NoReturn:
        raise RemoteExecutionError(
            f"Connection failed: {self.config.host}:{self.config.port}: no transport for "
            f"{self.config.protocol} is installed",
            help="this version runs nodes and objects on this machine only",
        )


class RemoteExecutionClient(_Client):
    """Has nodes and objects run elsewhere. ``serializers``: how items travel, by name."""

    def __init__(self, config: RemoteExecutorConfig) -> None:
        super().__init__(config)
        self.serializers: dict[str, Serializer] = {
            "json": JSONSerializer(),
            "pickle": PickleSerializer(),
        }

    async def execute_node(
        self,
        node_type: str,
        config: dict[str, Any],
        input_data: Any,
        serialization_format: str = "pickle",
    ) -> Any:
        """Raises RemoteExecutionError: there is no transport."""
        self._refuse()

    async def execute_object_method(
        self,
        obj: Any,
        method_name: str,
        method_args: Any,
        method_kwargs: dict[str, Any] | None = None,
        serialization_format: str = "pickle",
        session_id: str | None = None,
        dependencies: list[str] | None = None,
    ) -> dict[str, Any]:
        """Raises RemoteExecutionError: there is no transport."""
        self._refuse()

    async def get_status(self) -> dict[str, Any]:
        """Raises RemoteExecutionError: there is no transport."""
        self._refuse()

    async def list_available_nodes(self, category: str | None = None) -> list[dict[str, Any]]:
        """Raises RemoteExecutionError: there is no transport."""
        self._refuse()


class RemoteProxyClient(_Client):
    """Makes proxies of objects that live elsewhere."""

    async def create_proxy(self, obj: Any, serialization_format: str = "pickle") -> Any:
        """Raises RemoteExecutionError: there is no transport."""
        self._refuse()
