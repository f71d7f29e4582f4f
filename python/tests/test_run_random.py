"""Random graphs of Python nodes of every style, compared with the interpreter without queues that the
engine's own random graphs have (core/engine/random_graphs)."""

import asyncio
import pathlib
import random
import sys
import threading
import time

import pytest
from running import plan_of_rows, untranslated  # noqa: F401

from remotemedia import _drive

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "core" / "engine" / "random_graphs"))

from generate import manifest_of
from reference import Expected, mix

SEEDS = 60
STYLES = ["sync", "sync", "slow", "generator", "coroutine", "waiting", "async generator"]


class Source:
    inputs = ()

    def __init__(self, p):
        self.p = p

    def process(self):
        for i in range(self.p["count"]):
            yield mix(self.p["salt"] * 65536 + i)


class Step:
    """What one item becomes, as a list; `end` is what comes at the end."""

    def __init__(self, p):
        self.p = p

    def end(self):
        return []


class Map(Step):
    def each(self, n):
        return [mix(n + self.p["salt"])]


class Pass(Step):
    def each(self, n):
        return [n]


class Filter(Step):
    def each(self, n):
        return [n] if n % self.p["every"] else []


class Repeat(Step):
    def each(self, n):
        return [mix(n + i) for i in range(self.p["size"])]


class Zip(Step):
    def each(self, items):
        total = 0
        for n in items:
            total = mix(total + n)
        return [total]


class Any(Step):
    def each(self, items):
        return [n for n in items if n is not None]


class Fail(Step):
    def each(self, n):
        if n % self.p["every"] == 0:
            raise ValueError(f"{n} is bad")
        return [mix(n + 1)]


class Flaky(Step):
    last = None

    def each(self, n):
        if n % self.p["every"] == 0 and self.last != n:
            self.last = n
            raise ConnectionError(f"{n} is not to be had now")
        return [n]


class Late(Step):
    def __init__(self, p):
        super().__init__(p)
        self.held = []

    def each(self, n):
        self.held.append(n)
        return [self.held.pop(0)] if len(self.held) > self.p["size"] else []

    def end(self):
        return self.held


class Window(Step):
    total = count = 0

    def each(self, n):
        self.total, self.count = mix(self.total + n), self.count + 1
        if self.count < self.p["size"]:
            return []
        result, self.total, self.count = self.total, 0, 0
        return [result]

    def end(self):
        return [self.total] if self.count else []


STEPS = {
    "rg.map": Map, "rg.pass": Pass, "rg.async": Pass, "rg.filter": Filter, "rg.repeat": Repeat, "rg.fail": Fail,
    "rg.flaky": Flaky, "rg.late": Late, "rg.window": Window, "rg.zip2": Zip, "rg.zip3": Zip, "rg.any2": Any,
    "rg.any3": Any, "rg.split": Pass,
}  # fmt: skip


def styled(step, style, ports):
    """A node that does the step, written in one of the styles that a node may have."""

    def one(item):
        results = step.each(item)
        return results if len(results) != 1 else results[0]

    class Node:
        if ports:
            inputs = ports

        def flush(self):
            yield from step.end()

    class Sync(Node):  # returns one item or none: only for steps that do so
        def process(self, item):
            results = step.each(item)
            return results[0] if results else None

    class Slow(Sync):
        blocking = True

        def process(self, item):
            time.sleep(0)
            return super().process(item)

    class Generator(Node):
        def process(self, item):
            yield from step.each(item)

    class Coroutine(Node):
        async def process(self, item):
            results = step.each(item)
            return results[0] if results else None

    class Waiting(Coroutine):
        async def process(self, item):
            await asyncio.sleep(0)
            return await super().process(item)

    class AsyncGenerator(Node):
        async def process(self, item):
            for result in step.each(item):
                await asyncio.sleep(0)
                yield result

    classes = {
        "sync": Sync, "slow": Slow, "generator": Generator, "coroutine": Coroutine, "waiting": Waiting,
        "async generator": AsyncGenerator,
    }  # fmt: skip
    return classes[style]()


