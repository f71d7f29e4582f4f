"""A run with checkpoints that is killed (SIGKILL) and started again until it has ended leaves the
same files, byte for byte, as one that was let alone.

    kill_test.py REMOTEMEDIA [--points N] [--seed S]

Each point is one kill at a moment drawn from the seed: after a time, or, each third one, while a
checkpoint is being written.
"""
import argparse
import contextlib
import ctypes
import json
import os
import pathlib
import random
import select
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tools"))
from tap import Tap  # noqa: E402

IN_CREATE, IN_MODIFY = 0x100, 0x2
STARTS_MAX, RUN_S_MAX = 400, 60
INTERVAL_MS = "3"

MAKE_INPUT = ("test.tone duration_ms=120000 channels=2 frequency_hz=997 ! "
              "wav.write path=in.wav sample_format=s16")
# Name: pipeline, what it writes, whether that is there before.
PIPELINES = {
    "a row of nodes, lines of JSON at its end": (
        "wav.read path=in.wav packet_ms=1 ! audio.convert sample_format=f32 ! "
        "audio.chunk chunk_ms=7 ! audio.level interval_ms=50 ! json.write path=out", ["out"],
        False),
    "overlapping chunks, into a WAVE file": (
        "wav.read path=in.wav packet_ms=5 ! audio.chunk chunk_ms=25 hop_ms=10 ! "
        "audio.convert sample_format=f32 channels=1 ! wav.write path=out sample_format=s24",
        ["out"], False),
    "in the place of a file that is there": (
        "wav.read path=in.wav packet_ms=5 ! audio.level interval_ms=5 ! json.write path=out",
        ["out"], True),
    "one source, two files": ("fork.json", ["out", "out2"], False),
    "a file that is decoded": (
        "media.read path=in.wav ! audio.chunk chunk_ms=7 ! audio.level interval_ms=50 ! "
        "json.write path=out", ["out"], False),
}
FORK = {
    "version": "v1",
    "metadata": {"name": "fork"},
    "nodes": [
        {"id": "read", "node_type": "wav.read", "params": {"path": "in.wav", "packet_ms": 4}},
        {"id": "level", "node_type": "audio.level", "params": {"interval_ms": 5}},
        {"id": "lines", "node_type": "json.write", "params": {"path": "out"}},
        {"id": "wave", "node_type": "wav.write", "params": {"path": "out2"}},
    ],
    "connections": [
        {"from": "read", "to": "level"},
        {"from": "level", "to": "lines"},
        {"from": "read", "to": "wave", "capacity": 3},
    ],
}


class Failed(Exception):
    """What a run did that it must not do."""


def must(holds, problem):
    if not holds:
        raise Failed(problem)


class Watch:
    """Tells of what happens to the files of a folder (inotify)."""

    def __init__(self, folder, mask):
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.fd = self.libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self.libc.inotify_add_watch(self.fd, os.fsencode(folder), mask) < 0:
            raise OSError(ctypes.get_errno(), "inotify_add_watch")

    def wait(self, seconds):
        return bool(select.select([self.fd], [], [], seconds)[0])

    def clear(self):
        try:
            os.read(self.fd, 65536)
        except BlockingIOError:
            pass

    def close(self):
        os.close(self.fd)


