"""Checkpoints of pipelines with Python nodes: a run that is killed, at any point, goes on with the
state of its nodes and with what was on its way, and leaves what one that was let alone leaves; what
cannot be kept is refused by name, or put off, and the run goes on."""

import asyncio
import json
import re
import textwrap
import time

import pytest
from killing import finish, kill, kill_after, newest, start

import remotemedia
from remotemedia import Node, Pipeline

PROGRAM = textwrap.dedent("""
    import asyncio, sys, time
    from remotemedia import Node, Pipeline

    COUNT = 600
    source, mode, pause_s, folder = sys.argv[1], sys.argv[2], float(sys.argv[3]), sys.argv[4] or None

    class Source(Node):
        next = 0

        def save(self):
            return self.next

        def load(self, state):
            self.next = state

    class Numbers(Source):
        def process(self):
            while self.next < COUNT:
                self.next += 1
                time.sleep(pause_s)
                yield self.next

    class Threaded(Numbers):
        blocking = True

    class Async(Source):
        async def process(self):
            while self.next < COUNT:
                self.next += 1
                await asyncio.sleep(pause_s)
                yield self.next

    class Sums(Node):
        def __init__(self):
            super().__init__()
            self.total, self.seen, self.first = 0, {}, True

        def process(self, number):
            if self.first:
                self.first = False
                print("begins with", number, file=sys.stderr)
            self.total += number
            self.seen[str(number % 10)] = self.seen.get(str(number % 10), b"") + bytes([number % 256])
            return {"number": number, "total": self.total, "bytes": sum(map(len, self.seen.values()))}

        def save(self):
            return {"total": self.total, "seen": self.seen}

        def load(self, state):
            self.total, self.seen = state["total"], state["seen"]

    class Waits(Node):
        stateless = True

        async def process(self, item):
            await asyncio.sleep(pause_s)
            return item

    class Works(Node):
        stateless, blocking = True, True

        def process(self, item):
            time.sleep(pause_s)
            return {**item, "pair": (item["number"], item["total"])}

    class Thrice(Node):
        stateless = True

        def process(self, item):
            for i in range(3):
                time.sleep(pause_s / 10)
                yield {**item, "i": i, "pair": list(item["pair"])}

    class Batches(Node):
        is_streaming = True

        def __init__(self):
            super().__init__()
            self.held = []

        async def process(self, stream):
            async for item in stream:
                self.held.append(item)
                if len(self.held) == 4:
                    batch, self.held = self.held, []
                    yield {"batch": batch}

        def save(self):
            return self.held

        def load(self, state):
            self.held = state

    first = {"sync": Numbers, "thread": Threaded, "async": Async}.get(source)
    nodes = [Sums(), Waits(), Works(), Thrice(), Batches(), Node("json.write", path="out")]
    nodes = ([first(id="numbers")] if first else []) + nodes
    data = range(1, COUNT + 1)
    given = {"list": list(data), "iterator": (n for n in data)}.get(source)
    pipeline = Pipeline(nodes, checkpoint=folder, checkpoint_interval_ms=2)
    pipeline.run_sync(given) if mode == "run_sync" else asyncio.run(pipeline.run(given))
""")
LINES = 600 * 3 // 4


def begin(folder, source, mode, pause_s, state="state"):
    return start(folder, PROGRAM, source, mode, pause_s, state)


def expected_of(folder):
    finish(begin(folder, "sync", "run_sync", 0, ""))
    expected = (folder / "out").read_text()
    assert len(expected.splitlines()) == LINES
    (folder / "out").unlink()
    return expected


@pytest.mark.parametrize("source", ["sync", "async", "thread", "list", "iterator"])
@pytest.mark.parametrize("mode", ["run_sync", "run"])
def test_a_killed_process_goes_on_with_the_state_of_its_nodes(tmp_path, source, mode):
    expected = expected_of(tmp_path)
    part = tmp_path / "state" / "checkpoint.part"
    kill_after(tmp_path, begin(tmp_path, source, mode, 0.001), 2)
    kill(begin(tmp_path, source, mode, 0.001), part.exists)  # as it is written
    kill_after(tmp_path, begin(tmp_path, source, mode, 0.001), 1)
    assert newest(tmp_path) >= 3
    told = finish(begin(tmp_path, source, mode, 0))
    assert int(told.split()[-1]) > 1, told  # what was done is not done again
    assert (tmp_path / "out").read_text() == expected
    assert newest(tmp_path) == 0  # it has ended well


