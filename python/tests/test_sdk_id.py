"""id= works for every node class, whatever its constructor takes."""

import copy
import dataclasses
import inspect
import pickle
import threading

import pytest
from remotemedia import Node, Pipeline
from remotemedia.errors import ConfigurationError


class Silent(Node):
    """No constructor of its own."""

    def process(self, x):
        return x


class Bare(Silent):
    def __init__(self):
        super().__init__()


class Sized(Silent):
    def __init__(self, size, unit="mm"):
        super().__init__()
        self.size = size
        self.unit = unit


class NoSuper(Silent):
    def __init__(self, size=1):
        self.size = size


class Forwards(Silent):
    def __init__(self, size=1, **kwargs):
        super().__init__(**kwargs)
        self.size = size


class Swallows(Silent):
    def __init__(self, size=1, **options):
        super().__init__()
        self.size = size
        self.options = options


class Heir(Sized):
    """Inherits a constructor without id."""


class ForwardsToSized(Sized):
    def __init__(self, **kwargs):
        super().__init__(size=2, **kwargs)


class Own(Silent):
    """An id of its own, which is no node's id."""

    def __init__(self, id=0):
        super().__init__()
        self.row = id


@dataclasses.dataclass
class Record(Silent):
    size: int = 1
    unit: str = "mm"


@dataclasses.dataclass
class RecordWithId(Silent):
    size: int = 1
    id: str | None = None


MADE = [
    lambda **kw: Silent(**kw),
    lambda **kw: Bare(**kw),
    lambda **kw: Sized(3, **kw),
    lambda **kw: Sized(size=3, unit="m", **kw),
    lambda **kw: NoSuper(3, **kw),
    lambda **kw: Forwards(3, **kw),
    lambda **kw: Swallows(3, **kw),
    lambda **kw: Heir(3, **kw),
    lambda **kw: ForwardsToSized(**kw),
    lambda **kw: Record(3, **kw),
    lambda **kw: RecordWithId(3, **kw),
]


@pytest.mark.parametrize("make", MADE)
def test_a_node_has_the_id_that_it_was_given(make):
    for id in ("first", "second"):
        node = make(id=id)
        assert node.id == id
        pipeline = Pipeline([node])
        assert pipeline.node_ids == [id]
        assert pipeline.run_sync([1, 2]) == [1, 2]
        assert "id" not in node.get_params()
        entry = pipeline.to_manifest()["nodes"][0]
        assert entry["id"] == id and "id" not in entry["params"]
    assert make().id is None


@pytest.mark.parametrize("cls", [Bare, Forwards, Swallows, Record])
def test_what_cannot_be_an_id_is_an_error(cls):
    with pytest.raises(ConfigurationError, match="node id is 'a b'"):
        cls(id="a b")
    assert cls(id=None).id is None


def test_the_other_arguments_are_what_they_were():
    assert (Sized(3, id="a").size, Sized(3, id="a").unit) == (3, "mm")
    assert Swallows(2, depth=1, id="a").options["depth"] == 1
    assert Sized(3, id="a").get_params() == {"size": 3}
    assert str(inspect.signature(Sized)) == "(size, unit='mm')"
    assert Record(2, id="a") == Record(2)
    for call in (lambda: Sized(id="a"), lambda: Bare(3, id="a"), lambda: Sized(3, depth=1, id="a")):
        with pytest.raises(TypeError, match="__init__"):
            call()


def test_an_id_parameter_of_a_class_is_its_own():
    node = Own(id=7)
    assert (node.row, node.id) == (7, None)


def test_a_call_of_super_with_an_id_is_what_it_was():
    class Wrong(Bare):
        def __init__(self):
            super().__init__(id="a")

    Bare(id="b")
    with pytest.raises(TypeError, match="id"):
        Wrong()


def test_copies_keep_their_id():
    node = Sized(3, id="a")
    assert copy.copy(node).id == "a"
    assert pickle.loads(pickle.dumps(node)).id == "a"


def test_nodes_are_made_on_several_threads_at_once():
    class Fresh(Silent):
        def __init__(self, size):
            self.size = size

    made = []
    begin = threading.Barrier(4)

    def work(number):
        begin.wait(20)
        made.extend(Fresh(number, id=f"n{number}-{i}") for i in range(50))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len({node.id for node in made}) == 200
    assert all(node.id.startswith(f"n{node.size}-") for node in made)
