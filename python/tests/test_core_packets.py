"""Python values as packets and back: kinds, headers, addresses, who may write, what is given back."""

import array
import ctypes
import fractions
import gc
import io
import struct
import sys
import threading
import tracemalloc
import weakref

import pytest

from remotemedia import _core

packets = pytest.importorskip("remotemedia._packets", reason="only in the build tree")
numpy = pytest.importorskip("numpy")

TIME_NONE = -(2**63)


def audio_header(result):
    rate_hz, channels, sample_format, planar = struct.unpack_from("<IHBB", result["format"])
    frames, stride_bytes = struct.unpack_from("<II", result["instance"])
    return rate_hz, channels, sample_format, planar, frames, stride_bytes


@pytest.fixture(autouse=True)
def plain_types():
    """Audio as tuples and video as dicts, whatever the SDK has set."""
    before = _core.set_types(None, None)
    yield
    _core.set_types(*before)


@pytest.fixture
def media_types():
    """Classes as the SDK's Audio and Video."""

    class Audio(tuple):
        def __new__(cls, samples, rate_hz, pts_ns=None, duration_ns=None, metadata=None):
            self = super().__new__(cls, (samples, rate_hz))
            self.pts_ns, self.duration_ns, self.metadata = pts_ns, duration_ns, metadata
            return self

    class Video:
        def __init__(self, planes, width, height, fourcc, pts_ns=None, strides=None, metadata=None):
            self.planes, self.width, self.height, self.fourcc = planes, width, height, fourcc
            self.pts_ns, self.strides, self.metadata = pts_ns, strides, metadata

    assert _core.set_types(Audio, Video) == (None, None)
    return Audio, Video


# ---- text, bytes, values


@pytest.mark.parametrize(
    ("value", "kind", "back"),
    [
        ("héllo", "text", "héllo"),
        ("", "text", ""),
        (b"\0\1", "bytes", b"\0\1"),
        (bytearray(b"ab"), "bytes", b"ab"),
        (None, "value", None),
        (True, "value", True),
        (2**70, "value", 2**70),
        (1.5, "value", 1.5),
        ({"a": [1, (2,), {3}]}, "value", {"a": [1, (2,), {3}]}),
        ((1, 2), "value", (1, 2)),
        (numpy.float32(1.5), "value", 1.5),
    ],
)
def test_a_value_has_its_kind_of_packet(value, kind, back):
    result = packets.cross(value)
    assert result["kind"] == kind
    assert result["back"] == back
    assert type(result["back"]) is type(back)


def test_a_type_outside_the_value_model_is_named():
    for value, name in [(object(), "a object is not"), ([{1: object}], "a type is not"),
                        (1j, "a complex is not"), (numpy.array([None]), "element format 'O'"),
                        ("\ud800", "surrogates"), (numpy.zeros((1,) * 9), "9 dimensions")]:
        with pytest.raises(_core.Error, match=name) as caught:
            packets.cross(value)
        assert caught.value.code == 603


# ---- arrays


@pytest.mark.parametrize("name", ["?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8", "c8", "c16"])
def test_an_array_crosses_both_ways_without_a_copy(name):
    before = numpy.arange(24).reshape(2, 3, 4).astype(name)
    result = packets.cross(before)
    back = result["back"]
    assert result["kind"] == "tensor"
    assert result["foreign"]
    assert result["address"] == before.ctypes.data == back.ctypes.data
    assert (back.dtype, back.shape) == (before.dtype, before.shape)
    assert (back == before).all()


def test_an_array_of_no_element_or_no_dimension_crosses():
    for before in [numpy.zeros((3, 0), "f4"), numpy.array(5.5)]:
        back = packets.cross(before)["back"]
        assert (back.dtype, back.shape) == (before.dtype, before.shape)
        assert (back == before).all()


def test_an_array_that_is_not_in_c_order_is_copied_once():
    before = numpy.arange(24, dtype="f4").reshape(4, 6)
    for other in [before.T, before[::2], before[:, 1:3], before[::-1]]:
        result = packets.cross(other)
        assert not result["foreign"]
        assert (result["back"] == other).all()


