"""`remotemedia record` and `replay` from outside: what is kept, what comes again, what is refused.

usage: record_test.py BINARY

Prints TAP. Python's standard library only.
"""

import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tools"))
from tap import Tests  # noqa: E402

BINARY = os.path.abspath(sys.argv[1])
DEADLINE_S = 60  # for a hang, not a measure
OK, FAILED, USAGE = 0, 1, 2
LINE = "test.tone duration_ms=1000 ! audio.level ! json.write path=levels.jsonl"
test = Tests()


class Folder:
    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        self.path = pathlib.Path(self.folder.name)
        return self

    def __exit__(self, *_):
        self.folder.cleanup()

    def run(self, *words, stdin=""):
        return subprocess.run([BINARY, *map(str, words)], cwd=self.path, input=stdin, text=True,
                              capture_output=True, timeout=DEADLINE_S)

    def replay(self, *words):
        """The exit code, and the report."""
        r = self.run("replay", *words, "--json")
        return r.returncode, json.loads(r.stdout)

    def read(self, name):
        return (self.path / name).read_bytes()


def check(condition, shown=None):
    if not condition:
        raise AssertionError(shown)


@test
def a_run_comes_out_the_same_again():
    with Folder() as f:
        r = f.run("record", LINE, "-o", "run.rmrec", "-q")
        check(r.returncode == OK and not r.stderr, r)
        code, report = f.replay("run.rmrec")
        check(code == OK and report["ok"] and report["whole"], report)
        check(report["status"] == "RM_DONE" and report["packets"] >= 10, report)
        told = f.run("replay", "run.rmrec")
        check("all came out the same\n" in told.stdout and not told.stderr, told)
        check((f.path / "run.rmrec").stat().st_mode & 0o777 == 0o600)


@test
def sinks_write_into_a_folder_and_over_nothing():
    with Folder() as f:
        f.run("record", LINE, "-o", "run.rmrec", "-q")
        first = f.read("levels.jsonl")
        check(f.run("replay", "run.rmrec", "-o", "again").returncode == OK)
        check(first and f.read("again/levels.jsonl") == first == f.read("levels.jsonl"))
        r = f.run("replay", "run.rmrec", "-o", "again")
        check(r.returncode == FAILED and "error[E0503]" in r.stderr and "there already" in r.stderr, r)
        check(f.run("replay", "run.rmrec", "-o", "x", "--compare").returncode == USAGE)


@test
def files_that_were_read_are_not_needed():
    with Folder() as f:
        f.run("run", "test.tone duration_ms=500 ! wav.write path=tone.wav", "-q")
        line = "wav.read path=tone.wav ! audio.level ! json.write path=levels.jsonl"
        check(f.run("record", line, "-o", "run.rmrec", "-q").returncode == OK)
        check(f.run("record", line, "-o", "thin.rmrec", "-q", "--without-payloads").returncode == OK)
        check(len(f.read("thin.rmrec")) < len(f.read("run.rmrec")) / 4)
        check(f.replay("thin.rmrec")[0] == OK)
        (f.path / "tone.wav").unlink()
        check(f.replay("run.rmrec")[0] == OK)
        code, report = f.replay("thin.rmrec")
        check(code == FAILED and report["error"]["code"] == "E0501", report)


@test
def what_came_in_by_an_input_is_kept():
    manifest = {"version": "v1", "nodes": [{"id": "pass", "node_type": "test.pass"}],
                "inputs": {"lines": {"node": "pass"}}, "outputs": {"same": {"node": "pass"}}}
    with Folder() as f:
        (f.path / "m.json").write_text(json.dumps(manifest))
        r = f.run("record", "m.json", "-i", "lines=-", "-o", "run.rmrec", "-q", stdin="one\ntwo\n")
        check(r.returncode == OK and r.stdout == "one\ntwo\n", r)
        code, report = f.replay("run.rmrec")
        check(code == OK and report["from_record"] == 2 and report["packets"] == 2, report)
        r = f.run("record", "m.json", "-i", "lines=-", "-o", "x", "--without-payloads", stdin="one\n")
        check(r.returncode == FAILED and "error[E0411]" in r.stderr, r)


