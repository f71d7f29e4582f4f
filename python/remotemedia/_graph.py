"""The graph that a Pipeline builds: nodes by id, connections, and both as a manifest."""

from __future__ import annotations

import itertools
import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias
from weakref import WeakValueDictionary

from ._values import from_json, to_json
from .errors import (
    CYCLE,
    DANGLING,
    DUPLICATE,
    VALUE_NOT_ACCEPTABLE,
    PipelineError,
    SerializationError,
    near,
)
from .flow import PortOf
from .node import Node, TypedNode, unique_id

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from .pipeline import Pipeline

Endpoint: TypeAlias = tuple[str, str | None]  # id of a node, name of its port
Side: TypeAlias = Literal["inputs", "outputs"]

MANIFEST_KEYS = frozenset({"version", "metadata", "nodes", "connections"})
# Attributes of a node that are fields of its entry, by the same name.
PLAIN_FIELDS = (
    "merge", "blocking", "deadline_ms", "late", "parallel", "requirements", "placement", "tier",
)  # fmt: skip
NODE_KEYS = frozenset({"id", "name", "node_type", "params", "code"})

# The live nodes that a manifest of this process may name by {"$python": n}.
_live: WeakValueDictionary[int, Any] = WeakValueDictionary()
_numbers = itertools.count(1)


def live_number(node: Any) -> int:
    """The n of ``{"$python": n}``, for as long as the node lives."""
    number: int | None = node.__dict__.get("_live_number")
    if number is None:
        number = node.__dict__["_live_number"] = next(_numbers)
        _live[number] = node
    return number


def live_node(number: int) -> Any:
    """The node of that number, None: it is gone, or of another process."""
    return _live.get(number)


def fallback_of(policy: Any) -> Node | str | None:
    """The node, or its id, that an ``on_error`` names as fallback."""
    return policy.get("fallback") if isinstance(policy, dict) else None


class Connection(NamedTuple):
    """An edge: ids of two nodes, names of their ports (None: chosen by the plan)."""

    source: str
    target: str
    source_port: str | None = None
    target_port: str | None = None
    extra: Mapping[str, Any] = {}

    def to_manifest(self) -> dict[str, Any]:
        """Its entry in the manifest."""
        entry: dict[str, Any] = {"from": self.source, "to": self.target}
        if self.source_port:
            entry["from_port"] = self.source_port
        if self.target_port:
            entry["to_port"] = self.target_port
        return entry | dict(self.extra)


class Subgraph(NamedTuple):
    """A pipeline that was added as a node: its nodes, and where it is entered and left.

    ``inputs`` and ``outputs`` are by name; "" names those that are taken where no port is.
    """

    pipeline: Pipeline
    ids: tuple[str, ...]
    inputs: dict[str, list[Endpoint]]
    outputs: dict[str, list[Endpoint]]


def inner_id(part: str, id: str) -> str:
    """The id, in the graph around it, of a node of a pipeline that was added as a node."""
    return f"{part}__{id}"


