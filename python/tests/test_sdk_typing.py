"""The package passes mypy in strict mode, and so does a program that uses it."""

import os
import pathlib
import subprocess
import sys

import pytest

pytest.importorskip("mypy")

PACKAGE = pathlib.Path(__file__).parents[1] / "remotemedia"

PROGRAM = """
from collections.abc import AsyncIterator, Iterator

from remotemedia import Audio, Edge, Flow, Node, NodeError, Pipeline, merge


class Double(Node):
    def process(self, x: int) -> int:
        return 2 * x


class Count(Node):
    def __init__(self, n: int, *, name: str | None = None) -> None:
        super().__init__(name)
        self.n = n

    async def initialize(self) -> None:
        pass

    def process(self) -> Iterator[int]:
        yield from range(self.n)


class Loud(Node):
    async def process(self, audio: Audio) -> AsyncIterator[float]:
        yield float(abs(audio.samples).max())


def draw() -> Pipeline:
    a, b, c = Double(), Double(id="b"), Loud()
    chain: Flow = a >> Edge(capacity=4, policy="latest") >> b >> c
    inner = Pipeline("inner", a["output"] >> [b["input"], c] >> Double())
    [a, b] >> c
    outer = Pipeline([chain, a >> inner["x"] >> b, merge(b, inner, how="zip") >> c])
    return outer.add(a >> b).connect(a, "b.input", policy="drop_oldest", latency_ms_max=5)


async def main() -> None:
    pipeline = Pipeline("p", [Count(3), Double(), Node("audio.level", interval_ms=10)])
    pipeline.add_node(Loud(), after="level")
    try:
        print(await pipeline.run(), pipeline.metrics["level"].share)
    except NodeError as error:
        print(error.node, error.item, error.traceback)
    async with pipeline.open(outputs=["level"]) as session:
        await session.push(1)
        async for result in session:
            print(result)
        session.interrupt("level")
"""


def test_package_and_program_pass_mypy_in_strict_mode(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    words = ["mypy", "--strict", "--ignore-missing-imports", "--config-file=", "--cache-dir", str(tmp_path)]
    environ = {**os.environ, "MYPYPATH": str(PACKAGE.parent)}
    result = subprocess.run(
        [sys.executable, "-m", *words, str(PACKAGE), str(program)],
        cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