def test_an_array_that_is_not_aligned_is_copied():
    memory = bytearray(17)
    before = numpy.frombuffer(memory, "f8", count=2, offset=1)
    before[:] = [1.5, 2.5]
    result = packets.cross(before)
    assert not result["foreign"]
    assert result["address"] % 8 == 0
    assert result["back"].tolist() == [1.5, 2.5]


def test_what_python_lent_is_read_only_on_the_way_back():
    before = numpy.arange(4, dtype="f4")
    back = packets.cross(before)["back"]
    assert not back.flags.writeable
    with pytest.raises(ValueError):
        back[0] = 9


def test_a_sole_packet_is_lent_writable_and_a_shared_one_is_not():
    for shared in (False, True):
        result = packets.first_of("test.tone", '{"rate_hz": 8000}', shared)
        samples, rate_hz = result["back"]
        assert rate_hz == 8000
        assert samples.ctypes.data == result["address"]
        assert samples.flags.writeable is not shared
        assert result["address"] % 64 == 0


def test_the_exporter_lives_as_long_as_the_array_that_came_back():
    class Array(numpy.ndarray):
        pass

    before = numpy.arange(1000, dtype="f8").view(Array)
    watch = weakref.ref(before)
    back = packets.cross(before)["back"]
    del before
    gc.collect()
    assert watch() is not None
    assert back.sum() == 499500
    del back
    gc.collect()
    assert watch() is None


def test_any_exporter_of_a_buffer_is_an_array():
    before = array.array("h", [1, 2, 3])
    result = packets.cross(before)
    assert result["address"] == before.buffer_info()[0]
    assert result["back"].dtype == numpy.int16
    with pytest.raises(BufferError):  # it is held while the array that came back lives
        before.append(4)
    del result
    gc.collect()
    before.append(4)


class Tensor:
    """A DLPack exporter that is no buffer, as torch's tensors are."""

    def __init__(self, values, device=(1, 0)):
        self.values, self.device = values, device

    def __dlpack_device__(self):
        return self.device

    def __dlpack__(self, **options):
        return self.values.__dlpack__(**options)


def test_a_dlpack_tensor_crosses_without_a_copy():
    for name in ["u1", "i4", "f4", "f8", "c8", "?"]:
        values = numpy.arange(6).reshape(2, 3).astype(name)
        result = packets.cross(Tensor(values))
        assert result["kind"] == "tensor"
        assert result["address"] == values.ctypes.data
        assert (result["back"].dtype, result["back"].shape) == (values.dtype, (2, 3))
        assert (result["back"] == values).all()
    strided = numpy.arange(12, dtype="f4").reshape(3, 4).T
    assert packets.cross(Tensor(strided))["back"].tolist() == strided.tolist()
    assert _core.unpack(_core.pack([Tensor(strided)]))[0].tolist() == strided.tolist()


def test_a_dlpack_tensor_is_given_back_once():
    values = numpy.arange(6, dtype="f4")
    references = sys.getrefcount(values)
    for _ in range(10):
        result = packets.cross(Tensor(values))
    del result
    gc.collect()
    assert sys.getrefcount(values) == references


def test_a_tensor_on_another_device_is_an_error_that_says_so():
    with pytest.raises(_core.Error, match="device type 2, want host memory") as caught:
        packets.cross(Tensor(numpy.zeros(2), device=(2, 0)))
    assert caught.value.code == 603


def test_an_exception_of_the_exporter_is_the_errors_text():
    class Broken(Tensor):
        def __dlpack__(self, **options):
            raise RuntimeError("requires grad")

    with pytest.raises(_core.Error, match="RuntimeError: requires grad"):
        packets.cross(Broken(numpy.zeros(2)))


# ---- audio


