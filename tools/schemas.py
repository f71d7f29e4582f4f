"""The published schemas, read by PyPI's jsonschema: what an editor or another implementation sees."""

import json
import pathlib

import jsonschema
import referencing

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "schemas"
SCHEMAS = {
    name: json.loads((FOLDER / f"{name}.v1.json").read_text(encoding="utf-8"))
    for name in ("manifest", "capabilities")
}
REGISTRY = referencing.Registry().with_resources(
    (schema["$id"], referencing.Resource.from_contents(schema)) for schema in SCHEMAS.values()
)
CAPABILITIES = jsonschema.Draft202012Validator(SCHEMAS["capabilities"], registry=REGISTRY)
MANIFEST = jsonschema.Draft202012Validator(SCHEMAS["manifest"], registry=REGISTRY)


def problems(manifest):
    """What the schema has against a manifest, as sentences."""
    return [f"{error.json_path}: {error.message}" for error in MANIFEST.iter_errors(manifest)]
