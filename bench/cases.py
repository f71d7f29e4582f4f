"""The cases: what runs, what each row of figures is compared with, and what it must reach.

A case is one or more programs that bench/run starts. A program prints JSON lines: rows, one a round
(``{"row": "hop", "ours": 9.1, "peer": 120.4}``), and notes (``{"note": "GStreamer 1.22.0"}``). A row's ratio is always the one
that its bar speaks of, so that a reader need not turn it round:

    faster   peer / ours   must be at least the limit
    more     ours / peer   must be at least the limit
    share    ours / peer   must be at most the limit
    value    ours          must be at most the limit; there is no peer
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Bar:
    """What one row must reach."""

    case: str  # the program that prints the row
    title: str  # what is measured, for the table
    peer: str  # what it is compared with
    unit: str
    kind: str  # "faster", "more", "share" or "value"
    limit: float | None = None  # None: shown, not judged

    def ratio(self, ours, peer):
        """Return the figure that the limit is compared with."""
        if self.kind == "value":
            return ours
        return peer / ours if self.kind == "faster" else ours / peer

    def met(self, ratio):
        """Tell whether the limit is reached; None where there is none."""
        if self.limit is None:
            return None
        return ratio >= self.limit if self.kind in ("faster", "more") else ratio <= self.limit

    def __str__(self):
        if self.limit is None:
            return ""
        if self.kind == "faster":
            return f">= {self.limit:g}x faster"
        if self.kind == "more":
            return f">= {self.limit:g}x as many"
        return f"<= {self.limit:.3g}x" if self.kind == "share" else f"<= {self.limit:g} {self.unit}"


CASES = {
    "hop": (["{build}/bench/hop"], ["{python}", "{here}/hop_instructions.py", "{build}/bench/chain"]),
    "hop-threads": (["{build}/bench/hop_threads"],),
    "parallel": (["{build}/bench/parallel"],),
    "resample": (["{build}/bench/resample"],),
    "video": (["{python}", "{here}/video.py", "{build}/bench/video", "{build}/media"],),
    "python-sync": (["{python}", "{here}/python_sync.py"],),
    "python-generator": (["{python}", "{here}/python_generator.py"],),
    "python-wait": (["{python}", "{here}/python_wait.py"],),
    "catalogue": (["{python}", "{here}/catalogue.py"],),
    "array": (["{python}", "{here}/array.py"],),
    "marshal": (["{python}", "{here}/marshal.py"],),
    "metrics": (["{build}/bench/metrics"],),
    "fan-out": (["{build}/bench/fan_out"],),
    "page-faults": (["{build}/bench/page_faults"],),
    "sessions": (["{build}/bench/sessions"], ["{python}", "{here}/sessions.py"]),
    "idle": (["{python}", "{here}/idle.py", "{build}/bench/idle"],),
    "voice": (["{python}", "{here}/voice.py"],),
    "realtime": (["{python}", "{here}/realtime.py"],),
    "start": (["{python}", "{here}/start.py", "{build}/cli/remotemedia"],),
    "import": (["{python}", "{here}/import.py"],),
    "workers": (["{python}", "{here}/workers.py"],),
}
"""The programs of each case. {build}: the build folder, {here}: this one, {python}: the interpreter that
has the peers. Programs in Python find the package in the build folder."""

BARS = {
    "hop": Bar("hop", "one pass-through node", "GStreamer `identity`", "ns", "faster", 8),
    "hop-chain": Bar("hop", "source, 10 pass-through nodes, sink: one packet",
                     "GStreamer `fakesrc`, 10 `identity`, `fakesink`", "ns", "faster"),
    "hop-instructions": Bar("hop", "one pass-through node", "", "instructions", "value", 120),
    "hop-threads-one": Bar("hop-threads", "to another thread, one by one", "GStreamer `queue`", "ns", "faster", 5),
    "hop-threads-burst": Bar("hop-threads", "to another thread, bursts of 8", "GStreamer `queue`", "ns", "faster", 8),
    "hop-threads-one-ring": Bar("hop-threads", "to another thread, one by one", "a bare ring on two cores", "ns", "share", 3),
    "hop-threads-burst-ring": Bar("hop-threads", "to another thread, bursts of 8", "a bare ring on two cores", "ns", "share", 3),
    "hop-threads-one-line": Bar("hop-threads", "to another thread, one by one", "a cache line from core to core", "ns",
                                "share", 5),
    "hop-threads-one-core": Bar("hop-threads", "the same on one core, one by one", "a bare ring on it", "ns", "share", 3),
    "hop-threads-burst-core": Bar("hop-threads", "the same on one core, bursts of 8", "a bare ring on it", "ns", "share", 3),
    "parallel": Bar("parallel", "a packet through a node that works 0.5 ms, in two copies", "the node alone", "us",
                    "faster"),
    "parallel-bare": Bar("parallel", "a packet through a node that works 0.5 ms, in two copies", "two bare threads",
                         "us", "share", 1.25),
    "resample-soxr": Bar("resample", "20 ms from 48 to 16 kHz", "soxr called directly", "us", "share", 1.1),
    "resample-gst": Bar("resample", "20 ms from 48 to 16 kHz", "GStreamer `audioresample` of at least that SNR", "us",
                        "faster", 1),
    "video": Bar("video", "one 720p picture decoded and scaled to 360 rows, processor time", "`ffmpeg -threads 1`",
                 "ms", "share", 0.95),
    "video-wall": Bar("video", "the same, wall time", "`ffmpeg -threads 1`", "ms", "share"),
    "python-sync-loop": Bar("python-sync", "an item through three sync nodes", "a loop by hand", "ns", "share", 3),
    "python-sync-01": Bar("python-sync", "an item through three sync nodes", "0.1's scheme", "ns", "faster", 50),
    "python-generator-loop": Bar("python-generator", "an item through three async generators", "nested by hand", "ns",
                                 "share", 1.3),
    "python-generator-01": Bar("python-generator", "an item through three async generators", "0.1's scheme", "ns",
                               "faster", 2.5),
    "python-wait": Bar("python-wait", "an item through three nodes that await 2 ms", "a loop by hand", "ms", "faster",
                       2.4),
    "catalogue-multiply": Bar("catalogue", "a number through three `MultiplyNode`", "0.1's scheme", "ns", "faster", 50),
    "catalogue-calculator": Bar("catalogue", "a dict through a `CalculatorNode`", "0.1's scheme", "ns", "faster", 50),
    "array-1KB": Bar("array", "1 KB of float32 through three nodes", "a loop by hand", "ns", "share"),
    "array-1MB": Bar("array", "1 MB", "a loop by hand", "ns", "share"),
    "array-100MB": Bar("array", "100 MB", "a loop by hand", "ns", "share"),
    "array-flat": Bar("array", "100 MB of float32 through three nodes", "1 KB", "ns", "share", 1.5),
    "metrics": Bar("metrics", "a packet through ten nodes that work 1 µs each", "the same with `metrics_off`", "us",
                   "share", 1.03),
    "fan-out": Bar("fan-out", "a 1080p picture to eight nodes and from these to one",
                   "GStreamer `tee`, eight `identity`, `funnel`", "ns", "faster", 5),
    "fan-out-bare": Bar("fan-out", "a 1080p picture to eight nodes and from these to one",
                        "GStreamer `tee` and `funnel`, nothing between", "ns", "faster"),
    "page-faults": Bar("page-faults", "10,000 packets of 64 KiB, once warm", "", "page faults", "value", 5),
    "sessions": Bar("sessions", "growth of the process, 10,000 sessions in C", "", "bytes each", "value", 1024),
    "sessions-python": Bar("sessions", "growth of the process, 10,000 sessions in Python", "", "bytes each", "value",
                           1024),
    "idle-wakes": Bar("idle", "50 idle sessions in C, on threads", "", "wake-ups/s", "value", 0),
    "idle-wakes-python": Bar("idle", "200 idle pipelines of five Python nodes", "", "wake-ups/s", "value", 0),
    "realtime": Bar("realtime", "pipelines of five Python nodes in real time on one core", "Pipecat", "pipelines",
                    "more", 40),
    "voice-memory": Bar("voice", "an idle pipeline of five Python nodes", "Pipecat", "KiB", "share", 1 / 6),
    "voice-start": Bar("voice", "starting and stopping it", "Pipecat", "ms", "share", 1 / 20),
    "voice-interrupt": Bar("voice", "an interrupt through 200 frames that wait", "Pipecat", "us", "share", 1 / 20),
    "start": Bar("start", "from nothing to a second of sound resampled and written", "`gst-launch-1.0`", "ms", "share",
                 0.4),
    "worker-hop": Bar("workers", "a number to a worker process and back", "two processes that wake each other", "us",
                      "share", 1.25),
    "worker-array": Bar("workers", "10 MB to a worker", "a copy into memory that is there", "us", "share", 1.15),
    "worker-messages": Bar("workers", "numbers through a worker, in a row", "a pipe of `multiprocessing`", "numbers/s",
                           "more"),
    "worker-start": Bar("workers", "a pipeline with one worker, from nothing to nothing", "`python -c pass`", "ms",
                        "share", 1),
    "import": Bar("import", "import of the SDK in a fresh process", "`import numpy`", "ms", "share", 0.5),
}

VALUES = {"int": "an int", "str": "1 KB of str", "dict": "a dict of 20", "list": "a list of 1,000 floats",
          "dataclass": "a dataclass of 6", "array": "an array of 1 KB"}
BARS |= {f"marshal-{value}-{peer}": Bar("marshal", f"{what}, there and back", peer_is, "ns", "faster", 1)
         for value, what in VALUES.items()
         for peer, peer_is in (("pickle", "`pickle` protocol 5"), ("msgpack", "`msgpack`"))}
