"""Changes of a pipeline while a session of it runs: all of them take effect at once, or none does.

::

    async with session.change() as change:
        change.replace("resample", Node("audio.resample", rate_hz=16000))
        change.insert(Node("audio.level", id="level"), after="resample")
        change.remove("old")

See docs/guide/live-change.md.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from ._graph import GraphBuilder
from .errors import PipelineError
from .node import TypedNode

if TYPE_CHECKING:
    from types import TracebackType

    from .node import Node
    from .session import Session

__all__ = ["Change"]

_TRY_S = 2.0
_PAUSE_S = 0.0005


class Change:
    """What is to be different in a running session. Leaving the ``async with`` block makes it so.

    If the block raises, or the change is refused, the session goes on as it was. Threads: the
    session's event loop.

    Attributes
    ----------
    pause_ns : int
        How long the session stood still, once the change is made.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._words: list[tuple[str, str | None, str | None, str | None]] = []
        self._new_ids: list[str] = []
        self.pause_ns = 0

    def _say(self, name: str, *texts: str | None) -> None:
        first, second, third = (*texts, None, None, None)[:3]
        self._words.append((name, first, second, third))

    def replace(self, id: str, node: Node) -> None:
        """Puts a native node in the place of another, with its connections."""
        self._say("replace", id, _entry(id, node))

    def insert(self, node: Node, *, after: str | None = None, before: str | None = None) -> None:
        """Puts a native node with an id behind one, before one, or between the two."""
        self._say("insert", self._new(node), after, before)

    def add(self, node: Node) -> None:
        """Adds a native node with an id, to be connected."""
        self._say("add", self._new(node))

    def _new(self, node: Node) -> str:
        entry = _entry(node.id, node)
        self._new_ids.append(str(node.id))
        return entry

    def remove(self, id: str) -> None:
        """Takes a node out: what feeds it feeds its consumers."""
        self._say("remove", id)

    def connect(
        self, source: str, target: str, *, from_port: str | None = None, to_port: str | None = None
    ) -> None:
        """Connects two nodes."""
        ends = {"from": source, "to": target, "from_port": from_port, "to_port": to_port}
        self._say("connect", json.dumps({k: v for k, v in ends.items() if v is not None}))

    def disconnect(self, source: str, target: str) -> None:
        """Takes away all connections between two nodes."""
        self._say("disconnect", source, target)

    def set_params(self, id: str, **params: Any) -> None:
        """Sets parameters of a native node. If one of them is not live, the node is replaced.

        Those of Python nodes are set by `Session.set_params`.
        """
        self._say("params", id, json.dumps(params))

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
        session = self._session._opened().session
        loop = asyncio.get_running_loop()
        until = loop.time() + _TRY_S
        result = session.change(self._words)
        while isinstance(result, str):  # not now: the session has to go on a little
            if loop.time() > until:
                raise PipelineError(f"the change could not be made within {_TRY_S:g} s: {result}")
            await asyncio.sleep(_PAUSE_S)
            result = session.change(None)
        self.pause_ns = result or 0
        self._session._watch.ids.extend(self._new_ids)


def _entry(id: str | None, node: Node) -> str:
    if not isinstance(node, TypedNode):
        raise PipelineError(
            f"node '{node.name}' is a Python node: it can't come into a session that runs",
            help='native nodes can: Node("audio.resample", …)',
        )
    if id is None:
        raise PipelineError(f"the new node ({node.node_type}) has no id", help="give it one: id=…")
    return json.dumps(GraphBuilder()._node_entry(id, node, True, None))
