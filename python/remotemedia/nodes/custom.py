"""`StatefulCounter`: an example of a node that keeps state over a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..node import Node, NodeSpec, Param, Port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["StatefulCounter"]

PAUSE_S = 0.01


class StatefulCounter(Node):
    """Counts the items: each gives ``(n,)``, 10 ms later.

    Parameters
    ----------
    initial_value : int
        What is counted from; the first item gives one more. The count goes on from run to run.
    """

    spec = NodeSpec(
        "StatefulCounter",
        "Count the items of a stream",
        inputs=(Port("input", None, "anything"),),
        outputs=(Port("output", None, "(n,), the count"),),
        params=(
            Param("initial_value", "int", 0, summary="what is counted from"),
        ),
        example="test.tone duration_ms=1000 ! StatefulCounter initial_value=10 "
        "! json.write path=-",
        other_params=True,
    )
    is_streaming = True

    def __init__(self, initial_value: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.value = initial_value

    async def process(self, data_stream: AsyncIterator[Any]) -> AsyncIterator[tuple[int]]:
        """Yields the count for each item."""
        import asyncio

        async for _ in data_stream:
            self.value += 1
            await asyncio.sleep(PAUSE_S)
            yield (self.value,)
