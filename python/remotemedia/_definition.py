"""Pipelines as the dicts of 0.1: `Pipeline.export_definition` and `Pipeline.from_definition`."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from . import _resolve
from .errors import VALUE_NOT_ACCEPTABLE, PipelineError
from .node import Node, TypedNode, module_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .pipeline import Pipeline

PORT = "default"


def export(pipeline: Pipeline) -> dict[str, Any]:
    """See `Pipeline.export_definition`."""
    ids = {id: f"{node.name}_{n}" for n, (id, node) in enumerate(pipeline._graph.nodes.items())}
    nodes = pipeline.nodes
    return {
        "name": pipeline.name,
        "nodes": [_node(ids[id], node) for id, node in pipeline._graph.nodes.items()],
        "connections": [
            {
                "from_node": ids[c.source],
                "to_node": ids[c.target],
                "output_port": c.source_port or PORT,
                "input_port": c.target_port or PORT,
            }
            for c in pipeline._graph.connections
        ],
        "metadata": {
            "exported_at": datetime.now().isoformat(),
            "node_count": str(len(nodes)),
            "remote_node_count": str(pipeline.remote_node_count),
            "has_streaming_nodes": str(any(node.is_streaming for node in nodes)),
            "pipeline_type": "linear" if _is_row(pipeline) else "graph",
        },
        "dependencies": sorted(
            {str(name) for node in nodes for name in getattr(node, "dependencies", None) or ()}
        ),
    }


def _is_row(pipeline: Pipeline) -> bool:
    order = list(pipeline._graph.nodes)
    pairs = [(c.source, c.target) for c in pipeline._graph.connections]
    return sorted(pairs, key=lambda pair: order.index(pair[0])) == list(zip(order, order[1:]))


def _node(id: str, node: Node) -> dict[str, Any]:
    config = getattr(node, "remote_config", None)
    return {
        "node_id": id,
        "name": node.name,
        "node_type": node.node_type if isinstance(node, TypedNode) else type(node).__name__,
        "config": node.get_params(),
        "is_remote": node.is_remote,
        "remote_endpoint": f"{config.host}:{config.port}" if config is not None else None,
        "is_streaming": node.is_streaming,
        "is_source": node.is_source,
        "is_sink": node.is_sink,
        "module": module_name(type(node)),
        "class_name": type(node).__qualname__,
    }


def build(cls: type[Pipeline], definition: Mapping[str, Any]) -> Pipeline:
    """See `Pipeline.from_definition`."""
    pipeline = cls(name=definition.get("name"))
    nodes = {entry["node_id"]: _made(entry) for entry in definition.get("nodes", ())}
    connections = definition.get("connections")
    if connections is None:
        for node in nodes.values():
            pipeline.add_node(node)
        return pipeline
    for node in nodes.values():
        pipeline.add_node(node, after=None)
    for entry in connections:
        ports = {"from_port": entry.get("output_port"), "to_port": entry.get("input_port")}
        named = {side: None if port == PORT else port for side, port in ports.items()}
        pipeline.connect(nodes[entry["from_node"]], nodes[entry["to_node"]], **named)
    return pipeline


def _made(entry: Mapping[str, Any]) -> Node:
    module, name = entry.get("module"), entry.get("class_name")
    config = dict(entry.get("config") or {})
    cls = TypedNode if name == TypedNode.__qualname__ else _resolve.find_class(f"{module}:{name}")
    if cls is TypedNode:
        return Node(entry["node_type"], **config)
    if not (isinstance(cls, type) and issubclass(cls, Node)):
        raise PipelineError(
            f"node '{entry.get('node_id')}': {module}:{name} is no subclass of Node",
            code=VALUE_NOT_ACCEPTABLE,
        )
    try:
        node = cls(**config)
    except TypeError as error:
        raise PipelineError(
            f"node '{entry.get('node_id')}': {name} cannot be made of its config: {error}",
            code=VALUE_NOT_ACCEPTABLE,
        ) from error
    node.name = entry.get("name") or node.name
    return node
