"""The small packages of 0.1: examples, utils, serialization."""

import asyncio
import logging
from itertools import islice

import numpy as np
import pytest

from remotemedia import ConfigurationError, Pipeline, SerializationError
from remotemedia.examples.objects import (
    Calculator,
    MathOperations,
    SimpleCounter,
    StringProcessor,
    TodoList,
)
from remotemedia.examples.test_classes import Counter, DataProcessor
from remotemedia.examples.test_method_types import (
    AsyncGeneratorMethods,
    AsyncMethods,
    GeneratorMethods,
    MixedMethods,
    SpecialMethods,
    SyncMethods,
)
from remotemedia.serialization import JSONSerializer, PickleSerializer, Serializer
from remotemedia.utils import setup_logging
from remotemedia.utils.test_objects import TestStreamingObject

contract = pytest.mark.contract


@contract("1.1 objects.SimpleCounter")
@contract("1.1 remotemedia.examples")
def test_counter():
    counter = SimpleCounter()
    assert [counter.add(2), counter.add(3), counter.count] == [2, 5, 5]


@contract("1.1 objects.StringProcessor")
def test_strings():
    strings = StringProcessor()
    assert strings.reverse("abc") == "cba"
    assert strings.uppercase("abc") == "ABC"
    assert strings.process("abc") == "abc"
    assert strings.process("abc", reverse=True, uppercase=True) == "CBA"


@contract("1.1 objects.MathOperations")
def test_math():
    math = MathOperations()
    assert math.calculate("2 + 3 * -4") == -10
    assert math.calculate(expr="2 ** 10 / 4") == 256.0
    assert math.get_history() == ["2 + 3 * -4 = -10", "2 ** 10 / 4 = 256.0"]
    np.testing.assert_array_equal(math.matrix_multiply([[1, 2]], [[3], [4]]), [[11]])


@pytest.mark.parametrize(
    "expression",
    ["__import__('os')", "x", "1 +", "(" * 500, "9 ** 9 ** 9", "1" * 2000, "[1]", "'a' * 9",
     "((9**9999)**9999)**99", "9**9999", "2**9000 * 2**9000"],
)
def test_math_calculates_numbers_only(expression):
    with pytest.raises(ValueError, match="expression|number"):
        MathOperations().calculate(expression)


@contract("1.1 objects.TodoList")
def test_todos():
    todos = TodoList()
    assert todos.add_todo("a") == "Added: a"
    todos.add_todo("b")
    assert todos.complete_todo(0) == "Completed: a"
    assert todos.complete_todo(5) == "Invalid index"
    assert todos.complete_todo(-1) == "Invalid index"
    assert (todos.todos, todos.completed) == (["b"], ["a"])
    assert todos.get_status() == {"pending": 1, "completed": 1, "total": 2}


@contract("1.1 objects.Calculator")
def test_calculator():
    calculator = Calculator()
    assert (calculator.add(2, 3), calculator.add(4), calculator.result) == (5, 4, 4)
    assert calculator.multiply(3, 5) == 15
    assert calculator.reset() == "Calculator reset"
    assert calculator.result == 0
    assert calculator.history() == ["2 + 3 = 5", "Added 4, result: 4", "3 * 5 = 15", "Reset to 0"]


@contract("1.1 test_classes.Counter")
def test_counter_from_a_value_on():
    counter = Counter(initial_value=5)
    assert [counter.increment(), counter.add(4), counter.get_value()] == [6, 10, 10]


@contract("1.1 test_classes.DataProcessor")
def test_data_processor():
    processor = DataProcessor(mode="slow")
    assert processor.process("x") == "Processed 'x' in slow mode"
    assert processor.get_stats() == {"mode": "slow", "processed_count": 1}


@contract("1.1 test_method_types.SyncMethods / AsyncMethods")
def test_methods_and_coroutines():
    sync = SyncMethods()
    assert (sync.add(1, 2), sync.increment(), sync.get_counter()) == (3, 1, 1)

    async def main():
        methods = AsyncMethods()
        assert await methods.async_add(1, 2) == 3
        assert await methods.fetch_data("a") == "Fetched: a"
        assert await methods.get_all_data() == ["a"]

    asyncio.run(main())


