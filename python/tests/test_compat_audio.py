"""The sound nodes of 0.1, each as its row of the contract says."""

import logging

import numpy as np
import pytest
import soxr

from remotemedia import ConfigurationError, Pipeline
from remotemedia.nodes import (
    AudioBuffer,
    AudioTransform,
    ExtractAudioDataNode,
    VoiceActivityDetector,
)

contract = pytest.mark.contract
RATE = 48000


def run(nodes, data):
    return Pipeline(nodes).run_sync(data)


def noise(channels, frames, seed=1):
    return np.random.default_rng(seed).uniform(-0.5, 0.5, (channels, frames)).astype(np.float32)


def transform(samples, rate, **params):
    (result, rate) = run([AudioTransform(**params)], (samples, rate))
    return result, rate


@contract("2 AudioTransform (audio)")
def test_transform_resamples_as_soxr_does_then_mixes():
    stereo = noise(2, 4800)
    result, rate = transform(stereo, RATE, output_sample_rate=16000, output_channels=1)
    wanted = soxr.resample(stereo.T, RATE, 16000, quality="HQ").mean(axis=1)
    assert rate == 16000
    assert result.shape == (1600,)  # of one dimension where channels were mixed
    np.testing.assert_allclose(result, wanted, atol=1e-6)


@contract("2 AudioTransform (audio)")
@pytest.mark.parametrize(
    ("shape", "channels", "wanted"),
    [((100,), 1, (1, 100)), ((1, 100), 1, (1, 100)), ((1, 100), 2, (2, 100)), ((2, 100), 1, (100,)),
     ((6, 100), 2, (2, 100)), ((2, 100), 2, (2, 100)), ((2, 100), 4, (2, 100))],
)
def test_transform_gives_these_shapes(shape, channels, wanted):
    samples = noise(1, int(np.prod(shape))).reshape(shape)
    result, rate = transform(samples, RATE, output_sample_rate=RATE, output_channels=channels)
    assert (result.shape, rate, result.dtype) == (wanted, RATE, np.float32)
    planes = samples if samples.ndim == 2 else samples[None]
    if wanted == (100,):
        np.testing.assert_allclose(result, planes.mean(axis=0), atol=1e-7)
    else:
        np.testing.assert_array_equal(result[0], planes[0])


@contract("2 AudioTransform (audio)")
def test_transform_keeps_metadata_and_lets_other_items_pass(caplog):
    nodes = [AudioTransform(output_sample_rate=RATE, output_channels=2)]
    with caplog.at_level(logging.WARNING):
        assert run(nodes, "no sound") == "no sound"
    assert "an item is no (samples, rate)" in caplog.text
    samples, rate, told = run(nodes, (noise(1, 10), RATE, {"session_id": "a"}))
    assert (samples.shape, rate, told) == ((2, 10), RATE, {"session_id": "a"})
    (samples, rate), told = run(nodes, ((noise(1, 10), RATE), {"is_speech": True}))
    assert (samples.shape, rate, told) == ((2, 10), RATE, {"is_speech": True})
    with pytest.raises(ConfigurationError, match="output_channels is 0"):
        AudioTransform(output_channels=0)


@contract("2 AudioTransform (audio)")
def test_transform_takes_integers():
    samples = (noise(2, 480) * 32767).astype(np.int16)
    result, _ = transform(samples, RATE, output_sample_rate=24000, output_channels=1)
    assert (result.dtype, result.shape) == (np.int16, (240,))


@contract("2 AudioBuffer (audio)")
def test_buffer_cuts_anew_and_loses_nothing():
    whole = noise(2, 1000)
    items = [(whole[:, at : at + 70], RATE) for at in range(0, 1000, 70)]
    node = AudioBuffer(buffer_size_samples=128)
    for _ in range(2):  # the second run has nothing of the first
        results = run([node], items)
        assert [r[0].shape for r in results] == [(2, 128)] * 7 + [(2, 104)]
        assert {r[1] for r in results} == {RATE}
        np.testing.assert_array_equal(np.concatenate([r[0] for r in results], axis=1), whole)
    assert node.get_params() == {"buffer_size_samples": 128}


@contract("2 AudioBuffer (audio)")
def test_buffer_begins_anew_where_the_format_changes(caplog):
    items = [(noise(1, 100), RATE), "no sound", (noise(1, 100), 16000), (noise(2, 100), 16000)]
    results = run([AudioBuffer(80)], items)
    assert [(r[0].shape, r[1]) for r in results] == [
        ((1, 80), RATE), ((1, 20), RATE), ((1, 80), 16000), ((1, 20), 16000), ((2, 80), 16000),
        ((2, 20), 16000),
    ]
    assert "it is left out" in caplog.text


@contract("2 ExtractAudioDataNode (audio)")
def test_extract_gives_one_row():
    samples = noise(2, 3)
    np.testing.assert_array_equal(run([ExtractAudioDataNode()], (samples, RATE)), samples.reshape(-1))
    assert run([ExtractAudioDataNode()], "no sound") is None


def speech(seconds=1.0, chunk=960):
    """Loud between a third and two thirds, quiet noise else."""
    frames = int(RATE * seconds)
    samples = noise(1, frames) * 0.01
    samples[:, frames // 3 : 2 * frames // 3] *= 60
    return [(samples[:, at : at + chunk], RATE) for at in range(0, frames, chunk)]


@contract("2 VoiceActivityDetector (audio)")
def test_detector_finds_speech_in_chunks_shorter_than_a_frame():
    results = run([VoiceActivityDetector()], speech())
    found = [told["is_speech"] for _, told in results]
    assert len(found) == 50
    assert not any(found[:16]) and all(found[19:32]) and not any(found[36:])
    (samples, rate), told = results[20]
    assert (samples.shape, rate) == ((1, 960), RATE)
    assert set(told) == {"is_speech", "speech_ratio", "avg_energy", "frame_duration_ms"}
    assert told["frame_duration_ms"] == 30


@contract("2 VoiceActivityDetector (audio)")
def test_detector_counts_frames_as_the_formula_says():
    samples = noise(2, 4800, seed=3) * np.linspace(0, 1, 4800, dtype=np.float32)
    (_, told) = run([VoiceActivityDetector(frame_duration_ms=10)], (samples, RATE, {"a": 1}))
    frames = samples.mean(axis=0).reshape(10, 480)
    energies = np.sqrt((frames**2).mean(axis=1))
    threshold = 0.7 * 2.5 * np.percentile(energies, 30) + 0.3 * 0.02
    assert told["a"] == 1
    assert told["speech_ratio"] == np.mean(energies > threshold)
    assert told["avg_energy"] == pytest.approx(energies.mean(), rel=1e-5)


@contract("5 VAD finds nothing on 20 ms chunks")
def test_detector_feeds_the_buffer_and_filters():
    filtered = run([VoiceActivityDetector(filter_mode=True)], speech())
    assert 13 <= len(filtered) <= 20
    assert all(isinstance(item, tuple) and item[1] == RATE for item in filtered)
    buffered = run([VoiceActivityDetector(), AudioBuffer(4800)], speech())
    assert [item[0][0].shape for item in buffered] == [(1, 4800)] * 10
    plain = run([VoiceActivityDetector(include_metadata=False)], speech())
    assert len(plain) == 50 and len(plain[0]) == 2
