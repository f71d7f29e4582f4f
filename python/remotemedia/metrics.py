"""The numbers of a run, and how a terminal and a notebook show them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ._core import Numbers

__all__ = ["AgeMetrics", "EdgeMetrics", "Metrics", "NodeMetrics"]

# About what it takes to time one call: two looks at the clock, and the histogram.
TIMING_NS = 50.0


class NodeMetrics(NamedTuple):
    """The numbers of one node. Times are in ns.

    ``time_ns`` is spent in its calls, also those that go on elsewhere: on a thread, or waiting as a
    coroutine. ``share`` is its part of all nodes' time, 0 to 1. ``p50_ns``, ``p99_ns`` and ``max_ns``
    are of the calls on the session's own thread. ``wait_…`` is how long packets were queued before
    the node; one that was handed over at once waited 0. A node that is in one call for long has
    zeros.

    Of a Python node ``user_ns`` is the time in its own code, ``marshal_ns`` what it took to make
    objects of packets and packets of objects, ``gil_wait_ns`` how long threads that were to run its
    code waited for the GIL before they could begin. Of fast calls one in eight is measured.

    ``memory_bytes`` is what Python allocated within the node's calls, on whatever thread, and is still
    alive; ``memory_bytes_peak`` the most of it. Only with ``Pipeline(trace_memory=True)``, else None.

    ``place`` is where it runs; ``fell_back`` is why that is not the place that was chosen, else None.
    """

    id: str
    type: str
    calls: int
    items: int
    emitted: int
    errors: int
    skipped: int
    retries: int
    time_ns: float
    p50_ns: float
    p99_ns: float
    max_ns: float
    share: float
    p90_ns: float
    wait_p50_ns: float
    wait_p90_ns: float
    wait_p99_ns: float
    wait_max_ns: float
    user_ns: float
    marshal_ns: float
    gil_wait_ns: float
    memory_bytes: int | None
    memory_bytes_peak: int | None
    place: str
    fell_back: str | None


class EdgeMetrics(NamedTuple):
    """The numbers of one connection.

    ``drops`` are by its policy (`drops_full`) and by interrupts. ``queued`` packets wait now, `peak`
    is the most that did, of `capacity`.
    """

    node: str
    port: str
    to: str
    to_port: str
    packets: int
    bytes: int
    drops: int
    drops_full: int
    queued: int
    peak: int
    capacity: int


class AgeMetrics(NamedTuple):
    """How old packets were when a sink was done with them: ns since they entered the graph."""

    node: str
    sampled: int
    p50_ns: float
    p90_ns: float
    p99_ns: float
    max_ns: float


def metrics_of(
    numbers: Numbers, ids: Sequence[str], memory: dict[str, dict[str, int]] | None
) -> Metrics:
    """The numbers of a session; ``memory``: those of `Tracer.rows`, where its memory is counted."""
    raw = json.loads(numbers.json())
    for node in raw["nodes"]:
        if memory is not None and node["id"] in memory:
            node["python_memory"] = memory[node["id"]]
    return Metrics(raw, ids)


class Metrics:
    """The numbers of a run, taken between two calls of its nodes.

    Parameters
    ----------
    raw : dict
        What `_core.Numbers.json` says, parsed.
    ids : sequence of str or None
        The nodes to show; None: all of them.

    Attributes
    ----------
    elapsed_ns : int
        Time since the session was opened.
    nodes : list of NodeMetrics
        In the order of the graph; of a node in several copies one for each: ``"scale.1"``.
    edges : list of EdgeMetrics
        All connections, those that a converter or the run's own ends brought as well.
    ages : list of AgeMetrics
        Of each sink, and of the run's output.
    memory_bytes, memory_bytes_peak : int
        Of packet buffers, now and at most.
    rss_bytes, rss_bytes_peak : int
        Of the process, now and at most.
    raw : dict
        All that is known.

    Notes
    -----
    Printed, it is a table; in a notebook it is one, too. ``metrics["asr"]`` is one node's row.
    """

    def __init__(self, raw: dict[str, Any], ids: Sequence[str] | None = None) -> None:
        self.raw = raw
        self.elapsed_ns: int = raw["elapsed_ns"]
        shown = [n for n in raw["nodes"] if ids is None or _id_in_graph(n) in ids]
        total = sum(_time_ns(n) for n in shown)
        self.nodes = [_row(n, total) for n in shown]
        self.edges = [_edge(e) for e in raw["edges"]]
        self.ages = [_age(n) for n in raw["nodes"] if "age" in n]
        self.memory_bytes: int = raw["memory"]["bytes"]
        self.memory_bytes_peak: int = raw["memory"]["bytes_peak"]
        self.rss_bytes: int = raw["process"]["rss_bytes"]
        self.rss_bytes_peak: int = raw["process"]["rss_bytes_peak"]

    def __getitem__(self, id: str) -> NodeMetrics:
        for node in self.nodes:
            if node.id == id:
                return node
        raise KeyError(id)

    def __iter__(self) -> Iterator[NodeMetrics]:
        return iter(self.nodes)

    def __len__(self) -> int:
        return len(self.nodes)

    def to_dict(self, pipeline_id: str = "") -> dict[str, Any]:
        """The numbers of the run as a plain dict in the form of 0.1, times in µs.

        ``execution_count`` of a node is its items, and each time more that one was tried; of a source,
        what it gave. ``metrics_overhead_us`` is an estimate.
        """
        timed = sum(n["time"]["timed_calls"] for n in self.raw["nodes"] if "time" in n)
        return {
            "pipeline_id": pipeline_id,
            "total_executions": 1,
            "total_duration_us": self.elapsed_ns / 1e3,
            "total_duration_ms": self.elapsed_ns / 1e6,
            "peak_memory_bytes": self.memory_bytes_peak,
            "peak_memory_mb": self.memory_bytes_peak / 1e6,
            "metrics_overhead_us": timed * TIMING_NS / 1e3,
            "memory_bytes": self.memory_bytes,
            "rss_bytes": self.rss_bytes,
            "peak_rss_bytes": self.rss_bytes_peak,
            "node_metrics": [_node_dict(n, self.raw) for n in self.nodes],
            "edge_metrics": [e._asdict() for e in self.edges],
            "age_metrics": [_age_dict(a) for a in self.ages],
        }

    def rows(self) -> list[list[str]]:
        """The table as text: a row of titles, then one for each node."""
        titles = ["node", "type", "items", "out", "errors", "time", "share", "p50", "p99", "max"]
        rows = [titles]
        for n in self.nodes:
            times = [duration(n.p50_ns), duration(n.p99_ns), duration(n.max_ns)]
            lost = n.errors + n.skipped
            counts = [str(n.items), str(n.emitted), str(lost) if lost else ""]
            rows.append([n.id, n.type, *counts, duration(n.time_ns), f"{n.share:.1%}", *times])
        return rows

    def __str__(self) -> str:
        rows = self.rows()
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        lines = []
        for row in rows:
            left = [cell.ljust(width) for cell, width in zip(row[:2], widths, strict=False)]
            right = [cell.rjust(width) for cell, width in zip(row[2:], widths[2:], strict=True)]
            lines.append("  ".join(left + right).rstrip())
        lines.insert(1, "  ".join("-" * width for width in widths))
        lines.append(f"{duration(self.elapsed_ns)} in all")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<Metrics of {len(self.nodes)} nodes, {duration(self.elapsed_ns)}>"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        """How a notebook shows it: a table, and text."""
        return {"text/html": self.to_html(), "text/plain": str(self)}

    def to_html(self) -> str:
        """The table as HTML; a bar behind each share."""
        from html import escape

        head, *body = self.rows()
        lines = ["<table><thead><tr>"]
        lines += [f"<th>{escape(title)}</th>" for title in head]
        lines.append("</tr></thead><tbody>")
        for row, node in zip(body, self.nodes, strict=True):
            lines.append("<tr>")
            for title, cell in zip(head, row, strict=True):
                style = "text-align:left" if title in ("node", "type") else "text-align:right"
                if title == "share":
                    edge = f"{node.share:.1%}"
                    style += (
                        f";background:linear-gradient(90deg,#4c9be855 {edge},transparent {edge})"
                    )
                lines.append(f'<td style="{style}">{escape(cell)}</td>')
            lines.append("</tr>")
        lines.append(f"</tbody></table><small>{duration(self.elapsed_ns)} in all</small>")
        return "".join(lines)


def _row(node: dict[str, Any], total_ns: float) -> NodeMetrics:
    time = node.get("time", {})
    waiting = node.get("waiting", {})
    tier = node.get("tier", {})
    memory = node.get("python_memory", {})
    return NodeMetrics(
        id=node["id"],
        type=node["type"],
        calls=node.get("calls", 0),
        items=node.get("items", 0),
        emitted=node.get("emitted", 0),
        errors=node.get("errors", 0),
        skipped=node.get("skipped", 0),
        retries=node.get("retries", 0),
        time_ns=_time_ns(node),
        p50_ns=time.get("p50_ns", 0.0),
        p99_ns=time.get("p99_ns", 0.0),
        max_ns=time.get("max_ns", 0.0),
        share=_time_ns(node) / total_ns if total_ns > 0 else 0.0,
        p90_ns=time.get("p90_ns", 0.0),
        wait_p50_ns=waiting.get("p50_ns", 0.0),
        wait_p90_ns=waiting.get("p90_ns", 0.0),
        wait_p99_ns=waiting.get("p99_ns", 0.0),
        wait_max_ns=waiting.get("max_ns", 0.0),
        user_ns=tier.get("user_ns", 0.0),
        marshal_ns=tier.get("marshal_ns", 0.0),
        gil_wait_ns=tier.get("lock_ns", 0.0),
        memory_bytes=memory.get("bytes"),
        memory_bytes_peak=memory.get("bytes_peak"),
        place=node.get("place", "local"),
        fell_back=node.get("fell_back"),
    )


def _edge(edge: dict[str, Any]) -> EdgeMetrics:
    return EdgeMetrics(
        node=edge["from"],
        port=edge["from_port"],
        to=edge["to"],
        to_port=edge["to_port"],
        packets=edge["packets"],
        bytes=edge["bytes"],
        drops=edge["drops"],
        drops_full=edge["dropped"]["full"],
        queued=edge["queued"],
        peak=edge["peak"],
        capacity=edge["capacity"],
    )


def _age(node: dict[str, Any]) -> AgeMetrics:
    age = node["age"]
    times = (age["p50_ns"], age["p90_ns"], age["p99_ns"], age["max_ns"])
    return AgeMetrics(node["id"], age["sampled"], *times)


def _age_dict(age: AgeMetrics) -> dict[str, Any]:
    return {
        "node_id": age.node,
        "p50_us": age.p50_ns / 1e3,
        "p90_us": age.p90_ns / 1e3,
        "p99_us": age.p99_ns / 1e3,
        "max_us": age.max_ns / 1e3,
    }


def _id_in_graph(node: dict[str, Any]) -> Any:
    """Of a copy that of the node which runs in several; what gives them their items has none."""
    return node["part_of"] if node.get("copy") else node["id"]


def _time_ns(node: dict[str, Any]) -> float:
    time: dict[str, float] = node.get("time", {})
    return time.get("sum_ns", 0.0)


def _node_dict(n: NodeMetrics, raw: dict[str, Any]) -> dict[str, Any]:
    good = n.items - n.skipped if n.items or n.errors else n.emitted
    tried = good + n.errors
    (node,) = (found for found in raw["nodes"] if found["id"] == n.id)
    least_ns = node.get("time", {}).get("min_ns", 0.0)
    memory = {"memory_bytes": n.memory_bytes, "peak_memory_bytes": n.memory_bytes_peak}
    return {
        "node_id": n.id,
        "execution_count": tried,
        "success_count": good,
        "error_count": n.errors,
        "success_rate": good / tried if tried else 1.0,
        "total_duration_us": n.time_ns / 1e3,
        "avg_duration_us": n.time_ns / tried / 1e3 if tried else 0.0,
        "min_duration_us": least_ns / 1e3,
        "max_duration_us": n.max_ns / 1e3,
        "p50_duration_us": n.p50_ns / 1e3,
        "p90_duration_us": n.p90_ns / 1e3,
        "p99_duration_us": n.p99_ns / 1e3,
        "wait_p50_us": n.wait_p50_ns / 1e3,
        "wait_p90_us": n.wait_p90_ns / 1e3,
        "wait_p99_us": n.wait_p99_ns / 1e3,
        "wait_max_us": n.wait_max_ns / 1e3,
        "user_us": n.user_ns / 1e3,
        "marshal_us": n.marshal_ns / 1e3,
        "gil_wait_us": n.gil_wait_ns / 1e3,
        "skipped_count": n.skipped,
        "retry_count": n.retries,
        **({} if n.memory_bytes is None else memory),
    }


def duration(ns: float) -> str:
    """A time with three digits and its unit."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if ns >= size:
            return f"{ns / size:.3g} {unit}"
    return f"{ns:.0f} ns"
