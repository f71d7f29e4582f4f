#!/usr/bin/env python3
"""Runs every fuzzer of a build for a time, two at once: run_fuzzers.py BUILD_FOLDER SECONDS."""

import concurrent.futures
import pathlib
import re
import sys

import tap

PROCESSES = 2
UNIT_S = 10


def fuzz(program, seconds, corpus):
    """Exit code, runs, and what it printed at its end."""
    corpus.mkdir(parents=True, exist_ok=True)
    seeds = tap.ROOT / "tests" / "fuzz" / program.name.removeprefix("fuzz_")
    argv = [program, f"-max_total_time={seconds}", f"-timeout={UNIT_S}", "-rss_limit_mb=2048",
            "-max_len=4096", "-print_final_stats=1", f"-artifact_prefix={corpus}-", corpus]
    if seeds.is_dir():
        argv.append(seeds)
    code, text = tap.run(argv)
    runs = re.search(r"number_of_executed_units: (\d+)", text)
    if code and is_fast_again(program, text):
        code, text = 0, ""
    return code, int(runs.group(1)) if runs else 0, of_finding(text)


def is_fast_again(program, text):
    """A unit that ran into the time allowed, which a machine that stood still also makes happen,
    and that by itself, and three times over, takes no time."""
    unit = re.search(r"ALARM: working on the last Unit.*Test unit written to (\S+)", text, re.DOTALL)
    if not unit:
        return False
    again, told = tap.run([program, f"-timeout={UNIT_S}", "-runs=3", unit.group(1)])
    print(f"# {program.name}: over {UNIT_S} s for {unit.group(1)}; again: {told.splitlines()[-1:]}")
    return again == 0


def of_finding(text):
    """What a fuzzer says of what it found: the stack from its top, and where the unit was written."""
    lines = text.splitlines()
    first = next((i for i, line in enumerate(lines) if re.match(r"==\d+==|.*runtime error:", line)), 0)
    return "\n".join(lines[first : first + 20] + lines[first + 20 :][-15:])


def main(build, seconds):
    report = tap.Tap()
    build = pathlib.Path(build)
    programs = sorted(path for path in build.rglob("fuzz_*") if path.is_file() and path.suffix == "")
    with concurrent.futures.ThreadPoolExecutor(PROCESSES) as pool:
        jobs = [pool.submit(fuzz, path, seconds, build / "corpus" / path.name) for path in programs]
        for program, job in zip(programs, jobs):
            code, runs, text = job.result()
            report.ok(f"{program.name}: {runs} runs in {seconds} s", [text or "no run"] if code or not runs else [])
            report.note(f"{program.name}: {runs} runs")
    report.ok("there are fuzzers", [] if programs else ["none"])
    return report.end()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
