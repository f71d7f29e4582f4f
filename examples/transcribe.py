import sys
from remotemedia import Node, Pipeline

class Subtitle(Node):
    def process(self, result):
        return f"{result['start_s']:6.2f} - {result['end_s']:.2f} s  {result['text']}"

pipeline = Pipeline("transcribe", [
    Node("media.read", path=sys.argv[1]), Node("audio.resample", rate_hz=16000),
    Node("vad.silero"), Node("asr.pocketsphinx"), Subtitle(),
])
print(pipeline.run_sync())
