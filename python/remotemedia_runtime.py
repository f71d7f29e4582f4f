"""`remotemedia.runtime`, by the name of 0.1's native module."""

from remotemedia.runtime import *  # noqa: F403
from remotemedia.runtime import __all__, __version__  # noqa: F401
