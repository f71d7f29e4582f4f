"""pack() and unpack(): the value model goes round, the bytes are msgpack, bad input is an error."""

import collections
import dataclasses
import datetime
import enum
import gc
import math
import random
import subprocess
import sys
import tracemalloc
from typing import ClassVar

import pytest

from remotemedia import _core

UTC = datetime.timezone.utc

VALUES = [
    None, True, False, 0, 1, -1, 127, 128, 255, 256, 65535, 65536, 2**31, 2**32 - 1, 2**32, 2**63 - 1,
    2**63, 2**64 - 1, 2**64, -32, -33, -128, -129, -32768, -32769, -(2**31), -(2**31) - 1, -(2**63),
    -(2**63) - 1, 10**4299, 10**4300, -(10**9000) + 7, 7**20000, 0.0, -0.0, 1.5, -1e300, 5e-324,
    math.inf, -math.inf, "", "x" * 31, "x" * 32, "x" * 255, "x" * 256, "x" * 65536, "é€😀" * 100, "\0",
    b"", b"a" * 255, b"a" * 256, b"\xff" * 70000, [], [1, [2.5, [None]]], list(range(20)),
    [0.5] * 70000, (), (1, (2, [3]), "x"), {}, {"a": 1, 2: 3.5, (1, 2): "t", None: [], 2.5: b""},
    {str(i): i for i in range(70000)}, set(), {1, "a", (2, 3)}, datetime.datetime(2024, 2, 29, 1, 2, 3, 4),
    datetime.datetime(1, 1, 1), datetime.datetime(2024, 1, 1, tzinfo=UTC),
    datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=5, minutes=30))),
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_value_goes_round_with_its_type(value):
    back = _core.unpack(_core.pack(value))
    assert back == value
    assert type(back) is type(value)
    if isinstance(value, float):
        assert math.copysign(1, back) == math.copysign(1, value)


def test_text_is_right_wherever_its_first_character_beyond_ascii_stands():
    for length in (1, 31, 127, 128, 129, 191, 192, 200):
        for place in range(length):
            for other in "\x80é€😀":
                value = "a" * place + other + "a" * (length - place - 1)
                assert _core.unpack(_core.pack(value)) == value


def test_nan_goes_round():
    assert math.isnan(_core.unpack(_core.pack(math.nan)))


def test_types_that_stand_for_another_become_it():
    class Colour(enum.IntEnum):
        RED = 3

    class Name(str):
        pass

    Point = collections.namedtuple("Point", "x y")
    for value, plain in [
        (Colour.RED, 3),
        (Name("é"), "é"),
        (Point(1, 2), (1, 2)),
        (collections.OrderedDict(a=1), {"a": 1}),
        (frozenset({1}), {1}),
        (bytearray(b"ab"), b"ab"),
    ]:
        back = _core.unpack(_core.pack(value))
        assert back == plain
        assert type(back) is type(plain)


@dataclasses.dataclass
class Words:
    text: str
    start: float
    parts: list
    count: ClassVar[int] = 7


@dataclasses.dataclass(slots=True, frozen=True)
class Slotted:
    inner: Words


def test_a_dataclass_becomes_a_dict_of_its_fields_in_order():
    value = Slotted(Words("hello", 0.5, [1, (2,)]))
    back = _core.unpack(_core.pack(value))
    assert back == {"inner": {"text": "hello", "start": 0.5, "parts": [1, (2,)]}}
    assert list(back["inner"]) == ["text", "start", "parts"]
    with pytest.raises(TypeError, match="a type is not in the value model"):
        _core.pack(Words)


def test_the_bytes_are_msgpack():
    msgpack = pytest.importorskip("msgpack")
    rng = random.Random(7)

    def make(depth):
        kind = rng.randrange(8 if depth < 4 else 6)
        if kind == 0:
            return rng.randrange(-(2 ** rng.randrange(1, 63)), 2 ** rng.randrange(1, 64))
        if kind == 1:
            return rng.random()
        if kind == 2:
            return "é" * rng.randrange(40)
        if kind == 3:
            return bytes(rng.randrange(300))
        if kind in (4, 5):
            return rng.choice([None, True, False])
        items = [make(depth + 1) for _ in range(rng.randrange(20))]
        return items if kind == 6 else {str(i): item for i, item in enumerate(items)}

    for _ in range(200):
        value = make(0)
        assert msgpack.unpackb(_core.pack(value), strict_map_key=False) == value
        assert _core.unpack(msgpack.packb(value)) == value
    assert _core.unpack(msgpack.packb(1.5, use_single_float=True)) == 1.5


def nested(levels, make=lambda item: [item]):
    value = 1
    for _ in range(levels):
        value = make(value)
    return value


