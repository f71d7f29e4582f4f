"""Resample, cut, and tell speech: the audio chain of the 0.1 examples, with numpy."""
import asyncio

import numpy as np
from remotemedia import Pipeline
from remotemedia.nodes import AudioBuffer, AudioTransform, VoiceActivityDetector

RATE = 48000


def chunks(seconds, loud):
    times = np.arange(int(RATE * seconds)) / RATE
    tone = (0.5 if loud else 0.001) * np.sin(2 * np.pi * 440 * times)
    stereo = np.stack([tone, tone]).astype(np.float32)
    return [(stereo[:, at:at + 960], RATE) for at in range(0, stereo.shape[1], 960)]


async def main():
    pipeline = Pipeline(name="audio")
    pipeline.add_node(AudioTransform(output_sample_rate=16000, output_channels=1, name="transform"))
    pipeline.add_node(AudioBuffer(buffer_size_samples=1600, name="buffer"))
    pipeline.add_node(VoiceActivityDetector(frame_duration_ms=20, name="vad"))
    results = await pipeline.run(chunks(0.5, False) + chunks(0.5, True))
    for (samples, rate), told in results:
        print(samples.shape, rate, told["is_speech"])


asyncio.run(main())
