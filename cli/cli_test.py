"""The `remotemedia` command from outside: each command, exit codes, bad input, signals, pipes.

usage: cli_test.py BINARY SOURCE_ROOT [WORD...]   only the tests whose name has one of the words

Prints TAP. Python's standard library only.
"""

import json
import os
import pathlib
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tools"))
from tap import Tests  # noqa: E402

BINARY = os.path.abspath(sys.argv[1])
ROOT = pathlib.Path(sys.argv[2]).resolve()
test = Tests()
DEADLINE_S = 120  # for a hang, not a measure

OK, FAILED, USAGE, BAD_MANIFEST = range(4)


class Result:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    def __repr__(self):
        return f"exit {self.code}\nstdout: {self.out[-2000:]}\nstderr: {self.err[-2000:]}"


def environment(**changes):
    env = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "REMOTEMEDIA_LOG")}
    env.setdefault("LC_ALL", "C.UTF-8")
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


def node(**changes):
    return {**TONE, **changes}


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
    check({"run", "profile", "record", "replay", "top", "validate", "graph", "explain", "nodes", "doctor", "new", "completion", "man",
           "help", "version"} == set(names))
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


@test
def commands_that_error_pages_name_exist():
    commands = {c["name"]: {"--" + o["name"] for o in c["options"]} | {"--help"}
                for c in json.loads(run("help", "--json").out)["commands"]}
    named = 0
    for page in sorted((ROOT / "docs/errors").glob("E*.md")):
        for line in re.findall(r"remotemedia ([a-z]+[^`\n]*)", page.read_text()):
            words = line.split()
            check(words[0] in commands, (page.name, line))
            for option in re.findall(r"(?<=\s)--[a-z-]+", line):
                check(option in commands[words[0]], (page.name, line))
            named += 1
    check(named > 10, named)


@test
def every_command_has_an_example_that_parses():
    for command in json.loads(run("help", "--json").out)["commands"]:
        check(command["examples"] or command["name"] == "version", command)
        for example in command["examples"]:
            check("remotemedia " in example["line"], example)


# ---- completion, man


def tables():
    """(command, its options and those of each command) for every command; then (None, options
    in the place of a command). As the program itself walks its table."""
    told = json.loads(run("help", "--json").out)
    commands = [(c, c["options"] + told["common_options"]) for c in told["commands"]]
    return [*commands, (None, told["global_options"])]


def names(options):
    return sorted("--" + o["name"] for o in options)


def spelled(option):
    """As help and manual show it: -s, --set=NODE.PARAM=VALUE."""
    letter = f"-{option['letter']}, " if option["letter"] else ""
    value = f"={option['value']}" if option["value"] else ""
    return f"{letter}--{option['name']}{value}"


def without_blanks(text):
    return re.sub(r"\s+", " ", text)


def choices_of(option):
    return option["choices"].split("|") if option["choices"] else []


@test
def every_command_and_option_is_in_the_help():
    overview = run("--help").out
    for command, options in tables():
        text = run(command["name"], "--help").out if command else overview
        shown = without_blanks(text)
        told = text.split("\nOptions\n")[1].split("\n\n")[0]
        check(sorted(re.findall(r"^  (?:-\w, |    )(--[\w-]+)", told, re.M)) == names(options), told)
        for option in options:
            check(f" {spelled(option)} {option['summary']}" in shown, (option, text))
            check(not option["choices"] or f"One of: {option['choices']}." in shown, (option, text))
        check(not command or re.search(rf"^  {command['name']} +{re.escape(command['summary'])}$",
                                       overview, re.M), overview)


def from_roff(page):
    for written, meant in (("\\-", "-"), ("\\fI", ""), ("\\fR", ""), ("\\e", "\\"), ("\\&", "")):
        page = page.replace(written, meant)
    return page


