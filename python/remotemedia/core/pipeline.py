"""`Pipeline`, by the name of the module that 0.1 had it in."""

from __future__ import annotations

from ..pipeline import Pipeline

__all__ = ["Pipeline"]
