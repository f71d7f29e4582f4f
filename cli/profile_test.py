"""`remotemedia profile` from outside: what it prints, and that it runs what `run` runs.

usage: profile_test.py BINARY

Prints TAP. Python's standard library only.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tools"))
from tap import Tests  # noqa: E402

BINARY = os.path.abspath(sys.argv[1])
DEADLINE_S = 60  # for a hang, not a measure
WORK = "test.tone duration_ms=60000 id=tone ! audio.resample rate_hz=44100 id=up ! audio.level id=level"
PACED = "test.tone duration_ms=2000 paced=true id=tone ! test.pass id=pass"
test = Tests()


def profile(*words):
    env = {**os.environ, "LC_ALL": "C.UTF-8"}
    return subprocess.run([BINARY, "profile", *words], env=env, capture_output=True, text=True,
                          timeout=DEADLINE_S)


@test
def the_report_has_each_part_and_each_node():
    done = profile(WORK)
    assert done.returncode == 0, done
    for title in ("What to do", "Critical path", "Nodes by time", "Threads and work beside them",
                  "Where packets wait"):
        assert f"\n{title}\n" in done.stdout, done.stdout
    path = done.stdout.split("Critical path\n")[1].split("\n\n")[0]
    assert [line.replace("->", "").split()[0] for line in path.splitlines()] == \
        ["tone", "up", "level"], path
    assert "-> up " in done.stdout.split("Where packets wait\n")[1], done.stdout


@test
def json_is_the_same_as_data():
    done = profile(WORK, "--json")
    assert done.returncode == 0, done
    report = json.loads(done.stdout)
    assert report["ok"] and report["outcome"] == "done", report
    assert report["critical_path"] == ["tone", "up", "level"], report
    assert {n["id"] for n in report["nodes"]} == {"tone", "up", "level"}, report
    assert report["findings"], report
    assert report["cpu_ns"] > 0, report
    works = [n["work_ns"] for n in report["nodes"]]
    assert works == sorted(works, reverse=True), works
    assert abs(sum(n["share"] for n in report["nodes"]) - 1) < 1e-6, report


@test
def a_paced_run_is_not_blamed_on_a_node():
    report = json.loads(profile(PACED, "--json").stdout)
    assert report["findings"][0]["rule"] == "outside", report["findings"]
    assert not any(f["rule"] in ("bottleneck", "shared lane") for f in report["findings"]), report
    assert "keeps pace" in report["findings"][0]["text"], report["findings"]


@test
def set_and_what_is_wrong_are_as_for_run():
    report = json.loads(profile(WORK, "--json", "--set", "tone.duration_ms=1000").stdout)
    assert report["media_ns"] == 1_000_000_000, report["media_ns"]
    assert profile(WORK, "--set", "nobody.x=1").returncode == 2
    assert profile("test.nothing").returncode == 3
    assert profile(WORK, "--metrics", "x").returncode == 2


def frames_of(file):
    """(title, x, width, y) of each frame."""
    svg = "{http://www.w3.org/2000/svg}"
    frames = []
    for group in xml.etree.ElementTree.parse(file).getroot().iter(svg + "g"):
        rect = group.find(svg + "rect")
        frames.append((group.find(svg + "title").text, *(float(rect.get(k)) for k in ("x", "width", "y"))))
    return frames


def check_nesting(by_row):
    """Each frame lies within one below, and beside the others of its row."""
    for below, above in zip(by_row, by_row[1:]):
        for title, x, width, _ in above:
            assert any(b[1] - 0.02 <= x and x + width <= b[1] + b[2] + 0.6 for b in below), (title, below)
    for row in by_row:
        ends = sorted((x, x + width) for _, x, width, _ in row)
        assert all(one[1] <= two[0] + 0.6 for one, two in zip(ends, ends[1:])), row


@test
def the_flame_graph_is_an_svg_whose_frames_lie_within_the_one_below():
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "flame.svg")
        manifest = os.path.join(folder, "<&>.json")
        with open(manifest, "w", encoding="utf-8") as out:
            json.dump({"version": "v1", "metadata": {"name": "p"}, "connections": [
                {"from": "tone", "to": "up"}], "nodes": [
                {"id": "tone", "node_type": "test.tone", "params": {"duration_ms": 20000}},
                {"id": "up", "node_type": "audio.resample", "params": {"rate_hz": 44100}}]}, out)
        done = profile(manifest, "--json", "--flame", file)
        assert done.returncode == 0, done
        report = json.loads(done.stdout)
        frames = frames_of(file)
    rows = sorted({y for _, _, _, y in frames}, reverse=True)
    assert len(rows) == 4, frames
    by_row = [[f for f in frames if f[3] == y] for y in rows]
    assert "<&>.json: " in by_row[0][0][0], frames
    assert [f[0].split(":")[0] for f in by_row[2]] == [n["id"] for n in report["nodes"]], frames
    assert {f[0].split(":")[0] for f in by_row[3]} == {"test.tone", "audio.resample"}, frames
    check_nesting(by_row)
    widths = [f[2] for f in by_row[2]]
    works = [n["work_ns"] for n in report["nodes"]]
    assert abs(widths[0] / sum(widths) - works[0] / sum(works)) < 0.01, (widths, works)


def check_order(spans):
    """On each thread a call begins where the one before has ended."""
    free_us = {}
    for span in spans:
        assert span["ts"] >= free_us.get(span["tid"], 0) - 0.001 and span["dur"] >= 0, span
        free_us[span["tid"]] = span["ts"] + span["dur"]


@test
def the_trace_has_each_call_on_its_thread():
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "trace.json")
        done = profile(WORK, "--json", "--trace", file)
        assert done.returncode == 0, done
        with open(file, encoding="utf-8") as text:
            trace = json.load(text)
    events = trace["traceEvents"]
    assert {e["ph"] for e in events} <= {"X", "M", "C"}, events[:5]
    spans = [e for e in events if e["ph"] == "X"]
    named = {e["tid"] for e in events if e["ph"] == "M" and e["name"] == "thread_name"}
    assert {e["name"] for e in spans} == {"tone", "up", "level"}, spans[:5]
    assert {e["tid"] for e in spans} <= named, named
    assert trace["otherData"]["dropped_spans"] == 0, trace["otherData"]
    assert sum(e["name"] == "tone" for e in spans) >= 3000, len(spans)
    check_order(spans)
    counters = {e["name"] for e in events if e["ph"] == "C"}
    assert counters == {"queue before up", "queue before level"}, counters


@test
def a_trace_that_is_too_long_keeps_its_end():
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "trace.json")
        done = profile("test.tone duration_ms=1200000 id=tone ! test.pass id=pass", "--trace", file)
        assert done.returncode == 0, done
        with open(file, encoding="utf-8") as text:
            trace = json.load(text)
    spans = sum(e["ph"] == "X" for e in trace["traceEvents"])
    assert spans == 65536, spans
    assert trace["otherData"]["dropped_spans"] >= 120000 - 65536, trace["otherData"]


@test
def a_flame_graph_that_cannot_be_written_is_an_error():
    done = profile(WORK, "--flame", "/nowhere/flame.svg")
    assert done.returncode == 1 and "--flame: cannot write '/nowhere/flame.svg'" in done.stderr, done


@test
def a_run_that_fails_has_a_report_and_the_exit_code():
    done = profile("wav.read path=/nowhere.wav ! audio.level")
    assert done.returncode == 1 and "error[" in done.stderr, done


if __name__ == "__main__":
    sys.exit(test.run())
