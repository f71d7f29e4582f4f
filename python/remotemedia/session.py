"""Two-way sessions, and what a pipeline does on an event loop. Imports asyncio.

::

    async with pipeline.open() as s:
        await s.push(question)              waits for room
        async for answer in s:              until end() and the last answer
            ...
        s.interrupt("tts")                  barge-in: what is queued behind "tts" dies

    pipeline.open(outputs=["asr.text", "asr.partial"])      whose items come out
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import asynccontextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

from . import _drive, _resolve
from .errors import PipelineError
from .metrics import metrics_of
from .node import TypedNode

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence
    from types import TracebackType

    from ._host import Host
    from .change import Change
    from .events import Events
    from .metrics import Metrics
    from .node import Node
    from .pipeline import Pipeline

__all__ = ["Session"]


class Session:
    """A pipeline that runs while its caller pushes items in and takes results out.

    Use it as ``async with pipeline.open() as session``. Leaving the block cancels what still runs
    and cleans all nodes up. Threads: the event loop that entered it; `interrupt` from any thread.
    """

    def __init__(self, pipeline: Pipeline, outputs: Sequence[str | Node] | None = None) -> None:
        self._pipeline = pipeline
        self._outputs = outputs
        self._stream: _drive.Stream | None = None
        self._watch: Any = None
        self._feed: str | None = None
        self._collect: str | None = None

    async def __aenter__(self) -> Session:
        from ._watch import Watch

        watch = self._watch = self._watch or Watch(self._pipeline)
        try:
            stream = self._prepare(watch.options())
            await stream.__aenter__()
        except BaseException:
            watch.closed()
            raise
        self._stream = stream
        watch.opened(stream.session)
        return self

    def _prepare(self, options: dict[str, Any]) -> _drive.Stream:
        pipeline = self._pipeline
        fed = bool(pipeline._open_roots())
        planned = pipeline._plan(fed=fed, collected=True, outputs=self._outputs)
        self._feed, self._collect = planned.feed, planned.collect
        inputs = [self._feed] if self._feed else []
        outputs = [self._collect] if self._collect else []
        del options["on_session"]
        return _drive.Stream(planned.plan, inputs, outputs, given=planned.nodes, **options)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        stream = self._opened()
        self._stream = None
        try:
            await stream.__aexit__(kind, error, traceback)
        finally:
            self._watch.ended(error or sys.exception())
            self._watch.closed()

    def _opened(self) -> Any:
        if self._stream is None:
            raise PipelineError(
                f"the session of pipeline '{self._pipeline.name}' is not open",
                help="use it inside: async with pipeline.open() as session",
            )
        return self._stream

    async def push(self, item: Any) -> None:
        """Puts an item in; waits while the input queue is full.

        An item that comes 1 ms or more after all others is worked on at once, for a slice of at most
        2 ms; else the loop does it in its next turn.

        Raises
        ------
        NodeError
            The run has failed.
        PipelineError
            The pipeline has only sources, or the session is not open.
        """
        stream, feed = self._stream, self._feed
        if stream is None or feed is None or not stream.session.push(feed, item):
            await self._opened().push(self._input(), item)  # there is no room, or something to raise

    def _input(self) -> str:
        if self._feed is None:
            raise PipelineError(
                f"pipeline '{self._pipeline.name}' takes no input: it begins with a source"
            )
        return self._feed

    def end(self) -> None:
        """No more items will be pushed; the results end once all are worked through."""
        self._opened().end(self._input())

    def __aiter__(self) -> Session:
        return self

    async def __anext__(self) -> Any:
        """The next result. Raises StopAsyncIteration at the end, or why the run failed."""
        return await self._opened().pull(self._output())

    def _output(self) -> str:
        if self._collect is None:
            raise PipelineError(
                f"pipeline '{self._pipeline.name}' gives no results: it ends with sinks",
                help=_how_to_listen(self._pipeline),
            )
        return self._collect

    @property
    def pushed(self) -> int:
        """Items that were pushed so far.

        A session that goes on from a checkpoint (``Pipeline(checkpoint=…)``) begins with the number
        of items that are in it: worked on, on their way, or waiting. Push again from there.
        """
        count: int = self._opened().session.count(self._input())
        return count

    @property
    def pulled(self) -> int:
        """Results that were taken out so far.

        A session that goes on from a checkpoint begins with the number that were taken before it was
        made; those that were taken after it come again.
        """
        count: int = self._opened().session.count(self._output())
        return count

    def interrupt(self, node: str | None = None) -> None:
        """Barge-in: what is queued behind a node dies, nothing before it is lost. Thread: any.

        Returns at once; from the loop's thread the nodes have been told by then. The node and those
        behind it give up their work, and their method
        ``interrupt`` is called, where they have one (see `Node`), before they get a further item.

        Parameters
        ----------
        node : str or None
            Id of the node whose output is not wanted any more. None: from the input on.

        Raises
        ------
        remotemedia.Error
            There is no node of that id.
        """
        self._opened().interrupt(node)

    def set_params(self, node: str, **params: Any) -> None:
        """Sets parameters of a running node that may change while it runs. Thread: any.

        Of a Python node its method ``set_params(**params)`` is called, where it has one, else its
        attributes are set: between two calls of the node, but for one that is out on a worker's
        thread or awaits something. The values are such as JSON has; a Python object with that method
        takes any. `change` sets them between two of its items.

        Raises
        ------
        TypeError
            A value is none that JSON has, and the node is no such object.
        remotemedia.Error
            E0302 to E0304: no such parameter, wrong type, out of range, or not a live one; or what
            the node's ``set_params`` raised, as ``__cause__``. A node whose type names no parameters
            has to have that method.
        """
        try:
            text = json.dumps(params)
        except (TypeError, ValueError):
            text = None  # a node may take them all the same
        self._opened().session.set_params(node, text, params)

    def change(self) -> Change:
        """A change of the running graph: ``async with session.change() as change``.

        What is said in the block takes effect at its end, at once and without a gap, or not at all.
        See `remotemedia.change.Change`.
        """
        from .change import Change

        return Change(self)

    def _id_of(self, node: Node) -> str | None:
        """The id of a node that runs here, or did so as the session was opened."""
        running: str | None = self._opened().has(node)
        return running or self._pipeline._graph.find(node)

    def events(self) -> Events:
        """What happens in this session from now on: an async iterator that ends with it.

        Called before ``async with session``, it begins with `Started`. See `remotemedia.events`.
        """
        from ._watch import Watch

        if self._watch is None:
            self._watch = Watch(self._pipeline)
        events: Events = self._watch.feed().listen()
        return events

    @property
    def metrics(self) -> Metrics:
        """The live numbers of the session. Thread: any."""
        session = self._opened().session
        return metrics_of(session.numbers(), self._watch.ids, self._watch.memory())


def _how_to_listen(pipeline: Pipeline) -> str:
    """What mends a session without results: the output of the last node that has one."""
    for id, node in reversed(pipeline._graph.nodes.items()):
        known = _resolve.ports(node)
        if known is not None and known[1]:
            return f'name an output: open(outputs="{id}")'
    return ""


async def iterate(pipeline: Pipeline, source: Any) -> AsyncGenerator[Any, None]:
    """The results of a run, each as it comes."""
    session = pipeline.open()
    fed = source is not None
    async with session:
        pump = asyncio.ensure_future(_pump(session, source)) if fed else None
        try:
            async for result in session:
                yield result
            if pump is not None:
                await pump
        finally:
            if pump is not None:
                await _stop(pump)


async def _stop(task: asyncio.Future[None]) -> None:
    task.cancel()
    try:
        await task
    except (asyncio.CancelledError, Exception):
        pass  # told to the iteration, if it was still there to hear it


async def _pump(session: Session, source: Any) -> None:
    from .pipeline import as_stream

    items = as_stream(source)
    known = session.pushed  # they are in the checkpoint that it goes on from
    if hasattr(type(items), "__aiter__"):
        async for item in items:
            if known == 0:
                await session.push(item)
            known -= known > 0
    else:
        for item in islice(items, known, None):
            await session.push(item)
    session.end()


# ---- a pipeline that is kept ready


def _hosts(pipeline: Pipeline) -> list[tuple[str, Host]]:
    nodes = pipeline._graph.nodes.items()
    return [(id, _resolve.host_of(node)) for id, node in nodes if not isinstance(node, TypedNode)]


async def initialize(pipeline: Pipeline) -> None:
    """See `Pipeline.initialize`."""
    if pipeline.is_initialized:
        return
    if not pipeline.nodes:
        raise PipelineError("Cannot initialize empty pipeline")
    begun: list[Host] = []
    try:
        for id, host in _hosts(pipeline):
            begun.append(host)
            result = host.initialize()
            if result is not None:
                await result
    except BaseException as error:
        await _clean(pipeline, begun)
        if not isinstance(error, Exception):
            raise
        text = f"Pipeline initialization failed: node '{id}': {error}"
        raise PipelineError(text) from _drive.from_node_on(error)
    pipeline.is_initialized = True


async def cleanup(pipeline: Pipeline) -> None:
    """See `Pipeline.cleanup`."""
    if pipeline.is_initialized:
        pipeline.is_initialized = False
        await _clean(pipeline, [host for _, host in _hosts(pipeline)])


async def _clean(pipeline: Pipeline, hosts: list[Host]) -> None:
    for host in reversed(hosts):
        try:
            result = host.cleanup()
            if result is not None:
                await result
        except Exception as error:
            text = "cleanup of node '%s' failed"
            pipeline.logger.error(text, host.node.name, exc_info=_drive.from_node_on(error))


@asynccontextmanager
async def managed(pipeline: Pipeline) -> AsyncIterator[Pipeline]:
    """See `Pipeline.managed_execution`."""
    await initialize(pipeline)
    try:
        yield pipeline
    finally:
        await cleanup(pipeline)
