"""Flows: nodes joined by ``>>``, as a `Pipeline` is made of.

::

    a >> b >> c                          a chain
    a >> [b, c]                          fan-out: both get each item
    merge(b, c) >> d                     fan-in, also [b, c] >> d; how="zip": one of each
    a["audio"] >> b["left"]              ports by name: before >> an output, behind it an input
    a >> Edge(policy="latest") >> b      how much may wait on an edge, and what then

A flow is a drawing of edges, it has no ids and checks nothing; `Pipeline.add` does. Behind ``>>`` may
stand whatever may stand before it: a node, a pipeline, a flow, or a list of these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, Union

from .errors import DANGLING, VALUE_NOT_ACCEPTABLE, PipelineError
from .node import Node

if TYPE_CHECKING:
    from .pipeline import Pipeline

__all__ = ["Edge", "Flow", "PortOf", "merge"]

Member: TypeAlias = Union[Node, "Pipeline"]
Part: TypeAlias = Union[Node, "Pipeline", "PortOf", "Flow"]
Merge: TypeAlias = str | Mapping[str, Any]


class _Joins:
    """What the operators of all parts have in common."""

    __slots__ = ()

    def __rshift__(self, other: Part | Edge | Sequence[Part]) -> Flow:
        return join(self, other)

    def __rrshift__(self, other: Sequence[Part]) -> Flow:
        return join(other, self)


class Edge(_Joins):
    """What goes over an edge, and how it queues: ``a >> Edge(capacity=4) >> b``.

    Parameters
    ----------
    capacity : int, mapping or None
        Packets that may wait on it, 1 to 65,536; or a mapping with ``packets``, ``bytes`` and
        ``grow_max``. None: 16 packets.
    policy : "block", "drop_oldest", "drop_newest", "latest" or None
        What happens when it is full. None: "block", what feeds it waits.
    when : mapping or None
        Which items go over it: ``{"field": "value.lang", "in": ["fr", "de"]}``. None: all. See the
        guide on how data flows.
    **fields
        Further fields of a connection in the manifest, as ``latency_ms_max`` and ``format``.
    """

    __slots__ = ("fields",)

    def __init__(
        self,
        *,
        capacity: int | Mapping[str, int] | None = None,
        policy: Literal["block", "drop_oldest", "drop_newest", "latest"] | None = None,
        when: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> None:
        given = {"capacity": capacity, "policy": policy, "when": when, **fields}
        self.fields: dict[str, Any] = {k: v for k, v in given.items() if v is not None}

    def __repr__(self) -> str:
        return f"Edge({', '.join(f'{k}={v!r}' for k, v in self.fields.items())})"


class PortOf(_Joins):
    """A port of a node or a pipeline by its name: what ``node["audio"]`` gives."""

    __slots__ = ("member", "port")

    def __init__(self, member: Member, port: str) -> None:
        if not isinstance(port, str):
            raise PipelineError(
                f"a port of {member!r} is named {port!r}, want str", code=VALUE_NOT_ACCEPTABLE
            )
        self.member = member
        self.port = port

    def __repr__(self) -> str:
        return f"{self.member!r}[{self.port!r}]"


class End(NamedTuple):
    """An open end of a flow: a node or pipeline, its port, and what is said of the edge there."""

    member: Member
    port: str | None = None
    fields: Mapping[str, Any] = {}


class Joint(NamedTuple):
    """An edge of a flow. ``branch`` is its number among the ``branches`` that meet at the target."""

    source: End
    target: End
    branch: int
    branches: int


class Flow(_Joins):
    """Nodes and the edges between them, as ``>>`` draws them. Immutable."""

    __slots__ = ("ends", "heads", "how", "joints", "members", "merges")

    def __init__(
        self,
        members: Sequence[Member],
        joints: Sequence[Joint] = (),
        heads: Sequence[End] = (),
        ends: Sequence[End] = (),
        merges: Sequence[tuple[Member, Merge]] = (),
        how: Merge | None = None,
    ) -> None:
        # A flow that stands in two branches is there once.
        self.members = tuple({id(member): member for member in members}.values())
        self.joints = tuple({id(joint): joint for joint in joints}.values())
        self.heads = _once(heads)  # what something before it feeds
        self.ends = _once(ends)  # what feeds something behind it
        self.merges = tuple(merges)
        self.how = how  # how the ends will meet

    def __repr__(self) -> str:
        return f"Flow({len(self.members)} nodes, {len(self.joints)} edges)"


def _once(ends: Sequence[End]) -> tuple[End, ...]:
    return tuple({(id(end.member), end.port): end for end in ends}.values())


def merge(*parts: Part, how: Merge | None = None) -> Flow:
    """Brings branches together: ``merge(b, c) >> d``.

    Where ``d`` has as many inputs as there are branches, each branch feeds one, in order, unless a
    port is named; else all feed its first input.

    Parameters
    ----------
    *parts : Node, Pipeline, Flow or port
        What feeds the node behind it.
    how : str, mapping or None
        The field ``merge`` of the node behind it: "any" takes items as they come, "priority" those of
        the first branch that has one, "zip" one of each, "sync" those of one time; or a mapping
        with ``policy``, ``tolerance_ms`` and ``wait_ms_max``. None: as that node says, else "any".

    Returns
    -------
    Flow
        To be followed by ``>>``.

    Raises
    ------
    PipelineError
        Nothing to merge, or a part that is no node.

    Examples
    --------
    >>> from remotemedia import Node, Pipeline, merge
    >>> class Add(Node):
    ...     def __init__(self, n):
    ...         self.n = n
    ...     def process(self, x):
    ...         return x + self.n
    >>> start, one, ten = Add(0), Add(1), Add(10)
    >>> sorted(Pipeline(start >> merge(one, ten) >> Add(100)).run_sync([1, 2]))
    [102, 103, 111, 112]
    """
    flow = _side_by_side(parts, _before)
    if how is None:
        return flow
    return Flow(flow.members, flow.joints, flow.heads, flow.ends, flow.merges, how)


# ---- joining


def join(left: Any, right: Any) -> Flow:
    """What ``left >> right`` is; NotImplemented where one of them is none of ours."""
    if isinstance(left, Edge):
        return _with_fields(_behind(right), left, heads=True)
    before = _before(left)
    if isinstance(right, Edge):
        return _with_fields(before, right, heads=False)
    behind = _behind(right)
    joints = [
        Joint(end, head, branch, len(before.ends))
        for head in behind.heads
        for branch, end in enumerate(before.ends)
    ]
    merges = [] if before.how is None else [(head.member, before.how) for head in behind.heads]
    return Flow(
        before.members + behind.members,
        (*before.joints, *behind.joints, *joints),
        before.heads,
        behind.ends,
        (*before.merges, *behind.merges, *merges),
        behind.how,
    )


def flow_of(part: Any) -> Flow:
    """A part as a flow of its own."""
    return _before(part)


def check_closed(flow: Flow) -> None:
    """Fails where an `Edge` or a ``how`` stands at an end, and leads to nothing."""
    for end in (*flow.heads, *flow.ends):
        if end.fields:
            raise PipelineError(
                f"{Edge(**end.fields)!r} beside {end.member!r} leads to nothing", code=DANGLING
            )
    if flow.how is not None:
        raise PipelineError(f"merge(how={flow.how!r}) is followed by nothing", code=DANGLING)


def _before(part: Any) -> Flow:
    """The part as what feeds something: a port of it is an output."""
    if isinstance(part, PortOf):
        return Flow((part.member,), (), (End(part.member),), (End(part.member, part.port),))
    return _part(part, _before)


def _behind(part: Any) -> Flow:
    """The part as what is fed by something: a port of it is an input."""
    if isinstance(part, PortOf):
        return Flow((part.member,), (), (End(part.member, part.port),), (End(part.member),))
    return _part(part, _behind)


def _part(part: Any, side: Any) -> Flow:
    if isinstance(part, Flow):
        return part
    if isinstance(part, (list, tuple)):
        return _side_by_side(part, side)
    if isinstance(part, Node) or _is_pipeline(part):
        return Flow((part,), (), (End(part),), (End(part),))
    what = f"the class {part.__name__}" if isinstance(part, type) else repr(part)
    raise PipelineError(
        f"{what} cannot be joined by >>",
        code=VALUE_NOT_ACCEPTABLE,
        help="join nodes, pipelines, or lists of these; a node type is Node('audio.level')",
    )


def _is_pipeline(part: Any) -> bool:
    from .pipeline import Pipeline

    return isinstance(part, Pipeline)


def _side_by_side(parts: Sequence[Any], side: Any) -> Flow:
    if not parts:
        raise PipelineError("nothing to join: the list is empty", code=VALUE_NOT_ACCEPTABLE)
    _check_no_part_twice(parts)
    flows = [side(part) for part in parts]
    hows = [flow.how for flow in flows if flow.how is not None]
    if any(how != hows[0] for how in hows):
        raise PipelineError(
            f"branches are to meet by {hows[0]!r} and by {hows[1]!r}", code=VALUE_NOT_ACCEPTABLE
        )

    def all_of(name: str) -> list[Any]:
        return [row for flow in flows for row in getattr(flow, name)]

    return Flow(
        all_of("members"),
        all_of("joints"),
        all_of("heads"),
        all_of("ends"),
        all_of("merges"),
        hows[0] if hows else None,
    )


def _check_no_part_twice(parts: Sequence[Any]) -> None:
    seen = set()
    for part in parts:
        key = (id(part.member), part.port) if isinstance(part, PortOf) else (id(part), None)
        if key in seen:
            raise PipelineError(
                f"{part!r} stands twice in one list",
                code=VALUE_NOT_ACCEPTABLE,
                help="one object is one node; make a second one",
            )
        seen.add(key)


def _with_fields(flow: Flow, edge: Edge, *, heads: bool) -> Flow:
    """The flow, its open ends at one side with what an `Edge` says of them."""

    def said(ends: Sequence[End]) -> list[End]:
        return [end._replace(fields={**end.fields, **edge.fields}) for end in ends]

    return Flow(
        flow.members,
        flow.joints,
        said(flow.heads) if heads else flow.heads,
        flow.ends if heads else said(flow.ends),
        flow.merges,
        flow.how,
    )
