"""Audio and video as Python nodes see them.

``Audio`` is the pair ``(samples, rate_hz)`` with the time and the metadata of its packet, so that
``samples, rate_hz = audio`` works, and a node may return a plain ``(samples, rate_hz)`` as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Audio", "Video"]


class Audio(tuple[Any, int]):
    """A stretch of sound: the pair ``(samples, rate_hz)``.

    Parameters
    ----------
    samples : ndarray, shape (channels, frames)
        float32 of nominal range -1 to +1, or int16.
    rate_hz : int
        Frames a second.
    pts_ns : int or None
        Time of the first frame, ns; None: not known.
    duration_ns : int or None
        None: frames / rate_hz.
    metadata : mapping or None
        Values of the value model that travel with the packet.

    Notes
    -----
    Two Audio objects are equal if they are the same object. Threads: immutable, the
    samples are not.
    """

    pts_ns: int | None
    duration_ns: int | None
    metadata: Mapping[str, Any] | None

    def __new__(
        cls,
        samples: Any,
        rate_hz: int,
        pts_ns: int | None = None,
        duration_ns: int | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Audio:
        self = tuple.__new__(cls, (samples, rate_hz))
        self.pts_ns = pts_ns
        self.duration_ns = duration_ns
        self.metadata = metadata
        return self

    @property
    def samples(self) -> Any:
        """The samples, shape (channels, frames)."""
        return self[0]

    @property
    def rate_hz(self) -> int:
        """Frames a second."""
        return self[1]

    @property
    def frames(self) -> int:
        """Number of frames (one sample per channel)."""
        return int(self[0].shape[-1])

    @property
    def channels(self) -> int:
        """Number of channels; a one-dimensional array is one channel."""
        return int(self[0].shape[0]) if len(self[0].shape) > 1 else 1

    def __eq__(self, other: object) -> bool:
        return self is other

    def __ne__(self, other: object) -> bool:
        return self is not other

    def __hash__(self) -> int:
        return id(self)

    def __reduce__(self) -> Any:
        fields = (self[0], self[1], self.pts_ns, self.duration_ns, self.metadata)
        return type(self), fields

    def __repr__(self) -> str:
        at = "" if self.pts_ns is None else f" at {self.pts_ns / 1e9:.3f} s"
        return f"<Audio {self.channels}x{self.frames} {self.rate_hz} Hz{at}>"


class Video:
    """A picture.

    Parameters
    ----------
    planes : sequence of buffers
        One for each plane of the pixel format; a row may be longer than the picture is wide.
    width, height : int
        In pixels.
    fourcc : str
        Pixel format by name: I420 NV12 RGB3 RGBA GREY.
    pts_ns : int or None
        When it is shown, ns; None: not known.
    strides : sequence of int, or None
        Bytes from one row of each plane to the next; None: rows are packed.
    metadata : mapping or None
        Values of the value model that travel with the packet.
    duration_ns : int or None
        How long it is shown, ns; None: not known.
    """

    __slots__ = (
        "duration_ns",
        "fourcc",
        "height",
        "metadata",
        "planes",
        "pts_ns",
        "strides",
        "width",
    )

    def __init__(
        self,
        planes: Sequence[Any],
        width: int,
        height: int,
        fourcc: str,
        pts_ns: int | None = None,
        strides: Sequence[int] | None = None,
        metadata: Mapping[str, Any] | None = None,
        duration_ns: int | None = None,
    ) -> None:
        self.planes = planes
        self.width = width
        self.height = height
        self.fourcc = fourcc
        self.pts_ns = pts_ns
        self.strides = strides
        self.metadata = metadata
        self.duration_ns = duration_ns

    def to_ndarray(self) -> Any:
        """The picture as an array that shares its memory.

        Returns
        -------
        ndarray of uint8
            Shape (height, width, 3 or 4) for RGB3 and RGBA, (height, width) for GREY.

        Raises
        ------
        ValueError
            Another pixel format (put ``video.scale`` with ``fourcc=RGB3`` before the node), or a
            plane that is too small.
        """
        channels = {"RGB3": 3, "RGBA": 4, "GREY": 1}.get(self.fourcc)
        if channels is None:
            raise ValueError(
                f"fourcc is {self.fourcc}, want RGB3, RGBA or GREY; "
                f"put video.scale with fourcc=RGB3 before the node"
            )
        import numpy as np

        rows = np.frombuffer(self.planes[0], np.uint8)
        stride = self.strides[0] if self.strides else self.width * channels
        wanted = stride * (self.height - 1) + self.width * channels
        if stride < self.width * channels or len(rows) < wanted:
            raise ValueError(f"plane 0 has {len(rows)} bytes, want {wanted} for {self!r}")
        shape = (self.height, self.width, channels)
        picture = np.lib.stride_tricks.as_strided(rows, shape, (stride, channels, 1))
        return picture[:, :, 0] if channels == 1 else picture

    def __repr__(self) -> str:
        at = "" if self.pts_ns is None else f" at {self.pts_ns / 1e9:.3f} s"
        return f"<Video {self.width}x{self.height} {self.fourcc}{at}>"
