"""What runs in worker processes: the zygote that forks them, and the one node of each.

::

    program ──socket pair──▶ zygote ──fork──▶ worker
        └────────────link (shared memory)───────┘

The zygote has one thread and forks workers that have imported already what it has; a worker runs one
node on an event loop of its own. All of them end when the program does.
"""

from __future__ import annotations

import contextlib
import gc
import inspect
import os
import signal
import socket
import sys
from time import perf_counter_ns
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import TYPE_CHECKING, Any

from . import _confine, _core, _wire

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Queue, Task
    from collections.abc import AsyncIterator

REQUEST_BYTES_MAX = 1 << 16
LINK_FDS = 4
LOOK_NS = 50_000
VAIN_MAX, LOOK_EACH = 3, 32
TURNS_MAX = 16  # items in a row until the node's own tasks get a turn
UNFINISHED = (CoroutineType, GeneratorType, AsyncGeneratorType)


# ---- zygote


def serve(requests: socket.socket) -> None:
    """Answers requests until the program is gone; then ends the workers that are left."""
    import json

    children: set[int] = set()
    while True:
        text, fds, _, _ = socket.recv_fds(requests, REQUEST_BYTES_MAX, LINK_FDS)
        if not text:
            break
        asked = json.loads(text)
        answer: dict[str, Any] = {}
        given: list[int] = []
        try:
            if asked["do"] == "fork":
                answer["pid"], given = _fork(requests, fds, asked)
                children.add(answer["pid"])
            elif asked["do"] == "wait":
                answer["status"] = os.waitpid(asked["pid"], 0)[1]
                children.discard(asked["pid"])
            else:
                _warm(asked["imports"])
        except Exception as error:
            answer["error"] = f"{type(error).__name__}: {error}"
        socket.send_fds(requests, [json.dumps(answer).encode()], given)
        for fd in given:
            os.close(fd)
    for pid in children:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def _warm(names: list[str]) -> None:
    import importlib

    for name in names:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # so that no collection of a worker writes to pages that it shares


def _fork(requests: socket.socket, fds: list[int], asked: dict[str, Any]) -> tuple[int, list[int]]:
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            requests.close()
            _flush_each_line()
            _bound(asked.get("limits") or {})
            code = run(tuple(fds))
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)
    for fd in fds:
        os.close(fd)
    return pid, [os.pidfd_open(pid)]


