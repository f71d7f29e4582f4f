"""vad.silero: lets speech through, and says where it begins and ends.

::

    audio, 16 kHz mono ──▶ windows of 512 ──▶ probability ──▶ regions ──▶ audio of the regions
                           + 64 of the one                    hysteresis, least lengths, padding
                             before

The model (PyPI ``silero-vad``, run by ``onnxruntime``) hears nothing, and says nothing about it,
unless each window of 512 samples is preceded by the 64 before it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import PYTHON_VALUE, VALUE_NOT_ACCEPTABLE, NodeError, PipelineError
from ..media import Audio
from ..node import Dependency, Node, NodeSpec, Out, Param, Port

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["SileroVad", "speech_of"]

RATE_HZ = 16000
AUDIO = "audio rate_hz=16000 channels=1 sample_format=f32"
WINDOW = 512
CONTEXT = 64
GAP_NS = 100_000_000  # a jump in time beyond it begins a new stream
MODEL = "silero_vad_16k_op15.onnx"
INSTALL_MODEL = "pip install --no-deps silero-vad"
INSTALL_RUNTIME = "pip install onnxruntime"


class SileroVad(Node):
    """Lets speech through.

    Each packet on the output ``audio`` belongs to a region of speech and has the metadata
    ``speech``::

        {"region": 1, "state": "start"}                     then "speech" …, then
        {"region": 1, "state": "end", "start_ns": …, "end_ns": …, "probability": 0.93}

    ``probability`` is the mean over the region; a region of one packet has the state "end" only.
    The output ``regions`` gives the same as dicts::

        {"type": "start", "region": 1, "start_s": 0.088}
        {"type": "end", "region": 1, "start_s": 0.088, "end_s": 5.3, "probability": 0.93}

    The parameters are those of ``spec``.

    Notes
    -----
    A region begins where the probability reaches ``threshold`` and ends where it stayed
    below ``threshold`` - 0.15 for ``min_silence_ms``. It goes out once it has lasted
    ``min_speech_ms``, from then on 32 ms late; such a window is the step of all times. A jump of
    more than 100 ms between the time of a packet and the end of the one before ends the region.
    """

    spec = NodeSpec(
        name="vad.silero",
        summary="Let speech through, by the Silero voice activity model",
        inputs=(Port("audio", AUDIO, "sound that may hold speech"),),
        outputs=(
            Port("audio", AUDIO, "speech alone"),
            Port("regions", "value", "where speech begins and ends"),
        ),
        params=(
            Param("threshold", "float", 0.5, 0.05, 0.95, None, None, "probability that is speech"),
            Param("min_speech_ms", "int", 250, 0, 60000, "ms", None, "shorter speech is left out"),
            Param("min_silence_ms", "int", 300, 0, 60000, "ms", None, "shorter pauses are kept"),
            Param("pad_ms", "int", 200, 0, 10000, "ms", None, "what is kept on either side"),
        ),
        example="media.read path=talk.flac ! audio.resample rate_hz=16000 ! vad.silero "
        "! asr.pocketsphinx ! json.write path=-",
        requires=(
            Dependency("onnxruntime", INSTALL_RUNTIME),
            Dependency("silero_vad", INSTALL_MODEL),
        ),
    )
    blocking = True

    def __init__(
        self,
        threshold: float = 0.5,
        min_speech_ms: int = 250,
        min_silence_ms: int = 300,
        pad_ms: int = 200,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.threshold = threshold
        self.min_speech_ms = min_speech_ms
        self.min_silence_ms = min_silence_ms
        self.pad_ms = pad_ms
        self._model: _Model | None = None
        self._regions = _Regions(threshold, min_speech_ms, min_silence_ms, pad_ms)

    def initialize(self) -> None:
        """Loads the model; begins a new stream."""
        self._model = self._model or _Model(find_model())
        self._regions.count = 0
        self._begin()

    def _begin(self) -> None:
        import numpy as np

        assert self._model is not None
        self._model.reset()
        self._regions = _Regions(
            self.threshold,
            self.min_speech_ms,
            self.min_silence_ms,
            self.pad_ms,
            self._regions.count,
        )
        self._rest = np.zeros(0, np.float32)

    def interrupt(self) -> None:
        """Drops the sound that is held back, and begins a new stream; regions go on being counted."""
        self._begin()

    def process(self, audio: Any) -> Iterator[Out]:
        """Audio of any length, 16 kHz mono; yields that of speech, by port.

        Raises
        ------
        NodeError
            Another rate, or more than one channel.
        """
        import numpy as np

        samples = mono_float(audio)
        pts_ns = getattr(audio, "pts_ns", None)
        if pts_ns is not None and abs(pts_ns - self._expected_ns(pts_ns)) > GAP_NS:
            yield from self.flush()
        if self._regions.at_ns is None:
            self._regions.at_ns = pts_ns or 0
        data = np.concatenate((self._rest, samples)) if len(self._rest) else samples
        whole = len(data) // WINDOW * WINDOW
        for begin in range(0, whole, WINDOW):
            yield from self._window(data[begin : begin + WINDOW])
        self._rest = data[whole:].copy()

    def _expected_ns(self, otherwise_ns: int) -> int:
        """When the next sample should be, if what came before has a time."""
        regions = self._regions
        return otherwise_ns if regions.at_ns is None else regions.next_ns(len(self._rest))

    def _window(self, window: Any) -> Iterator[Out]:
        assert self._model is not None
        return _by_port(self._regions.add(window, self._model.probability(window)))

    def flush(self) -> Iterator[Out]:
        """The last, incomplete window, and the end of a region that is open."""
        import numpy as np

        rest = self._rest
        if len(rest):
            assert self._model is not None
            window = np.concatenate((rest, np.zeros(WINDOW - len(rest), np.float32)))
            yield from _by_port(self._regions.add(rest, self._model.probability(window)))
        yield from _by_port(self._regions.finish())
        self._begin()


def _by_port(pieces: Iterable[Audio]) -> Iterator[Out]:
    """What goes out for packets of speech: they, and at a region's ends an event."""
    for audio in pieces:
        yield Out("audio", audio)
        event = _event(audio)
        if event is not None:
            yield Out("regions", event)


