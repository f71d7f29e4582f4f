"""A thousand sessions opened, run and closed leave memory flat."""

import os
import subprocess
import sys

import pytest

# Runs in a process of its own. Python's small objects are counted as blocks, what C holds in bytes of
# malloc, which keeps no blocks back. A table of the interpreter that is made larger once is a step, what
# a session leaves behind a slope: the median step from one hundred sessions to the next tells.
PROGRAM = """
import array, asyncio, ctypes, gc, os, statistics, sys, threading
from remotemedia import Node, Pipeline

class Mallinfo(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "a b c d e f g uordblks h i".split()]

libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Mallinfo

class Double(Node):
    def process(self, number):
        return 2 * number

class Later(Node):
    async def process(self, number):
        await asyncio.sleep(0)
        return number + 1

def run_sync():
    assert Pipeline("p", [Double()]).run_sync(3) == 6

def run_sync_with_a_loop():
    assert Pipeline("p", [Double(), Later()]).run_sync(3) == 7

async def run_on_a_loop():
    assert await Pipeline("p", [Double(), Later()]).run(3) == 7

async def two_way():
    async with Pipeline("p", [Double(), Later()]).open() as session:
        for number in range(3):
            await session.push(number)
            assert await anext(session) == 2 * number + 1
        session.interrupt()

kind = globals()[sys.argv[1]]
loop = asyncio.new_event_loop() if asyncio.iscoroutinefunction(kind) else None

def run():
    loop.run_until_complete(kind()) if loop else kind()

def held():
    return len(os.listdir("/proc/self/fd")), threading.active_count()

counts = array.array("d", [0] * 200)  # made before, so that it does not grow with what it measures
for i in range(2500):  # caches of Python and asyncio fill during the first 1,500
    run()
    if i == 1500:
        held_before = held()
    if i >= 1500 and i % 10 == 0:
        gc.collect()
        at = (i - 1500) // 10
        counts[at], counts[at + 100] = sys.getallocatedblocks(), libc.mallinfo2().uordblks

def slope(counts):
    levels = [statistics.median(counts[k : k + 10]) for k in range(0, 100, 10)]
    return statistics.median(b - a for a, b in zip(levels, levels[1:])) / 100

assert held() == held_before, (held_before, held())
print(slope(counts[:100]), slope(counts[100:]))
"""


@pytest.mark.skipif(not hasattr(os, "confstr") or "glibc" not in os.confstr("CS_GNU_LIBC_VERSION"),
                    reason="counts with glibc's malloc")
@pytest.mark.parametrize("kind", ["run_sync", "run_sync_with_a_loop", "run_on_a_loop", "two_way"])
def test_a_thousand_sessions_leave_memory_flat(kind, record_property):
    environment = os.environ | {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, kind], env=environment, capture_output=True, text=True,
        check=False, timeout=280,
    )
    assert done.returncode == 0, done.stderr
    blocks, heap_bytes = (round(float(word), 2) for word in done.stdout.split())
    record_property("objects_a_session", blocks)
    record_property("bytes_a_session", heap_bytes)
    assert abs(blocks) < 0.5 and abs(heap_bytes) < 8  # what each session left would count 1 and more
