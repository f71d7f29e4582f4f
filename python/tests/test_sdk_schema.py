"""Every manifest that the tree shows or makes fits the published schema, by PyPI's jsonschema."""

import json
import pathlib
import re
import subprocess
import sys

import pytest

pytest.importorskip("jsonschema")

from remotemedia import Node, NodeSpec, Param, Pipeline, PipelineError, _core
from remotemedia._resolve import find_class
from remotemedia.nodes import TYPES

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path += [str(ROOT / "tools"), str(ROOT / "core" / "engine" / "random_graphs")]

from generate import manifest_of
from schemas import CAPABILITIES, MANIFEST, SCHEMAS, problems


def test_the_schemas_are_schemas():
    for schema in SCHEMAS.values():
        MANIFEST.check_schema(schema)
    assert problems({"version": "v2", "nodes": []}) and problems({"version": "v1", "nods": []})


def test_what_a_pipeline_writes():
    class Scale(Node):
        def __init__(self, factors):
            super().__init__()
            self.factors = factors

        def process(self, item):
            return item

    pipeline = Pipeline("p", [Node("test.tone"), Scale({"a": (1, b"x")})], on_error="skip")
    manifest = json.loads(pipeline.serialize())
    assert manifest["nodes"][1]["on_error"] == "skip"
    assert problems(manifest) == []


def test_the_example_of_each_node_type():
    registry = _core.Registry()
    registry.load_all()
    examples = {name: registry.describe(name)["example"] for name in registry.names()}
    examples |= {name: find_class(name).spec.example for name in TYPES}
    examples = {name: text for name, text in examples.items() if text}
    assert len(examples) > 10
    for name, text in examples.items():
        assert problems(json.loads(_core.Graph.inline(text).to_json())) == [], name


class OneSided(Node):
    spec = NodeSpec(
        "test.one_sided",
        params=(Param("least", "int", 5, 1, None), Param("most", "float", 0.0, None, 10.0)),
    )

    def __init__(self, least=5, most=0.0, **kwargs):
        super().__init__(**kwargs)
        self.given = (least, most)

    def process(self, item):
        return self.given


def test_a_parameter_with_a_bound_on_one_side():
    def run(**params):
        return Pipeline([Node(f"{__name__}:OneSided", **params)]).run_sync([1])

    assert run(least=2**40, most=-1e9) == (2**40, -1e9)
    with pytest.raises(PipelineError, match="least is 0, want 1 or more"):
        run(least=0)
    with pytest.raises(PipelineError, match="most is 11, want 10 or less"):
        run(most=11)


def test_random_graphs():
    for seed in range(50):
        assert problems(manifest_of(seed)) == [], seed


def test_a_new_app(tmp_path):
    command = [sys.executable, "-m", "remotemedia", "new", "app", "talk"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    manifests = list((tmp_path / "talk").glob("*.json"))
    assert manifests
    for path in manifests:
        assert problems(json.loads(path.read_text(encoding="utf-8"))) == [], path


def test_the_manifests_of_the_documentation():
    blocks = [
        json.loads(block)
        for page in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]
        for block in re.findall(r"^```json[^\n]*\n(.*?)^```$", page.read_text("utf-8"), re.M | re.S)
    ]
    manifests = [block for block in blocks if "nodes" in block]
    assert manifests
    for manifest in manifests:
        assert problems(manifest) == []


def test_what_doctor_says_of_the_machine():
    done = subprocess.run(
        [sys.executable, "-m", "remotemedia", "doctor", "--json"], capture_output=True, check=False
    )
    machine = json.loads(done.stdout)["machine"]
    assert [error.message for error in CAPABILITIES.iter_errors(machine)] == []
    assert "tier.cpython" in machine["features"]
