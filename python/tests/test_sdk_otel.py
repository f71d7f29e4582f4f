"""A run as OpenTelemetry sees it: spans in the SDK's own exporters, and what a collector gets by OTLP."""

import asyncio
import http.server
import threading

import pytest

pytest.importorskip("opentelemetry.sdk")

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from remotemedia import Audio, Node, NodeError, Pipeline
from remotemedia.otel import Telemetry

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
OUTER = "00f067aa0ba902b7"


class Double(Node):
    def process(self, x):
        return 2 * x


class Later(Node):
    async def process(self, x):
        await asyncio.sleep(0)
        return x + 1


class Bad(Node):
    def process(self, x):
        if x == 4:
            raise ValueError("four is bad")
        return x


def by_name(spans):
    named = {}
    for span in spans:
        named.setdefault(span.name, []).append(span)
    return named


def followed(pipeline, items, run=None):
    """What the run gave, and its spans."""
    exporter = InMemorySpanExporter()
    with Telemetry(exporter) as telemetry:
        result = (run or Pipeline.run_sync)(telemetry.follow(pipeline), items)
    return result, by_name(exporter.get_finished_spans())


def run_on_a_loop(pipeline, items):
    return asyncio.run(pipeline.run(items))


@pytest.mark.parametrize("run", [Pipeline.run_sync, run_on_a_loop])
def test_each_item_is_a_chain_of_spans_below_the_runs(run):
    pipeline = Pipeline("talk", [Double(name="double"), Later(name="later")])
    result, spans = followed(pipeline, [1, 2, 3], run)
    assert result == [3, 5, 7]
    (whole,) = spans["remotemedia run"]
    assert whole.parent is None and whole.status.status_code is StatusCode.OK
    assert whole.attributes == {"remotemedia.pipeline": "talk"}
    assert len(spans["double"]) == len(spans["later"]) == 3
    doubles = {span.context.span_id: span for span in spans["double"]}
    assert {span.parent.span_id for span in spans["later"]} == set(doubles)
    for span in [*spans["double"], *spans["later"]]:
        assert span.context.trace_id == whole.context.trace_id
        assert whole.start_time <= span.start_time <= span.end_time <= whole.end_time
        assert span.attributes["remotemedia.node"] == span.name


def test_the_run_is_below_the_span_that_is_current():
    provider, exporter = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("test")

    class Inner(Node):
        def process(self, x):
            with tracer.start_as_current_span("inside"):
                return x

    with Telemetry(exporter) as telemetry:
        pipeline = telemetry.follow(Pipeline("p", [Inner(name="inner")]))
        with tracer.start_as_current_span("outside") as outside:
            pipeline.run_sync([1])
    spans = by_name(exporter.get_finished_spans())
    above = outside.get_span_context()
    (whole,), (inside,) = spans["remotemedia run"], spans["inside"]
    assert whole.parent.span_id == above.span_id and whole.context.trace_id == above.trace_id
    assert inside.context.trace_id == above.trace_id


def test_an_item_stays_in_the_trace_that_it_brings():
    metadata = {"traceparent": f"00-{TRACE}-{OUTER}-01"}
    import numpy

    items = [
        Audio(numpy.zeros(160, "f4"), 16000, metadata=metadata),
        Audio(numpy.zeros(160, "f4"), 16000),
    ]
    pipeline = Pipeline("p", [Node("test.pass", id="pass"), Node("audio.level", id="level")])
    _, spans = followed(pipeline, items)
    (whole,) = spans["remotemedia run"]
    ids = [format(span.context.trace_id, "032x") for span in spans["pass"]]
    assert ids == [TRACE, format(whole.context.trace_id, "032x")]
    assert format(spans["pass"][0].parent.span_id, "016x") == OUTER


def test_a_node_that_fails_and_a_run_that_fails_say_why():
    pipeline = Pipeline("p", [Double(name="double"), Bad(name="bad")])
    exporter = InMemorySpanExporter()
    with Telemetry(exporter) as telemetry, pytest.raises(NodeError):
        telemetry.follow(pipeline).run_sync([1, 2, 3])
    spans = by_name(exporter.get_finished_spans())
    (whole,) = spans["remotemedia run"]
    failed = [s for s in spans["bad"] if s.status.status_code is StatusCode.ERROR]
    assert whole.status.status_code is StatusCode.ERROR and "four is bad" in whole.status.description
    assert len(failed) == 1 and "four is bad" in failed[0].status.description


def test_a_two_way_session_is_followed():
    async def main(telemetry):
        async with telemetry.follow(Pipeline("p", [Double(name="double")])).open() as session:
            await session.push(1)
            await session.push(2)
            session.end()
            return [x async for x in session]

    exporter = InMemorySpanExporter()
    with Telemetry(exporter) as telemetry:
        assert asyncio.run(main(telemetry)) == [2, 4]
    spans = by_name(exporter.get_finished_spans())
    assert len(spans["double"]) == 2 and len(spans["remotemedia run"]) == 1


def test_a_two_way_session_that_fails_says_why():
    async def main(telemetry):
        async with telemetry.follow(Pipeline("p", [Bad(name="bad")])).open() as session:
            await session.push(4)
            session.end()
            async for _ in session:
                pass

    exporter = InMemorySpanExporter()
    with Telemetry(exporter) as telemetry, pytest.raises(NodeError):
        asyncio.run(main(telemetry))
    (whole,) = by_name(exporter.get_finished_spans())["remotemedia run"]
    assert whole.status.status_code is StatusCode.ERROR and "four is bad" in whole.status.description


def test_numbers_add_up_over_runs():
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    pipeline = Pipeline("p", [Double(name="double")])
    with Telemetry(meters=provider) as telemetry:
        telemetry.follow(pipeline)
        pipeline.run_sync([1, 2])
        pipeline.run_sync([3])
        (resource,) = reader.get_metrics_data().resource_metrics
    metrics = {metric.name: metric for metric in resource.scope_metrics[0].metrics}
    items = {
        point.attributes["node"]: point.value
        for point in metrics["remotemedia.node.items"].data.data_points
    }
    assert items["double"] == 3
    assert metrics["remotemedia.node.items"].data.is_monotonic
    assert metrics["remotemedia.node.call.time"].unit == "s"
    edges = {p.attributes["edge"] for p in metrics["remotemedia.edge.packets"].data.data_points}
    assert any(edge.startswith("double.") for edge in edges)


def test_a_pipeline_that_cannot_be_planned_leaves_nothing():
    exporter = InMemorySpanExporter()
    with Telemetry(exporter) as telemetry:
        pipeline = telemetry.follow(Pipeline("p", [Node("wav.read", path="/nowhere/a.wav")]))
        with pytest.raises(Exception, match="nowhere"):
            pipeline.run_sync()
        assert telemetry._runs == []
    assert exporter.get_finished_spans() == ()


def test_a_collector_gets_them_by_otlp():
    got = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                import gzip

                body = gzip.decompress(body)
            got.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        exporter = OTLPSpanExporter(f"http://127.0.0.1:{server.server_port}/v1/traces")
        resource = Resource.create({"service.name": "ears"})
        with Telemetry(exporter, resource=resource) as telemetry:
            telemetry.follow(Pipeline("p", [Double(name="double")])).run_sync([1, 2])
    finally:
        server.shutdown()
        server.server_close()
    (resource,) = got[0].resource_spans
    names = [span.name for scope in resource.scope_spans for span in scope.spans]
    assert sorted(names).count("double") == 2 and "remotemedia run" in names
    services = [a.value.string_value for a in resource.resource.attributes if a.key == "service.name"]
    assert services == ["ears"]
