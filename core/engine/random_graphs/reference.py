"""What a graph of the random tests must give: an interpreter that runs no queue at all.

A stream is a list of sequences: one, where the order is known; several, where they were merged by
turns, so that any interleaving of them is right. A lossy stream went over an edge that may drop:
any part of it, in order, is right. Written from the documentation of node types, merge, on_error
and edges; it shares nothing with the engine.
"""

from __future__ import annotations

import collections
import os
import re
from dataclasses import dataclass

MASK = 0xFFFFFFFFFFFF
ROOM_DEADLOCK, MEMORY_DEADLOCK = 403, 407
MASK_64 = (1 << 64) - 1


def mix(number):
    """A permutation of the numbers of 48 bits, near enough: as nodes.c has it."""
    number &= MASK_64
    number = (number ^ number >> 23) * 0x2127599BF4325C37 & MASK_64
    return (number ^ number >> 47) & MASK


@dataclass
class Stream:
    sequences: list[list[int]]
    lossy: bool = False

    @property
    def exact(self):
        return len(self.sequences) == 1 and not self.lossy


@dataclass
class Failure:
    """The run may end here: at this item of this node."""

    node: str
    item: int


class Bad(Exception):
    def __init__(self, item):
        super().__init__(item)
        self.item = item


# ---- node types of one input: what becomes of one sequence


def map_(numbers, p, node):
    return [mix(n + p["salt"]) for n in numbers]


def pass_(numbers, p, node):
    """As it came; so do async (its work ends later), late (it looks ahead) and flaky (it is retried)."""
    return list(numbers)


def filter_(numbers, p, node):
    return [n for n in numbers if n % p["every"] != 0]


def repeat(numbers, p, node):
    return [mix(n + i) for n in numbers for i in range(p["size"])]


def policy_of(node):
    """What becomes of an item that fails for good."""
    on_error = node.get("on_error", "fail")
    if isinstance(on_error, str):
        return on_error
    return on_error.get("then", "fail") if on_error["policy"] == "retry" else on_error["policy"]


def fail(numbers, p, node):
    """Emits mix(n + 1), but fails at each n that `every` divides."""
    policy = policy_of(node)
    result = []
    for item, n in enumerate(numbers, 1):
        if n % p["every"] != 0:
            result.append(mix(n + 1))
        elif policy == "bypass":
            result.append(n)
        elif policy == "fail":
            raise Bad(item)
    return result


def take(numbers, p, node):
    return numbers[: p["count"]]


def window(numbers, p, node):
    """One number for each `size` of them; the rest at the end."""
    result = []
    for begin in range(0, len(numbers), p["size"]):
        total = 0
        for n in numbers[begin : begin + p["size"]]:
            total = mix(total + n)
        result.append(total)
    return result


ONE_INPUT = {
    "rg.map": map_, "rg.pass": pass_, "rg.async": pass_, "rg.late": pass_, "rg.flaky": pass_,
    "rg.filter": filter_, "rg.repeat": repeat, "rg.fail": fail, "rg.take": take, "rg.window": window,
}  # fmt: skip


MISSING = object()


def field_of(n, name):
    known = {
        "stream_id": 1 + n % 7, "final": n // 8 % 2 == 1, "metadata.m": n % 5, "kind": "bytes",
        "value": n,  # where nodes are Python
    }  # fmt: skip
    return known.get(name, MISSING)


def goes(when, n):
    """Whether a number goes over an edge of this condition: all that it says must hold."""
    found = field_of(n, when["field"])
    if found is MISSING:
        return when.get("exists") is False
    return (
        when.get("exists", True)
        and ("equals" not in when or found == when["equals"])
        and ("not_equals" not in when or found != when["not_equals"])
        and ("in" not in when or found in when["in"])
        and ("above" not in when or found > when["above"])
        and ("below" not in when or found < when["below"])
    )


def split(stream):
    return [
        Stream([[n for n in s if n & 1 == port] for s in stream.sequences], stream.lossy)
        for port in (0, 1)
    ]


