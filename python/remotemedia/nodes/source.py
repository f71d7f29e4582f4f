"""Media files as 0.1 reads them: dicts of PyAV frames, and the nodes that take a track out of them.

::

    {"audio": av.AudioFrame, 20 ms of 48 kHz, stereo, s16}  ──▶ AudioTrackSource ──▶ (samples, rate)
    {"video": av.VideoFrame}                                ──▶ VideoTrackSource ──▶ (picture, pts)
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ..errors import VALUE_NOT_ACCEPTABLE, ConfigurationError
from ..node import Dependency, Node, NodeSpec, Param, Port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator, Iterator

__all__ = [
    "AudioTrackSource",
    "LocalMediaReaderNode",
    "MediaReaderNode",
    "TrackSource",
    "VideoTrackSource",
]

AV = Dependency("av", "pip install 'remotemedia[media]'")
NUMPY = Dependency("numpy", "pip install numpy")
PATH = Param("path", "string", required=True, summary="the file")
RATE_HZ = 48000
FRAME = 960  # 20 ms


class _MediaFile(Node):
    """What both readers have in common."""

    is_source = True
    paced = False

    def __init__(self, path: Any, chunk_size: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.path = os.fspath(path)
        self.chunk_size = chunk_size

    async def process(self) -> AsyncIterator[dict[str, Any]]:
        """Yields frames in the order of the file.

        Raises
        ------
        OSError
            The file cannot be opened, or is no audio or video.
        """
        import asyncio
        from time import monotonic

        frames = _frames(self.path)
        begin = monotonic()
        try:
            while (timed := await asyncio.to_thread(next, frames, None)) is not None:
                time_s, frame = timed
                ahead_s = time_s - (monotonic() - begin)
                if self.paced and ahead_s > 0:
                    await asyncio.sleep(ahead_s)
                yield frame
        finally:
            frames.close()


class MediaReaderNode(_MediaFile):
    """Reads a file at the pace of its time, as a live source would.

    Parameters
    ----------
    path : str or os.PathLike
        Any file that FFmpeg reads.
    chunk_size
        Kept; has no effect.

    Notes
    -----
    Sound comes as 20 ms of 48 kHz, stereo, s16, the last frame may be shorter; a mono file on both
    channels at its level.
    """

    spec = NodeSpec(
        "MediaReaderNode",
        "Read a media file at its pace",
        inputs=(),
        outputs=(Port("output", None, "dicts of frames"),),
        params=(
            PATH,
        ),
        example="MediaReaderNode path=film.mp4 ! AudioTrackSource ! wav.write path=sound.wav",
        requires=(AV, NUMPY),
        other_params=True,
    )
    paced = True


class LocalMediaReaderNode(_MediaFile):
    """Reads a file as fast as it is taken, otherwise as `MediaReaderNode`.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    """

    spec = NodeSpec(
        "LocalMediaReaderNode",
        "Read a media file",
        inputs=(),
        outputs=(Port("output", None, "dicts of frames"),),
        params=(
            PATH,
        ),
        example="LocalMediaReaderNode path=film.mp4 ! AudioTrackSource "
        "! wav.write path=sound.wav",
        requires=(AV, NUMPY),
        other_params=True,
    )

    def __init__(self, path: Any, **kwargs: Any) -> None:
        super().__init__(path, **kwargs)
        if not os.path.exists(self.path):
            raise FileNotFoundError(f"media file '{self.path}' does not exist")


def _frames(path: str) -> Generator[tuple[float, dict[str, Any]], None, None]:
    """Time in seconds and frame, of the first track of each kind."""
    import av

    with av.open(path) as container:
        streams = [*container.streams.audio[:1], *container.streams.video[:1]]
        if not streams:
            raise ValueError(f"media file '{path}' has neither sound nor pictures")
        sound = _Stereo()
        for packet in container.demux(streams):
            for frame in packet.decode():
                if isinstance(frame, av.AudioFrame):
                    yield from sound.cut(frame)
                elif isinstance(frame, av.VideoFrame):
                    yield frame.time or 0.0, {"video": frame}
        yield from sound.cut(None)


class _Stereo:
    """Sound of any kind as 20 ms of 48 kHz, stereo, s16."""

    def __init__(self) -> None:
        self._resampler: Any = None
        self._pts = 0

    def cut(self, frame: Any) -> Iterator[tuple[float, dict[str, Any]]]:
        """What is complete with this frame; None: the file has ended."""
        if frame is not None and self._resampler is None:
            import av

            # To stereo FFmpeg brings mono 3 dB lower: so it stays mono here.
            layout = "mono" if len(frame.layout.channels) == 1 else "stereo"
            self._resampler = av.AudioResampler("s16", layout, RATE_HZ, frame_size=FRAME)
        if self._resampler is None:
            return
        for cut in self._resampler.resample(frame):
            time_s = self._pts / RATE_HZ
            yield time_s, {"audio": self._both_channels(cut)}

    def _both_channels(self, frame: Any) -> Any:
        import av
        import numpy as np

        pts, self._pts = self._pts, self._pts + frame.samples
        if len(frame.layout.channels) == 1:
            packed = np.repeat(frame.to_ndarray(), 2, axis=1)
            frame = av.AudioFrame.from_ndarray(packed, "s16", "stereo")
            frame.sample_rate = RATE_HZ
        frame.pts, frame.time_base = pts, _time_base()
        return frame


def _time_base() -> Any:
    from fractions import Fraction

    return Fraction(1, RATE_HZ)


class TrackSource(Node):
    """Takes the frames of one track out of ``{"audio": frame}`` and ``{"video": frame}``.

    A subclass says which (``track``), and what becomes of a frame (`convert`). Items of other
    tracks, and all else, are left out.
    """

    track = ""
    stateless = True

    def process(self, data: Any) -> Any:
        """Returns what `convert` makes of the track's frame; None where the item has none."""
        frame = data.get(self.track) if isinstance(data, dict) else None
        return None if frame is None else self.convert(frame)

    def convert(self, frame: Any) -> Any:
        """What goes on for a frame: here the frame itself."""
        return frame