class GraphBuilder:
    """Nodes in the order of adding, and the connections between them."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.connections: list[Connection] = []
        self.extras: dict[str, dict[str, Any]] = {}  # further fields of a node, by id
        self.top: dict[str, Any] = {}  # further fields of the manifest
        self.parts: dict[str, Subgraph] = {}  # pipelines that were added as nodes, by id
        self._fed_by: dict[str, list[str]] = {}  # ids of what a node feeds

    # ---- building

    def add(self, node: Node, after: Any = None, *, id: str | None = None) -> str:
        """Adds a node behind those that ``after`` names; returns its id."""
        self._check_is_new(node)
        id = self._free_id(id or node.id, node.name)
        sources = list(self._sources(after))
        spare = fallback_of(node.on_error)
        if isinstance(spare, Node) and self.id_of(spare) is None:
            self.nodes[self._free_id(spare.id, spare.name)] = spare
        self.nodes[id] = node
        for target_port, (source, port) in sources:
            self.append(Connection(source, id, port, target_port))
        return id

    def add_part(self, pipeline: Pipeline, after: Any = None, *, id: str | None = None) -> str:
        """Adds the nodes of a pipeline, their ids behind its own; returns that."""
        from ._subgraph import expand

        unnamed = pipeline.name.startswith("Pipeline_")
        id = self._free_id(id, "pipeline" if unnamed else pipeline.name)
        sources = list(self._sources(after))
        self.parts[id] = expand(self, pipeline, id)
        for target_port, (source, port) in sources:
            for target, inner_port in self._part_places(id, "inputs", target_port):
                self.append(Connection(source, target, port, inner_port))
        return id

    def _free_id(self, wanted: str | None, name: str) -> str:
        if wanted is None:
            return unique_id(name, self.nodes.keys() | self.parts.keys())
        if wanted in self.nodes or wanted in self.parts:
            raise PipelineError(
                f"node id '{wanted}' is taken", code=DUPLICATE, help="give another id="
            )
        return wanted

    def _check_is_new(self, node: Node) -> None:
        for id, other in self.nodes.items():
            if other is node:
                raise PipelineError(
                    f"{node!r} is in this pipeline already, as '{id}'",
                    code=DUPLICATE,
                    help="one object is one node: make a second one, or connect this one",
                )

    def last_id(self) -> str | None:
        """Id of the node or pipeline that was added last."""
        id = next(reversed(self.nodes), None)
        around = [(len(part.ids), name) for name, part in self.parts.items() if id in part.ids]
        return max(around)[1] if around else id

    def append(self, connection: Connection) -> None:
        """Adds a connection unchecked."""
        self.connections.append(connection)
        self._fed_by.setdefault(connection.source, []).append(connection.target)

    def connect(
        self, source: Any, target: Any, fields: Mapping[str, Any], ports: tuple[Any, Any]
    ) -> None:
        """Connects what is there: nodes, pipelines, ids, "id.port" or ports of these."""
        for from_id, from_port in self.places(source, "outputs", "source", ports[0]):
            for to_id, to_port in self.places(target, "inputs", "target", ports[1]):
                self._check_port(from_id, from_port, "outputs")
                self._check_port(to_id, to_port, "inputs")
                connection = Connection(from_id, to_id, from_port, to_port, dict(fields))
                self._check_edge(connection)
                self.append(connection)

    def set_merge(self, target: Any, how: Any) -> None:
        """How the inputs of a node meet; of a pipeline: of those that it is entered by."""
        for id, _ in self.places(target, "inputs", "merge"):
            known = self.extras.setdefault(id, {}).setdefault("merge", how)
            if known != how:
                raise PipelineError(
                    f"the inputs of node '{id}' are to meet by {known!r} and by {how!r}",
                    code=VALUE_NOT_ACCEPTABLE,
                )

    @contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """Within it the graph changes as a whole, or, where something is raised, not at all."""
        nodes, connections, parts = dict(self.nodes), list(self.connections), dict(self.parts)
        extras = {id: dict(fields) for id, fields in self.extras.items()}
        top = dict(self.top)
        try:
            yield
        except BaseException:
            self.nodes, self.parts, self.extras, self.top = nodes, parts, extras, top
            self._replace_connections(connections)
            raise

    def _replace_connections(self, connections: Iterable[Connection]) -> None:
        self.connections, self._fed_by = [], {}
        for connection in connections:
            self.append(connection)

    def _check_port(self, id: str, port: str | None, side: Side) -> None:
        from ._resolve import known_ports

        known = known_ports(self.nodes[id])
        if known is None:
            return  # the plan will say
        names = known[0 if side == "inputs" else 1]
        if not names or (port is not None and port not in names):
            wanted = "no " + side if port is None else f"no {side[:-1]} '{port}'"
            raise PipelineError(
                f"node '{id}' has {wanted}",
                code=DANGLING,
                help=near(port or "", names, side) if names else "",
            )

    def _check_edge(self, new: Connection) -> None:
        way = [new.source] if new.source == new.target else self._way(new.target, new.source)
        if way:
            names = " > ".join([new.source, *way] if len(way) > 1 else way * 2)
            raise PipelineError(f"the connections form a cycle: {names}", code=CYCLE)
        if new.target in self._fed_by.get(new.source, ()) and any(
            old[:4] == new[:4] for old in self.connections
        ):
            raise PipelineError(
                f"'{new.source}' is connected to '{new.target}' already, by the same ports",
                code=DUPLICATE,
            )

    def _way(self, start: str, end: str) -> list[str]:
        """Ids on a way along the connections, [] where there is none."""
        before: dict[str, str | None] = {start: None}
        waiting = [start] if start in self._fed_by else []
        while waiting and end not in before:
            id = waiting.pop()
            for fed in self._fed_by.get(id, ()):
                if fed not in before:
                    before[fed] = id
                    waiting.append(fed)
        way: list[str] = []
        at: str | None = end if end in before else None
        while at is not None:
            way.append(at)
            at = before[at]
        return way[::-1]

    # ---- what is meant by a reference

    def _sources(self, after: Any) -> Iterable[tuple[str | None, Endpoint]]:
        """Pairs of an input port and what feeds it, of an ``after``."""
        if isinstance(after, dict):
            rows = list(after.items())
        elif isinstance(after, (list, tuple)):
            rows = [(None, source) for source in after]
        else:
            rows = [] if after is None else [(None, after)]
        for target_port, source in rows:
            for place in self.places(source, "outputs", "after"):
                yield target_port, place

    def places(
        self, what: Any, side: Side, role: str, port: str | None = None
    ) -> list[Endpoint]:
        """Ids and ports of "id", "id.port", a node, a pipeline, or a port of these.

        ``role``: what the caller's argument is called. ``port``: of an argument beside it.
        """
        named = None
        id: str | None
        if isinstance(what, PortOf):
            id, named = self.find(what.member), what.port
        elif isinstance(what, str):
            id, _, named = what.partition(".")
        else:
            id = self.find(what)
        if named and port:
            raise PipelineError(
                f"{role}={what!r} names a port, and '{port}' is named beside it",
                code=VALUE_NOT_ACCEPTABLE,
            )
        if id in self.parts:
            return self._part_places(id, side, named or port)
        if id not in self.nodes:
            is_text = isinstance(what, str)
            raise PipelineError(
                f"{role}={what!r} {'names no node of' if is_text else 'is not in'} this pipeline",
                code=DANGLING,
                help=near(id or "", [*self.nodes, *self.parts], "nodes") if is_text else "",
            )
        return [(id, named or port or None)]

    def _part_places(self, id: str, side: Side, port: str | None) -> list[Endpoint]:
        part = self.parts[id]
        named = part.inputs if side == "inputs" else part.outputs
        if port is None:
            places = [place for place in named.get("", []) if place[0] in self.nodes]
            if not places:
                wants = "takes no input" if side == "inputs" else "gives no output"
                raise PipelineError(f"pipeline '{id}' {wants}", code=DANGLING)
            return places
        if port in named:
            return named[port]
        inner = inner_id(id, port.partition(".")[0])
        if inner not in self.nodes and inner not in self.parts:
            inside = [at.removeprefix(inner_id(id, "")) for at in part.ids]
            raise PipelineError(
                f"pipeline '{id}' has no {side[:-1]} '{port}'",
                code=DANGLING,
                help=near(port, [*filter(None, named), *inside], side),
            )
        return self.places(inner_id(id, port), side, side[:-1])

    def find(self, wanted: str | Node | Pipeline) -> str | None:
        """The id of a node given by id, by name, or by itself; of a pipeline by itself."""
        if isinstance(wanted, str) and (wanted in self.nodes or wanted in self.parts):
            return wanted
        for id, part in self.parts.items():
            if part.pipeline is wanted:
                return id
        for id, node in self.nodes.items():
            if node is wanted or node.name == wanted:
                return id
        return None

    def remove(self, id: str) -> None:
        """Removes a node; what fed it feeds what it fed."""
        if id in self.parts:
            for inner in self.parts.pop(id).ids:
                self.remove(inner)
            return
        before = [c for c in self.connections if c.target == id]
        behind = [c for c in self.connections if c.source == id]
        rest = [c for c in self.connections if id not in (c.source, c.target)]
        for a, b in itertools.product(before, behind):
            rest.append(a._replace(target=b.target, target_port=b.target_port))
        self._replace_connections(rest)
        self.nodes.pop(id, None)
        self.extras.pop(id, None)

    def roots(self) -> list[str]:
        """Ids of the nodes that nothing feeds, but for fallbacks."""
        fed = {c.target for c in self.connections} | self._fallbacks()
        return [id for id in self.nodes if id not in fed]

    def ends(self) -> list[str]:
        """Ids of the nodes that feed nothing, but for fallbacks."""
        feeding = {c.source for c in self.connections} | self._fallbacks()
        return [id for id in self.nodes if id not in feeding]

    def _fallbacks(self) -> set[str]:
        """Ids of the nodes that another one falls back to."""
        policies = (
            self.extras.get(id, {}).get("on_error", node.on_error) for id, node in self.nodes.items()
        )
        spares = [spare for policy in policies if policy and (spare := fallback_of(policy))]
        if not spares:
            return set()
        return {id for id, node in self.nodes.items() if any(s is node or s == id for s in spares)}

    def id_of(self, node: Node) -> str | None:
        """The id of a node, None: it is not here."""
        return next((id for id, other in self.nodes.items() if other is node), None)

    def policy_entry(self, policy: Any) -> Any:
        """A node's ``on_error`` as a manifest has it: a fallback is named by its id."""
        spare = fallback_of(policy)
        if not isinstance(spare, Node):
            return policy
        id = self.id_of(spare)
        if id is None:
            raise PipelineError(
                f"the fallback {spare!r} is not in this pipeline",
                code=DANGLING,
                help="set on_error before the node is added, or add the fallback with after=None",
            )
        return {**policy, "fallback": id}

    # ---- manifest

    def to_manifest(
        self, metadata: Mapping[str, Any], *, live: bool, on_error: Any = None
    ) -> dict[str, Any]:
        """The manifest as a dict.

        ``live``: the nodes of this process are ``{"$python": 0}``, to be numbered, whatever their
        parameters; else only those that another process could not make again.
        """
        nodes = [self._node_entry(id, node, live, on_error) for id, node in self.nodes.items()]
        return {
            "version": "v1",
            "metadata": dict(metadata),
            **self.top,
            "nodes": nodes,
            "connections": [c.to_manifest() for c in self.connections],
        }

    def _node_entry(self, id: str, node: Node, live: bool, on_error: Any) -> dict[str, Any]:
        entry: dict[str, Any] = {"id": id, "node_type": node.node_type}
        if node.name != id and not isinstance(node, TypedNode):
            entry["name"] = node.name
        if isinstance(node, TypedNode):
            entry["params"] = _params_json(id, node)
        elif live:
            entry["code"] = {"$python": 0}
        else:
            entry.update(_portable(node))
        if node.is_streaming:
            entry["is_streaming"] = True
        for key in PLAIN_FIELDS:
            value = getattr(node, key)
            if value is not None:
                entry[key] = value
        if node.tier == "worker" and node.limits:
            entry["limits"] = node.limits
        if node.pts_repair is not None:
            entry["pts"] = node.pts_repair
        if isinstance(node.placement, str):
            entry["placement"] = {"where": node.placement}
        policy = node.on_error if node.on_error is not None else on_error
        if policy is not None:
            entry["on_error"] = self.policy_entry(policy)
        capabilities = node.get_capabilities()
        if capabilities:
            entry["capabilities"] = capabilities
        return entry | self.extras.get(id, {})

    def host_in_workers(self, manifest: dict[str, Any], which: bool | Collection[str]) -> None:
        """Gives the tier ``worker`` to Python nodes of a manifest of this graph that name none.

        Raises
        ------
        PipelineError
            E0108: ``which`` names a node that is not here.
        """
        from ._resolve import is_native

        ids = None if isinstance(which, bool) else {self.find(name) for name in which}
        if ids is not None and None in ids:
            wrong = next(name for name in sorted(which) if self.find(name) is None)  # type: ignore[arg-type]
            raise PipelineError(
                f"workers names '{wrong}', which is no node of this pipeline",
                code=DANGLING,
                help=near(wrong, self.nodes, "nodes"),
            )
        for entry in manifest["nodes"]:
            node = self.nodes[entry["id"]]
            if (ids is None or entry["id"] in ids) and not is_native(node):
                entry.setdefault("tier", "worker")
                if entry["tier"] == "worker" and node.limits:
                    entry["limits"] = node.limits

    @classmethod
    def from_manifest(cls, manifest: Mapping[str, Any]) -> GraphBuilder:
        """The graph of a manifest that `_core.Graph` found to be well formed."""
        self = cls()
        self.top = {k: v for k, v in manifest.items() if k not in MANIFEST_KEYS}
        for entry in manifest["nodes"]:
            id = self.add(_node_of(entry), id=entry["id"])
            self.extras[id] = {k: v for k, v in entry.items() if k not in NODE_KEYS}
        connections = manifest.get("connections")
        if connections is None:  # each node feeds the next
            for a, b in itertools.pairwise(self.nodes):
                self.append(Connection(a, b))
        for entry in connections or ():
            known = {"from", "to", "from_port", "to_port"}
            self.append(
                Connection(
                    entry["from"],
                    entry["to"],
                    entry.get("from_port"),
                    entry.get("to_port"),
                    {k: v for k, v in entry.items() if k not in known},
                )
            )
        return self


