"""Runs as traces and numbers of OpenTelemetry. Needs ``remotemedia[otel]``.

::

    with Telemetry(OTLPSpanExporter(), MeterProvider([...])) as telemetry:
        telemetry.follow(pipeline)
        pipeline.run_sync(items)

An item's way through the graph is a trace: each call of a node is a span below that of the call which
made its input. At the root is the run's own span, below the span that is current where the run
begins. An item whose metadata have a W3C ``traceparent`` stays in that trace.

The exporter is called on a thread of the telemetry's own, so that a slow one holds no run up.
"""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, Status, StatusCode, TraceFlags

from . import _core

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType

    from opentelemetry.metrics import MeterProvider
    from opentelemetry.sdk.trace.export import SpanExporter

    from .pipeline import Pipeline

__all__ = ["Telemetry"]

# Spans are exported each so many seconds, and at the end.
EXPORT_S = 5.0
# The numbers of a run on an event loop are taken each so many seconds.
NUMBERS_S = 1.0
SPANS_A_CALL = 512

# Instruments by what they tell of a node and an edge: key, name, unit, what.
NODE_COUNTERS = (
    ("items", "remotemedia.node.items", "{item}", "Inputs that the node is done with"),
    ("emitted", "remotemedia.node.emitted", "{packet}", "Packets that the node emitted"),
    ("errors", "remotemedia.node.errors", "{call}", "Calls that failed"),
    ("retries", "remotemedia.node.retries", "{item}", "Items that were tried again"),
    ("skipped", "remotemedia.node.skipped", "{item}", "Items that a policy skipped"),
    ("time_s", "remotemedia.node.call.time", "s", "Time in calls of the node"),
)
EDGE_COUNTERS = (
    ("packets", "remotemedia.edge.packets", "{packet}", "Packets that went over the edge"),
    ("bytes", "remotemedia.edge.io", "By", "Their payload"),
    ("drops", "remotemedia.edge.dropped", "{packet}", "Packets that were dropped"),
)

Labels = tuple[tuple[str, str], ...]
Numbers = dict[tuple[str, Labels], float]