@test
def every_command_and_option_is_in_the_manual():
    overview = from_roff(run("man").out)
    for command, options in tables():
        page = from_roff(run("man", command["name"]).out) if command else overview
        told = page.split("\n.SH OPTIONS\n")[1].split("\n.SH ")[0] + "\n"
        check(sorted(re.findall(r"^\.B (?:-\w, )?(--[\w-]+)", told, re.M)) == names(options), told)
        for option in options:
            more = f" One of: {option['choices']}." if option["choices"] else ""
            check(f".TP\n.B {spelled(option)}\n{option['summary']}{more}\n" in told, (option, told))
        check(not command or f"remotemedia-{command['name']} (1)\n{command['summary']}\n" in overview,
              overview)


@test
def every_command_and_option_is_completed_by_bash():
    first = [command["name"] for command, _ in tables() if command]
    for command, options in tables():
        if not command:
            check(sorted(bash_completes("remotemedia", "")) == sorted(first + names(options)))
            continue
        words = ["remotemedia", command["name"]]
        check(sorted(bash_completes(*words, "--")) == names(options), command)
        for option in options:
            spellings = [["--" + option["name"]], ["--" + option["name"], "="]]
            spellings += [["-" + option["letter"]]] if option["letter"] else []
            for spelling in spellings if choices_of(option) else []:
                check(bash_completes(*words, *spelling, "") == choices_of(option), (command, option))


@test
def every_command_and_option_is_completed_by_zsh():
    script = run("completion", "zsh").out
    arrays = dict(re.findall(r"^    (\w+)=\(\n(.*?)^    \)$", script, re.M | re.S))
    listed = {name: re.findall(r"^        '([\w-]+):", text, re.M) for name, text in arrays.items()}
    cases = dict(re.findall(r"^    (\w+)\)\n(.*?) ;;$", script, re.M | re.S))
    check(listed["commands"] == list(cases), (listed, list(cases)))
    check([c["name"] for c, _ in tables() if c] == list(cases), list(cases))
    for command, options in tables():
        if not command:
            check(sorted(listed["options"]) == names(options), listed)
            continue
        text = cases[command["name"]]
        check(sorted(re.findall(r"(--[\w-]+)=?\}?'?\[", text)) == names(options), text)
        for option in options:
            given = f"{{-{option['letter']}{'+' if option['value'] else ''}," if option["letter"] else ""
            check(f"{given}--{option['name']}" in text, (option, text))
            check(not option["choices"] or f":({option['choices'].replace('|', ' ')})'" in text, text)


@test
def every_command_and_option_is_completed_by_fish():
    lines = run("completion", "fish").out.splitlines()
    first = "complete -c remotemedia -n __fish_use_subcommand -"
    check([c["name"] for c, _ in tables() if c] ==
          [line.split()[6] for line in lines if line.startswith(first + "a ")], lines)
    for command, options in tables():
        where = f"complete -c remotemedia -n '__fish_seen_subcommand_from {command['name']}' -" \
            if command else first
        told = {line.split(" -l ")[1].split()[0]: line for line in lines
                if line.startswith(where + "l ")}
        check(sorted("--" + name for name in told) == names(options), told)
        for option in options:
            line = told[option["name"]]
            check(not option["letter"] or f" -s {option['letter']} " in line, line)
            check(not option["choices"] or f" -a '{option['choices'].replace('|', ' ')}' " in line, line)