def _flush_each_line() -> None:
    """What a node prints is there at once, also where the worker is killed after that."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]


def _bound(limits: dict[str, Any]) -> None:
    """What the system holds the worker to. Its memory counts from what it has as it begins."""
    import resource

    memory = limits.get("memory_bytes")
    if memory is not None:
        with open("/proc/self/statm") as file:
            has = int(file.read().split()[0]) * resource.getpagesize()
        bound = has + int(memory)
        resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


# ---- worker


def run(fds: tuple[int, ...]) -> int:
    """Runs the node that comes over the link; returns when the program lets go of it."""
    import asyncio

    link = _core.Link.attach(fds)  # type: ignore[arg-type]
    return asyncio.run(_main(link))


async def _main(link: _core.Link) -> int:
    import asyncio

    loop = asyncio.get_running_loop()
    worker = _Worker(_wire.Channel(link, loop), loop)
    try:
        await worker.serve()
    except _wire.Gone:
        return 0
    finally:
        worker.channel.close()
    return 0


class _Worker:
    """One node, and the operations on it: one at a time, but for what cancels one."""

    def __init__(self, channel: _wire.Channel, loop: AbstractEventLoop) -> None:
        self.channel = channel
        self.loop = loop
        self.node: Any = None
        self.keeps = self.is_streaming = False
        self.stream: _Stream | None = None
        self.task: Task[None] | None = None
        self.item = self.looks = self.in_vain = 0

    async def serve(self) -> None:
        """Until the link ends."""
        turns = 0
        while True:
            message = self.channel.receive_now() or self._look()
            if message is None:
                message = await self.channel.receive()
            elif (turns := turns + 1) % TURNS_MAX == 0:
                await self._rest()
            if message.op == _wire.CANCEL:
                if self.task is not None and self.item == message.item:
                    self.task.cancel()
                continue
            if self.task is not None:
                await _over(self.task)
                self.task = None
            self.item = message.item
            result, last = None, None
            if message.op == _wire.ITEM and not self.is_streaming:
                result, last = self._call(message)
            if last is not None:
                await self.channel.send_packed(*last)
            else:
                self.task = self.loop.create_task(self._do(message, result))

    def _look(self) -> _wire.Message | None:
        """The next message, where it comes within moments: to be woken takes longer than that.

        Not where the last few looks were in vain, but for one now and then.
        """
        self.looks += 1
        if self.task is not None or (self.in_vain >= VAIN_MAX and self.looks % LOOK_EACH):
            return None
        until = perf_counter_ns() + LOOK_NS
        while perf_counter_ns() < until:
            message = self.channel.receive_now()
            if message is not None:
                self.in_vain = 0
                return message
            os.sched_yield()
        self.in_vain += 1
        return None

    async def _rest(self) -> None:
        """Lets tasks of the node's own run, where items come without a pause."""
        import asyncio

        await asyncio.sleep(0)

    def _call(self, message: _wire.Message) -> tuple[Any, tuple[bytes, tuple[Any, ...]] | None]:
        """Has the node handle an item: what is left to be done, or the message that ends it."""
        try:
            result = self.node.process(*message.value)
            if type(result) in UNFINISHED or inspect.isawaitable(result):
                return result, None
            value = (result, self.node.save()) if self.keeps else (result,)
            return None, _wire.packed(_wire.ONLY, message.item, value)
        except BaseException as error:
            row = _wire.exception_row(_here(error))
            return None, _wire.packed(_wire.FAILED, message.item, row)

    async def _do(self, message: _wire.Message, begun: Any) -> None:
        state = None
        try:
            if begun is not None:
                await self._give_all(begun)
            else:
                await self._operate(message.op, message.value)
            if self.keeps and message.op == _wire.ITEM:
                state = (self.node.save(),)
            last = _wire.packed(_wire.DONE, message.item, state)
        except _wire.Gone:
            raise
        except BaseException as error:
            last = _wire.packed(_wire.FAILED, message.item, _wire.exception_row(_here(error)))
        await self.channel.send_packed(*last)

    async def _operate(self, op: int, value: Any) -> None:
        if op == _wire.INIT:
            await self._begin(*value)
        elif op == _wire.ITEM:
            await self._feed(value[0])
        elif op == _wire.FLUSH:
            await self._flush()
        elif op == _wire.INTERRUPT:
            await self._interrupt()
        elif op == _wire.PARAMS:
            self.node.set_params(**value)
        elif op == _wire.SAVE:
            await self._give(self.node.save())
        elif op == _wire.LOAD:
            self.node.load(value)
        elif op == _wire.CLEANUP:
            await _awaited(self.node.cleanup())

    async def _begin(self, prepare: dict[str, Any], made: bytes, options: dict[str, Any]) -> None:
        import pickle

        _find_modules(prepare)
        limits = options["limits"]
        if "files" in limits:
            _confine.files(limits["files"])
        if "hosts" in limits:
            _confine.no_network()
        _run_main(prepare)
        self.node = pickle.loads(made)
        if isinstance(self.node, Made):
            self.node = self.node.make()
        self.node._allocate = self.channel.link.alloc
        self.keeps = options["keeps"]
        self.is_streaming = bool(getattr(self.node, "is_streaming", False))
        connected = options["connected_outputs"]
        if connected is not None:
            self.node.connected_outputs = connected
        await _awaited(self.node.initialize())

    async def _feed(self, item: Any) -> None:
        """Gives an item to a node that is one generator for the whole stream."""
        if self.stream is None:
            self.stream = _Stream(self)
        await self.stream.feed(item)

    async def _flush(self) -> None:
        if self.stream is not None:
            stream, self.stream = self.stream, None
            await stream.end()
        flush = getattr(self.node, "flush", None)
        if flush is not None:
            await self._give_all(flush())

    async def _interrupt(self) -> None:
        if self.stream is not None:
            stream, self.stream = self.stream, None
            await stream.drop()
        interrupt = getattr(self.node, "interrupt", None)
        if interrupt is not None:
            await _awaited(interrupt())

    async def _give_all(self, result: Any) -> None:
        """What a call of the node's gave, however it gave it."""
        if inspect.isawaitable(result):
            result = await result
        if inspect.isasyncgen(result):
            async with contextlib.aclosing(result):
                async for value in result:
                    await self._give(value)
        elif inspect.isgenerator(result):
            with contextlib.closing(result):
                for value in result:
                    await self._give(value)
        else:
            await self._give(result)

    async def _give(self, value: Any) -> None:
        if value is not None:
            await self.channel.send_packed(*_wire.packed(_wire.RESULT, self.item, (value,)))


