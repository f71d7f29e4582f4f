"""What a run has in the place of a node that runs in a worker process."""

from __future__ import annotations

import inspect
import os
import pickle
import sys
from collections import deque
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from . import _core, _wire, _zygote
from ._worker import Made
from .errors import FAILED, PYTHON_VALUE, PipelineError
from .node import Node

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import AsyncIterator, Callable

CREDITS = 64  # messages on their way, each way
POOL_BYTES_MAX = 4 << 30  # of arrays, each way
CLEANUP_S = 2.0  # that a worker gets for its cleanup() once a run is cancelled or has failed
AHEAD_BYTES_MAX = 1 << 20  # of items that the worker has beside the one that it works on
RESTARTS_MAX = 16  # in one run
# Methods of a node that the worker has, and that the engine asks for only where they are.
OPTIONAL = ("flush", "interrupt", "set_params", "save", "load")


class WorkerDied(RuntimeError):
    """A worker process ended while its node was needed; ``transient``: another one can take over."""

    transient = True


class WorkerHost:
    """A node of the plan whose code runs in a worker.

    Parameters
    ----------
    id : str
        The node's, for errors.
    cls : type
        Its class: which methods it has.
    node : Node or Made
        What the worker is to run: a copy of this node, or one that it makes there.
    limits : dict
        ``memory_bytes``: memory that the worker may take beyond what a Python has; ``time_ms``: how
        long one call may take; ``files``: paths that it may use; ``hosts``: [], no network.

    Notes
    -----
    Threads: those of its event loop only. Each run has its own.
    """

    blocking = False
    is_streaming = False
    connected_outputs: frozenset[str] | None = None

    def __init__(self, id: str, cls: type, node: Node | Made, limits: dict[str, Any]) -> None:
        self.id = id
        self.cls = cls
        self.inner = node
        self.limits = limits
        self.careful = "files" in limits or "hosts" in limits
        self.time_s = limits["time_ms"] / 1000 if "time_ms" in limits else None
        self.secret_fields = getattr(cls, "secret_fields", ())
        self.spec = getattr(cls, "spec", None)
        self.restarts = 0
        self._channel: _wire.Channel | None = None
        self._process: _zygote.Process | None = None
        self._operation = 0
        self._sent: deque[int] = deque()  # operations of items whose process() is not called yet
        self._early: deque[_wire.Message] = deque()  # that came while something else was waited for
        self._state: Any = None
        self._has_state = False

    def __getattr__(self, name: str) -> Any:
        if name in OPTIONAL and callable(getattr(self.cls, name, None)):
            return getattr(self, f"_{name}")
        if name in ("ahead", "interrupt") and self._takes_ahead():
            return getattr(self, f"_{name}")
        if name in ("flush", "interrupt") and getattr(self.cls, "is_streaming", False):
            return getattr(self, f"_{name}")
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def does_nothing(self, name: str) -> bool:
        """False: a worker is always to be started and ended."""
        return False

    def is_light(self, name: str) -> bool:
        """True: all of it is a coroutine."""
        return True

    # ---- what the engine calls

    async def initialize(self) -> None:
        """Starts the worker, and the node there."""
        await self._start()

    async def process(self, *arguments: Any) -> AsyncIterator[Any]:
        """Has the worker handle one item; gives what it gives, as it comes."""
        async for value in self._asked(_wire.ITEM, arguments):
            yield value

    async def cleanup(self) -> None:
        """Cleans the node up and ends the worker."""
        import asyncio

        try:
            if self._channel is not None and not self._channel.is_gone:
                await asyncio.wait_for(self._call(_wire.CLEANUP), self.time_s or CLEANUP_S)
        except (TimeoutError, WorkerDied):
            pass  # it is ended all the same
        finally:
            self._stop()

    async def _flush(self) -> AsyncIterator[Any]:
        async for value in self._asked(_wire.FLUSH, None):
            yield value

    async def _interrupt(self) -> None:
        if self._channel is not None and self._takes_ahead():
            self._channel.link.interrupt()
            self._sent.clear()
        if callable(getattr(self.cls, "interrupt", None)) or self._streams():
            await self._call(_wire.INTERRUPT)

    def _ahead(self, items: tuple[Any, ...]) -> None:
        """Sends items whose process() is to be called one after the other from now on.

        What cannot be sent now is sent, or fails, in its own call.
        """
        channel = self._channel
        bytes_sent = 0
        for item in items:
            if channel is None or bytes_sent > AHEAD_BYTES_MAX or len(self._sent) >= CREDITS - 2:
                return
            try:
                head, parts = _wire.packed(_wire.ITEM, self._operation + 1, (item,))
                if not channel.sends_now(head, parts):
                    return
            except Exception:
                return
            self._operation += 1
            self._sent.append(self._operation)
            bytes_sent += sum(len(part) for part in parts)

    def _streams(self) -> bool:
        return bool(getattr(self.cls, "is_streaming", False))

    def _takes_ahead(self) -> bool:
        """True where items may be in the worker before it is their turn: where nothing is to be saved
        between two of them, and none can be cancelled."""
        process: Any = getattr(self.cls, "process", None)
        return not (
            self._keeps()
            or self._streams()
            or _core.is_async(process)
            or inspect.isgeneratorfunction(process)
        )

    def _set_params(self, **params: Any) -> None:
        self._now(_wire.PARAMS, params)

    def _save(self) -> Any:
        return self._now(_wire.SAVE, None)

    def _load(self, state: Any) -> None:
        self._state, self._has_state = state, True
        self._now(_wire.LOAD, state)

    # ---- the worker

    async def _start(self) -> None:
        import asyncio

        made = self._pickled()
        loop = asyncio.get_running_loop()
        if not _zygote.is_there():
            await asyncio.to_thread(_zygote.start)
        link, fds = _core.Link.make(capacity=CREDITS, pool_bytes_max=POOL_BYTES_MAX)
        try:
            self._process = _zygote.fork(fds, self.limits)
        except BaseException:
            link.close()
            raise
        self._channel = _wire.Channel(link, loop, careful=self.careful)
        _links.add(link)
        options = {
            "keeps": self._keeps(),
            "connected_outputs": self.connected_outputs,
            "limits": self.limits,
        }
        try:
            await self._call(_wire.INIT, (_program(made), made, options))
            if self._has_state:
                await self._call(_wire.LOAD, self._state)
        except BaseException:
            self._stop()
            raise

    def _keeps(self) -> bool:
        return all(callable(getattr(self.cls, name, None)) for name in ("save", "load"))

    def _pickled(self) -> bytes:
        """The node as bytes; without what belongs to runs in this process."""
        node = self.inner
        try:
            if isinstance(node, Made):
                return pickle.dumps(node, 5)
            return pickle.dumps(_Copied(node), 5)
        except Exception as error:
            raise PipelineError(
                f"node '{self.id}' cannot go to a worker process: {type(error).__name__}: {error}",
                code=PYTHON_VALUE,
                help="define its class at the top of a module, and make what cannot be pickled "
                "in initialize()",
            ) from error

    async def _restart(self) -> None:
        if self.restarts >= RESTARTS_MAX:
            raise PipelineError(
                f"node '{self.id}': its worker was started anew {RESTARTS_MAX} times in this run",
                code=FAILED,
            )
        self.restarts += 1
        await self._start()

    def _stop(self) -> None:
        channel, self._channel = self._channel, None
        process, self._process = self._process, None
        if channel is not None:
            channel.close()
        if process is not None:
            process.kill()
            process.wait()

    def _died(self, why: str = "") -> WorkerDied:
        """What is raised where the worker is gone; the next call starts another one."""
        process, self._process = self._process, None
        channel, self._channel = self._channel, None
        self._sent.clear()
        self._early.clear()
        if channel is not None:
            channel.close()
        if process is None:
            return WorkerDied("the worker process is gone")
        if why:
            process.kill()
        ended = process.wait()
        return WorkerDied(f"worker process {process.pid} {why or ended}")

    # ---- operations

    async def _asked(self, op: int, value: Any) -> AsyncIterator[Any]:
        """What an operation gives, until it is done."""
        if self._channel is None:
            await self._restart()
        channel = self._channel
        assert channel is not None
        number, packed = self._numbered(op, value)
        is_over = False
        try:
            if packed is not None and not channel.sends_now(*packed):
                await self._bounded(op, channel.send_packed(*packed))
            while not is_over:
                message = self._early.popleft() if self._early else channel.receive_now()
                if message is None:
                    await self._bounded(op, channel.changes())
                elif message.item == number:  # else it is of one that was cancelled
                    is_over = message.op != _wire.RESULT
                    result = self._result(message)
                    if result is not None:
                        yield result
        except _wire.Gone:
            is_over = True
            raise self._died() from None
        except _TooLong:
            is_over = True
            raise self._died(f"took more than {self.time_s:g} s for one call, and was ended") from None
        finally:
            if not is_over:
                self._cancel(channel, number)

    def _numbered(
        self, op: int, value: Any
    ) -> tuple[int, tuple[bytes, tuple[Any, ...]] | None]:
        """The number of an operation, and its message; None: the worker has that already."""
        if op == _wire.ITEM and self._sent:
            return self._sent.popleft(), None
        self._operation += 1
        return self._operation, self._packed(op, self._operation, value)

    def _result(self, message: _wire.Message) -> Any:
        """What a message gives; None: nothing. Raises what the node raised."""
        value = message.value
        if message.op == _wire.FAILED:
            raise self._raised(value)
        result = None
        if message.op != _wire.DONE:
            result, *value = value
        if value:
            self._state, self._has_state = value[0], True
        return result

    async def _call(self, op: int, value: Any = None) -> None:
        """An operation that gives nothing."""
        async for _ in self._asked(op, value):
            pass

    def _packed(self, op: int, number: int, value: Any) -> tuple[bytes, tuple[Any, ...]]:
        try:
            return _wire.packed(op, number, value)
        except Exception as error:
            raise PipelineError(
                f"node '{self.id}': its input cannot go to a worker process: "
                f"{type(error).__name__}: {error}",
                code=PYTHON_VALUE,
                help="give values that pickle takes",
            ) from error

    async def _bounded(self, op: int, waiting: Any) -> Any:
        if self.time_s is None or op not in (_wire.ITEM, _wire.FLUSH):
            return await waiting
        import asyncio

        try:
            async with asyncio.timeout(self.time_s):
                return await waiting
        except TimeoutError:
            raise _TooLong from None

    def _raised(self, row: tuple[bytes | None, str, str, str]) -> BaseException:
        error = _wire.exception_of(row, careful=self.careful)
        if isinstance(error, MemoryError) and "memory_bytes" in self.limits:
            error.add_note(f"the limit of its worker is {self.limits['memory_bytes']} bytes")
        return error

    def _cancel(self, channel: _wire.Channel, number: int) -> None:
        try:
            channel.sends_now(*_wire.packed(_wire.CANCEL, number, None))
        except (_wire.Gone, ValueError):
            pass  # there is nothing left to cancel

    def _now(self, op: int, value: Any) -> Any:
        """An operation between two items, waited for on this thread; what it gave last."""
        from select import select

        channel = self._channel
        if channel is None:
            raise self._died()
        self._operation += 1
        number = self._operation
        packed = self._packed(op, number, value)
        given = None
        try:
            while not channel.sends_now(*packed):
                self._sleep(channel, select)
            while True:
                message = channel.receive_now()
                if message is None:
                    self._sleep(channel, select)
                elif message.item != number:
                    self._early.append(message)
                elif message.op == _wire.RESULT:
                    given = message.value[0]
                elif message.op == _wire.FAILED:
                    raise self._raised(message.value)
                else:
                    return given
        except _wire.Gone:
            raise self._died() from None
        finally:
            channel.wake_all()  # what they wait for may have come meanwhile

    def _sleep(self, channel: _wire.Channel, select: Callable[..., Any]) -> None:
        link = channel.link
        if link.sleep():
            fds = [link.fileno(), link.socket()]
            ready, _, _ = select(fds, (), (), self.time_s)
            link.wake()
            if link.socket() in ready and not link.look():
                channel.is_gone = True
            if not ready:
                raise self._died(f"took more than {self.time_s:g} s for one call, and was ended")


