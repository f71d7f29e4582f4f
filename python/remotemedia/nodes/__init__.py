"""Node types of this package whose code is Python. ``TYPES`` is all that a plan needs of it."""

from __future__ import annotations

from typing import Final

__all__ = ["TYPES"]

# Node type to module:Class.
TYPES: Final[dict[str, str]] = {
    "asr.pocketsphinx": "remotemedia.nodes.asr_pocketsphinx:PocketsphinxAsr",
    "media.read": "remotemedia.nodes.media_read:MediaRead",
    "vad.silero": "remotemedia.nodes.vad_silero:SileroVad",
}
