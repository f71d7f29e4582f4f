"""A notebook, executed by a kernel: await at the top of a cell, and what pipelines and metrics look like."""

import ast
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import nbformat
import pytest
from nbclient import NotebookClient

CELLS = {
    "define": """
import asyncio
import threading

from remotemedia import Node, Pipeline

class Double(Node):
    def process(self, x):
        return 2 * x

class Later(Node):
    async def process(self, x):
        await asyncio.sleep(0)
        return x + 1

pipeline = Pipeline("sums", [Double(id="double"), Later(id="later")])
""",
    "run": "await pipeline.run([1, 2, 3])",
    "drawing": "pipeline",
    "metrics": "pipeline.metrics",
    "native": """
tones = Pipeline([Node("test.tone", rate_hz=8000, duration_ms=100), Node("audio.level", interval_ms=50)])
[level["peak_dbfs"] async for level in tones.stream()]
""",
    "session": """
async with pipeline.open() as session:
    await session.push(20)
    answer = await anext(session)
answer
""",
    "error": """
try:
    await pipeline.run(["a", None])
except TypeError as error:
    print(error)
""",
    "sync": """
try:
    pipeline.run_sync([1])
except RuntimeError as error:
    print(error)
""",
    "elsewhere": """
found = []
thread = threading.Thread(target=lambda: found.append(pipeline.run_sync([5])))
thread.start()
while thread.is_alive():
    await asyncio.sleep(0.001)
found
""",
}


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """What each cell gave: (stdout, data by media type). One kernel runs them all."""
    folder = tmp_path_factory.mktemp("notebook")
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(text.strip()) for text in CELLS.values()]
    )
    with pytest.MonkeyPatch.context() as patch:
        for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR"):
            patch.setenv(name, str(folder / name.lower()))
        NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    return {name: shown(cell) for name, cell in zip(CELLS, notebook.cells, strict=True)}


def shown(cell):
    text = "".join(out.text for out in cell.outputs if out.output_type == "stream")
    data = [out.data for out in cell.outputs if out.output_type == "execute_result"]
    return text, data[0] if data else {}


class Table(HTMLParser):
    """The rows of the tables of a page, as text."""

    def __init__(self, html):
        super().__init__()
        self.rows = []
        self.open = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        if self.open[-1:] in (["th"], ["td"]):
            self.rows[-1].append(text)


def test_run_is_awaited_at_the_top_of_a_cell(outputs):
    assert outputs["run"][1]["text/plain"] == "[3, 5, 7]"
    levels = ast.literal_eval(outputs["native"][1]["text/plain"])
    assert levels == pytest.approx([-6.0, -6.0], abs=0.1)
    assert outputs["session"][1]["text/plain"] == "41"


def test_a_pipeline_is_drawn(outputs):
    data = outputs["drawing"][1]
    svg = ET.fromstring(data["image/svg+xml"])
    assert svg.tag == "{http://www.w3.org/2000/svg}svg"
    texts = [text.text for text in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert texts == ["double", "Double", "later", "Later"]
    assert len(list(svg.iter("{http://www.w3.org/2000/svg}path"))) == 2  # the arrow and its head
    assert data["text/plain"] == "Pipeline(name='sums', nodes=2, not initialized)"


def test_metrics_are_a_table(outputs):
    data = outputs["metrics"][1]
    head, *rows = Table(data["text/html"]).rows
    assert head[:5] == ["node", "type", "items", "out", "errors"]
    assert [row[0] for row in rows] == ["double", "later"]
    assert [row[2:4] for row in rows] == [["3", "3"], ["3", "3"]]
    assert data["text/plain"].split()[:3] == ["node", "type", "items"]


def test_errors_and_run_sync_say_what_they_say_elsewhere(outputs):
    assert "node 'later', item 1: TypeError" in outputs["error"][0]
    assert "write `await pipeline.run(…)`" in outputs["sync"][0]
    assert outputs["elsewhere"][1]["text/plain"] == "[11]"
