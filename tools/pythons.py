"""Which CPythons this machine has, and environments made from them."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

WANTED = ["3.11", "3.12", "3.13", "3.14"]
ASK = """
import json, os, platform, sys, sysconfig
header = os.path.join(sysconfig.get_paths()["include"], "Python.h")
print(json.dumps([platform.python_implementation(), list(sys.version_info[:3]), os.path.exists(header)]))
"""


def ask(program):
    """(minor version, patch) of a CPython that extensions can be built for, else None."""
    done = subprocess.run([program, "-c", ASK], capture_output=True, text=True, check=False)
    try:
        name, version, has_headers = json.loads(done.stdout)
    except ValueError:
        return None
    if name != "CPython" or not has_headers:
        return None
    return f"{version[0]}.{version[1]}", version[2]


def candidates():
    """Programs that may be a Python: the one that runs us first, then the path, then pyenv's."""
    yield pathlib.Path(sys.executable)
    for folder in os.get_exec_path():
        if os.path.isdir(folder):
            for path in sorted(pathlib.Path(folder).iterdir()):
                if re.fullmatch(r"python3\.\d+", path.name):
                    yield path
    yield from sorted(pathlib.Path.home().glob(".pyenv/versions/*/bin/python"), reverse=True)


def find():
    """{minor version: program}: the first of each, from 3.11 on."""
    found = {}
    for program in candidates():
        answer = ask(program)
        if answer and tuple(map(int, answer[0].split("."))) >= (3, 11):
            found.setdefault(answer[0], program)
    return found


def make_venv(log, program, folder):
    """A fresh virtual environment; its Python, or None."""
    shutil.rmtree(folder, ignore_errors=True)
    code, _ = log.run([program, "-m", "venv", folder])
    return folder / "bin" / "python" if code == 0 else None


def install(log, python, *words):
    """pip install; True where it went well."""
    code, _ = log.run([python, "-m", "pip", "install", "--quiet", *words])
    return code == 0