def test_samples_and_rate_are_audio_without_a_copy():
    samples = numpy.arange(20, dtype="f4").reshape(2, 10)
    for value in [(samples, 16000), (samples, 16000.0), (samples, numpy.int32(16000))]:
        result = packets.cross(value)
        assert result["kind"] == "audio"
        assert result["address"] == samples.ctypes.data
        assert audio_header(result) == (16000, 2, 4, 1, 10, 40)
        assert result["pts_ns"] == TIME_NONE
        assert result["duration_ns"] == 625_000
        back, rate_hz = result["back"]
        assert rate_hz == 16000
        assert back.ctypes.data == samples.ctypes.data
        assert (back == samples).all()


@pytest.mark.parametrize(
    ("make", "header", "foreign"),
    [
        (lambda a: a[0], (8000, 1, 4, 0, 10, 0), True),
        (lambda a: a[:1], (8000, 1, 4, 0, 10, 0), True),
        (lambda a: a[:, 2:8], (8000, 4, 4, 1, 6, 40), True),  # rows further apart than long
        (lambda a: numpy.ascontiguousarray(a.T).T, (8000, 4, 4, 0, 10, 0), True),  # interleaved
        (lambda a: a[:, ::2], (8000, 4, 4, 1, 5, 20), False),
        (lambda a: a[0, ::-1], (8000, 1, 4, 0, 10, 0), False),
        (lambda a: a[:, :0], (8000, 4, 4, 1, 0, 0), True),
        (lambda a: a.astype("i2"), (8000, 4, 2, 1, 10, 20), True),
        (lambda a: a.astype("i4"), (8000, 4, 3, 1, 10, 40), True),
        (lambda a: a.astype("u1"), (8000, 4, 1, 1, 10, 10), True),
        (lambda a: a.astype("f8"), (8000, 4, 5, 1, 10, 80), True),
    ],
)
def test_samples_are_described_as_they_lie(make, header, foreign):
    samples = make(numpy.arange(40, dtype="f4").reshape(4, 10))
    result = packets.cross((samples, 8000))
    assert audio_header(result) == header
    assert bool(result["foreign"]) is foreign
    assert (result["back"][0] == numpy.atleast_2d(samples)).all()


def test_metadata_of_audio_goes_round():
    samples = numpy.zeros(4, "f4")
    meta = {"speaker": 1, "words": ["a"]}
    for value in [(samples, 8000, meta), ((samples, 8000), meta)]:
        result = packets.cross(value)
        assert result["metadata"] == meta
        assert result["back"][2] == meta
    assert len(packets.cross((samples, 8000, None))["back"]) == 2
    with pytest.raises(_core.Error, match="metadata of .* bytes, want at most 65536"):
        packets.cross((samples, 8000, {"a": "x" * 70000}))


def test_a_tuple_that_is_no_audio_stays_a_tuple():
    for value in [(numpy.zeros((2, 2, 2), "f4"), 3), (numpy.zeros(3, "i8"), 3), (b"ab", 8000),
                  (numpy.zeros(3, "f4"), 0), (numpy.zeros(3, "f4"), True), (numpy.zeros(3, "f4"), 1.5),
                  (numpy.zeros(3, "f4"), "x"), (numpy.zeros(3, "f4"),), (1, 2), ()]:
        result = packets.cross(value)
        assert result["kind"] == "value"
        assert type(result["back"]) is tuple
        assert len(result["back"]) == len(value)


def test_audio_objects_carry_times_and_metadata(media_types):
    Audio, _ = media_types
    samples = numpy.zeros((2, 80), "f4")
    result = packets.cross(Audio(samples, 8000, 125, None, {"a": 1}))
    assert (result["pts_ns"], result["duration_ns"]) == (125, 10_000_000)
    back = result["back"]
    assert type(back) is Audio
    assert (back[1], back.pts_ns, back.duration_ns, back.metadata) == (8000, 125, 10_000_000, {"a": 1})
    assert back[0].ctypes.data == samples.ctypes.data
    back = packets.cross(Audio(samples, 8000, None, 77))["back"]
    assert (back.pts_ns, back.duration_ns, back.metadata) == (None, 77, None)
    assert type(packets.cross((samples, 8000))["back"]) is Audio
    with pytest.raises(_core.Error, match="want shape \\(channels, frames\\)"):
        packets.cross(Audio(numpy.zeros((2, 2, 2), "f4"), 8000))


