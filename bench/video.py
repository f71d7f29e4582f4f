#!/usr/bin/env python3
"""720p decoded and scaled to 640 x 360: ours against `ffmpeg -threads 1` with a filter of the same class.

    video.py VIDEO MEDIA [ROUNDS]

VIDEO is the built program bench/video, MEDIA the folder with bigbuckbunny.mp4 (132 pictures; H.264), which
is looped five times. Rounds are many, and every second one runs backwards, because the same decoder on the
same film takes 10 % more or less from one run to the next. Both sides average over areas ("box", "area"). Time is the slope between 132 and 660
pictures, so that start-up falls out: processor time, which counts our second thread in, and wall time.
PSNR is against the exact mean, in double precision, of the first pictures as ffmpeg decodes them.
"""

import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
from rounds import fail, note, row

WIDTH, HEIGHT, SCALE = 640, 360, 2
LOOP, PICTURES, COMPARED = 5, 132, 40
FFMPEG = ["ffmpeg", "-nostdin", "-v", "error", "-threads", "1"]
FILTER = ["-an", "-filter_threads", "1", "-vf", f"scale={WIDTH}:{HEIGHT}:flags=area"]


def run(command):
    """Run a command; return its wall seconds, processor seconds and output."""
    begin = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        out = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        fail(f"{command[0]} ended with {child.returncode}")
    return time.perf_counter() - begin, usage.ru_utime + usage.ru_stime, out


def ours(program, path, pictures):
    """Decode and scale a file; return wall and processor seconds."""
    wall, cpu, out = run([program, path, str(WIDTH), str(HEIGHT)])
    if json.loads(out)["pictures"] != pictures:
        fail(f"ours: {out.decode()}, want {pictures} pictures")
    return wall, cpu


def peer(path, pictures):
    """Do the same by ffmpeg."""
    wall, cpu, out = run([*FFMPEG, "-i", path, *FILTER, "-progress", "-", "-f", "null", "-"])
    counted = [line for line in out.decode().splitlines() if line.startswith("frame=")]
    if counted[-1] != f"frame={pictures}":
        fail(f"ffmpeg: {counted[-1]}, want {pictures}")
    return wall, cpu


def raw_pictures(path, width, height):
    """Return the luma planes of a file of I420 pictures."""
    size = width * height * 3 // 2
    data = np.fromfile(path, np.uint8, COMPARED * size).reshape(COMPARED, size)
    return data[:, : width * height].reshape(COMPARED, height, width)


def psnr_db(pictures, exact):
    """Return the PSNR of all pictures together."""
    error = np.mean((pictures.astype(np.float64) - exact) ** 2)
    return 10 * math.log10(255**2 / error) if error else math.inf


def compare(program, path, folder):
    """Return the PSNR of ours and of ffmpeg's."""
    files = {name: f"{folder}/{name}.yuv" for name in ("ours", "peer", "whole")}
    subprocess.run([program, path, str(WIDTH), str(HEIGHT), files["ours"]], check=True, stdout=subprocess.DEVNULL)
    raw = ["-frames:v", str(COMPARED), "-pix_fmt", "yuv420p", "-f", "rawvideo"]
    subprocess.run([*FFMPEG, "-i", path, *FILTER, *raw, files["peer"]], check=True)
    subprocess.run([*FFMPEG, "-i", path, "-an", *raw, files["whole"]], check=True)
    whole = raw_pictures(files["whole"], WIDTH * SCALE, HEIGHT * SCALE)
    exact = whole.reshape(COMPARED, HEIGHT, SCALE, WIDTH, SCALE).mean((2, 4))
    return [psnr_db(raw_pictures(files[name], WIDTH, HEIGHT), exact) for name in ("ours", "peer")]


def main():
    program, media = sys.argv[1], pathlib.Path(sys.argv[2])
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 15
    source = media / "bigbuckbunny.mp4"
    if not source.exists():
        fail(f"{source} is missing: run bench/run --install")
    with tempfile.TemporaryDirectory() as folder:
        short, long = f"{folder}/short.mp4", f"{folder}/long.mp4"
        for path, more in ((short, 0), (long, LOOP - 1)):
            subprocess.run([*FFMPEG, "-stream_loop", str(more), "-i", str(source), "-c", "copy", "-an", path], check=True)
        psnr = compare(program, short, folder)
        note(f"PSNR: ours {psnr[0]:.1f} dB, ffmpeg {psnr[1]:.1f} dB")
        if psnr[0] < psnr[1]:
            fail(f"our PSNR is {psnr[0]:.2f} dB, want at least ffmpeg's {psnr[1]:.2f} dB")
        sides = {"ours": lambda path, n: ours(program, path, n), "peer": peer}
        for number in range(rounds):
            slopes = {}
            for name in sides if number % 2 else reversed(sides):
                few, many = sides[name](short, PICTURES), sides[name](long, PICTURES * LOOP)
                slopes[name] = [(m - f) / (PICTURES * (LOOP - 1)) * 1e3 for f, m in zip(few, many)]
            row("video-wall", slopes["ours"][0], slopes["peer"][0])
            row("video", slopes["ours"][1], slopes["peer"][1])


if __name__ == "__main__":
    main()
