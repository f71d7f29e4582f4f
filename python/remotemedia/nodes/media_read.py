"""media.read on PyAV, for machines without the native module: ``pip install remotemedia[media]``.

The same parameters, ports and times as the native node (nodes/media_read); sound and pictures come
as the decoder gives them. A pipeline takes the native node where it is there.
"""

from __future__ import annotations

import os
import stat
import sys
import time
from typing import TYPE_CHECKING, Any

from ..errors import NodeError
from ..media import Audio, Video
from ..node import Dependency, Node, NodeSpec, Out, Param, Port

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["MediaRead"]

INSTALL = "pip install 'remotemedia[media]'"
CHECKPOINT_REFUSED = 409
CHECKPOINT_BAD = 410
MEDIA_OPEN = 501
MEDIA_DATA = 502
PREROLL_S = 0.2  # a decoder that starts in the middle needs a run-up
LISTS = {"concat", "dash", "hls", "image2", "imf"}  # their packets come from other files
SHORT_BY_S_MAX = 0.5  # headers are not exact about the length
SECOND_NS = 1_000_000_000
TIME_MAX_NS = 2**61

# Pixel formats that packets have, by libav's names; others are brought into one of them.
FOURCC = {
    "yuv420p": "I420",
    "yuvj420p": "I420",
    "nv12": "NV12",
    "rgb24": "RGB3",
    "rgba": "RGBA",
    "gray": "GREY",
}


