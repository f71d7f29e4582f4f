#!/usr/bin/env python3
"""A value into the library's form and back, against `pickle` (protocol 5) and PyPI's `msgpack`.

    marshal.py [ROUNDS]

`remotemedia._core.pack` and `unpack` are what a value goes through between a Python node and a node of
another tier. The peers are called in their fastest form: `pickle.dumps` and `loads`, a kept
`msgpack.Packer` and `msgpack.unpackb`. A dataclass comes back as a dict from ours and from msgpack, which
gets `vars` as its `default`; an array reaches msgpack as its dtype, shape and bytes, and is made an array
again. Every result is compared with what went in. ns a value, there and back.
"""

import dataclasses
import gc
import pickle
import sys
import time

import msgpack
import numpy as np
from remotemedia import _core
from rounds import fail, row

SECONDS = 0.003  # a side, a round


@dataclasses.dataclass
class Word:
    """What a recogniser says about a word."""

    text: str
    start_s: float
    end_s: float
    confidence: float
    speaker: int
    final: bool


VALUES = {
    "int": 123_456,
    "str": "0123456789abcdef" * 64,
    "dict": {f"key_{i}": i * 1.5 if i % 2 else f"value {i}" for i in range(20)},
    "list": [i * 0.25 for i in range(1_000)],
    "dataclass": Word("hearted", 1.25, 1.75, 0.9, 3, True),
    "array": np.arange(256, dtype=np.float32),
}


def to_plain(value):
    """Give msgpack what it does not know: an array as its parts, a dataclass as a dict."""
    if isinstance(value, np.ndarray):
        return [value.dtype.str, value.shape, value.tobytes()]
    return vars(value)


def msgpack_sides(value):
    """Return msgpack's two functions for a value."""
    pack = msgpack.Packer(default=to_plain).pack
    if isinstance(value, np.ndarray):
        def unpack(data):
            dtype, shape, raw = msgpack.unpackb(data)
            return np.frombuffer(raw, dtype).reshape(shape)
        return pack, unpack
    return pack, msgpack.unpackb


def pickle_dumps(value):
    """Pickle by the protocol that the bar names."""
    return pickle.dumps(value, 5)


def equal(value, result):
    """Tell whether what came back is what went in."""
    if isinstance(value, np.ndarray):
        return result.dtype == value.dtype and np.array_equal(result, value)
    if dataclasses.is_dataclass(value):
        return result in (value, vars(value))
    return type(result) is type(value) and result == value


def count_for(there, back, value):
    """Return how many times fit into SECONDS, once the result is looked at."""
    if not equal(value, back(there(value))):
        fail(f"{there}: {value!r} came back as {back(there(value))!r}")
    count = 16
    while ns_each(there, back, value, count) * count < SECONDS * 1e9:
        count *= 2
    return count


def ns_each(there, back, value, count):
    """Return the ns of one way there and back; processor time, which other work does not stretch."""
    begin = time.thread_time_ns()
    for _ in range(count):
        back(there(value))
    return (time.thread_time_ns() - begin) / count


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 41
    gc.disable()
    for name, value in VALUES.items():
        sides = [(_core.pack, _core.unpack), (pickle_dumps, pickle.loads), msgpack_sides(value)]
        counts = [count_for(*side, value) for side in sides]
        for _ in range(rounds):
            ours, by_pickle, by_msgpack = [ns_each(*side, value, n) for side, n in zip(sides, counts)]
            row(f"marshal-{name}-pickle", ours, by_pickle)
            row(f"marshal-{name}-msgpack", ours, by_msgpack)


if __name__ == "__main__":
    main()
