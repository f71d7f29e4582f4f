#!/usr/bin/env python3
"""Cold start of a native graph: the plain binary against gst-launch-1.0.

    start.py REMOTEMEDIA [ROUNDS]

Each a fresh process that makes a second of a 440 Hz tone in 20 ms packets, resamples it from 48 to 16 kHz
and writes a WAV file; wall time from the start of the process to its end. Both files must hold about 16,000
frames of that tone.
"""

import array
import math
import pathlib
import subprocess
import sys
import tempfile

from rounds import alternate, fail, note, row

SECOND = 16_000  # frames
GST = ("audiotestsrc wave=sine freq=440 volume=0.5 num-buffers=50 samplesperbuffer=960 "
       "! audio/x-raw,format=F32LE,rate=48000,channels=1 ! audioresample "
       "! audio/x-raw,rate=16000 ! wavenc ! filesink location={}")
OURS = ("test.tone frequency_hz=440 duration_ms=1000 rate_hz=48000 ! audio.resample rate_hz=16000 "
        "! wav.write path={}")


def samples_of(path):
    """Return the float samples of a WAV file."""
    data = path.read_bytes()
    at = data.find(b"data") + 8
    if data[:4] != b"RIFF" or at < 8:
        fail(f"{path.name} is not a WAV file")
    return array.array("f", data[at:at + (len(data) - at) // 4 * 4])


def check(path):
    """End the program where the file is not the tone."""
    samples = samples_of(path)
    middle = samples[1_600:14_400]
    level = math.sqrt(sum(x * x for x in middle) / len(middle))
    crossings = sum((a < 0) != (b < 0) for a, b in zip(middle, middle[1:]))
    if abs(len(samples) - SECOND) > 20 or not 0.34 < level < 0.37 or abs(crossings - 704) > 2:
        fail(f"{path.name}: {len(samples)} frames, level {level:.3f}, {crossings} crossings")


def main():
    binary, rounds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 31
    with tempfile.TemporaryDirectory() as folder:
        ours, peer = pathlib.Path(folder, "ours.wav"), pathlib.Path(folder, "peer.wav")

        def run_ours():
            subprocess.run([binary, "run", "--quiet", OURS.format(ours)], check=True)

        def run_peer():
            subprocess.run(["gst-launch-1.0", "-q", *GST.format(peer).split()], check=True)

        run_ours()
        run_peer()
        check(ours)
        check(peer)
        for took in alternate(rounds, {"ours": run_ours, "peer": run_peer}):
            row("start", took["ours"] * 1e3, took["peer"] * 1e3)
    note("each process makes, resamples and writes one second of sound")


if __name__ == "__main__":
    main()