@test
def a_run_that_was_killed_is_replayed_up_to_there():
    endless = "test.tone duration_ms=0 paced=true ! audio.level ! json.write path=levels.jsonl"
    with Folder() as f:
        run = subprocess.Popen([BINARY, "record", endless, "-o", "run.rmrec", "-q"], cwd=f.path)
        until = time.monotonic() + DEADLINE_S
        size = 0
        while size < 20000 and time.monotonic() < until:  # a chunk behind the graph
            record = f.path / "run.rmrec"
            size = record.stat().st_size if record.exists() else 0
            time.sleep(0.05)
        run.send_signal(signal.SIGKILL)
        run.wait(DEADLINE_S)
        code, report = f.replay("run.rmrec")
        check(code == OK and not report["whole"] and report["packets"] > 0, report)
        check("the record ends before its run did" in f.run("replay", "run.rmrec").stdout)


@test
def a_run_that_failed_fails_again():
    with Folder() as f:
        r = f.run("record", "test.tone duration_ms=500 ! wav.write path=no/such/folder.wav", "-o", "a.rmrec", "-q")
        check(r.returncode == FAILED, r)
        code, report = f.replay("a.rmrec")
        check(code == OK and report["from_record"] == 0, report)  # it never began


@test
def a_record_that_is_damaged_is_refused_with_the_place():
    with Folder() as f:
        f.run("record", LINE, "-o", "run.rmrec", "-q")
        data = bytearray(f.read("run.rmrec"))
        data[len(data) // 2] ^= 1
        (f.path / "bad.rmrec").write_bytes(data)
        r = f.run("replay", "bad.rmrec")
        check(r.returncode == FAILED and "error[E0412]" in r.stderr and " byte " in r.stderr, r)
        (f.path / "none.rmrec").write_text("{}")
        check("it is no record of a run" in f.run("replay", "none.rmrec").stderr)
        check(f.run("replay", "away.rmrec").returncode == FAILED)


@test
def a_record_has_a_bound():
    with Folder() as f:
        r = f.run("record", LINE, "-o", "run.rmrec", "-q", "--bytes-max", 50000)
        check(r.returncode == OK and len(f.read("run.rmrec")) <= 50000, r)
        code, report = f.replay("run.rmrec")
        check(code == OK and report["status"] == "RM_ELIMIT", report)
        for wrong in ("0", "4k", ""):
            check(f.run("record", LINE, "-o", "x", "--bytes-max", wrong).returncode == USAGE, wrong)


@test
def a_manifest_can_ask_for_it():
    manifest = {"version": "v1", "session": {"record": {"file": "kept.rmrec"}},
                "nodes": [{"id": "tone", "node_type": "test.tone", "params": {"duration_ms": 100}},
                          {"id": "pass", "node_type": "test.pass"}],
                "connections": [{"from": "tone", "to": "pass"}]}
    with Folder() as f:
        (f.path / "m.json").write_text(json.dumps(manifest))
        check(f.run("run", "m.json", "-q").returncode == OK)
        check(f.replay("kept.rmrec")[0] == OK)
        check(f.run("record", "m.json", "-q").returncode == USAGE)


@test
def what_cannot_be_kept_is_refused():
    with Folder() as f:
        manifest = {"version": "v1", "session": {"checkpoint": {"folder": "state"}},
                    "nodes": [{"id": "tone", "node_type": "test.tone"}]}
        (f.path / "m.json").write_text(json.dumps(manifest))
        r = f.run("record", "m.json", "-o", "run.rmrec", "-q")
        check(r.returncode == FAILED and "error[E0411]" in r.stderr and "checkpoints" in r.stderr, r)


if __name__ == "__main__":
    sys.exit(test.run())
