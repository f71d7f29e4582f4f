"""media.read in checkpoints, native and on PyAV: what comes behind any place is bit-equal to what
comes without one, and what cannot be read again is refused."""

import os
import subprocess
import textwrap

import pytest

np = pytest.importorskip("numpy")
av = pytest.importorskip("av")

from killing import finish, kill_after, newest, start  # noqa: E402
from test_sdk_media import RATE_HZ, write_sound  # noqa: E402

from remotemedia import Node, NodeError, Pipeline, _core  # noqa: E402
from remotemedia.nodes.media_read import MediaRead  # noqa: E402

PYAV = "remotemedia.nodes.media_read:MediaRead"


def write(path, codec):
    """A file of two seconds: of sound, or a film."""
    rng = np.random.default_rng(7)
    if codec != "libx264":
        write_sound(path, rng.integers(-9000, 9000, (2, 96000), np.int16), codec, rate_hz=48000)
        return
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=25, options={"g": "12", "bf": "2"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(50):
            picture = av.VideoFrame.from_ndarray(rng.integers(0, 255, (48, 64, 3), np.uint8), "rgb24")
            file.mux(stream.encode(picture))
        file.mux(stream.encode(None))


def told(name, item):
    """What an item is, as values."""
    if name == "audio":
        return name, item.pts_ns, item.rate_hz, item.samples.tobytes()
    return name, item.pts_ns, item.fourcc, [bytes(plane) for plane in item.planes]


def given(node, count=None):
    """Its items, to the end or so many."""
    items = []
    for name, item in node.process():
        items.append(told(name, item))
        if len(items) == count:
            break
    return items


def opened(path, **params):
    node = MediaRead(path=str(path), **params)
    node.initialize()
    return node


@pytest.mark.parametrize("start_s", [0.0, 0.51])
@pytest.mark.parametrize("name, codec", [
    ("a.wav", "pcm_s16le"), ("a.flac", "flac"), ("a.mp3", "libmp3lame"), ("a.m4a", "aac"),
    ("a.opus", "libopus"), ("a.mp4", "libx264")])
def test_what_comes_behind_a_place_is_bit_equal(tmp_path, name, codec, start_s):
    try:
        write(tmp_path / name, codec)
    except (av.error.FFmpegError, ValueError) as error:
        pytest.skip(f"PyAV has no encoder {codec} here: {error}")
    expected = given(opened(tmp_path / name, start_s=start_s))
    assert len(expected) > 15
    for count in range(1, len(expected) + 1, max(1, len(expected) // 12)):
        first = opened(tmp_path / name, start_s=start_s)
        assert given(first, count) == expected[:count]
        second = opened(tmp_path / name, start_s=start_s)
        second.load(first.save())
        assert second.save() == first.save()  # on its way it has the same place
        assert given(second) == expected[count:]


def test_a_file_that_was_changed_is_refused(tmp_path):
    write(tmp_path / "a.wav", "pcm_s16le")
    state = opened(tmp_path / "a.wav").save()
    os.utime(tmp_path / "a.wav", ns=(1, 1))
    with pytest.raises(NodeError, match="a.wav': it has changed since the checkpoint") as caught:
        opened(tmp_path / "a.wav").load(state)
    assert caught.value.code == 410


def test_a_pipe_is_refused(tmp_path):
    write(tmp_path / "a.wav", "pcm_s16le")
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    writer = subprocess.Popen(["cp", tmp_path / "a.wav", fifo], stderr=subprocess.DEVNULL)
    with pytest.raises(NodeError, match="a pipe cannot be read again; want a file") as caught:
        opened(fifo).save()
    assert caught.value.code == 409
    writer.kill()
    writer.wait()


PROGRAM = textwrap.dedent("""
    import sys
    from remotemedia import Node, Pipeline

    read = Node(sys.argv[1], path="in.flac", paced=True, id="read")
    pipeline = Pipeline([read, Node("audio.convert", sample_format="f32"),
                         Node("wav.write", path="out.wav", id="write")],
                        checkpoint="state", checkpoint_interval_ms=1)
    pipeline.run_sync()
""")


@pytest.mark.skipif(not hasattr(_core, "Session"), reason="the extension has no sessions")
@pytest.mark.parametrize("node_type", ["media.read", PYAV], ids=["native", "pyav"])
def test_a_killed_run_leaves_the_same_file(tmp_path, node_type):
    samples = np.random.default_rng(7).integers(-20000, 20000, (2, 3 * RATE_HZ), np.int16)
    write_sound(tmp_path / "in.flac", samples)
    Pipeline([Node("media.read", path=str(tmp_path / "in.flac")),
              Node("audio.convert", sample_format="f32"),
              Node("wav.write", path=str(tmp_path / "expected.wav"))]).run_sync()
    for _ in range(2):
        kill_after(tmp_path, start(tmp_path, PROGRAM, node_type), 1)
    finish(start(tmp_path, PROGRAM, node_type))
    assert (tmp_path / "out.wav").read_bytes() == (tmp_path / "expected.wav").read_bytes()
    assert newest(tmp_path) == 0
