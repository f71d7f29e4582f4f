"""Nodes: `Node` is the class to subclass, and names native node types.

::

    class Double(Node):                           code of yours
        def process(self, x):
            return 2 * x

    Node("audio.resample", rate_hz=16000)         a native node type, or "module:Class"

``process`` may be a plain method, a coroutine, a generator, an async generator, or (with
``is_streaming = True``) an async generator that gets the whole stream. What a call returns or
yields goes on, None does not. A ``process`` without a parameter makes the node a source.
"""

from __future__ import annotations

import os
import re
import sys
from abc import ABC, abstractmethod
from functools import cached_property, update_wrapper
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, TypeVar

from .errors import VALUE_NOT_ACCEPTABLE, ConfigurationError
from .state import Stateful

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Generator, Mapping, Sequence
    from inspect import Parameter
    from logging import Logger

    from .flow import Edge, Flow, Part, PortOf

__all__ = ["Dependency", "Node", "NodeSpec", "Out", "Param", "Port"]

# A subclass must have it; but Node("audio.level") itself is fine for a type checker, too.
if TYPE_CHECKING:
    Method = TypeVar("Method", bound=Callable[..., Any])

    def required(method: Method) -> Method: ...

else:
    required = abstractmethod

ID_PATTERN = re.compile(r"[a-zA-Z0-9_-]{1,95}")
TYPE_PATTERN = re.compile(r"[A-Za-z_][\w-]*([.:/#][\w.:/#-]+)?")


class Port(NamedTuple):
    """An input or output of a node type.

    ``formats`` is the text form of formats (``audio rate_hz=16000 channels=1``), None: anything.
    """

    name: str
    formats: str | None = None
    summary: str = ""


class Param(NamedTuple):
    """A parameter of a node type: what the plan checks before the run starts.

    ``kind`` is one of bool, int, float, string, enum, json. ``min`` and ``max`` bound int and
    float, ``choices`` are those of an enum, ``unit`` is for people. ``live``: may be set while it
    runs, by `Session.set_params`. ``secret``: errors and ``repr()`` show ``***`` for its value, and
    for what stands under its name in an item.
    """

    name: str
    kind: Literal["bool", "int", "float", "string", "enum", "json"]
    default: Any = None
    min: float | None = None
    max: float | None = None
    unit: str | None = None
    choices: tuple[str, ...] | None = None
    summary: str = ""
    required: bool = False
    live: bool = False
    secret: bool = False


class Dependency(NamedTuple):
    """A Python module that a node type needs, and the command that installs it."""

    module: str
    install: str


class NodeSpec(NamedTuple):
    """What a node type says about itself, for planning, help and the catalog.

    A node class may have one as its attribute ``spec``; without one it has one input and one output
    of any format, and takes any parameter. ``other_params``: it takes others beside ``params``, too.
    """

    name: str
    summary: str = ""
    inputs: tuple[Port, ...] = (Port("input"),)
    outputs: tuple[Port, ...] = (Port("output"),)
    params: tuple[Param, ...] | None = None
    example: str = ""
    requires: tuple[Dependency, ...] = ()
    other_params: bool = False