def bash_completes(*words):
    """What bash offers for the last word."""
    script = run("completion", "bash").out
    probe = f"""
        compopt() {{ :; }}
        remotemedia() {{ "{BINARY}" "$@"; }}
        COMP_WORDS=({" ".join(map(shlex.quote, words))}); COMP_CWORD={len(words) - 1}
        _remotemedia; printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "-c", script + probe], capture_output=True, text=True,
                          timeout=DEADLINE_S, env=environment())
    check(done.returncode == 0 and done.stderr == "", done)
    return done.stdout.split()


@test
def bash_completes_commands_options_choices_types_and_files():
    check(bash_completes("remotemedia", "va") == ["validate"])
    check("run" in bash_completes("remotemedia", ""))
    check(bash_completes("remotemedia", "run", "--dr") == ["--dry-run"])
    check(bash_completes("remotemedia", "validate", "--format", "=", "g") == ["github"])
    check(bash_completes("remotemedia", "validate", "-f", "j") == ["json"])
    check(bash_completes("remotemedia", "nodes", "test.t") == ["test.tone"])
    check(bash_completes("remotemedia", "new", "a") == ["app"])
    check(bash_completes("remotemedia", "help", "comp") == ["completion"])
    with Folder() as f:
        f.write("pipe.json", "")
        check(bash_completes("remotemedia", "run", f"{f.path}/pi") == [f"{f.path}/pipe.json"])


@test
def each_shell_accepts_its_completion():
    checked = []
    for shell in ("bash", "zsh", "fish"):
        r = run("completion", shell)
        check(r.code == OK and "remotemedia" in r.out, r)
        for command in json.loads(run("help", "--json").out)["commands"]:
            check(command["name"] in r.out, (shell, command["name"]))
        if shutil.which(shell):
            with Folder() as f:
                done = subprocess.run([shell, "-n", f.write("script", r.out)],
                                      capture_output=True, text=True, timeout=DEADLINE_S)
                check(done.returncode == 0 and done.stderr == "", (shell, done))
            checked.append(shell)
    print(f"# syntax checked by: {' '.join(checked)}")
    check("bash" in checked)
    check(run("completion", "csh").code == USAGE)


@test
def manual_pages_are_well_formed():
    pages = [[]] + [[c["name"]] for c in json.loads(run("help", "--json").out)["commands"]]
    build = (ROOT / "cli/meson.build").read_text()
    for words in pages:
        r = run("man", *words)
        check(r.code == OK and r.out.startswith(".TH ") and ".SH NAME" in r.out, r)
        check(not words or f"'{words[0]}'" in build, f"{words} has no installed page")
        if shutil.which("groff"):
            done = subprocess.run(["groff", "-man", "-ww", "-z"], input=r.out, capture_output=True,
                                  text=True, timeout=DEADLINE_S)
            check(done.returncode == 0 and done.stderr == "", done)
    for option in ("\\-\\-dry\\-run", "\\-\\-set=", "SIGUSR1"):
        check(option in run("man", "run").out, option)
    check(run("man", "rnu").code == USAGE)


# ---- doctor, new


@test
def doctor_tells_what_is_there_and_what_is_broken():
    r = run("doctor")
    check(r.code == OK and "test.tone" in r.out and "0 broken" in r.out, r)
    j = json.loads(run("doctor", "--json").out)
    check(j["ok"] and any(x["name"] == "test.tone" and x["state"] == "ok"
                          for x in j["native_nodes"]), j)
    machine = j["machine"]
    check("Machine" in r.out and "pcm_s16le" in machine["codecs"], machine)
    with Folder() as f:
        f.write("test.garbage.so", "not a library")
        path = f"{f.path}:{os.environ['REMOTEMEDIA_MODULE_PATH']}:/absent"
        r = run("doctor", REMOTEMEDIA_MODULE_PATH=path)
        check(r.code == FAILED and "test.garbage" in r.out and "1 broken" in r.out, r)
        check("no such folder" in r.out, r)
        r = run("run", "test.garbage", REMOTEMEDIA_MODULE_PATH=path)
        check(r.code == FAILED and "error[E0306]: cannot load module" in r.err, r)
        check("test.garbage.so" in r.err and "did you mean" not in r.err, r)
        j = json.loads(run("doctor", "--json", REMOTEMEDIA_MODULE_PATH=path).out)
        check(not j["ok"] and [x["name"] for x in j["native_nodes"] if x["state"] == "broken"] ==
              ["test.garbage.so"], j)


@test
def doctor_names_the_command_for_what_is_missing():
    with Folder() as f:
        j = json.loads(run("doctor", "--json", REMOTEMEDIA_MODULE_PATH=f.path,
                           PATH="/nonexistent").out)
        tools = {x["name"]: x for x in j["tools"]}
        check(tools["Graphviz"]["help"] == "apt-get install graphviz", j)
        missing = [x for x in j["native_nodes"] if x["state"] == "missing"]
        check(all(x["help"] for x in missing), missing)


@test
def a_new_app_is_complete_and_checks():
    with Folder() as f:
        r = run("new", "app", "my-app", cwd=f.path)
        check(r.code == OK and "remotemedia run pipeline.json" in r.out, r)
        app = f.path / "my-app"
        names = {p.name for p in app.iterdir()}
        check(names == {"README.md", "pipeline.json", "nodes.py", "test_nodes.py", "words.txt"})
        for path in app.iterdir():
            check("@NAME@" not in path.read_text(), path)
        check(json.loads((app / "pipeline.json").read_text())["metadata"]["name"] == "my-app")
        check(run("validate", app / "pipeline.json").code == OK)
        r = run("graph", app / "pipeline.json", LC_ALL="C.UTF-8")
        check(r.code == OK and r.out.splitlines() == [
            "● inputs.text  rm.input", "│ any format", "● count  nodes:WordCount", "│ any format",
            "● outputs.counts  rm.output"], r)
        compile((app / "nodes.py").read_text(), "nodes.py", "exec")
        r = run("new", "app", "my-app", cwd=f.path)
        check(r.code == FAILED and "File exists" in r.err, r)
        for name in ("1st", "a b", "../x/", ".", ""):
            r = run("new", "app", name, cwd=f.path)
            check(r.code == USAGE or name == "../x/", (name, r))
        j = json.loads(run("new", "app", "other/", "--json", cwd=f.path).out)
        check(j["folder"] == "other" and "pipeline.json" in j["files"], j)
        r = run("new", "lib", "x", cwd=f.path)
        check(r.code == USAGE and "'lib', want app" in r.err, r)
        r = run("new", "app", "no/such", cwd=f.path)
        check(r.code == FAILED and "must be there" in r.err, r)


# ---- graph

BRANCHES = manifest(
    [TONE, node(id="a", node_type="test.pass", params={}),
     node(id="b", node_type="test.pass", params={}),
     node(id="mix", node_type="test.pass", params={})],
    [{"from": "tone", "to": "a"}, {"from": "tone", "to": "b"}, {"from": "a", "to": "mix"},
     {"from": "b", "to": "mix"}])


@test
def placement_that_wants_a_transport_between_machines_is_a_warning():
    with Folder() as f:
        path = f.write("p.json", manifest([node(placement={"with": "other", "transports": ["grpc"]})]))
        for r in (run("validate", path), run("explain", path)):
            check(r.code == OK and (r.out + r.err).count("is ignored: this version has no transport") == 2, r)


@test
def a_graph_is_drawn_with_its_branches():
    with Folder() as f:
        path = f.write("g.json", BRANCHES)
        r = run("graph", path, LC_ALL="C.UTF-8")
        lines = [line for line in r.out.splitlines() if "rate_hz" not in line]
        check(r.code == OK and lines == [
            "● tone  test.tone", "├─╮", "● │ a  test.pass", "│ ● b  test.pass", "├─╯",
            "● mix  test.pass"], r)
        check("audio rate_hz=48000" in r.out, r)
        r = run("graph", path, LC_ALL="C")
        lines = [line for line in r.out.splitlines() if "rate_hz" not in line]
        check(lines == ["* tone  test.tone", "+-.", "* | a  test.pass", "| * b  test.pass", "+-'",
                        "* mix  test.pass"], r)
        check(json.loads(run("graph", path, "--json").out)["edges"][3]["to"] == "mix")


@test
def a_graph_that_cannot_be_planned_is_drawn_as_it_is_written():
    r = run("graph", "test.tone ! test.psas ! wav.write")
    check(r.code == BAD_MANIFEST and "test.psas" in r.out and "E0301" in r.err, r)
    check([line[-9:] for line in r.out.splitlines()] == ["test.tone", "test.psas", "wav.write"], r)


@test
def dot_and_svg_are_made():
    with Folder() as f:
        path = f.write("g.json", BRANCHES)
        r = run("graph", path, "--format=dot")
        check(r.code == OK and r.out.startswith("digraph") and r.out.count(" -> ") == 4, r)
        r = run("graph", path, "-f", "svg", PATH="/nonexistent")
        check(r.code == FAILED and "apt-get install graphviz" in r.err and "E0309" in r.err, r)
        if shutil.which("dot"):
            r = run("graph", path, "-f", "svg")
            check(r.code == OK and "<svg" in r.out and r.out.rstrip().endswith("</svg>"), r)


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
def the_example_of_each_node_type_can_be_planned():
    for each in json.loads(run("nodes", "--json").out)["nodes"]:
        check(each["example"], each["type"])
        r = run("explain", each["example"])
        left_out = "error[E0301]: no module provides node type" in r.err  # of a smaller build
        check(r.code == OK or left_out, (each["type"], each["example"], r))


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


BAD = [  # name, manifest, code, words of the message or help, pointer or None
    ("not JSON", '{"version": "v1",\n "nodes": [}', 101, ["line"], None),
    ("empty", "", 101, ["is empty", "the least is"], None),
    ("nested a million deep", "[" * 1_000_000, 110, ["nested"], None),
    ("unknown version", {"version": "v9", "nodes": [TONE]}, 102, ["v9", "v1", "a newer"], "/version"),
    ("no version", {"nodes": [TONE]}, 104, ["version"], None),
    ("unknown requires", manifest([TONE], requires=["sandbox"]), 103, ["sandbox", "a newer"], "/requires/0"),
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
def wrong_connections_do_not_hide_wrong_parameters():
    with Folder() as f:
        path = f.write("bad.json", manifest([node(params={"gain": 3}), {"id": "b", "node_type": "test.pas"}],
                                            [{"from": "tone", "to": "out"}]))
        r = run("validate", path)
        check(r.code == BAD_MANIFEST, r)
        for word in ("E0108", "E0302", "'gain_db'", "E0301", "'test.pass'", "3 errors"):
            check(word in r.out, (word, r))


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


# ---- run

ENDLESS = "test.tone duration_ms=0 paced=true ! test.pass"
LINES = manifest([PASS], [], inputs={"in": {"node": "pass"}}, outputs={"out": {"node": "pass"}})


def summary(result):
    return json.loads(result.out.splitlines()[-1])


def wait_for(condition, what):
    until = time.monotonic() + DEADLINE_S / 4
    while not condition():
        check(time.monotonic() < until, what)
        time.sleep(0.01)


class Running:
    """A command that runs on; its stderr goes to a file that tests may look at."""

    def __init__(self, *words, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, **env):
        self.log = tempfile.NamedTemporaryFile()
        self.process = subprocess.Popen([BINARY, *map(str, words)], stdin=stdin, stdout=stdout,
                                        stderr=self.log, env=environment(**env))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for stream in (self.process.stdout, self.process.stdin):
            if stream:
                stream.close()
        self.log.close()

    def err(self):
        return pathlib.Path(self.log.name).read_text()

    def wait_until_caught(self, number):
        """Handlers are set once the session is about to open."""
        def caught():
            status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
            return int(re.search(r"SigCgt:\s+(\w+)", status).group(1), 16) >> (number - 1) & 1
        wait_for(caught, f"signal {number} is not handled")

    def end(self):
        self.process.wait(DEADLINE_S)
        out = self.process.stdout.read().decode() if self.process.stdout else ""
        return Result(self.process.returncode, out, self.err())


@test
def a_run_ends_with_a_table_and_json_with_a_line():
    r = run("run", "test.tone duration_ms=4000 ! test.pass")
    check(r.code == OK and r.out == "", r)
    check(re.search(r"^4\.00 s of media in .*x real time$", r.err, re.M), r)
    check(re.search(r"^  pass +test\.pass +200 ", r.err, re.M), r)
    check(run("run", "test.tone ! test.pass", "--quiet").err == "")
    r = run("run", "test.tone duration_ms=4000 ! test.pass", "--json")
    s = summary(r)
    check(r.code == OK and r.err == "" and s["ok"] and s["exit_code"] == 0, r)
    check(s["media_ns"] == 4_000_000_000 and s["packets"] == 200 and s["speed"] > 1, s)
    check([n["id"] for n in s["nodes"]] == ["tone", "pass"], s)
    check(abs(sum(n["share"] for n in s["nodes"]) - 1) < 1e-9, s)
    check(s["edges"][0]["packets"] == 200, s)


@test
def a_manifest_runs_from_a_file_from_stdin_and_with_other_parameters():
    with Folder() as f:
        path = f.write("p.json", manifest([TONE, PASS]))
        check(summary(run("run", path, "--json"))["media_ns"] == 100_000_000)
        check(summary(run("run", "-", "--json", stdin=path.read_text()))["packets"] == 5)
        r = run("run", path, "--json", "--set", "tone.duration_ms=200", "-s", "tone.rate_hz=8000")
        check(summary(r)["media_ns"] == 200_000_000 and summary(r)["edges"][0]["bytes"] == 6400, r)
        file = f.path / "metrics.json"
        check(run("run", path, "-m", file).code == OK)
        check(json.loads(file.read_text())["packets"] == 5)
        check(run("run", path, "-m", "/dev/null/x").code == FAILED)


@test
def wrong_settings_are_named():
    with Folder() as f:
        path = f.write("p.json", manifest([TONE, PASS]))
        for words, code, said in (
                (["--set", "tone=1"], USAGE, "NODE.PARAM=VALUE"),
                (["--set", "tune.rate_hz=1"], USAGE, "did you mean 'tone'?"),
                (["--set", "tone.rate=1"], BAD_MANIFEST, "E0302"),
                (["--set", "tone.rate_hz=1"], BAD_MANIFEST, "E0304"),
                (["--input", "a.wav"], USAGE, "no source of this pipeline has a parameter `path`"),
                (["--dry"], USAGE, "did you mean '--dry-run'?")):
            r = run("run", path, *words)
            check(r.code == code and said in r.err and r.out == "", (words, r))
        r = run("run", f.path / "absent.json")
        check(r.code == BAD_MANIFEST and "No such file" in r.err, r)


@test
def a_bad_manifest_is_not_run():
    with Folder() as f:
        for name, content, code, _, _ in BAD:
            path = f.write("bad.json", content)
            r = run("run", path)
            check(r.code == BAD_MANIFEST and f"error[E{code:04d}]" in r.err, (name, r))
            r = run("run", path, "--json")
            check(json.loads(r.out)["error"]["code"] == f"E{code:04d}" and r.err == "", (name, r))


@test
def a_dry_run_shows_the_plan_and_runs_nothing():
    r = run("run", ENDLESS, "--dry-run")
    check(r.code == OK and r.out == run("explain", ENDLESS).out, r)
    for word in ("tone", "test.pass", "home strand", "rate_hz=48000", "queue of 16"):
        check(word in r.out, r)
    plan = json.loads(run("run", ENDLESS, "-n", "--json").out)
    check(plan == json.loads(run("explain", ENDLESS, "--json").out))
    check(all(n["reason"] for n in plan["nodes"]) and all(e["reason"] for e in plan["edges"]))
    r = run("explain", "test.tone ! test.pass", "--set", "tone.rate_hz=8000")
    check("rate_hz=8000" in r.out, r)


@test
def the_inputs_of_a_pipeline_are_fed_and_its_outputs_printed():
    with Folder() as f:
        path = f.write("p.json", LINES)
        r = run("run", path, "--input", "-", stdin='hello\n{"a": [1, 2]}\n\n42\nlast')
        check(r.code == OK and r.out == 'hello\n{"a":[1,2]}\n42\nlast\n', r)
        text = f.write("in.txt", "x\n" * 10000)
        r = run("run", path, "--input", f"in={text}", "-q")
        check(r.code == OK and r.out == "x\n" * 10000 and r.err == "", r)
        r = run("run", path, "-i", text, "--json")
        lines = r.out.splitlines()
        check(json.loads(lines[0]) == {"output": "out", "value": "x"} and len(lines) == 10001, r)
        check(summary(r)["packets"] == 10000)
        r = run("run", path)
        check(r.code == USAGE and "input 'in' of the pipeline gets nothing" in r.err, r)
        r = run("run", path, "-i", f.path / "absent")
        check(r.code == FAILED and "No such file" in r.err, r)
        r = run("run", path, "-i", "in=-", "-i", "in=-")
        check(r.code == USAGE and "has a file already" in r.err, r)


@test
def a_line_arrives_before_the_next_is_written():
    with Folder() as f:
        path = f.write("p.json", LINES)
        with Running("run", path, "-i", "-", "-q", stdin=subprocess.PIPE) as r:
            for word in (b"one\n", b"two\n"):
                r.process.stdin.write(word)
                r.process.stdin.flush()
                check(r.process.stdout.readline() == word)
            r.process.stdin.close()
            check(r.end().code == OK)


@test
def python_nodes_are_refused_by_the_plain_binary():
    with Folder() as f:
        path = f.write("p.json", manifest([TONE, {"id": "mine", "node_type": "mymodule:Upper"}]))
        r = run("run", path)
        check(r.code == FAILED and "error[E0308]" in r.err and "pip install remotemedia" in r.err, r)
        check(run("run", path, "--dry-run").code == OK)


@test
def sigint_and_sigterm_end_a_run():
    for number, name in ((signal.SIGINT, "SIGINT"), (signal.SIGTERM, "SIGTERM")):
        with Running("run", ENDLESS) as r:
            r.wait_until_caught(number)
            r.process.send_signal(number)
            ended = r.end()
            check(ended.code == FAILED and f"ended by {name}" in ended.err, ended)
            check("E0006" in ended.err, ended)
            check(re.search(r"^ended after [\d.]+ (\w+ of media|items) in ", ended.err, re.M), ended)


@test
def a_run_that_failed_tells_what_happened_up_to_there():
    with Folder() as f:
        graph, file = "test.tone duration_ms=60000 ! wav.write path=/dev/full", f.path / "m.json"
        r = run("run", graph, "-m", file)
        check(r.code == FAILED and "real time" not in r.err, r)
        check(re.search(r"^failed after [\d.]+ m?s of media in [\d.]+ [mun]?s$", r.err, re.M), r)
        s = summary(run("run", graph, "--json"))
        for told in (s, json.loads(file.read_text())):
            check(not told["ok"] and told["outcome"] == "failed" and told["exit_code"] == 1, told)
            check(told["error"]["code"] == "E0503" and 0 < told["media_ns"] < 60e9, told)
        path = f.write("p.json", LINES)
        r = run("run", path, "-i", "/dev/zero")
        check(r.code == FAILED and re.search(r"^failed after 0 items in ", r.err, re.M), r)
    check(summary(run("run", "test.tone ! test.pass", "--json"))["outcome"] == "done")
    with Running("run", ENDLESS, "--json") as r:
        r.wait_until_caught(signal.SIGTERM)
        r.process.terminate()
        s = summary(r.end())
        check(s["outcome"] == "canceled" and s["error"]["code"] == "E0006", s)


@test
def sigusr1_prints_the_live_graph():
    with Running("run", ENDLESS, "-q") as r:
        r.wait_until_caught(signal.SIGUSR1)
        r.process.send_signal(signal.SIGUSR1)
        wait_for(lambda: "strand 0" in r.err() and "pass  " in r.err(), "no graph")
        check(re.search(r"-> pass +\[[#.]{16}\] \d+ of 16 queued, peak \d+", r.err()), r.err())
        check(r.process.poll() is None)
        r.process.terminate()
        check(r.end().code == FAILED)


@test
def a_reader_that_goes_away_ends_a_run_quietly():
    with Folder() as f:
        path = f.write("p.json", manifest([PASS], [], inputs={"in": {"node": "pass"}},
                                          outputs={"out": {"node": "pass"}}))
        with Running("run", path, "-i", "/dev/zero", stdin=subprocess.PIPE) as r:
            r.process.stdout.close()
            r.process.stdout = None
            ended = r.end()
            check(ended.code == FAILED and "a line has more than" in ended.err, ended)
        with Running("run", path, "-i", "-", stdin=subprocess.PIPE) as r:
            r.process.stdout.close()
            r.process.stdout = None
            r.process.stdin.write(b"word\n")
            r.process.stdin.flush()
            ended = r.end()
            check(ended.code == OK and ended.err == "", ended)


@test
def watch_runs_again_after_a_change():
    with Folder() as f:
        path = f.write("p.json", manifest([TONE, PASS]))
        with Running("run", path, "--watch") as r:
            wait_for(lambda: "100 ms of media" in r.err() and "waiting" in r.err(), "first run")
            f.write("p.json", manifest([node(params={"duration_ms": 200}), PASS]))
            wait_for(lambda: "200 ms of media" in r.err(), r.err())
            f.write("p.json", "{")
            wait_for(lambda: "waiting" in r.err().partition("E0101")[2], "third run")
            r.process.send_signal(signal.SIGINT)
            check(r.end().code == BAD_MANIFEST)
    r = run("run", "-", "--watch")
    check(r.code == USAGE, r)


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


WRITERS = {
    "a.wav": "test.tone duration_ms=60000 ! wav.write",
    "a.png": "test.pattern width=640 height=480 pictures=3 ! image.write",
    "sheet.png": "test.pattern width=640 height=480 pictures=90 ! image.write columns=4",
    "a.jsonl": "test.tone duration_ms=200000 ! audio.level ! json.write",
}
LIMIT_BYTES = 2000


def small_files():
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT_BYTES, resource.RLIM_INFINITY))


def skip_without(graph):
    writer = graph.rpartition("! ")[2].partition(" ")[0]
    return run("nodes", writer).code != OK


@test
def a_full_disk_names_the_file_and_leaves_the_one_that_was_there():
    if os.environ.get("COVERAGE"):
        return  # its own files, written at exit, would meet the limit
    for name, graph in WRITERS.items():
        for old in (None, b"old content"):
            if skip_without(graph):
                continue
            with Folder() as f:
                path = f.path / name
                if old:
                    path.write_bytes(old)
                done = subprocess.run([BINARY, "run", f"{graph} path={name}"], text=True,
                                      capture_output=True, cwd=f.path, env=environment(),
                                      timeout=DEADLINE_S, preexec_fn=small_files)
                r = Result(done.returncode, done.stdout, done.stderr)
                check(r.code == FAILED, r)
                check(f"error[E0503]: cannot write '{name}': File too large" in r.err, r)
                check("--> node 'write'" in r.err and "help: make room" in r.err, r)
                check(re.search(r"1 error$", r.err, re.M), r)
                if old:
                    check(path.read_bytes() == old, r)
                left = {p.name for p in f.path.iterdir()}
                check(left <= {name, name + ".part"}, left)
                check(all(p.stat().st_size <= LIMIT_BYTES for p in f.path.iterdir()))


@test
def a_device_without_room_is_told():
    for graph in WRITERS.values():
        if not skip_without(graph):
            r = run("run", f"{graph} path=/dev/full")
            check(r.code == FAILED, r)
            check("error[E0503]: cannot write '/dev/full': No space left on device" in r.err, r)


@test
def debug_tells_how_nodes_open_and_close():
    graph = "test.tone duration_ms=100 ! test.pass ! json.write path=/dev/null"
    r = run("run", graph, REMOTEMEDIA_LOG="test.*:debug")
    for line in (
        r"debug test\.pass: pass: opened on strand 0, takes audio rate_hz=48000",
        r"debug test\.pass: pass: closed; items: 5, packets given: 5$",
    ):
        check(re.search(line, r.err, re.M), r)
    check("json.write:" not in r.err, r)
    check("debug" not in run("run", graph).err, r)


@test
def a_wrong_log_filter_is_told():
    r = run("version", REMOTEMEDIA_LOG="shout")
    check(r.code == USAGE and "REMOTEMEDIA_LOG" in r.err and "shout" in r.err, r)


if __name__ == "__main__":
    sys.exit(test.run(sys.argv[3:]))
