"""Random graphs: manifest v1 with the node types of nodes.c, the same for the same seed."""

from __future__ import annotations

import random
from dataclasses import dataclass

NODES_MAX, NUMBERS_MAX, SINKS_MAX, OWN_STRANDS_MAX, COPIES_MAX = 50, 1500, 16, 12, 24
# They keep nothing from item to item. One whose error ends the run is none of these: of two copies that
# fail either may be the first.
STATELESS = {"rg.map", "rg.pass", "rg.filter", "rg.split", "rg.repeat", "rg.fail", "rg.flaky"}


@dataclass
class Port:
    """An output that something may be connected to."""

    node: str
    name: str
    numbers: int  # at most so many come out of it
    exact: bool  # their order is known
    used: bool = False


class Generator:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.nodes, self.connections, self.ports = [], [], []
        self.own = self.copies = 0
        self.may_fail = self.random.random() < 0.15
        self.may_drop = self.random.random() < 0.25
        self.strands = self.random.choice([0, 0.2, 0.5])
        self.parallel = self.random.choice([0, 0, 0.3, 0.6])
        self.conditions = self.random.choice([0, 0, 0.1, 0.3])

    def add(self, kind, inputs=(), outputs=("out",), *, exact=True, numbers=0, params=None, whole=False, once=False,
            **fields):
        """whole: each number must arrive, for what follows depends on all of them. once: without copies."""
        name = f"n{len(self.nodes)}"
        if not once and kind in STATELESS and (kind != "rg.fail" or "on_error" in fields):
            fields |= self.parallel_field()
        if self.random.random() < self.strands and self.own < OWN_STRANDS_MAX:
            self.own += 1
            kind += ".own"
        self.nodes.append({"id": name, "node_type": kind, "params": params or {}, **fields})
        for number, port in enumerate(inputs, 1):
            exact &= self.connect(port, name, "in" if len(inputs) == 1 else f"in{number}", whole)
        self.ports += [Port(name, output, numbers, exact) for output in outputs]

    def parallel_field(self):
        """How many copies of a node run: nothing that arrives may change by it."""
        copies = self.random.randint(2, 5)
        if self.random.random() >= self.parallel or self.copies + copies > COPIES_MAX:
            return {}
        self.copies += copies
        return {"parallel": copies}

    def connect(self, port, to, to_port, whole):
        """Returns whether all arrives."""
        edge = {"from": port.node, "from_port": port.name, "to": to, "to_port": to_port}
        port.used = True
        limits = {"grow_max": 4096}
        if self.random.random() < 0.7:
            limits["packets"] = self.random.choice([1, 1, 2, 3, 5, 8, 16])
        if self.random.random() < 0.1:
            # They grow with the packets, up to more than NUMBERS_MAX: no graph need lock.
            limits["bytes"] = self.random.choice([64, 100, 200])
        if self.random.random() < 0.1:
            limits["duration_ms"] = self.random.choice([1, 2.5, 6])  # packets have 1 ms each
        edge["capacity"] = limits
        lossy = self.may_drop and not whole and self.random.random() < 0.2
        if lossy:
            edge["policy"] = self.random.choice(["drop_oldest", "drop_newest", "latest"])
        if self.random.random() < self.conditions:
            edge["when"] = self.condition()
        self.connections.append(edge)
        return not lossy

    def condition(self):
        """Which numbers go: each has stream_id 1 + n % 7, final n / 8 % 2, metadata.m n % 5."""
        return self.random.choice([
            {"field": "stream_id", "not_equals": self.random.randint(1, 7)},
            {"field": "stream_id", "above": 1, "below": self.random.randint(4, 8)},
            {"field": "final", "equals": self.random.random() < 0.5},
            {"field": "metadata.m", "in": [self.random.randint(0, 4), self.random.randint(0, 4)]},
            {"field": "metadata.m", "below": self.random.randint(0, 5)},
            {"field": "metadata.x", "exists": False},
            {"field": "metadata.m.x", "equals": 0},
            {"field": "kind", "equals": "bytes"},
        ])  # fmt: skip

    def pick(self, count, *, exact=False):
        """Outputs to connect to; None where there are not enough."""
        free = [p for p in self.ports if p.exact or not exact]
        fresh = [p for p in free if not p.used]
        chosen = []
        for _ in range(count):
            pool = fresh if fresh and self.random.random() < 0.8 else free
            pool = [p for p in pool if p not in chosen]
            if not pool:
                return None
            chosen.append(self.random.choice(pool))
            fresh = [p for p in fresh if p not in chosen]
        return chosen

    # ---- what may be added

    def source(self):
        count = self.random.choice([0, 1, 2, self.random.randint(3, 40), self.random.randint(40, 300)])
        params = {"count": count, "salt": len(self.nodes) + 1, "size": self.random.randint(1, 8)}
        if count == 0:
            params["size"] = 1
        self.add("rg.source", numbers=count, params=params)

    def one(self, kind, *, exact=False, growth=1, **given):
        chosen = self.pick(1, exact=exact)
        if chosen and chosen[0].numbers * growth <= NUMBERS_MAX:
            port = chosen[0]
            self.add(kind, chosen, exact=port.exact, numbers=port.numbers * growth, whole=exact, **given)

    def map(self):
        self.one("rg.map", params={"salt": len(self.nodes)})

    def plain(self):
        self.one(self.random.choice(["rg.pass", "rg.async"]))

    def late(self):
        params = {"size": self.random.randint(1, 64), "one_by_one": self.random.random() < 0.5}
        self.one("rg.late", params=params)

    def filter(self):
        self.one("rg.filter", params={"every": self.random.randint(2, 5)})

    def repeat(self):
        size = self.random.randint(1, 8)
        self.one(
            "rg.repeat", growth=size, params={"size": size, "one_by_one": self.random.random() < 0.5}
        )

    def flaky(self):
        policy = {"policy": "retry", "attempts": 3, "backoff_ms": self.random.choice([1, 10])}
        self.one("rg.flaky", params={"every": self.random.randint(1, 6)}, on_error=policy)

    def dead_letters(self):
        """What fails goes out of a port of its own."""
        chosen = self.pick(1)
        if chosen:
            port = chosen[0]
            retried = {"policy": "retry", "attempts": 2, "backoff_ms": 1, "then": "dead_letter"}
            policy = self.random.choice(["dead_letter", {"policy": "dead_letter"}, retried])
            self.add("rg.fail", chosen, ("out", "dead_letter"), exact=port.exact, numbers=port.numbers,
                     params={"every": self.random.randint(2, 9)}, on_error=policy)

    def fallback(self):
        """What fails is given to a node that is connected to nothing else."""
        chosen = self.pick(1)
        size = self.random.randint(1, 4)
        if not chosen or chosen[0].numbers * size > NUMBERS_MAX:
            return
        port, kind = chosen[0], self.random.choice(["rg.map", "rg.filter", "rg.repeat", "rg.async", "rg.fail"])
        params = {"every": self.random.randint(2, 5), "size": size, "salt": 3, "one_by_one": self.random.random() < 0.5}
        spare = {"on_error": "skip"} if kind == "rg.fail" else {}
        self.add(kind, (), (), params=params, once=True, **spare)
        policy = {"policy": "fallback", "fallback": self.nodes[-1]["id"]}
        if self.random.random() < 0.3:
            policy |= {"policy": "retry", "attempts": 2, "backoff_ms": 1, "then": "fallback"}
        self.add("rg.fail", chosen, exact=port.exact, numbers=port.numbers * size, once=True,
                 params={"every": self.random.randint(2, 5)}, on_error=policy)

    def failing(self):
        policy = self.random.choice(["skip", "bypass"])
        self.one("rg.fail", params={"every": self.random.randint(2, 9)}, on_error={"policy": policy})

    def fatal(self):
        if self.may_fail:
            self.may_fail = False
            self.one("rg.fail", exact=True, params={"every": self.random.choice([3, 17, 60])})

    def take(self):
        self.one("rg.take", exact=True, params={"count": self.random.choice([1, 2, 10, 50])})

    def window(self):
        self.one("rg.window", exact=True, params={"size": self.random.randint(1, 9)})

    def split(self):
        chosen = self.pick(1)
        if chosen:
            port = chosen[0]
            self.add("rg.split", chosen, ("even", "odd"), exact=port.exact, numbers=port.numbers)

    def zip(self):
        count = self.random.choice([2, 2, 3])
        chosen = self.pick(count, exact=True)
        if chosen:
            self.add(f"rg.zip{count}", chosen, numbers=min(p.numbers for p in chosen), whole=True,
                     merge="zip")

    def any(self):
        count = self.random.choice([2, 2, 3])
        chosen = self.pick(count)
        if chosen and sum(p.numbers for p in chosen) <= NUMBERS_MAX:
            self.add(f"rg.any{count}", chosen, exact=False, numbers=sum(p.numbers for p in chosen),
                     merge=self.random.choice(["any", "priority"]))

    def manifest(self):
        steps = [
            self.source, self.map, self.plain, self.plain, self.late, self.late, self.filter, self.repeat,
            self.flaky, self.failing, self.dead_letters, self.fallback, self.fatal, self.take, self.window, self.split, self.zip, self.zip,
            self.any,
        ]  # fmt: skip
        size = self.random.choice([4, 10, 20, NODES_MAX - SINKS_MAX])
        self.source()
        for _ in range(200):
            if len(self.nodes) >= size:
                break
            self.random.choice(steps)()
        unused = [p for p in self.ports if not p.used]
        self.strands = min(self.strands, 0.2)
        for number, port in enumerate(unused[:SINKS_MAX]):
            self.add("rg.sink", [port], (), params={"count": number})
        return {
            "version": "v1", "metadata": {"name": "random"}, "nodes": self.nodes,
            "connections": self.connections,
        }  # fmt: skip


def manifest_of(seed):
    return Generator(seed).manifest()


def memory_of(seed):
    """Bytes of packets that the run may hold; 0: as many as it likes."""
    return random.Random(f"memory {seed}").choice([0, 0, 1 << 16, 3 << 15])
