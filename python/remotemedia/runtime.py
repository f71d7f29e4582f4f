"""The names of 0.1's native module: manifests are run, as text, by the engine.

``import remotemedia_runtime`` gives the same.
"""

from __future__ import annotations

import json
from typing import Any

from ._core import __version__
from .errors import RemoteMediaError
from .pipeline import Pipeline

__all__ = [
    "__version__",
    "execute_pipeline",
    "execute_pipeline_with_input",
    "get_runtime_version",
    "is_available",
]


def get_runtime_version() -> str:
    """The version of the engine."""
    return str(__version__)


def is_available() -> bool:
    """True: the engine is always there."""
    return True


async def execute_pipeline(manifest_json: str) -> Any:
    """Runs a manifest whose first nodes are sources; one that takes items gets None.

    Returns
    -------
    object
        The result, a list of several, [] where there is none.

    Raises
    ------
    ValueError
        The manifest is not well formed.
    RuntimeError
        The run failed; ``__cause__`` says why.
    """
    return await _execute(manifest_json, None)


async def execute_pipeline_with_input(manifest_json: str, input_list: list[Any]) -> Any:
    """Runs a manifest over the items of a list; otherwise as `execute_pipeline`."""
    return await _execute(manifest_json, list(input_list))


async def _execute(manifest_json: str, items: list[Any] | None) -> Any:
    try:
        pipeline = Pipeline.from_manifest(manifest_json)
    except (RemoteMediaError, json.JSONDecodeError) as error:
        raise ValueError(f"Failed to parse manifest: {error}") from error
    try:
        if items is None and pipeline._open_roots():
            items = [None]
        result = await pipeline.run(items)
    except RemoteMediaError as error:
        raise RuntimeError(f"Execution failed: {error}") from error
    return [] if result is None else result