# ---- video


PLANES = {
    "I420": [(5, 7), (3, 4), (3, 4)],
    "NV12": [(5, 7), (3, 8)],
    "RGB3": [(5, 21)],
    "RGBA": [(5, 28)],
    "GREY": [(5, 7)],
}


@pytest.mark.parametrize("fourcc", PLANES)
def test_pictures_go_round(fourcc, media_types):
    _, Video = media_types
    rng = numpy.random.default_rng(3)
    apart = [rng.integers(0, 256, shape, "u1") for shape in PLANES[fourcc]]
    memory = numpy.concatenate([plane.ravel() for plane in apart])
    whole, offset = [], 0
    for plane in apart:
        whole.append(memory[offset : offset + plane.size].reshape(plane.shape))
        offset += plane.size
    for planes, copied in [(apart, len(apart) > 1), (whole, False)]:
        result = packets.cross(Video(planes, 7, 5, fourcc, 40, None, {"k": 1}))
        assert result["kind"] == "video"
        assert bool(result["foreign"]) is not copied
        if not copied:
            assert result["address"] == planes[0].ctypes.data
        back = result["back"]
        assert (back.width, back.height, back.fourcc, back.pts_ns) == (7, 5, fourcc, 40)
        assert back.metadata == {"k": 1}
        for plane, memory_, stride in zip(planes, back.planes, back.strides, strict=True):
            rows = numpy.concatenate([numpy.frombuffer(memory_, "u1"), numpy.zeros(stride, "u1")])
            rows = rows[: stride * plane.shape[0]].reshape(plane.shape[0], stride)
            assert (rows[:, : plane.shape[1]] == plane).all()


def test_a_picture_may_have_rows_longer_than_it_is_wide(media_types):
    _, Video = media_types
    plane = numpy.arange(80, dtype="u1").reshape(5, 16)
    result = packets.cross(Video([plane], 7, 5, "GREY", None, [16]))
    assert result["address"] == plane.ctypes.data
    assert result["back"].strides == [16]
    assert len(result["back"].planes[0]) == 4 * 16 + 7


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"fourcc": "YV12"}, "pixel format is 'YV12', want I420"),
        ({"fourcc": 3}, "fourcc is a int, want str"),
        ({"width": 0}, "0 x 5, want 1 to 65536"),
        ({"height": 6}, "plane 0 has 35 bytes"),
        ({"strides": [6]}, "rows of 6"),
        ({"strides": [8]}, "plane 0 has 35 bytes"),
        ({"planes": []}, "has 0 planes, want 1"),
        ({"planes": [3]}, "bytes-like"),
        ({"pts_ns": "x"}, "TypeError|integer"),
    ],
)
def test_a_wrong_picture_is_an_error(changes, text, media_types):
    _, Video = media_types
    right = {"planes": [bytes(35)], "width": 7, "height": 5, "fourcc": "GREY"}
    packets.cross(Video(**right))
    with pytest.raises(_core.Error, match=text) as caught:
        packets.cross(Video(**{**right, **changes}))
    assert caught.value.code == 603


# ---- PyAV


