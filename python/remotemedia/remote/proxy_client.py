"""`RemoteProxyClient`, by the name of the module that 0.1 had it in."""

from __future__ import annotations

from .client import RemoteProxyClient

__all__ = ["RemoteProxyClient"]
