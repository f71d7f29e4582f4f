"""`remotemedia top` of sessions and runs that a Python program holds: many in one process, closed ones,
those of a process that was killed or forked, and what stays behind."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time

import pytest

DEADLINE_S = 60  # for a hang, not a measure

PROGRAM = """
import asyncio, os, sys, tracemalloc
from remotemedia import Node, Pipeline

class Double(Node):
    blocking = False
    def process(self, x):
        return 2 * x

class Ticks(Node):
    async def process(self):
        while True:
            yield 1
            await asyncio.sleep(0.01)

async def listen(loop):
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader

async def hold(pipeline, item):
    session = pipeline.open()
    await session.__aenter__()
    await session.push(item)
    assert await anext(session) == 2 * item
    return session

async def main():
    words = await listen(asyncio.get_running_loop())
    held = {}
    while line := (await words.readline()).decode().split():
        match line:
            case ["open", name]:
                held[name] = await hold(Pipeline([Double(name="double")], name), 3)
            case ["open-many", count]:
                for i in range(int(count)):
                    held[i] = await hold(Pipeline([Double()], f"many-{i}"), 1)
            case ["open-unseen", name]:
                held[name] = await hold(Pipeline([Double()], name, enable_metrics=False), 1)
            case ["run", name]:
                held[name] = asyncio.create_task(Pipeline([Ticks(name="ticks")], name).run())
            case ["close", name]:
                await held.pop(name).__aexit__(None, None, None)
            case ["churn", count]:
                for i in range(int(count)):
                    session = await hold(Pipeline([Double()], f"short-{i}"), i)
                    await session.__aexit__(None, None, None)
            case ["trace", count]:
                for i in range(int(count)):
                    tracemalloc.start()
                    held[f"traced {i}"] = bytearray(1000)
                    tracemalloc.stop()
            case ["fork"]:
                if os.fork() == 0:
                    kinds = []
                    for fd in range(64):
                        try:
                            kinds.append(os.readlink(f"/proc/self/fd/{fd}").split(":")[0])
                        except OSError:
                            pass  # there is none
                    os.write(1, f"{kinds.count('socket')}\\n".encode())
                    os.read(int(sys.argv[1]), 1)
                    os._exit(0)
            case ["held"]:
                counts = [len(os.listdir(f"/proc/self/{kind}")) for kind in ("task", "fd")]
                os.write(1, b"%d %d " % tuple(counts))
        os.write(1, b"ok\\n")

