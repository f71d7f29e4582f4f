"""What Python nodes hold in memory, by tracemalloc: only where ``trace_memory`` asks for it.

::

    a run ─ Tracer ─ a stand-in of each node, whose methods are called from code of a file of its own
    an allocation's traceback (FRAMES at most) ─▶ that file ─▶ the node within whose call it was made

So it does not matter on which thread a call is made, or how often a coroutine waits. Threads: any.
"""

from __future__ import annotations

import inspect
import tracemalloc
from _thread import RLock
from itertools import count
from typing import TYPE_CHECKING, Any

from .errors import VALUE_NOT_ACCEPTABLE, PipelineError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MemoryRows = dict[str, dict[str, int]] | None  # by id; None: it is not counted
FRAMES = 64
GROWTH_BYTES = 1 << 20  # by which memory grows, at least, before it is looked at after a call
CALLS = frozenset({
    "initialize", "process", "flush", "interrupt", "overrun", "load", "save", "set_params", "cleanup",
})  # fmt: skip

# Compiled anew for each node: its file is what the node's allocations are known by.
SOURCE = """
def generate(begin, end, inner):
    mark = begin()
    try:
        return (yield from inner)
    finally:
        end(mark)

async def wait(begin, end, inner):
    mark = begin()
    try:
        return await inner
    finally:
        end(mark)

async def iterate(begin, end, inner):
    mark = begin()
    try:
        async for item in inner:
            yield item
    finally:
        await inner.aclose()
        end(mark)

def plain(begin, end, function, go_on):
    def call(*args, **kwargs):
        mark = begin()
        try:
            return go_on(function(*args, **kwargs))
        finally:
            end(mark)
    return call

def coroutine(begin, end, function, go_on):
    async def call(*args, **kwargs):
        mark = begin()
        try:
            return await function(*args, **kwargs)
        finally:
            end(mark)
    return call

def stream(begin, end, function, go_on):
    async def call(*args, **kwargs):
        mark = begin()
        inner = function(*args, **kwargs)
        try:
            async for item in inner:
                yield item
        finally:
            await inner.aclose()
            end(mark)
    return call
"""

_serials = count(1)


class _Account:
    """What one node has; changed under its tracer's lock."""

    __slots__ = ("bytes", "peak", "scope")

    def __init__(self, file: str) -> None:
        self.bytes = self.peak = 0
        self.scope: dict[str, Any] = {"__name__": __name__}
        exec(compile(SOURCE, file, "exec"), self.scope)  # noqa: S102  our own text


