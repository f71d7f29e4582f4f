"""media.read, native and on PyAV: one set of tests, on files that PyAV writes."""

import pytest

np = pytest.importorskip("numpy")
av = pytest.importorskip("av")

from remotemedia import NodeError, PipelineError, _core  # noqa: E402
from remotemedia._resolve import find_class  # noqa: E402

RATE_HZ = 44100


class OnPyAv:
    """The Python node, called directly."""

    @staticmethod
    def read(port, **params):
        node = find_class("media.read")(**params)
        node.initialize()
        try:
            return [item for name, item in node.process() if name == port]
        finally:
            node.cleanup()


class Native:
    """Whatever a pipeline takes for media.read, which is the native node where it is built."""

    @staticmethod
    def read(port, **params):
        from remotemedia import Node, Pipeline

        class Keep(Node):
            def process(self, item):
                kept.append(item)

        kept = []
        pipeline = Pipeline("p", [Node("media.read", **params)])
        pipeline.add_node(Keep(), after=f"read.{port}")
        pipeline.run_sync()
        return kept


@pytest.fixture(params=[OnPyAv, Native], ids=["pyav", "native"])
def reader(request):
    if request.param is Native and not hasattr(_core, "Session"):
        pytest.skip("the extension has no sessions")
    return request.param


