"""One live node in several runs at once: the first initializes it, the last cleans it up."""

from __future__ import annotations

import inspect
import sys
from _thread import allocate_lock
from typing import Any

from . import _core
from .node import DONE, Node


class Host:
    """What a run gets in place of a live node; it is that node but for its begin and end.

    Threads: any; the counting has a lock, the node's own methods are called without it.
    """

    def __init__(self, node: Node) -> None:
        self.node = node
        self.process = node.process
        self._lock = allocate_lock()
        # Protected by _lock.
        self._users = 0
        self._ready: _Ready | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.node, name)

    def _set_attribute(self, name: str, value: Any) -> None:
        """A live parameter of a node that has no ``set_params``."""
        setattr(self.node, name, value)

    @property
    def connected_outputs(self) -> frozenset[str] | None:
        """Those of every run so far: another may be under way, with another graph."""
        return self.node.connected_outputs

    @connected_outputs.setter
    def connected_outputs(self, names: frozenset[str]) -> None:
        with self._lock:
            self.node.connected_outputs = (self.node.connected_outputs or frozenset()) | names

    def does_nothing(self, name: str) -> bool:
        """True where the node's ``initialize`` or ``cleanup`` is that of `Node`."""
        return getattr(type(self.node), name) is getattr(Node, name) and (
            name not in self.node.__dict__
        )

    def is_light(self, name: str) -> bool:
        """True where ``initialize`` or ``cleanup`` may be called on the loop's thread: it does nothing
        on this call, or gives a coroutine."""
        if _core.is_async(getattr(self.node, name)):
            return True
        if getattr(type(self.node), name) is getattr(Node, name):
            return True
        return self._users > (0 if name == "initialize" else 1)

    def initialize(self) -> Any:
        """Initializes the node, or waits until the run that does so is done."""
        with self._lock:
            self._users += 1
            first = self._users == 1
            if first:
                self._ready = _Ready()
            ready = self._ready
        assert ready is not None
        if not first:
            return ready.wait()
        try:
            result = self.node.initialize()
        except BaseException as error:
            ready.settle(error)
            raise
        if result is not DONE and inspect.isawaitable(result):
            return self._finish(result, ready)
        self._settle(ready)
        return None

    async def _finish(self, result: Any, ready: _Ready) -> None:
        try:
            await result
        except BaseException as error:
            ready.settle(error)
            raise
        self._settle(ready)

    def _settle(self, ready: _Ready) -> None:
        self.node.is_initialized = True
        ready.settle(None)

    def cleanup(self) -> Any:
        """Cleans the node up if no other run uses it."""
        with self._lock:
            self._users -= 1
            last = self._users == 0
        if not last:
            return None
        self.node.is_initialized = False
        result = self.node.cleanup()
        return result if inspect.isawaitable(result) else None


class _Ready:
    """The end of an initialization, for those that wait for it."""

    def __init__(self) -> None:
        self._lock = allocate_lock()
        # Protected by _lock.
        self._done = False
        self._error: BaseException | None = None
        self._waiting: list[Any] = []

    def settle(self, error: BaseException | None) -> None:
        with self._lock:
            self._done = True
            self._error = error
            waiting, self._waiting = self._waiting, []
        for wake in waiting:
            wake()

    def wait(self) -> Any:
        """None where it is done, a coroutine where a loop runs here; else blocks."""
        events = sys.modules.get("asyncio.events")
        loop = events._get_running_loop() if events is not None else None
        with self._lock:
            if self._done:
                return self._result()
            if loop is not None:
                future = loop.create_future()
                self._waiting.append(lambda: loop.call_soon_threadsafe(_finish, future))
                return self._wait(future)
            blocked = allocate_lock()
            blocked.acquire()
            self._waiting.append(blocked.release)
        blocked.acquire()
        return self._result()

    async def _wait(self, future: Any) -> None:
        await future
        self._result()

    def _result(self) -> None:
        if self._error is not None:
            raise self._error


def _finish(future: Any) -> None:
    if not future.done():
        future.set_result(None)