class Runs:
    """Runs of one pipeline, in a folder of its own."""

    def __init__(self, exe, name, folder):
        self.exe, self.folder = exe, folder
        self.text, self.names, self.old = PIPELINES[name]
        self.kills = self.resumed = self.within = 0

    def begin(self):
        for path in self.folder.glob("out*"):
            path.unlink()
        if self.old:
            (self.folder / "out").write_text("what was there before\n")

    def start(self, *options):
        return subprocess.Popen([self.exe, "run", self.text, *options], cwd=self.folder,
                                stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)

    def written(self):
        return [(self.folder / name).read_bytes() for name in self.names]

    def reference(self):
        self.begin()
        begun = time.monotonic()
        child = self.start("-q")
        told = child.communicate(timeout=RUN_S_MAX)[1]
        must(child.returncode == 0, told)
        return self.written(), time.monotonic() - begun

    def kill(self, child, how, rng, seconds):
        """Kills it at its moment, if it has not ended by then."""
        if how == "in the writing":
            watch = Watch(self.folder / "state", IN_CREATE | IN_MODIFY)
            for _ in range(rng.randrange(1, 9)):  # it is made, written, renamed, the next is made …
                if child.poll() is not None or not watch.wait(seconds):
                    break
                watch.clear()
            watch.close()
        else:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(rng.uniform(0.01, 1.2 * seconds))
        if child.poll() is None:
            child.send_signal(signal.SIGKILL)

    def to_the_end(self, rng, hows, seconds):
        """Starts it again and again: a kill for each of `hows`, then it is let alone."""
        hows = list(hows)
        self.begin()
        for _ in range(STARTS_MAX):
            child = self.start("--checkpoint", "state", "--checkpoint-interval", INTERVAL_MS)
            if hows:
                self.kill(child, hows[-1], rng, seconds)
            told = child.communicate(timeout=RUN_S_MAX)[1]
            self.resumed += "going on from checkpoint" in told
            if child.returncode == 0 and not hows:
                return self.written()
            if child.returncode == 0:
                self.begin()  # it had ended before the kill: again, from the beginning
                continue
            must(child.returncode == -signal.SIGKILL, told)
            self.kills += 1
            self.within += (self.folder / "state" / "checkpoint.part").exists()
            hows.pop()
        raise Failed("it does not come to its end")


def problems_of(exe, name, options, folder):
    """Kills and starts runs of a pipeline until it had its points; yields what is wrong."""
    rng = random.Random(f"{options.seed} {name}")
    runs = Runs(exe, name, folder)
    expected, seconds = runs.reference()
    done = 0
    while done < options.points:
        row = min(rng.randrange(1, 4), options.points - done)
        hows = ["in the writing" if rng.randrange(3) == 0 else "after a time" for _ in range(row)]
        where = f"seed {options.seed}, points {done} to {done + row - 1}, kills {hows}"
        got = runs.to_the_end(rng, hows, seconds)
        for file, (is_, want) in zip(runs.names, zip(got, expected, strict=True), strict=True):
            if is_ != want:
                yield f"{where}: '{file}' has {len(is_)} bytes, want {len(want)}, and the same"
        if list((folder / "state").iterdir()):
            yield f"{where}: checkpoints stay"
        done += row
    print(f"# note: {runs.kills} kills, {runs.within} within the writing of a checkpoint; went on "
          f"{runs.resumed} times; {seconds:.2f} s a run")
    if runs.resumed == 0:
        yield "no run went on from a checkpoint"


def problems(exe, name, options):
    with tempfile.TemporaryDirectory(prefix="remotemedia-kill-") as folder:
        folder = pathlib.Path(folder)
        (folder / "state").mkdir()
        (folder / "fork.json").write_text(json.dumps(FORK), encoding="utf-8")
        subprocess.run([exe, "run", MAKE_INPUT, "-q"], cwd=folder, check=True)
        try:
            yield from problems_of(exe, name, options, folder)
        except Failed as failed:
            yield str(failed)


def has_media_read():
    folders = os.environ.get("REMOTEMEDIA_MODULE_PATH", "").split(os.pathsep)
    return any((pathlib.Path(folder) / "media.read.so").exists() for folder in folders)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("exe", type=pathlib.Path)
    parser.add_argument("--points", type=int, default=3, help="kills of each pipeline")
    parser.add_argument("--seed", default="1")
    options = parser.parse_args()
    tap = Tap()
    exe = options.exe.resolve()
    for name, (text, *_) in PIPELINES.items():
        if "media.read" in text and not has_media_read():
            tap.ok(f"{name} # SKIP built without FFmpeg")
        else:
            tap.ok(name, problems(exe, name, options))
    return tap.end()


if __name__ == "__main__":
    sys.exit(main())
