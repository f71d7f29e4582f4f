"""The media nodes of 0.1, each as its row of the contract says."""

import time
import wave

import numpy as np
import pytest

from remotemedia import NodeError, Pipeline
from remotemedia.nodes import (
    AudioTrackSource,
    LocalMediaReaderNode,
    MediaReaderNode,
    MediaWriterNode,
    PassThroughNode,
    TrackSource,
    VideoTrackSource,
)

av = pytest.importorskip("av")
contract = pytest.mark.contract
RATE = 48000


def run(nodes, data=None):
    return Pipeline(nodes).run_sync(data)


def write_wav(path, channels, seconds, rate=RATE):
    """A sine of 0.5 on each channel; the first one of 440 Hz, the next of 880 Hz …"""
    times = np.arange(int(seconds * rate)) / rate
    planes = [0.5 * np.sin(2 * np.pi * 440 * (c + 1) * times) for c in range(channels)]
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.stack(planes, axis=1) * 32767).round().astype("<i2").tobytes())
    return np.stack(planes)


@contract("2 LocalMediaReaderNode")
@contract("5 the reader's forced stereo takes 3 dB off a mono file")
@pytest.mark.parametrize("channels", [1, 2])
def test_reader_gives_20_ms_of_stereo_at_the_level_of_the_file(tmp_path, channels):
    planes = write_wav(tmp_path / "a.wav", channels, 0.25)
    frames = run([LocalMediaReaderNode(tmp_path / "a.wav")])
    assert [f["audio"].samples for f in frames] == [960] * 12 + [480]
    first = frames[0]["audio"]
    assert (first.sample_rate, first.layout.name, first.format.name) == (RATE, "stereo", "s16")
    assert [f["audio"].pts for f in frames[:3]] == [0, 960, 1920]
    sound = run([LocalMediaReaderNode(tmp_path / "a.wav"), AudioTrackSource()])
    assert {s[0].dtype for s in sound} == {np.dtype(np.float32)}
    samples = np.concatenate([s[0] for s in sound], axis=1)
    assert samples.shape == (2, 12000)
    np.testing.assert_allclose(samples[0], planes[0], atol=1e-4)
    np.testing.assert_allclose(samples[1], planes[-1], atol=1e-4)


@contract("2 LocalMediaReaderNode")
def test_reader_brings_other_rates_to_48_khz(tmp_path):
    write_wav(tmp_path / "a.wav", 2, 0.5, rate=16000)
    sound = run([LocalMediaReaderNode(tmp_path / "a.wav"), AudioTrackSource()])
    samples = np.concatenate([s[0] for s in sound], axis=1)
    assert abs(samples.shape[1] - 24000) < 100
    assert np.abs(samples[0, 2000:20000]).max() == pytest.approx(0.5, abs=0.01)


@contract("2 LocalMediaReaderNode")
def test_a_file_that_is_not_there_or_no_media_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.wav' does not exist"):
        LocalMediaReaderNode(tmp_path / "none.wav")
    with pytest.raises(FileNotFoundError):
        run([MediaReaderNode(tmp_path / "none.wav")])
    (tmp_path / "text.wav").write_text("no sound")
    with pytest.raises(NodeError, match="Invalid data found"):
        run([LocalMediaReaderNode(tmp_path / "text.wav")])


@contract("2 MediaReaderNode (source)")
def test_reader_keeps_the_pace_of_the_file(tmp_path):
    write_wav(tmp_path / "a.wav", 2, 0.3)
    begin = time.monotonic()
    frames = run([MediaReaderNode(path=str(tmp_path / "a.wav")), PassThroughNode()])
    assert len(frames) == 15
    assert time.monotonic() - begin >= 14 * 0.02  # the last frame is due then
    assert MediaReaderNode("x.mp4").get_params() == {"path": "x.mp4"}


def pictures(count, width=64, height=48):
    for n in range(count):
        plain = np.full((height, width, 3), (20 * n, 100, 255 - 20 * n), np.uint8)
        yield {"video": av.VideoFrame.from_ndarray(plain, "bgr24")}


