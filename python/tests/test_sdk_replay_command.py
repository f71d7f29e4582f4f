"""`remotemedia record` and `replay` of the Python package: a run of a manifest with Python nodes, on
two strands, with a merge, a retry and a drop, comes out the same again; what does otherwise is named."""

import json
import os
import subprocess
import sys
import textwrap

import pytest

from remotemedia import _core

pytestmark = pytest.mark.skipif(not hasattr(_core, "cli"), reason="the extension has no command")

NODES = textwrap.dedent("""
    import os, random, time
    from remotemedia import Node

    class Numbers(Node):
        def process(self):
            for i in range(150):
                if random.random() < 0.1:
                    time.sleep(0.001)
                yield i

    class Count(Node):
        count = 1000

        def process(self, sound):
            self.count += 1
            return self.count

    class Slow(Node):
        blocking = True     # a thread of its own

        def process(self, x):
            time.sleep(random.random() * 0.002)
            return x + 1

    class Flaky(Node):
        failed = None

        def process(self, x):
            if x % 5 == 0 and self.failed != x:
                self.failed = x
                raise ConnectionError(f"{x} is not to be had")
            return x

    class Sum(Node):
        total = 0

        def process(self, x):
            self.total = (self.total * 31 + x) % 1000003
            return self.total + (os.environ.get("PLANTED") == "yes" and x > 100)
    """)

MANIFEST = {
    "version": "v1",
    "metadata": {"name": "merged"},
    "nodes": [
        {"id": "numbers", "node_type": "mine:Numbers"},
        {"id": "read", "node_type": "wav.read", "params": {"path": "in.wav", "packet_ms": 10}},
        {"id": "count", "node_type": "mine:Count"},
        {"id": "slow", "node_type": "mine:Slow"},
        {"id": "flaky", "node_type": "mine:Flaky",
         "on_error": {"policy": "retry", "attempts": 3, "backoff_ms": 0}},
        {"id": "sum", "node_type": "mine:Sum", "merge": "any"},
        {"id": "lines", "node_type": "json.write", "params": {"path": "sums.jsonl"}},
    ],
    "connections": [
        {"from": "numbers", "to": "slow", "capacity": {"packets": 2}, "policy": "drop_oldest"},
        {"from": "slow", "to": "sum"},
        {"from": "read", "to": "count"},
        {"from": "count", "to": "flaky"},
        {"from": "flaky", "to": "sum"},
        {"from": "sum", "to": "lines"},
    ],
}


@pytest.fixture
def command(tmp_path):
    (tmp_path / "mine.py").write_text(NODES)
    (tmp_path / "merged.json").write_text(json.dumps(MANIFEST))

    def run(*words, **environment):
        return subprocess.run([sys.executable, "-m", "remotemedia", *words], cwd=tmp_path, text=True,
                              capture_output=True, timeout=120, env=os.environ | environment)

    return run


@pytest.fixture
def record(command):
    tone = "test.tone duration_ms=1500 ! wav.write path=in.wav"
    assert command("run", tone, "-q").returncode == 0
    done = command("record", "merged.json", "-o", "run.rmrec", "-q")
    assert done.returncode == 0, done.stderr
    return "run.rmrec"


def test_a_run_with_python_nodes_comes_out_the_same_again(command, record, tmp_path):
    lines = (tmp_path / "sums.jsonl").read_text()
    (tmp_path / "sums.jsonl").unlink()
    assert json.loads(command("explain", "merged.json", "--json").stdout)["strands"] == 3
    (tmp_path / "in.wav").unlink()
    for _ in range(3):
        done = command("replay", record, "--json")
        report = json.loads(done.stdout)
        assert done.returncode == 0 and report["ok"] and report["whole"], done
        assert report["dropped"] > 0 and report["status"] == "RM_DONE", report
        packets = {node["id"]: node["packets"] for node in report["nodes"]}
        assert packets["sum"] == len(lines.splitlines()) > 150, report
    assert not (tmp_path / "sums.jsonl").exists()
    assert "all came out the same" in command("replay", record).stdout


def test_a_node_that_does_otherwise_is_named(command, record):
    done = command("replay", record, "--json", PLANTED="yes")
    report = json.loads(done.stdout)
    assert done.returncode == 1 and not report["ok"], done
    assert report["error"]["code"] == "E0413" and "node 'sum'" in json.dumps(report), report


def test_what_cannot_be_had_is_refused(command, record, tmp_path):
    done = command("replay", record, "-o", "again")
    assert done.returncode == 2 and "--output runs sinks" in done.stderr, done
    data = bytearray((tmp_path / record).read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / record).write_bytes(data)
    done = command("replay", record)
    assert done.returncode == 1 and "error[E0412]" in done.stderr and "damaged" in done.stderr, done
    (tmp_path / record).write_bytes(b"")
    done = command("replay", record)
    assert done.returncode == 1 and "it is empty" in done.stderr, done