class MediaRead(Node):
    """Reads and decodes an audio or video file. The parameters are those of ``spec``."""

    spec = NodeSpec(
        name="media.read",
        summary="Read and decode an audio or video file",
        inputs=(),
        outputs=(
            Port("audio", "audio", "sound as the decoder gives it"),
            Port(
                "video",
                "video fourcc=I420,NV12,RGB3,RGBA,GREY",
                "pictures as the decoder gives them",
            ),
        ),
        params=(
            Param("path", "string", required=True, summary="the file; - is standard input"),
            Param("paced", "bool", False, summary="packets leave in real time"),
            Param("start_s", "float", 0.0, 0, 1e6, "s", None, "where to begin"),
            Param("duration_s", "float", 0.0, 0, 1e6, "s", None, "how much to read; 0: to the end"),
            Param("audio_stream", "int", -1, -1, 1000, summary="from 0; -1: the best"),
            Param("video_stream", "int", -1, -1, 1000, summary="from 0; -1: the best"),
            Param("threads", "int", 1, 0, 64, summary="of each decoder; 0: one a core"),
            Param(
                "damaged",
                "enum",
                "fail",
                choices=("fail", "keep"),
                summary="at the end of a damaged file",
            ),
        ),
        example="media.read path=talk.flac ! audio.level ! json.write path=-",
        requires=(Dependency("av", INSTALL), Dependency("numpy", INSTALL)),
    )
    blocking = True

    def __init__(
        self,
        path: str,
        paced: bool = False,
        start_s: float = 0.0,
        duration_s: float = 0.0,
        audio_stream: int = -1,
        video_stream: int = -1,
        threads: int = 1,
        damaged: str = "fail",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.path = path
        self.paced = paced
        self.start_s = start_s
        self.duration_s = duration_s
        self.choice = {"audio": audio_stream, "video": video_stream}
        self.threads = threads
        self.damaged = damaged
        self._container: Any = None

    # ---- opening

    def initialize(self) -> None:
        """Opens the file and chooses its streams: those whose output is connected.

        Raises
        ------
        NodeError
            E0501: it cannot be opened; E0502: it has no such stream.
        """
        import av

        self._mark = _mark_of(self.path)
        self._dealt_with = {"audio": 0, "video": 0}  # frames: given, or not wanted
        self._before = dict(self._dealt_with)  # those of the run that this one goes on from
        source: Any = self.path
        if self.path == "-":
            source = sys.stdin.buffer
        try:
            self._container = av.open(source, options={"protocol_whitelist": "file,pipe"})
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            is_data = isinstance(error, av.error.InvalidDataError)
            raise self._error(MEDIA_DATA if is_data else MEDIA_OPEN, f"{why}") from error
        try:
            self._choose()
        except BaseException:
            self.cleanup()
            raise

    def _error(self, code: int, what: str) -> NodeError:
        return NodeError(f"media file '{self.path}': {what}", code=code)

    def _choose(self) -> None:
        streams = self._container.streams
        self._streams: dict[str, Any] = {}
        taken = self.connected_outputs
        kinds = [kind for kind in ("audio", "video") if taken is None or kind in taken]
        for kind in kinds:
            every = [s for s in getattr(streams, kind) if not s.disposition & _COVER]
            index = self.choice[kind]
            if index >= len(every):
                raise self._error(
                    MEDIA_DATA, f"{kind}_stream is {index}, it has {len(every)} {kind} streams"
                )
            best = every[index] if index >= 0 else streams.best(kind)
            if best is not None and best in every:
                best.codec_context.thread_count = self.threads
                self._streams[kind] = best
        if kinds and not self._streams:
            raise self._error(MEDIA_DATA, f"it has no {' or '.join(kinds)} stream")
        start = self._container.start_time or 0
        if self.start_s > PREROLL_S:
            self._container.seek(int((self.start_s - PREROLL_S) * 1e6) + start)

    def cleanup(self) -> None:
        """Closes the file."""
        container, self._container = self._container, None
        if container is not None:
            container.close()

    # ---- checkpoints

    def save(self) -> dict[str, Any]:
        """Its place in the file, for a checkpoint.

        Raises
        ------
        NodeError
            E0409: a pipe, or a list of other files, which cannot be read again.
        """
        if self._mark is None:
            raise self._error(CHECKPOINT_REFUSED, "a pipe cannot be read again; want a file")
        kind = self._container.format.name
        if LISTS.intersection(kind.split(",")):
            what = f"it ({kind}) refers to other files, which may change unseen; want one that has all"
            raise self._error(CHECKPOINT_REFUSED, what)
        frames = {kind: max(n, self._before[kind]) for kind, n in self._dealt_with.items()}
        return {"mark": self._mark, "frames": frames}

    def load(self, state: dict[str, Any]) -> None:
        """Goes on at a place that `save` gave: `process` decodes from the start again, for what
        a decoder keeps from packet to packet, and gives what was not given yet.

        Raises
        ------
        NodeError
            E0410: the file is not as it was then.
        """
        if self._mark != state["mark"]:
            raise self._error(CHECKPOINT_BAD, "it has changed since the checkpoint was made")
        self._before = state["frames"]

    # ---- reading

    def process(self) -> Iterator[Out]:
        """Yields packets of sound and pictures, by port.

        Raises
        ------
        NodeError
            E0502 at the end of a file that was damaged or cut off, with ``damaged=fail``.
        """
        self._faults = 0
        self._packets = 0
        self._fault = ""
        self._dealt_with = dict.fromkeys(self._dealt_with, 0)
        self._clocks = {kind: _Clock() for kind in self._streams}
        begin_ns = int(self.start_s * SECOND_NS) if self.start_s > 0 else -TIME_MAX_NS
        end_ns = TIME_MAX_NS
        if self.duration_s > 0:
            end_ns = int((self.start_s + self.duration_s) * SECOND_NS)
        began_s: float | None = None
        for kind, frame in self._frames(end_ns):
            item: Any
            if kind == "audio":
                item = self._audio(frame, begin_ns, end_ns)
            else:
                item = self._video(frame, begin_ns, end_ns)
            self._dealt_with[kind] += 1
            if item is None or self._dealt_with[kind] <= self._before[kind]:
                continue
            if self.paced:
                now_s = time.monotonic()
                began_s = now_s - item.pts_ns / 1e9 if began_s is None else began_s
                time.sleep(max(0.0, began_s + item.pts_ns / 1e9 - now_s))
            yield Out(kind, item)
        self._check_end(end_ns)

    def _frames(self, end_ns: int) -> Iterator[tuple[str, Any]]:
        """Decoded frames, until every stream is past the end."""
        open_streams = dict(self._streams)
        if not open_streams:
            return
        for packet in self._demux(list(open_streams.values())):
            kind = packet.stream.type
            if kind not in open_streams:
                continue
            for frame in self._decode(packet):
                yield kind, frame
            if self._clocks[kind].next_ns >= end_ns:
                del open_streams[kind]
            if not open_streams:
                return

    def _demux(self, streams: list[Any]) -> Iterator[Any]:
        import av

        packets = self._container.demux(*streams)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.error.FFmpegError as error:
                self._note(error)
                return
            self._packets += packet.size > 0
            yield packet

    def _decode(self, packet: Any) -> list[Any]:
        import av

        try:
            return list(packet.decode())
        except av.error.FFmpegError as error:
            self._note(error)
            return []

    def _note(self, error: Exception) -> None:
        self._faults += 1
        self._fault = self._fault or str(getattr(error, "strerror", None) or error)

    def _file_ns(self, frame: Any, stream: Any) -> int | None:
        """When the frame is, from the start of the file."""
        if frame.pts is None:
            return None
        base = frame.time_base or stream.time_base
        ns = frame.pts * base.numerator * SECOND_NS // base.denominator
        return int(ns - (self._container.start_time or 0) * 1000)

    def _audio(self, frame: Any, begin_ns: int, end_ns: int) -> Audio | None:
        stream = self._streams["audio"]
        rate_hz = frame.sample_rate
        tick_ns = SECOND_NS * stream.time_base.numerator // stream.time_base.denominator
        clock = self._clocks["audio"]
        at_ns = clock.audio(self._file_ns(frame, stream), 2_000_000 + 2 * tick_ns)
        first = _samples_until(frame, at_ns, begin_ns)
        until = _samples_until(frame, at_ns, end_ns)
        clock.add(frame.samples, rate_hz)
        if until <= first:
            return None
        samples = frame.to_ndarray()
        if not frame.format.is_planar:
            samples = samples.reshape(-1, frame.layout.nb_channels).T
        pts_ns = at_ns + first * SECOND_NS // rate_hz
        return Audio(samples[:, first:until], rate_hz, pts_ns)

    def _video(self, frame: Any, begin_ns: int, end_ns: int) -> Video | None:
        stream = self._streams["video"]
        rate = stream.guessed_rate or stream.average_rate
        duration_ns = SECOND_NS * rate.denominator // rate.numerator if rate else 0
        pts_ns = self._clocks["video"].video(self._file_ns(frame, stream), duration_ns)
        if not begin_ns <= pts_ns < end_ns:
            return None
        if frame.format.name not in FOURCC:
            has_alpha = any(c.is_alpha for c in frame.format.components)
            is_rgb = frame.format.is_rgb
            name = "rgba" if has_alpha else "rgb24" if is_rgb else "yuv420p"
            frame = frame.reformat(format=name)
        planes = [memoryview(plane) for plane in frame.planes]
        strides = [plane.line_size for plane in frame.planes]
        fourcc = FOURCC[frame.format.name]
        return Video(
            planes,
            frame.width,
            frame.height,
            fourcc,
            pts_ns,
            strides,
            duration_ns=duration_ns or None,
        )

    # ---- the end

    def _check_end(self, end_ns: int) -> None:
        what = self._cut_off(end_ns)
        if not what and self._faults:
            what = (
                f"damaged: {self._faults} of {self._packets} packets are not whole ({self._fault})"
            )
        if not what:
            return
        if self.damaged == "keep":
            self.logger.warning("media file '%s' is %s", self.path, what)
            return
        error = self._error(MEDIA_DATA, f"is {what}")
        error.help = "damaged=keep takes what can be decoded"
        raise error

    def _cut_off(self, end_ns: int) -> str:
        for kind, stream in self._streams.items():
            if end_ns != TIME_MAX_NS or not stream.duration:
                continue
            told_s = float(stream.duration * stream.time_base)
            got_s = self._clocks[kind].next_ns / 1e9
            if got_s < told_s - SHORT_BY_S_MAX:
                return f"cut off: it ends at {got_s:.3f} s, its header says {told_s:.3f} s"
        return ""


def _mark_of(path: str) -> list[int] | None:
    """By which a file that was changed is known; None: it is none that can be read again."""
    try:
        about = os.stat(path)
    except OSError:
        return None
    return [about.st_size, about.st_mtime_ns] if stat.S_ISREG(about.st_mode) else None


_COVER = 0x400  # AV_DISPOSITION_ATTACHED_PIC


def _samples_until(frame: Any, at_ns: int, until_ns: int) -> int:
    """Samples of the frame that lie before a time, to the nearest one."""
    if until_ns <= at_ns:
        return 0
    rate_hz = frame.sample_rate
    count = ((until_ns - at_ns) * rate_hz + SECOND_NS // 2) // SECOND_NS
    return int(min(count, frame.samples))


class _Clock:
    """Times of one stream: audio is counted in samples as long as the file's times are near."""

    def __init__(self) -> None:
        self.started = False
        self.next_ns = 0
        self._base_ns = 0
        self._count = 0
        self._rate_hz = 0

    def _restart(self, at_ns: int) -> None:
        self.started = True
        self._base_ns = self.next_ns = at_ns
        self._count = 0

    def audio(self, file_ns: int | None, tolerance_ns: int) -> int:
        """When a frame begins."""
        jumps = file_ns is not None and file_ns > self.next_ns + tolerance_ns
        if file_ns is not None and (jumps or not self.started):
            self._restart(file_ns)
        self.started = True
        return self.next_ns

    def add(self, samples: int, rate_hz: int) -> None:
        """Behind a frame of sound."""
        if self._rate_hz != rate_hz:
            self._restart(self.next_ns)
            self._rate_hz = rate_hz
        self._count += samples
        self.next_ns = self._base_ns + self._count * SECOND_NS // rate_hz

    def video(self, file_ns: int | None, duration_ns: int) -> int:
        """When a picture is shown; later than the one before in any case."""
        repaired = file_ns is None or (self.started and file_ns <= self._base_ns)
        at_ns = self.next_ns if file_ns is None or repaired else file_ns
        self._restart(at_ns)
        self.next_ns += max(duration_ns, 1)
        return at_ns
