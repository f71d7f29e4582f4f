"""Node types of this package whose code is Python.

``TYPES`` is all that a plan needs of it; the classes that programs of 0.1 import from here come with
their modules at first use::

    from remotemedia.nodes import CalculatorNode, PassThroughNode
"""

from __future__ import annotations

from typing import Any, Final

# Class to module, as in 0.1.
_CLASSES: Final[dict[str, str]] = {
    "AddNode": "simple_math",
    "AudioBuffer": "audio",
    "AudioTrackSource": "source",
    "AudioTransform": "audio",
    "BidirectionalNode": "io",
    "BufferNode": "base",
    "CalculatorNode": "calculator",
    "CodeExecutorNode": "code_executor",
    "DataSinkNode": "io",
    "DataSourceNode": "io",
    "ExtractAudioDataNode": "audio",
    "JavaScriptBridgeNode": "io",
    "LocalMediaReaderNode": "source",
    "MediaReaderNode": "source",
    "MediaWriterNode": "sink",
    "MultiplyNode": "simple_math",
    "PassThroughNode": "base",
    "RemoteExecutionNode": "remote",
    "RemoteObjectExecutionNode": "remote",
    "SerializedClassExecutorNode": "code_executor",
    "StatefulCounter": "custom",
    "TextProcessorNode": "text_processor",
    "TextTransformNode": "transform",
    "TrackSource": "source",
    "TransformersPipelineNode": "ml.transformers_pipeline",
    "VideoTrackSource": "source",
    "VoiceActivityDetector": "audio",
}

# A manifest cannot name these: they run code that would come with it, need an object that it cannot
# hold, or are there to be subclassed.
_NO_TYPES = {
    "CodeExecutorNode",
    "RemoteExecutionNode",
    "RemoteObjectExecutionNode",
    "SerializedClassExecutorNode",
    "TrackSource",
    "TransformersPipelineNode",
}

# Node type to module:Class.
TYPES: Final[dict[str, str]] = {
    "asr.pocketsphinx": "remotemedia.nodes.asr_pocketsphinx:PocketsphinxAsr",
    "media.read": "remotemedia.nodes.media_read:MediaRead",
    "vad.silero": "remotemedia.nodes.vad_silero:SileroVad",
} | {
    name: f"remotemedia.nodes.{module}:{name}"
    for name, module in _CLASSES.items()
    if name not in _NO_TYPES
}

# Names of the native types of 0.1's runtime.
ALIASES: Final[dict[str, str]] = dict.fromkeys(
    ("Echo", "PassThrough"), "remotemedia.nodes.base:PassThroughNode"
)

# What `import *` gives.
_EXPLICIT_ONLY = {
    "BufferNode",
    "CalculatorNode",
    "CodeExecutorNode",
    "ExtractAudioDataNode",
    "LocalMediaReaderNode",
    "PassThroughNode",
    "TextTransformNode",
    "TrackSource",
}
__all__ = sorted(_CLASSES.keys() - _EXPLICIT_ONLY)


def __getattr__(name: str) -> Any:
    module = _CLASSES.get(name)
    if module is None:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_CLASSES})