def _event(audio: Audio) -> dict[str, Any] | None:
    speech = dict((audio.metadata or {})["speech"])
    if speech["state"] == "speech":
        return None
    event: dict[str, Any] = {"type": speech["state"], "region": speech["region"]}
    if speech["state"] == "start":
        event["start_s"] = round((audio.pts_ns or 0) / 1e9, 3)
    else:
        event["start_s"] = round(speech["start_ns"] / 1e9, 3)
        event["end_s"] = round(speech["end_ns"] / 1e9, 3)
        event["probability"] = speech["probability"]
    return event


class _Model:
    """The network: 512 samples to a probability, with what it remembers of those before."""

    def __init__(self, path: str) -> None:
        import numpy as np
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
        self._input = np.zeros((1, CONTEXT + WINDOW), np.float32)
        self._rate = np.array(RATE_HZ, np.int64)
        self.reset()

    def reset(self) -> None:
        """Forgets all."""
        import numpy as np

        self._state = np.zeros((2, 1, 128), np.float32)
        self._input[:] = 0

    def probability(self, window: Any) -> float:
        """Of speech in these 512 samples, 0 to 1."""
        self._input[0, :CONTEXT] = self._input[0, WINDOW:]
        self._input[0, CONTEXT:] = window
        feed = {"input": self._input, "state": self._state, "sr": self._rate}
        output, self._state = self._session.run(None, feed)
        return float(output[0, 0])


