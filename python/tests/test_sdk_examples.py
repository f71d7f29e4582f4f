"""The examples, as they are: the two-way session, and the reports."""

import asyncio
import importlib
import pathlib
import sys

import pytest

from remotemedia import _core

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"

pytestmark = pytest.mark.skipif(
    not hasattr(_core, "Session"), reason="the extension has no sessions"
)


@pytest.fixture
def example(monkeypatch):
    """Imports an example by its name."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    yield importlib.import_module
    for name in ("live_change", "speech", "speech_report", "video", "voice_session"):
        sys.modules.pop(name, None)


class Socket:
    """A client: waits until so many words were said, then sends a line."""

    def __init__(self, *script):
        self.script = script
        self.said = []
        self.news = asyncio.Condition()

    async def __aiter__(self):
        for after, line in self.script:
            async with self.news:
                await self.news.wait_for(lambda after=after: len(self.said) >= after)
            yield line

    async def send(self, sound):
        async with self.news:
            self.said.append(sound.metadata["word"])
            self.news.notify_all()


def converse(example, *script, hold_s=0.0):
    voice = example("voice_session")

    async def main():
        socket = Socket(*script)
        await asyncio.wait_for(voice.converse(socket, hold_s), 20)
        return socket.said

    pytest.importorskip("numpy")
    return asyncio.run(main())


def test_each_line_is_answered_in_order(example):
    said = converse(example, (0, "good morning"), (2, "and you"))
    assert " ".join(said) == "you said good morning you said and you"


def test_a_barge_in_drops_what_was_not_said_and_the_next_line_is_answered(example):
    long_line = " ".join(f"word{i}" for i in range(40))
    said = converse(example, (0, long_line), (3, "stop"), (3, "hello"), hold_s=0.002)
    assert said[:3] == ["you", "said", "word0"]
    assert said[-3:] == ["you", "said", "hello"]
    assert len(said) < 40


def test_word_errors_are_the_levenshtein_distance(example):
    report = example("speech_report")
    for reference, heard, errors in [
        ("a b c", "a b c", 0),
        ("a b c", "a x c", 1),
        ("a b c", "a c", 1),
        ("a c", "a b c", 1),
        ("", "a b", 2),
        ("a b", "", 2),
        ("a b c d", "b c d e", 2),
    ]:
        assert report.word_errors(reference.split(), heard.split()) == errors
    assert report.align(["a", "b"], ["a", "x", "b"]) == [("a", "a"), (None, "x"), ("b", "b")]
    assert report.align(["a", "b"], ["b"]) == [("a", None), ("b", "b")]


def test_references_are_read_by_name(example, tmp_path):
    path = tmp_path / "transcription"
    path.write_text("<s> He was not </s> (talk-0880)\nno reference\n")
    assert example("speech_report").read_references(path) == {"talk-0880": ["he", "was", "not"]}


def test_the_timeline_is_a_picture(example, tmp_path):
    np = pytest.importorskip("numpy")
    pytest.importorskip("matplotlib")
    image = pytest.importorskip("PIL.Image")
    report = example("speech_report")
    word = {"word": "hello", "start_s": 0.2, "end_s": 0.6}
    recording = report.Recording(
        "talk",
        1.0,
        0.1,
        (-np.ones(100), np.ones(100)),
        [(0.1, 0.9)],
        [{"words": [word]}],
        ["hello"],
        {},
    )
    assert report.draw_timeline([recording], tmp_path / "a.png")
    picture = image.open(tmp_path / "a.png").convert("RGB")
    colors = {color for _, color in picture.getcolors(1 << 20)}
    for wanted in (report.WAVE, report.SPEECH, report.RIGHT):
        assert tuple(bytes.fromhex(wanted[1:])) in colors
    assert tuple(bytes.fromhex(report.WRONG[1:])) not in colors


def test_the_progress_bar_is_silent_but_on_a_terminal(example, capsys):
    speech = example("speech")
    bar = speech.ProgressBar("talk", 10.0)
    bar.words({"text": "he was not", "end_s": 5.0})
    assert capsys.readouterr().err == ""

    class Terminal:
        text = ""
        isatty = staticmethod(lambda: True)
        flush = staticmethod(lambda: None)

        def write(self, text):
            self.text += text

    bar = speech.ProgressBar("talk", 10.0, Terminal())
    bar.words({"text": "he was not", "end_s": 5.0})
    assert "50%" in bar.file.text
    assert "he was not" in bar.file.text


def test_a_resampler_is_replaced_while_the_sound_runs_and_no_frame_is_lost(example):
    from remotemedia import Node
    from remotemedia._resolve import is_native

    pytest.importorskip("numpy")
    if not is_native(Node("audio.resample")):
        pytest.skip("built without libsoxr")
    frames, changes, pause_ns = asyncio.run(example("live_change").listen())
    assert frames == {16000: 160000}  # of 480,000 at 48 kHz
    assert changes >= 10
    assert pause_ns > 0
