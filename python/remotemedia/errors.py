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

from typing import TYPE_CHECKING, Any

from ._core import Error, Finding

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "ConfigurationError",
    "Error",
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


class NodeError(PipelineError):
    """A node failed on an item.

    What a run raises is an instance of this class and of the class of what the node raised: a
    ``ValueError`` of a node is caught by ``except ValueError`` as well as by ``except NodeError``.

    Attributes
    ----------
    node : str or None
        Id of the node.
    item : int or None
        Number of the item in the node's input, from 1.
    original : BaseException or None
        What the node raised, with its traceback; also ``__cause__``.
    traceback : str
        The formatted traceback of ``original``, "" without one.
    """

    original: BaseException | None = None

    @property
    def traceback(self) -> str:
        """The formatted traceback of ``original``."""
        if self.original is None:
            return ""
        from traceback import format_exception

        return "".join(format_exception(self.original))

    def __reduce__(self) -> Any:
        # The mixed class cannot be found by name; what it was mixed from can.
        return _rebuild, (self.message, self.node, self.item, self.original)


_mixed: dict[type[BaseException], type[NodeError]] = {}


def _mixed_class(kind: type[BaseException]) -> type[NodeError]:
    """NodeError that is a `kind` too; NodeError alone where the two cannot be one class."""
    if issubclass(kind, (StopIteration, StopAsyncIteration)):
        return NodeError  # a coroutine cannot raise these
    known = _mixed.get(kind)
    if known is None:
        try:
            known = type(kind.__name__, (NodeError, kind), {"__module__": kind.__module__})
        except TypeError:
            known = NodeError
        if len(_mixed) < 1000:
            _mixed[kind] = known
    return known


def _rebuild(
    message: str, node: str | None, item: int | None, original: BaseException | None
) -> NodeError:
    cls = NodeError if original is None else _mixed_class(type(original))
    try:
        error = cls.__new__(cls)
    except TypeError:  # its __new__ wants arguments of its own
        cls = NodeError
        error = cls.__new__(cls)
    if original is not None:
        _copy_content(original, error)
    error.message = message
    error.code = NODE_FAILED
    error.node = node
    error.item = item
    error.original = original
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
    error.args = original.args
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


def node_error(error: BaseException, node: str | None, item: int | None) -> BaseException:
    """The error that a run raises for what a node raised.

    An `Error` of the SDK gets node and item; one of the library becomes a `PipelineError`, or a
    `NodeError` where it names a node. What ends a program or a task (KeyboardInterrupt,
    CancelledError, SystemExit) passes as it is.
    """
    if not isinstance(error, Exception):
        return error
    if isinstance(error, Error):
        error.node = error.node or node
        error.item = error.item or item
        if not isinstance(error, RemoteMediaError):
            return pipeline_error(error)
        error.message = _with_place(error)
        return error
    where = _where(node, item)
    kind = type(error).__name__
    text = f"{error}"
    made = _rebuild(f"{where}: {kind}: {text}" if text else f"{where}: {kind}", node, item, error)
    made.__cause__ = error
    return made


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
