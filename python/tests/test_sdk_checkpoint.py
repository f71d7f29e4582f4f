"""Checkpoints by the SDK: a run that is killed goes on where it was, and leaves the same file as one
that was let alone; a node that cannot be kept is refused by name."""

import textwrap

import pytest
from killing import finish, kill_after, newest, start

import remotemedia
from remotemedia import Node, Pipeline

PROGRAM = textwrap.dedent("""
    import asyncio, sys
    from remotemedia import Node, Pipeline

    read = Node("wav.read", path="in.wav", packet_ms=5, paced=True, id="read")
    level = Node("audio.level", interval_ms=5, id="level")
    pipeline = Pipeline([read, level, Node("json.write", path="out", id="write")],
                        checkpoint="state", checkpoint_interval_ms=1)
    pipeline.run_sync() if sys.argv[1] == "run_sync" else asyncio.run(pipeline.run())
""")
SECONDS = 3  # a run takes no less, so that it is killed before its end


def run_alone(folder):
    """What a run that nobody kills writes."""
    Pipeline([Node("test.tone", duration_ms=1000 * SECONDS),
              Node("wav.write", path=str(folder / "in.wav"))]).run_sync()
    Pipeline([Node("wav.read", path=str(folder / "in.wav"), packet_ms=5),
              Node("audio.level", interval_ms=5),
              Node("json.write", path=str(folder / "expected"))]).run_sync()
    return (folder / "expected").read_text()


@pytest.mark.parametrize("mode", ["run_sync", "run"])
def test_a_killed_process_goes_on_where_it_was(tmp_path, mode):
    expected = run_alone(tmp_path)
    assert len(expected.splitlines()) == 200 * SECONDS
    for _ in range(2):
        kill_after(tmp_path, start(tmp_path, PROGRAM, mode), 1)
    finish(start(tmp_path, PROGRAM, mode))
    assert (tmp_path / "out").read_text() == expected
    assert newest(tmp_path) == 0  # it has ended well: none are needed


class Doubles(Node):
    def process(self, value):
        return value


def test_a_node_that_cannot_be_kept_is_refused_by_name(tmp_path):
    pipeline = Pipeline([Node("test.tone", duration_ms=10), Doubles(id="doubles"),
                         Node("json.write", path=str(tmp_path / "out"))], checkpoint=tmp_path / "state")
    with pytest.raises(remotemedia.PipelineError, match=r"node 'doubles' .* cannot save its state"):
        pipeline.run_sync()