@pytest.mark.parametrize("make", [lambda x: [x], lambda x: (x,), lambda x: {1: x}, lambda x: Slotted(x)])
def test_a_value_is_at_most_thirty_levels_deep(make):
    _core.unpack(_core.pack(nested(30, make)))
    with pytest.raises(ValueError, match="more than 30 levels deep"):
        _core.pack(nested(31, make))


def test_a_cycle_is_an_error():
    value = []
    value.append(value)
    with pytest.raises(ValueError, match="30 levels"):
        _core.pack(value)


def test_a_deep_message_is_refused_before_it_is_read():
    for message in [b"\x91" * 31 + b"\x01", b"\x81\x01" * 31 + b"\x01", b"\x91" * 1_000_000 + b"\x01"]:
        with pytest.raises(ValueError, match="30 levels"):
            _core.unpack(message)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (object(), "a object is"),
        ([1, {"a": object}], "a type is"),
        (1j, "a complex is"),
        (datetime.date(2024, 1, 1), "a datetime.date is"),
        (range(3), "a range is"),
        (iter([]), "a list_iterator is"),
        (ValueError("x"), "a ValueError is"),
        (collections.deque(), "a collections.deque is"),
    ],
)
def test_a_type_outside_the_model_is_named(value, name):
    with pytest.raises(TypeError, match=name + " not in the value model"):
        _core.pack(value)


def test_text_that_is_no_utf8_is_an_error():
    with pytest.raises(ValueError, match="surrogates"):
        _core.pack("\ud800")
    with pytest.raises(ValueError, match="utf-8"):
        _core.unpack(b"\xa1\xff")


def test_an_integer_has_at_most_a_hundred_thousand_digits():
    assert _core.unpack(_core.pack(10**99_999 - 1)) == 10**99_999 - 1
    with pytest.raises(ValueError, match="want at most"):
        _core.pack(10**110_000)
    with pytest.raises(ValueError, match="integer is not well formed"):
        _core.unpack(b"\xc9" + (100_001).to_bytes(4, "big") + b"\x01" + b"9" * 100_001)


def test_a_value_over_64_mib_is_an_error():
    with pytest.raises(ValueError, match="64 MiB"):
        _core.pack(bytes(64 << 20))
    with pytest.raises(ValueError, match="64 MiB"):
        _core.pack(["x" * (40 << 20)] * 2)


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (b"", "ends within"),
        (b"\xc1", "0xC1"),
        (b"\x01\x02", "1 bytes follow"),
        (b"\xdd\xff\xff\xff\xff", "ends within"),
        (b"\xdf\xff\xff\xff\xff\x01", "ends within"),
        (b"\xdb\xff\xff\xff\xffabc", "ends within"),
        (b"\xc6\xff\xff\xff\xffabc", "ends within"),
        (b"\xcb\x00", "ends within"),
        (b"\x92\x01", "ends within"),
        (b"\x81\x90\x01", "a list cannot be a key"),
        (b"\xc7\x01\x02\x92", "ends within"),
        (b"\xc7\x02\x02\x90\x90", "a tuple is not well formed"),
        (b"\xc7\x01\x02\x01", "a tuple is not well formed"),
        (b"\xc7\x02\x03\x91\x90", "a set is not well formed"),
        (b"\xd4\x01-", "an integer is not well formed"),
        (b"\xd5\x01+1", "an integer is not well formed"),
        (b"\xd4\x04x", "isoformat"),
        (b"\xd4\x09x", "extension type 9 is not known"),
        (b"\xd6\xff\0\0\0\0", "extension type -1 is not known"),
        (b"\xc7\x01\x05\x90", "an ndarray is not well formed"),
        (b"\xc7\x08\x05\x93\xa3f32\x91\x02\xc0", "an ndarray is not well formed"),
        (b"\xc7\x0d\x05\x93\xa3f32\x91\x02\xc4\x04\0\0\0\0", "an ndarray is not well formed"),
        (b"\xc7\x0d\x05\x93\xa3f99\x91\x01\xc4\x04\0\0\0\0", "an ndarray is not well formed"),
    ],
)
def test_a_damaged_message_is_refused(message, text):
    with pytest.raises(ValueError, match=text):
        _core.unpack(message)


def test_random_bytes_give_a_value_or_a_value_error():
    rng = random.Random(11)
    good = _core.pack([{"a": (1, 2.5, "x" * 40)}, {3}, 2**70, datetime.datetime(2024, 1, 1), b"z" * 9])
    values = 0
    for _ in range(20_000):
        if rng.random() < 0.5:
            message = rng.randbytes(rng.randrange(40))
        else:
            damaged = bytearray(good)
            for _ in range(rng.randrange(1, 4)):
                damaged[rng.randrange(len(damaged))] = rng.randrange(256)
            message = bytes(damaged[: rng.randrange(len(damaged)) + 1])
        try:
            _core.unpack(message)
            values += 1
        except ValueError:
            pass
    assert values > 100


