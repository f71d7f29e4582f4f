#!/usr/bin/env python3
"""Makes the package importable from the build tree: mirror.py SOURCE_DIR BUILD_DIR MODULES_DIR.

Each file of SOURCE_DIR gets a symbolic link in BUILD_DIR, beside the built extension; links to files
that are gone are removed. `modules` becomes a link to the built node modules.
"""
import os
import pathlib
import sys


def set_link(link, target):
    if link.is_symlink() and os.readlink(link) == str(target):
        return
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(target)


def main(source, build, modules):
    source, build = pathlib.Path(source).resolve(), pathlib.Path(build).resolve()
    for file in source.rglob("*"):
        if file.is_file() and "__pycache__" not in file.parts and file.name != "meson.build":
            set_link(build / file.relative_to(source), file)
    for link in build.rglob("*"):
        if link.is_symlink() and not link.exists():
            link.unlink()
    set_link(build / "modules", pathlib.Path(modules).resolve())


main(*sys.argv[1:])
