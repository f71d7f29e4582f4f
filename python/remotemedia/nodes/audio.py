"""Sound as 0.1 has it: ``(samples, rate)`` or ``(samples, rate, metadata)``, samples an array of the
shape (channels, frames), or of frames alone.

``((samples, rate), metadata)``, which `VoiceActivityDetector` gives, is taken everywhere, too.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import VALUE_NOT_ACCEPTABLE, ConfigurationError
from ..node import Dependency, Node, NodeSpec, Param, Port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

__all__ = ["AudioBuffer", "AudioTransform", "ExtractAudioDataNode", "VoiceActivityDetector"]

NUMPY = Dependency("numpy", "pip install numpy")
SOXR = Dependency("soxr", "pip install soxr")


class _Sound(NamedTuple):
    """An item taken apart."""

    samples: Any
    rate_hz: int
    metadata: Any  # None: it came without
    nested: bool = False  # as ((samples, rate), metadata)

    def made_of(self, samples: Any, rate_hz: int | None = None) -> tuple[Any, ...]:
        """An item of the same form with other samples."""
        pair = (samples, self.rate_hz if rate_hz is None else rate_hz)
        if self.nested:
            return (pair, self.metadata)
        return pair if self.metadata is None else (*pair, self.metadata)


def _sound_of(item: Any) -> _Sound | None:
    """None: the item is no sound."""
    if not isinstance(item, tuple) or len(item) not in (2, 3):
        return None
    if len(item) == 2 and isinstance(item[0], tuple):
        inner = _sound_of(item[0])
        return inner and inner._replace(metadata=item[1], nested=True)
    samples, rate_hz = item[0], item[1]
    is_rate = isinstance(rate_hz, (int, float)) and not isinstance(rate_hz, bool) and rate_hz > 0
    if not is_rate or not hasattr(samples, "shape") or len(samples.shape) not in (1, 2):
        return None
    return _Sound(samples, int(rate_hz), item[2] if len(item) == 3 else None)


def _planes(samples: Any) -> Any:
    """The samples as (channels, frames)."""
    return samples if samples.ndim == 2 else samples[None, :]


class AudioTransform(Node):
    """Changes rate and number of channels.

    First the rate (soxr, high quality; each item for itself), then the channels: to one by their
    mean, from one by repeating it, else the first ones. An item that is no sound passes, with a
    warning in the log.

    Parameters
    ----------
    output_sample_rate : int
        Hz.
    output_channels : int
        At least 1.

    Raises
    ------
    ConfigurationError
        One of them is no such number.

    Notes
    -----
    What comes out has the shape (channels, frames); of one dimension only where two or more
    channels became one.
    """

    spec = NodeSpec(
        "AudioTransform",
        "Change rate and channels of (samples, rate)",
        inputs=(Port("input", None, "sound"),),
        outputs=(Port("output", None, "the same at rate and channels"),),
        params=(
            Param("output_sample_rate", "int", 44100, 1, None, "Hz", summary="of the output"),
            Param("output_channels", "int", 2, 1, None, summary="of the output"),
        ),
        example="media.read path=talk.flac ! AudioTransform output_sample_rate=16000 "
        "! wav.write path=a.wav",
        requires=(NUMPY, SOXR),
        other_params=True,
    )
    stateless = True

    def __init__(
        self, output_sample_rate: int = 44100, output_channels: int = 2, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        for name, value in (
            ("output_sample_rate", output_sample_rate),
            ("output_channels", output_channels),
        ):
            if not isinstance(value, int) or value < 1:
                raise ConfigurationError(
                    f"{name} is {value!r}, want an int, 1 or more", code=VALUE_NOT_ACCEPTABLE
                )
        self.output_sample_rate = output_sample_rate
        self.output_channels = output_channels

    def process(self, data: Any) -> Any:
        """Returns the sound, changed."""
        sound = _sound_of(data)
        if sound is None:
            self.logger.warning("%s: an item is no (samples, rate), it passes", self.name)
            return data
        planes = _planes(sound.samples)
        if sound.rate_hz != self.output_sample_rate:
            planes = _resample(planes, sound.rate_hz, self.output_sample_rate)
        return sound.made_of(self._mix(planes), self.output_sample_rate)

    def _mix(self, planes: Any) -> Any:
        import numpy as np

        channels = planes.shape[0]
        if channels == self.output_channels:
            return planes
        if self.output_channels == 1:
            return planes.mean(axis=0, dtype=np.float32).astype(planes.dtype, copy=False)
        if channels == 1:
            return np.tile(planes, (self.output_channels, 1))
        return planes[: self.output_channels]


def _resample(planes: Any, from_hz: int, to_hz: int) -> Any:
    import numpy as np
    import soxr

    if planes.shape[1] == 0:
        return planes
    known = planes.dtype in (np.float32, np.float64, np.int16, np.int32)
    frames = np.ascontiguousarray(planes.T if known else planes.T.astype(np.float32))
    return np.ascontiguousarray(soxr.resample(frames, from_hz, to_hz, quality="HQ").T)


class AudioBuffer(Node):
    """Cuts sound anew, into arrays of one length; what is left over comes last.

    Where rate or channels change, what is left over goes out first. Anything that is no sound is
    left out, with a warning in the log.

    Parameters
    ----------
    buffer_size_samples : int
        Frames of an array, at least 1.

    Raises
    ------
    ConfigurationError
        ``buffer_size_samples`` is no such number.

    Notes
    -----
    The metadata of an item goes out with the arrays that end within it.
    """

    spec = NodeSpec(
        "AudioBuffer",
        "Cut (samples, rate) into arrays of one length",
        inputs=(Port("input", None, "sound"),),
        outputs=(Port("output", None, "the same in arrays of one length"),),
        params=(
            Param(
                "buffer_size_samples", "int", None, 1, None, "frames", None, "of an array", True
            ),
        ),
        example="media.read path=talk.flac ! AudioBuffer buffer_size_samples=512 "
        "! wav.write path=a.wav",
        requires=(NUMPY,),
        other_params=True,
    )
    is_streaming = True

    def __init__(self, buffer_size_samples: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(buffer_size_samples, int) or buffer_size_samples < 1:
            raise ConfigurationError(
                f"buffer_size_samples is {buffer_size_samples!r}, want an int, 1 or more",
                code=VALUE_NOT_ACCEPTABLE,
            )
        self.buffer_size_samples = buffer_size_samples

    async def process(self, data_stream: AsyncIterator[Any]) -> AsyncIterator[tuple[Any, ...]]:
        """Yields ``(samples of shape (channels, buffer_size_samples), rate[, metadata])``."""
        cutter = _Cutter(self.buffer_size_samples)
        latest: _Sound | None = None
        async for item in data_stream:
            sound = _sound_of(item)
            if sound is None:
                self.logger.warning("%s: an item is no (samples, rate), it is left out", self.name)
                continue
            planes = _planes(sound.samples)
            form = (sound.rate_hz, planes.shape[0], planes.dtype)
            if latest is not None and form != cutter.form:
                for rest in cutter.rest():
                    yield latest.made_of(rest)
            cutter.form, latest = form, sound
            for piece in cutter.cut(planes):
                yield sound.made_of(piece)
        if latest is not None:
            for rest in cutter.rest():
                yield latest.made_of(rest)


class _Cutter:
    """Frames that wait for the rest of their array."""

    def __init__(self, frames: int) -> None:
        self.frames = frames
        self.form: tuple[Any, ...] | None = None
        self._parts: list[Any] = []
        self._held = 0

    def cut(self, planes: Any) -> Iterator[Any]:
        import numpy as np

        at, length = 0, planes.shape[1]
        while self._held + length - at >= self.frames:
            end = at + self.frames - self._held
            part = planes[:, at:end]
            yield np.concatenate([*self._parts, part], axis=1) if self._parts else part
            self._parts, self._held, at = [], 0, end
        if at < length:
            self._parts.append(planes[:, at:].copy())  # the array that it is of may be large
            self._held += length - at

    def rest(self) -> Iterator[Any]:
        import numpy as np

        parts, self._parts, self._held = self._parts, [], 0
        if parts:
            yield np.concatenate(parts, axis=1)


class ExtractAudioDataNode(Node):
    """Gives the samples alone, as one row."""

    spec = NodeSpec(
        "ExtractAudioDataNode",
        "Give the samples of (samples, rate) alone",
        inputs=(Port("input", None, "sound"),),
        outputs=(Port("output", None, "its samples, as one row"),),
        params=(),
        example="media.read path=talk.flac ! ExtractAudioDataNode ! json.write path=-",
        requires=(NUMPY,),
        other_params=True,
    )
    stateless = True

    def process(self, data: Any) -> Any:
        """Returns an array of one dimension; None for what is no sound."""
        sound = _sound_of(data)
        return None if sound is None else sound.samples.reshape(-1)


class VoiceActivityDetector(Node):
    """Tells speech by its energy.

    Sound is looked at in frames, of the mean of its channels; what does not fill a frame waits for
    the next item. A frame is speech where its RMS is above a threshold that adapts::

        0.7 · 2.5 · (30th percentile of the last 100 frames) + 0.3 · energy_threshold

    and an item where the share of such frames among those that end in it is ``speech_threshold``
    or more. An item in which no frame ends is as the one before it.

    Parameters
    ----------
    frame_duration_ms : int
        Length of a frame, ms.
    energy_threshold : float
        RMS, of samples between -1 and 1.
    speech_threshold : float
        Share of the frames, 0 to 1.
    filter_mode : bool
        Whether only speech goes on. False: all does, with ``{"is_speech", "speech_ratio",
        "avg_energy", "frame_duration_ms"}``.
    include_metadata : bool
        Whether these are given; False: the item goes on as it is.
    """

    spec = NodeSpec(
        "VoiceActivityDetector",
        "Tell speech by its energy",
        inputs=(Port("input", None, "sound"),),
        outputs=(Port("output", None, "the same with what was found, or speech alone"),),
        params=(
            Param("frame_duration_ms", "int", 30, 1, None, "ms", summary="length of a frame"),
            Param("energy_threshold", "float", 0.02, 0, None, summary="RMS of a frame"),
            Param("speech_threshold", "float", 0.3, 0, 1, summary="share of the frames"),
            Param("filter_mode", "bool", False, summary="only speech goes on"),
            Param("include_metadata", "bool", True, summary="tell what was found"),
        ),
        example="media.read path=talk.flac ! VoiceActivityDetector ! json.write path=-",
        requires=(NUMPY,),
        other_params=True,
    )
    is_streaming = True

    def __init__(
        self,
        frame_duration_ms: int = 30,
        energy_threshold: float = 0.02,
        speech_threshold: float = 0.3,
        filter_mode: bool = False,
        include_metadata: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not frame_duration_ms > 0:
            raise ConfigurationError(
                f"frame_duration_ms is {frame_duration_ms!r}, want more than 0",
                code=VALUE_NOT_ACCEPTABLE,
            )
        self.frame_duration_ms = frame_duration_ms
        self.energy_threshold = energy_threshold
        self.speech_threshold = speech_threshold
        self.filter_mode = filter_mode
        self.include_metadata = include_metadata

    async def process(self, data_stream: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """Yields items with what was found, or those alone that are speech."""
        frames = _Frames(self.frame_duration_ms, self.energy_threshold)
        found = {"is_speech": False, "speech_ratio": 0.0, "avg_energy": 0.0}
        async for item in data_stream:
            sound = _sound_of(item)
            if sound is None:
                self.logger.warning("%s: an item is no (samples, rate), it is left out", self.name)
                continue
            energies, ratio = frames.look_at(sound)
            if len(energies):
                is_speech = ratio >= self.speech_threshold
                found = {
                    "is_speech": is_speech,
                    "speech_ratio": ratio,
                    "avg_energy": float(energies.mean()),
                }
            result = self._result(item, sound, found)
            if result is not None:
                yield result

    def _result(self, item: Any, sound: _Sound, found: dict[str, Any]) -> Any:
        if self.filter_mode:
            return item if found["is_speech"] else None
        if not self.include_metadata:
            return item
        known = sound.metadata if isinstance(sound.metadata, dict) else {}
        told = {**known, **found, "frame_duration_ms": self.frame_duration_ms}
        return ((_planes(sound.samples), sound.rate_hz), told)


class _Frames:
    """The energies of a stream's frames."""

    KEPT = 100

    def __init__(self, duration_ms: float, threshold: float) -> None:
        self.duration_ms = duration_ms
        self.threshold = threshold
        self._energies: deque[float] = deque(maxlen=self.KEPT)
        self._rest: Any = None
        self._rate_hz = 0

    def look_at(self, sound: _Sound) -> tuple[Any, float]:
        """The energies of the frames that end in it, and the share of those that are speech."""
        import numpy as np

        energies = np.sqrt(np.mean(np.square(self._complete(sound)), axis=1))
        if not len(energies):
            return energies, 0.0
        self._energies.extend(energies.tolist())
        quiet = float(np.percentile(np.fromiter(self._energies, np.float64), 30))
        threshold = 0.7 * 2.5 * quiet + 0.3 * self.threshold
        return energies, float(np.mean(energies > threshold))

    def _complete(self, sound: _Sound) -> Any:
        """The frames that end in it, as rows."""
        import numpy as np

        mono = _mono(sound.samples)
        if self._rest is not None and self._rate_hz == sound.rate_hz:
            mono = np.concatenate((self._rest, mono))
        self._rate_hz = sound.rate_hz
        length = max(1, int(sound.rate_hz * self.duration_ms / 1000))
        count = len(mono) // length
        self._rest = mono[count * length :].copy()
        return mono[: count * length].reshape(count, length)


def _mono(samples: Any) -> Any:
    """The mean of the channels, as float between -1 and 1."""
    import numpy as np

    planes = _planes(samples)
    mono = planes.mean(axis=0, dtype=np.float32)
    if planes.dtype.kind in "iu":
        mono /= float(np.iinfo(planes.dtype).max) + 1.0
    return mono
