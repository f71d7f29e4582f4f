#!/usr/bin/env python3
"""Includes go down only: base <- media <- ipc <- graph <- engine <- module; dsp uses nothing; modules and
programs see the public headers alone."""

import re
import sys

import tap

LAYERS = ["base", "media", "ipc", "graph", "engine", "module"]
INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]', re.MULTILINE)
LIBC = {
    "assert.h", "errno.h", "float.h", "inttypes.h", "limits.h", "math.h", "stdbool.h", "stddef.h",
    "stdarg.h", "stdint.h", "stdio.h", "stdlib.h", "string.h",
}
PROGRAMS = {"cli", "serve", "signaling", "python", "bench", "examples", "tests"}
MODULES = {"nodes", "tiers", "transports", "package", "mesh"}


def is_test(name):
    return name.endswith(("_test.c", "_fuzz.c", "_test.h")) or name.endswith("testnodes.h")


def core_allows(name, quoted, header):
    """Files of core/: their own layer and those below."""
    layer = name.split("/")[1]
    top = header.split("/")[0]
    if layer == "dsp":
        allowed = (top == "dsp" and "/" in header) if quoted else header in LIBC
        return is_test(name) or allowed or header.endswith("intrin.h")
    if not quoted or "/" not in header or top == layer:
        return True
    return top in LAYERS and LAYERS.index(top) < LAYERS.index(layer)


def outside_allows(name, quoted, header):
    """Modules and programs: <remotemedia/...>, their own folder, and for modules core/dsp."""
    top = name.split("/")[0]
    if not quoted:
        return True
    if header.startswith(tuple(f"{layer}/" for layer in LAYERS)):
        return is_test(name) and header.startswith("base/")
    if header.startswith("dsp/"):
        return top in MODULES
    return not re.search(r"(^|/)(core|remotemedia)/", header)


def public_allows(name, quoted, header):
    """Public headers: one another and the C library."""
    return "/" not in header if quoted else header in LIBC


def rule_of(name):
    top = name.split("/")[0]
    if top == "core":
        return core_allows
    if top == "include":
        return public_allows
    return outside_allows if top in PROGRAMS | MODULES else None


def problems_of(name, text):
    rule = rule_of(name)
    if not rule:
        return [f"{name}: no layer is known for this folder"]
    return [
        f"{name}: may not include {header}"
        for mark, header in INCLUDE.findall(text)
        if not rule(name, mark == '"', header)
    ]


BAD = [
    ("core/base/x.c", '#include "media/pool.h"'),
    ("core/graph/x.c", '#include "engine/session.h"'),
    ("core/dsp/x.c", "#include <remotemedia/status.h>"),
    ("core/dsp/x.c", '#include "base/alloc.h"'),
    ("nodes/a/x.c", '#include "base/alloc.h"'),
    ("nodes/a/x.c", '#include "../../core/base/alloc.h"'),
    ("cli/x.c", '#include "engine/session.h"'),
    ("cli/x.c", '#include "dsp/mix.h"'),
    ("include/remotemedia/x.h", "#include <jansson.h>"),
    ("other/x.c", ""),
]
GOOD = [
    ("core/engine/x.c", '#include "graph/plan.h"\n#include <jansson.h>'),
    ("nodes/a/x.c", '#include "dsp/mix.h"\n#include <remotemedia/node.h>'),
    ("nodes/a/x_test.c", '#include "base/test.h"'),
    ("include/remotemedia/x.h", '#include "status.h"\n#include <stdint.h>'),
]


def main():
    report = tap.Tap()
    missed = [case for case in BAD if not problems_of(*case)]
    wrong = [case for case in GOOD if problems_of(*case)]
    report.ok("the layer check tells good includes from bad ones", missed + wrong)
    for name in tap.tracked("*.c", "*.h"):
        text = (tap.ROOT / name).read_text(encoding="utf-8")
        problems = problems_of(name, text)
        if problems:
            report.ok(f"{name} includes what it may", problems)
    report.ok("includes go down only", [""] if report.failed else [])
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
