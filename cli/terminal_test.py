"""The `remotemedia` command in a real terminal (tmux): progress line, words, Ctrl-C, completion.

usage: terminal_test.py BINARY

Prints TAP; skips where there is no tmux. Python's standard library only.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tools"))
from tap import Tests  # noqa: E402

BINARY = pathlib.Path(sys.argv[1]).resolve()
DEADLINE_S = 60  # for a hang, not a measure
COLUMNS = 90
test = Tests()


class Terminal:
    """A bash in a terminal of its own, in a folder that goes away."""

    def __init__(self, columns=COLUMNS):
        self.folder = tempfile.TemporaryDirectory()
        self.path = pathlib.Path(self.folder.name)
        (self.path / "remotemedia").symlink_to(BINARY)
        self.socket = self.path / "tmux"
        rc = self.path / "rc"
        rc.write_text("PS1='ready> '\nset +o history\ncd work\n")
        (self.path / "work").mkdir()
        env = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "TMUX")}
        env.update(PATH=f"{self.path}:{env['PATH']}", LC_ALL="C.UTF-8", HOME=str(self.path))
        subprocess.run(["tmux", "-S", self.socket, "-f", "/dev/null", "new-session", "-d", "-x",
                        str(columns), "-y", "24", f"bash --noprofile --rcfile {rc}"],
                       check=True, env=env, cwd=self.path, timeout=DEADLINE_S)
        self.wait(lambda screen: "ready>" in screen)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.tmux("kill-server")
        self.folder.cleanup()

    def tmux(self, *words):
        return subprocess.run(["tmux", "-S", self.socket, *words], capture_output=True, text=True,
                              timeout=DEADLINE_S).stdout

    def type(self, text):
        self.tmux("send-keys", "-l", text)

    def press(self, *keys):
        self.tmux("send-keys", *keys)

    def enter(self, line):
        self.type(line)
        self.press("Enter")

    def screen(self, colors=False):
        return self.tmux("capture-pane", "-p", *(["-e"] if colors else []))

    def wait(self, condition, colors=False):
        """The first screen that it holds for."""
        until = time.monotonic() + DEADLINE_S
        while True:
            screen = self.screen(colors)
            if condition(screen):
                return screen
            assert time.monotonic() < until, f"the screen stays\n{screen}"
            time.sleep(0.02)

    def write(self, name, content):
        (self.path / "work" / name).write_text(json.dumps(content))


def lines_with(screen, word):
    return [line for line in screen.splitlines() if word in line]


@test
def a_bar_shows_how_much_of_the_file_is_read_and_goes_away():
    with Terminal() as t:
        t.enter("remotemedia run -q 'test.tone duration_ms=4000 ! wav.write path=a.wav'; clear")
        t.wait(lambda s: s.count("ready>") == 1 and "test.tone" not in s)
        t.enter("remotemedia run 'wav.read path=a.wav paced=true ! test.pass'")
        screen = t.wait(lambda s: re.search(r"━+─+ +[1-9]\d? %", s))
        line = lines_with(screen, " %")[0]
        assert re.search(r"^\S 0:0[0-4]\.\d  ━+─+ +\d+ %  [\d.]+x real time", line), line
        assert len(line) < COLUMNS, line
        colored = t.wait(lambda s: "━" in s, colors=True)
        assert "\033[36m" in colored
        screen = t.wait(lambda s: "of media in" in s and s.rstrip().endswith("ready>"))
        assert "━" not in screen and "4.00 s of media in" in screen, screen
        assert re.search(r"^  pass +test\.pass +200 ", screen, re.M), screen


@test
def a_narrow_terminal_gets_a_short_line():
    with Terminal(columns=44) as t:
        t.enter("clear; remotemedia run 'test.tone duration_ms=0 paced=true ! test.pass'")
        screen = t.wait(lambda s: "real time" in s)
        assert len(lines_with(screen, "real time")) == 1, screen
        t.press("C-c")
        t.wait(lambda s: "SIGINT" in s)


@test
def words_come_and_are_replaced_as_they_are_recognised():
    with Terminal() as t:
        t.write("p.json", {
            "version": "v1",
            "nodes": [{"id": "asr", "node_type": "test.pass"},
                      {"id": "out", "node_type": "json.write", "params": {"path": "/dev/null"}}],
            "connections": [{"from": "asr", "to": "out"}], "inputs": {"in": {"node": "asr"}}})
        os.mkfifo(t.path / "work" / "said")
        t.enter("clear; remotemedia run p.json -i said")
        with open(t.path / "work" / "said", "w") as said:
            def say(value):
                said.write(json.dumps(value) + "\n")
                said.flush()
            say({"type": "partial", "text": "rather cold"})
            t.wait(lambda s: re.search(r"items.*\n  rather cold$", s, re.M))
            say({"type": "partial", "text": "rather cold hearted\033[31m"})
            screen = t.wait(lambda s: "cold hearted" in s)
            assert len(lines_with(screen, "rather cold")) == 1, screen
            assert "\033[31m" not in t.screen(colors=True)
            say({"type": "final", "text": "word " * 100 + "end"})
            screen = t.wait(lambda s: "word end" in s)
            assert len(lines_with(screen, "word")) == 1, screen
        screen = t.wait(lambda s: "items in" in s and s.rstrip().endswith("ready>"))
        assert "word" not in screen and "rm-words" not in screen, screen


@test
def ctrl_c_ends_a_run_and_leaves_a_clean_screen():
    with Terminal() as t:
        t.enter("clear; remotemedia run 'test.tone duration_ms=0 paced=true ! test.pass'")
        t.wait(lambda s: "real time" in s)
        t.press("C-c")
        screen = t.wait(lambda s: "of media in" in s and s.rstrip().endswith("ready>"))
        assert "error[E0006]: the run was ended by SIGINT" in screen, screen
        t.enter("clear; (exit 7); echo code $?")
        t.wait(lambda s: "code 7" in s)  # the shell goes on as before


@test
def no_color_is_obeyed():
    with Terminal() as t:
        t.enter("clear; NO_COLOR=1 remotemedia run 'test.tone ! test.pass'; remotemedia help xx")
        t.wait(lambda s: "of media in" in s and "E0701" in s and s.rstrip().endswith("ready>"))
        before, after = t.screen(colors=True).split("error", 1)
        assert "\033[3" not in before.rsplit("\n", 1)[0] and "\033[" in after, before


@test
def bash_completes_on_the_tab_key():
    with Terminal() as t:
        t.write("pipeline.json", {})
        t.enter("source <(remotemedia completion bash); clear")
        t.wait(lambda s: s.count("ready>") == 1 and "source" not in s)
        for typed, wanted in (("remotemedia val", "remotemedia validate "),
                              ("remotemedia run --dr", "remotemedia run --dry-run "),
                              ("remotemedia run pip", "remotemedia run pipeline.json "),
                              ("remotemedia nodes test.t", "remotemedia nodes test.tone "),
                              ("remotemedia graph --format=s", "remotemedia graph --format=svg ")):
            t.type(typed)
            t.press("Tab")
            t.type("|")
            t.wait(lambda s: f"ready> {wanted}|" in s)
            t.press("C-c")
            t.wait(lambda s: s.rstrip().endswith("ready>"))


@test
def top_draws_again_until_q():
    with Terminal(columns=120) as t:
        t.enter("export XDG_RUNTIME_DIR=$PWD; clear; remotemedia top")
        t.wait(lambda s: s.startswith("no pipeline is running"))
        t.press("q")
        t.wait(lambda s: s.rstrip().endswith("ready>"))
        t.enter("remotemedia run -q 'test.tone duration_ms=0 paced=true ! test.pass' & top=$!; clear")
        t.wait(lambda s: s.count("ready>") == 1)
        t.enter("remotemedia top; echo left")
        screen = t.wait(lambda s: re.search(r"^  pass +test\.pass +\w+ +\d+ +(4\d|50|51)", s, re.M))
        assert "NODE" in screen.splitlines()[0] and "ready>" not in screen, screen
        pid = re.search(r"^(\d+)  pipeline  running", screen, re.M)[1]
        first = re.search(r"pass +test\.pass +\w+ +(\d+)", screen)[1]
        t.wait(lambda s: re.search(rf"pass +test\.pass +\w+ +(?!{first} )\d+", s))
        t.press("q")
        t.wait(lambda s: "left" in s and s.rstrip().endswith("ready>"))
        t.enter(f"clear; kill {pid}; wait; remotemedia top --once")
        t.wait(lambda s: "no pipeline is running" in s)


if __name__ == "__main__":
    if not shutil.which("tmux"):
        print("1..0 # SKIP tmux is not installed")
        sys.exit(0)
    sys.exit(test.run())