def params_json(params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as a manifest has them."""
    made = {}
    for name, value in params.items():
        try:
            made[name] = to_json(value)
        except SerializationError as error:
            raise SerializationError(
                f"parameter '{name}': {error.message}", code=error.code
            ) from None
    return made


def _params_json(id: str, node: Node) -> dict[str, Any]:
    try:
        return params_json(node.get_params())
    except SerializationError as error:
        raise SerializationError(f"node '{id}', {error.message}", code=error.code) from None


def _portable(node: Node) -> dict[str, Any]:
    """Parameters from which another process makes the node, or a mark that none can."""
    cls = type(node)
    if "<locals>" not in cls.__qualname__:
        try:
            return {"params": _params_json(node.name, node)}
        except SerializationError:
            pass
    return {"code": {"$python": live_number(node)}}


def _node_of(entry: Mapping[str, Any]) -> Node:
    code = entry.get("code")
    if isinstance(code, dict) and "$python" in code:
        node: Node | None = live_node(code["$python"])
        if node is None:
            raise PipelineError(
                f"node '{entry['id']}' is pinned to the process that wrote the manifest",
                code=VALUE_NOT_ACCEPTABLE,
                help="its class or a parameter cannot be written; define the class at the top of a "
                "module, with parameters that JSON can hold",
            )
        return node
    params = {k: from_json(v) for k, v in (entry.get("params") or {}).items()}
    node_type = code if isinstance(code, str) else entry["node_type"]
    node = TypedNode(node_type, name=entry.get("name"))
    node.config = params
    return node


def dumps(manifest: Mapping[str, Any]) -> str:
    """A manifest as text, indented by 2."""
    return json.dumps(manifest, indent=2, ensure_ascii=False)
