"""Tracebacks: the caller's line, then the node's own code, whichever method of the node failed."""

import asyncio
import logging
import pathlib
import sys
import types
from traceback import extract_tb, format_exception

import pytest
from remotemedia import Node, NodeError, Pipeline, PipelineError

HERE = pathlib.Path(__file__).name
METHODS = ["process", "initialize", "flush", "cleanup"]


def fail(kind=ValueError):
    raise kind("no more")


class Fails(Node):
    def __init__(self, where, kind=ValueError):
        super().__init__()
        self.where = where
        self.kind = kind

    def check(self, where):
        if where == self.where:
            fail(self.kind)

    def initialize(self):
        self.check("initialize")

    def process(self, x):
        self.check("process")
        return x

    def flush(self):
        self.check("flush")

    def cleanup(self):
        self.check("cleanup")


class FailsLater(Fails):
    async def initialize(self):
        self.check("initialize")

    async def process(self, x):
        self.check("process")
        return x

    async def flush(self):
        self.check("flush")

    async def cleanup(self):
        self.check("cleanup")


class FailsOnAThread(Fails):
    blocking = True


def by_run_sync(pipeline):
    pipeline.run_sync([1])


def by_run(pipeline):
    async def main():
        await pipeline.run([1])

    asyncio.run(main())


def by_session(pipeline):
    async def main():
        async with pipeline.open() as session:
            await session.push(1)
            session.end()
            assert [x async for x in session] == [1]

    asyncio.run(main())


def frames(error):
    """(file, function) of each frame, from the caller's on; without those of asyncio.run()."""
    rows = [(pathlib.Path(f.filename), f.name) for f in extract_tb(error.__traceback__)]
    return [(path.name, name) for path, name in rows if path.parent.name != "asyncio"]


def failure(node, how):
    with pytest.raises(NodeError) as caught:
        how(Pipeline("p", [node]))
    return caught.value


@pytest.mark.parametrize("how", [by_run_sync, by_run])
@pytest.mark.parametrize("cls", [Fails, FailsLater, FailsOnAThread])
def test_each_method_fails_with_the_traceback_that_process_has(cls, how):
    of_process = failure(cls("process"), how)
    for where in METHODS:
        error = failure(cls(where), how)
        expected = [(HERE, where), (HERE, "check"), (HERE, "fail")]
        assert frames(error.__cause__) == expected
        assert error.original is error.__cause__
        assert frames(error) == frames(of_process)
        assert frames(error)[:2] == [(HERE, "failure"), (HERE, how.__name__)]


@pytest.mark.parametrize("cls", [Fails, FailsLater])
@pytest.mark.parametrize("where", METHODS)
def test_in_a_session_the_cause_is_the_nodes_own_code(cls, where):
    error = failure(cls(where), by_session)
    assert frames(error.__cause__) == [(HERE, where), (HERE, "check"), (HERE, "fail")]
    assert frames(error)[:3] == [(HERE, "failure"), (HERE, "by_session"), (HERE, "main")]


@pytest.mark.parametrize("where", METHODS)
def test_an_error_of_the_sdk_goes_on_into_the_nodes_code(where):
    def raised(where):
        with pytest.raises(PipelineError, match="no more") as caught:
            by_run_sync(Pipeline([Fails(where, PipelineError)]))
        return frames(caught.value)

    assert raised(where)[-3:] == [(HERE, where), (HERE, "check"), (HERE, "fail")]
    assert raised(where)[:-3] == raised("process")[:-3]


def test_what_is_printed_names_no_file_of_the_package_before_the_callers_line():
    text = "".join(format_exception(failure(Fails("initialize"), by_run_sync)))
    files = [line.split('"')[1] for line in text.splitlines() if line.startswith("  File ")]
    assert [pathlib.Path(file).name for file in files[:5]] == [HERE] * 5


def test_a_constructor_that_fails_is_the_cause(monkeypatch):
    class Unmade(Node):
        def __init__(self):
            fail()

        def process(self, x):
            return x

    module = types.ModuleType("unmade")
    module.Unmade = Unmade
    monkeypatch.setitem(sys.modules, "unmade", module)
    error = failure(Node("unmade:Unmade"), by_run_sync)
    assert frames(error.__cause__) == [(HERE, "__init__"), (HERE, "fail")]


def test_initialize_and_cleanup_of_a_pipeline_show_the_same(caplog):
    async def begin(node):
        async with Pipeline("p", [node]).managed_execution():
            pass

    with pytest.raises(PipelineError) as caught:
        asyncio.run(begin(FailsLater("initialize")))
    expected = [(HERE, "check"), (HERE, "fail")]
    assert frames(caught.value.__cause__) == [(HERE, "initialize"), *expected]
    with caplog.at_level(logging.ERROR):
        asyncio.run(begin(Fails("cleanup")))
    assert frames(caplog.records[0].exc_info[1]) == [(HERE, "cleanup"), *expected]