def test_pyav_audio_frames_are_audio():
    av = pytest.importorskip("av")
    for name, dtype, planar in [("s16", "i2", False), ("flt", "f4", False), ("s16p", "i2", True),
                                ("fltp", "f4", True), ("dblp", "f8", True)]:
        wanted = numpy.arange(20).reshape(2, 10).astype(dtype)
        samples = wanted if planar else wanted.T.reshape(1, 20)
        frame = av.AudioFrame.from_ndarray(numpy.ascontiguousarray(samples), format=name, layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = 8000, 3, fractions.Fraction(1, 8000)
        result = packets.cross(frame)
        assert (result["kind"], result["pts_ns"]) == ("audio", 375_000)
        assert (result["back"][0] == wanted).all()
        assert result["back"][1] == 8000
        if not planar:
            assert result["address"] == frame.planes[0].buffer_ptr
    frame = av.AudioFrame(format="s64", layout="mono", samples=8)
    frame.sample_rate = 8000
    with pytest.raises(_core.Error, match="format s64"):
        packets.cross(frame)


def test_pyav_video_frames_are_video():
    av = pytest.importorskip("av")
    picture = numpy.random.default_rng(5).integers(0, 256, (16, 24, 3), "u1")
    for name, fourcc in [("rgb24", "RGB3"), ("yuv420p", "I420"), ("nv12", "NV12"), ("gray", "GREY"),
                         ("rgba", "RGBA")]:
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=name)
        frame.pts, frame.time_base = 1, fractions.Fraction(1, 25)
        result = packets.cross(frame)
        back = result["back"]
        assert (result["kind"], result["pts_ns"]) == ("video", 40_000_000)
        assert (back["fourcc"], back["width"], back["height"]) == (fourcc, 24, 16)
        for plane, memory, stride in zip(frame.planes, back["planes"], back["strides"], strict=True):
            assert stride == plane.line_size or not result["foreign"]
            row = ctypes.string_at(plane.buffer_ptr, 8)
            assert bytes(memory[:8]) == row
        if fourcc == "RGB3":
            assert result["address"] == frame.planes[0].buffer_ptr
    with pytest.raises(_core.Error, match="yuv422p"):
        packets.cross(av.VideoFrame(16, 8, "yuv422p"))


# ---- without numpy, and giving back


def test_a_view_describes_its_memory():
    before = numpy.arange(6, dtype="f4").reshape(2, 3)
    view = numpy.asarray(packets.cross(before)["back"]).base
    view = view.obj if isinstance(view, memoryview) else view
    assert type(view) is _core.View
    assert (view.shape, view.format, view.readonly) == ((2, 3), "f", True)
    assert view.address == before.ctypes.data
    assert memoryview(view).tolist() == before.tolist()
    with pytest.raises(TypeError, match="read-write"):
        io.BytesIO(bytes(24)).readinto(view)
    with pytest.raises(TypeError):
        _core.View()


class Watched:
    """Says when it goes."""

    def __init__(self, gone):
        self.gone = gone

    def __del__(self):
        self.gone.append(threading.get_ident())


def test_a_thread_without_the_gil_queues_its_references():
    gone = []
    for _ in range(3):
        packets.release_elsewhere(Watched(gone))
    assert gone == []  # the thread could not have touched them
    packets.drain()
    assert gone == [threading.get_ident()] * 3
    packets.drain()


def test_a_thread_without_the_gil_queues_its_buffers():
    held = bytearray(10)
    packets.release_buffer_elsewhere(held)
    with pytest.raises(BufferError):
        held.append(1)
    packets.drain()
    held.append(1)


def test_nothing_leaks_when_packets_are_made_or_refused(media_types):
    Audio, Video = media_types
    samples = numpy.zeros((2, 100), "f4")
    good = ["text", b"bytes", [1, {"a": (2,)}], samples, samples.T, Tensor(samples), (samples, 8000),
            (samples[:, ::2], 8000, {"a": 1}), Audio(samples, 8000, 1, 2, {"b": 2}),
            Video([bytes(35), bytes(12), bytes(12)], 7, 5, "I420"), Video([bytes(35)], 7, 5, "GREY")]
    bad = [object(), (samples, 8000, {"a": object()}), Audio(samples[None], 8000),
           Video([bytes(3)], 7, 5, "GREY"), Tensor(samples, (2, 0)), numpy.array([None])]

    def work():
        for value in good:
            packets.cross(value)
        for value in bad:
            try:
                packets.cross(value)
            except _core.Error:
                pass
            else:
                pytest.fail("not refused")

    for _ in range(20):
        work()
    gc.collect()
    tracemalloc.start()
    try:
        work()
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(100):
            work()
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 2000, f"{grown} bytes in 100 rounds"
    assert sys.getrefcount(samples) < 20
