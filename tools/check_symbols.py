#!/usr/bin/env python3
"""Libraries export what is public and nothing else: check_symbols.py BUILD_FOLDER."""

import pathlib
import re
import sys

import tap

LIBRARIES = [
    ("core/libremotemedia.so", r"rm_[a-z0-9_]+"),
    ("core/engine/drivers/libremotemedia-uv.so", r"rm_uv_[a-z0-9_]+"),
    ("cli/libremotemedia-cli.so", r"rm_cli_[a-z0-9_]+"),
]
def exported(path):
    """The names of the dynamic symbols that a library defines."""
    code, text = tap.run(["nm", "-D", "--defined-only", "--format=posix", path])
    if code:
        raise SystemExit(text)
    return {line.split()[0].split("@")[0] for line in text.splitlines() if line}


def declared():
    """The functions that the public headers declare with RM_API."""
    names = set()
    for header in (tap.ROOT / "include/remotemedia").glob("*.h"):
        text = re.sub(r"/\*.*?\*/", "", header.read_text(encoding="utf-8"), flags=re.DOTALL)
        text = text.replace("RM_MUST_USE", "")
        for declaration in re.findall(r"^RM_API\b([^;{(]*)\(", text, re.MULTILINE):
            names.add(declaration.split()[-1].lstrip("*"))
    return names


def main(build):
    report = tap.Tap()
    build = pathlib.Path(build)
    every = set()
    for name, pattern in LIBRARIES:
        names = exported(build / name)
        every |= names
        strange = sorted(one for one in names if not re.fullmatch(pattern, one))
        report.ok(f"{name} exports {len(names)} names, all of them public",
                  strange if names else ["none"])
    report.ok("each declared function is exported", sorted(declared() - every))
    report.ok("each exported function is declared", sorted(every - declared()))
    for module in sorted((build / "nodes").glob("*.so")):
        names = exported(module)
        report.ok(f"{module.name} exports its entry only", sorted(names ^ {"rm_module_entry"}))
    return report.end()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
