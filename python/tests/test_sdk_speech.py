"""vad.silero and asr.pocketsphinx: against the model and the decoder called directly, by value."""

import asyncio
import importlib.util
import pathlib
import wave

import pytest

np = pytest.importorskip("numpy")

from remotemedia import Audio, NodeError, Pipeline  # noqa: E402

RECORDINGS = sorted(pathlib.Path("/usr/share/pocketsphinx/test/data/librivox").glob("*.wav"))
RATE_HZ = 16000

needs_recordings = pytest.mark.skipif(
    not RECORDINGS, reason="Debian package pocketsphinx-testdata is not installed"
)


def read_wav(path):
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels()) == (RATE_HZ, 1)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


def silero(**params):
    pytest.importorskip("onnxruntime")
    if importlib.util.find_spec("silero_vad") is None:  # to import it would want torch
        pytest.skip("silero-vad is not installed")
    from remotemedia.nodes.vad_silero import SileroVad

    node = SileroVad(**params)
    node.initialize()
    return node


def packets(samples, frames, pts_ns=0):
    for begin in range(0, len(samples), frames):
        piece = samples[begin : begin + frames].reshape(1, -1)
        yield Audio(piece, RATE_HZ, pts_ns + begin * 1_000_000_000 // RATE_HZ)


def run(node, audio, *ports):
    """What the node gives on these ports, or on any."""
    results = []
    for packet in audio:
        results += node.process(packet)
    results += node.flush()
    return [item for port, item in results if not ports or port in ports]


def reference_probabilities(samples):
    """The model by its own documentation: 64 samples of context and 512 new ones, one at a time."""
    ort = pytest.importorskip("onnxruntime")
    from remotemedia.nodes.vad_silero import find_model

    session = ort.InferenceSession(find_model(), providers=["CPUExecutionProvider"])
    state, context, found = np.zeros((2, 1, 128), np.float32), np.zeros(64, np.float32), []
    for begin in range(0, len(samples), 512):
        window = np.zeros(512, np.float32)
        window[: len(samples[begin : begin + 512])] = samples[begin : begin + 512]
        feed = {
            "input": np.concatenate((context, window))[None],
            "state": state,
            "sr": np.array(RATE_HZ),
        }
        output, state = session.run(None, feed)
        context = window[-64:]
        found.append(float(output[0, 0]))
    return found


def reference_regions(probabilities, length, *, pad, min_silence, min_speech, threshold):
    """First and last sample of each region, by a loop over whole probabilities."""
    regions, begin, end = [], None, 0
    for window, probability in enumerate(probabilities):
        after = min((window + 1) * 512, length)
        if begin is None and probability >= threshold:
            begin = window * 512
        if begin is not None and probability >= threshold - 0.15:
            end = after
        elif begin is not None and after - end >= min_silence:
            regions.append((begin, end, after))
            begin = None
    if begin is not None:
        regions.append((begin, end, length))
    floor, padded = 0, []
    for begin, end, seen in regions:
        if end - begin >= min_speech:
            padded.append((max(begin - pad, floor), min(end + pad, seen)))
        floor = padded[-1][1] if padded else 0
    return padded


def regions_of(results):
    ends = [r.metadata["speech"] for r in results if r.metadata["speech"]["state"] == "end"]
    return [(e["start_ns"] * RATE_HZ // 10**9, e["end_ns"] * RATE_HZ // 10**9) for e in ends]


@needs_recordings
@pytest.mark.parametrize("frames", [160, 512, 1000, 7001])
def test_each_window_gets_the_probability_of_a_straight_loop(frames):
    samples = read_wav(RECORDINGS[1]).astype(np.float32) / 32768
    node = silero()
    heard = []
    ask = node._model.probability
    node._model.probability = lambda window: heard.append(ask(window)) or heard[-1]
    run(node, packets(samples, frames))
    expected = reference_probabilities(samples)
    assert max(expected) > 0.9
    assert heard == pytest.approx(expected, abs=1e-5)


@needs_recordings
@pytest.mark.parametrize("frames", [320, 4096])
def test_regions_are_those_of_a_straight_loop(frames):
    speech = [read_wav(path).astype(np.float32) / 32768 for path in RECORDINGS[:3]]
    pause = np.zeros(RATE_HZ, np.float32)
    samples = np.concatenate([pause, speech[1], pause, speech[2], pause])
    node = silero(pad_ms=100, min_silence_ms=500)
    results = run(node, packets(samples, frames), "audio")
    expected = reference_regions(
        reference_probabilities(samples),
        len(samples),
        pad=1600,
        min_silence=8000,
        min_speech=4000,
        threshold=0.5,
    )
    assert len(expected) == 2
    assert regions_of(results) == expected
    # The audio is that of the input, without a gap within a region.
    for number, (begin, end) in enumerate(expected, 1):
        pieces = [r for r in results if r.metadata["speech"]["region"] == number]
        assert np.array_equal(np.concatenate([p.samples[0] for p in pieces]), samples[begin:end])
        assert pieces[0].pts_ns == begin * 10**9 // RATE_HZ
        assert pieces[0].metadata["speech"]["state"] == "start"
        assert pieces[-1].metadata["speech"]["probability"] > 0.5


def test_silence_gives_nothing():
    assert run(silero(), packets(np.zeros(3 * RATE_HZ, np.float32), 1600)) == []


@needs_recordings
def test_times_follow_the_packets_and_a_jump_in_time_ends_the_region():
    samples = read_wav(RECORDINGS[1]).astype(np.float32) / 32768
    half = len(samples) // 2
    audio = [*packets(samples[:half], 512), *packets(samples[half:], 512, pts_ns=60 * 10**9)]
    events = run(silero(), audio, "regions")
    assert [(e["type"], e["region"]) for e in events] == [
        ("start", 1),
        ("end", 1),
        ("start", 2),
        ("end", 2),
    ]
    assert events[0]["start_s"] == events[1]["start_s"] < 0.2
    assert events[1]["end_s"] <= half / RATE_HZ + 0.001
    assert 60 <= events[3]["start_s"] < 60.2
    assert events[3]["probability"] > 0.5


def test_a_second_stream_of_one_node_finds_nothing_of_the_first():
    node = silero()
    noise = np.random.default_rng(1).normal(0, 0.01, RATE_HZ).astype(np.float32)
    first = run(node, packets(noise, 700))
    assert run(node, packets(noise, 700)) == first == []
    node.initialize()
    assert node._regions.count == 0


@pytest.mark.parametrize(
    "audio, message",
    [
        (Audio(np.zeros((1, 10), np.float32), 44100), "44100 Hz, want 16000"),
        (Audio(np.zeros((2, 10), np.float32), 16000), "want one channel"),
    ],
)
def test_audio_of_another_form_is_an_error_that_names_what_mends_it(audio, message):
    with pytest.raises(NodeError, match=message) as caught:
        list(silero().process(audio))
    assert "put the node audio." in caught.value.help


# Four words, a small dictionary and language model: a tenth of the time of the whole of English.
DATA = pathlib.Path("/usr/share/pocketsphinx/test/data")
TURTLE = {"lm": str(DATA / "turtle.lm.bin"), "dict": str(DATA / "turtle.dic")}
FORWARD = DATA / "goforward.raw"


def forward():
    return np.frombuffer(FORWARD.read_bytes(), "<i2")


@pytest.fixture(scope="module")
def recognizer():
    pytest.importorskip("pocketsphinx")
    from remotemedia.nodes.asr_pocketsphinx import PocketsphinxAsr

    made = PocketsphinxAsr(**TURTLE)

    def fresh(partials=False, utterance_s_max=30.0):
        made.cleanup()
        made.partials = partials
        made.samples_max = int(utterance_s_max * RATE_HZ)
        made.initialize()
        return made

    return fresh


def decoded(samples):
    """What the decoder says by itself: text, and begin and end of the words in seconds."""
    pocketsphinx = pytest.importorskip("pocketsphinx")
    decoder = pocketsphinx.Decoder(loglevel="FATAL", fwdflat=False, maxhmmpf=3000, **TURTLE)
    decoder.start_utt()
    decoder.process_raw(samples.tobytes(), full_utt=True)
    decoder.end_utt()
    words = [s for s in decoder.seg() if s.word[0] not in "<["]
    times = [(round(s.start_frame / 100, 2), round((s.end_frame + 1) / 100, 2)) for s in words]
    return decoder.hyp().hypstr, times


@needs_recordings
def test_the_words_and_their_times_are_those_of_the_decoder_itself(recognizer):
    samples = forward()
    *partials, final = run(recognizer(partials=True), packets(samples, 1024))
    assert [p["type"] for p in partials] == ["partial"] * len(partials)
    assert len(partials) >= 3
    text, times = decoded(samples)
    assert final["text"] == text == "go forward ten meters"
    assert [(w["start_s"], w["end_s"]) for w in final["words"]] == times
    assert [w["word"] for w in final["words"]] == text.split()
    assert all(0 < w["confidence"] <= 1 for w in final["words"])
    assert final["start_s"] == 0.0
    assert final["end_s"] == pytest.approx(len(samples) / RATE_HZ, abs=0.01)


@needs_recordings
def test_a_session_gives_partial_words_beside_the_final_ones(recognizer):
    pipeline = Pipeline("p")
    pipeline.add_node(recognizer(partials=True), id="asr")

    async def main():
        async with pipeline.open(outputs=["asr.text", "asr.partial"]) as session:

            async def speak():
                for sound in packets(forward(), 1024):
                    await session.push(sound)
                session.end()

            speaking = asyncio.create_task(speak())
            heard = [item async for item in session]
            await speaking
            return heard

    *partials, final = asyncio.run(main())
    assert len(partials) >= 3 and {p["type"] for p in partials} == {"partial"}
    assert (final["type"], final["text"]) == ("final", "go forward ten meters")


@needs_recordings
def test_what_was_heard_before_does_not_change_the_words(recognizer):
    samples = forward()
    first = run(recognizer(partials=True), packets(samples, 4096))[-1]
    node = recognizer(partials=True)
    run(node, packets(read_wav(DATA / "cards" / "001.wav"), 4096))
    second = run(node, packets(samples, 4096))[-1]
    assert (first["utterance"], second["utterance"]) == (1, 2)
    assert first["words"] == second["words"]


@needs_recordings
def test_long_utterances_are_cut_and_times_go_on(recognizer):
    samples = forward()
    node = recognizer(utterance_s_max=1.0)
    results = run(node, packets(samples, 1600, pts_ns=5 * 10**9))
    assert len(results) >= 2
    assert all(r["end_s"] - r["start_s"] <= 1.11 for r in results)
    starts = [w["start_s"] for r in results for w in r["words"]]
    assert starts == sorted(starts)
    assert 5.0 <= starts[0] < 6.0


@needs_recordings
def test_the_end_of_a_region_ends_the_utterance(recognizer):
    samples = forward().reshape(1, -1)
    node = recognizer()
    begin = Audio(samples[:, :16000], RATE_HZ, 0, None, {"speech": {"state": "start"}})
    end = Audio(samples[:, 16000:], RATE_HZ, None, None, {"speech": {"state": "end"}})
    assert list(node.process(begin)) == []
    assert [r["text"] for _, r in node.process(end)] == ["go forward ten meters"]
    assert list(node.flush()) == []


@needs_recordings
def test_cleanup_amid_an_utterance_leaves_the_decoder_fit_for_the_next_stream(recognizer):
    samples = forward()
    node = recognizer(partials=True)
    list(node.process(Audio(samples[:16000].reshape(1, -1), RATE_HZ)))
    final = run(recognizer(partials=True), packets(samples, 4096))[-1]
    assert (final["utterance"], final["text"]) == (1, "go forward ten meters")


# ---- barge-in


@needs_recordings
def test_an_interrupt_drops_the_sound_that_vad_silero_holds_back():
    speech = read_wav(RECORDINGS[1]).astype(np.float32) / 32768
    fresh = run(silero(), packets(speech, 700), "regions")
    node = silero()
    heard = [item for packet in packets(speech[:30000], 700) for item in node.process(packet)]
    assert [item["type"] for port, item in heard if port == "regions"] == ["start"]
    node.interrupt()
    again = run(node, packets(speech, 700), "regions")
    assert [{**e, "region": e["region"] + 1} for e in fresh] == again  # counted on, nothing else


@needs_recordings
def test_an_interrupt_drops_the_words_that_asr_pocketsphinx_collected(recognizer):
    """In a session, as a voice application has it: the user begins anew in the middle of a phrase."""
    samples = forward()
    alone = run(recognizer(partials=True), packets(samples, 1600))[-1]

    async def main():
        pipeline = Pipeline()
        pipeline.add_node(recognizer(partials=True), id="asr")
        async with pipeline.open(outputs=["asr.partial", "asr.text"]) as session:
            for packet in packets(samples[:24000], 1600):
                await session.push(packet)
            assert "forward" in (await until_text(session, "forward"))["text"]
            session.interrupt("asr")
            for packet in packets(samples, 1600):
                await session.push(packet)
            session.end()
            return [result async for result in session]

    async def until_text(session, word):
        async for result in session:
            if word in result["text"]:
                return result

    results = asyncio.run(asyncio.wait_for(main(), 60))
    finals = [result for result in results if result["type"] == "final"]
    assert [final["text"] for final in finals] == ["go forward ten meters"]
    assert finals[0]["words"] == alone["words"]


def test_a_port_that_wants_audio_takes_what_a_program_hands_in():
    """The program's Audio crosses as a packet that says its format, without a copy."""
    from remotemedia import Node, NodeSpec, Pipeline, Port

    class Peak(Node):
        spec = NodeSpec("test.peak", inputs=(Port("audio", "audio rate_hz=16000"),))

        def process(self, audio):
            return audio.rate_hz, float(np.abs(audio.samples).max()), audio.metadata

    sound = np.full((1, 160), 0.25, np.float32)
    pipeline = Pipeline([Peak()])
    assert pipeline.run_sync(Audio(sound, RATE_HZ, metadata={"k": 1})) == (RATE_HZ, 0.25, {"k": 1})
    with pytest.raises(NodeError, match="want audio rate_hz=16000"):
        pipeline.run_sync("not a sound")
    with pytest.raises(NodeError, match="want audio rate_hz=16000"):
        pipeline.run_sync(Audio(sound, 44100))