class _TooLong(Exception):
    pass


# Those of this process, for the child of a fork: with them open it would keep workers alive.
_links: WeakSet[_core.Link] = WeakSet()


def _close_links() -> None:
    for link in list(_links):
        link.close()


os.register_at_fork(after_in_child=_close_links)


class _Copied:
    """Pickles as a node: its class, and its attributes but for those of this process."""

    LEFT_OUT = ("_host", "_allocate", "logger", "is_initialized", "connected_outputs")

    def __init__(self, node: Node) -> None:
        self.node = node

    def __reduce__(self) -> Any:
        node = self.node
        kept = {k: v for k, v in node.__dict__.items() if k not in self.LEFT_OUT}
        reduced = node.__reduce_ex__(5)
        if type(node).__reduce__ is object.__reduce__ and (
            getattr(type(node), "__getstate__", None) is getattr(object, "__getstate__", None)
        ):
            return _copy, (type(node), kept)
        return reduced


def _copy(cls: type[Node], attributes: dict[str, Any]) -> Node:
    node: Node = object.__new__(cls)
    node.__dict__.update(attributes)
    return node


def _program(made: bytes) -> dict[str, Any]:
    """What the worker needs to import as this program does."""
    name = path = None
    if b"__main__" in made or b"__mp_main__" in made:
        main = sys.modules["__main__"]
        sys.modules.setdefault("__mp_main__", main)
        spec = getattr(main, "__spec__", None)
        if spec is not None:
            name = spec.name
        else:
            path = getattr(main, "__file__", None)
            path = path and os.path.abspath(path)
    return {"path": sys.path, "argv": sys.argv, "folder": os.getcwd(), "main": (name, path)}
