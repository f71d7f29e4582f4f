#!/usr/bin/env python3
"""Turns text files into C strings: embed.py OUT.h NAME=FILE [NAME=FILE ...]."""
import pathlib
import sys


def c_string(text):
    lines = []
    for line in text.splitlines(keepends=True):
        escaped = line.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        lines.append('    "' + escaped + '"')
    return "\n".join(lines)


def main(out, *pairs):
    parts = ["/* Made by tools/embed.py. */"]
    for pair in pairs:
        name, path = pair.split("=", 1)
        text = pathlib.Path(path).read_text(encoding="utf-8")
        parts.append(f"static const char {name}[] =\n{c_string(text)};")
    pathlib.Path(out).write_text("\n\n".join(parts) + "\n", encoding="utf-8")


main(*sys.argv[1:])