@contract("1.1 GeneratorMethods / AsyncGeneratorMethods")
def test_generators():
    generators = GeneratorMethods()
    assert list(generators.count_up_to(3)) == [1, 2, 3]
    assert list(generators.count_up_to(100)) == list(range(1, 11))
    assert list(generators.fibonacci(7)) == [0, 1, 1, 2, 3, 5, 8]
    assert list(islice(generators.get_squares(), 4)) == [0, 1, 4, 9]

    async def main():
        methods = AsyncGeneratorMethods()
        assert methods.delay == 0.1
        methods.delay = 0
        assert [n async for n in methods.async_count(3)] == [0, 1, 2]
        assert [text async for text in methods.stream_data(["a"])] == ["Processed: a"]
        seen = []
        async for n in methods.infinite_stream():
            seen.append(n)
            if n == 3:
                break
        assert seen == [0, 1, 2, 3]

    asyncio.run(main())


@contract("1.1 MixedMethods")
def test_mixed():
    async def main():
        mixed = MixedMethods.create_named("M")
        assert mixed.sync_method(1) == "M processed 1"
        assert await mixed.async_method(2) == "M async processed 2"
        assert list(mixed.generate_items(2)) == ["M-item-0", "M-item-1"]
        assert [item async for item in mixed.async_generate(1)] == ["M-async-item-0"]
        assert mixed.status == {"name": "M", "history_count": 2}
        assert mixed.get_history() == ["sync: 1", "async: 2"]
        assert MixedMethods.static_add(1, 2) == 3
        assert MixedMethods().name == "Mixed"

    asyncio.run(main())


@contract("1.1 SpecialMethods")
def test_special():
    special = SpecialMethods(3)
    assert (str(special), repr(special)) == ("SpecialMethods(value=3)", "SpecialMethods(3)")
    assert (special + 4).value == 7
    assert (len(special), special["a"], special(5), special.increment()) == (3, "item_a_3", 15, 4)


@contract("1.1 utils.test_objects.TestStreamingObject")
def test_streaming_object_adds():
    assert Pipeline([TestStreamingObject(initial_value=10)]).run_sync([(1,), (2,)]) == [(11,), (13,)]


@contract("1.1 remotemedia.utils")
def test_logging_is_set_up_once(capsys):
    logger = logging.getLogger("remotemedia")
    before = logger.handlers[:], logger.level
    try:
        setup_logging("debug")
        setup_logging("INFO", include_timestamp=False)
        logging.getLogger("remotemedia.Some").info("hello")
        logging.getLogger("remotemedia.Some").debug("not this")
        assert capsys.readouterr().err == "remotemedia.Some - INFO - hello\n"
        setup_logging("INFO", format_string="<%(message)s>")
        logger.warning("again")
        assert capsys.readouterr().err == "<again>\n"
        with pytest.raises(ConfigurationError, match="level is 'loud', want one of DEBUG"):
            setup_logging("loud")
    finally:
        logger.handlers[:], logger.level = before


@contract("1.1 remotemedia.serialization")
def test_serializers():
    for serializer in (JSONSerializer(), PickleSerializer()):
        assert isinstance(serializer, Serializer)
        value = {"a": [1, 2.5, None, "ü"]}
        assert serializer.deserialize(serializer.serialize(value)) == value
        with pytest.raises(SerializationError):
            serializer.serialize(lambda: 1)
        with pytest.raises(SerializationError):
            serializer.deserialize(b"\x00{")
    assert JSONSerializer().serialize((1, "ü")) == '[1, "ü"]'.encode()
    assert PickleSerializer().deserialize(PickleSerializer().serialize((1,))) == (1,)
    with pytest.raises(SerializationError, match="no form in JSON"):
        JSONSerializer().serialize(np.zeros(2))
