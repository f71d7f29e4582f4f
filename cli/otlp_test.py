"""`remotemedia run --otlp` from outside: what a collector gets, read by OpenTelemetry's own messages.

usage: otlp_test.py BINARY curl|no-curl

Prints TAP. Of what is not there (opentelemetry-proto) it skips the tests.
"""

import base64
import http.server
import json
import os
import pathlib
import subprocess
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tools"))
from tap import Skip, Tests  # noqa: E402

try:
    from google.protobuf.json_format import Parse
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
except ImportError:
    Parse = None

BINARY = os.path.abspath(sys.argv[1])
HAVE_CURL = sys.argv[2] == "curl"
DEADLINE_S = 60  # for a hang, not a measure
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
OUTER = "00f067aa0ba902b7"
TONE = "test.tone duration_ms=200 id=tone ! test.pass id=pass"
test = Tests()


def with_base64_ids(value):
    """OTLP's JSON has ids as hexadecimal text where protobuf's own has base64; the rest is equal."""
    if isinstance(value, list):
        return [with_base64_ids(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    ids = ("traceId", "spanId", "parentSpanId")
    return {
        key: base64.b64encode(bytes.fromhex(entry)).decode() if key in ids else with_base64_ids(entry)
        for key, entry in value.items()
    }


class Collector:
    """Takes what is posted to it. code: what it answers."""

    def __init__(self, code=200):
        posts = self.posts = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                posts.append((self.path, dict(self.headers), body))
                self.send_response(code)
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def read(self, path, message):
        if Parse is None:
            raise Skip("no opentelemetry-proto")
        bodies = [body for where, _, body in self.posts if where == path]
        assert bodies, self.posts
        return [Parse(json.dumps(with_base64_ids(json.loads(b))), message()) for b in bodies]

    def spans(self):
        requests = self.read("/v1/traces", ExportTraceServiceRequest)
        return [span for r in requests for resource in r.resource_spans
                for scope in resource.scope_spans for span in scope.spans]


def run(pipeline, url, **variables):
    return subprocess.run([BINARY, "run", "-q", pipeline, "--otlp", url], capture_output=True, text=True,
                          timeout=DEADLINE_S, env={**os.environ, **variables})


def attributes(row):
    return {a.key: a.value.string_value or a.value.int_value for a in row.attributes}


def need_curl():
    if not HAVE_CURL:
        raise Skip("no libcurl")


@test
def each_call_is_a_span_below_that_of_its_input():
    need_curl()
    with Collector() as collector:
        done = run(TONE, collector.url)
        assert done.returncode == 0 and done.stderr == "", done
        spans = collector.spans()
    whole = [s for s in spans if s.name == "remotemedia run"]
    tones = {s.span_id: s for s in spans if s.name == "tone"}
    passes = [s for s in spans if s.name == "pass"]
    assert len(whole) == 1 and len(passes) >= 10 and len(tones) == len(passes), spans
    assert {s.trace_id for s in spans} == {whole[0].trace_id} and len(whole[0].trace_id) == 16
    assert not whole[0].parent_span_id and whole[0].status.code == 1, whole
    for s in passes:
        above = tones[s.parent_span_id]
        assert above.parent_span_id == whole[0].span_id, above
        begin = whole[0].start_time_unix_nano
        assert begin <= above.start_time_unix_nano <= s.start_time_unix_nano, (begin, above, s)
        assert s.start_time_unix_nano <= s.end_time_unix_nano <= whole[0].end_time_unix_nano, s
        assert attributes(s) == {"remotemedia.node": "pass", "remotemedia.type": "test.pass"}, s


@test
def the_numbers_have_names_units_and_labels():
    need_curl()
    with Collector() as collector:
        done = run(TONE, collector.url)
        assert done.returncode == 0, done
        requests = collector.read("/v1/metrics", ExportMetricsServiceRequest)
    resource = requests[-1].resource_metrics[0]
    named = attributes(resource.resource)
    assert named["service.name"] == "remotemedia" and named["remotemedia.pipeline"] == "pipeline", named
    metrics = {m.name: m for m in resource.scope_metrics[0].metrics}
    items = metrics["remotemedia.node.items"].sum
    assert items.is_monotonic and items.aggregation_temporality == 2, items
    of = {attributes(p)["node"]: p.as_double for p in items.data_points}
    assert of["pass"] >= 10, of
    calls = metrics["remotemedia.node.call"]
    assert calls.unit == "s", calls
    quantiles = [q.quantile for q in calls.summary.data_points[0].quantile_values]
    assert quantiles == [0.5, 0.9, 0.99] and calls.summary.data_points[0].count > 0, calls
    assert metrics["remotemedia.edge"].unit == "By", metrics["remotemedia.edge"]
    assert {attributes(p)["reason"] for p in metrics["remotemedia.edge.dropped.packets"].sum.data_points} == {
        "full", "interrupt"}


@test
def the_run_is_part_of_the_trace_that_called_it():
    need_curl()
    with Collector() as collector:
        done = run(TONE, collector.url + "/", TRACEPARENT=f"00-{TRACE}-{OUTER}-01",
                   OTEL_SERVICE_NAME="ears", OTEL_EXPORTER_OTLP_HEADERS="x-key=a b,x-other=2")
        assert done.returncode == 0, done
        spans = collector.spans()
        headers = collector.posts[0][1]
    whole = next(s for s in spans if s.name == "remotemedia run")
    assert whole.trace_id.hex() == TRACE and whole.parent_span_id.hex() == OUTER, whole
    assert {s.trace_id.hex() for s in spans} == {TRACE}
    assert headers["x-key"] == "a b" and headers["x-other"] == "2", headers
    assert headers["Content-Type"] == "application/json", headers


@test
def what_is_not_sampled_is_not_sent():
    need_curl()
    with Collector() as collector:
        done = run(TONE, collector.url, TRACEPARENT=f"00-{TRACE}-{OUTER}-00")
        assert done.returncode == 0, done
        assert collector.spans() == []


@test
def a_run_that_fails_has_a_span_that_says_why():
    need_curl()
    with Collector() as collector:
        done = run("test.tone duration_ms=400000 ! json.write path=/dev/full id=write", collector.url)
        assert done.returncode == 1 and "warning" not in done.stderr, done
        spans = collector.spans()
    whole = next(s for s in spans if s.name == "remotemedia run")
    assert whole.status.code == 2 and "/dev/full" in whole.status.message, whole
    failed = [s for s in spans if s.name == "write" and s.status.code == 2]
    assert len(failed) == 1 and "No space left" in failed[0].status.message, failed


@test
def a_collector_that_is_away_is_a_warning():
    need_curl()
    done = run(TONE, "http://127.0.0.1:9")
    assert done.returncode == 0 and "warning: --otlp: http://127.0.0.1:9/v1/traces: " in done.stderr, done
    with Collector(code=404) as collector:
        done = run(TONE, collector.url)
        assert done.returncode == 0 and "/v1/traces answered 404" in done.stderr, done


@test
def what_is_no_url_or_no_context_is_an_error():
    need_curl()
    done = run(TONE, "localhost:4318")
    assert done.returncode == 2 and "--otlp is 'localhost:4318', want http://HOST:PORT" in done.stderr, done
    done = run(TONE, "http://127.0.0.1:9", TRACEPARENT="abc")
    assert done.returncode == 1 and "'abc' is no traceparent" in done.stderr, done


@test
def without_libcurl_the_option_is_refused():
    if HAVE_CURL:
        raise Skip("it is there")
    done = run(TONE, "http://127.0.0.1:9")
    assert done.returncode == 1 and "E0309" in done.stderr and "libcurl" in done.stderr, done


if __name__ == "__main__":
    sys.exit(test.run())
