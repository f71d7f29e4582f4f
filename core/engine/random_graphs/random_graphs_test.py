#!/usr/bin/env python3
"""Random graphs, run by the engine and by the interpreter in reference.py: both must agree.

    random_graphs_test.py RUNNER [--seeds N] [--first SEED] [--threads] [--disturb HOW] [--show SEED]

Prints TAP. A seed that fails is run again by `--first SEED --seeds 1`; `--show` prints its manifest.
RANDOM_GRAPHS_SHARE=3 in the environment: a third of the seeds, for builds that are slow.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections import Counter

from generate import manifest_of, memory_of
from reference import Expected

SHOWN_MAX, ANSWER_S_MAX = 10, 60


class Runner:
    """runner.c, asked line by line. One that crashes or does not answer is a problem like others."""

    def __init__(self, program, *, answer_s=ANSWER_S_MAX):
        self.program, self.answer_s = program, answer_s
        self.changes = Counter()  # that were made, by what is known of them
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            [self.program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, task):
        watchdog = threading.Timer(self.answer_s, self.process.kill)
        watchdog.start()
        self.process.stdin.write(json.dumps(task) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        watchdog.cancel()
        if line:
            return json.loads(line)
        code = self.end()
        self.start()
        return {"status": f"an exit with {code}", "message": "the runner crashed, or did not answer"}

    def end(self):
        self.process.stdin.close()
        self.process.stdout.close()
        return self.process.wait()


def replay_problems(answer):
    """The record of the run, run again: each sink gets the same, in the same order."""
    if "replay" in answer and answer["replay"]:
        yield f"replay: {answer['replay']}"
    elif "sinks" in answer and answer.get("replayed") != answer["sinks"]:
        yield "other numbers arrive in the replay"


def check(runner, seed, *, threads=False, disturb=None, record=None):
    manifest, memory = manifest_of(seed), memory_of(seed)
    task = {"seed": seed, "threads": threads, "memory_bytes": memory, "manifest": manifest}
    if disturb:
        task["disturb"] = disturb
    if record:
        task["record"] = record
    expected = Expected(manifest, may_lack_memory=memory > 0, disturb=disturb)
    answer = runner.ask(task)
    runner.changes.update({key: answer.get(key, 0) for key in ("changes", "late", "of_copies")})
    return list(expected.problems(answer)) + (list(replay_problems(answer)) if record else [])


def lacks_changes(counts, options):
    """Tells how many there were. True: too few to say anything."""
    made, late, of_copies = (counts[key] for key in ("changes", "late", "of_copies"))
    print(f"# {made} changes were made, {late} of them after nodes were on hold, {of_copies} of copies")
    few = options.seeds / (50 if options.threads else 20)
    return made < options.seeds or of_copies < few or (late < few and not options.threads)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runner")
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--threads", action="store_true", help="real threads instead of the simulated driver")
    parser.add_argument("--disturb", choices=["interrupt", "cancel", "restart", "change"],
                        help="what its owner does meanwhile")
    parser.add_argument("--record", action="store_true", help="record each run, and replay it on one thread")
    parser.add_argument("--show", type=int, metavar="SEED")
    options = parser.parse_args()
    options.seeds = max(1, options.seeds // int(os.environ.get("RANDOM_GRAPHS_SHARE", "1")))
    if options.show is not None:
        print(json.dumps(manifest_of(options.show), indent=2))
        return 0
    runner = Runner(options.runner)
    folder = tempfile.TemporaryDirectory()
    record = f"{folder.name}/run.rmrec" if options.record else None
    wrong = 0
    for seed in range(options.first, options.first + options.seeds):
        problems = check(runner, seed, threads=options.threads, disturb=options.disturb, record=record)
        wrong += bool(problems)
        if problems and wrong <= SHOWN_MAX:
            print(f"# seed {seed}: " + "; ".join(problems[:4]), flush=True)
    how = "on threads" if options.threads else "simulated"
    how += f", with {options.disturb}" if options.disturb else ""
    how += ", recorded and replayed" if record else ""
    if options.disturb == "change":
        wrong += lacks_changes(runner.changes, options)
    print(f"{'not ok' if wrong else 'ok'} 1 {options.seeds} random graphs, {how}: {wrong} differ from the reference")
    print(f"{'ok' if runner.end() == 0 else 'not ok'} 2 the runner ends well\n1..2")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
