"""Where a program puts items in and takes them out: sources and sinks that it holds in its hand."""

from __future__ import annotations

from collections import deque
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from ..errors import VALUE_NOT_ACCEPTABLE, ConfigurationError
from ..node import Node, NodeSpec, Param, Port

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Callable

__all__ = ["BidirectionalNode", "DataSinkNode", "DataSourceNode", "JavaScriptBridgeNode"]


class _Closed(Exception):
    """It is closed, and empty."""


class _Lane:
    """Items on their way: bounded, and drained after it was closed. Of one event loop at a time."""

    def __init__(self, size: int) -> None:
        if not isinstance(size, int) or size < 1:
            raise ConfigurationError(
                f"buffer_size is {size!r}, want an int, 1 or more", code=VALUE_NOT_ACCEPTABLE
            )
        self.size = size
        self.closed = False
        self._items: deque[Any] = deque()
        self._changed: asyncio.Condition | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def _condition(self) -> asyncio.Condition:
        import asyncio

        loop = asyncio.get_running_loop()
        if self._changed is None or self._loop is not loop:
            self._changed, self._loop = asyncio.Condition(), loop
        return self._changed

    async def _until(self, holds: Callable[[], bool], timeout_s: float | None) -> None:
        """TimeoutError where it does not hold after the time. The condition is locked."""
        import asyncio

        assert self._changed is not None
        if not holds():
            await asyncio.wait_for(self._changed.wait_for(holds), timeout_s)

    async def put(self, item: Any, timeout_s: float | None = None) -> bool:
        """False: it is closed, or had no room for so long."""
        async with self._condition():
            try:
                await self._until(lambda: len(self._items) < self.size or self.closed, timeout_s)
            except TimeoutError:
                return False
            if self.closed:
                return False
            self._items.append(item)
            self._condition().notify_all()
        return True

    async def put_latest(self, item: Any) -> None:
        """In a full one the oldest goes."""
        async with self._condition():
            if len(self._items) >= self.size:
                self._items.popleft()
            self._items.append(item)
            self._condition().notify_all()

    async def take(self, timeout_s: float | None = None) -> Any:
        """The oldest item; TimeoutError, or `_Closed`."""
        async with self._condition():
            await self._until(lambda: bool(self._items) or self.closed, timeout_s)
            if not self._items:
                raise _Closed
            item = self._items.popleft()
            self._condition().notify_all()
        return item

    async def take_all(self) -> AsyncIterator[Any]:
        """Each item, until it is closed and empty."""
        while True:
            try:
                item = await self.take()
            except _Closed:
                return
            yield item

    async def close(self) -> None:
        """What is in it can still be taken."""
        async with self._condition():
            self.closed = True
            self._condition().notify_all()


class DataSourceNode(Node):
    """A source that the program fills.

    Parameters
    ----------
    buffer_size : int
        Items that wait at most, at least 1.
    timeout_seconds : float
        How long `push_data` waits for room, s.

    Notes
    -----
    Threads: `push_data` and `close` on the event loop that runs the pipeline.
    """

    spec = NodeSpec(
        "DataSourceNode",
        "Items that the program pushes",
        inputs=(),
        outputs=(Port("output", None, "what is pushed"),),
        params=(
            Param("buffer_size", "int", 100, 1, None, "items", summary="that wait at most"),
            Param("timeout_seconds", "float", 30.0, 0, None, "s", summary="how long a push waits for room"),
        ),
        example="DataSourceNode buffer_size=10 ! json.write path=-",
        other_params=True,
    )
    is_source = True

    def __init__(
        self, buffer_size: int = 100, timeout_seconds: float = 30.0, name: str | None = None
    ) -> None:
        super().__init__(name)
        self.timeout_seconds = timeout_seconds
        self._inbox = _Lane(buffer_size)

    async def push_data(self, data: Any) -> bool:
        """Adds an item; False: the source is closed, or had no room for ``timeout_seconds``."""
        return await self._inbox.put(data, self.timeout_seconds)

    async def close(self) -> None:
        """Ends the input, after the items that wait."""
        await self._inbox.close()

    async def process(self) -> AsyncIterator[Any]:
        """Yields the items until `close`."""
        async for item in self._inbox.take_all():
            yield item