class Split:
    outputs = [("even", None), ("odd", None)]

    def process(self, item):
        return ("odd" if item & 1 else "even", item)


def node_of(row, draw, alone):
    kind = row["node_type"].removesuffix(".own")
    if kind == "rg.source":
        return Source(row["params"])
    if kind == "rg.split":
        return Split()
    styles = [s for s in STYLES if not alone or s in ("sync", "slow", "generator")]
    if kind == "rg.repeat":
        styles = [s for s in styles if "generator" in s]
    count = int(kind[-1]) if kind[-1].isdigit() else 1
    ports = [(f"in{i}", None) for i in range(1, count + 1)] if count > 1 else [("in", None)]
    return styled(STEPS[kind](row["params"]), draw.choice(styles), ports)


def build(manifest, draw, *, alone):
    """The plan and the sinks' ids. alone: no async node, so that it runs without a loop."""
    rows, nodes = [], []
    for row in manifest["nodes"]:
        row = dict(row)
        if row["node_type"].startswith("rg.sink"):
            row |= {"node_type": "python.collect", "params": {}}
        elif row["node_type"] == "rg.pass" and draw.random() < 0.5:
            row |= {"node_type": "test.pass", "params": {}}
        else:
            nodes.append(node_of(row, draw, alone))
            row |= {"node_type": f"live:N{len(nodes) - 1}", "params": {}}
        rows.append(row)
    links = []
    for link in manifest["connections"]:
        link = dict(link)
        for side in ("from_port", "to_port"):
            if link[side] in ("in", "out"):
                del link[side]
        links.append(link)
    return plan_of_rows(rows, links, nodes)


def answer_of(manifest, run):
    sinks = {n["id"]: n["params"]["count"] for n in manifest["nodes"] if n["node_type"].startswith("rg.sink")}
    results = {name: [] for name in sinks}
    answer = {"status": "RM_DONE", "code": 0, "node": "", "item": 0, "message": "", "drops": []}
    try:
        run(results)
    except ValueError as error:
        answer |= {"status": "RM_EFAIL", "message": str(error)}
    arrived = [[] for _ in range(16)]
    for name, number in sinks.items():
        arrived[number] = results[name]
    return answer | {"sinks": arrived}


def manifest_with_values(seed):
    """What a graph of Python has: the number itself is what conditions look at, and nodes run once."""
    manifest, draw = manifest_of(seed), random.Random(f"when {seed}")
    for node in manifest["nodes"]:
        node.pop("parallel", None)
    for link in manifest["connections"]:
        if "when" in link:
            bound = draw.choice([1 << 45, 1 << 47, 3 << 46])
            link["when"] = {"field": "value", draw.choice(["above", "below"]): bound}
    return manifest


def seeds():
    """Those whose graphs Python nodes can make: none ends its input early."""
    seed = found = 0
    while found < SEEDS:
        seed += 1
        if not any("take" in n["node_type"] for n in manifest_of(seed)["nodes"]):
            found += 1
            yield seed


@pytest.mark.parametrize("alone", [False, True])
def test_random_graphs_give_what_the_reference_gives(alone):
    threads = threading.active_count()
    for seed in seeds():
        manifest = manifest_with_values(seed)
        expected = Expected(manifest)
        plan = build(manifest, random.Random(seed), alone=alone)

        def run(results, plan=plan):
            if alone:
                _drive.run_sync(plan, {}, results)
            else:
                asyncio.run(asyncio.wait_for(_drive.run(plan, {}, results), 60))

        answer = answer_of(manifest, run)
        if answer["status"] != "RM_DONE" and expected.failure:
            answer |= {"node": expected.failure.node, "item": expected.failure.item}
        assert not list(expected.problems(answer)), f"seed {seed}"
    assert threading.active_count() <= threads + 64