asyncio.run(main())
"""


class Program:
    """A program that does what it is told, and what `top` says of it."""

    def __init__(self, folder):
        self.folder = folder
        self.env = {**os.environ, "XDG_RUNTIME_DIR": str(folder)}
        self.env.pop("REMOTEMEDIA_TOP", None)
        self.sockets = folder / "remotemedia"
        self.child = None

    def begin(self, **environment):
        self.gate = os.pipe()
        self.child = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(self.gate[0])], env=self.env | environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, pass_fds=[self.gate[0]],
        )

    def tell(self, *words):
        self.child.stdin.write(" ".join(words) + "\n")
        self.child.stdin.flush()

    def answer(self):
        line = self.child.stdout.readline().split()
        assert line and line[-1] == "ok", line
        return line[:-1]

    def do(self, *words):
        self.tell(*words)
        return self.answer()

    def top(self, *words):
        done = subprocess.run([sys.executable, "-m", "remotemedia", "top", *words], env=self.env,
                              capture_output=True, text=True, timeout=DEADLINE_S, check=True)
        return done.stdout

    def pipelines(self):
        return json.loads(self.top("--once", "--json"))["pipelines"]

    def wait_for(self, condition):
        until = time.monotonic() + DEADLINE_S
        while not condition(told := self.pipelines()):
            assert time.monotonic() < until, told
            time.sleep(0.05)
        return told

    def entries(self):
        return [entry.name for entry in self.sockets.iterdir()] if self.sockets.exists() else []

    def wait_for_no_socket(self):
        until = time.monotonic() + DEADLINE_S
        while self.entries():
            assert time.monotonic() < until, self.entries()
            time.sleep(0.05)

    def end(self):
        if self.child is not None:
            self.child.kill()
            self.child.wait(DEADLINE_S)
            self.child.stdin.close()
            self.child.stdout.close()
            os.close(self.gate[0])
            os.close(self.gate[1])


@pytest.fixture
def program(runtime_folder):
    program = Program(runtime_folder)
    yield program
    program.end()


def names(told):
    return [run.get("pipeline") for run in told]


def test_two_sessions_and_a_run_of_one_process_are_shown_with_their_numbers(program):
    program.begin()
    for words in ("open", "asr"), ("open", 'say-"hi"'), ("run", "ticker"):
        program.do(*words)
    told = program.wait_for(lambda told: len(told) == 3 and told[2]["metrics"]["nodes"][0]["emitted"])
    assert names(told) == ["asr", 'say-"hi"', "ticker"]
    assert {run["pid"] for run in told} == {program.child.pid}
    assert [run["run"] for run in told] == [1, 2, 3]
    assert {run["state"] for run in told} == {"running"}
    nodes = {node["id"]: node for node in told[0]["metrics"]["nodes"]}
    assert (nodes["double"]["items"], nodes["double"]["emitted"]) == (1, 1)
    assert [node["id"] for node in told[2]["metrics"]["nodes"]][0] == "ticks"
    assert program.entries() == [f"{program.child.pid}.python.sock"]
    table = program.top("--once")
    assert table.count(f"{program.child.pid}  ") == 3 and "  double " in table, table


def test_a_closed_session_vanishes_and_the_last_one_takes_socket_and_thread_along(program):
    program.begin()
    program.do("open", "stays")
    program.do("open", "goes")
    program.wait_for(lambda told: len(told) == 2)
    program.do("close", "goes")
    assert names(program.pipelines()) == ["stays"]
    program.do("close", "stays")
    assert program.pipelines() == []
    program.wait_for_no_socket()
    assert program.do("held")[0] == "1"


def test_a_process_that_was_killed_leaves_nothing_that_top_shows(program):
    program.begin()
    program.do("open", "asr")
    program.wait_for(len)
    program.child.send_signal(signal.SIGKILL)
    program.child.wait(DEADLINE_S)
    assert len(program.entries()) == 1
    assert program.pipelines() == []
    assert program.entries() == []


def test_a_process_that_ends_takes_its_socket_along(program):
    program.begin()
    program.do("open", "asr")
    program.wait_for(len)
    program.child.stdin.close()
    assert program.child.wait(DEADLINE_S) == 0
    assert program.entries() == []


def test_the_child_of_a_fork_has_no_part_in_the_socket(program):
    program.begin()
    program.do("open", "asr")
    program.wait_for(len)
    program.tell("fork")
    both = {program.child.stdout.readline(), program.child.stdout.readline()}
    assert both == {"ok\n", "2\n"}  # asyncio has a pair of sockets of its own
    program.child.kill()
    program.child.wait(DEADLINE_S)
    assert program.pipelines() == []  # nobody holds the socket open
    os.write(program.gate[1], b"x")


def test_of_many_sessions_the_oldest_are_shown_and_the_others_counted(program):
    program.begin()
    program.do("open-many", "70")
    told = program.wait_for(lambda told: len(told) == 65)
    assert names(told)[:64] == [f"many-{i}" for i in range(64)]
    assert told[64] == {"pid": program.child.pid, "state": "more", "count": 6}
    assert f"{program.child.pid}  and 6 more\n" in program.top("--once")


def test_a_thousand_sessions_come_and_go_while_top_reads(program):
    program.begin()
    program.do("open", "stays")
    program.wait_for(len)
    program.tell("churn", "1000")
    while not select.select([program.child.stdout], [], [], 0)[0]:
        told = program.pipelines()
        assert names(told)[0] == "stays" and len(told) <= 2, told
    assert program.answer() == []
    assert names(program.pipelines()) == ["stays"]


def test_top_reads_while_the_program_begins_and_ends_tracemalloc(program):
    program.begin()
    program.do("open", "asr")
    program.wait_for(len)
    program.tell("trace", "60000")
    while not select.select([program.child.stdout], [], [], 0)[0]:
        assert names(program.pipelines()) in (["asr"], [None])  # busy: it waits for the GIL
    assert program.answer() == []


def test_who_asks_and_does_not_read_holds_up_nobody(program):
    program.begin()
    program.do("open-many", "64")
    program.wait_for(len)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.connect(str(program.sockets / program.entries()[0]))
        assert program.do("open", "asr") == []
        program.child.stdin.close()
        assert program.child.wait(DEADLINE_S) == 0


@pytest.mark.parametrize("environment", [{"REMOTEMEDIA_TOP": "0"}, {}])
def test_who_does_not_want_to_be_seen_has_no_thread_for_it(program, environment):
    program.begin(**environment)
    before = program.do("held")
    program.do("open" if environment else "open-unseen", "asr")
    assert program.do("held") == before


def test_sessions_that_are_short_have_no_socket_made(program):
    program.begin()
    before = program.do("held")
    program.do("churn", "20")
    after = program.do("held")
    assert int(after[1]) - int(before[1]) == 2 and program.entries() == []  # a pipe