def dead_letters(stream, p, node):
    """What goes well, and beside it each item that does not, as it came."""
    dead = [[n for n in s if n % p["every"] == 0] for s in stream.sequences]
    well = [fail(s, p, node) for s in stream.sequences]
    return [Stream(well, stream.lossy), Stream(dead, stream.lossy)]


def fallback(stream, p, spare):
    """What goes well, and in the place of each item that does not what the other node makes of it."""
    function = ONE_INPUT[kind_of(spare)]

    def follow(numbers):
        for n in numbers:
            if n % p["every"] == 0:
                yield from function([n], spare["params"], spare)
            else:
                yield mix(n + 1)

    return [Stream([list(follow(s)) for s in stream.sequences], stream.lossy)]


def kind_of(node):
    return node["node_type"].removesuffix(".own")


def fallback_of(node):
    """Id of the node that takes what it fails on."""
    on_error = node.get("on_error")
    return on_error.get("fallback") if isinstance(on_error, dict) else None


def zip_(streams):
    """One of each; ends with the first that ends."""
    result = []
    for numbers in zip(*(stream.sequences[0] for stream in streams), strict=False):
        total = 0
        for n in numbers:
            total = mix(total + n)
        result.append(total)
    return Stream([result])


def merge(streams):
    return Stream(
        [s for stream in streams for s in stream.sequences], any(s.lossy for s in streams)
    )


def evaluate(node, inputs, spare):
    """The streams of a node's outputs. spare: the node that it falls back to."""
    kind, p = kind_of(node), node.get("params", {})
    if spare:
        return fallback(inputs[0], p, spare)
    if kind == "rg.source":
        return [Stream([[mix(p["salt"] * 65536 + i) for i in range(p["count"])]])]
    if kind == "rg.split":
        return split(inputs[0])
    if kind == "rg.fail" and policy_of(node) == "dead_letter":
        return dead_letters(inputs[0], p, node)
    if kind.startswith("rg.zip"):
        return [zip_(inputs)]
    if kind.startswith("rg.any"):
        return [merge(inputs)]
    function = ONE_INPUT[kind]
    return [Stream([function(s, p, node) for s in inputs[0].sequences], inputs[0].lossy)]


