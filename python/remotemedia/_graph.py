"""The graph that a Pipeline builds: nodes by id, connections, and both as a manifest."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakValueDictionary

from ._values import from_json, to_json
from .errors import VALUE_NOT_ACCEPTABLE, PipelineError, SerializationError
from .node import Node, TypedNode, unique_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MANIFEST_KEYS = frozenset({"version", "metadata", "nodes", "connections"})
NODE_KEYS = frozenset({"id", "name", "node_type", "params", "code"})

# The live nodes that a manifest of this process may name by {"$python": n}.
_live: WeakValueDictionary[int, Node] = WeakValueDictionary()
_numbers = itertools.count(1)


def live_number(node: Node) -> int:
    """The n of ``{"$python": n}``, for as long as the node lives."""
    number: int | None = node.__dict__.get("_live_number")
    if number is None:
        number = node.__dict__["_live_number"] = next(_numbers)
        _live[number] = node
    return number


def live_node(number: int) -> Node | None:
    """The node of that number, None: it is gone, or of another process."""
    return _live.get(number)


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


class GraphBuilder:
    """Nodes in the order of adding, and the connections between them."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.connections: list[Connection] = []
        self.extras: dict[str, dict[str, Any]] = {}  # further fields of a node, by id
        self.top: dict[str, Any] = {}  # further fields of the manifest

    # ---- building

    def add(self, node: Node, after: Any = None, *, id: str | None = None) -> str:
        """Adds a node behind those that ``after`` names; returns its id."""
        id = id or node.id or unique_id(node.name, self.nodes)
        if id in self.nodes:
            raise PipelineError(
                f"node id '{id}' is taken", code=VALUE_NOT_ACCEPTABLE, help="give another id="
            )
        connections = list(self._connections_to(id, after))
        self.nodes[id] = node
        self.connections += connections
        return id

    def last_id(self) -> str | None:
        """Id of the node that was added last."""
        return next(reversed(self.nodes), None)

    def _connections_to(self, id: str, after: Any) -> Iterable[Connection]:
        if after is None:
            return
        if isinstance(after, dict):
            for target_port, source in after.items():
                source_id, port = self.endpoint(source)
                yield Connection(source_id, id, port, target_port)
            return
        for source in after if isinstance(after, (list, tuple)) else (after,):
            source_id, port = self.endpoint(source)
            yield Connection(source_id, id, port)

    def endpoint(self, source: Any, role: str = "after") -> tuple[str, str | None]:
        """Id and port of "id", "id.port" or a node. ``role``: what the caller's argument is called."""
        if isinstance(source, Node):
            found = self.find(source)
            if found is None:
                raise PipelineError(
                    f"{role}={source!r} is not in this pipeline", code=VALUE_NOT_ACCEPTABLE
                )
            return found, None
        id, _, port = str(source).partition(".")
        if id not in self.nodes:
            raise PipelineError(
                f"{role}={source!r} names no node of this pipeline",
                code=VALUE_NOT_ACCEPTABLE,
                help=self._near(id),
            )
        return id, port or None

    def _near(self, id: str) -> str:
        from difflib import get_close_matches

        near = get_close_matches(id, self.nodes, 1)
        return f"did you mean '{near[0]}'?" if near else f"nodes: {', '.join(self.nodes) or 'none'}"

    def find(self, wanted: str | Node) -> str | None:
        """The id of a node given by id, by name, or by itself."""
        if isinstance(wanted, str) and wanted in self.nodes:
            return wanted
        for id, node in self.nodes.items():
            if node is wanted or node.name == wanted:
                return id
        return None

    def remove(self, id: str) -> None:
        """Removes a node; what fed it feeds what it fed."""
        before = [c for c in self.connections if c.target == id]
        behind = [c for c in self.connections if c.source == id]
        self.connections = [c for c in self.connections if id not in (c.source, c.target)]
        for a, b in itertools.product(before, behind):
            self.connections.append(a._replace(target=b.target, target_port=b.target_port))
        del self.nodes[id]
        self.extras.pop(id, None)

    def roots(self) -> list[str]:
        """Ids of the nodes that nothing feeds."""
        fed = {c.target for c in self.connections}
        return [id for id in self.nodes if id not in fed]

    def ends(self) -> list[str]:
        """Ids of the nodes that feed nothing."""
        feeding = {c.source for c in self.connections}
        return [id for id in self.nodes if id not in feeding]

    # ---- manifest

    def to_manifest(
        self, metadata: Mapping[str, Any], *, live: bool, on_error: Any = None
    ) -> dict[str, Any]:
        """The manifest as a dict.

        ``live``: the nodes of this process are named by ``{"$python": n}``, whatever their
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
            entry["code"] = {"$python": live_number(node)}
        else:
            entry.update(_portable(node))
        if node.is_streaming:
            entry["is_streaming"] = True
        for key in ("merge", "blocking", "deadline_ms", "late"):
            value = getattr(node, key)
            if value is not None:
                entry[key] = value
        policy = node.on_error if node.on_error is not None else on_error
        if policy is not None:
            entry["on_error"] = policy
        capabilities = node.get_capabilities()
        if capabilities:
            entry["capabilities"] = capabilities
        return entry | self.extras.get(id, {})

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
            pairs = itertools.pairwise(self.nodes)
            self.connections = [Connection(a, b) for a, b in pairs]
        for entry in connections or ():
            known = {"from", "to", "from_port", "to_port"}
            self.connections.append(
                Connection(
                    entry["from"],
                    entry["to"],
                    entry.get("from_port"),
                    entry.get("to_port"),
                    {k: v for k, v in entry.items() if k not in known},
                )
            )
        return self


def _params_json(id: str, node: Node) -> dict[str, Any]:
    params = {}
    for name, value in node.get_params().items():
        try:
            params[name] = to_json(value)
        except SerializationError as error:
            raise SerializationError(
                f"node '{id}', parameter '{name}': {error.message}", code=error.code
            ) from None
    return params


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
        node = live_node(code["$python"])
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