class Telemetry:
    """Sends spans and numbers of the pipelines that it follows.

    Parameters
    ----------
    spans : opentelemetry.sdk.trace.export.SpanExporter or None
        Where spans go, as an ``OTLPSpanExporter``. None: there are none.
    meters : opentelemetry.metrics.MeterProvider or None
        Whose meter has the numbers. None: there are none. Those of a run without an event loop come
        when it has ended.
    resource : opentelemetry.sdk.resources.Resource or None
        Of the spans. None: `Resource.create()`, which reads ``OTEL_SERVICE_NAME``.
    spans_max : int
        How many wait for the exporter at most, 1 to 1,048,576; the oldest are left out.

    Notes
    -----
    Use it by ``with``: leaving the block waits until all that is there is exported. Threads: any.
    Where spans are wanted each call of a node is timed, and a node gets one item a call.
    """

    def __init__(
        self,
        spans: SpanExporter | None = None,
        meters: MeterProvider | None = None,
        *,
        resource: Resource | None = None,
        spans_max: int = 16384,
    ) -> None:
        self._exporter = spans
        self._resource = resource or Resource.create()
        self._scope = InstrumentationScope("remotemedia", _core.__version__)
        self._spans_max = spans_max
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._runs: list[FollowedRun] = []
        self._waiting: list[ReadableSpan] = []
        self._past: Numbers = {}
        self._thread: threading.Thread | None = None
        if meters is not None:
            self._make_instruments(meters)

    def follow(self, pipeline: Pipeline) -> Pipeline:
        """Follows the runs of a pipeline that begin from now on; returns it."""
        pipeline._telemetry = self
        return pipeline

    def __enter__(self) -> Telemetry:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Exports what is left, and ends the thread; twice is fine. Runs are not followed any more."""
        self._over.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()
        self._export()

    # ---- called by a run

    def _begin(self, session: Any, name: str) -> FollowedRun:
        """Before the session is opened."""
        if self._exporter is not None and not self._over.is_set():
            outer = trace.get_current_span().get_span_context()
            session.follow(self._spans_max, _traceparent(outer) if outer.is_valid else None)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._export_now_and_then, name="remotemedia-otel", daemon=True
                )
                self._thread.start()
        run = FollowedRun(self, session, name)
        with self._lock:
            self._runs.append(run)
        return run

    def _end(self, run: FollowedRun, numbers: Numbers, error: BaseException | None) -> None:
        """Once it has ended, while its numbers can still be asked."""
        spans = self._take(run, ended=True, error=error)
        with self._lock:
            self._runs.remove(run)
            self._waiting += spans
            for key, value in numbers.items():
                self._past[key] = self._past.get(key, 0) + value

    # ---- spans

    def _export_now_and_then(self) -> None:
        while not self._over.wait(EXPORT_S):
            self._export()

    def _export(self) -> None:
        with self._lock:
            runs = list(self._runs)
        for run in runs:
            spans = self._take(run)
            with self._lock:
                self._waiting += spans
        with self._lock:
            spans, self._waiting = self._waiting[-self._spans_max :], []
        exporter = self._exporter
        if exporter is not None:
            for at in range(0, len(spans), SPANS_A_CALL):
                exporter.export(spans[at : at + SPANS_A_CALL])

    def _take(
        self, run: FollowedRun, ended: bool = False, error: BaseException | None = None
    ) -> list[ReadableSpan]:
        if self._exporter is None:
            return []
        with run.lock:
            try:
                told = run.told = json.loads(run.session.spans())
            except RuntimeError:  # it never was opened; or all was taken since it closed
                told = {**run.told, "spans": []}
        if "trace_id" not in told:
            return []
        spans = [self._node_span(span) for span in told["spans"]]
        if ended and told["sampled"]:
            spans.append(self._run_span(told, run.name, error))
        return spans

    def _node_span(self, span: dict[str, Any]) -> ReadableSpan:
        error = span.get("error")
        return self._span(
            span,
            span["node"],
            {"remotemedia.node": span["node"], "remotemedia.type": span["type"]},
            Status(StatusCode.ERROR, error) if error is not None else Status(),
            span["end_unix_ns"],
        )

    def _run_span(
        self, told: dict[str, Any], name: str, error: BaseException | None
    ) -> ReadableSpan:
        status = Status(StatusCode.ERROR, str(error)) if error else Status(StatusCode.OK)
        attributes = {"remotemedia.pipeline": name}
        return self._span(told, "remotemedia run", attributes, status, told["now_unix_ns"])

    def _span(
        self,
        told: dict[str, Any],
        name: str,
        attributes: dict[str, str],
        status: Status,
        end_ns: int,
    ) -> ReadableSpan:
        parent = told.get("parent_span_id")
        return ReadableSpan(
            name,
            context=_context(told["trace_id"], told["span_id"]),
            parent=_context(told["trace_id"], parent) if parent else None,
            resource=self._resource,
            attributes=attributes,
            status=status,
            start_time=told["begin_unix_ns"],
            end_time=end_ns,
            instrumentation_scope=self._scope,
        )

    # ---- numbers

    def _make_instruments(self, meters: MeterProvider) -> None:
        meter = meters.get_meter("remotemedia", _core.__version__)
        for _, name, unit, what in NODE_COUNTERS + EDGE_COUNTERS:
            meter.create_observable_counter(name, [self._observer(name)], unit, what)

    def _observer(self, name: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def observe(_: CallbackOptions) -> Iterator[Observation]:
            with self._lock:
                sums = {k: v for k, v in self._past.items() if k[0] == name}
                for run in self._runs:
                    for key, value in run.numbers.items():
                        if key[0] == name:
                            sums[key] = sums.get(key, 0) + value
            for key, value in sums.items():
                yield Observation(value, dict(key[1]))

        return observe


class FollowedRun:
    """One run that is followed."""

    def __init__(self, telemetry: Telemetry, session: Any, name: str) -> None:
        self.session = session
        self.name = name
        self.numbers: Numbers = {}
        self.lock = threading.Lock()
        self.told: dict[str, Any] = {}
        self._telemetry = telemetry
        self._timer: Any = None
        self._take_now_and_then()

    def _take_now_and_then(self) -> None:
        """On the run's own event loop, where it has one."""
        import sys

        events = sys.modules.get("asyncio.events")
        loop = events._get_running_loop() if events is not None else None
        if loop is not None:
            self._timer = loop.call_later(NUMBERS_S, self._take_and_go_on)

    def _take_and_go_on(self) -> None:
        try:
            self.numbers = numbers_of(json.loads(self.session.numbers().json()), self.name)
        except RuntimeError:  # not open yet
            pass
        self._take_now_and_then()

    def end(self, last: _core.Numbers | None, error: BaseException | None) -> None:
        """last: the numbers as it ended; None: it never was open."""
        if self._timer is not None:
            self._timer.cancel()
        numbers = numbers_of(json.loads(last.json()), self.name) if last is not None else {}
        self._telemetry._end(self, numbers, error)


def numbers_of(raw: dict[str, Any], pipeline: str) -> Numbers:
    """What the instruments show of the metrics of a run."""
    numbers: Numbers = {}
    for node in raw["nodes"]:
        labels = (("pipeline", pipeline), ("node", node["id"]), ("type", node["type"]))
        told = {**node, "time_s": node.get("time", {}).get("sum_ns", 0) / 1e9}
        for key, name, _, _ in NODE_COUNTERS:
            numbers[name, labels] = told.get(key, 0)
    for edge in raw["edges"]:
        way = f"{edge['from']}.{edge['from_port']}->{edge['to']}.{edge['to_port']}"
        for key, name, _, _ in EDGE_COUNTERS:
            numbers[name, (("pipeline", pipeline), ("edge", way))] = edge[key]
    return numbers


def _context(trace_id: str, span_id: str) -> SpanContext:
    sampled = TraceFlags(TraceFlags.SAMPLED)
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=False, trace_flags=sampled)


def _traceparent(context: SpanContext) -> str:
    """Source: W3C Trace Context, section 3.2."""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
