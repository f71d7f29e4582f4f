"""What a NodeError knows: where, what, on which input, what was done about it, after how many tries."""

import asyncio
import copy
import dataclasses
import pickle
import typing
import weakref
from collections import OrderedDict

import pytest
from remotemedia import Audio, Node, NodeError, NodeSpec, Param, Pipeline, PipelineError, Port
from remotemedia._excerpt import excerpt
from remotemedia.errors import ConfigurationError, Excerpt


class Fails(Node):
    """Raises what `make` makes of the item, or nothing where that is None."""

    def __init__(self, make, **config):
        super().__init__(**config)
        self.make = make

    def process(self, x):
        error = self.make(x)
        if error is not None:
            raise error
        return x


class FailsLater(Fails):
    async def process(self, x):
        await asyncio.sleep(0.001)
        return Fails.process(self, x)


class FailsInGenerator(Fails):
    def process(self, x):
        yield Fails.process(self, x)


class FailsInAsyncGenerator(Fails):
    async def process(self, x):
        await asyncio.sleep(0)
        yield Fails.process(self, x)


class FailsOnThread(Fails):
    blocking = True


class GeneratorOnThread(FailsInGenerator):
    blocking = True


KINDS = [Fails, FailsLater, FailsInGenerator, FailsInAsyncGenerator, FailsOnThread, GeneratorOnThread]


def raised(pipeline, items=(1,), how="run_sync"):
    with pytest.raises(NodeError) as caught:
        run(pipeline, items, how)
    return caught.value


def run(pipeline, items, how):
    return pipeline.run_sync(list(items)) if how == "run_sync" else asyncio.run(pipeline.run(list(items)))


def at(n, kind=ValueError):
    return lambda x: kind(f"bad {x}") if x == n else None


# ---- where and what


