"""A thousand sessions opened, run and closed leave memory flat."""

import os
import subprocess
import sys

import pytest

# Runs in a process of its own, where every Python object is a block of malloc and malloc keeps no
# blocks back, so that its own count of bytes is exact.
PROGRAM = """
import array, asyncio, ctypes, gc, sys
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

def run():
    pipeline = Pipeline("p", [Double(), Later()] if sys.argv[1] == "async" else [Double()])
    assert pipeline.run_sync(3) == (7 if sys.argv[1] == "async" else 6)

heap = array.array("d", [0] * 100)  # made before, so that it does not grow with what it measures
for i in range(2500):  # caches of Python and asyncio fill during the first 1,500
    run()
    if i >= 1500 and i % 10 == 0:
        gc.collect()
        heap[(i - 1500) // 10] = libc.mallinfo2().uordblks
n = len(heap)
x, y = 10 * sum(range(n)), sum(heap)
xx, xy = 100 * sum(k * k for k in range(n)), 10 * sum(k * heap[k] for k in range(n))
print((n * xy - x * y) / (n * xx - x * x))
"""


@pytest.mark.skipif(not hasattr(os, "confstr") or "glibc" not in os.confstr("CS_GNU_LIBC_VERSION"),
                    reason="counts with glibc's malloc")
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_thousand_sessions_leave_memory_flat(kind, record_property):
    environment = os.environ | {
        "PYTHONMALLOC": "malloc",
        "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0",
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, kind], env=environment, capture_output=True, text=True,
        check=False, timeout=280,
    )
    assert done.returncode == 0, done.stderr
    slope = round(float(done.stdout), 2)
    record_property("bytes_a_session", slope)
    assert abs(slope) < 8