class _Done:
    """What `Node.initialize` and `Node.cleanup` return: may be awaited, or not."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, None]:
        return
        yield

    def __repr__(self) -> str:
        return "<done>"


DONE = _Done()


class Node(Stateful, ABC):
    """One step of a pipeline.

    Subclass it and write ``process``; or give the name of a node type: ``Node("audio.resample",
    rate_hz=16000)``, ``Node("mymodule:MyNode", size=3)``.

    Parameters
    ----------
    name : str or None
        What people call the node, and the base of its id; the class name where it is None. For
        ``Node`` itself: the node type.
    id : str or None
        Unique in its pipeline: letters, digits, ``_`` and ``-``. Where it is None the pipeline
        makes one from the name (``resample``, ``resample2``). Every subclass takes it as a keyword,
        also one whose ``__init__`` does not name it, and a dataclass; an ``id`` that a subclass
        names is its own matter. Type checkers see what ``__init__`` says: for them a subclass
        names ``id`` or ``**kwargs``, or the id is given by ``add_node(node, id=…)``.
    enable_state : bool
        Whether it remembers sessions, see `get_session_state`.
    state_ttl : timedelta or None
        How long a session is kept that is not used; None: 24 hours.
    max_sessions : int or None
        How many are kept; None: 100,000.
    **config
        Further parameters, kept as the dict ``config``; for a node type: its parameters.

    Attributes
    ----------
    blocking : bool or None
        True: its calls may block, it gets a thread of its own. False: never do. None: is learnt.
    is_streaming : bool
        True: ``process`` is an async generator that is called once, with an async iterator of all
        items.
    stateless : bool
        True: it keeps nothing from one item to the next, so that it can be part of a checkpoint without
        ``save`` and ``load``. Of a source it says nothing.
    merge : "any", "priority", "zip", "sync", a dict, or None
        With several input ports ``process`` gets a tuple: the one item that came and None for the
        others ("any": by turns; "priority": of the first port that has one), one item of each
        ("zip"), or those of one time and None for ports that have none ("sync", or ``{"policy":
        "sync", "tolerance_ms": 20, "wait_ms_max": 200}``). Connections to one port take turns.
    deadline_ms : float or None
        Age at which an item is late for this node, from when it entered the pipeline; ms.
    late : "drop", "pass" or None
        What happens to an item that is late; "pass": it is counted only.
    pts_repair : "keep", "fill", "monotonic" or None
        What happens to the times of what it gives: one without a time continues where the one before
        ended ("fill"), one that goes back is moved there ("monotonic").
    parallel : int or None
        How many copies of it run, each on a thread of its own, 1 to 16; what they give keeps the order
        of the items. For native node types without state: ``Node("video.scale", parallel=2)``; and for
        ``stateless`` nodes whose tier is ``worker``, each copy in a process of its own.
    on_error : "fail", "skip", "retry", "bypass", "dead_letter", a dict, or None
        What happens to an item that fails: ends the run, is dropped, is tried again, is passed on
        unchanged, goes out of the port ``dead_letter``. A dict also says how often and for how long it
        is tried again, what follows then, and when the node is left alone: ``{"policy": "retry",
        "attempts": 3, "backoff_ms": 100, "within_ms": 5000, "then": "skip", "breaker":
        {"failures": 5, "open_ms": 30000}}``. ``{"policy": "fallback", "fallback": other}``: the node
        `other`, or the one of that id, takes the item; what it gives stands in the place of what this
        node would have given. None: as the pipeline says.
    requirements : list of dict, or None
        What it needs of its machine: alternatives in order of preference, each by
        ``schemas/capabilities.v1.json``. None: nothing special.
    placement : "auto", "local", "remote", "prefer_local", "prefer_remote", a dict, or None
        Where it may run; as a dict with ``where`` and ``fallback``.
    tier : str or None
        Who hosts its code: ``"cpython"``, this process; ``"worker"``, a process of its own, see
        docs/guide/workers.md. None: the plan chooses.
    limits : dict or None
        What a worker process is held to: ``memory_bytes``, what it may take beyond what it has as it
        begins; ``time_ms``, how long it may work until it gives something or is done.
    secret_fields : tuple of str
        Names of parameters, and of keys and attributes of items, whose values errors do not show.
    connected_outputs : frozenset of str, or None
        Of a node with several outputs, those that something is connected to, so that it may spare
        itself the work for the others. A run sets it before ``initialize``; None: not known. A live
        node that is in several pipelines has those of all its runs.

    Notes
    -----
    A subclass may also define, sync or async:

    ``flush()``
        Called at the end of the input; what it returns or yields goes on.
    ``interrupt()``
        Called on a barge-in (`Session.interrupt`) from this node or one before it: drops what the
        node has collected and not sent yet. The work at hand is over by then (cancelled, or its
        result dropped), the next item has not come yet. Its result is ignored; what it raises is
        an error of the node. An ``is_streaming`` node begins anew, with or without it. Another
        interrupt cancels one that waits, and it is called again.

    ``set_params(**params)``
        Called by `Session.set_params` while the node runs; what it raises refuses them. A plain
        function, on the thread that runs the pipeline, also while a call of ``process`` is out.

    ``overrun()``
        Of a source that cannot wait, as a microphone: called, once each time, where nothing that it
        gives has room any more. It says which of what it holds back it lets go; `process` is asked for
        the next item once there is room. A plain function that returns at once, on the thread that
        runs the pipeline; what it raises is told in ``errors``, and the
        run goes on.

    ``save()``, ``load(state)``
        Both: the node is part of checkpoints (``Pipeline(checkpoint=…)``). ``save`` gives what ``load``
        needs in a later process to go on from there, as a value: None, bool, int, float, str, bytes,
        list, tuple, dict, set, datetime, NumPy arrays. Plain functions, called between two items on
        the thread that runs the pipeline; ``load`` after ``initialize``, before ``process``. A
        source gives its place, counted on before it yields: its ``process`` is called anew after
        ``load``, as that of an ``is_streaming`` node is.

    The arguments of a subclass's constructor are kept, so that the node can be written to a
    manifest and be made again from it. Threads: one call at a time; which thread depends on
    ``blocking``.
    """

    spec: ClassVar[NodeSpec | None] = None
    secret_fields: ClassVar[tuple[str, ...]] = ()
    blocking: bool | None = None
    is_streaming: bool = False
    stateless: bool = False
    is_source: bool = False
    is_sink: bool = False
    is_remote: bool = False
    merge: Literal["any", "zip", "priority", "sync"] | dict[str, Any] | None = None
    deadline_ms: float | None = None
    late: Literal["drop", "pass"] | None = None
    pts_repair: Literal["keep", "fill", "monotonic"] | None = None
    parallel: int | None = None
    on_error: str | dict[str, Any] | None = None
    requirements: list[dict[str, Any]] | None = None
    placement: str | dict[str, Any] | None = None
    tier: str | None = None
    limits: dict[str, Any] | None = None

    # Given by __new__, so that they exist also where a subclass never calls super().__init__().
    name: str
    id: str | None
    config: dict[str, Any]
    is_initialized: bool = False
    connected_outputs: frozenset[str] | None = None
    _arguments: tuple[tuple[Any, ...], dict[str, Any]]

    def __new__(cls, *args: Any, **kwargs: Any) -> Node:
        made: type[Node] = cls
        if cls is Node:
            if not args and not isinstance(kwargs.get("name"), str):
                raise ConfigurationError(
                    "Node() is given no node type",
                    code=VALUE_NOT_ACCEPTABLE,
                    help='write Node("audio.level"), or subclass Node and define process()',
                )
            made = TypedNode
        self = object.__new__(made)
        self._arguments = (args, kwargs)
        self.name = cls.__name__
        self.id = _id_given(cls, kwargs) if "id" in kwargs else None
        self.config = {}
        return self

    def __init__(
        self,
        name: str | None = None,
        enable_state: bool = True,
        state_ttl: Any = None,
        max_sessions: int | None = None,
        *,
        id: str | None = None,
        **config: Any,
    ) -> None:
        self.name = name or type(self).__name__
        if id is not None:  # else it is what __new__ was given
            self.id = check_id(id)
        self.enable_state = enable_state
        self.state_ttl = state_ttl
        self.max_sessions = max_sessions
        self.config = config

    def __rshift__(self, other: Part | Edge | Sequence[Part]) -> Flow:
        """``self >> other``: feeds what stands behind it, see `remotemedia.flow`."""
        from .flow import join

        return join(self, other)

    def __rrshift__(self, other: Sequence[Part]) -> Flow:
        """``[a, b] >> self``: is fed by each of the list."""
        from .flow import join

        return join(other, self)

    def __getitem__(self, port: str) -> PortOf:
        """``self["audio"]``: a port by its name; before ``>>`` an output, behind it an input."""
        from .flow import PortOf

        return PortOf(self, port)

    if not TYPE_CHECKING:
        __iter__ = None  # __getitem__ alone would make it iterable

    @required
    def process(self, *args: Any, **kwargs: Any) -> Any:
        """Handles one item.

        Parameters
        ----------
        item
            What the node before it gave. A source has no parameter.

        Returns
        -------
        object
            What goes on; None: nothing. A generator or async generator: each item that it yields. A
            coroutine is awaited. With several outputs, see `Out`.
        """

    def initialize(self) -> Any:
        """Called once before the first item; may be a coroutine. Does nothing here."""
        return DONE

    def cleanup(self) -> Any:
        """Called once after the run on each path, if `initialize` was; may be a coroutine.

        Forgets the sessions here.
        """
        if self._states is not None:
            self._states.clear_all_sessions()
        return DONE

    def empty(self, shape: int | tuple[int, ...], dtype: Any = "float64") -> Any:
        """An array to be filled and given on.

        In a worker process it lies in memory that the other side reads where it is, so that it is not
        copied; anywhere else it is ``numpy.empty()``. Once it is given on it must not be written.

        Parameters
        ----------
        shape : int or tuple of int
            As NumPy takes it.
        dtype : data type
            As NumPy takes it.

        Returns
        -------
        numpy.ndarray
            Its content is of no meaning.

        Raises
        ------
        Error
            The memory of the worker's link is used up.
        """
        import numpy

        kind = numpy.dtype(dtype)
        count = int(numpy.prod(shape, dtype=numpy.int64))
        allocate = self.__dict__.get("_allocate")
        if allocate is None or kind.hasobject or count * kind.itemsize == 0:
            return numpy.empty(shape, kind)
        return numpy.frombuffer(allocate(count * kind.itemsize), kind).reshape(shape)

    @cached_property
    def logger(self) -> Logger:
        """The logger ``remotemedia.ClassName``."""
        from logging import getLogger

        return getLogger(f"remotemedia.{type(self).__name__}")

    def get_config(self) -> dict[str, Any]:
        """Name, class and configuration, as a dict."""
        return {"name": self.name, "class": type(self).__name__, "config": self.config}

    def get_capabilities(self) -> dict[str, Any] | None:
        """What it needs of a machine (schemas/capabilities.v1.json); None: nothing special."""
        return None

    def to_manifest(self, include_capabilities: bool = True) -> dict[str, Any]:
        """The node as an entry of a manifest, its name as id."""
        from ._graph import params_json

        entry: dict[str, Any] = {
            "id": self.name,
            "node_type": self.node_type,
            "params": params_json(self._extract_params()),
        }
        if self.is_streaming:
            entry["is_streaming"] = True
        capabilities = self.get_capabilities() if include_capabilities else None
        if capabilities is not None:
            entry["capabilities"] = capabilities
        return entry

    def _extract_params(self) -> dict[str, Any]:
        """What the manifest has as parameters; 0.1's name for `get_params`."""
        return self.get_params()

    def get_params(self) -> dict[str, Any]:
        """The arguments that the node was made with, by name.

        Returns
        -------
        dict
            Parameter name to value, without ``name`` and ``id``. Values are as they were given, and
            need not fit a manifest.
        """
        args, kwargs = self._arguments
        params = dict(kwargs)
        if args:
            from inspect import Parameter

            kinds = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
            every = init_parameters(type(self).__init__)
            names = [p.name for p in every if p.kind in kinds]
            params.update(zip(names, args, strict=False))
            if len(args) > len(names):
                raise ConfigurationError(
                    f"node '{self.name}' was made with *args, which have no names",
                    code=VALUE_NOT_ACCEPTABLE,
                    help=f"give {type(self).__name__}.__init__ named parameters",
                )
        params.pop("name", None)
        params.pop("id", None)
        return params

    @property
    def node_type(self) -> str:
        """The type's name in a manifest: a name (``vad.silero``), or ``module:Class``."""
        cls = type(self)
        own = cls.__dict__.get("spec")
        return own.name if own is not None else f"{module_name(cls)}:{cls.__qualname__}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(_shown(self))})"


