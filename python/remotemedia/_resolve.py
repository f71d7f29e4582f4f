"""From what a manifest names to what runs: node classes, their ports, their dependencies.

The registry asks `resolve` at planning for each node that is not native: a live object of this
process (``{"$python": n}``), a node type of ``remotemedia.nodes`` (``vad.silero``), or
``module:Class``.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
import sys
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

from . import _core
from ._graph import live_node
from ._host import Host
from ._values import from_json
from .errors import (
    DEPENDENCY_MISSING,
    NODE_TYPE_UNKNOWN,
    PYTHON_IMPORT,
    VALUE_NOT_ACCEPTABLE,
    PipelineError,
)
from .node import Node, NodeSpec, TypedNode, init_parameters, module_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ._worker import Made

NO_SPEC = NodeSpec("")
NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)

# Planning needs a registry for itself; those that are not in use wait here, by their resolver.
_registries: dict[Any, list[_core.Registry]] = {}


def take_registry(resolver: Any = None) -> _core.Registry:
    """A registry that no other thread uses; give it back by `give_registry`."""
    try:
        return _registries[resolver].pop()
    except LookupError:
        return _core.Registry(resolver or resolve)


def give_registry(registry: _core.Registry, resolver: Any = None) -> None:
    """Lets others use the registry."""
    waiting = _registries.setdefault(resolver, [])
    if len(waiting) < 8:
        waiting.append(registry)


def resolve(asked: dict[str, Any]) -> _core.NodeType | None:
    """The resolver of the registries of this package, see `_core.Registry`."""
    worker = _worker_of(asked) if asked["tier"] == "worker" else None
    if asked["tier"] == "worker" and worker is None:
        return None
    if asked["instance"]:
        return _live_type(asked, worker)
    return _named_type(asked, worker)


def _named_type(
    asked: dict[str, Any], worker: Callable[..., object] | None
) -> _core.NodeType | None:
    name = asked["code"] or asked["node_type"]
    cls = find_class(name)
    if cls is None:
        return None
    check_dependencies(name, cls)
    params = {k: from_json(v) for k, v in (json.loads(asked["params"] or "{}") or {}).items()}
    spec = spec_of(cls)
    if spec.params is not None:
        defaults = {p.name: p.default for p in spec.params if not p.required}
        params = defaults | params
    make = partial(_make, cls, asked["id"], params)
    if worker is not None:
        from ._worker import Made

        make = partial(worker, cls, Made(name, params))
    blocking = getattr(cls, "blocking", None)
    rows = _named_params(cls, params)
    if spec.params is not None:
        rows = [_param_row(p._asdict()) for p in spec.params]
    return _node_type(
        cls,
        name,
        make,
        blocking,
        rows,
        other_params=spec.params is None or spec.other_params,
        in_worker=worker is not None,
    )


class Place:
    """Stands for a node in a manifest: what the plan reads of it, without keeping it alive."""

    def __init__(self, node: Node) -> None:
        self.cls = ref(type(node))  # alive as long as a node is that runs here
        self.blocking = node.blocking

    def __call__(self) -> object:
        raise RuntimeError("a place makes no nodes: each run gives its own")


def _worker_of(asked: dict[str, Any]) -> Callable[..., object] | None:
    """What makes the node's `WorkerHost` of its class and itself; None: it runs in no worker.

    Raises
    ------
    PipelineError
        E0001: it has a limit that a process cannot be held to.
    """
    entry = json.loads(asked["node"])
    if entry.get("tier") != "worker":
        return None
    limits = entry.get("limits") or {}
    for key in limits.keys() - {"memory_bytes", "time_ms", "files"}:
        if key == "hosts" and not limits[key]:
            continue  # none at all
        raise PipelineError(
            f"node '{asked['id']}': limits.{key} cannot be held by a worker process",
            code=VALUE_NOT_ACCEPTABLE,
            help="memory_bytes, time_ms, files, and hosts: [] can",
        )

    def worker(cls: type, node: Node | Made) -> object:
        from ._worker_host import WorkerHost

        return WorkerHost(asked["id"], cls, node, limits)

    return worker


def _live_type(
    asked: dict[str, Any], worker: Callable[..., object] | None
) -> _core.NodeType:
    node = live_node(asked["instance"])
    if isinstance(node, Place):
        cls = node.cls()
        if cls is not None:
            return live_type(cls, node.blocking, node)
        node = None
    if node is None:
        raise PipelineError(
            f"node '{asked['id']}' is pinned to another process", code=VALUE_NOT_ACCEPTABLE
        )
    if worker is not None:
        make = partial(worker, type(node), node)
        return live_type(type(node), False, make, in_worker=True)
    host = host_of(node)
    return live_type(type(node), node.blocking, lambda: host)


def host_of(node: Node) -> Host:
    """What a run gets in place of a live node."""
    host: Host | None = node.__dict__.get("_host")
    return host or node.__dict__.setdefault("_host", Host(node))


def live_type(
    cls: type[Node],
    blocking: bool | None,
    make: Callable[[], object],
    *,
    in_worker: bool = False,
) -> _core.NodeType:
    """The type of a live node of a class."""
    check_dependencies(cls.__name__, cls)
    name = f"{module_name(cls)}:{cls.__qualname__}"
    return _node_type(cls, name, make, blocking, in_worker=in_worker)


def _node_type(
    cls: type,
    name: str,
    make: Callable[[], object],
    blocking: bool | None,
    params: list[dict[str, Any]] | None = None,
    *,
    other_params: bool = False,
    in_worker: bool = False,
) -> _core.NodeType:
    spec = spec_of(cls)
    inputs = () if is_source(cls) else spec.inputs
    return _core.NodeType(
        make,
        name=spec.name or name,
        summary=spec.summary,
        inputs=[(p.name, p.formats) for p in inputs],
        outputs=[(p.name, p.formats) for p in spec.outputs],
        params=params,
        example=spec.example,
        blocking=blocking,
        other_params=other_params,
        live=not inputs and callable(getattr(cls, "overrun", None)),
        keeps=keeps_state(cls),
        pure=in_worker and bool(getattr(cls, "stateless", False)) and bool(inputs),
        process=in_worker,
    )


def _named_params(cls: type, given: Iterable[str]) -> list[dict[str, Any]] | None:
    """The parameters that a class with ``**config`` names, and those of `Node` among the given ones.

    None where Python itself says what it does not take, or where nothing is named.
    """
    names: list[str] = []
    takes_any = False
    for base in cls.__mro__:
        if base in (Node, object):
            break
        init = base.__dict__.get("__init__")
        if init is None:
            continue
        every = init_parameters(init)
        names += [p.name for p in every if p.kind in NAMED]
        if not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in every):
            break  # the end of what super().__init__(**config) hands on
        takes_any = True
    if not takes_any or not names:
        return None
    names += [p.name for p in init_parameters(Node.__init__) if p.name in given]
    return [{"name": name, "kind": "json"} for name in dict.fromkeys(names)]


def _param_row(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if value is not None}


def _make(cls: type, id: str, params: dict[str, Any]) -> object:
    try:
        node = cls(**params)
    except TypeError as error:
        raise PipelineError(
            f"node '{id}': {cls.__qualname__} cannot be made of these parameters: {error}",
            code=VALUE_NOT_ACCEPTABLE,
        ) from error
    return Host(node) if isinstance(node, Node) else node


def spec_of(cls: type) -> NodeSpec:
    """What a node class says about itself."""
    spec = cls.__dict__.get("spec")
    if spec is None:  # an inherited one names the parent's type and parameters
        spec = getattr(cls, "spec", None)
        if isinstance(spec, NodeSpec):
            return spec._replace(name="", params=None, requires=spec.requires)
    return spec if isinstance(spec, NodeSpec) else NO_SPEC


def keeps_state(cls: type) -> bool:
    """True where nodes of the class can be part of a checkpoint."""
    has_both = all(callable(getattr(cls, name, None)) for name in ("save", "load"))
    return has_both or (bool(getattr(cls, "stateless", False)) and not is_source(cls))


def is_source(cls: type) -> bool:
    """True where ``process`` can take no item."""
    spec = spec_of(cls)
    if spec is not NO_SPEC and not spec.inputs:
        return True
    return _parameter_range(cls)[1] == 0


def needs_item(cls: type) -> bool:
    """True where ``process`` cannot be called without an item."""
    return _parameter_range(cls)[0] > 0


# To look at a signature takes longer than all else that is asked of a class; the function is kept
# weakly, for it may hold the class.
_ranges: WeakKeyDictionary[type, tuple[ref[Any], tuple[int, int]]] = WeakKeyDictionary()


def _parameter_range(cls: type) -> tuple[int, int]:
    """Positional parameters of ``process`` without self: at least, at most."""
    process = getattr(cls, "process", None)
    known = _ranges.get(cls)
    if known and known[0]() is process:
        return known[1]
    found = _read_parameter_range(cls, process)
    if inspect.isfunction(process):
        _ranges[cls] = ref(process), found
    return found


def _read_parameter_range(cls: type, process: Any) -> tuple[int, int]:
    try:
        every = list(inspect.signature(process).parameters.values())
    except (TypeError, ValueError):
        return 1, 1
    if not isinstance(inspect.getattr_static(cls, "process"), staticmethod):
        every = every[1:]
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    plain = [p for p in every if p.kind in kinds]
    least = sum(p.default is inspect.Parameter.empty for p in plain)
    star = any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in every)
    return least, max(len(plain), 1 if star else 0)


def find_class(name: str) -> type | None:
    """The class of a Python node type, or None: no Python node type has that name.

    Raises
    ------
    PipelineError
        E0601: the module cannot be imported, or has no such class.
    """
    from .nodes import ALIASES, TYPES

    path = TYPES.get(name) or ALIASES.get(name, name)
    module_path, colon, class_path = path.partition(":")
    if not colon:
        return None
    module = _import(module_path, name)
    found: Any = module
    for part in class_path.split("."):
        found = getattr(found, part, None)
    if found is None or not hasattr(found, "process"):
        what = "has no class" if found is None else "has no process() in"
        raise PipelineError(f"module '{module_path}' {what} '{class_path}'", code=PYTHON_IMPORT)
    if not isinstance(found, type):
        raise PipelineError(
            f"'{name}' is a {type(found).__name__}, want a class", code=PYTHON_IMPORT
        )
    return found


def _import(module_path: str, name: str) -> Any:
    main = sys.modules.get("__main__")
    if main is not None and _is_main(main, module_path):
        return main
    try:
        return importlib.import_module(module_path)
    except Exception as error:
        raise PipelineError(
            f"'{name}' cannot be imported: {type(error).__name__}: {error}", code=PYTHON_IMPORT
        ) from error


def _is_main(main: Any, module_path: str) -> bool:
    probe = type("probe", (), {"__module__": "__main__"})
    return module_name(probe) == module_path and hasattr(main, "__file__")


def check_dependencies(name: str, cls: type) -> None:
    """Fails with E0309 where a module that the class needs is not installed."""
    missing = [d for d in spec_of(cls).requires if importlib.util.find_spec(d.module) is None]
    if missing:
        modules = " and ".join(d.module for d in missing)
        commands = " && ".join(dict.fromkeys(d.install for d in missing))
        raise PipelineError(
            f"node type '{name}' needs {modules}, which {'is' if len(missing) == 1 else 'are'} "
            f"not installed",
            code=DEPENDENCY_MISSING,
            help=commands,
        )


def ports(node: Node) -> tuple[list[str], list[str]] | None:
    """Names of the inputs and outputs of a node; None where its type is not known here."""
    cls: type | None = type(node)
    if isinstance(node, TypedNode):
        native = _describe(node.node_type)
        if native is not None:
            return [p["name"] for p in native["inputs"]], [p["name"] for p in native["outputs"]]
        cls = find_class(node.node_type)
    if cls is None:
        return None
    spec = spec_of(cls)
    inputs = [] if is_source(cls) else [p.name for p in spec.inputs]
    return inputs, [p.name for p in spec.outputs]


def known_ports(node: Node) -> tuple[list[str], list[str]] | None:
    """As `ports`; None too where the type is not to be had here, which the plan tells."""
    try:
        return ports(node)
    except _core.Error:
        return None


def is_native(node: Node) -> bool:
    """Its type is a native one, which the plan takes where Python has one of that name too."""
    return isinstance(node, TypedNode) and _describe(node.node_type) is not None


def _describe(name: str) -> dict[str, Any] | None:
    if ":" in name:
        return None
    registry = take_registry()
    try:
        return registry.describe(name)
    except _core.Error as error:
        if error.code == NODE_TYPE_UNKNOWN:
            return None
        raise
    finally:
        give_registry(registry)
