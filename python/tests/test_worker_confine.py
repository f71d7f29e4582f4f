"""What a worker process with limits on files and hosts cannot do, and what it can still."""

import os

import pytest
import worker_nodes as nodes

from remotemedia import NodeError, Pipeline, PipelineError, _confine, _wire


def lacks_landlock():
    asks = (_confine.CREATE_RULESET, None, 0, _confine.VERSION_FLAG)
    return _confine._libc().syscall(*asks) < 1


pytestmark = pytest.mark.skipif(lacks_landlock(), reason="this system has no Landlock")


def asked(item, **limits):
    node = nodes.Confined()
    node.limits = limits
    return Pipeline([node]).run_sync([item])


@pytest.fixture
def places(tmp_path):
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    (inside / "file").write_text("known")
    (outside / "file").write_text("secret")
    return inside, outside


def test_files_holds_it_to_these_paths(places):
    inside, outside = places
    files = [str(inside)]
    assert asked(("read", str(inside / "file")), files=files) == "known"
    assert asked(("write", str(inside / "new")), files=files) == 4
    assert asked(("import", "decimal"), files=files) == "decimal"
    for what, path in (
        ("read", outside / "file"),
        ("write", outside / "new"),
        ("write", inside.parent / "new"),
        ("list", outside),
    ):
        with pytest.raises(PermissionError):
            asked((what, str(path)), files=files)
    assert not (outside / "new").exists()


def test_files_holds_its_children_too(places):
    inside, outside = places
    assert asked(("shell", str(inside / "file")), files=[str(inside)]) == 0
    assert asked(("shell", str(outside / "file")), files=[str(inside)]) == 1


def test_a_path_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        asked(("list", "/"), files=[str(tmp_path / "nowhere")])


def test_no_hosts_leaves_local_sockets_only():
    assert asked(("inet", "")) == "made"
    assert asked(("unix", ""), hosts=[]) == "made"
    with pytest.raises(PermissionError):
        asked(("inet", ""), hosts=[])


def test_hosts_by_name_are_refused_at_planning():
    with pytest.raises(PipelineError, match="limits.hosts cannot be held"):
        asked(("inet", ""), hosts=["example.org"])


def test_a_confined_worker_cannot_have_the_program_call_something(tmp_path):
    path = tmp_path / "touched"
    with pytest.raises(NodeError, match="posix.system is not taken from a worker"):
        asked(("trick", str(path)), hosts=[])
    assert not path.exists()
    with pytest.raises(KeyError, match="unknown"):
        asked(("unknown", ""), hosts=[])  # an exception of Python's own comes as it is


def test_careful_takes_plain_values_and_arrays():
    np = pytest.importorskip("numpy")
    for value in (
        None, 1, 2.5, "text", b"bytes", [1, (2, {"a": {3}})], np.float32(1.5), complex(1, 2)
    ):  # fmt: skip
        head, parts = _wire.packed(_wire.RESULT, 1, value)
        assert _wire.unpacked(head, parts, careful=True).value == value
    for array in (np.arange(5), np.ones((200, 30), np.int16), np.array("text")):
        head, parts = _wire.packed(_wire.RESULT, 1, array)
        found = _wire.unpacked(head, parts, careful=True).value
        assert found.dtype == array.dtype and found.tolist() == array.tolist()


@pytest.mark.parametrize("call", [os.system, eval, __import__, open, getattr, nodes.Double])
def test_careful_calls_nothing_else(call):
    class Calls:
        def __reduce__(self):
            return call, ("1",)

    head, parts = _wire.packed(_wire.RESULT, 1, Calls())
    with pytest.raises(Exception, match="is not taken from a worker"):
        _wire.unpacked(head, parts, careful=True)
