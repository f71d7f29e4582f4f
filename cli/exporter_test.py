"""`remotemedia run --metrics-port` from outside: scraped by hand, read by Prometheus' own parsers, and by a
real Prometheus where one was unpacked.

usage: exporter_test.py BINARY http|no-http [PROMETHEUS]    PROMETHEUS: the folder of Debian's package, unpacked

Prints TAP. Of what is not there (prometheus_client, Prometheus) it skips the tests.
"""

import concurrent.futures
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tools"))
from tap import Skip, Tests  # noqa: E402

try:
    from prometheus_client.parser import text_string_to_metric_families
except ImportError:
    text_string_to_metric_families = None

BINARY = os.path.abspath(sys.argv[1])
HAVE_HTTP = sys.argv[2] == "http"
PROMETHEUS = pathlib.Path(sys.argv[3] if len(sys.argv) > 3 else "/absent").absolute() / "usr/bin"
DEADLINE_S = 60  # for a hang, not a measure
ENDLESS = "test.tone duration_ms=0 paced=true id=tone ! test.pass id=pass"
test = Tests()


def get(url, method="GET"):
    """(status, type, text)."""
    request = urllib.request.Request(url, method=method)
    try:
        with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers["Content-Type"], error.read().decode()


class Run:
    """A run with a port that it chose."""

    def __init__(self, pipeline=ENDLESS, *words):
        self.log = tempfile.NamedTemporaryFile()
        self.process = subprocess.Popen(
            [BINARY, "run", "-q", "--metrics-port", "0", pipeline, *words],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=self.log)

    def __enter__(self):
        def line():
            return re.search(r"^metrics: (http://127\.0\.0\.1:(\d+))/metrics$", self.err(), re.M)
        until = time.monotonic() + DEADLINE_S
        while not line():
            assert self.process.poll() is None and time.monotonic() < until, self.err()
            time.sleep(0.01)
        self.url, self.port = line()[1], int(line()[2])
        while get(self.url + "/readyz")[0] != 200:
            assert time.monotonic() < until, self.err()
            time.sleep(0.01)
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait(DEADLINE_S)
        self.process.stdin.close()
        self.log.close()

    def err(self):
        return pathlib.Path(self.log.name).read_text()

    def scrape(self):
        status, kind, text = get(self.url + "/metrics")
        assert status == 200 and kind == "text/plain; version=0.0.4; charset=utf-8", (status, kind)
        return text


def value(text, name, **labels):
    """Of the one row that has these labels."""
    rows = [line for line in text.splitlines() if re.match(rf"{name}[{{ ]", line)
            and all(f'{k}="{v}"' in line for k, v in labels.items())]
    assert len(rows) == 1, (name, labels, rows)
    return float(rows[0].rsplit(" ", 1)[1])


@test
def a_scrape_has_counters_of_nodes_and_edges_that_grow():
    with Run() as run:
        text = run.scrape()
        first = value(text, "remotemedia_node_items_total", node="pass", type="test.pass")
        until = time.monotonic() + DEADLINE_S
        while value(text, "remotemedia_node_items_total", node="pass") < first + 10:
            assert time.monotonic() < until, text
            text = run.scrape()
        packets = value(text, "remotemedia_edge_packets_total", edge="tone.audio->pass.in")
        assert value(text, "remotemedia_edge_bytes_total", edge="tone.audio->pass.in") == packets * 3840
        assert value(text, "remotemedia_edge_dropped_packets_total", reason="full") == 0
        seconds = value(text, "remotemedia_run_seconds")
        spent = value(text, "remotemedia_node_call_seconds_sum", node="tone")
        assert 0 < spent < seconds < DEADLINE_S
        assert 1e6 < value(text, "process_resident_memory_bytes") < 1e10
        assert value(text, "remotemedia_node_calls_total", node="pass", pipeline="pipeline") > 0


@test
def prometheus_parser_for_python_reads_all_of_it():
    if text_string_to_metric_families is None:
        raise Skip("prometheus_client is not installed")
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / 'odd "name"\\.json'
        path.write_text(json.dumps({"version": "v1", "nodes": [
            {"id": "tone", "node_type": "test.tone", "params": {"duration_ms": 0, "paced": True}},
            {"id": "pass", "node_type": "test.pass"}],
            "connections": [{"from": "tone", "to": "pass"}]}))
        with Run(str(path)) as run:
            families = {f.name: f for f in text_string_to_metric_families(run.scrape())}
    for name, family in families.items():
        assert family.documentation and family.type in ("counter", "gauge", "summary"), name
        seen = [(s.name, tuple(sorted(s.labels.items()))) for s in family.samples]
        assert len(seen) == len(set(seen)), name
    (items, _) = families["remotemedia_node_items"].samples
    assert items.labels["pipeline"] == str(path), items
    waits = families["remotemedia_node_wait_seconds"]
    assert waits.type == "summary"
    assert {s.labels.get("quantile") for s in waits.samples} == {"0.5", "0.9", "0.99", None}
    labels = {key for f in families.values() for s in f.samples for key in s.labels}
    assert labels == {"pipeline", "node", "type", "edge", "reason", "quantile", "version"}, labels