class DataSinkNode(Node):
    """Passes items on, and shows each to the program.

    Parameters
    ----------
    callback : callable or None
        Called with each item; may be a coroutine function. What it raises is logged.
    buffer_output : bool
        Whether the latest items are kept for `get_buffered_output`.
    buffer_size : int
        How many of them at most.
    """

    spec = NodeSpec(
        "DataSinkNode",
        "Show items to the program, and pass them on",
        inputs=(Port("input", None, "anything"),),
        outputs=(Port("output", None, "the same"),),
        params=(
            Param("callback", "json", summary="a function of the program"),
            Param("buffer_output", "bool", False, summary="keep the latest items"),
            Param("buffer_size", "int", 100, 1, None, "items", summary="how many of them"),
        ),
        example="test.tone duration_ms=1000 ! DataSinkNode buffer_output=true "
        "! json.write path=-",
        other_params=True,
    )

    def __init__(
        self,
        callback: Callable[[Any], Any] | None = None,
        buffer_output: bool = False,
        buffer_size: int = 100,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        self.callback = callback
        self.buffer_output = buffer_output
        self.output_queue: Any = None
        self._kept: deque[Any] = deque(maxlen=buffer_size)

    def set_callback(self, callback: Callable[[Any], Any] | None) -> None:
        """Who is shown each item from now on."""
        self.callback = callback

    def set_output_queue(self, queue: Any) -> None:
        """An ``asyncio.Queue`` that gets each item, too; a full one holds up the pipeline."""
        self.output_queue = queue

    def get_buffered_output(self) -> list[Any]:
        """The latest items, the oldest first."""
        return list(self._kept)

    def clear_buffer(self) -> None:
        """Forgets the latest items."""
        self._kept.clear()

    async def process(self, data: Any) -> Any:
        """Returns the item."""
        if self.buffer_output:
            self._kept.append(data)
        if self.output_queue is not None:
            await self.output_queue.put(data)
        if self.callback is not None:
            try:
                answer = self.callback(data)
                if isawaitable(answer):
                    await answer
            except Exception:
                self.logger.exception("the callback of '%s' failed", self.name)
        return data


class BidirectionalNode(Node):
    """A source that the program fills, whose results it takes back, too.

    Parameters
    ----------
    process_callback : callable or None
        Applied to each item; may be a coroutine function. None: the item itself.
    buffer_size : int
        Items that wait at most, in either direction. Of results that nobody takes the oldest go.
    """

    spec = NodeSpec(
        "BidirectionalNode",
        "Items that the program pushes and takes back",
        inputs=(),
        outputs=(Port("output", None, "the results"),),
        params=(
            Param("process_callback", "json", summary="a function of the program"),
            Param("buffer_size", "int", 100, 1, None, "items", summary="that wait at most"),
        ),
        example="BidirectionalNode ! json.write path=-",
        other_params=True,
    )
    is_source = True

    def __init__(
        self,
        process_callback: Callable[[Any], Any] | None = None,
        buffer_size: int = 100,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        self.process_callback = process_callback
        self.buffer_size = buffer_size
        self._inbox, self._results = _Lane(buffer_size), _Lane(buffer_size)

    async def push_input(self, data: Any) -> bool:
        """Adds an item once there is room; False: the node is closed."""
        return await self._inbox.put(data)

    async def pull_output(self, timeout: float | None = None) -> Any:
        """The next result; None where there is none for ``timeout`` seconds."""
        try:
            return await self._results.take(timeout)
        except TimeoutError:
            return None

    async def close(self) -> None:
        """Ends the input, after the items that wait."""
        await self._inbox.close()

    async def process(self) -> AsyncIterator[Any]:
        """Yields the results until `close`."""
        async for item in self._inbox.take_all():
            result = item if self.process_callback is None else self.process_callback(item)
            if isawaitable(result):
                result = await result
            await self._results.put_latest(result)
            yield result


class JavaScriptBridgeNode(Node):
    """Applies two functions, one after the other.

    Parameters
    ----------
    transform_input, transform_output : callable or None
        None: the item stays as it is.
    """

    spec = NodeSpec(
        "JavaScriptBridgeNode",
        "Change items by functions of the program",
        inputs=(Port("input", None, "anything"),),
        outputs=(Port("output", None, "what the functions make of it"),),
        params=(
            Param("transform_input", "json", summary="a function of the program"),
            Param("transform_output", "json", summary="a function of the program"),
        ),
        example="test.tone duration_ms=1000 ! JavaScriptBridgeNode ! json.write path=-",
        other_params=True,
    )

    def __init__(
        self,
        transform_input: Callable[[Any], Any] | None = None,
        transform_output: Callable[[Any], Any] | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        self.transform_input = transform_input
        self.transform_output = transform_output

    async def process(self, data: Any) -> Any:
        """Returns what the functions made of the item."""
        for function in (self.transform_input, self.transform_output):
            if function is not None:
                data = function(data)
                if isawaitable(data):
                    data = await data
        return data
