"""What looks on while a pipeline runs: its numbers, events, spans, and the errors of skipped items."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from . import _core
from .errors import dealt_error

if TYPE_CHECKING:
    from ._memory import MemoryRows, Tracer
    from .events import Feed
    from .otel import FollowedRun
    from .pipeline import Pipeline

ERRORS_MAX = 1000


def _log(level: int, topic: str, message: str) -> None:
    import logging

    levels = (logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG)
    logging.getLogger(f"remotemedia.{topic}").log(levels[min(level, 4) - 1], "%s", message)


class Watch:
    """Keeps an eye on the session of one run: its numbers, and the errors of skipped items."""

    __slots__ = ("_feed", "_followed", "_pipeline", "_replay", "_session", "_tracer", "ids")

    def __init__(self, pipeline: Pipeline, replay: str | None = None) -> None:
        self._replay = replay  # a record that is run again
        self._pipeline = pipeline
        self.ids = list(pipeline.node_ids)  # a change of the session adds to them
        self._session: _core.Session | None = None
        self._feed: Feed | None = None
        self._followed: FollowedRun | None = None
        self._tracer: Tracer | None = None
        if pipeline._listeners:
            self.feed()

    def feed(self) -> Feed:
        """Who takes events to those who asked for them before the run began."""
        if self._feed is None:
            from .events import Feed

            listeners, self._pipeline._listeners = self._pipeline._listeners, []
            self._feed = Feed(listeners, self.ids)
            if self._session is not None:
                self._feed.connect(self._session)
        return self._feed

    def options(self) -> dict[str, Any]:
        """What a run needs for it."""
        if self._pipeline.trace_memory:
            from ._memory import Tracer

            self._tracer = Tracer()
        return {
            "trace": self._tracer,
            "memory_bytes_max": self._pipeline.memory_bytes_max,
            "keep": self._keep(),
            "news": self._made if self._feed or self._pipeline._telemetry else None,
            "on_session": self.opened,
        }

    def _keep(self) -> dict[str, Any]:
        folder, record = self._pipeline.checkpoint, self._pipeline.record
        kept: dict[str, Any] = {"record": os.fspath(record)} if record else {}
        if folder and not self._replay:
            _core.set_log(_log, "off,engine:warning")  # what only it tells of checkpoints
            kept["checkpoint"] = os.fspath(folder)
            kept["checkpoint_interval_ms"] = self._pipeline.checkpoint_interval_ms
        return {"replay": self._replay} if self._replay else kept

    def _made(self, session: _core.Session) -> None:
        """There is a session, and it is about to be opened."""
        if self._feed is not None:
            self._feed.connect(session)
        telemetry = self._pipeline._telemetry
        if telemetry is not None:
            self._followed = telemetry._begin(session, self._pipeline.name)

    def opened(self, session: _core.Session) -> None:
        self._session = session
        self._pipeline._sessions.append(session)
        if self._tracer is not None:
            tracers = self._pipeline._tracers = self._pipeline._tracers or {}
            tracers[session] = self._tracer
        if self._pipeline.enable_metrics:
            session.announce(self._pipeline.name)

    def memory(self) -> MemoryRows:
        """What the nodes hold; None: it is not counted."""
        return None if self._tracer is None else self._tracer.rows()

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self.ended(error)
        self.closed()

    def closed(self) -> None:
        """Nothing more will happen; twice is fine."""
        self._end_followed(None, None)  # that never was open
        feed, self._feed = self._feed, None
        if feed is not None:
            feed.close()

    def _end_followed(self, last: _core.Numbers | None, error: BaseException | None) -> None:
        followed, self._followed = self._followed, None
        if followed is not None:
            followed.end(last, error)

    def ended(self, error: BaseException | None = None) -> None:
        """Takes the last numbers; twice is fine."""
        session, self._session = self._session, None
        if session is None:
            return
        pipeline = self._pipeline
        pipeline._sessions.remove(session)
        if self._tracer is not None and pipeline._tracers:
            pipeline._tracers.pop(session, None)
        pipeline._last_numbers = session.numbers(), self.ids, self.memory()
        self._end_followed(pipeline._last_numbers[0], error)
        room = ERRORS_MAX - len(pipeline.errors)
        for row in session.take_errors()[: max(0, room)]:
            pipeline.errors.append(dealt_error(pipeline._policy_of(row[1]), *row))