@test
def promtool_has_nothing_to_say():
    if not (PROMETHEUS / "promtool").exists():
        raise Skip("Prometheus is not unpacked")
    with Run() as run:
        done = subprocess.run([PROMETHEUS / "promtool", "check", "metrics"], input=run.scrape(),
                              capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 0 and not done.stderr, done


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def query(url, expression):
    """The results of a query; None while the server cannot answer."""
    try:
        words = urllib.parse.urlencode({"query": expression})
        return json.loads(get(f"{url}/api/v1/query?{words}")[2])["data"]["result"]
    except (OSError, ValueError, KeyError):
        return None


@test
def a_prometheus_scrapes_a_run():
    if not (PROMETHEUS / "prometheus").exists():
        raise Skip("Prometheus is not unpacked")
    with Run() as run, tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder) / "prometheus.yml"
        config.write_text("global: {scrape_interval: 200ms, scrape_timeout: 200ms}\n"
                          "scrape_configs: [{job_name: media, static_configs: "
                          f"[{{targets: ['127.0.0.1:{run.port}']}}]}}]\n")
        port = free_port()
        words = [f"--config.file={config}", f"--storage.tsdb.path={folder}/data",
                 f"--web.listen-address=127.0.0.1:{port}"]
        with open(pathlib.Path(folder) / "log", "w") as log:
            server = subprocess.Popen([PROMETHEUS / "prometheus", *words], stdout=log, stderr=log)
        try:
            rate = 'rate(remotemedia_node_items_total{node="pass"}[5s])'
            until = time.monotonic() + DEADLINE_S
            found = None
            while not found or not 30 < float(found[0]["value"][1]) < 70:  # 50 a second, in the end
                assert time.monotonic() < until, (pathlib.Path(folder) / "log").read_text()
                found = query(f"http://127.0.0.1:{port}", rate)
                time.sleep(0.1)
            (row,) = found
            assert row["metric"]["type"] == "test.pass" and row["metric"]["job"] == "media", row
            (up,) = query(f"http://127.0.0.1:{port}", "up")
            assert up["value"][1] == "1", up
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(DEADLINE_S)


@test
def only_this_machine_is_served_and_only_what_there_is():
    with Run() as run:
        assert get(run.url + "/healthz")[::2] == (200, "ok\n")
        assert get(run.url + "/readyz")[::2] == (200, "ready\n")
        assert get(run.url + "/")[0] == 404 and get(run.url + "/metrics/..")[0] == 404
        assert get(run.url + "/metrics", "POST")[0] == 405
        assert get(run.url + "/metrics", "HEAD")[::2] == (200, "")
        rows = pathlib.Path("/proc/net/tcp").read_text()
        assert f"0100007F:{run.port:04X} 00000000:0000 0A" in rows  # it listens on 127.0.0.1
        assert f"00000000:{run.port:04X} 00000000:0000 0A" not in rows


@test
def connections_are_bounded_and_a_silent_one_does_not_stop_the_run():
    with Run() as run:
        silent = [socket.create_connection(("127.0.0.1", run.port)) for _ in range(40)]
        before = time.monotonic()
        while True:  # silent ones are let go after 5 s
            try:
                text = run.scrape()
                break
            except OSError:
                assert time.monotonic() - before < DEADLINE_S
                time.sleep(0.1)
        assert value(text, "remotemedia_node_items_total", node="pass") > 0
        for connection in silent:
            connection.close()


@test
def many_scrapes_at_once_are_answered():
    with Run() as run, concurrent.futures.ThreadPoolExecutor(8) as pool:
        texts = [f.result() for f in [pool.submit(run.scrape) for _ in range(40)]]
        assert all(text.endswith("} 1\n") for text in texts)


@test
def the_port_goes_with_the_run():
    with Run() as run:
        run.process.send_signal(signal.SIGTERM)
        assert run.process.wait(DEADLINE_S) == 1
        try:
            get(run.url + "/healthz")
        except OSError:
            return
        raise AssertionError("still there")


@test
def a_port_that_is_taken_or_none_is_refused_before_anything_is_opened():
    with Run() as run:
        again = subprocess.run([BINARY, "run", ENDLESS, "--metrics-port", str(run.port)],
                               capture_output=True, text=True, timeout=DEADLINE_S)
    assert again.returncode == 1 and f"cannot listen on 127.0.0.1:{run.port}" in again.stderr, again
    for word in ("65536", "-1", "x", ""):
        r = subprocess.run([BINARY, "run", ENDLESS, f"--metrics-port={word}"], capture_output=True,
                           text=True, timeout=DEADLINE_S)
        assert r.returncode == 2 and f"--metrics-port is '{word}', want 0 to 65535" in r.stderr, r


@test
def doctor_has_found_what_it_needs():
    (row,) = doctor_rows()
    assert row["state"] == "ok", row


def doctor_rows():
    out = subprocess.run([BINARY, "doctor", "--json"], capture_output=True, text=True,
                         timeout=DEADLINE_S).stdout
    return [row for row in json.loads(out)["tools"] if row["name"] == "libmicrohttpd"]


def without_http_the_option_is_refused():
    r = subprocess.run([BINARY, "run", ENDLESS, "--metrics-port", "0"], capture_output=True, text=True,
                       timeout=DEADLINE_S)
    assert r.returncode == 1 and "E0309" in r.stderr, r
    assert "built without libmicrohttpd" in r.stderr and "libmicrohttpd-dev" in r.stderr, r
    (row,) = doctor_rows()
    assert row["state"] == "missing" and "libmicrohttpd-dev" in str(row), row


if __name__ == "__main__":
    if not HAVE_HTTP:
        test = Tests()
        test(without_http_the_option_is_refused)
    sys.exit(test.run())
