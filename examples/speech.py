#!/usr/bin/env python3
"""Recorded speech to a transcript, a timeline and a word error rate.

    python examples/speech.py talk.flac
    python examples/speech.py --reference transcription --out demo-out *.flac

media.read → audio.convert → audio.resample → vad.silero → asr.pocketsphinx → json.write

Writes transcript.jsonl (a line an utterance), manifest.json and, where matplotlib is installed,
timeline.png. Shows a progress bar on a terminal.
"""

import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import time

from remotemedia import Node, Pipeline
from speech_report import (
    Recording,
    draw_timeline,
    read_references,
    straight_words,
    word_errors,
)

RATE_HZ = 16000
PEAKS_A_SECOND = 100


def speech_pipeline(path, transcript):
    """The chain; everything else in this file looks on."""
    pipeline = Pipeline("speech", description="Recorded speech to words with their times")
    pipeline.add_node("media.read", path=str(path))
    pipeline.add_node("audio.convert", channels=1, sample_format="f32")
    pipeline.add_node("audio.resample", rate_hz=RATE_HZ)
    pipeline.add_node("vad.silero")
    pipeline.add_node("asr.pocketsphinx")
    pipeline.add_node("json.write", path=str(transcript))
    return pipeline


class Envelope(Node):
    """Keeps the lowest and highest sample of each 10 ms."""

    def __init__(self):
        super().__init__()
        self.samples = []
        self.frames = 0

    def process(self, audio):
        self.samples.append(audio.samples[0].copy())
        self.frames += audio.frames

    def peaks(self):
        import numpy as np

        samples = np.concatenate(self.samples or [np.zeros(0, np.float32)])
        size = RATE_HZ // PEAKS_A_SECOND
        rows = samples[: len(samples) // size * size].reshape(-1, size)
        return rows.min(axis=1), rows.max(axis=1)


class Tell(Node):
    """Gives each item to a function."""

    def __init__(self, told):
        super().__init__()
        self.told = told

    def process(self, item):
        self.told(item)


class ProgressBar:
    """One line on a terminal: how far, how fast, and the words so far. Silent elsewhere."""

    def __init__(self, title, length_s, file=sys.stderr):
        self.title = title
        self.length_s = length_s
        self.file = file
        self.is_shown = file.isatty()
        self.began = time.monotonic()
        self.drawn = 0.0
        self.at_s = 0.0
        self.text = ""

    def words(self, partial):
        self.text = partial["text"]
        self.at_s = max(self.at_s, partial["end_s"])
        self.draw()

    def draw(self):
        now = time.monotonic()
        if not self.is_shown or now - self.drawn < 0.1:
            return
        self.drawn = now
        width = shutil.get_terminal_size().columns
        speed = self.at_s / max(now - self.began, 1e-3)
        part = min(self.at_s / self.length_s, 1.0) if self.length_s else 0.0
        full = round(part * 24)
        line = f"{self.title}  {'━' * full}{'┈' * (24 - full)} {part:4.0%} {speed:5.1f}x  "
        room = width - len(line) - 1
        if room > 8 and self.text:
            line += self.text if len(self.text) <= room else "…" + self.text[1 - room :]
        self.file.write(f"\r\x1b[2K{line[: width - 1]}")
        self.file.flush()

    def clear(self):
        if self.is_shown:
            self.file.write("\r\x1b[2K")
            self.file.flush()


def length_of(path):
    """Seconds of sound in a file, 0 where ffprobe is not there to ask."""
    asked = ["ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0"]
    try:
        told = subprocess.run([*asked, str(path)], capture_output=True, text=True, check=True)
        return float(told.stdout)
    except (OSError, ValueError, subprocess.CalledProcessError):
        return 0.0


def transcribe(path, out, reference):
    """Runs the chain over one file; returns what is to be reported."""
    rows_path = out / f"{path.stem}.jsonl"
    pipeline = speech_pipeline(path, rows_path)
    speech_pipeline(path, "-").save(out / "manifest.json")
    bar = ProgressBar(path.stem[-10:], length_of(path))
    envelope = Envelope()
    regions = []
    pipeline.add_node(envelope, after="resample")
    pipeline.add_node(Tell(regions.append), id="regions", after="silero.regions")
    pipeline.add_node(Tell(bar.words), id="words", after="pocketsphinx.partial")
    began = time.monotonic()
    try:
        pipeline.run_sync()
    finally:
        bar.clear()
    elapsed_s = time.monotonic() - began
    utterances = [json.loads(line) for line in rows_path.read_text().splitlines()]
    rows_path.unlink()
    times = {node.id: node.time_ns for node in pipeline.metrics}
    return Recording(
        name=path.stem,
        length_s=envelope.frames / RATE_HZ,
        elapsed_s=elapsed_s,
        peaks=envelope.peaks(),
        regions=[(r["start_s"], r["end_s"]) for r in regions if r["type"] == "end"],
        utterances=utterances,
        reference=reference,
        times=times,
    )


def print_transcript(recording):
    print(f"\n{recording.name}  ({recording.length_s:.1f} s)")
    for row in recording.utterances:
        print(f"  {row['start_s']:6.2f} – {row['end_s']:5.2f} s  {row['text']}")
    if recording.reference is not None:
        wrong = word_errors(recording.reference, recording.words)
        print(f"  {'reference':>16}  {' '.join(recording.reference)}")
        print(f"  {'word errors':>16}  {wrong} of {len(recording.reference)}")


def print_word_errors(recordings, untouched):
    known = [r for r in recordings if r.reference is not None]
    if not known:
        return
    total = sum(len(r.reference) for r in known)
    wrong = sum(word_errors(r.reference, r.words) for r in known)
    print(f"\nword error rate: {wrong / total:.3f}  ({wrong} of {total} words)")
    if untouched:
        wavs = [(r.reference, untouched / f"{r.name}.wav") for r in known]
        wrong = sum(word_errors(reference, straight_words(path)) for reference, path in wavs)
        print(f"of the untouched WAVs: {wrong / total:.3f}  (pocketsphinx alone, each as a whole)")


def print_summary(recordings):
    length_s = sum(r.length_s for r in recordings)
    elapsed_s = sum(r.elapsed_s for r in recordings)
    speed = length_s / elapsed_s
    print(f"speed: {speed:.1f} times real time ({length_s:.1f} s of speech in {elapsed_s:.1f} s)")
    times = {}
    for recording in recordings:
        for id, ns in recording.times.items():
            times[id] = times.get(id, 0.0) + ns
    total = sum(times.values()) or 1.0
    print("share of time of each node:")
    for id, ns in times.items():
        print(f"  {id:14} {ns / total:6.1%}  {'█' * round(40 * ns / total)}")


def main():
    parser = argparse.ArgumentParser(description="Recorded speech to a transcript.")
    parser.add_argument("files", nargs="+", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("demo-out"))
    parser.add_argument("--reference", type=pathlib.Path, help="lines '<s> words </s> (name)'")
    parser.add_argument(
        "--untouched", type=pathlib.Path, help="folder of the same as WAVs, to compare with"
    )
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    references = read_references(options.reference) if options.reference else {}

    recordings = []
    for path in options.files:
        recording = transcribe(path, options.out, references.get(path.stem))
        recordings.append(recording)
        print_transcript(recording)
    with open(options.out / "transcript.jsonl", "w", encoding="utf-8") as file:
        for recording in recordings:
            for row in recording.utterances:
                file.write(json.dumps({"recording": recording.name, **row}) + "\n")
    print_word_errors(recordings, options.untouched)
    print_summary(recordings)
    drawn = draw_timeline(recordings, options.out / "timeline.png")
    written = ["transcript.jsonl", "manifest.json", *(["timeline.png"] if drawn else [])]
    print(f"written: {', '.join(str(options.out / name) for name in written)}")


if __name__ == "__main__":
    main()
