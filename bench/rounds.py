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


def timed(call, *arguments, clock=time.perf_counter):
    """Return the seconds that a call took, and what it returned.

    ``clock`` is `time.process_time` where waiting is not the subject: other work on the machine does not
    stretch the processor time of this process.
    """
    begin = clock()
    result = call(*arguments)
    return clock() - begin, result


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


class Side:
    """One side of a case that works on a list of items: what an item costs it, start-up subtracted.

    ``run(items)`` returns a list, which must equal ``items``. The cost is the slope between a few and
    many items.
    """

    def __init__(self, run, few, many, clock=time.process_time):
        self.run, self.clock = run, clock
        self.few, self.many = list(range(few)), list(range(many))

    def _seconds(self, items):
        seconds, results = timed(self.run, items, clock=self.clock)
        if results != items:
            fail(f"{self.run.__qualname__}: {len(results)} results of {len(items)} items, or wrong ones")
        return seconds

    def cost(self):
        """Return the seconds that one more item costs."""
        few = self._seconds(self.few)
        return (self._seconds(self.many) - few) / (len(self.many) - len(self.few))


def compare(name, rounds, ours, peer, scale):
    """Print one row a round: ours between two runs of the peer, so that a drift of the machine cancels."""
    ours.cost()
    before = peer.cost()
    for _ in range(rounds):
        own, after = ours.cost(), peer.cost()
        row(name, own * scale, (before + after) / 2 * scale)
        before = after
