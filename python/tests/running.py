"""Plans of live nodes in a row, for the tests of the driver."""

import asyncio
import json
from time import monotonic

import pytest

from remotemedia import _core, _drive


@pytest.fixture(autouse=True)
def untranslated(monkeypatch):
    """Runs raise what nodes raise; the SDK's errors have tests of their own."""
    monkeypatch.setattr(_drive, "translate", lambda error, *_: error)


def plan_of(*nodes, feed=True, collect=True, options=None, blocking=None):
    """A plan feed -> nodes -> collect. options: manifest fields by the node's id (n0, n1, …); a str
    among the nodes is a native type."""
    rows = [{"id": "feed", "node_type": "python.feed"}] if feed else []
    for i, node in enumerate(nodes):
        kind = node if isinstance(node, str) else f"live:N{i}"
        rows.append({"id": f"n{i}", "node_type": kind, **(options or {}).get(f"n{i}", {})})
    if collect:
        rows.append({"id": "out", "node_type": "python.collect"})
    links = [{"from": a["id"], "to": b["id"]} for a, b in zip(rows, rows[1:])]
    return plan_of_rows(rows, links, nodes, first_is_source=not feed, blocking=blocking)


def plan_of_rows(rows, links, nodes, first_is_source=False, blocking=None):
    def resolve(asked):
        number = int(asked["node_type"].removeprefix("live:N"))
        node = nodes[number]
        return _core.NodeType(
            lambda: node,
            name=f"test.{type(node).__name__.lower()}",
            inputs=() if first_is_source and number == 0 else getattr(node, "inputs", None),
            outputs=getattr(node, "outputs", None),
            blocking=blocking,
        )

    manifest = {"version": "v1", "metadata": {"name": "t"}, "nodes": rows, "connections": links}
    return _core.Graph.parse(json.dumps(manifest)).plan(_core.Registry(resolve))


async def arun(items, *nodes, **options):
    """The results of a run on the running loop."""
    results = []
    feed = {} if items is None else {"feed": items}
    await _drive.run(plan_of(*nodes, feed=items is not None, **options), feed, {"out": results})
    return results


def run(items, *nodes, **options):
    """The results of a run without a loop (or on a private one)."""
    results = []
    feed = {} if items is None else {"feed": items}
    _drive.run_sync(plan_of(*nodes, feed=items is not None, **options), feed, {"out": results})
    return results


def in_loop(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 30))


class Call:
    """A node out of a function."""

    def __init__(self, function):
        self.process = function


async def until(condition):
    """Lets the loop turn until the condition holds; a test that waits in vain fails within 30 s."""
    deadline = monotonic() + 30
    while not condition():
        assert monotonic() < deadline, "it did not happen within 30 s"
        await asyncio.sleep(0)
