#!/usr/bin/env python3
"""Runs ./demo, and what it tells its user to paste; compares what comes out with known values."""

import json
import re
import struct
import sys
import wave

import schemas
import tap

OUT = tap.ROOT / "demo-out"
WORD_ERROR_RATE_MAX = 0.40
WORD_ERROR_RATE_FROM_WAVS = 0.03  # at most so far from what the untouched WAVs give
WORDS = "rather cold hearted and rather selfish"
PICTURES = 132
SAMPLES = 84992  # 249 AAC frames of 1,024 samples, from 48 to 16 kHz


def speech(report, text):
    rates = [float(rate) for rate in re.findall(r"(?:rate|WAVs): (\d\.\d+)", text)]
    good = len(rates) == 2 and rates[0] <= WORD_ERROR_RATE_MAX
    report.ok(f"the word error rate is at most {WORD_ERROR_RATE_MAX}: {rates[:1]}",
              [] if good else [f"{rates}"])
    near = good and abs(rates[0] - rates[1]) <= WORD_ERROR_RATE_FROM_WAVS
    report.ok(f"and near that of the untouched recordings: {rates[1:]}", [] if near else [f"{rates}"])
    report.ok("the speed and the share of each node are told",
              [] if "times real time" in text and "share of time" in text else [text])


def transcript(report):
    rows = [json.loads(line) for line in (OUT / "transcript.jsonl").read_text("utf-8").splitlines()]
    names = sorted({row["recording"] for row in rows})
    report.ok("five recordings have words", [] if len(names) == 5 else names)
    third = " ".join(row["text"] for row in rows if row["recording"] == names[2])
    report.ok(f"the third says '{WORDS}'", [] if WORDS in third else [third])
    wrong = [row for row in rows if not 0 <= row["start_s"] < row["end_s"] <= 8]
    report.ok("each utterance has a start before its end", wrong)


def manifests(report):
    for name in ("manifest.json", "film.json"):
        manifest = json.loads((OUT / name).read_text("utf-8"))
        report.ok(f"{name} fits the published schema", schemas.problems(manifest))


def png_size(path):
    head = path.read_bytes()[:24]
    return struct.unpack(">II", head[16:24]) if head[:8] == b"\x89PNG\r\n\x1a\n" else (0, 0)


def film(report, text):
    counted = re.search(r"(\d+) pictures", text)
    pictures = int(counted.group(1)) if counted else 0
    report.ok(f"{PICTURES} pictures", [] if pictures == PICTURES else [f"{pictures}"])
    with wave.open(str(OUT / "sound.wav")) as sound:
        got = (sound.getnchannels(), sound.getframerate(), sound.getnframes())
    report.ok(f"{SAMPLES} samples, mono, 16 kHz", [] if got == (1, 16000, SAMPLES) else [f"{got}"])
    rows = (OUT / "levels.jsonl").read_text("utf-8").splitlines()
    report.ok("a level each 20 ms", [] if len(rows) == 266 else [f"{len(rows)}"])
    for name, least in (("contact-sheet.png", 1000), ("timeline.png", 1000)):
        width, height = png_size(OUT / name)
        report.ok(f"{name} is a picture", [] if width >= least and height else [f"{width}x{height}"])


def pasted(report, text):
    commands = re.findall(r"^ *(build/venv/bin/(?:remotemedia run|python) .*)$", text, re.MULTILINE)
    report.ok("the demo says what to paste", [] if len(commands) == 4 else commands)
    for command in commands:
        code, said = tap.run(["bash", "-c", command], cwd=tap.ROOT)
        good = code == 0 and ("path=-" not in command or "mr john dashwood" in said)
        report.ok(command[:70], [] if good else [f"exit code {code}", said])


def main():
    report = tap.Tap()
    code, text = tap.run(["./demo"], cwd=tap.ROOT)
    report.ok("./demo ends well", [text] if code else [])
    if code == 0:
        speech(report, text)
        transcript(report)
        manifests(report)
        film(report, text)
        pasted(report, text)
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