def _id_given(cls: type[Node], kwargs: Mapping[str, Any]) -> str | None:
    """The id that a node is made with; its ``__init__`` will not see it where it cannot take it."""
    for base in cls.__mro__[: cls.__mro__.index(Node)]:
        init = base.__dict__.get("__init__")
        if init is None:
            continue
        every = init_parameters(init)
        if any(p.name == "id" for p in every):
            return None  # the class says what it is
        if not any(p.kind is p.VAR_KEYWORD for p in every):
            _hide_id(cls)
            break
    return check_id(kwargs["id"])


def init_parameters(init: Callable[..., None]) -> list[Parameter]:
    """The parameters of an ``__init__`` without self; [] where it does not tell."""
    from inspect import signature

    try:
        return list(signature(init).parameters.values())[1:]
    except (TypeError, ValueError):
        return []


def _hide_id(cls: type[Node]) -> None:
    """Lets a class be made with the keyword ``id`` that its ``__init__`` does not take.

    Done when it is first asked for: a dataclass gets its ``__init__`` after all else.
    """
    init: Callable[..., None] = cls.__init__
    if getattr(init, "_hides_id_of", None) is cls:
        return

    def __init__(self: Node, *args: Any, **kwargs: Any) -> None:
        if type(self) is cls:  # not where an __init__ below calls it
            kwargs.pop("id", None)
        init(self, *args, **kwargs)

    update_wrapper(__init__, init)
    __init__._hides_id_of = cls  # type: ignore[attr-defined]
    cls.__init__ = __init__  # type: ignore[method-assign]


