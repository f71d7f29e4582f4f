"""A file read at its pace, its sound resampled: the reader, track source and transform of 0.1."""
import asyncio
import wave

import av
import numpy as np
from remotemedia import Pipeline
from remotemedia.nodes import AudioTrackSource, AudioTransform, MediaReaderNode

with wave.open("tone.wav", "wb") as file:
    file.setnchannels(1)
    file.setsampwidth(2)
    file.setframerate(48000)
    tone = 16384 * np.sin(2 * np.pi * 440 * np.arange(9600) / 48000)
    file.writeframes(tone.astype("<i2").tobytes())


async def main():
    pipeline = Pipeline(name="sound")
    pipeline.add_node(MediaReaderNode(path="tone.wav", name="reader"))
    pipeline.add_node(AudioTrackSource(name="track"))
    pipeline.add_node(AudioTransform(output_sample_rate=24000, output_channels=1, name="mono"))
    results = await pipeline.run()
    samples = np.concatenate([samples for samples, rate in results])
    print(len(results), {rate for samples, rate in results}, samples.shape)
    print(round(float(np.abs(samples).max()), 1))


asyncio.run(main())