SOUND = textwrap.dedent("""
    import asyncio
    from remotemedia import Node, Pipeline

    class Fades(Node):
        factor = 1.0

        async def process(self, audio):
            samples, rate = audio
            self.factor *= 0.999
            await asyncio.sleep(0.002)
            return samples * self.factor, rate

        def save(self):
            return self.factor

        def load(self, state):
            self.factor = state

    Pipeline([Node("wav.read", path="in.wav", packet_ms=5), Fades(), Node("wav.write", path="out.wav")],
             checkpoint="state", checkpoint_interval_ms=3).run_sync()
""")


def test_sound_that_goes_through_a_coroutine_is_written_as_by_one_that_was_let_alone(tmp_path):
    Pipeline([Node("test.tone", duration_ms=1500),
              Node("wav.write", path=str(tmp_path / "in.wav"))]).run_sync()
    finish(start(tmp_path, SOUND))
    expected = (tmp_path / "out.wav").read_bytes()
    (tmp_path / "out.wav").unlink()
    for _ in range(2):
        kill_after(tmp_path, start(tmp_path, SOUND), 2)
    finish(start(tmp_path, SOUND))
    assert (tmp_path / "out.wav").read_bytes() == expected


RESULTS = textwrap.dedent("""
    import dataclasses, json, sys, time
    from remotemedia import Node, Pipeline

    @dataclasses.dataclass
    class Box:  # the value model has no form of it
        number: int

    class Boxes(Node):
        stateless = True

        def process(self, number):
            time.sleep(0.0005)
            return Box(number)

    class Opens(Node):
        stateless = True

        def process(self, box):
            time.sleep(0.0005)
            return box.number

    results = Pipeline([Boxes(), Opens(), Opens2()], checkpoint="state", checkpoint_interval_ms=5)
""").replace(", Opens2()", "") + "json.dump(results.run_sync(list(range(1000))), open('results', 'w'))\n"


def test_results_are_complete_and_objects_without_a_form_are_let_through(tmp_path):
    for _ in range(2):
        kill_after(tmp_path, start(tmp_path, RESULTS), 2)
    finish(start(tmp_path, RESULTS))
    assert json.loads((tmp_path / "results").read_text()) == list(range(1000))


PUT_ASIDE = textwrap.dedent("""
    import asyncio, json, sys, time
    from remotemedia import Node, Pipeline

    class Passes(Node):
        stateless = True

        def process(self, number):
            time.sleep(0.0001)
            return number

    class Here(Node):
        stateless, blocking = True, False

        def process(self, number):
            time.sleep(0.0003)
            return number

    pipeline, numbers = Pipeline([Passes(), Here()], checkpoint="state", checkpoint_interval_ms=1), list(range(2000))
    results = pipeline.run_sync(numbers) if sys.argv[1] == "here" else asyncio.run(pipeline.run(numbers))
    json.dump(results, open("results", "w"))
""")


def test_what_was_put_aside_for_a_thread_keeps_its_place_where_there_is_none(tmp_path):
    for place in ["thread", "here"] * 3:
        kill_after(tmp_path, start(tmp_path, PUT_ASIDE, place), 12)
    finish(start(tmp_path, PUT_ASIDE, "here"))
    assert json.loads((tmp_path / "results").read_text()) == list(range(2000))


class Keeps(Node):
    """Gives numbers up to `count`; save() gives or raises what it is told."""

    def __init__(self, gives=None, count=300, **config):
        super().__init__(**config)
        self.gives, self.count, self.next, self.loaded = gives, count, 0, []

    def process(self):
        while self.next < self.count:
            self.next += 1
            time.sleep(0.0005)
            yield self.next

    def save(self):
        if isinstance(self.gives, BaseException):
            raise self.gives
        return self.gives if self.gives is not None else self.next

    def load(self, state):
        self.loaded.append(state)
        if isinstance(self.gives, BaseException):
            raise self.gives
        self.next = state


class Doubles(Node):
    def process(self, number):
        return 2 * number


class Same(Node):
    stateless = True

    def process(self, number):
        return number


class Coroutine(Keeps):
    async def save(self):
        return self.next


class StatelessSource(Node):
    stateless = True

    def process(self):
        yield 1


