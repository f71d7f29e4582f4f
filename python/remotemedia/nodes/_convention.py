"""What the nodes of 0.1 tell in the dicts that they give."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..node import Node


def processed_by(node: Node) -> str:
    """The node as its results name it: ``CalculatorNode[name]``."""
    return f"{type(node).__name__}[{node.name}]"


def error_dict(node: Node, error: str, **fields: Any) -> dict[str, Any]:
    """An item that could not be handled; it goes on in the place of a result."""
    return {"error": error, **fields, "processed_by": processed_by(node)}
