#!/usr/bin/env python3
"""A build with everything optional off needs libc, libm, jansson and msgpack-c only:
check_needed.py BUILD_FOLDER."""

import pathlib
import re
import sys

import tap

ALLOWED = re.compile(r"lib(c|m|dl|pthread|jansson|msgpackc|msgpack-c)\.so\.\d+|ld-linux.*")


def needed(path):
    code, text = tap.run(["readelf", "--dynamic", path])
    if code:
        raise SystemExit(text)
    return re.findall(r"\(NEEDED\).*\[(.*)\]", text)


def main(build):
    report = tap.Tap()
    build = pathlib.Path(build)
    names = needed(build / "core/libremotemedia.so")
    report.ok(f"libremotemedia needs {', '.join(names)}",
              [name for name in names if not ALLOWED.fullmatch(name)] if names else ["nothing?"])
    _, text = tap.run(["ldd", build / "core/libremotemedia.so"])
    loaded = [line.split()[0].split("/")[-1] for line in text.splitlines() if "vdso" not in line]
    report.ok(f"and loads {len(loaded)} libraries in all",
              [name for name in loaded if not ALLOWED.fullmatch(name)])
    for module in sorted((build / "nodes").glob("*.so")):
        strange = [name for name in needed(module) if not ALLOWED.fullmatch(name)]
        report.ok(f"{module.name} needs nothing else", strange)
    return report.end()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
