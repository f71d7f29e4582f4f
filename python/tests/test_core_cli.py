"""The `remotemedia` command inside the interpreter: Python nodes, errors, signals, exit codes."""

import json
import os
import pathlib
import pty
import re
import select
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from remotemedia import _core

ROOT = pathlib.Path(_core.__file__).parents[1]

NODES = '''
import asyncio
import ctypes
import sys
import time

from remotemedia import Node


class Same(Node):
    def process(self, item):
        return item


class Later(Node):
    async def process(self, item):
        await asyncio.sleep(0.001)
        return item


class Upper(Node):
    def process(self, item):
        print("seen", item, file=sys.stderr)
        return item.upper()


class Third(Node):
    count = 0

    def process(self, item):
        self.count += 1
        if self.count == 3:
            raise ValueError("three is too many")
        return item


class Level(Node):
    def __init__(self, level_db=0, **config):
        super().__init__(**config)


class Gate(Level):
    def __init__(self, rate_hz=16000, **config):
        super().__init__(**config)

    def process(self, item):
        print(sorted(self.config), file=sys.stderr)


class Holder(Node):
    blocking = True

    def process(self, item):
        time.sleep(0.04)

    def flush(self):
        sys.setswitchinterval(1000)  # and no call lets the interpreter's lock go
        libc = ctypes.PyDLL(None)
        until = time.monotonic() + 50
        while libc.access(b"go", 0) != 0 and time.monotonic() < until:
            libc.usleep(1000)


class Closing(Node):
    def process(self, item):
        print("started", flush=True)
        time.sleep(0.01)
        return item

    def cleanup(self):
        print("cleaned up", flush=True)
'''


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "mynodes.py").write_text(NODES)
    return tmp_path


def command(*words):
    return [sys.executable, "-m", "remotemedia", *words]


def environ():
    return {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "PYTHONDONTWRITEBYTECODE": "1"}