class Tracer:
    """The memory of the nodes of one run.

    Raises
    ------
    PipelineError
        tracemalloc runs already, and keeps too few frames of a traceback.
    """

    def __init__(self) -> None:
        self._prefix = f"<remotemedia run {next(_serials)}, node "
        self._accounts: dict[str, _Account] = {}  # by file
        self._lock = RLock()  # a collection within may end a generator, and so a call
        # Protected by _lock.
        self._looked_bytes = 0
        self._calls = self._active = 0
        self._is_final = False
        _begin()

    def stand_in(self, id: str, node: Any) -> Any:
        """What a run gets in place of the node."""
        file = f"{self._prefix}{id}>"
        account = self._accounts.get(file)
        if account is None:
            account = self._accounts[file] = _Account(file)
        return _StandIn(self, account, node)

    def rows(self) -> dict[str, dict[str, int]]:
        """The numbers of now by the node's id; once the nodes are cleaned up, those of before."""
        if not self._is_final:
            self._look()
        skip = len(self._prefix)
        return {
            file[skip:-1]: {"bytes": account.bytes, "bytes_peak": account.peak}
            for file, account in self._accounts.items()
        }

    def freeze(self) -> None:
        """The numbers of now are the last ones: what nodes hold goes as they are cleaned up."""
        if not self._is_final:
            self._look()
            self._is_final = True

    def _look(self) -> None:
        with self._lock:
            if not tracemalloc.is_tracing():  # the program has ended it
                return
            held = dict.fromkeys(self._accounts, 0)
            files: dict[int, str | None] = {}  # by traceback, of which traces share most
            # The rows behind Snapshot.traces, which makes objects of all frames: 100 times slower.
            rows = tracemalloc.take_snapshot().traces._traces  # type: ignore[attr-defined]
            for row in rows:
                frames = row[2]
                if id(frames) not in files:
                    files[id(frames)] = self._file_of(frames)
                file = files[id(frames)]
                if file is not None:
                    held[file] += row[1]
            for file, size in held.items():
                account = self._accounts[file]
                account.bytes = size
                account.peak = max(account.peak, size)
            self._looked_bytes = tracemalloc.get_traced_memory()[0]

    def _file_of(self, frames: Iterable[tuple[str, int]]) -> str | None:
        """The innermost, of frames from there on outwards."""
        for file, _ in frames:
            if file in self._accounts:
                return file
        return None

    def begin(self) -> tuple[int, int]:
        """A call begins."""
        with self._lock:
            self._calls += 1
            self._active += 1
            if self._active > 1:
                return 0, 0
            tracemalloc.reset_peak()
            return self._calls, tracemalloc.get_traced_memory()[0]

    def end(self, account: _Account, mark: tuple[int, int]) -> None:
        """A call is over. What it had for a while is known where no other call was made meanwhile."""
        call, before = mark
        with self._lock:
            self._active -= 1
            now, peak = tracemalloc.get_traced_memory()
            if call == self._calls:
                account.peak = max(account.peak, min(account.bytes + peak - before, peak))
            grown = now - self._looked_bytes
        if grown > max(GROWTH_BYTES, self._looked_bytes // 4) and not self._is_final:
            self._look()


class _StandIn:
    """A node whose calls are counted; it is that node in all else."""

    __slots__ = ("_account", "_calls", "_inner", "_tracer")

    def __init__(self, tracer: Tracer, account: _Account, inner: Any) -> None:
        for name, value in zip(_StandIn.__slots__, (account, {}, inner, tracer), strict=True):
            object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if name not in CALLS or not callable(value):
            return value
        call = self._calls.get(name)
        if call is None:
            call = self._calls[name] = self._counted(name, value)
        return call

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._inner, name, value)

    def _counted(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        tracer: Tracer = self._tracer
        account: _Account = self._account
        scope = account.scope

        def begin() -> tuple[int, int]:
            if name == "cleanup":
                tracer.freeze()
            return tracer.begin()

        def end(mark: tuple[int, int]) -> None:
            tracer.end(account, mark)

        def go_on(result: Any) -> Any:
            """What runs once the call has returned."""
            if inspect.isgenerator(result):
                return scope["generate"](begin, end, result)
            if inspect.iscoroutine(result):
                return scope["wait"](begin, end, result)
            return scope["iterate"](begin, end, result) if inspect.isasyncgen(result) else result

        kind = "plain"
        if inspect.iscoroutinefunction(function):
            kind = "coroutine"
        elif inspect.isasyncgenfunction(function):
            kind = "stream"
        counted: Callable[..., Any] = scope[kind](begin, end, function, go_on)
        return counted


def _begin() -> None:
    """Tracing is not ended again: Python before 3.12.9 may crash where a thread begins meanwhile."""
    if not tracemalloc.is_tracing():
        tracemalloc.start(FRAMES)
    elif tracemalloc.get_traceback_limit() < FRAMES:
        raise PipelineError(
            f"trace_memory: tracemalloc runs already and keeps "
            f"{tracemalloc.get_traceback_limit()} frames, want {FRAMES} or more",
            code=VALUE_NOT_ACCEPTABLE,
            help=f"begin it by tracemalloc.start({FRAMES}), or not at all",
        )