class Expected:
    """What each sink gets, and where the run may fail."""

    def __init__(self, manifest, *, may_lack_memory=False, disturb=None):
        """disturb: what the owner did meanwhile: "interrupt", "cancel" or "change".

        A "restart" changes nothing, and changes of the graph are such that the same arrives: see changes.h.
        """
        self.sinks = {}
        self.disturb = disturb if disturb != "restart" else None
        self.fatal = {
            n["id"] for n in manifest["nodes"]
            if n["node_type"].startswith("rg.fail") and "on_error" not in n
        }  # fmt: skip
        self.keeps_state = any(
            kind in n["node_type"] for n in manifest["nodes"] for kind in ("zip", "take", "window")
        )
        self.may_lack_memory = may_lack_memory
        # Nodes that look ahead may come behind an edge that cannot grow as far: see generate.py.
        self.may_lack_room = disturb == "change" and any(
            "duration_ms" in edge["capacity"] for edge in manifest["connections"]
        )
        self.failure = None
        self.drops = any(edge.get("policy", "block") != "block" for edge in manifest["connections"])
        self.may_end_early = any("zip" in n["node_type"] or "take" in n["node_type"] for n in manifest["nodes"])
        self.follow(manifest)

    def follow(self, manifest):
        """Fills in what each sink gets."""
        outputs = {}
        by_id = {node["id"]: node for node in manifest["nodes"]}
        spares = {fallback_of(node) for node in manifest["nodes"]}
        for node in manifest["nodes"]:  # the generator writes them in topological order
            if node["id"] in spares:
                continue
            spare = by_id.get(fallback_of(node))
            edges = sorted(
                (e for e in manifest["connections"] if e["to"] == node["id"]), key=lambda e: e["to_port"]
            )
            inputs = [self.carried(edge, outputs) for edge in edges]
            if node["node_type"].startswith("rg.sink"):
                self.sinks[node["params"]["count"]] = inputs[0]
                continue
            try:
                outputs[node["id"]] = evaluate(node, inputs, spare)
            except Bad as bad:
                self.failure = Failure(node["id"], bad.item)
                kept = [s[: bad.item - 1] for s in inputs[0].sequences]
                outputs[node["id"]] = evaluate(node, [Stream(kept)], spare)

    @staticmethod
    def carried(edge, outputs):
        ports = {"out": 0, "even": 0, "odd": 1, "dead_letter": 1}
        stream = outputs[edge["from"]][ports[edge["from_port"]]]
        when = edge.get("when")
        sequences = [[n for n in s if not when or goes(when, n)] for s in stream.sequences]
        return Stream(sequences, stream.lossy or edge.get("policy", "block") != "block")

    # ---- comparing

    def problems(self, answer):
        """What is wrong with an answer of runner.c, as sentences."""
        if "sinks" not in answer:
            return [f"{answer['status']}: {answer['message']}"]
        return [
            *self.problems_of_changes(answer), *self.problems_of_end(answer), *self.problems_of_sinks(answer)
        ]  # fmt: skip

    def problems_of_changes(self, answer):
        """Refused is what comes too late, and a node that needs a thread where there is none."""
        for why in answer.get("refused", ()):
            if not re.search(r"has ended|is over|is ending|was cancelled|needs a thread", why):
                yield f"a change was refused: {why}"

    def problems_of_end(self, answer):
        status, at = answer["status"], (answer["node"], answer["item"])
        if status == "RM_DONE":
            if self.failure and not (self.may_end_early or self.disturb in ("interrupt", "cancel")):
                yield f"the run ended well, want an error of {self.failure}"
        elif not self.may_end_with(answer):
            if not self.failure:
                yield f"the run ended with {status}: {answer['message']}"
            elif at != (self.failure.node, self.failure.item):
                yield f"the error is of {at[0]!r}, item {at[1]}, want {self.failure}"
        if not (self.drops or self.disturb in ("interrupt", "cancel")) and any(answer["drops"]):
            yield f"drops on edges that do not drop: {answer['drops']}"

    def may_end_with(self, answer):
        """Errors that are none of a node's plan."""
        return (
            (answer["status"] == "RM_ECANCELED" and self.disturb == "cancel")
            or (answer["code"] == MEMORY_DEADLOCK and self.may_lack_memory)
            or (answer["code"] == ROOM_DEADLOCK and self.may_lack_room)
            # Which item that is depends on what was interrupted.
            or (answer["node"] in self.fatal and self.disturb == "interrupt")
        )

    def problems_of_sinks(self, answer):
        if self.disturb == "interrupt" and (self.keeps_state or self.fatal):
            return  # what such nodes make of a part is not known, nor whether a bad item arrives
        for number, stream in self.sinks.items():
            stream.lossy |= self.disturb == "interrupt"
            cut = answer["status"] != "RM_DONE" or self.failure is not None
            for problem in differences(stream, answer["sinks"][number], cut):
                yield f"sink {number}: {problem}"


def is_part(part, whole):
    """part is whole with some left out."""
    rest = iter(whole)
    return all(n in rest for n in part)


def differences(stream, got, cut):
    """cut: the run ended early, so that something may be missing at the end."""
    compare = differences_of_one if stream.exact else differences_of_several
    return compare(stream, got, cut)


def differences_of_one(stream, got, cut):
    want = stream.sequences[0]
    if got != (want[: len(got)] if cut else want):
        at = len(os.path.commonprefix([got, want]))
        yield f"{len(got)} numbers, want {len(want)}; the first difference is at {at}"


def differences_of_several(stream, got, cut):
    want = collections.Counter(n for s in stream.sequences for n in s)
    have = collections.Counter(got)
    if have - want:
        yield f"{sum((have - want).values())} of {len(got)} numbers are too many"
    if want - have and not (stream.lossy or cut):
        yield f"{sum((want - have).values())} of {sum(want.values())} numbers are missing"
    for sequence in stream.sequences:
        members = set(sequence)
        alone = all(want[n] == 1 for n in members)
        if alone and not is_part([n for n in got if n in members], sequence):
            yield "the order of one of its sequences is not kept"
