#!/usr/bin/env python3
"""The resampler of a running 48 kHz stream is replaced, again and again, and nothing is lost.

    python examples/live_change.py

    tone 48 kHz ─── resample 16 kHz ─── frames        every 20 packets: another resample in its place
"""

import asyncio

from remotemedia import Node, Pipeline

SECONDS, RATE_HZ, PACKETS_PER_CHANGE = 10, 16000, 20


class Frames(Node):
    """How many samples a packet has, and how many a second."""

    def process(self, sound):
        samples, rate_hz = sound[:2]
        return samples.shape[-1], rate_hz


def resampler(turn):
    return Node("audio.resample", rate_hz=RATE_HZ, quality="low" if turn % 2 else "medium")


async def listen():
    """Frames that came at each rate, changes made, and the longest pause in ns."""
    pipeline = Pipeline([
        Node("test.tone", id="tone", rate_hz=48000, duration_ms=1000 * SECONDS, packet_ms=20),
        Node("audio.resample", id="resample", rate_hz=RATE_HZ),
        Frames(id="frames"),
    ])  # fmt: skip
    frames, packets, pauses = {}, 0, []
    async with pipeline.open() as session:
        async for count, rate_hz in session:
            frames[rate_hz] = frames.get(rate_hz, 0) + count
            packets += 1
            if packets % PACKETS_PER_CHANGE == 0 and frames[RATE_HZ] < (SECONDS - 2) * RATE_HZ:
                async with session.change() as change:
                    change.replace("resample", resampler(len(pauses)))
                pauses.append(change.pause_ns)
    return frames, len(pauses), max(pauses)


def main():
    frames, changes, pause_ns = asyncio.run(listen())
    for rate_hz, count in frames.items():
        print(f"{count} frames at {rate_hz} Hz: {count / rate_hz:.3f} s of {SECONDS} s")
    print(f"replaced {changes} times; the longest pause was {pause_ns / 1000:.0f} us")


if __name__ == "__main__":
    main()
