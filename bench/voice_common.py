"""What both sides of voice.py share: the frame, the counts, and how memory and figures are told."""

import asyncio
import gc
import json
import os
import statistics
import time

PCM = bytes(range(256)) * 2 + bytes(128)  # 640 bytes: 20 ms of 16 kHz, mono, s16
WARM, MEASURED = 50, 200  # idle pipelines
WAITING, BARGES = 200, 15
PACE_S = 0.02
WARM_S, TIMED_S = 1.0, 2.5  # realtime


def rss_kib():
    """Return what the process has in memory."""
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4


def tell(**figures):
    """Print the figures of this side."""
    print(json.dumps(figures))


def median_us(seconds):
    """Return the median of seconds, as microseconds."""
    return statistics.median(seconds) * 1e6


def use_one_core():
    """Keep this process, and what it will start, on one core."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


class Late:
    """How late frames come out, after WARM_S."""

    def __init__(self):
        self.begin, self.seconds = time.perf_counter(), []

    def note(self, due):
        """A frame that was due to enter then has come out."""
        if due > self.begin + WARM_S:
            self.seconds.append(time.perf_counter() - due)

    def tell(self, expected, **figures):
        """Print the 99th percentile; frames that did not come are late without end."""
        missing = expected - len(self.seconds)
        self.seconds += [1e3] * max(0, missing)
        tell(p99_ms=statistics.quantiles(self.seconds, n=100)[98] * 1e3, **figures)


async def send_in_time(late, count, send):
    """Send each of `count` pipelines a frame each PACE_S, evenly spread; return how many are to be timed.

    Gives up after twice the time: that many pipelines are too much.
    """
    total, number = int(count * (WARM_S + TIMED_S) / PACE_S), 0
    while number < total and (passed := time.perf_counter() - late.begin) < 2 * (WARM_S + TIMED_S):
        while number < min(total, passed * count / PACE_S):
            await send(number % count, late.begin + number * PACE_S / count)
            number += 1
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.1)
    return total - int(count * WARM_S / PACE_S) - 1
