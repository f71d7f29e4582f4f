"""Changes of a pipeline while a session of it runs: all of them take effect at once, or none does.

::

    async with session.change() as change:
        change.replace("tts", NewVoice(speed=1.2))
        change.insert(Node("audio.level", id="level"), after="tts")
        change.remove("old")

See docs/guide/live-change.md.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeAlias

from . import _drive, _resolve
from ._graph import GraphBuilder, live_number, params_json
from .errors import DUPLICATE, PipelineError, SerializationError
from .node import Node, TypedNode

if TYPE_CHECKING:
    from types import TracebackType

    from ._host import Host
    from .session import Session

__all__ = ["Change"]

# What is said, up to three texts, and parameters as objects.
_Word: TypeAlias = tuple[str, str | None, str | None, str | None, dict[str, Any] | None]


def _params_text(params: dict[str, Any]) -> tuple[str | None, str | None]:
    """The parameters as a manifest has them, or None and why it can't."""
    try:
        return json.dumps(params_json(params)), None
    except SerializationError as error:
        return None, error.message


class Change:
    """What is to be different in a running session. Leaving the ``async with`` block makes it so.

    If the block raises, or the change is refused, the session goes on as it was; the pipeline that it
    was opened from, and other sessions of that, never change. A node that comes in is initialized
    before it takes part, one that went out is cleaned up by the end of the block. Nodes that run are
    named by their ids, Python nodes also by themselves. Threads: the session's event loop.

    Attributes
    ----------
    pause_ns : int
        How long the session stood still, once the change is made.

    Raises
    ------
    NodeError
        At the end of the block: ``initialize`` of a new node failed, a node that goes failed in
        what it does at its end (``flush``, ``save``, ``load``), or one refused its parameters.
    PipelineError
        At the end of the block: the new graph cannot be planned, or the moment for the change did not
        come within 2 s.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._words: list[_Word] = []
        self._new_ids: list[str] = []
        self._given: dict[str, Host] = {}
        self._places: list[_resolve.Place] = []  # alive until they are planned
        self.pause_ns = 0

    def _say(
        self, name: str, *texts: str | None, params: dict[str, Any] | None = None
    ) -> None:
        first, second, third = (*texts, None, None, None)[:3]
        self._words.append((name, first, second, third, params))

    def replace(self, id: str | Node, node: Node) -> None:
        """Puts a node in the place of another, with its id and its connections.

        Of two Python nodes of one class, or of one that derives from the other's, the new one gets
        by ``load(state)`` what ``save()`` of the old one gives, where they have these methods. Else
        the old one's ``flush()`` is called.
        """
        known = self._id(id)
        self._say("replace", known, self._entry(known, node))

    def insert(
        self, node: Node, *, after: str | Node | None = None, before: str | Node | None = None
    ) -> None:
        """Puts a node with an id behind one, before one, or between the two."""
        ends = (None if end is None else self._id(end) for end in (after, before))
        self._say("insert", self._new(node), *ends)

    def add(self, node: Node) -> None:
        """Adds a node with an id, to be connected."""
        self._say("add", self._new(node))

    def remove(self, id: str | Node) -> None:
        """Takes a node out: what feeds it feeds its consumers."""
        self._say("remove", self._id(id))

    def connect(
        self,
        source: str | Node,
        target: str | Node,
        *,
        from_port: str | None = None,
        to_port: str | None = None,
    ) -> None:
        """Connects two nodes."""
        names = {"from": self._id(source), "to": self._id(target)}
        ends = names | {"from_port": from_port, "to_port": to_port}
        self._say("connect", json.dumps({k: v for k, v in ends.items() if v is not None}))

    def disconnect(self, source: str | Node, target: str | Node) -> None:
        """Takes away all connections between two nodes."""
        self._say("disconnect", self._id(source), self._id(target))

    def set_params(self, id: str | Node, /, **params: Any) -> None:
        """Sets parameters of a node, all of them between the same two packets.

        Of a Python object its method ``set_params(**params)`` is called once nothing else can refuse
        the change, between two of its items; values may be any objects, and what it raises refuses the
        change. Where several objects get parameters, all but the last need attributes of these names:
        those are what an object gets back where a later one refuses. A node that is given by its type
        is replaced by one of its type where one of them is not live, or the type is Python.
        """
        known = self._id(id)
        self._say("params", known, *_params_text(params), params=params)

    def _id(self, which: str | Node) -> str:
        if isinstance(which, str):
            return which
        for id, host in self._given.items():
            if host.node is which:
                return id
        known = self._session._id_of(which)
        if known is None:
            raise PipelineError(f"{which!r} is not in this session")
        return known

    def _new(self, node: Node) -> str:
        if isinstance(node, Node) and node.id is None:
            raise PipelineError(
                f"the new node ({node.node_type}) has no id", help="give it one: id=…"
            )
        entry = self._entry(str(getattr(node, "id", None)), node)
        self._new_ids.append(str(node.id))
        return entry

    def _entry(self, id: str, node: Node) -> str:
        if not isinstance(node, Node):
            raise PipelineError(f"a node is a {type(node).__name__}, want a Node")
        on_error = self._session._pipeline.on_error
        entry = GraphBuilder()._node_entry(id, node, True, on_error)
        if not isinstance(node, TypedNode):
            entry["code"] = {"$python": self._place(id, node)}
        return json.dumps(entry)

    def _place(self, id: str, node: Node) -> int:
        known = self._session._opened().has(node)
        known = next((at for at, host in self._given.items() if host.node is node), known)
        if known is not None:
            raise PipelineError(
                f"{node!r} is in this session already, as '{known}'",
                code=DUPLICATE,
                help="one object is one node: make a second one",
            )
        self._given[id] = _resolve.host_of(node)
        self._places.append(_resolve.Place(node))
        return live_number(self._places[-1])

    async def __aenter__(self) -> Change:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None and self._words:
            await self._commit()

    async def _commit(self) -> None:
        stream, ids = self._session._opened(), self._session._watch.ids
        fresh = [id for id in self._new_ids if id not in ids]
        ids += fresh  # before the first event of one of them
        try:
            self.pause_ns = await stream.change(self._words, self._given)
        except BaseException as error:
            for id in fresh:
                ids.remove(id)
            if isinstance(error, _drive.Untimely):
                raise PipelineError(str(error)) from None
            raise
        finally:
            self._places.clear()
            self._given.clear()
