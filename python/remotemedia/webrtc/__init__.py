"""WebRTC as 0.1's programs set it up.

This version has no WebRTC transport. What is told here is checked; starting a server raises a
`WebRTCError` that says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from ..errors import VALUE_NOT_ACCEPTABLE, ConfigurationError, WebRTCError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..pipeline import Pipeline

__all__ = ["WebRTCConfig", "WebRTCManager", "WebRTCServer"]


@dataclass
class WebRTCConfig:
    """Where a server listens, and what its peers are told.

    ``host`` is an address of this machine, ``port`` 0 to 65535 (0: any that is free), the servers
    are URLs as ``stun:host:port``. Unlike in 0.1 it is the loopback that is listened on, and no STUN
    server is asked, unless that is said.

    Raises
    ------
    ConfigurationError
        A value is not acceptable.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    stun_servers: list[str] = field(default_factory=list)
    turn_servers: list[dict[str, Any]] = field(default_factory=list)
    enable_cors: bool = True
    static_files_path: str | None = None

    def __post_init__(self) -> None:
        is_port = isinstance(self.port, int) and not isinstance(self.port, bool)
        if not is_port or not 0 <= self.port <= 65535:
            raise ConfigurationError(
                f"port is {self.port!r}, want 0 to 65535", code=VALUE_NOT_ACCEPTABLE
            )
        if not isinstance(self.host, str) or not self.host:
            raise ConfigurationError(
                f"host is {self.host!r}, want a name or an address", code=VALUE_NOT_ACCEPTABLE
            )


class WebRTCServer:
    """Would give each peer that connects a pipeline of its own.

    Parameters
    ----------
    config : WebRTCConfig or None
        None: the defaults.
    pipeline_factory : callable or None
        Makes the pipeline of a peer.
    """

    def __init__(
        self,
        config: WebRTCConfig | None = None,
        pipeline_factory: Callable[[], Pipeline] | None = None,
    ) -> None:
        self.config = config or WebRTCConfig()
        self.pipeline_factory = pipeline_factory

    def set_pipeline_factory(self, pipeline_factory: Callable[[], Pipeline]) -> None:
        """What makes the pipeline of a peer from now on."""
        self.pipeline_factory = pipeline_factory

    async def start(self) -> NoReturn:
        """Raises WebRTCError: there is no transport."""
        raise WebRTCError(
            f"no WebRTC transport is installed: nothing listens on {self.config.host}:"
            f"{self.config.port}",
            help="this version has none; run the pipeline by open() in a web handler of your own",
        )

    async def stop(self) -> None:
        """Does nothing: the server does not run."""

    def get_connection_stats(self) -> dict[str, Any]:
        """No connections: ``{"total_connections": 0, "connections": {}}``."""
        return {"total_connections": 0, "connections": {}}


class WebRTCManager(WebRTCServer):
    """0.1's name for what has no function there, either."""
