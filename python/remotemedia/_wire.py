"""What goes over the link between a pipeline and a worker process: one item a message.

::

    head, in the slot:  operation 1 | flags 1 | - 6 | item 8 | the pickle, where it is short
    parts, in blocks:   the pickle, where it is long; then the arrays, each as it lies in memory

Values are pickled by protocol 5, arrays beside it: one copy into memory that the other process reads
where it is, none where `Node.empty` made the array there. A pickle can run any code, so it is only
taken from who could do that anyway: a worker takes it from the program that started it, and the
program from workers that it started.
"""

from __future__ import annotations

import pickle
from struct import Struct
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from . import _core

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future
    from collections.abc import Sequence

# To the worker.
INIT, ITEM, FLUSH, CANCEL, INTERRUPT, PARAMS, SAVE, LOAD, CLEANUP = range(1, 10)
# From the worker. DONE, ONLY (with the one result) and FAILED end an operation; RESULT comes before.
RESULT, DONE, FAILED, ONLY = range(16, 20)

HEAD = Struct("<BB6xQ")
LONG = 1  # the pickle is the first part
HEAD_BYTES_MAX = 256
PARTS_MAX = 4
# What is smaller is copied into the pickle: a block is 4 KiB at least.
BUFFER_BYTES_MIN = 2048


class Gone(Exception):
    """The other process is gone."""


class Message(NamedTuple):
    """One message. ``item``: the number of the operation that it is of."""

    op: int
    item: int
    value: Any


def packed(op: int, item: int, value: Any) -> tuple[bytes, tuple[Any, ...]]:
    """Head and parts of a message.

    Raises
    ------
    Exception
        Whatever pickling raises: the value, or something in it, cannot leave this process.
    """
    if value is None:
        return HEAD.pack(op, 0, item), ()
    buffers: list[Any] = []

    def aside(buffer: pickle.PickleBuffer) -> bool:
        """False: goes into a block of its own."""
        raw = buffer.raw()
        if raw.nbytes < BUFFER_BYTES_MIN or len(buffers) == PARTS_MAX - 1:
            return True
        buffers.append(raw)
        return False

    text = pickle.dumps(value, 5, buffer_callback=aside)
    if len(text) <= HEAD_BYTES_MAX - HEAD.size:
        return HEAD.pack(op, 0, item) + text, tuple(buffers)
    return HEAD.pack(op, LONG, item), (text, *buffers)


class Careful(pickle.Unpickler):
    """Makes plain values, arrays and exceptions of Python's own, and calls nothing else.

    For what comes from a worker that may do less than the program.
    """

    PLAIN: ClassVar = {
        "builtins": {"bytearray", "complex", "frozenset", "range", "set", "slice"},
        "collections": {"OrderedDict", "deque"},
        "datetime": {"date", "datetime", "time", "timedelta", "timezone"},
        "decimal": {"Decimal"},
        "uuid": {"UUID"},
        "numpy": {"dtype", "ndarray"},
        "numpy.core.multiarray": {"_reconstruct"},
        "numpy._core.multiarray": {"_reconstruct"},
        "numpy.core.numeric": {"_frombuffer"},
        "numpy._core.numeric": {"_frombuffer"},
    }

    def find_class(self, module: str, name: str) -> Any:
        """The class or function; UnpicklingError for one that is not to be called."""
        if name in self.PLAIN.get(module, ()):
            return super().find_class(module, name)
        if name == "scalar" and module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            return _scalar
        if module == "builtins" and name.isidentifier():
            found = super().find_class(module, name)
            if isinstance(found, type) and issubclass(found, Exception):
                return found
        raise pickle.UnpicklingError(
            f"{module}.{name} is not taken from a worker with limits on files or hosts"
        )


def _scalar(kind: Any, data: bytes = b"") -> Any:
    import numpy

    if not isinstance(kind, numpy.dtype) or kind.hasobject:
        raise pickle.UnpicklingError("a number of NumPy with Python objects in it")
    return numpy.frombuffer(data, kind, 1)[0]


def _loads(data: Any, buffers: Sequence[Any] = (), *, careful: bool = False) -> Any:
    if careful:
        from io import BytesIO

        return Careful(BytesIO(data), buffers=buffers).load()
    return pickle.loads(data, buffers=buffers)


