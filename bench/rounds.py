"""What the measuring programs in Python share: rows and notes for bench/run, and rounds that alternate."""

import json
import sys
import time


def row(name, ours, peer):
    """Print the figures of one round."""
    print(json.dumps({"row": name, "ours": ours, "peer": peer}), flush=True)


def note(text):
    """Print a fact that belongs to the figures."""
    print(json.dumps({"note": text}), flush=True)


def fail(text):
    """End the program: a result is wrong."""
    sys.exit(text)


def timed(call, *arguments):
    """Return the seconds that a call took, and what it returned."""
    begin = time.perf_counter()
    result = call(*arguments)
    return time.perf_counter() - begin, result


def alternate(rounds, sides):
    """Run each side once a round, in turn, and yield the seconds of each as a dict.

    ``sides`` maps a name to a function without arguments, which checks its own result. The first round
    warms up and is not yielded. Every second round runs backwards, so that no side always follows the
    same other one.
    """
    names = list(sides)
    for number in range(rounds + 1):
        took = {}
        for name in names if number % 2 else reversed(names):
            took[name] = timed(sides[name])[0]
        if number:
            yield took
