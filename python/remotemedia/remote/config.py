"""`RemoteExecutorConfig`: where a node is to run, and how it is reached."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import VALUE_NOT_ACCEPTABLE, ConfigurationError

if TYPE_CHECKING:
    from ..node import Node

__all__ = ["RemoteExecutorConfig"]

PROTOCOLS = ("grpc", "http")
SECRET = "***"


class RemoteExecutorConfig:
    """Where a node is to run.

    Calling it makes the node: ``config("WhisperNode", node_config={…})`` one of a type that is known
    there, ``config(node)`` one whose object goes there.

    Parameters
    ----------
    host : str
        Name or address.
    port : int
        1 to 65535.
    protocol : "grpc" or "http"
        How it is spoken to.
    auth_token : str or None
        What says who asks; never shown.
    timeout : float
        Of a call, s.
    max_retries : int
        How often a call is tried again.
    ssl_enabled : bool
        Whether the connection is encrypted.
    pip_packages : list of str, or None
        What is to be installed there.

    Raises
    ------
    ConfigurationError
        A value is not acceptable.
    """

    def __init__(
        self,
        host: str,
        port: int,
        protocol: str = "grpc",
        auth_token: str | None = None,
        timeout: float = 30.0,
        max_retries: int = 3,
        ssl_enabled: bool = True,
        pip_packages: list[str] | None = None,
    ) -> None:
        self.host = host
        self.port = port
        self.protocol = protocol
        self.auth_token = auth_token
        self.timeout = timeout
        self.max_retries = max_retries
        self.ssl_enabled = ssl_enabled
        self.pip_packages = pip_packages
        self._check()

    def _check(self) -> None:
        checks = (
            ("host", isinstance(self.host, str) and self.host != "", "a name or an address"),
            ("port", _is_int(self.port) and 1 <= self.port <= 65535, "1 to 65535"),
            ("protocol", self.protocol in PROTOCOLS, " or ".join(PROTOCOLS)),
            ("timeout", _is_number(self.timeout) and self.timeout > 0, "more than 0 s"),
            ("max_retries", _is_int(self.max_retries) and self.max_retries >= 0, "0 or more"),
        )
        for name, good, wanted in checks:
            if not good:
                raise ConfigurationError(
                    f"{name} is {getattr(self, name)!r}, want {wanted}", code=VALUE_NOT_ACCEPTABLE
                )

    def __call__(self, what: str | Node, node_config: dict[str, Any] | None = None) -> Node:
        """The node that stands for one elsewhere.

        Raises
        ------
        TypeError
            ``what`` is neither a node type nor a node.
        """
        from ..node import Node
        from ..nodes.remote import RemoteExecutionNode, RemoteObjectExecutionNode

        if isinstance(what, str):
            return RemoteExecutionNode(what, self, node_config)
        if isinstance(what, Node):
            return RemoteObjectExecutionNode(what, self, node_config)
        raise TypeError(f"a {type(what).__name__} cannot run elsewhere, want a node or a node type")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemoteExecutorConfig) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown = {**vars(self), "auth_token": self.auth_token and SECRET}
        return f"RemoteExecutorConfig({', '.join(f'{k}={v!r}' for k, v in shown.items())})"


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, float) or _is_int(value)
