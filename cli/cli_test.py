"""The `remotemedia` command from outside: each command, exit codes, bad input, signals, pipes.

usage: cli_test.py BINARY SOURCE_ROOT [WORD...]   only the tests whose name has one of the words

Prints TAP. Python's standard library only.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import traceback

BINARY = os.path.abspath(sys.argv[1])
ROOT = pathlib.Path(sys.argv[2]).resolve()
TESTS = []
DEADLINE_S = 120  # for a hang, not a measure

OK, FAILED, USAGE, BAD_MANIFEST = range(4)


def test(function):
    TESTS.append(function)
    return function


class Result:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    def __repr__(self):
        return f"exit {self.code}\nstdout: {self.out[-2000:]}\nstderr: {self.err[-2000:]}"


def environment(**changes):
    env = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "REMOTEMEDIA_LOG")}
    env.update(changes)
    return env


def run(*words, stdin="", cwd=None, **env):
    done = subprocess.run([BINARY, *map(str, words)], input=stdin, capture_output=True, text=True,
                          timeout=DEADLINE_S, cwd=cwd, env=environment(**env))
    return Result(done.returncode, done.stdout, done.stderr)


def check(condition, result=None):
    assert condition, repr(result)


def manifest(nodes, connections=None, **more):
    whole = {"version": "v1", "nodes": nodes, **more}
    if connections is not None:
        whole["connections"] = connections
    return whole


TONE = {"id": "tone", "node_type": "test.tone", "params": {"duration_ms": 100}}
PASS = {"id": "pass", "node_type": "test.pass"}


class Folder:
    """A folder that goes away, with files written into it."""

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        self.path = pathlib.Path(self.folder.name)
        return self

    def __exit__(self, *_):
        self.folder.cleanup()

    def write(self, name, content):
        path = self.path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content, indent=2))
        return path


# ---- help, version, usage


@test
def no_word_is_a_usage_error_and_shows_the_commands():
    r = run()
    check(r.code == USAGE and "Commands" in r.err and r.out == "", r)


@test
def help_lists_every_command_and_each_has_help():
    commands = json.loads(run("help", "--json").out)["commands"]
    names = [c["name"] for c in commands]
    check({"validate", "nodes", "help", "version"} <= set(names))
    overview = run("help").out
    for command in commands:
        check(f"  {command['name']}" in overview)
        r = run(command["name"], "--help")
        check(r.code == OK and command["summary"] in r.out and "Usage" in r.out, r)
        check(r.out == run("help", command["name"]).out, r)
        for option in command["options"]:
            check("--" + option["name"] in r.out, r)
        for line in r.out.splitlines():
            check(len(line) <= 90, line)


@test
def version_is_the_headers_and_json():
    text = (ROOT / "meson.build").read_text()
    version = re.search(r"version: '([0-9.]+)'", text).group(1)
    check(run("version").out == f"remotemedia {version}\n")
    check(run("--version").out == f"remotemedia {version}\n")
    check(json.loads(run("version", "--json").out)["version"] == version)


@test
def near_names_are_offered_for_commands_and_options():
    r = run("valdiate", "x")
    check(r.code == USAGE and "did you mean 'validate'?" in r.err, r)
    r = run("validate", "--formta", "json", "x")
    check(r.code == USAGE and "did you mean '--format'?" in r.err, r)
    r = run("validate", "--format", "jsno", "x")
    check(r.code == USAGE and "did you mean 'json'?" in r.err, r)
    r = run("validate", "-format", "json", "x")
    check(r.code == USAGE, r)


@test
def wrong_usage_exits_with_2():
    for words in (["validate"], ["nodes", "a", "b"], ["validate", "--format"],
                  ["version", "--json=1"], ["help", "E9999"], ["help", "nonsense"],
                  ["validate", "--format", "text", "--format", "json", "x"]):
        r = run(*words)
        check(r.code == USAGE and "error[E0701]" in r.err, (words, r))


@test
def usage_errors_are_json_with_json():
    r = run("nodes", "a", "b", "--json")
    error = json.loads(r.out)["error"]
    check(r.code == USAGE and error["code"] == "E0701" and r.err == "", r)


@test
def every_error_code_has_a_page_and_every_page_a_code():
    header = (ROOT / "include/remotemedia/error_codes.h").read_text()
    codes = {int(n): m for n, m in re.findall(r'X\((\d+), \w+, \w+,\s+"([^"]+)"', header)}
    pages = {int(p.stem[1:]) for p in (ROOT / "docs/errors").glob("E*.md")}
    check(len(codes) > 40 and set(codes) == pages, sorted(set(codes) ^ pages))
    for code, meaning in codes.items():
        name = f"E{code:04d}"
        r = run("help", name)
        check(r.code == OK and r.out.startswith(f"{name}: {meaning}\n"), r)
        check("What to do" in r.out and f"[{name}]" in r.out, r)
    check(json.loads(run("help", "e301", "--json").out)["status"] == "RM_ENOENT")


# ---- nodes


@test
def nodes_lists_and_describes():
    r = run("nodes")
    check(r.code == OK and "test.tone" in r.out and "rm.input" not in r.out, r)
    listed = {n["type"]: n for n in json.loads(run("nodes", "--json").out)["nodes"]}
    check(list(listed) == sorted(listed))
    tone = json.loads(run("nodes", "test.tone", "--json").out)
    check(tone == listed["test.tone"])
    rate = next(p for p in tone["params"] if p["name"] == "rate_hz")
    check(rate["unit"] == "Hz" and rate["default"] == 48000 and rate["kind"] == "integer")
    check(tone["schema"]["properties"]["rate_hz"]["type"] == "integer")
    text = run("nodes", "test.tone").out
    for word in ("Outputs", "rate_hz", "Hz", "default 48000", "Example"):
        check(word in text, text)


@test
def an_unknown_type_gets_a_near_name():
    r = run("nodes", "test.tome")
    check(r.code == USAGE and "E0301" in r.err and "did you mean 'test.tone'?" in r.err, r)


# ---- validate


@test
def a_good_manifest_is_ok():
    with Folder() as f:
        path = f.write("good.json", manifest([TONE, PASS]))
        r = run("validate", path)
        check(r.code == OK and "ok" in r.out, r)
        r = run("validate", "-", stdin=path.read_text())
        check(r.code == OK and "stdin: ok" in r.out, r)
        j = json.loads(run("validate", path, "--json").out)
        check(j["valid"] and j["findings"] == [] and j["files"] == 1, j)


def node(**changes):
    return {**TONE, **changes}


BAD = [  # name, manifest, code, words of the message or help, pointer or None
    ("not JSON", '{"version": "v1",\n "nodes": [}', 101, ["line"], None),
    ("empty", "", 101, [], None),
    ("nested a million deep", "[" * 1_000_000, 110, ["nested"], None),
    ("unknown version", {"version": "v9", "nodes": [TONE]}, 102, ["v9", "v1"], "/version"),
    ("no version", {"nodes": [TONE]}, 104, ["version"], None),
    ("unknown requires", manifest([TONE], requires=["sandbox"]), 103, ["sandbox"], "/requires/0"),
    ("unknown node", manifest([node(node_type="test.tonne")]), 301,
     ["test.tonne", "did you mean 'test.tone'?"], "/nodes/0/node_type"),
    ("unknown param", manifest([node(params={"rate": 1})]), 302, ["rate", "did you mean"],
     "/nodes/0/params/rate"),
    ("mistyped", manifest([node(params={"rate_hz": "16000"})]), 303, ["rate_hz", "integer"],
     "/nodes/0/params/rate_hz"),
    ("out of range", manifest([node(params={"rate_hz": 10})]), 304, ["1000", "10 Hz"],
     "/nodes/0/params/rate_hz"),
    ("duplicate id", manifest([TONE, node(node_type="test.pass")]), 107, ["tone"], "/nodes/1/id"),
    ("dangling", manifest([TONE, PASS], [{"from": "tone", "to": "pas"}]), 108,
     ["pas", "did you mean 'pass'?"], "/connections/0/to"),
    ("unfed", manifest([TONE, PASS], []), 108, ["connected to nothing"], "/nodes/1"),
    ("self", manifest([PASS], [{"from": "pass", "to": "pass"}]), 109, ["itself"],
     "/connections/0/to"),
    ("cycle", manifest([TONE, PASS, node(id="b", node_type="test.pass", params={})],
                       [{"from": "pass", "to": "b"}, {"from": "b", "to": "pass"}]), 109,
     ["pass -> b -> pass"], "/connections"),
    ("policy", manifest([TONE, PASS], [{"from": "tone", "to": "pass", "policy": "drop"}]), 106,
     ["drop_oldest"], "/connections/0/policy"),
]


@test
def each_bad_manifest_gets_its_code_place_and_help():
    with Folder() as f:
        for name, content, code, words, pointer in BAD:
            path = f.write("bad.json", content)
            r = run("validate", path)
            check(r.code == BAD_MANIFEST and f"error[E{code:04d}]" in r.out, (name, r))
            for word in words:
                check(word in r.out or word == "line", (name, word, r))
            j = json.loads(run("validate", path, "--format", "json").out)
            found = j["findings"][0]
            check(found["code"] == f"E{code:04d}" and not j["valid"], (name, j))
            check(pointer is None or found["pointer"] == pointer, (name, found))
            check(not pointer or (found["line"] > 0 and found["column"] > 0), (name, found))


@test
def a_manifest_of_100_mb_is_refused_unread():
    with Folder() as f:
        path = f.path / "huge.json"
        with open(path, "wb") as out:
            out.truncate(100 << 20)
        r = run("validate", path)
        check(r.code == BAD_MANIFEST and "E0110" in r.out and "104857600" in r.out, r)


@test
def two_errors_are_both_reported_and_several_files_checked():
    with Folder() as f:
        both = manifest([node(params={"rate_hz": 10, "channels": "two"}),
                         node(id="b", node_type="test.pas")])
        bad = f.write("bad.json", both)
        good = f.write("good.json", manifest([TONE]))
        r = run("validate", good, bad, f.path / "absent.json")
        check(r.code == BAD_MANIFEST, r)
        for word in ("E0304", "E0303", "E0301", "absent.json", "No such file", "4 errors",
                     "good.json: ok"):
            check(word in r.out, (word, r))
        j = json.loads(run("validate", good, bad, "--json").out)
        check(j["errors"] == 3 and {x["file"] for x in j["findings"]} == {str(bad)}, j)


@test
def github_format_makes_annotations():
    with Folder() as f:
        path = f.write("bad,100%.json", manifest([node(params={"rate_hz": 10})]))
        r = run("validate", "--format=github", path)
        check(r.code == BAD_MANIFEST, r)
        check(re.match(r"^::error file=.*bad%2C100%25\.json,line=\d+,col=\d+,title=E0304::", r.out), r)


@test
def python_nodes_can_be_checked_without_python():
    with Folder() as f:
        mine = {"id": "mine", "node_type": "mymodule:Upper", "params": {"anything": [1]}}
        path = f.write("p.json", manifest([TONE, mine, PASS]))
        r = run("validate", path)
        check(r.code == OK, r)


# ---- stdout


@test
def a_closed_stdout_ends_quietly():
    command = subprocess.Popen([BINARY, "nodes", "--json"], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, env=environment())
    command.stdout.close()
    err = command.stderr.read()
    check(command.wait(DEADLINE_S) == OK and err == b"", (command.returncode, err))
    command.stderr.close()


@test
def a_full_stdout_is_an_error():
    with open("/dev/full", "w") as full:
        r = subprocess.run([BINARY, "help"], stdout=full, stderr=subprocess.PIPE, text=True,
                           timeout=DEADLINE_S)
    check(r.returncode == FAILED and "No space left" in r.stderr, r)


@test
def a_wrong_log_filter_is_told():
    r = run("version", REMOTEMEDIA_LOG="shout")
    check(r.code == USAGE and "REMOTEMEDIA_LOG" in r.err and "shout" in r.err, r)


def main():
    words = sys.argv[3:]
    chosen = [t for t in TESTS if not words or any(w in t.__name__ for w in words)]
    print(f"1..{len(chosen)}", flush=True)
    failures = 0
    for number, function in enumerate(chosen, 1):
        name = function.__name__.replace("_", " ")
        try:
            function()
            print(f"ok {number} - {name}", flush=True)
        except Exception:
            failures += 1
            print(f"not ok {number} - {name}", flush=True)
            for line in traceback.format_exc().splitlines():
                print(f"# {line}", flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