class TypedNode(Node):
    """What ``Node("audio.resample", …)`` makes: a node type by name, with its parameters.

    It has no code here: the plan finds the type, native or Python.
    """

    def __init__(
        self,
        node_type: str = "",
        *,
        id: str | None = None,
        name: str | None = None,
        parallel: int | None = None,
        **params: Any,
    ) -> None:
        node_type = node_type or name or ""
        if not isinstance(node_type, str) or not TYPE_PATTERN.fullmatch(node_type):
            raise ConfigurationError(
                f"node type is {node_type!r}, want a name as 'audio.level', or 'module:Class'",
                code=VALUE_NOT_ACCEPTABLE,
            )
        super().__init__(name or base_name(node_type), id=id)
        self._node_type = node_type
        self.config = params
        self.parallel = parallel

    @property
    def node_type(self) -> str:
        """The type's name."""
        return self._node_type

    def get_params(self) -> dict[str, Any]:
        """The parameters of the type."""
        return self.config

    def process(self, *args: Any, **kwargs: Any) -> Any:
        """Raises TypeError: only a pipeline runs a node that is given by its type."""
        raise TypeError(
            f"node type '{self._node_type}' has no Python method process(); "
            f"run it in a Pipeline, or by remotemedia.testing.run_node()"
        )

    def __repr__(self) -> str:
        return f"Node({', '.join([repr(self._node_type), *_shown(self)])})"


