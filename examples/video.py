#!/usr/bin/env python3
"""A film through one graph with two branches.

    python examples/video.py film.mp4 --out demo-out

    media.read ─┬─ video.scale ─ image.write                              contact-sheet.png
                └─ audio.convert ─ audio.resample ─┬─ wav.write           sound.wav
                                                   └─ audio.level ─ json  levels.jsonl, levels.png

Where matplotlib is not installed there is no levels.png.
"""

import argparse
import json
import pathlib

from remotemedia import Pipeline

RATE_HZ = 16000


def film_pipeline(path, out):
    """The graph: pictures and sound of one file, side by side."""
    pipeline = Pipeline("film", description="Contact sheet, sound and level curve of a film")
    pipeline.add_node("media.read", path=str(path))
    pipeline.add_node("video.scale", after="read.video", width=256)
    pipeline.add_node(
        "image.write",
        id="sheet",
        path=str(out / "contact-sheet.png"),
        columns=4,
        every=11,
    )
    pipeline.add_node("audio.convert", after="read.audio", channels=1, sample_format="f32")
    pipeline.add_node("audio.resample", rate_hz=RATE_HZ)
    pipeline.add_node("wav.write", id="wav", path=str(out / "sound.wav"), sample_format="s16")
    pipeline.add_node("audio.level", after="resample", interval_ms=20)
    pipeline.add_node("json.write", id="levels", path=str(out / "levels.jsonl"))
    return pipeline


def draw_levels(rows, path):
    """RMS and peak level over time. False: matplotlib is not installed."""
    try:
        import matplotlib
    except ImportError:
        return False
    matplotlib.use("Agg")
    from matplotlib import pyplot

    floor_db = -60
    seconds = [row["start_s"] for row in rows]
    rms = [max(row["rms_dbfs"], floor_db) for row in rows]
    peak = [max(row["peak_dbfs"], floor_db) for row in rows]
    figure, axes = pyplot.subplots(figsize=(12, 3.2))
    axes.fill_between(seconds, floor_db, peak, color="#dcebf7", lw=0, label="peak")
    axes.fill_between(seconds, floor_db, rms, color="#8fbce6", lw=0)
    axes.plot(seconds, rms, color="#3d7ab8", lw=1.3, label="RMS")
    axes.set_xlim(seconds[0], seconds[-1])
    axes.set_ylim(floor_db, 0)
    axes.set_xlabel("seconds", color="#8592a0", fontsize=9)
    axes.set_ylabel("dBFS", color="#8592a0", fontsize=9)
    axes.tick_params(colors="#8592a0", labelsize=8, length=3)
    axes.grid(axis="y", color="#e6eaee", lw=0.8)
    axes.set_axisbelow(True)
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color("#cfd6dd")
    axes.legend(frameon=False, fontsize=9, labelcolor="#1f2933", loc="upper right", ncols=2)
    figure.savefig(path, dpi=110, bbox_inches="tight", facecolor="white")
    pyplot.close(figure)
    return True


def main():
    parser = argparse.ArgumentParser(description="Contact sheet, sound and level curve of a film.")
    parser.add_argument("film", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("demo-out"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)

    pipeline = film_pipeline(options.film, options.out)
    pipeline.save(options.out / "film.json")
    pipeline.run_sync()

    rows = [json.loads(line) for line in (options.out / "levels.jsonl").read_text().splitlines()]
    drawn = draw_levels(rows, options.out / "levels.png") if rows else False
    metrics = pipeline.metrics
    print(f"{options.film.name}: {metrics['scale'].items} pictures, {len(rows)} levels")
    print(metrics)
    names = ["contact-sheet.png", "sound.wav", "levels.jsonl", "film.json"]
    names += ["levels.png"] if drawn else []
    print(f"written: {', '.join(str(options.out / name) for name in names)}")


if __name__ == "__main__":
    main()
