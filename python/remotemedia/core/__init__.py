"""The names of 0.1's ``remotemedia.core``; they live in `remotemedia`."""

from __future__ import annotations

from ..node import Node
from ..pipeline import Pipeline
from ..remote.config import RemoteExecutorConfig
from . import exceptions
from .exceptions import *  # noqa: F403

__all__ = ["Node", "Pipeline", "RemoteExecutorConfig"]
__all__ += exceptions.__all__
