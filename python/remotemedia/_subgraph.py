"""A pipeline as a node of another: its nodes stand in the graph around it, which stays flat.

    inner: a >> b        outer: x >> inner >> y        gives  x >> inner__a >> inner__b >> y

What is connected to it goes to its inputs: those that its manifest names, else the nodes that nothing
feeds; and comes from its outputs: those that are named, else the nodes that feed nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._graph import Connection, Subgraph, inner_id
from .errors import DUPLICATE, VALUE_NOT_ACCEPTABLE, PipelineError
from .node import check_id

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ._graph import Endpoint, GraphBuilder
    from .pipeline import Pipeline


def expand(graph: GraphBuilder, pipeline: Pipeline, id: str) -> Subgraph:
    """Adds the nodes and connections of the pipeline as it is now; returns what it is in the graph."""
    inner = pipeline._graph
    _check(graph, pipeline, id)
    for name, node in inner.nodes.items():
        graph.add(node, id=check_id(inner_id(id, name)))
        fields = _fields(pipeline, id, name)
        if fields:
            graph.extras[inner_id(id, name)] = fields
    for c in inner.connections:
        source, target = inner_id(id, c.source), inner_id(id, c.target)
        graph.append(Connection(source, target, c.source_port, c.target_port, c.extra))
    for name, part in inner.parts.items():
        graph.parts[inner_id(id, name)] = _moved(part, id)
    _take_top(graph, inner)
    ids = tuple(inner_id(id, name) for name in inner.nodes)
    inputs = _named(inner.top.get("inputs"), pipeline._inlets())
    outputs = _named(inner.top.get("outputs"), pipeline._outlets())
    return _moved(Subgraph(pipeline, (), inputs, outputs), id)._replace(ids=ids)


def _check(graph: GraphBuilder, pipeline: Pipeline, id: str) -> None:
    if pipeline._graph is graph:
        raise PipelineError(
            f"pipeline '{pipeline.name}' cannot be a node of itself", code=VALUE_NOT_ACCEPTABLE
        )
    if not pipeline._graph.nodes:
        raise PipelineError(f"pipeline '{pipeline.name}' is empty", code=VALUE_NOT_ACCEPTABLE)
    known = graph.find(pipeline)
    if known is not None:
        raise PipelineError(
            f"pipeline '{pipeline.name}' is in this pipeline already, as '{known}'",
            code=DUPLICATE,
            help="its nodes would be there twice: make a second one",
        )


def _fields(pipeline: Pipeline, id: str, name: str) -> dict[str, Any]:
    """The further fields of a node; ids of other nodes in them are as they are in the graph around."""
    inner = pipeline._graph
    node = inner.nodes[name]
    fields = dict(inner.extras.get(name, {}))
    policy = fields.get("on_error", node.on_error)
    policy = pipeline.on_error if policy is None else policy
    if policy is not None:
        fields["on_error"] = inner.policy_entry(policy)
    for key, reference in (("placement", "with"), ("on_error", "fallback")):
        field = fields.get(key)
        if isinstance(field, dict) and field.get(reference) in inner.nodes:
            fields[key] = {**field, reference: inner_id(id, field[reference])}
    return fields


def _take_top(graph: GraphBuilder, inner: GraphBuilder) -> None:
    """What a reader must know, and packages, count for the whole graph."""
    for key in ("requires", "packages"):
        rows = [*graph.top.get(key, ()), *inner.top.get(key, ())]
        if rows:
            graph.top[key] = [row for n, row in enumerate(rows) if row not in rows[:n]]


def _named(
    ports: dict[str, dict[str, str]] | None, others: Iterable[Endpoint]
) -> dict[str, list[Endpoint]]:
    named = {name: [(at["node"], at.get("port"))] for name, at in (ports or {}).items()}
    every = [place for places in named.values() for place in places]
    return {"": every or list(others), **named}


def _moved(part: Subgraph, id: str) -> Subgraph:
    """The part as it is in the graph around."""

    def moved(ports: dict[str, list[Endpoint]]) -> dict[str, list[Endpoint]]:
        return {
            name: [(inner_id(id, at), port) for at, port in places]
            for name, places in ports.items()
        }

    ids = tuple(inner_id(id, at) for at in part.ids)
    return part._replace(ids=ids, inputs=moved(part.inputs), outputs=moved(part.outputs))
