#!/usr/bin/env python3
"""Executes the code blocks of documentation pages: check_docs.py --bin FOLDER --prefix PREFIX PAGE…

A page is read from top to bottom in a folder of its own; what its blocks write stays there for the
next ones. By the language of a block:

    c, python, json, … file=NAME   is written to NAME
    python                         is run; a following ```text block is what it prints
    console                        "$ command" lines are run, "> " goes on; the rest is what they print.
                                   "..." stands for any text, alone on a line for any lines. A command
                                   whose output is not shown has to succeed
    json                           is a manifest that has to be valid
    sh                             is run; "./demo" and the like are only looked for
    text, or none                  is a drawing

FOLDER has `remotemedia` and `python`; PREFIX an installed library, for C programs. A page that speaks of
talk.flac finds one: real speech, 44.1 kHz stereo.
"""

import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import tap

BLOCK = re.compile(r"^```(\w*)([^\n]*)\n(.*?)^```$", re.M | re.S)
SPEECH = "/usr/share/pocketsphinx/test/data/librivox/sense_and_sensibility_01_austen_64kb-0870.wav"
PROGRAMS = ("./demo", "./test", "git clone ", "cd remotemedia")
MARK = "--end-of-output-%d--"
DEADLINE_S = 120


class Shell:
    """One bash for a page, so that `export` and `cd` last."""

    def __init__(self, folder, environment):
        self.process = subprocess.Popen(
            ["bash", "--norc"], cwd=folder, env=environment, text=True, bufsize=1,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def run(self, command):
        """(exit code, text). Both streams, in the order in which they were written."""
        wrapped = f"{{ {command}\n}} </dev/null\nprintf '\\n{MARK}\\n' $?\n"
        if "<<" in command:
            wrapped = f"{command}\nprintf '\\n{MARK}\\n' $?\n"
        self.process.stdin.write(wrapped)
        self.process.stdin.flush()
        lines = []
        for line in self.process.stdout:
            ended = re.fullmatch(MARK.replace("%d", r"(\d+)") + "\n", line)
            if ended:
                return int(ended.group(1)), "".join(lines).removesuffix("\n")
            lines.append(line)
        return self.process.wait(DEADLINE_S), "".join(lines)

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(DEADLINE_S)


def pattern_of(expected):
    parts = []
    for line in expected:
        if line.strip() == "...":
            parts.append(r"(?:.*\n)*?")
        else:
            parts.append(re.escape(line).replace(re.escape("..."), ".*?") + r"\s*?\n")
    return re.compile("".join(parts) + r"\s*")


def differs(expected, got):
    """[] or what to say where the text is not what the page shows."""
    if pattern_of(expected).fullmatch(got.rstrip("\n") + "\n"):
        return []
    shown = "\n".join(expected)
    return [f"the page shows\n{shown}\nthe command prints\n{got}"]


def commands_of(text):
    """(command, lines that it prints) of a console block."""
    found = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif line.startswith("> ") and found and not found[-1][1]:
            found[-1] = (f"{found[-1][0]}\n{line[2:]}", [])
        elif found:
            found[-1][1].append(line)
    return found


class Page:
    """Runs the blocks of one page."""

    def __init__(self, path, folder, environment, report):
        self.path, self.folder, self.report = path, folder, report
        self.shell = Shell(folder, environment)
        self.environment = environment

    def ok(self, line, what, problems):
        self.report.ok(f"{self.path}:{line} {what}", problems)

    def console(self, line, text):
        for command, expected in commands_of(text):
            code, got = self.shell.run(command)
            hidden = not [shown for shown in expected if shown.strip() != "..."]
            problems = [f"exit code {code}\n{got}"] if hidden and code else []
            problems += differs(expected, got) if expected else []
            self.ok(line, command.splitlines()[0][:60], problems)

    def sh(self, line, text):
        for command in text.splitlines():
            if command.startswith(PROGRAMS):
                program = tap.ROOT / command.split()[0]
                missing = command.startswith("./") and not os.access(program, os.X_OK)
                self.ok(line, command, [f"{program} is no program"] if missing else [])
            elif command.strip():
                code, got = self.shell.run(command)
                self.ok(line, command[:60], [f"exit code {code}\n{got}"] if code else [])

    def python(self, line, text, expected):
        done = subprocess.run(["python", "-"], input=text, cwd=self.folder, env=self.environment,
                              text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=DEADLINE_S, check=False)
        problems = [f"exit code {done.returncode}\n{done.stdout}"] if done.returncode else []
        if expected is not None and not problems:
            problems = differs(expected.splitlines(), done.stdout)
        self.ok(line, "python", problems)

    def manifest(self, line, text):
        done = subprocess.run(["remotemedia", "validate", "-"], input=text, cwd=self.folder,
                              env=self.environment, text=True, capture_output=True, check=False)
        self.ok(line, "manifest", [done.stdout + done.stderr] if done.returncode else [])

    def run(self, text):
        blocks = [(m.group(1), m.group(2).strip(), m.group(3), text[: m.start()].count("\n") + 1)
                  for m in BLOCK.finditer(text)]
        for index, (language, info, body, line) in enumerate(blocks):
            follows = blocks[index + 1] if index + 1 < len(blocks) else ("", "", "", 0)
            named = re.search(r"file=(\S+)", info)
            if named:
                (self.folder / named.group(1)).write_text(body, encoding="utf-8")
            elif language == "console":
                self.console(line, body)
            elif language == "sh":
                self.sh(line, body)
            elif language == "python":
                self.python(line, body, follows[2] if follows[0] == "text" else None)
            elif language == "json":
                self.manifest(line, body)
            elif language not in ("", "text"):
                self.ok(line, language, ["no rule says how to run this block; give it file=NAME"])
        self.shell.close()


def broken_links(page, text):
    """Links to files of the tree that are not there."""
    folder = (tap.ROOT / page).parent
    links = re.findall(r"\]\(([^)#\s]+)", text)
    return [link for link in links if "://" not in link and not (folder / link).exists()]


def environment_of(options):
    path = f"{pathlib.Path(options.bin).absolute()}:{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "NO_COLOR": "1", "PYTHONPATH": ""}
    environment.pop("REMOTEMEDIA_MODULE_PATH", None)
    if options.prefix:
        pc = next(pathlib.Path(options.prefix).absolute().rglob("remotemedia.pc")).parent
        environment |= {"PKG_CONFIG_PATH": str(pc), "LD_LIBRARY_PATH": str(pc.parent)}
    return environment


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--bin", required=True, help="folder with remotemedia and python")
    parser.add_argument("--prefix", help="where the library is installed")
    parser.add_argument("pages", nargs="*", help="pages; all tracked ones but the error pages if absent")
    options = parser.parse_args()
    report = tap.Tap()
    pages = options.pages or [page for page in tap.tracked("*.md") if not page.startswith("docs/errors/")]
    for page in pages:
        text = (tap.ROOT / page).read_text(encoding="utf-8")
        with tempfile.TemporaryDirectory() as name:
            if "talk.flac" in text:
                subprocess.run(["ffmpeg", "-v", "error", "-i", SPEECH, "-ar", "44100", "-ac", "2",
                                f"{name}/talk.flac"], check=True)
            Page(page, pathlib.Path(name), environment_of(options), report).run(text)
        report.ok(f"{page} links to what is there", broken_links(page, text))
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
