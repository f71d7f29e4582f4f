"""What happens to a run and its nodes, as it happens.

::

    events = pipeline.events()                    before the run
    run = asyncio.create_task(pipeline.run(data))
    async for event in events:                    ends with the run
        match event:
            case Drop(node=node, count=count): …
            case Failed(error=error): …

Times are ``time.monotonic_ns()``.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Collection

    from ._core import Session

__all__ = [
    "Breaker",
    "Changed",
    "Checkpoint",
    "Drop",
    "EndOfStream",
    "Ended",
    "Event",
    "Events",
    "Failed",
    "FellBack",
    "FirstPacket",
    "Late",
    "Retry",
    "Skipped",
    "Started",
]

KEPT_MAX = 1000


@dataclass(frozen=True, slots=True)
class Event:
    """What all events have.

    Attributes
    ----------
    kind : str
        ``"started"``, ``"drop"``, …: one for each class.
    time_ns : int
        When it came about, in the time of ``time.monotonic_ns()``.
    lost : int
        Events between the one before and this one that found no room in a queue.
    """

    kind: ClassVar[str] = "event"
    time_ns: int = field(kw_only=True)
    lost: int = field(kw_only=True, default=0)


@dataclass(frozen=True, slots=True)
class Started(Event):
    """All nodes are open, the run begins."""

    kind: ClassVar[str] = "started"


@dataclass(frozen=True, slots=True)
class FirstPacket(Event):
    """A node gave its first result; one without outputs is done with its first item."""

    kind: ClassVar[str] = "first_packet"
    node: str


@dataclass(frozen=True, slots=True)
class EndOfStream(Event):
    """A node has come to its end by itself. ``total``: what it emitted, or took if it is a sink."""

    kind: ClassVar[str] = "end_of_stream"
    node: str
    total: int


@dataclass(frozen=True, slots=True)
class Drop(Event):
    """Packets between two nodes were dropped.

    The first is told at once, then at most ten times a second, and what is left at the end: the
    ``count`` of all of them is ``total``, since the run began. ``reason`` is ``"full"`` where the
    policy of the connection did it, ``"interrupt"`` where a barge-in did.
    """

    kind: ClassVar[str] = "drop"
    node: str
    to: str
    reason: str
    count: int
    total: int


@dataclass(frozen=True, slots=True)
class Retry(Event):
    """A node failed on an item and will be called with it again. ``attempt`` counts from 1."""

    kind: ClassVar[str] = "retry"
    node: str
    item: int
    attempt: int
    code: int
    error: str


@dataclass(frozen=True, slots=True)
class Skipped(Event):
    """A node failed on an item, and its policy went on to the next: skip, bypass, dead_letter."""

    kind: ClassVar[str] = "skipped"
    node: str
    item: int
    policy: str
    code: int
    error: str


@dataclass(frozen=True, slots=True)
class Changed(Event):
    """A node runs otherwise from here on. ``what``: ``"params"``, ``"swap"``, or by a change of the
    graph ``"insert"``, ``"replace"``, ``"remove"``."""

    kind: ClassVar[str] = "changed"
    node: str
    what: str


@dataclass(frozen=True, slots=True)
class Failed(Event):
    """A node failed, and that ends the run. ``item`` is 0 where it was not at an item."""

    kind: ClassVar[str] = "failed"
    node: str
    item: int
    code: int
    error: str


@dataclass(frozen=True, slots=True)
class Late(Event):
    """Items beyond the deadline of a node were dropped or passed, by its ``policy``.

    Or packets were queued before the node ``to`` longer than the budget of the connection allows:
    ``policy`` is ``"budget"`` then, and they waited for ``node``. Or items were older at the sink ``to``
    than the budget of the pipeline allows: ``policy`` is ``"path"``, and of the nodes that lead there
    ``node`` works longest. Told as `Drop` is: the counts of
    all of them add up to ``total``.
    """

    kind: ClassVar[str] = "late"
    node: str
    policy: str
    count: int
    total: int
    to: str | None = None


@dataclass(frozen=True, slots=True)
class Breaker(Event):
    """The circuit breaker of a node changed its ``state`` to open, half_open or closed.

    ``failures`` calls failed in a row; it has opened ``opened`` times.
    """

    kind: ClassVar[str] = "breaker"
    node: str
    state: str
    failures: int
    opened: int


@dataclass(frozen=True, slots=True)
class Checkpoint(Event):
    """A checkpoint was to be made. ``what``: ``"made"``; ``"put off"``, as a node was within an item for
    long; ``"failed"``. ``number`` is that of the newest one, 0: there is none; ``error``: why it was not
    made, "": it was."""

    kind: ClassVar[str] = "checkpoint"
    what: str
    number: int
    code: int
    error: str


@dataclass(frozen=True, slots=True)
class FellBack(Event):
    """The place of a node refused it as the run opened, and it runs on this machine. ``error``: why."""

    kind: ClassVar[str] = "fell_back"
    node: str
    code: int
    error: str


@dataclass(frozen=True, slots=True)
class Ended(Event):
    """The run is over, the last event. ``error``: why it failed or was cancelled; "": it did not."""

    kind: ClassVar[str] = "ended"
    code: int
    error: str


Row = tuple[int, str, str, str, int, int, int, int, int, int, str]

# By rm_event_kind: how a row of _core.Session.take_events() becomes an event.
_makers: dict[int, Callable[..., Event]] = {
    1: lambda r, **both: Ended(r[8], r[10] or "", **both),
    16: lambda r, **both: Started(**both),
    17: lambda r, **both: FirstPacket(r[1], **both),
    18: lambda r, **both: EndOfStream(r[1], r[5], **both),
    19: lambda r, **both: Drop(r[1], r[2], r[3], r[4], r[5], **both),
    20: lambda r, **both: Retry(r[1], r[9], r[4], r[8], r[10], **both),
    21: lambda r, **both: Skipped(r[1], r[9], r[3], r[8], r[10], **both),
    22: lambda r, **both: Changed(r[1], r[3], **both),
    23: lambda r, **both: Failed(r[1], r[9], r[8], r[10], **both),
    24: lambda r, **both: Late(r[1], r[3], r[4], r[5], r[2], **both),
    25: lambda r, **both: Breaker(r[1], r[3], r[4], r[5], **both),
    26: lambda r, **both: Checkpoint(r[3], r[5], r[8], r[10] or "", **both),
    27: lambda r, **both: FellBack(r[1], r[8], r[10], **both),
}


def _event_of(row: Row, lost: int) -> Event | None:
    make = _makers.get(row[0])
    return make(row, time_ns=row[6], lost=row[7] + lost) if make else None


class Events:
    """The events of one run: an async iterator that ends with the run.

    At most 1,000 wait to be taken; further ones are counted in ``lost`` of the next that has room.
    ``Ended`` always has. Threads: iterate on one event loop; `take` on any thread.
    """

    def __init__(self) -> None:
        self._kept: deque[Event] = deque()
        self._lost = 0
        self._closed = False
        self._waiters: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []

    def take(self) -> list[Event]:
        """What has happened and was not taken yet; does not wait."""
        taken = []
        while self._kept:
            taken.append(self._kept.popleft())
        return taken

    def __aiter__(self) -> Events:
        return self

    async def __anext__(self) -> Event:
        import asyncio

        while not self._kept:
            if self._closed:
                raise StopAsyncIteration
            loop = asyncio.get_running_loop()
            future: asyncio.Future[None] = loop.create_future()
            self._waiters.append((loop, future))
            if not self._kept and not self._closed:  # another thread may have been quicker
                await future
        return self._kept.popleft()

    def _put(self, row: Row) -> None:
        if len(self._kept) >= KEPT_MAX and row[0] != 1:
            self._lost += 1 + row[7]
            return
        event = _event_of(row, self._lost)
        if event is not None:
            self._lost = 0
            self._kept.append(event)

    def _close(self) -> None:
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for loop, future in waiters:
            try:
                loop.call_soon_threadsafe(_set, future)
            except RuntimeError:
                pass  # that loop is closed: nobody waits


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class Feed:
    """Takes the events of a session to those who listen to its run."""

    def __init__(self, listeners: list[Events], ids: Collection[str]) -> None:
        self._listeners = listeners
        self._ids = ids
        self._session: Session | None = None

    def listen(self) -> Events:
        """One more who listens, from now on."""
        events = Events()
        self._listeners.append(events)
        if self._session is not None:
            self.connect(self._session)
        return events

    def connect(self, session: Session) -> None:
        """The run has this session. Nothing is asked of it where nobody listens."""
        self._session = session
        if self._listeners:
            session.set_events(True)
            session.on_news = self._pass_on

    def _concerns(self, row: Row) -> bool:
        return row[1] is None or self._is_of_graph(row[1]) or self._is_of_graph(row[2])

    def _is_of_graph(self, node: str | None) -> bool:
        """Whether that is a node of the graph, or a copy of one: ``"scale.1"``."""
        part_of, _, copy = (node or "").rpartition(".")
        return node in self._ids or (part_of in self._ids and copy.isdigit())

    def _pass_on(self) -> None:
        if self._session is None:
            return
        rows: list[Any] = [row for row in self._session.take_events() if self._concerns(row)]
        for events in self._listeners:
            for row in rows:
                events._put(row)
            events._wake()

    def close(self) -> None:
        """The run is over."""
        self._pass_on()
        session, self._session = self._session, None
        if session is not None:
            session.on_news = None
        for events in self._listeners:
            events._close()