def sounds(count):
    for n in range(count):
        times = (np.arange(960) + n * 960) / RATE
        tone = (8000 * np.sin(2 * np.pi * 440 * times)).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(np.repeat(tone, 2)[None], "s16", "stereo")
        frame.sample_rate, frame.pts = RATE, n * 960
        yield {"audio": frame}


@contract("2 MediaWriterNode (sink)")
def test_writer_makes_a_file_of_both_tracks_that_the_reader_reads(tmp_path):
    path = tmp_path / "film.mp4"
    items = [item for pair in zip(pictures(10), sounds(10), strict=True) for item in pair]
    assert run([MediaWriterNode(output_path=path)], items) is None
    frames = run([LocalMediaReaderNode(path)])
    shown = [f["video"] for f in frames if "video" in f]
    assert len(shown) == 10
    assert sum(f["audio"].samples for f in frames if "audio" in f) >= 10 * 960
    results = run([LocalMediaReaderNode(path), VideoTrackSource()])
    assert [picture.shape for picture, _ in results] == [(48, 64, 3)] * 10
    for n, (picture, _) in enumerate(results):
        assert np.abs(picture.reshape(-1, 3).mean(axis=0) - (20 * n, 100, 255 - 20 * n)).max() < 12
    assert [pts for _, pts in results] == sorted({pts for _, pts in results})


@contract("2 MediaWriterNode (sink)")
def test_writer_makes_wav_of_pcm(tmp_path):
    path = tmp_path / "sound.wav"
    assert run([MediaWriterNode(path)], list(sounds(5))) is None
    with wave.open(str(path)) as file:
        assert (file.getnframes(), file.getnchannels(), file.getsampwidth()) == (4800, 2, 2)
        data = np.frombuffer(file.readframes(4800), "<i2")[::2]
    wanted = 8000 * np.sin(2 * np.pi * 440 * np.arange(4800) / RATE)
    np.testing.assert_allclose(data, wanted, atol=1)


@contract("2 MediaWriterNode (sink)")
def test_writer_tells_of_what_it_cannot_write(tmp_path):
    node = MediaWriterNode(tmp_path / "sound.wav", name="w")
    told = run([node], ["text", *sounds(100), *pictures(1)])
    assert [t["error"] for t in told] == [
        "Input must be a dict with 'audio' or 'video'", "The file has no track for video",
    ]
    assert {t["processed_by"] for t in told} == {"MediaWriterNode[w]"}
    with pytest.raises(FileNotFoundError):
        run([MediaWriterNode(tmp_path / "no" / "folder.wav")], list(sounds(1)))


@contract("2 TrackSource, AudioTrackSource, VideoTrackSource(output_format=\"bgr24\")")
def test_track_sources_take_their_own_track():
    items = [*pictures(1), *sounds(1), {"text": 1}, "text", None]
    (samples, rate) = run([AudioTrackSource()], items)
    assert (samples.shape, rate) == ((2, 960), RATE)
    (picture, pts) = run([VideoTrackSource(output_format="gray")], items)
    assert (picture.shape, pts) == ((48, 64), None)

    class Pts(TrackSource):
        track = "audio"

        def convert(self, frame):
            return frame.pts

    assert run([Pts()], list(sounds(3))) == [0, 960, 1920]


@contract("2 TrackSource, AudioTrackSource, VideoTrackSource(output_format=\"bgr24\")")
@pytest.mark.parametrize(
    ("kind", "dtype", "scale"), [("s16p", np.int16, 2**15), ("s32", np.int32, 2**31), ("fltp", np.float32, 1)]
)
def test_sound_of_any_form_becomes_float_planes(kind, dtype, scale):
    planes = np.array([[0.5, -1.0, 0.25], [0, 0.125, -0.5]])
    own = (planes * scale).astype(dtype)
    packed = own if kind.endswith("p") else own.T.reshape(1, -1).copy()
    frame = av.AudioFrame.from_ndarray(packed, kind, "stereo")
    frame.sample_rate = 8000
    (samples, rate) = run([AudioTrackSource()], {"audio": frame})
    assert (rate, samples.dtype) == (8000, np.float32)
    np.testing.assert_allclose(samples, planes, atol=1e-7)
