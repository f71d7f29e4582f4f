"""An object to try streams with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..node import Node

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["TestStreamingObject"]


class TestStreamingObject(Node):
    """Adds the numbers of a stream of 1-tuples: each gives ``(sum,)``.

    Parameters
    ----------
    initial_value : number
        What is added to.
    """

    __test__ = False  # pytest takes it for a test
    is_streaming = True

    def __init__(self, initial_value: float = 0, **kwargs: object) -> None:
        super().__init__(**kwargs)  # type: ignore[arg-type]
        self.value = initial_value

    async def process(
        self, data_stream: AsyncIterator[tuple[float]]
    ) -> AsyncIterator[tuple[float]]:
        """Yields the sum after each item."""
        async for (number,) in data_stream:
            self.value += number
            yield (self.value,)