@pytest.mark.parametrize("how", ["run_sync", "run"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_error_knows_node_item_input_and_cause(kind, how):
    pipeline = Pipeline([Fails(lambda x: None, id="before"), kind(at(30), id="here")])
    error = raised(pipeline, range(1, 60), how)
    assert (error.node, error.item, error.error_type, error.code) == ("here", 30, "ValueError", 402)
    assert isinstance(error, ValueError)
    assert (str(error.__cause__), error.__cause__) == ("bad 30", error.original)
    assert error.message == "node 'here', item 30: ValueError: bad 30"
    assert error.input == Excerpt("int", None, "30")
    assert (error.policy, error.attempts) == ("fail", 1)
    assert "bad 30" in error.traceback
    assert "Fails.process" in error.traceback or "raise error" in error.traceback


@pytest.mark.parametrize("how", ["run_sync", "run"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("policy", "results"), [("skip", [1, 2, 4, 5]), ("bypass", [1, 2, 3, 4, 5])])
def test_errors_that_a_policy_dealt_with_know_as_much(kind, how, policy, results):
    pipeline = Pipeline([kind(at(3))], on_error=policy)
    assert run(pipeline, range(1, 6), how) == results
    (error,) = pipeline.errors
    assert (error.policy, error.attempts, error.item) == (policy, 1, 3)
    assert (error.input, error.error_type) == (Excerpt("int", None, "3"), "ValueError")


@pytest.mark.parametrize("how", ["run_sync", "run"])
@pytest.mark.parametrize("kind", KINDS)
def test_each_try_is_counted_and_the_item_is_the_same(kind, how):
    policy = {"policy": "retry", "attempts": 2, "backoff_ms": 0}
    fails = [2, 2, 5, 5, 5]  # how often each of them does

    def make(x):
        if fails and fails[0] == x:
            return TimeoutError(f"late {fails.pop(0)}")
        return None

    pipeline = Pipeline([kind(make)], on_error=policy)
    error = raised(pipeline, range(1, 9), how)
    assert (error.policy, error.attempts, error.item) == ("fail", 3, 5)
    assert error.input == Excerpt("int", None, "5")
    assert [(e.policy, e.item, e.attempts) for e in pipeline.errors] == [
        ("retry", 2, 1), ("retry", 2, 2), ("retry", 5, 1), ("retry", 5, 2),
    ]  # fmt: skip


@pytest.mark.parametrize("chained", [False, True])
def test_kept_errors_hold_no_items(chained):
    class Item:
        pass

    items = []

    class Source(Node):
        def process(self):
            for _ in range(20):
                item = Item()
                items.append(weakref.ref(item))
                yield item
                del item

    class Refuses(Node):
        def process(self, item):
            try:
                return {}[len(items)]
            except KeyError as error:
                if chained:
                    raise ValueError("no name") from error
                raise

    pipeline = Pipeline([Source(), Refuses()], on_error="skip")
    pipeline.run_sync()
    assert len(pipeline.errors) == 20
    assert sum(item() is not None for item in items) <= 1
    assert "return {}[len(items)]" in pipeline.errors[0].traceback


def test_a_run_with_more_errors_than_memory_comes_to_its_end():
    pytest.importorskip("numpy")
    tone = Node("test.tone", duration_ms=60000, rate_hz=48000)
    refuses = Fails(lambda x: ValueError("no"), id="refuses")
    pipeline = Pipeline([tone, refuses], on_error="skip", memory_bytes_max=1 << 20)
    assert pipeline.run_sync() is None
    assert pipeline.errors[0].input.shape[0] == 1


def test_the_policy_is_that_of_the_node_or_of_the_pipeline():
    first = Fails(at(1), id="first")
    first.on_error = {"policy": "bypass"}
    pipeline = Pipeline([first, Fails(at(2), id="second")], on_error="skip")
    assert pipeline.run_sync([1, 2, 3]) == [1, 3]
    assert [(e.node, e.policy) for e in pipeline.errors] == [("first", "bypass"), ("second", "skip")]


def test_an_error_in_flush_has_no_item_and_no_input():
    class Flushes(Node):
        def process(self, x):
            return x

        def flush(self):
            raise ValueError("at the end")

    error = raised(Pipeline([Flushes()]), [1, 2])
    assert (error.item, error.input) == (None, None)


def test_an_error_of_a_source_has_the_number_of_its_item():
    class Source(Node):
        def process(self):
            yield from "ab"
            raise ValueError("empty")

    with pytest.raises(NodeError) as caught:
        Pipeline([Source()]).run_sync()
    assert (caught.value.item, caught.value.input) == (3, None)


def test_a_two_way_session_tells_it_all_too():
    async def main():
        pipeline = Pipeline([Fails(at("b"))], on_error="skip")
        async with pipeline.open() as session:
            for item in "abc":
                await session.push(item)
            session.end()
            assert [item async for item in session] == ["a", "c"]
        assert (pipeline.errors[0].policy, pipeline.errors[0].input.head) == ("skip", "'b'")
        async with Pipeline([Fails(at("b"))]).open() as session:
            await session.push("b")
            with pytest.raises(NodeError) as caught:
                await anext(session)
        assert (caught.value.item, caught.value.input.head) == (1, "'b'")

    asyncio.run(main())


# ---- what a generator gave before it raised


class Gives:
    """Yields `count` items, -x each, and raises where x is 3."""

    def __init__(self, count, **config):
        super().__init__(**config)
        self.count = count

    def give(self, x):
        for _ in range(self.count):
            yield -x
        if x == 3:
            raise ValueError("bad 3")


class GivesHere(Gives, Node):
    blocking = False

    def process(self, x):
        yield from self.give(x)


class GivesOnThread(GivesHere):
    blocking = True


class GivesAsync(Gives, Node):
    async def process(self, x):
        for item in self.give(x):
            yield item


class GivesAndWaits(Gives, Node):
    """The last item, and what it raises, come after a wait."""

    async def process(self, x):
        for i, item in enumerate(self.give(x)):
            if i == self.count - 1:
                await asyncio.sleep(0.001)
            yield item


class RaisesAfterWait(Gives, Node):
    async def process(self, x):
        for _ in range(self.count):
            yield -x
        await asyncio.sleep(0.001)
        if x == 3:
            raise ValueError("bad 3")


class GivesStream(Gives, Node):
    is_streaming = True

    async def process(self, stream):
        async for x in stream:
            for item in self.give(x):
                yield item


GIVERS = [GivesHere, GivesOnThread, GivesAsync, GivesAndWaits, RaisesAfterWait]


@pytest.mark.parametrize("how", ["run_sync", "run"])
@pytest.mark.parametrize("count", [1, 3, 64, 150])
@pytest.mark.parametrize("giver", GIVERS)
@pytest.mark.parametrize("policy", ["skip", "bypass"])
def test_what_a_generator_gave_before_it_raised_goes_on(giver, policy, count, how):
    pipeline = Pipeline([giver(count)], on_error=policy)
    expected = [item for x in range(1, 6) for item in [-x] * count + [3] * (x == 3 and policy == "bypass")]
    assert run(pipeline, range(1, 6), how) == expected
    (error,) = pipeline.errors
    assert (error.policy, error.item, error.error_type) == (policy, 3, "ValueError")
    assert error.input == Excerpt("int", None, "3")


@pytest.mark.parametrize("giver", GIVERS)
def test_a_fallback_takes_the_item_behind_what_a_generator_gave_of_it(giver):
    class Other(Node):
        def process(self, x):
            return x * 100

    node = giver(2)
    node.on_error = {"policy": "fallback", "fallback": Other()}
    assert run(Pipeline([node]), [2, 3, 4], "run") == [-2, -2, -3, -3, 300, -4, -4]


@pytest.mark.parametrize("giver", GIVERS[:-1])
def test_an_item_that_is_tried_again_begins_anew(giver):
    class Ask(giver):
        tries = 0

        def give(self, x):
            yield -x
            self.tries += x == 3
            if x == 3 and self.tries < 3:
                raise TimeoutError("late")
            yield x

    pipeline = Pipeline([Ask(9)], on_error={"policy": "retry", "attempts": 2, "backoff_ms": 0})
    assert run(pipeline, [2, 3, 4], "run") == [-2, 2, -3, -3, -3, 3, -4, 4]
    assert [(e.policy, e.item, e.attempts) for e in pipeline.errors] == [("retry", 2, 1), ("retry", 2, 2)]


@pytest.mark.parametrize("giver", [*GIVERS, GivesStream])
def test_what_a_generator_gave_is_there_before_the_run_ends_with_its_error(giver):
    seen = []

    class See(Node):
        def process(self, x):
            seen.append(x)

    error = raised(Pipeline([giver(70), See()]), [2, 3, 4], "run")
    assert (error.item, str(error.original)) == (2, "bad 3")
    assert seen == [-2] * 70 + [-3] * 70


@pytest.mark.parametrize("giver", GIVERS)
def test_what_a_flush_gave_before_it_raised_goes_on(giver):
    class Flushes(giver):
        def flush(self):
            yield from "ab"
            raise ValueError("at the end")

    class FlushesAsync(giver):
        async def flush(self):
            for item in Flushes.flush(self):
                yield item

    flushes = Flushes if issubclass(giver, GivesHere) else FlushesAsync
    pipeline = Pipeline([flushes(1)], on_error="skip")
    assert run(pipeline, [1, 2], "run") == [-1, -2, "a", "b"]
    assert [(e.item, e.input) for e in pipeline.errors] == [(None, None)]


@pytest.mark.parametrize("giver", [GivesHere, GivesAsync, GivesOnThread])
def test_what_cannot_become_a_packet_does_not_take_along_what_was_given_before(giver):
    np = pytest.importorskip("numpy")

    class Mixed(giver):
        def give(self, x):
            yield np.full((1, 1), x, np.float32), 8000
            yield (np.full((1, 1), -x, np.float32), 8000) if x != 3 else object()

    pipeline = Pipeline([Mixed(1), Node("audio.convert")], on_error="skip")
    found = run(pipeline, [2, 3, 4], "run")
    assert [audio[0][0, 0] for audio in found] == [2, -2, 3, 4, -4]
    (error,) = pipeline.errors
    assert (error.node, error.item) == ("Mixed", 2)


# ---- classes


class Needs(Exception):
    def __init__(self, code, *, reason):
        super().__init__(f"{code}: {reason}")
        self.reason = reason


class NeedsNew(Exception):
    def __new__(cls, one, two):
        return super().__new__(cls, one, two)

    def __init__(self, one, two):
        super().__init__(one)


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    field: str


class Closed(Exception):
    def __setattr__(self, name, value):
        raise TypeError("closed")


class Slots(Exception):
    __slots__ = ("extra",)


class Mute(Exception):
    def __str__(self):
        raise RuntimeError("no text")


class Meta(type):
    pass


class OwnMeta(Exception, metaclass=Meta):
    pass


class Final(Exception):
    def __init_subclass__(cls):
        raise RuntimeError("no subclasses")


class Says(Exception):
    node = property(lambda self: "mine")

    @property
    def message(self):
        return "mine"


ANY_CLASS = [
    lambda: Needs(3, reason="why"), lambda: NeedsNew(1, 2), lambda: Frozen("x"), lambda: Slots("x"), lambda: Closed("x"),
    lambda: Mute(), lambda: OwnMeta("x"), lambda: Final("x"), lambda: Says("x"),
    lambda: OSError(2, "no such", "file"), lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
    lambda: KeyError("x"), lambda: StopIteration(1), lambda: ImportError("x", name="y"),
    lambda: ExceptionGroup("two", [ValueError(1), TypeError(2)]), lambda: asyncio.TimeoutError(),
    lambda: SyntaxError("x", ("f.py", 1, 2, "text")),
]  # fmt: skip


@pytest.mark.parametrize("make", ANY_CLASS)
@pytest.mark.parametrize("policy", [None, "skip"])
def test_any_class_of_exception_is_the_cause_of_a_node_error(make, policy):
    original = make()
    pipeline = Pipeline([Fails(lambda x: original, id="here")], on_error=policy)
    if policy is None:
        error = raised(pipeline)
    else:
        pipeline.run_sync([1])
        (error,) = pipeline.errors
    assert isinstance(error, NodeError)
    assert error.__cause__ is error.original is original
    assert (error.node, error.item, error.input.head) == ("here", 1, "1")
    assert error.error_type == type(original).__qualname__
    assert str(error)
    assert error.message.startswith("node 'here', item 1: ")
    assert type(original).__name__ in error.traceback


@pytest.mark.parametrize(("make", "attribute", "value"), [
    (lambda: Needs(3, reason="why"), "reason", "why"),
    (lambda: OSError(2, "no such", "file"), "errno", 2),
    (lambda: Frozen("x"), "field", "x"),
    (lambda: ImportError("x", name="y"), "args", ("x",)),
])  # fmt: skip
def test_a_handler_of_the_own_class_finds_what_it_reads(make, attribute, value):
    with pytest.raises(type(make())) as caught:
        Pipeline([Fails(lambda x: make())]).run_sync([1])
    assert getattr(caught.value, attribute) == value


def test_a_group_is_split_by_except_star():
    group = ExceptionGroup("two", [ValueError("v"), TypeError("t")])
    pipeline = Pipeline([Fails(lambda x: group)])
    error = raised(pipeline)
    assert isinstance(error, ExceptionGroup)
    assert error.exceptions == group.exceptions
    seen = []
    try:
        pipeline.run_sync([1])
    except* ValueError as part:
        seen += part.exceptions
    except* TypeError as part:
        seen += part.exceptions
    assert sorted(map(str, seen)) == ["t", "v"]
    assert "ValueError: v" in error.traceback
    assert "TypeError: t" in error.traceback


def test_the_chain_of_causes_ends():
    first, second, third = OSError("disk"), ValueError("parse"), KeyError("key")
    third.__cause__, second.__context__ = second, first
    error = raised(Pipeline([Fails(lambda x: third)]))
    assert error.causes == (third, second, first)
    second.__suppress_context__ = True
    assert error.causes == (third, second)
    second.__cause__ = third
    assert error.causes == (third, second)
    assert NodeError("x").causes == ()
    assert NodeError("x").error_type == "Error"


@pytest.mark.parametrize("kind", [ConfigurationError, PipelineError, NodeError])
def test_an_error_of_the_sdk_passes_itself_and_is_a_node_error_where_it_was_dealt_with(kind):
    original = kind("no", code=304, help="less")
    with pytest.raises(kind) as caught:
        Pipeline([Fails(lambda x: original, id="here")]).run_sync([1])
    assert caught.value is original
    assert (original.node, original.item) == ("here", 1)
    again = kind("no", code=304, help="less")
    pipeline = Pipeline([Fails(lambda x: again, id="here")], on_error="skip")
    pipeline.run_sync([1])
    (error,) = pipeline.errors
    assert (error.code, error.help, error.policy) == (304, "less", "skip")
    assert (error.node, error.item, error.input.head) == ("here", 1, "1")
    assert error.__cause__ is again
    assert isinstance(error, NodeError)
    assert isinstance(error, kind)


@pytest.mark.parametrize("again", [copy.copy, lambda e: pickle.loads(pickle.dumps(e))])
def test_a_copy_knows_the_same(again):
    error = raised(Pipeline([Fails(at("b"))]), "ab")
    other = again(error)
    assert type(other) is type(error)
    fields = ("message", "code", "node", "item", "policy", "attempts", "input", "args")
    assert [getattr(other, name) for name in fields] == [getattr(error, name) for name in fields]
    assert str(other.__cause__) == str(other.original) == "bad b"


def test_a_native_node_fails_as_well():
    pipeline = Pipeline([Node("audio.level", id="level")])
    error = raised(pipeline, ["no sound"])
    assert (error.policy, error.attempts, error.node, error.item) == ("fail", 1, "level", 1)
    assert error.input == Excerpt("text, 8 bytes", None, "")
    pipeline.on_error = "skip"
    pipeline.run_sync([b"\x01\x02\x03", {"token": "s3cret"}])
    first, second = pipeline.errors
    assert (str(first.input), first.policy) == ("bytes, 3 bytes: 01 02 03", "skip")
    assert second.input.type.startswith("value, ")
    assert second.input.head == ""


# ---- excerpts


class Reply(typing.NamedTuple):
    text: str
    token: str


@dataclasses.dataclass
class Login:
    user: str
    password: str


class Plain:
    def __init__(self):
        self.name = "a"
        self.token = "s3cret"


class Slotted:
    __slots__ = ("name", "token")

    def __init__(self):
        self.name = "a"
        self.token = "s3cret"


class Tells:
    __slots__ = ()

    def __repr__(self):
        return "Tells(s3cret)"


class Refuses:
    __slots__ = ()

    def __repr__(self):
        raise RuntimeError


class Guarded(Node):
    spec = NodeSpec("guarded", params=(Param("api_key", "string", secret=True), Param("n", "int")))
    secret_fields = ("token", "Password")

    def __init__(self, api_key="", n=0):
        super().__init__()

    def process(self, x):
        raise ValueError("no")


BARE = Fails(None)


@pytest.mark.parametrize(("value", "text"), [
    (5, "int: 5"),
    (None, "NoneType: None"),
    (True, "bool: True"),
    (2.5, "float: 2.5"),
    (1 << 9000, "int: <int of 9001 bits>"),
    ("text", "str 4: 'text'"),
    ("x" * 1000, f"str 1000: '{'x' * 80}'…"),
    (b"\x00\x01", "bytes 2: 00 01"),
    (bytes(100), "bytes 100: " + "00 " * 15 + "00 …"),
    (memoryview(b"abcd")[::2], "memoryview 2: <2 bytes>"),
    ([1, "a", [2]], "list 3: [1, 'a', [2]]"),
    (list(range(10**6)), "list 1000000: [0, 1, 2, 3, 4, 5, 6, 7, …]"),
    ((1,), "tuple 1: (1,)"),
    ({"a": {"b": 1}}, "dict 1: {'a': {'b': 1}}"),
    ([[[[[1]]]]], "list 1: [[[[…]]]]"),
    (Reply("hi", "s"), "Reply 2: Reply(text='hi', token='s')"),
    (Login("me", "pw"), "Login: Login(user='me', password='pw')"),
    (Slotted(), "Slotted: Slotted(name='a', token='s3cret')"),
    (Refuses(), "Refuses: <Refuses>"),
    (Tells(), "Tells: Tells(s3cret)"),
    (OrderedDict(a=1), "OrderedDict 1: {'a': 1}"),
])  # fmt: skip
def test_an_excerpt_is_type_size_and_first_values(value, text):
    assert str(excerpt(value, BARE)) == text


def test_an_excerpt_is_bounded():
    wide = {"k" * 1000 + str(n): ["v" * 1000] * 100 for n in range(100)}
    assert len(str(excerpt(wide, BARE))) < 460
    loop = []
    loop.append(loop)
    assert excerpt(loop, BARE).head == "[[[[…]]]]"


def test_an_excerpt_of_arrays_and_media():
    np = pytest.importorskip("numpy")
    big = np.zeros((1000, 1000), np.float32)
    assert str(excerpt(big[:, ::2], BARE)) == (
        "ndarray float32 1000x500: [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, …]"
    )
    assert excerpt(np.array(3), BARE) == Excerpt("ndarray int64", (), "[3]")
    audio = Audio(np.ones((2, 480), np.float32), 16000, 0, metadata={"token": "t", "n": 1})
    made = excerpt(audio, Guarded())
    assert (made.type, made.shape) == ("Audio", (2, 480))
    assert made.head.endswith("rate_hz=16000, pts_ns=0, metadata={'token': ***, 'n': 1})")
    rows = np.zeros(2, dtype=[("id", "i4"), ("token", "i4")])
    assert excerpt(rows, Guarded()).head == "***"


@pytest.mark.parametrize("value", [
    {"token": "s3cret"}, {"TOKEN": "s3cret"}, {"a": [{"token": "s3cret"}]}, {"api_key": "s3cret"},
    Reply("hi", "s3cret"), Login("me", "s3cret"), Plain(), Slotted(), Tells(),
    {"password": {"deep": "s3cret"}}, [Plain()],
])  # fmt: skip
def test_what_a_type_declares_secret_is_not_shown(value):
    text = str(excerpt(value, Guarded()))
    assert "s3cret" not in text
    assert "***" in text or text == "Tells: <Tells>"
    assert "s3cret" in str(excerpt(value, BARE)) or isinstance(value, Tells) or "deep" in repr(value)


def test_secrets_are_hidden_in_a_run_and_in_the_repr_of_a_node():
    pipeline = Pipeline([Guarded("s3cret", n=3)], on_error="skip")
    pipeline.run_sync([{"token": "s3cret", "text": "hi"}])
    assert str(pipeline.errors[0].input) == "dict 2: {'token': ***, 'text': 'hi'}"
    assert repr(Guarded(api_key="s3cret", n=3)) == "Guarded(api_key=***, n=3)"
    assert raised(Pipeline([Guarded()]), [{"Password": 1}]).input.head == "{'Password': ***}"


def test_several_inputs_are_a_tuple():
    class Two(Node):
        spec = NodeSpec("two", inputs=(Port("left"), Port("right")))
        merge = "zip"

        def process(self, pair):
            raise ValueError("no")

    a, b = Fails(lambda x: None, id="a"), Fails(lambda x: None, id="b")
    error = raised(Pipeline([a, b] >> Two()), [5])
    assert str(error.input) == "tuple 2: (5, 5)"


def test_an_excerpt_is_made_only_for_an_error(monkeypatch):
    from remotemedia import _core

    made = []
    before = _core.set_excerpt(lambda value, node: made.append(value))
    try:
        Pipeline([Fails(at(50))], on_error="skip").run_sync(list(range(100)))
    finally:
        _core.set_excerpt(before)
    assert made == [50]
    with pytest.raises(TypeError, match="want a callable"):
        _core.set_excerpt(3)


def test_a_failing_excerpt_does_not_hide_the_error():
    from remotemedia import _core

    before = _core.set_excerpt(lambda value, node: 1 / 0)
    try:
        error = raised(Pipeline([Fails(at(1))]))
    finally:
        _core.set_excerpt(before)
    assert (error.input, str(error.original)) == (None, "bad 1")
