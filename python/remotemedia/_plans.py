"""Plans that pipelines of one shape share.

A server opens a pipeline for each caller: new node objects, of the same classes, connected in the same
way. To plan takes longer than to open, and a plan is larger than a session; so the plan of such a
pipeline is kept, and serves the next one with that one's nodes in the places of the first one's.

Shared is what depends on nothing but the manifest and the classes: pipelines of live nodes that say
nothing of where they run.
"""

from __future__ import annotations

import json
import os
from _thread import allocate_lock
from typing import TYPE_CHECKING, Any
from weakref import ref

from . import _resolve
from ._graph import live_number
from ._resolve import Place
from .node import Node, TypedNode

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from . import _core
    from ._host import Host

PLANS_MAX = 32  # the latest ones are kept
FIELDS = frozenset({
    "id", "name", "node_type", "code", "is_streaming", "merge", "blocking", "deadline_ms", "late",
    "pts", "on_error",
})  # fmt: skip
ENVIRONMENT = ("REMOTEMEDIA_PYTHON_RUNTIME", "REMOTEMEDIA_ENABLE_FALLBACK")


class _Shared:
    """A kept plan, and what its key stands for by identity."""

    def __init__(self, plan: _core.Plan, specs: list[Any]) -> None:
        self.plan = plan
        self.specs = specs


_lock = allocate_lock()
# Protected by _lock. The latest one is the last.
_plans: dict[Hashable, _Shared] = {}


def key_of(nodes: Mapping[str, Node], manifest: dict[str, Any]) -> Hashable | None:
    """What a plan that others may use is found by; None: this one is nobody else's."""
    if len(manifest) != 4 or any(isinstance(node, TypedNode) for node in nodes.values()):
        return None
    entries = manifest["nodes"]
    if not all(entry.keys() <= FIELDS for entry in entries):
        return None
    try:
        classes = tuple(_identity(type(node)) for node in nodes.values())
        text = json.dumps((entries, manifest["connections"]))
    except TypeError:  # no weak references to what is called process, or no JSON: the plan will say
        return None
    return text, classes, *map(os.environ.get, ENVIRONMENT)


def _identity(cls: type) -> tuple[Any, ...]:
    """Of what the plan reads of a class, which may be given another spec or process()."""
    process = getattr(cls, "process", None)
    return ref(cls), process and ref(process), id(getattr(cls, "spec", None))


def find(key: Hashable | None) -> _core.Plan | None:
    """A plan for it, if there is one."""
    with _lock:
        shared = _plans.pop(key, None)
        if shared is None:
            return None
        _plans[key] = shared
    return shared.plan


def places_of(nodes: Mapping[str, Node]) -> dict[str, Place]:
    """What stands for the nodes until a shared plan is made, which then holds it."""
    return {id: Place(node) for id, node in nodes.items()}


def number(manifest: dict[str, Any], places: Mapping[str, Node | Place]) -> None:
    """Writes numbers into a manifest whose live nodes have none yet: of these, or of their places."""
    for entry in manifest["nodes"]:
        if "code" in entry:
            entry["code"] = {"$python": live_number(places[entry["id"]])}


def keep(key: Hashable, plan: _core.Plan, nodes: Mapping[str, Node]) -> None:
    """Others may use the plan."""
    specs = [getattr(type(node), "spec", None) for node in nodes.values()]
    with _lock:
        _plans[key] = _Shared(plan, specs)
        if len(_plans) > PLANS_MAX:
            del _plans[next(iter(_plans))]


def given(nodes: Mapping[str, Node]) -> dict[str, Host]:
    """What runs in the places of a shared plan.

    Raises
    ------
    PipelineError
        E0309: a module that a class needs is not installed.
    """
    for node in nodes.values():
        _resolve.check_dependencies(type(node).__name__, type(node))
    return {id: _resolve.host_of(node) for id, node in nodes.items()}