class _Stream:
    """The input of a node that is one generator for the whole stream.

    An item is done once the node asks for the next one; what it gives until then is of that item.
    """

    def __init__(self, worker: _Worker) -> None:
        import asyncio

        self._worker = worker
        self._items: Queue[tuple[Any, ...] | None] = asyncio.Queue(1)
        self._wants = asyncio.Event()
        self._task = worker.loop.create_task(self._run())

    async def _run(self) -> None:
        try:
            await self._worker._give_all(self._worker.node.process(self._input()))
        finally:
            self._wants.set()

    async def _input(self) -> AsyncIterator[Any]:
        while True:
            self._wants.set()
            item = await self._items.get()
            if item is None:
                return
            yield item[0]

    async def _turn(self, item: tuple[Any, ...] | None) -> None:
        await self._wants.wait()
        if not self._task.done():
            self._wants.clear()
            await self._items.put(item)
            await self._wants.wait()
        if self._task.done():
            self._task.result()

    async def feed(self, item: Any) -> None:
        await self._turn((item,))

    async def end(self) -> None:
        await self._turn(None)
        await self._task

    async def drop(self) -> None:
        self._task.cancel()
        await _over(self._task)


def _find_modules(program: dict[str, Any]) -> None:
    """Makes importable what is so in the program."""
    sys.path[:] = program["path"]
    sys.argv[:] = program["argv"]
    os.chdir(program["folder"])


def _run_main(program: dict[str, Any]) -> None:
    """Runs the program's main module as an import, where a class of it is needed."""
    name, path = program["main"]
    if name is None and path is None:
        return
    import runpy
    from types import ModuleType

    main = ModuleType("__mp_main__")
    if name is not None:
        main.__dict__.update(runpy.run_module(name, run_name="__mp_main__", alter_sys=True))
    else:
        main.__dict__.update(runpy.run_path(path, run_name="__mp_main__"))
    sys.modules["__main__"] = sys.modules["__mp_main__"] = main


class Made:
    """A node that is made in the worker, of its type's name and parameters."""

    def __init__(self, name: str, params: dict[str, Any]) -> None:
        self.name = name
        self.params = params

    def make(self) -> Any:
        """The node. Raises what its import or its constructor raises."""
        from ._resolve import find_class

        cls = find_class(self.name)
        if cls is None:
            raise LookupError(f"no Python node type is called '{self.name}'")
        return cls(**self.params)


async def _awaited(result: Any) -> None:
    if inspect.isawaitable(result):
        await result


async def _over(task: Task[None]) -> None:
    """Waits for the end of a task, whatever it is; a link that is gone goes on up."""
    import asyncio

    await asyncio.wait((task,))
    error = None if task.cancelled() else task.exception()
    if isinstance(error, _wire.Gone):
        raise error


def _here(error: BaseException) -> BaseException:
    """The error, its traceback without the frames of this file that lead to the node's code."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_frame.f_globals is globals():
        traceback = traceback.tb_next
    return error.with_traceback(traceback)


def main(arguments: list[str]) -> None:
    """The zygote: its one argument is the descriptor of its socket."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the program decides
    requests = socket.socket(fileno=int(arguments[0]))
    own = ("node", "errors", "media", "_worker_host", "_resolve")
    _warm(["asyncio", "resource", "traceback", *(f"{__package__}.{name}" for name in own)])
    serve(requests)