def write_sound(path, samples, codec="flac", layout="stereo", rate_hz=RATE_HZ):
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=rate_hz, layout=layout)
        frame = av.AudioFrame.from_ndarray(samples.T.reshape(1, -1).copy(), "s16", layout)
        frame.sample_rate = rate_hz
        for begin in [frame, None]:
            for packet in stream.encode(begin):
                file.mux(packet)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A FLAC file of 1.2 s in stereo, and its samples."""
    path = tmp_path_factory.mktemp("media") / "noise.flac"
    samples = np.random.default_rng(7).integers(-20000, 20000, (2, 52920), np.int16)
    write_sound(path, samples)
    return path, samples


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """An MPEG-4 file of 12 pictures, 25 a second, each of one grey level."""
    path = tmp_path_factory.mktemp("media") / "steps.mp4"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.bit_rate = 2_000_000
        for number in range(12):
            grey = np.full((48, 64, 3), 20 * number, np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(grey, "rgb24")):
                file.mux(packet)
        for packet in stream.encode():
            file.mux(packet)
    return path


@pytest.fixture(scope="module")
def talkie(tmp_path_factory):
    """A QuickTime file of one second, with pictures and sound."""
    path = tmp_path_factory.mktemp("media") / "talkie.mov"
    with av.open(str(path), "w") as file:
        video = file.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = file.add_stream("pcm_s16le", rate=RATE_HZ, layout="mono")
        for _ in range(25):
            picture = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), "rgb24")
            file.mux(video.encode(picture))
        sound = av.AudioFrame.from_ndarray(np.zeros((1, RATE_HZ), np.int16), "s16", "mono")
        sound.sample_rate = RATE_HZ
        for stream, last in (audio, sound), (audio, None), (video, None):
            file.mux(stream.encode(last))
    return path


@pytest.mark.skipif(not hasattr(_core, "Session"), reason="the extension has no sessions")
@pytest.mark.parametrize("live", [False, True], ids=["by name", "live"])
@pytest.mark.parametrize("ports", [("audio",), ("video",), ("audio", "video")])
def test_only_streams_whose_port_is_connected_are_decoded(talkie, monkeypatch, ports, live):
    from remotemedia import Node, Pipeline
    from remotemedia.nodes.media_read import MediaRead

    class Keep(Node):
        def process(self, item):
            kept.append(type(item).__name__.lower())

    decoded, kept = set(), []
    decode = MediaRead._decode

    def note(self, packet):
        decoded.add(packet.stream.type)
        return decode(self, packet)

    monkeypatch.setattr(MediaRead, "_decode", note)
    by_name = "remotemedia.nodes.media_read:MediaRead"
    params = {"id": "read", "path": str(talkie)}
    node = MediaRead(**params) if live else Node(by_name, **params)
    pipeline = Pipeline("p", [node])
    for port in ports:
        pipeline.add_node(Keep(), after=f"read.{port}")
    pipeline.run_sync()
    assert decoded == set(kept) == set(ports)


def test_a_live_node_has_the_connections_of_all_its_runs(sound):
    from remotemedia._host import Host

    node = find_class("media.read")(path=str(sound[0]))
    assert node.connected_outputs is None
    for name in "audio", "video":
        Host(node).connected_outputs = frozenset({name})
    assert node.connected_outputs == {"audio", "video"}


def test_a_stream_that_is_missing_is_named(sound):
    node = find_class("media.read")(path=str(sound[0]))
    node.connected_outputs = frozenset({"video"})
    with pytest.raises(NodeError, match="it has no video stream"):
        node.initialize()


def test_sound_comes_out_sample_for_sample(reader, sound):
    path, samples = sound
    packets = reader.read("audio", path=str(path))
    assert {p.rate_hz for p in packets} == {RATE_HZ}
    found = np.concatenate([p.samples for p in packets], axis=1)
    assert found.dtype == np.int16
    assert np.array_equal(found, samples)
    at = 0
    for packet in packets:
        assert packet.pts_ns == pytest.approx(at * 1e9 / RATE_HZ, abs=2)
        at += packet.frames


def test_a_part_begins_and_ends_at_the_sample(reader, sound):
    path, samples = sound
    packets = reader.read("audio", path=str(path), start_s=0.5, duration_s=0.25)
    found = np.concatenate([p.samples for p in packets], axis=1)
    first = round(0.5 * RATE_HZ)
    assert np.array_equal(found, samples[:, first : first + round(0.25 * RATE_HZ)])
    assert packets[0].pts_ns == pytest.approx(0.5e9, abs=12000)


def test_pictures_come_out_in_order_with_their_times(reader, film):
    pictures = reader.read("video", path=str(film))
    assert len(pictures) == 12
    assert {(p.width, p.height, p.fourcc) for p in pictures} == {(64, 48, "I420")}
    assert [p.pts_ns for p in pictures] == [40_000_000 * n for n in range(12)]
    for number, picture in enumerate(pictures):
        luma = np.frombuffer(picture.planes[0], np.uint8)[:64]
        expected = 16 + 20 * number * 219 / 255
        assert abs(float(luma.mean()) - expected) < 4


def test_a_part_of_a_film(reader, film):
    pictures = reader.read("video", path=str(film), start_s=0.2, duration_s=0.12)
    assert [p.pts_ns for p in pictures] == [200_000_000, 240_000_000, 280_000_000]


@pytest.mark.parametrize(
    "content, params, code",
    [
        (None, {}, 501),
        (b"", {}, 502),
        (b"no media at all\n" * 100, {}, 502),
        ("sound", {"audio_stream": 3}, 502),
    ],
    ids=["missing", "empty", "text", "no such stream"],
)
def test_what_cannot_be_read_is_an_error_that_names_the_file(
    reader, tmp_path, sound, content, params, code
):
    path = sound[0] if content == "sound" else tmp_path / "a.flac"
    if isinstance(content, bytes):
        path.write_bytes(content)
    with pytest.raises(PipelineError) as caught:
        reader.read("audio", path=str(path), **params)
    assert caught.value.code in (code, 401, 304 if params else 401)
    assert path.name in str(caught.value)


def test_a_cut_off_file_gives_what_it_has_and_then_fails_or_keeps(reader, sound, tmp_path):
    path, samples = sound
    cut = tmp_path / "cut.flac"
    cut.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    with pytest.raises(NodeError, match="cut"):
        reader.read("audio", path=str(cut))
    packets = reader.read("audio", path=str(cut), damaged="keep")
    found = np.concatenate([p.samples for p in packets], axis=1)
    assert 10000 < found.shape[1] < 20000
    assert np.array_equal(found[:, :10000], samples[:, :10000])


def test_no_network_is_asked(reader):
    with pytest.raises(PipelineError):
        reader.read("audio", path="http://127.0.0.1:9/a.flac")
