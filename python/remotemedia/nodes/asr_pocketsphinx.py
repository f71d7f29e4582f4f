"""asr.pocketsphinx: speech to text, by PyPI ``pocketsphinx``, with an English model inside.

::

    audio, as it arrives ──▶ first pass ──▶ partial {"text": "rather cold", …}
                        └──▶ kept ──▶ end of the region ──▶ second pass ──▶ text {"words": …}

The first pass has to guess the mean of the speaker's spectrum; the second knows that of the whole
utterance, which halves the word errors on short recordings.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ..node import Dependency, Node, NodeSpec, Out, Param, Port
from .vad_silero import RATE_HZ, mono_float, speech_of

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["PocketsphinxAsr"]

FRAMES_A_SECOND = 100
AUDIO = "audio rate_hz=16000 channels=1 sample_format=f32,s16"
INSTALL = "pip install pocketsphinx"
# HMMs that the search follows at a time. 30,000, the library's default, takes half as long again and
# finds the same words.
HMM_MAX = 3000


class PocketsphinxAsr(Node):
    """Speech to text.

    An utterance is a region of ``vad.silero``, or else the whole stream. Results are dicts, the
    first on the output ``partial``, the second on ``text``::

        {"type": "partial", "utterance": 1, "start_s": 0.15, "end_s": 0.8, "text": "he was"}
        {"type": "final", "utterance": 1, "start_s": 0.15, "end_s": 2.99, "text": "he was not …",
         "words": [{"word": "he", "start_s": 0.31, "end_s": 0.42, "confidence": 0.81}, …]}

    ``confidence`` is the word's probability among the alternatives, 0 to 1. Times are in seconds of
    the stream, with a resolution of 10 ms. An utterance without a word has no final result. The
    parameters are those of ``spec``.

    Notes
    -----
    A new stream gets a decoder that remembers nothing; the model's 40 MB are loaded once.
    """

    spec = NodeSpec(
        name="asr.pocketsphinx",
        summary="Speech to text, with partial words as it arrives and the times of words",
        inputs=(Port("audio", AUDIO, "speech"),),
        outputs=(
            Port("text", "value", "final results"),
            Port("partial", "value", "words so far"),
        ),
        params=(
            Param("partials", "bool", True, summary="decode while it arrives, too"),
            Param(
                "partial_ms", "int", 200, 10, 60000, "ms", None, "least time from one to the next"
            ),
            Param("utterance_s_max", "float", 30.0, 1, 600, "s", None, "longer speech is cut"),
            Param("hmm", "string", summary="folder of an acoustic model; English if absent"),
            Param("lm", "string", summary="file of a language model; English if absent"),
            Param("dict", "string", summary="file of a dictionary; English if absent"),
        ),
        example="media.read path=talk.flac ! audio.resample rate_hz=16000 ! vad.silero "
        "! asr.pocketsphinx ! json.write path=-",
        requires=(
            Dependency("pocketsphinx", INSTALL),
            Dependency("numpy", "pip install numpy"),
        ),
    )
    blocking = True

    def __init__(
        self,
        partials: bool = True,
        partial_ms: int = 200,
        utterance_s_max: float = 30.0,
        hmm: str | None = None,
        lm: str | None = None,
        dict: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.partials = partials
        self.partial_samples = partial_ms * RATE_HZ // 1000
        self.samples_max = int(utterance_s_max * RATE_HZ)
        self._options = {"hmm": hmm, "lm": lm, "dict": dict}
        self._decoder: Any = None
        self._count = 0
        self._clear()

    def _clear(self) -> None:
        """Ready for the next utterance."""
        self._kept: list[bytes] = []
        self._samples = 0
        self._start_s: float | None = None
        self._told_at = 0
        self._text = ""

    def initialize(self) -> None:
        """Loads the model if need be; begins a new stream."""
        if self._decoder is None:
            from pocketsphinx import Decoder

            options = {key: value for key, value in self._options.items() if value is not None}
            self._decoder = Decoder(
                loglevel="FATAL", fwdflat=False, maxhmmpf=HMM_MAX, samprate=RATE_HZ, **options
            )
        self._decoder.reinit_feat()
        self._count = 0
        self._clear()

    def interrupt(self) -> None:
        """Drops an utterance that is open: what was said of it is not wanted any more."""
        self.cleanup()
        self._decoder.reinit_feat()

    def cleanup(self) -> None:
        """Ends an utterance that is open."""
        if self._start_s is not None:
            if self.partials:
                self._decoder.end_utt()
            self._clear()

    def process(self, audio: Any) -> Iterator[Out]:
        """Audio of speech, 16 kHz mono; yields partial and final results, by port.

        Raises
        ------
        NodeError
            Another rate, or more than one channel.
        """
        data, samples = _pcm(audio)
        speech = speech_of(audio) or {}
        if speech.get("state") == "start":
            yield from self.flush()
        if self._start_s is None:
            self._begin(getattr(audio, "pts_ns", None))
        self._kept.append(data)
        self._samples += samples
        if self.partials:
            self._decoder.process_raw(data)
            if self._samples - self._told_at >= self.partial_samples:
                yield from self._partial()
        if speech.get("state") == "end" or self._samples >= self.samples_max:
            yield from self._finish()

    def _begin(self, pts_ns: int | None) -> None:
        self._start_s = (pts_ns or 0) / 1e9
        self._count += 1
        if self.partials:
            self._decoder.start_utt()

    def _partial(self) -> Iterator[Out]:
        self._told_at = self._samples
        hypothesis = self._decoder.hyp()
        text = hypothesis.hypstr if hypothesis else ""
        if text != self._text:
            self._text = text
            start_s = round(self._start_s or 0.0, 2)
            end_s = round((self._start_s or 0.0) + self._samples / RATE_HZ, 2)
            told = {
                "type": "partial",
                "utterance": self._count,
                "start_s": start_s,
                "end_s": end_s,
                "text": text,
            }
            yield Out("partial", told)

    def flush(self) -> Iterator[Out]:
        """The result of an utterance that is open at the end of the stream."""
        if self._start_s is not None:
            yield from self._finish()

    def _finish(self) -> Iterator[Out]:
        """The second pass, over the whole utterance."""
        decoder, start_s = self._decoder, self._start_s or 0.0
        if self.partials:
            decoder.end_utt()
        end_s = start_s + self._samples / RATE_HZ
        whole = b"".join(self._kept)
        count = self._count
        self._clear()
        # Without it the noise estimate of what was heard before changes the words.
        decoder.reinit_feat()
        decoder.start_utt()
        decoder.process_raw(whole, full_utt=True)
        mean = decoder.get_cmn(False)
        decoder.end_utt()
        words = [word for word in (_word(s, start_s) for s in decoder.seg() or ()) if word]
        # The next first pass begins as if it had heard nothing but this speaker.
        decoder.reinit_feat()
        decoder.set_cmn(mean)
        if words:
            result = {
                "type": "final",
                "utterance": count,
                "start_s": round(start_s, 2),
                "end_s": round(end_s, 2),
                "text": " ".join(word["word"] for word in words),
                "words": words,
            }
            yield Out("text", result)


def _word(segment: Any, start_s: float) -> dict[str, Any] | None:
    """A segment of the decoder; None for silence, noise and the marks of begin and end."""
    if segment.word[0] in "<[+":
        return None
    return {
        "word": re.sub(r"\(\d+\)$", "", segment.word),
        "start_s": round(start_s + segment.start_frame / FRAMES_A_SECOND, 2),
        "end_s": round(start_s + (segment.end_frame + 1) / FRAMES_A_SECOND, 2),
        "confidence": round(min(segment.prob, 1.0), 3),
    }


def _pcm(audio: Any) -> tuple[bytes, int]:
    """16 bit samples as bytes, and their number."""
    import numpy as np

    samples = mono_float(audio)
    data = np.clip(np.rint(samples * 32768), -32768, 32767).astype("<i2")
    return data.tobytes(), len(data)