def unpacked(head: bytes, parts: Sequence[Any], *, careful: bool = False) -> Message:
    """The message; its arrays are read-only views of memory that they keep.

    Raises
    ------
    Exception
        What unpickling raises. ``careful``: of anything but plain values, too, see `Careful`.
    """
    op, flags, item = HEAD.unpack_from(head)
    if flags & LONG:
        value = _loads(parts[0], parts[1:], careful=careful)
    elif len(head) > HEAD.size:
        value = _loads(memoryview(head)[HEAD.size :], parts, careful=careful)
    else:
        value = None
    return Message(op, item, value)


class Channel:
    """A link on an event loop.

    Parameters
    ----------
    link : _core.Link
        One side; the channel closes it.
    loop : AbstractEventLoop
        The loop that waits for it. While nobody sends or receives it is not woken.
    careful : bool
        Whether what comes is taken as from a stranger, see `Careful`.
    """

    def __init__(
        self, link: _core.Link, loop: AbstractEventLoop, *, careful: bool = False
    ) -> None:
        self.link = link
        self.careful = careful
        self.is_gone = False
        self._loop = loop
        self._waiting: list[Future[None]] = []
        loop.add_reader(link.fileno(), self._woken)
        loop.add_reader(link.socket(), self._looked)

    async def send(self, op: int, item: int = 0, value: Any = None) -> None:
        """Sends a message, as soon as there is a credit.

        Raises
        ------
        Gone
            The other process is gone, or wants nothing more.
        """
        await self.send_packed(*packed(op, item, value))

    async def send_packed(self, head: bytes, parts: tuple[Any, ...]) -> None:
        """As `send`, for what `packed` gave."""
        while not self.sends_now(head, parts):
            await self.changes()

    def sends_now(self, head: bytes, parts: tuple[Any, ...]) -> bool:
        """Sends it if there is a credit."""
        if self.is_gone:
            raise Gone
        try:
            return self.link.send(head, parts)
        except EOFError:
            raise Gone from None

    async def receive(self) -> Message:
        """The next message.

        Raises
        ------
        Gone
            The other process is gone, and all that it sent was received.
        """
        while (message := self.receive_now()) is None:
            await self.changes()
        return message

    def receive_now(self) -> Message | None:
        """The next message if there is one."""
        try:
            got = self.link.receive()
        except EOFError:
            raise Gone from None
        except _core.Error:
            if self.is_gone:
                raise Gone from None
            raise
        if got is None:
            return None
        try:
            return unpacked(*got, careful=self.careful)
        finally:
            self.link.acknowledge()

    def close(self) -> None:
        """The other process sees it. Arrays that came stay."""
        if not self._loop.is_closed():
            self._loop.remove_reader(self.link.fileno())
            self._loop.remove_reader(self.link.socket())
        self.is_gone = True
        self.link.close()
        self.wake_all()

    async def changes(self) -> None:
        """Returns once the other side has done something."""
        if self.link.sleep():
            future = self._loop.create_future()
            self._waiting.append(future)
            await future

    def _woken(self) -> None:
        self.link.wake()
        self.wake_all()

    def _looked(self) -> None:
        if not self.link.look():
            self.is_gone = True
            self._loop.remove_reader(self.link.socket())
        self.wake_all()

    def wake_all(self) -> None:
        """Has all that wait look again."""
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)


class Traceback(Exception):
    """The cause of an exception that came from a worker: where it was raised there."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f"\n{self.text}"


class WorkerException(Exception):
    """Stands for an exception of a node that cannot leave its worker process."""


def exception_row(error: BaseException) -> tuple[bytes | None, str, str, str]:
    """An exception as it travels: pickled where it can be, its type, its text, its traceback."""
    from traceback import format_exception

    name = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
    text = "".join(format_exception(error))
    whole: bytes | None = None
    try:
        written = pickle.dumps(error)
        pickle.loads(written)  # some can be written only
        whole = written
    except Exception:
        pass  # its text travels alone
    return whole, name, str(error), text


def exception_of(
    row: tuple[bytes | None, str, str, str], *, careful: bool = False
) -> BaseException:
    """The exception of such a row; its cause says where it was raised."""
    whole, name, text, traceback = row
    made: BaseException | None = None
    if whole is not None:
        try:
            made = _loads(whole, careful=careful)
        except Exception:  # its class is not to be had here
            made = None
    if made is None:
        made = WorkerException(f"{name}: {text}")
    made.__cause__ = Traceback(traceback)
    return made
