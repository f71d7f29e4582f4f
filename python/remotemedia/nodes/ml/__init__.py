"""Nodes on models, as the 0.1 SDK had them; each class comes with its module at first use."""

from __future__ import annotations

from typing import Any, Final

_CLASSES: Final[dict[str, str]] = {"TransformersPipelineNode": "transformers_pipeline"}

__all__ = sorted(_CLASSES)


def __getattr__(name: str) -> Any:
    module = _CLASSES.get(name)
    if module is None:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_CLASSES})
