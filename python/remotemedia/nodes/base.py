"""The simplest nodes of 0.1: `PassThroughNode` and `BufferNode`."""

from __future__ import annotations

from typing import Any

from ..errors import VALUE_NOT_ACCEPTABLE, ConfigurationError
from ..node import Node, NodeSpec, Param, Port

__all__ = ["BufferNode", "PassThroughNode"]


class PassThroughNode(Node):
    """Gives back each item as it is; None is left out, as everywhere."""

    spec = NodeSpec(
        "PassThroughNode",
        "Give back each item as it is",
        inputs=(Port("input", None, "anything"),),
        outputs=(Port("output", None, "the same"),),
        params=(),
        example="test.tone duration_ms=1000 ! PassThroughNode ! wav.write path=tone.wav",
        other_params=True,
    )
    stateless = True

    def process(self, data: Any) -> Any:
        """Returns the item."""
        return data


class BufferNode(Node):
    """Collects items and gives them as lists.

    Parameters
    ----------
    buffer_size : int
        Items in a list, at least 1; the last list may have fewer.

    Raises
    ------
    ConfigurationError
        ``buffer_size`` is no such number.
    """

    spec = NodeSpec(
        "BufferNode",
        "Collect items into lists",
        inputs=(Port("input", None, "anything"),),
        outputs=(Port("output", None, "lists of items"),),
        params=(
            Param("buffer_size", "int", 10, 1, None, "items", summary="of a full list"),
        ),
        example="test.tone duration_ms=1000 ! BufferNode buffer_size=4 ! json.write path=-",
        other_params=True,
    )

    def __init__(self, buffer_size: int = 10, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(buffer_size, int) or buffer_size < 1:
            raise ConfigurationError(
                f"buffer_size is {buffer_size!r}, want an int, 1 or more", code=VALUE_NOT_ACCEPTABLE
            )
        self.buffer_size = buffer_size
        self.buffer: list[Any] = []

    def process(self, data: Any) -> list[Any] | None:
        """Returns the list that this item fills, or None."""
        self.buffer.append(data)
        return self.flush() if len(self.buffer) >= self.buffer_size else None

    def flush(self) -> list[Any] | None:
        """Returns what is left at the end of the input; None where that is nothing."""
        full, self.buffer = self.buffer, []
        return full or None

    def interrupt(self) -> None:
        """Drops what was collected."""
        self.buffer = []

    def save(self) -> list[Any]:
        """What was collected, for a checkpoint."""
        return self.buffer

    def load(self, state: list[Any]) -> None:
        """Goes on with what a checkpoint kept."""
        self.buffer = list(state)
