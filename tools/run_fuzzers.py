#!/usr/bin/env python3
"""Runs every fuzzer of a build for a time, two at once: run_fuzzers.py BUILD_FOLDER SECONDS."""

import concurrent.futures
import pathlib
import re
import sys

import tap

PROCESSES = 2


def fuzz(program, seconds, corpus):
    """Exit code, runs, and what it printed at its end."""
    corpus.mkdir(parents=True, exist_ok=True)
    seeds = tap.ROOT / "tests" / "fuzz" / program.name.removeprefix("fuzz_")
    argv = [program, f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=2048",
            "-max_len=4096", "-print_final_stats=1", f"-artifact_prefix={corpus}-", corpus]
    if seeds.is_dir():
        argv.append(seeds)
    code, text = tap.run(argv)
    runs = re.search(r"number_of_executed_units: (\d+)", text)
    return code, int(runs.group(1)) if runs else 0, "\n".join(text.splitlines()[-30:])


def main(build, seconds):
    report = tap.Tap()
    build = pathlib.Path(build)
    programs = sorted(path for path in build.rglob("fuzz_*") if path.is_file() and path.suffix == "")
    with concurrent.futures.ThreadPoolExecutor(PROCESSES) as pool:
        jobs = [pool.submit(fuzz, path, seconds, build / "corpus" / path.name) for path in programs]
        for program, job in zip(programs, jobs):
            code, runs, text = job.result()
            report.ok(f"{program.name}: {runs} runs in {seconds} s", [text] if code or not runs else [])
            report.note(f"{program.name}: {runs} runs")
    report.ok("there are fuzzers", [] if programs else ["none"])
    return report.end()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
