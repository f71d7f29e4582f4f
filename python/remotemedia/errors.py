"""What the SDK raises.

::

    Error                    the library's: code, status, message, help, node, item, findings
      RemoteMediaError
        PipelineError        a pipeline cannot be built, planned or run
          NodeError          a node failed on an item; also an instance of what the node raised
        ConfigurationError   a configuration value is not acceptable
        SerializationError   a value cannot be written or read
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ._core import Error, Finding

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "ConfigurationError",
    "Error",
    "Excerpt",
    "NodeError",
    "PipelineError",
    "RemoteMediaError",
    "SerializationError",
]

# Stable codes that this package raises itself; `remotemedia help CODE` explains each.
FAILED = 3
NODE_FAILED = 402
NODE_TYPE_UNKNOWN = 301
DEPENDENCY_MISSING = 309
PYTHON_IMPORT = 601
PYTHON_VALUE = 603
CHECKPOINT_REFUSED = 409
VALUE_NOT_ACCEPTABLE = 1
DUPLICATE = 107
DANGLING = 108
CYCLE = 109


def near(wanted: str, known: Iterable[str], what: str) -> str:
    """The help of an error about a name that is not there: the nearest one, or all."""
    from difflib import get_close_matches

    names = list(known)
    close = get_close_matches(wanted, names, 1)
    return f"did you mean '{close[0]}'?" if close else f"{what}: {', '.join(names[:20]) or 'none'}"


class RemoteMediaError(Error):
    """Base of the errors that the SDK raises.

    Parameters
    ----------
    message : str
        One line: the thing, its value, what was wanted.
    code : int
        The stable number, 402 prints as E0402; 3 (an operation failed) where none is given.
    help : str
        What would mend it, or "".
    """

    def __init__(self, message: str = "", *, code: int | None = None, help: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.help = help
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        lines = [self.message if self.code == FAILED else f"E{self.code:04}: {self.message}"]
        if self.help:
            lines.append(f"help: {self.help}")
        others = [f for f in self.findings if f.severity == "error"][1:]
        lines += [_place(f) + f.message for f in others[:9]]
        if len(others) > 9:
            lines.append(f"and {len(others) - 9} more errors, see findings")
        return "\n".join(lines)


def _place(finding: Finding) -> str:
    return f"line {finding.line}, column {finding.column}: " if finding.line else ""


class PipelineError(RemoteMediaError):
    """A pipeline cannot be built, planned or run."""


class ConfigurationError(RemoteMediaError):
    """A configuration value is not acceptable."""


class SerializationError(RemoteMediaError):
    """A value cannot be written or read."""


class RemoteExecutionError(RemoteMediaError):
    """Something could not be done on another machine; ``remote_traceback`` is the text from there."""

    def __init__(
        self,
        message: str = "",
        remote_traceback: str | None = None,
        *,
        code: int | None = None,
        help: str = "",
    ) -> None:
        super().__init__(message, code=code, help=help)
        self.remote_traceback = remote_traceback


class WebRTCError(RemoteMediaError):
    """A WebRTC connection failed."""


class Excerpt(NamedTuple):
    """What an error says of the input of a node: bounded, and without its secrets.

    ``type`` is its class, of an array with the data type, for a native node the format and the size
    in bytes; ``shape`` that of an array (of sound,
    of a picture), or the length of what has one, else None; ``head`` its first values or bytes.
    Under a name that the node's type declares as secret (`Node.secret_fields`) stands ``***``.
    """

    type: str
    shape: tuple[int, ...] | None
    head: str

    def __str__(self) -> str:
        shape = "" if self.shape is None else f" {'x'.join(map(str, self.shape)) or 'scalar'}"
        return f"{self.type}{shape}: {self.head}" if self.head else self.type + shape


class NodeError(PipelineError):
    """A node failed on an item.

    What a run raises is an instance of this class and of the class of what the node raised: a
    ``ValueError`` of a node is caught by ``except ValueError`` as well as by ``except NodeError``.
    Where no class can be both, it is a `NodeError` alone. ``Pipeline.errors`` has one for each
    error that ``on_error`` dealt with.

    Attributes
    ----------
    node : str or None
        Id of the node.
    item : int or None
        Number of the item in the node's input (a source: in its output), from 1; None: not on an
        item.
    original : BaseException or None
        What the node raised, with its traceback; also ``__cause__``. None: a native node failed.
    policy : str
        What was done: "fail", the run ended; "skip", "bypass"; "retry", it was tried again.
    attempts : int
        How often the item has been tried by then, from 1.
    input : Excerpt or None
        What the node was given, in short. None: nothing, or it is not known any more, as of a node
        with ``is_streaming``.
    """

    original: BaseException | None = None
    policy: str = "fail"
    attempts: int = 1
    input: Excerpt | None = None

    @property
    def error_type(self) -> str:
        """Name of the class that the node raised, "Error" for a native node."""
        return "Error" if self.original is None else type(self.original).__qualname__

    @property
    def causes(self) -> tuple[BaseException, ...]:
        """``original``, what it was raised from, and so on; at most 100."""
        chain: list[BaseException] = []
        at = self.original
        while at is not None and len(chain) < CAUSES_MAX and not any(at is one for one in chain):
            chain.append(at)
            at = at.__cause__ or (None if at.__suppress_context__ else at.__context__)
        return tuple(chain)

    @property
    def traceback(self) -> str:
        """The formatted traceback of ``original``, "" without one."""
        if self.original is None:
            return ""
        from traceback import format_exception

        return "".join(format_exception(self.original))

    def __reduce__(self) -> Any:
        # The mixed class cannot be found by name; what it was mixed from can.
        return _rebuild, (self.original, {name: getattr(self, name) for name in FIELDS})


FIELDS = ("message", "code", "status", "help", "node", "item", "policy", "attempts", "input")
CAUSES_MAX = 100

_mixed: dict[type[BaseException], type[NodeError]] = {}


def _mixed_class(kind: type[BaseException]) -> type[NodeError]:
    """NodeError that is a `kind` too; NodeError alone where the two cannot be one class."""
    if issubclass(kind, (StopIteration, StopAsyncIteration)):
        return NodeError  # a coroutine cannot raise these
    if issubclass(kind, NodeError):
        return NodeError  # of a pipeline that the node ran
    known = _mixed.get(kind)
    if known is None:
        try:
            known = type(kind.__name__, (NodeError, kind), {"__module__": kind.__module__})
        except Exception:  # a final class, or one whose __init_subclass__ wants more
            known = NodeError
        if len(_mixed) < 1000:
            _mixed[kind] = known
    return known


def _made_for(original: BaseException | None) -> NodeError:
    """A NodeError of the class for what was raised; NodeError alone where none can be made."""
    if original is None:
        return NodeError()
    cls = _mixed_class(type(original))
    try:
        is_group = isinstance(original, BaseExceptionGroup)
        error = cls.__new__(cls, *(original.args if is_group else ()))
        _copy_content(original, error)
    except Exception:  # its __new__ wants arguments of its own
        return NodeError.__new__(NodeError)
    return error


def _rebuild(original: BaseException | None, fields: dict[str, Any]) -> NodeError:
    error = _made_for(original)
    for name, value in (*fields.items(), ("original", original), ("__cause__", original)):
        BaseException.__setattr__(error, name, value)  # the class may forbid it, as frozen ones do
    return error


def _copy_content(original: BaseException, error: BaseException) -> None:
    """What handlers read: args, errno of an OSError, the attributes of an own class."""
    mro = type(original).__mro__
    builtin = next(c for c in mro if c.__module__ == "builtins" and "__init__" in c.__dict__)
    if isinstance(error, builtin):
        try:
            builtin.__dict__["__init__"](error, *original.args)
        except TypeError:  # an own class that gave its base other arguments
            pass
    BaseException.__setattr__(error, "args", original.args)
    error.__dict__.update(getattr(original, "__dict__", {}))


def _where(node: str | None, item: int | None) -> str:
    where = f"node '{node}'" if node else "a node"
    return where if item is None else f"{where}, item {item}"


def _with_place(error: Error) -> str:
    """The message, with the node if it does not name it."""
    message = error.message or str(error)
    if error.node and f"'{error.node}'" not in message:
        message = f"{_where(error.node, error.item)}: {message}"
    return message


def node_error(
    error: BaseException,
    node: str | None,
    item: int | None,
    input: Excerpt | str | None = None,
    attempts: int = 1,
) -> BaseException:
    """The error that a run raises for what a node raised.

    An `Error` of the SDK gets node and item; one of the library becomes a `PipelineError`, or a
    `NodeError` where it names a node. What ends a program or a task (KeyboardInterrupt,
    CancelledError, SystemExit) passes as it is.
    """
    if not isinstance(error, Exception):
        return error
    if not isinstance(error, Error):
        return _raised_by(error, node, item, input=input, attempts=attempts)
    error.node = error.node or node
    error.item = error.item or item
    if not isinstance(error, RemoteMediaError):
        made = pipeline_error(error)
        if isinstance(made, NodeError):
            made.input, made.attempts = _excerpt_of(input), attempts
        return made
    error.message = _with_place(error)
    return error


def dealt_error(
    policy: str,
    error: BaseException,
    node: str | None,
    item: int | None,
    input: Excerpt | str | None,
    attempts: int,
) -> NodeError:
    """The `NodeError` of an error that ``on_error`` dealt with, whatever its class."""
    fields = {"policy": policy, "attempts": attempts, "input": _excerpt_of(input)}
    if isinstance(error, Exception) and not isinstance(error, Error):
        return _raised_by(error, node, item, **fields)
    if isinstance(error, RemoteMediaError):
        fields |= {"code": error.code, "help": error.help}
        return _raised_by(error, node, item, **fields)
    message = _with_place(error) if isinstance(error, Error) else str(error)
    fields |= {"message": message, "node": node, "item": item}
    if isinstance(error, Error):
        fields |= {"code": error.code, "help": error.help, "status": error.status}
    return _rebuild(None, fields)


def _excerpt_of(input: Excerpt | str | None) -> Excerpt | None:
    """The engine tells what a native node was given as "format, size: bytes"."""
    if not isinstance(input, str):
        return input
    kind, _, head = input.partition(": ")
    return Excerpt(kind, None, head)


def _raised_by(
    error: Exception, node: str | None, item: int | None, **fields: Any
) -> NodeError:
    """The error for what the code of a node raised."""
    message = f"{_where(node, item)}: {_line_of(error)}"
    known = {"message": message, "code": NODE_FAILED, "node": node, "item": item}
    return _rebuild(error, known | fields)


def _line_of(error: Exception) -> str:
    """Class and text of what was raised; its __str__ may fail in its turn."""
    kind = type(error).__name__
    try:
        text = error.message if isinstance(error, RemoteMediaError) else str(error)
    except Exception:
        text = "(its text cannot be had)"
    return f"{kind}: {text}" if text else kind


def pipeline_error(error: Error) -> PipelineError:
    """A library error as the SDK's: code, help, findings, node and item are kept."""
    if isinstance(error, PipelineError):
        return error
    made = (NodeError if error.node else PipelineError)(_with_place(error))
    for name in ("code", "status", "help", "node", "item", "findings"):
        setattr(made, name, getattr(error, name))
    made.__cause__ = error.__cause__
    made.__traceback__ = error.__traceback__
    return made
