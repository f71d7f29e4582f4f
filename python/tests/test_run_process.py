"""Signals, exit and fork, each in a process of its own; uvloop."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from running import Call, arun, untranslated  # noqa: F401

TESTS = Path(__file__).parent

PREAMBLE = f"""
import asyncio, faulthandler, os, signal, sys, threading, time
sys.path[:0] = [{str(TESTS)!r}]
faulthandler.dump_traceback_later(30, exit=True)
from running import Call, arun, plan_of, run
from remotemedia import _core, _drive

def tell(text):
    os.write(1, text.encode() + b"\\n")  # print() may not be in use on a thread that an exit ends

class Node:
    def __init__(self, name, process):
        self.name, self.process = name, process
    def cleanup(self):
        tell(f"cleanup {{self.name}}")

def forever():
    while True:
        yield 1

async def aforever():
    while True:
        await asyncio.sleep(0)
        yield 1

def say(item):
    if not said:
        said.append(1)
        tell("running")
    return item
said = []

async def asay(item):
    await asyncio.sleep(0)
    return say(item)

def pause(item):
    time.sleep(0.002)
    return say(item)
"""


def start(program):
    return subprocess.Popen(
        [sys.executable, "-c", PREAMBLE + program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def finish(process):
    out, err = process.communicate(timeout=60)
    return process.returncode, out.splitlines(), err


@pytest.mark.parametrize(
    "program",
    [
        "run(forever(), Node('a', say), Node('b', lambda x: None))",
        "run(forever(), Node('a', pause), Node('b', lambda x: None))",
        "run(aforever(), Node('a', asay), Node('b', lambda x: None))",
        "asyncio.run(arun(forever(), Node('a', say), Node('b', lambda x: None)))",
        "asyncio.run(arun(forever(), Node('a', pause), Node('b', lambda x: None)))",
        "asyncio.run(arun(aforever(), Node('a', asay), Node('b', lambda x: None)))",
    ],
)
def test_ctrl_c_ends_a_run_with_every_cleanup(program):
    process = start(program)
    assert process.stdout.readline() == "running\n"
    process.send_signal(signal.SIGINT)
    code, lines, err = finish(process)
    assert lines == ["cleanup b", "cleanup a"], err
    assert code == -signal.SIGINT, err
    assert err.rstrip().endswith("KeyboardInterrupt")


@pytest.mark.parametrize("nodes", ["say", "pause", "asay"])
def test_exit_with_a_run_in_flight_is_quiet(nodes):
    program = f"""
async def main():
    task = asyncio.create_task(arun(forever(), Node('a', {nodes}), Call(lambda x: None)))
    while not said:
        await asyncio.sleep(0.001)
    os.write(1, b"leaving\\n")
    asyncio.get_running_loop().stop()
    await asyncio.sleep(60)
loop = asyncio.new_event_loop()
loop.create_task(main())
loop.run_forever()
sys.exit(3)
"""
    processes = [start(program) for _ in range(4)]
    for process in processes:
        code, lines, err = finish(process)
        assert code == 3, err
        assert lines and "leaving" in "".join(lines)
        assert "Fatal" not in err and "Segmentation" not in err


def test_exit_while_another_thread_runs_a_session():
    program = """
threading.Thread(target=run, args=(forever(), Node('a', pause), Call(lambda x: None)), daemon=True).start()
while not said:
    time.sleep(0.001)
"""
    for process in [start(program) for _ in range(4)]:
        code, lines, err = finish(process)
        assert code == 0, err
        assert lines == ["running", "cleanup a"], err  # the exit waits for the thread to get there


def test_a_child_of_a_fork_is_told_and_can_make_its_own():
    program = """
async def main():
    async with _drive.Stream(plan_of(Call(pause)), ["feed"], ["out"]) as stream:
        await stream.push("feed", 1)
        assert await stream.pull("out") == 1
        child = os.fork()
        if child == 0:
            try:
                stream.session.push("feed", 2)
            except RuntimeError as error:
                print("fork" in str(error), flush=True)
            asyncio.events._set_running_loop(None)
            print(run([1, 2], Call(pause), blocking=True), flush=True)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        await stream.push("feed", 3)
        assert await stream.pull("out") == 3
asyncio.run(main())
"""
    code, lines, err = finish(start(program))
    assert (code, lines) == (0, ["running", "True", "[1, 2]"]), err


def test_everything_works_on_uvloop():
    uvloop = pytest.importorskip("uvloop")

    class Streaming:
        is_streaming = True

        async def process(self, stream):
            async for item in stream:
                await asyncio.sleep(0)
                yield item

    async def process(item):
        async with asyncio.timeout(5):
            await asyncio.sleep(0.0001)
        return item + 1

    async def generator(item):
        yield item
        await asyncio.sleep(0)
        yield -item

    async def main():
        items = list(range(1, 60))
        nodes = Call(process), Call(generator), Streaming(), Call(lambda x: x)
        got = await arun(items, *nodes)
        assert got == [x for i in items for x in (i + 1, -i - 1)]
        task = asyncio.create_task(arun([1], Call(lambda x: asyncio.sleep(60))))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(ZeroDivisionError):
            await arun([1, 0], Call(lambda x: 1 // x))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