class Out(NamedTuple):
    """An item for one of several output ports: ``yield Out("regions", item)``."""

    port: str
    item: Any


def secret_names(node: object) -> frozenset[str]:
    """Lower-case names whose values a node's errors do not show."""
    names = list(getattr(node, "secret_fields", ()))
    spec = getattr(node, "spec", None)
    if isinstance(spec, NodeSpec):
        names += [param.name for param in spec.params or () if param.secret]
    return frozenset(name.lower() for name in names)


def _shown(node: Node) -> list[str]:
    """The parameters for repr()."""
    secrets = secret_names(node)
    rows = node.get_params().items()
    return [f"{k}={'***' if k.lower() in secrets else repr(v)}" for k, v in rows]


def base_name(node_type: str) -> str:
    """The last word of a type's name: the base of an id. ``audio.level`` gives ``level``."""
    return re.split(r"[.:/#]", node_type)[-1] or node_type


def module_name(cls: type) -> str:
    """The module of a class by the name that another process would import it by.

    The main program's classes are in ``__main__`` here, and in ``pipeline`` for whoever imports
    ``pipeline.py``.
    """
    name = cls.__module__
    if name != "__main__":
        return name
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    path = getattr(main, "__file__", None)
    if spec is not None:
        return str(spec.name).removesuffix(".__main__")
    stem = os.path.splitext(os.path.basename(path))[0] if path else name
    return stem if stem.isidentifier() else name


def check_id(id: str | None) -> str | None:
    """The id, if it is one that a manifest takes."""
    if id is not None and not (isinstance(id, str) and ID_PATTERN.fullmatch(id)):
        raise ConfigurationError(
            f"node id is {id!r}, want 1 to 95 letters, digits, '_' or '-'",
            code=VALUE_NOT_ACCEPTABLE,
        )
    return id


def unique_id(name: str, taken: Container[str]) -> str:
    """An id made of a node's name, with a number where it is taken."""
    base = re.sub(r"[^a-zA-Z0-9_-]", "-", name)[:80] or "node"
    number = 1
    while (id := base if number == 1 else f"{base}{number}") in taken:
        number += 1
    return id
