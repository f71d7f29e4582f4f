"""`remotemedia profile` from outside: what it prints, and that it runs what `run` runs.

usage: profile_test.py BINARY

Prints TAP. Python's standard library only.
"""

import json
import os
import subprocess
import sys
import traceback

BINARY = os.path.abspath(sys.argv[1])
DEADLINE_S = 60  # for a hang, not a measure
WORK = "test.tone duration_ms=60000 id=tone ! audio.resample rate_hz=44100 id=up ! audio.level id=level"
PACED = "test.tone duration_ms=2000 paced=true id=tone ! test.pass id=pass"
TESTS = []


def test(function):
    TESTS.append(function)
    return function


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


@test
def a_run_that_fails_has_a_report_and_the_exit_code():
    done = profile("wav.read path=/nowhere.wav ! audio.level")
    assert done.returncode == 1 and "error[" in done.stderr, done


def main():
    print(f"1..{len(TESTS)}")
    failed = 0
    for number, function in enumerate(TESTS, 1):
        try:
            function()
            print(f"ok {number} - {function.__name__}")
        except Exception:  # any failure is one of this test
            failed += 1
            print("\n".join("# " + line for line in traceback.format_exc().splitlines()))
            print(f"not ok {number} - {function.__name__}")
    sys.exit(1 if failed else 0)


main()