def run(folder, *nodes, data=None, **options):
    options = {"checkpoint": folder / "state", "checkpoint_interval_ms": 2} | options
    return Pipeline([*nodes, Node("json.write", path=str(folder / "out"))], **options).run_sync(data)


def written(folder):
    return [json.loads(line) for line in (folder / "out").read_text().splitlines()]


@pytest.mark.parametrize("node,helps", [
    (Doubles(id="odd"), "stateless = True"), (StatelessSource(id="odd"), "its place")])
def test_what_cannot_be_kept_is_refused_by_name_and_told_what_helps(tmp_path, node, helps):
    before = [] if isinstance(node, StatelessSource) else [Keeps(id="keeps")]
    with pytest.raises(remotemedia.PipelineError, match="node 'odd' .* cannot save its") as caught:
        run(tmp_path, *before, node)
    assert caught.value.code == remotemedia.errors.CHECKPOINT_REFUSED
    assert helps in caught.value.help


@pytest.mark.parametrize("gives,told", [
    (ValueError("the disk is full"), "saving node 'keeps': the disk is full"),
    (KeyError("x"), "saving node 'keeps': KeyError: 'x'"),
    (object(), "saving node 'keeps': "),
    (None, "save\\(\\) is a coroutine, want a plain function")])
def test_a_state_that_cannot_be_had_is_told_and_the_run_goes_on(tmp_path, caplog, gives, told):
    kind = Keeps if gives is not None else Coroutine
    run(tmp_path, kind(gives, id="keeps"), Same())
    assert written(tmp_path) == list(range(1, 301))
    assert re.search(told, caplog.text)
    assert newest(tmp_path) == 0


class Fails(Same):
    at = None

    def process(self, number):
        if number == self.at:
            raise ValueError("enough")
        return number


def leave_checkpoints(folder):
    """A run that fails leaves those that it has made."""
    fails = Fails(id="same")
    fails.at = 200
    with pytest.raises(ValueError, match="enough"):
        run(folder, Keeps(id="keeps"), fails)
    return sorted((folder / "state").glob("checkpoint-*.rmc"))


def test_a_damaged_checkpoint_is_refused_and_the_one_before_it_used(tmp_path, caplog):
    previous, last = leave_checkpoints(tmp_path)
    data = bytearray(last.read_bytes())
    data[len(data) // 2] ^= 1
    last.write_bytes(data)
    node = Keeps(id="keeps")
    run(tmp_path, node, Fails(id="same"))
    assert len(node.loaded) == 1 and 0 < node.loaded[0] < 200
    assert written(tmp_path) == list(range(1, 301))
    assert str(last.name) in caplog.text


def test_a_state_that_load_refuses_ends_the_run_by_name(tmp_path):
    leave_checkpoints(tmp_path)
    with pytest.raises(remotemedia.PipelineError, match="'keeps'.*made by a newer version"):
        run(tmp_path, Keeps(ValueError("made by a newer version"), id="keeps"), Fails(id="same"))


def test_a_node_that_is_long_within_an_item_puts_checkpoints_off(tmp_path, caplog):
    class Slow(Same):
        blocking = True

        def process(self, number):
            until = time.monotonic() + 30
            while "no checkpoint within" not in caplog.text and time.monotonic() < until:
                time.sleep(0.01)
            return number

    run(tmp_path, Keeps(count=1), Slow(id="slow"))
    assert written(tmp_path) == [1]
    assert re.search("no checkpoint within 2000 ms: .*'slow'", caplog.text)


def test_a_slow_node_on_a_thread_is_between_two_items_soon(tmp_path, caplog):
    class Slow(Same):
        blocking = True

        def process(self, number):
            time.sleep(0.16)
            return number

    run(tmp_path, Slow(id="slow"), data=list(range(20)))
    assert written(tmp_path) == list(range(20))
    assert "no checkpoint within" not in caplog.text


def test_an_input_that_is_shorter_than_what_was_taken_is_refused(tmp_path):
    class Stops(Same):
        def process(self, number):
            time.sleep(0.001)
            if number == 90:
                raise ValueError("enough")
            return number

    with pytest.raises(ValueError, match="enough"):
        run(tmp_path, Stops(id="same"), data=list(range(1000)))
    with pytest.raises(remotemedia.PipelineError, match="items of the input were taken, and it has 2"):
        run(tmp_path, Stops(id="same"), data=[1, 2])
