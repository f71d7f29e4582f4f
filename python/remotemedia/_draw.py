"""A pipeline as a small SVG: a box a node, in columns by how far it is from the sources."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._graph import GraphBuilder
    from .node import Node

BOX_H = 46
GAP_X = 46
GAP_Y = 18
MARGIN = 12
CHAR_W = 7.3
NODES_MAX = 200

# Readable on light and on dark pages.
STYLE = """
.b{fill:#7c8a9c1f;stroke:#7c8a9c;stroke-width:1.2}
.p{fill:#4c9be82b;stroke:#4c9be8;stroke-width:1.2}
.t{font:600 13px system-ui,sans-serif;fill:currentColor}
.s{font:11px ui-monospace,monospace;fill:currentColor;opacity:.65}
.e{fill:none;stroke:#7c8a9c;stroke-width:1.4}
.l{font:10px ui-monospace,monospace;fill:currentColor;opacity:.65}
"""


def draw(graph: GraphBuilder) -> str:
    """The graph as SVG text; Python nodes are tinted. Beyond 200 nodes: their number."""
    ids = list(graph.nodes)
    if not ids:
        return _svg(170, 40, ['<text class="s" x="12" y="24">empty pipeline</text>'])
    if len(ids) > NODES_MAX:
        return _svg(200, 40, [f'<text class="s" x="12" y="24">{len(ids)} nodes</text>'])
    columns = _columns(graph)
    places, width, height = _place(graph, columns)
    parts = [_edge(places, c.source, c.target, c.source_port) for c in graph.connections]
    parts += [_box(id, graph.nodes[id], places[id]) for id in ids]
    return _svg(width, height, parts)


def _svg(width: float, height: float, parts: list[str]) -> str:
    marker = (
        '<defs><marker id="rm-arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="#7c8a9c"/></marker></defs>'
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" style="color:inherit" role="img">'
        f"<style>{STYLE}</style>{marker}{''.join(parts)}</svg>"
    )


def _columns(graph: GraphBuilder) -> list[list[str]]:
    """Ids by the length of the longest way to them; a cycle is cut where it is met."""
    depth = dict.fromkeys(graph.nodes, 0)
    for _ in range(len(depth)):
        changed = False
        for c in graph.connections:
            if depth[c.target] < depth[c.source] + 1 < len(depth):
                depth[c.target] = depth[c.source] + 1
                changed = True
        if not changed:
            break
    columns: list[list[str]] = [[] for _ in range(max(depth.values()) + 1)]
    for id, column in depth.items():
        columns[column].append(id)
    return columns


Place = tuple[float, float, float]  # left, top, width


def _place(graph: GraphBuilder, columns: list[list[str]]) -> tuple[dict[str, Place], float, float]:
    places: dict[str, Place] = {}
    rows = max(len(column) for column in columns)
    height = rows * (BOX_H + GAP_Y) - GAP_Y + 2 * MARGIN
    left: float = MARGIN
    for column in columns:
        width = max(_width(id, graph.nodes[id]) for id in column)
        top = (height - len(column) * (BOX_H + GAP_Y) + GAP_Y) / 2
        for row, id in enumerate(column):
            places[id] = (left, top + row * (BOX_H + GAP_Y), width)
        left += width + GAP_X
    return places, left - GAP_X + MARGIN, height


def _width(id: str, node: Node) -> float:
    return max(len(id) * 8.2, len(_type_text(node)) * CHAR_W) + 22


def _type_text(node: Node) -> str:
    text = node.node_type
    return text if ":" not in text else text.rpartition(":")[2]


def _box(id: str, node: Node, place: Place) -> str:
    from ._resolve import is_native

    left, top, width = place
    params = ", ".join(f"{k}={v!r}" for k, v in node.get_params().items())[:500]
    return (
        f"<g><title>{escape(node.node_type)} {escape(params)}</title>"
        f'<rect class="{"b" if is_native(node) else "p"}" x="{left:.1f}" y="{top:.1f}" '
        f'width="{width:.1f}" height="{BOX_H}" rx="7"/>'
        f'<text class="t" x="{left + 11:.1f}" y="{top + 20:.1f}">{escape(id)}</text>'
        f'<text class="s" x="{left + 11:.1f}" y="{top + 36:.1f}">{escape(_type_text(node))}</text>'
        f"</g>"
    )


def _edge(places: dict[str, Place], source: str, target: str, port: str | None) -> str:
    left, top, width = places[source]
    x1, y1 = left + width, top + BOX_H / 2
    x2, y2 = places[target][0] - 2, places[target][1] + BOX_H / 2
    bend = max(18.0, (x2 - x1) / 2)
    path = (
        f'<path class="e" marker-end="url(#rm-arrow)" d="M{x1:.1f} {y1:.1f}'
        f'C{x1 + bend:.1f} {y1:.1f} {x2 - bend:.1f} {y2:.1f} {x2:.1f} {y2:.1f}"/>'
    )
    if port:
        path += f'<text class="l" x="{x1 + 4:.1f}" y="{y1 - 5:.1f}">{escape(port)}</text>'
    return path
