"""`remotemedia top` from outside: what it shows of runs that go on, have ended, died, or do not answer.

usage: top_test.py BINARY

Prints TAP. Python's standard library only.
"""

import json
import os
import pathlib
import re
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tools"))
from tap import Tests  # noqa: E402

BINARY = os.path.abspath(sys.argv[1])
DEADLINE_S = 60  # for a hang, not a measure
ENDLESS = "test.tone duration_ms=0 paced=true id=tone ! test.pass id=pass"
test = Tests()


def is_whole(told):
    """A machine under load may not answer in time."""
    return told["state"] != "busy" and all("items" in n for n in told["metrics"]["nodes"])


class Place:
    """A folder for sockets of its own, and what runs in it."""

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        self.path = pathlib.Path(self.folder.name)
        self.env = {**os.environ, "XDG_RUNTIME_DIR": self.folder.name, "LC_ALL": "C.UTF-8"}
        self.runs = []
        return self

    def __exit__(self, *_):
        for run in self.runs:
            run.kill()
            run.wait(DEADLINE_S)
        self.folder.cleanup()

    @property
    def sockets(self):
        return self.path / "remotemedia"

    def run(self, *words):
        run = subprocess.Popen([BINARY, "run", "-q", *words], env=self.env,
                               stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.runs.append(run)
        return run

    def top(self, *words):
        done = subprocess.run([BINARY, "top", *words], env=self.env, capture_output=True, text=True,
                              timeout=DEADLINE_S)
        assert done.returncode == 0, done
        return done.stdout

    def pipelines(self):
        return json.loads(self.top("--json"))["pipelines"]

    def wait_for(self, condition):
        """The first answer that it holds for, of runs that had the time to give one."""
        until = time.monotonic() + DEADLINE_S
        while True:
            told = self.pipelines()
            if all(map(is_whole, told)) and condition(told):
                return told
            assert time.monotonic() < until, told
            time.sleep(0.02)


@test
def nothing_runs_and_top_says_so():
    with Place() as place:
        assert place.top("--once") == "no pipeline is running\n"
        assert place.pipelines() == []
        assert list(place.path.iterdir()) == []  # who only looks makes nothing


@test
def runs_are_shown_with_their_nodes_and_queues():
    with Place() as place:
        runs = [place.run(ENDLESS), place.run(ENDLESS)]
        told = place.wait_for(lambda told: len(told) == 2 and all(
            t["metrics"]["nodes"][1]["items"] > 2 for t in told))
        assert [t["pid"] for t in told] == sorted(run.pid for run in runs)
        one = told[0]
        assert (one["pipeline"], one["state"]) == ("pipeline", "running")
        assert [n["id"] for n in one["metrics"]["nodes"]] == ["tone", "pass"]
        assert one["metrics"]["edges"][0]["capacity"] == 16
        assert one["metrics"]["process"]["rss_bytes"] > 0
        place.wait_for(len)
        table = place.top("--once")
        assert len(table.splitlines()) == 1 + 2 * 3, table
        assert re.search(rf"^{runs[0].pid}  pipeline  running  [\d.]+ m?s  buffers ", table, re.M)
        assert re.search(r"^  pass +test\.pass +idle +\d+ +\d.* 0/16 +\d+\.\d % ", table, re.M), table
        assert "\033" not in table


@test
def a_run_that_ends_takes_its_socket_with_it():
    with Place() as place:
        run = place.run(ENDLESS)
        place.wait_for(len)
        (entry,) = place.sockets.iterdir()
        assert entry.name == f"{run.pid}.sock"
        assert stat.S_IMODE(place.sockets.stat().st_mode) == 0o700
        run.send_signal(signal.SIGTERM)
        run.wait(DEADLINE_S)
        assert list(place.sockets.iterdir()) == []


@test
def what_a_killed_run_left_is_removed():
    with Place() as place:
        for who_looks in (place.pipelines, lambda: place.run("test.tone duration_ms=20").wait()):
            run = place.run(ENDLESS)
            place.wait_for(len)
            run.kill()
            run.wait(DEADLINE_S)
            assert len(list(place.sockets.iterdir())) == 1
            who_looks()
            assert list(place.sockets.iterdir()) == []


@test
def a_run_that_does_not_answer_is_busy_and_the_others_are_shown():
    with Place() as place:
        place.run(ENDLESS)
        place.wait_for(len)
        silent = socket.socket(socket.AF_UNIX)
        silent.bind(str(place.sockets / "1.sock"))
        silent.listen()
        began = time.monotonic()
        told = place.pipelines()
        assert told[0] == {"pid": 1, "state": "busy"} and len(told) == 2, told
        assert 1 < time.monotonic() - began < 20
        assert "1  busy: it does not answer" in place.top("--once")
        silent.close()


@test
def an_answer_that_is_no_json_is_not_shown():
    with Place() as place:
        run = place.run(ENDLESS)
        place.wait_for(len)
        odd = socket.socket(socket.AF_UNIX)
        odd.bind(str(place.sockets / "1.sock"))
        odd.listen()
        asked = subprocess.Popen([BINARY, "top", "--json"], env=place.env, stdout=subprocess.PIPE)
        peer, _ = odd.accept()
        peer.sendall(b'{"pid": 1')
        peer.close()
        out, _ = asked.communicate(timeout=DEADLINE_S)
        assert [t["pid"] for t in json.loads(out)["pipelines"]] == [run.pid]
        odd.close()


@test
def a_folder_that_others_may_enter_is_not_used():
    with Place() as place:
        place.sockets.mkdir(0o700)
        place.sockets.chmod(0o755)
        run = place.run("test.tone duration_ms=20")
        assert run.wait(DEADLINE_S) == 0
        assert list(place.sockets.iterdir()) == [] and place.pipelines() == []


@test
def a_client_that_reads_nothing_does_not_stop_a_run():
    with Place() as place:
        run = place.run(ENDLESS)
        place.wait_for(len)
        clients = []
        for _ in range(8):
            client = socket.socket(socket.AF_UNIX)
            client.settimeout(1)
            try:
                client.connect(str(place.sockets / f"{run.pid}.sock"))
            except (TimeoutError, BlockingIOError):
                pass
            clients.append(client)
        items = place.wait_for(len)[0]["metrics"]["nodes"][1]["items"]
        place.wait_for(lambda told: told[0]["metrics"]["nodes"][1]["items"] > items)
        for client in clients:
            client.close()


if __name__ == "__main__":
    sys.exit(test.run())
