#!/usr/bin/env python3
"""Writes the catalog of the Python node types, which the plain binary shows: catalog.py [--check].

The catalog, python/remotemedia/nodes/catalog.json, is made from the classes that
remotemedia.nodes.TYPES names. The package must be importable. --check only compares.
"""

import importlib
import json
import pathlib
import sys

from remotemedia.nodes import TYPES

PATH = pathlib.Path(__file__).resolve().parents[1] / "python/remotemedia/nodes/catalog.json"


def entry(path):
    module, _, name = path.partition(":")
    spec = getattr(importlib.import_module(module), name).spec
    params = [
        {
            k: v
            for k, v in p._asdict().items()
            if v is not None and v != "" and v is not False or k == "default"
        }
        for p in spec.params or ()
    ]
    return {
        "summary": spec.summary,
        "example": f"{spec.example}",
        "inputs": [port._asdict() for port in spec.inputs],
        "outputs": [port._asdict() for port in spec.outputs],
        "params": params,
        "requires": [needed._asdict() for needed in spec.requires],
    }


def catalog():
    text = json.dumps({name: entry(path) for name, path in sorted(TYPES.items())}, indent=2)
    return text + "\n"


def main():
    if sys.argv[1:] == ["--check"]:
        if PATH.read_text() != catalog():
            sys.exit(f"{PATH.name} is not current: run tools/catalog.py")
    else:
        PATH.write_text(catalog())


if __name__ == "__main__":
    main()
