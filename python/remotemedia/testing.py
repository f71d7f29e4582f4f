"""Help for testing nodes: `run_node` runs one node alone, as a pipeline would."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .node import Node
from .pipeline import Pipeline

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["run_node"]


def run_node(
    node: Node | str,
    items: Iterable[Any] | None = None,
    *,
    on_error: str | None = None,
    **params: Any,
) -> list[Any]:
    """Runs one node over some items and returns all that it gives.

    Parameters
    ----------
    node : Node or str
        A node, or a node type (``"audio.level"``) whose parameters follow.
    items : iterable or None
        What the node gets, one after the other; None: the node is a source.
    on_error : str or None
        "skip" leaves out items that fail; None: the first failure is raised.
    **params
        Parameters of the type.

    Returns
    -------
    list
        Every result, in order. The node was initialized before, flushed and cleaned up after.

    Raises
    ------
    NodeError
        The node failed; an instance of what it raised, too.
    PipelineError
        The node cannot be planned.

    Examples
    --------
    >>> from remotemedia import Node
    >>> class Double(Node):
    ...     def process(self, x):
    ...         return 2 * x
    >>> run_node(Double(), [1, 2, 3])
    [2, 4, 6]
    """
    pipeline = Pipeline("test", on_error=on_error)
    pipeline.add_node(node, **params)
    results: list[Any] = []
    stream = None if items is None else list(items)
    pipeline.run_into(stream, results.append)
    return results
