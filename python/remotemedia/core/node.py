"""`Node` and what belongs to it, by the name of the module that 0.1 had them in."""

from __future__ import annotations

from ..node import Node
from ..remote.config import RemoteExecutorConfig
from ..state import SessionState, StateManager

__all__ = ["Node", "RemoteExecutorConfig", "SessionState", "StateManager"]