def run(folder, *words, input=None):
    return subprocess.run(
        command(*words), cwd=folder, env=environ(), input=input, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip


def test_the_version_names_the_interpreter(folder):
    result = run(folder, "--version")
    wanted = f"remotemedia {_core.__version__} (CPython {sys.version.split()[0]})"
    assert (result.returncode, result.stdout.strip()) == (0, wanted)


@pytest.mark.parametrize("node", ["Same", "Later"])
def test_a_python_node_runs_among_native_ones(folder, node):
    result = run(
        folder, "run", "--quiet", f"test.tone duration_ms=400 ! mynodes:{node} ! json.write path=out"
    )
    assert result.returncode == 0, result.stderr
    lines = [json.loads(line) for line in (folder / "out").read_text().splitlines()]
    assert len(lines) == 20
    assert lines[-1]["pts_ns"] == 380_000_000


def test_a_native_pipeline_runs_without_asyncio_and_numpy(folder):
    words = command("run", "--json", "test.tone duration_ms=400 ! test.pass")
    words[1:1] = ["-X", "importtime"]
    result = subprocess.run(
        words, cwd=folder, env=environ(), capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stderr
    nodes = {node["id"]: node for node in json.loads(result.stdout)["nodes"]}
    assert nodes["pass"]["items"] == 20
    imported = [line.rsplit("|", 1)[1].strip() for line in result.stderr.splitlines() if "|" in line]
    assert "remotemedia._drive" in imported
    assert not {"asyncio", "numpy"} & set(imported)


def test_inputs_and_outputs_of_the_graph_are_stdin_and_stdout(folder):
    manifest = {
        "version": "v1",
        "metadata": {"name": "upper"},
        "nodes": [{"id": "up", "node_type": "mynodes:Upper"}],
        "connections": [],
        "inputs": {"text": {"node": "up"}},
        "outputs": {"text": {"node": "up"}},
    }
    (folder / "upper.json").write_text(json.dumps(manifest))
    words = [f"word{i}" for i in range(500)]
    result = run(folder, "run", "--quiet", "upper.json", "--input", "-", input="\n".join(words))
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == [word.upper() for word in words]
    assert "seen word499" in result.stderr


def test_what_a_node_raised_is_told_once_with_its_traceback(folder):
    result = run(folder, "run", "--quiet", "test.tone duration_ms=400 ! mynodes:Third ! test.pass")
    assert result.returncode == 1
    assert 'mynodes.py", line' in result.stderr
    assert "ValueError: three is too many" in result.stderr.splitlines()[-2]
    assert result.stderr.splitlines()[-2].startswith("error[E0402]: ValueError")
    assert result.stderr.splitlines()[-1].strip() == "--> node 'mynodes-Third', item 3"


def test_a_parameter_that_looks_like_a_slip_is_warned_of_where_any_is_taken(folder):
    pipeline = ["test.tone duration_ms=20 ! mynodes:Gate rate_hs=8000 depth=3 name=g", "--set",
                "mynodes-Gate.levl_db=-40"]
    result = run(folder, "run", "--quiet", *pipeline)
    assert result.returncode == 0
    told = result.stderr.splitlines()
    for begin, slip, meant in ((0, "rate_hs", "rate_hz"), (3, "levl_db", "level_db")):
        where = "node 'mynodes-Gate': mynodes:Gate takes any parameter, also"
        assert told[begin] == f"warning[E0302]: {where} '{slip}'"
        assert told[begin + 1] == f"  --> pipeline (/nodes/1/params/{slip})"
        assert told[begin + 2] == f"  help: did you mean '{meant}'?"
    assert told[6] == "['depth', 'levl_db', 'rate_hs']"
    assert run(folder, "explain", *pipeline).stderr.splitlines() == told[:6]
    valid = run(folder, "validate", "--json", pipeline[0])
    assert valid.returncode == 0
    assert [f["severity"] for f in json.loads(valid.stdout)["findings"]] == ["warning"]


def test_a_class_that_is_not_there_is_a_bad_manifest(folder):
    result = run(folder, "run", "test.tone ! mynodes:Nope")
    assert result.returncode == 3
    assert "Nope" in result.stderr
    assert "Traceback" not in result.stderr


def read_until(terminal, found):
    """What came up to there."""
    text, until = "", time.monotonic() + 40
    while not found(text):
        ready, _, _ = select.select([terminal], [], [], max(0.0, until - time.monotonic()))
        assert ready, text[-500:]
        text += os.read(terminal, 65536).decode(errors="replace")
    return text


def test_the_progress_line_moves_while_a_node_holds_the_interpreters_lock(folder):
    words = command("run", "test.tone duration_ms=500 ! mynodes:Holder")
    terminal, other_end = pty.openpty()
    env = {**environ(), "TERM": "xterm", "LC_ALL": "C.UTF-8", "COLUMNS": "120"}
    with subprocess.Popen(
        words, cwd=folder, env=env, stdout=subprocess.DEVNULL, stderr=other_end, stdin=other_end
    ) as process:
        os.close(other_end)
        still = r"([⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏]) 0:00\.\d  [^\r]*  in mynodes-Holder for [1-9]\d* s"
        text = read_until(terminal, lambda text: len(set(re.findall(still, text))) >= 4)
        assert " left" not in text.rpartition("\r")[2]
        (folder / "go").touch()
        text = read_until(terminal, lambda text: " of media in " in text)
        assert process.wait(40) == 0, text
    os.close(terminal)


def test_a_usage_error_has_its_exit_code(folder):
    assert run(folder, "run").returncode == 2
    assert run(folder, "walk").returncode == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_with_every_cleanup_called(folder, number):
    process = subprocess.Popen(
        command("run", "--quiet", "test.tone duration_ms=0 ! mynodes:Closing"),
        cwd=folder, env=environ(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout.readline() == "started\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 1
    assert out.splitlines()[-1] == "cleaned up"
    assert f"the run was ended by {number.name}" in err
    assert "Traceback" not in err


def test_top_sees_python_nodes_at_work(folder, runtime_folder):
    env = {**environ(), "XDG_RUNTIME_DIR": str(runtime_folder)}
    words = command("run", "--quiet", "test.tone duration_ms=0 paced=true ! mynodes:Later")
    process = subprocess.Popen(words, cwd=folder, env=env)
    try:
        items, until = 0, time.monotonic() + 60
        while items < 3 and time.monotonic() < until:
            top = command("top", "--json")
            told = subprocess.run(top, env=env, capture_output=True, text=True, timeout=60).stdout
            for run in json.loads(told)["pipelines"]:
                assert run["pid"] == process.pid
                if run["state"] != "busy":  # a machine under load may not answer in time
                    items = run["metrics"]["nodes"][1].get("items", 0)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 1
    finally:
        process.kill()
    assert items >= 3


def test_python_nodes_have_numbers_for_prometheus(folder):
    words = command("run", "--quiet", "--metrics-port=0", "test.tone duration_ms=0 paced=true ! mynodes:Later")
    process = subprocess.Popen(words, cwd=folder, env=environ(), stderr=subprocess.PIPE, text=True)
    try:
        line = process.stderr.readline()
        if "built without" in line:
            pytest.skip("no libmicrohttpd")
        url = line.removeprefix("metrics: ").strip()
        items, until = None, time.monotonic() + 60
        while items is None and time.monotonic() < until:
            try:
                text = urllib.request.urlopen(url, timeout=30).read().decode()
            except urllib.error.HTTPError:  # it is not ready yet
                continue
            items = re.search(r'^remotemedia_node_items_total\{.*type="mynodes:Later"\} [1-9]', text, re.M)
        process.send_signal(signal.SIGTERM)
        process.stderr.read()
        assert process.wait(30) == 1
    finally:
        process.kill()
        process.stderr.close()
    assert items


def test_the_plan_of_a_run_is_good_for_that_run_only(folder):
    code = """
from remotemedia import _core
kept = []
def run(plan, on_session):
    kept.extend([plan, on_session])
    assert plan.native_only and plan.python_nodes == []
    assert plan.to_json().startswith("{")
code = _core.cli(["remotemedia", "run", "--quiet", "test.tone duration_ms=20"], _core.Registry(), run)
assert code == 0, code
for call in (kept[0].to_json, lambda: kept[0].native_only, lambda: kept[0].python_nodes,
             lambda: _core.Session(kept[0], {})):
    try:
        call()
    except RuntimeError as error:
        assert "over" in str(error)
    else:
        raise AssertionError(call)
try:
    kept[1](None)
except ValueError:
    pass
else:
    raise AssertionError("on_session is good for ever")
"""
    subprocess.run([sys.executable, "-c", code], env=environ(), check=True, timeout=60)


def test_a_registry_may_have_planned_before(folder):
    code = """
from remotemedia import _core
node_type = _core.NodeType(None, name="mine:Node")
registry = _core.Registry(lambda spec: node_type)
_core.Graph.inline("test.tone ! mine:Node").plan(registry)
ran = []
def run(plan, on_session):
    ran.append(plan.python_nodes)
    for use in (lambda: _core.Graph.inline("test.tone ! mine:Node").plan(registry),
                lambda: _core.cli(["remotemedia"], registry, run)):
        try:
            use()
        except RuntimeError as error:
            assert "in use" in str(error)
        else:
            raise AssertionError("its node types would be lost")
for _ in range(2):
    assert _core.cli(["remotemedia", "run", "-q", "test.tone ! mine:Node"], registry, run) == 0
    _core.Graph.inline("test.tone ! mine:Node").plan(registry)
assert ran == [[("mine-Node", node_type)]] * 2, ran
"""
    subprocess.run([sys.executable, "-c", code], env=environ(), check=True, timeout=60)


def test_wrong_arguments_of_cli_are_errors():
    registry = _core.Registry()
    for arguments in [(), (["remotemedia"], 3, print), (["remotemedia", 3], registry, print),
                      (["a\0b"], registry, print)]:
        with pytest.raises((TypeError, ValueError)):
            _core.cli(*arguments)


def test_a_plan_for_another_machine(folder):
    (folder / "there.json").write_text('{"machine": {"memory_gb": 4}}')
    wants = {"id": "a", "node_type": "test.tone", "requirements": [{"memory_gb": 16}, {}]}
    last = {"id": "b", "node_type": "mynodes:Same", "runtime_hint": "rust_python"}
    (folder / "p.json").write_text(json.dumps({"version": "v1", "nodes": [wants, last]}))
    told = run(folder, "explain", "p.json", "--machine", "there.json").stdout
    assert "at local" in told and "alternative 1: wants 16 GB of memory, there are 4" in told
    assert "cpython takes its place" in " ".join(told.split())
    wants["requirements"].pop()
    (folder / "p.json").write_text(json.dumps({"version": "v1", "nodes": [wants]}))
    done = run(folder, "validate", "p.json", "--machine", "there.json")
    assert done.returncode == 3 and "error[E0202]: nothing can run node 'a'" in done.stdout
    done = run(folder, "explain", "p.json", "--machine", "absent.json")
    assert done.returncode == 2 and "describes no machine" in done.stderr