class _Regions:
    """From windows and probabilities to the audio of regions."""

    def __init__(
        self,
        threshold: float,
        min_speech_ms: int,
        min_silence_ms: int,
        pad_ms: int,
        count: int = 0,
    ) -> None:
        self.threshold = threshold
        self.keep_on = threshold - 0.15
        self.min_speech = min_speech_ms * RATE_HZ // 1000
        self.min_silence = min_silence_ms * RATE_HZ // 1000
        self.pad = pad_ms * RATE_HZ // 1000
        self.at_ns: int | None = None  # time of sample 0
        self.count = count  # of regions that went out
        self._position = 0  # samples seen
        self._held: list[Any] = []  # samples that did not go out yet, the oldest first
        self._held_samples = 0
        self._is_open = False
        self._went_out = False
        self._speech_begin = 0
        self._speech_end = 0
        self._start = 0  # of the region with its padding
        self._sum = 0.0
        self._windows = 0

    def add(self, window: Any, probability: float) -> Iterator[Audio]:
        """One window; its audio may go out now, later, or never."""
        self._held.append(window)
        self._held_samples += len(window)
        self._position += len(window)
        is_speech = probability >= (self.keep_on if self._is_open else self.threshold)
        if is_speech and not self._is_open:
            self._begin(self._position - len(window))
        if not self._is_open:
            self._drop(self.pad)
            return
        self._sum += probability
        self._windows += 1
        if is_speech:
            self._speech_end = self._position
            ready = self._went_out or self._position - self._speech_begin >= self.min_speech
            # One window stays back, so that there is a packet to say "end" with.
            if ready and self._held_samples > len(window):
                yield self._emit("speech", self._held_samples - len(window))
        elif self._position - self._speech_end >= self.min_silence:
            yield from self._end()

    def next_ns(self, behind: int) -> int:
        """The time of the sample that comes after ``behind`` further ones."""
        return self._time(self._position + behind)

    def finish(self) -> Iterator[Audio]:
        """The end of the stream."""
        if self._is_open:
            yield from self._end()

    def _begin(self, at: int) -> None:
        self._is_open = True
        self._went_out = False
        self._speech_begin = at
        self._start = max(at - self.pad, self._position - self._held_samples)
        self._drop(self._position - self._start)
        self._sum = 0.0
        self._windows = 0

    def _end(self) -> Iterator[Audio]:
        long_enough = self._speech_end - self._speech_begin >= self.min_speech
        if self._went_out or long_enough:
            before = self._position - self._held_samples
            yield self._emit("end", min(self._speech_end + self.pad, self._position) - before)
        self._is_open = False
        self._drop(self.pad)

    def _emit(self, state: str, samples: int) -> Audio:
        """The oldest held samples as a packet."""
        import numpy as np

        data = np.concatenate(self._held)
        begin = self._position - self._held_samples
        self._held = [data[samples:]] if samples < len(data) else []
        self._held_samples -= samples
        if not self._went_out:
            self._went_out = True
            self.count += 1
            state = "start" if state == "speech" else state
        speech: dict[str, Any] = {"region": self.count, "state": state}
        if state == "end":
            speech["start_ns"] = self._time(self._start)
            speech["end_ns"] = self._time(begin + samples)
            speech["probability"] = round(self._sum / max(self._windows, 1), 4)
        pts_ns = self._time(begin)
        duration_ns = self._time(begin + samples) - pts_ns
        piece = data[:samples].reshape(1, -1)
        return Audio(piece, RATE_HZ, pts_ns, duration_ns, {"speech": speech})

    def _time(self, sample: int) -> int:
        return (self.at_ns or 0) + sample * 1_000_000_000 // RATE_HZ

    def _drop(self, keep: int) -> None:
        """Forgets held samples but for the newest ``keep``."""
        surplus = self._held_samples - keep
        while surplus > 0:
            oldest = self._held[0]
            if len(oldest) <= surplus:
                del self._held[0]
                dropped = len(oldest)
            else:
                self._held[0] = oldest[surplus:]
                dropped = surplus
            self._held_samples -= dropped
            surplus -= dropped


def find_model() -> str:
    """Path of the model's file.

    Raises
    ------
    PipelineError
        The package silero-vad is installed without it.
    """
    from importlib.metadata import PackageNotFoundError, files

    try:
        found = [f for f in files("silero-vad") or () if f.name == MODEL]
    except PackageNotFoundError:
        found = []
    if not found:
        raise PipelineError(
            f"the package silero-vad has no file {MODEL}",
            code=VALUE_NOT_ACCEPTABLE,
            help=f"{INSTALL_MODEL} --upgrade",
        )
    return str(found[0].locate())


def mono_float(audio: Any) -> Any:
    """The samples of 16 kHz mono audio as a float32 array of one dimension."""
    import numpy as np

    samples, rate_hz = np.asarray(audio[0]), audio[1]
    if rate_hz != RATE_HZ:
        raise _wrong(f"audio of {rate_hz} Hz, want {RATE_HZ}", f"audio.resample rate_hz={RATE_HZ}")
    if samples.ndim == 2 and samples.shape[0] == 1:
        samples = samples[0]
    if samples.ndim != 1:
        raise _wrong(
            f"audio of shape {samples.shape}, want one channel", "audio.convert channels=1"
        )
    if samples.dtype == np.int16:
        return samples.astype(np.float32) / 32768
    return samples.astype(np.float32, copy=False)


def _wrong(what: str, node: str) -> PipelineError:
    return NodeError(what, code=PYTHON_VALUE, help=f"put the node {node} before it")


def speech_of(audio: Any) -> dict[str, Any] | None:
    """What vad.silero says about a packet, or None: it does not come from there."""
    metadata = getattr(audio, "metadata", None)
    if metadata is None and len(audio) > 2:
        metadata = audio[2]
    return (metadata or {}).get("speech")