def test_unpack_takes_any_contiguous_bytes():
    message = _core.pack([1, 2])
    assert _core.unpack(bytearray(message)) == _core.unpack(memoryview(message)) == [1, 2]
    with pytest.raises(TypeError):
        _core.unpack("text")
    with pytest.raises(BufferError):
        _core.unpack(memoryview(b"abcd")[::2])


def test_a_container_that_changes_while_it_is_packed_is_an_error():
    class Clock(datetime.datetime):
        def isoformat(self):
            victim.clear()
            return "2024-01-01"

    clock = Clock(2024, 1, 1)
    for victim in ([clock, 1, 2], {"a": clock, "b": 1}):
        with pytest.raises(RuntimeError, match="changed while it was packed"):
            _core.pack(victim)


def test_what_a_values_own_code_raises_comes_through():
    class Broken(datetime.datetime):
        def isoformat(self):
            raise ZeroDivisionError("broken clock")

    with pytest.raises(ZeroDivisionError, match="broken clock"):
        _core.pack([Broken(2024, 1, 1)])


# ---- arrays within values


def test_arrays_within_values_go_round():
    numpy = pytest.importorskip("numpy")
    for name in ["?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8", "c8", "c16"]:
        for shape in [(), (0,), (3,), (2, 0, 3), (2, 3, 4), (1,) * 8]:
            array = numpy.arange(math.prod(shape)).reshape(shape).astype(name)
            back = _core.unpack(_core.pack({"a": array}))["a"]
            assert back.dtype == array.dtype
            assert back.shape == array.shape
            assert (back == array).all()
            assert back.flags.writeable


def test_an_array_in_any_order_arrives_in_c_order():
    numpy = pytest.importorskip("numpy")
    array = numpy.arange(24, dtype="i4").reshape(2, 3, 4)
    for other in [array.T, array[:, ::-1], array[:, :, ::2], array[1:, 1], numpy.asfortranarray(array)]:
        back = _core.unpack(_core.pack(other))
        assert back.tolist() == other.tolist()


def test_numpy_scalars_become_python_numbers():
    numpy = pytest.importorskip("numpy")
    value = [numpy.float32(1.5), numpy.int64(-3), numpy.bool_(True), numpy.float64(2.5), numpy.str_("x")]
    back = _core.unpack(_core.pack(value))
    assert back == [1.5, -3, True, 2.5, "x"]
    assert [type(item) for item in back] == [float, int, bool, float, str]


def test_an_array_outside_the_model_is_named():
    numpy = pytest.importorskip("numpy")
    for array in [numpy.array([object()]), numpy.array(["x"]), numpy.zeros(2, ">f4"),
                  numpy.zeros(2, [("a", "f4")])]:
        with pytest.raises(TypeError, match="an array of element format"):
            _core.pack(array)
    with pytest.raises((TypeError, ValueError)):
        _core.pack(numpy.zeros(2, "M8[ns]"))


def test_other_exporters_of_buffers_are_arrays():
    import array

    pytest.importorskip("numpy")
    assert _core.unpack(_core.pack(array.array("h", [1, 2]))).tolist() == [1, 2]
    assert _core.unpack(_core.pack(memoryview(b"ab"))).tolist() == [97, 98]


def test_without_numpy_the_extension_loads_and_arrays_are_views():
    code = """
import sys
sys.modules["numpy"] = None
from remotemedia import _core
import array
view = _core.unpack(_core.pack(array.array("f", [1.5, 2.5])))
assert type(view) is _core.View and view.shape == (2,) and view.format == "f", view
assert memoryview(view).tolist() == [1.5, 2.5] and not view.readonly
assert _core.unpack(_core.pack({"a": view}))["a"].shape == (2,)
assert _core.unpack(_core.pack([1, "x", (2,)])) == [1, "x", (2,)]
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_the_extension_imports_neither_numpy_nor_asyncio():
    code = """
import sys
from remotemedia import _core
_core.pack([1, {"a": (2.5, b"x")}])
for name in ("numpy", "asyncio", "json", "dataclasses"):
    assert name not in sys.modules, name
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_nothing_leaks_when_values_go_round_or_fail():
    values = [[1, 2.5, "x", (1, {2}), {"a": datetime.datetime(2024, 1, 1)}, 10**5000, Words("", 1, [])]]
    bad = [[{"a": (1, object())}], nested(40), "\ud800"]
    messages = [b"\x92\x01", b"\x81\x90\x01", b"\xc7\x02\x03\x91\x90", b"\x93\xa1a\xa1b\xc1"]

    def work():
        for value in values:
            _core.unpack(_core.pack(value))
        for value in bad:
            with pytest.raises((TypeError, ValueError)):
                _core.pack(value)
        for message in messages:
            with pytest.raises(ValueError):
                _core.unpack(message)

    for _ in range(20):
        work()
    gc.collect()
    tracemalloc.start()
    try:
        for _ in range(5):
            work()
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(100):
            work()
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 2000, f"{grown} bytes in 100 rounds"