class AudioTrackSource(TrackSource):
    """Gives sound as ``(samples of shape (channels, frames), rate)``.

    Integers become float32 between -1 and 1.
    """

    spec = NodeSpec(
        "AudioTrackSource",
        "Give the sound of media frames",
        inputs=(Port("input", None, "dicts of frames"),),
        outputs=(Port("output", None, "(samples, rate)"),),
        params=(),
        example="LocalMediaReaderNode path=film.mp4 ! AudioTrackSource "
        "! wav.write path=sound.wav",
        requires=(AV, NUMPY),
        other_params=True,
    )
    track = "audio"

    def convert(self, frame: Any) -> tuple[Any, int]:
        """Returns ``(samples, rate)``."""
        import numpy as np

        samples, channels = frame.to_ndarray(), len(frame.layout.channels)
        if not frame.format.is_planar:
            samples = samples.reshape(-1, channels).T
        if samples.dtype.kind == "u":
            samples = samples.astype(np.float32) / np.float32(128) - np.float32(1)
        elif samples.dtype.kind == "i":
            samples = samples.astype(np.float32) / np.float32(-np.iinfo(samples.dtype).min)
        return np.ascontiguousarray(samples), frame.sample_rate


class VideoTrackSource(TrackSource):
    """Gives pictures as ``(array, pts)``.

    Parameters
    ----------
    output_format : str
        A pixel format of FFmpeg: ``bgr24`` gives the shape (height, width, 3).
    """

    spec = NodeSpec(
        "VideoTrackSource",
        "Give the pictures of media frames",
        inputs=(Port("input", None, "dicts of frames"),),
        outputs=(Port("output", None, "(picture, pts)"),),
        params=(
            Param("output_format", "string", "bgr24", summary="a pixel format of FFmpeg"),
        ),
        example="LocalMediaReaderNode path=film.mp4 ! VideoTrackSource ! json.write path=-",
        requires=(AV, NUMPY),
        other_params=True,
    )
    track = "video"

    def __init__(self, output_format: str = "bgr24", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(output_format, str) or not output_format:
            raise ConfigurationError(
                f"output_format is {output_format!r}, want a pixel format as 'bgr24'",
                code=VALUE_NOT_ACCEPTABLE,
            )
        self.output_format = output_format

    def convert(self, frame: Any) -> tuple[Any, Any]:
        """Returns ``(picture, pts)``, pts in the time base of its track."""
        return frame.to_ndarray(format=self.output_format), frame.pts
