"""The mark of 0.1 that ends a stream. Pipelines give none; programs may compare with it."""

from __future__ import annotations

__all__ = ["_SENTINEL"]

_SENTINEL = object()
