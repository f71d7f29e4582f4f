"""`MediaWriterNode`: writes PyAV frames into a media file."""

from __future__ import annotations

import os
from typing import Any

from ..node import Node, NodeSpec, Param, Port
from ._convention import error_dict
from .source import AV

__all__ = ["MediaWriterNode"]

PICTURES_A_SECOND = 30
VIDEO_CLOCK_HZ = 90000
LOOKED_AT = 100  # items, at most, before it is known which tracks there are


class MediaWriterNode(Node):
    """Writes ``{"audio": frame}`` and ``{"video": frame}`` into a file.

    Parameters
    ----------
    output_path : str or os.PathLike
        Its ending says the container. Sound is PCM of 16 bits in ``.wav``, else AAC; pictures are
        H.264, those without a time 30 a second.

    Notes
    -----
    A container says its tracks at its head: the file has those that come with the first 100 items,
    and begins earlier once both are known. A frame of another track later, and an item without
    frames, give an error dict. The file is complete after `cleanup`.
    """

    spec = NodeSpec(
        "MediaWriterNode",
        "Write media frames into a file",
        inputs=(Port("input", None, "dicts of frames"),),
        outputs=(Port("output", None, "what could not be written"),),
        params=(
            Param("output_path", "string", required=True, summary="the file"),
        ),
        example="LocalMediaReaderNode path=film.mp4 ! MediaWriterNode output_path=copy.mp4 "
        "! json.write path=-",
        requires=(AV,),
        other_params=True,
    )
    is_sink = True
    blocking = True

    def __init__(self, output_path: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.output_path = os.fspath(output_path)
        self._file: Any = None
        self._tracks: dict[str, Any] = {}
        self._waiting: list[tuple[str, Any]] = []
        self._pictures = 0

    def initialize(self) -> Any:
        """Opens the file.

        Raises
        ------
        OSError
            It cannot be written.
        """
        import av

        self._tracks, self._waiting, self._pictures = {}, [], 0
        self._file = av.open(self.output_path, "w")
        return super().initialize()

    def process(self, data: Any) -> dict[str, Any] | None:
        """Writes the frames of an item; returns None, or what was wrong with it."""
        kinds = [k for k in ("audio", "video") if k in data] if isinstance(data, dict) else []
        if not kinds:
            return error_dict(self, "Input must be a dict with 'audio' or 'video'", input=data)
        late = [kind for kind in kinds if self._tracks and kind not in self._tracks]
        for kind in kinds:
            if kind not in late:
                self._write(kind, data[kind])
        if late:
            return error_dict(self, f"The file has no track for {' and '.join(late)}", input=data)
        return None

    def _write(self, kind: str, frame: Any) -> None:
        if self._tracks:
            self._encode(kind, frame)
            return
        self._waiting.append((kind, frame))
        if len({kind for kind, _ in self._waiting}) > 1 or len(self._waiting) >= LOOKED_AT:
            self._begin()

    def _begin(self) -> None:
        """Writes what has waited, with a track for each kind of it."""
        waiting, self._waiting = self._waiting, []
        for kind, frame in waiting:
            if kind not in self._tracks:
                add = self._add_audio if kind == "audio" else self._add_video
                self._tracks[kind] = add(frame)
        for kind, frame in waiting:
            self._encode(kind, frame)

    def _add_audio(self, frame: Any) -> Any:
        codec = "pcm_s16le" if self.output_path.lower().endswith(".wav") else "aac"
        return self._file.add_stream(codec, rate=frame.sample_rate, layout=frame.layout.name)

    def _add_video(self, frame: Any) -> Any:
        from fractions import Fraction

        track = self._file.add_stream("libx264", rate=PICTURES_A_SECOND)
        track.width, track.height, track.pix_fmt = frame.width, frame.height, "yuv420p"
        track.codec_context.time_base = Fraction(1, VIDEO_CLOCK_HZ)
        return track

    def _encode(self, kind: str, frame: Any) -> None:
        from fractions import Fraction

        if kind == "video" and frame.pts is None:
            frame.pts, frame.time_base = self._pictures, Fraction(1, PICTURES_A_SECOND)
        self._pictures += kind == "video"
        self._file.mux(self._tracks[kind].encode(frame))

    def flush(self) -> None:
        """Writes what the encoders hold back."""
        self._begin()
        for track in self._tracks.values():
            self._file.mux(track.encode(None))

    def cleanup(self) -> Any:
        """Completes the file."""
        file, self._file = self._file, None
        if file is not None:
            file.close()
        return super().cleanup()
