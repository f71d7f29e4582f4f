#!/usr/bin/env python3
"""Budgets and bans of the house: length, complexity and parameters of functions (lizard), length of
files, calls that are not allowed, words that promise instead of doing, spaces at line ends."""

import re
import sys

import lizard
import tap

FUNCTION_LINES_MAX, COMPLEXITY_MAX, PARAMETERS_MAX, FILE_LINES_MAX = 70, 15, 6, 1000
BANNED_CALLS = re.compile(r"(?<![\w.>])(strcpy|strcat|sprintf|vsprintf|strtok|atoi|gets|localtime"
                          r"|rand|system)\s*\(")
# Spelled in halves, so that this file passes its own check.
BANNED_WORDS = re.compile(r"\b(" + "|".join(("TO" "DO", "FIX" "ME", "XX" "X", "HA" "CK")) + r")\b")
COMMENT_OR_TEXT = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', re.DOTALL)
TEXT_FILES = ("*.c", "*.h", "*.py", "*.pyi", "*.md", "*.build", "*.options", "*.json", "*.yml",
              "*.toml", "*.sh", "test", "demo", ".ci/run")


def blank(match):
    """Leaves the line breaks, so that line numbers stay right."""
    return re.sub(r"[^\n]", " ", match.group())


def function_problems(name, text):
    # "modified": a switch counts as one decision, however many cases it has.
    analyzer = lizard.FileAnalyzer(lizard.get_extensions(["modified"]))
    for function in analyzer.analyze_source_code(name, text).function_list:
        place = f"{name}:{function.start_line}: {function.name}"
        if function.length > FUNCTION_LINES_MAX:
            yield f"{place} has {function.length} lines, at most {FUNCTION_LINES_MAX}"
        if function.cyclomatic_complexity > COMPLEXITY_MAX:
            yield f"{place} has complexity {function.cyclomatic_complexity}, at most {COMPLEXITY_MAX}"
        if name.endswith((".c", ".h")) and len(function.parameters) > PARAMETERS_MAX:
            yield f"{place} has {len(function.parameters)} parameters, at most {PARAMETERS_MAX}"


def call_problems(name, text):
    bare = COMMENT_OR_TEXT.sub(blank, text)
    for match in BANNED_CALLS.finditer(bare):
        line = bare.count("\n", 0, match.start()) + 1
        yield f"{name}:{line}: {match.group(1)}() is banned"


def text_problems(name, text):
    lines = text.split("\n")
    if len(lines) - 1 > FILE_LINES_MAX and not name.endswith((".json", ".md")):
        yield f"{name} has {len(lines) - 1} lines, at most {FILE_LINES_MAX}"
    if text and not text.endswith("\n"):
        yield f"{name} does not end with a line break"
    for number, line in enumerate(lines, 1):
        if line != line.rstrip():
            yield f"{name}:{number}: spaces at the end of the line"
        if BANNED_WORDS.search(line):
            yield f"{name}:{number}: {BANNED_WORDS.search(line).group()}"


def check_itself(report):
    """A check that cannot fail is none."""
    long = "int f(void)\n{\n" + "    g();\n" * 70 + "}\n"
    seven = "int f(int a, int b, int c, int d, int e, int g, int h)\n{\n    return 0;\n}\n"
    knotty = "int f(int a)\n{\n" + "    if (a) { g(); }\n" * COMPLEXITY_MAX + "}\n"
    missed = [text for text in (long, seven, knotty) if not list(function_problems("x.c", text))]
    missed += [text for text in ("a = sys" "tem(b);",) if not list(call_problems("x.c", text))]
    missed += [text for text in ("a \n", "a", "/* TO" "DO */\n") if not list(text_problems("x.c", text))]
    wrong = list(call_problems("x.c", '/* rand() */ b = my_rand(); c = "atoi(x)"; d->system(1);'))
    report.ok("the style check tells good from bad", missed + wrong)


def main():
    report = tap.Tap()
    check_itself(report)
    functions, calls, texts = [], [], []
    for name in tap.tracked(*TEXT_FILES):
        text = (tap.ROOT / name).read_text(encoding="utf-8")
        texts += text_problems(name, text)
        if name.endswith((".c", ".h", ".py")):
            functions += function_problems(name, text)
        if name.endswith((".c", ".h")):
            calls += call_problems(name, text)
    report.ok("functions keep to their budgets", functions)
    report.ok("no banned call", calls)
    report.ok("files keep to their budget, lines end clean, no word of promise", texts)
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
