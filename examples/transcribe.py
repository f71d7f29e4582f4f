import sys

from remotemedia import Pipeline

speech = Pipeline("speech")
speech.add_node("media.read", path=sys.argv[1])
speech.add_node("audio.convert", channels=1, sample_format="f32")
speech.add_node("audio.resample", rate_hz=16000)
speech.add_node("vad.silero")
speech.add_node("asr.pocketsphinx")
for words in speech.run_sync():
    print(f"{words['start_s']:6.2f} s  {words['text']}")
