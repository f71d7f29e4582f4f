"""Writes the reference pages from the sources that they describe, and finds what these leave unsaid.

    tools/reference.py OUT [--command PATH]    writes OUT/*.md
    tools/reference.py --check                 exit code 1 and a list where a public name has no text

    manifest.md   schemas/manifest.v1.json
    c-api.md      include/remotemedia/*.h
    errors.md     docs/errors/
    python.md     docstrings and signatures of python/remotemedia
    cli.md        --help of the command (with --command)
    nodes.md      `nodes --json` of the command (with --command)
"""

import argparse
import ast
import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

# ---- manifest


def reference_text(target):
    name = target.rsplit("/", 1)[-1]
    return f"[{name}](#{name})" if target.startswith("#/$defs/") else f"`{name}`"


def values_text(values):
    return ", ".join(f"`{json.dumps(value)}`" for value in values)


def choices_text(choices):
    return " or ".join(dict.fromkeys(type_text(choice) for choice in choices))


SHORT_FORMS = {
    "$ref": reference_text,
    "const": lambda value: values_text([value]),
    "enum": values_text,
    "oneOf": choices_text,
    "anyOf": choices_text,
}


def type_text(field):
    for key, text_of in SHORT_FORMS.items():
        if key in field:
            return text_of(field[key])
    kind = field.get("type", "anything")
    text = " or ".join(kind) if isinstance(kind, list) else kind
    if text == "array" and "items" in field:
        text = f"array of {type_text(field['items'])}"
    low, high = field.get("minimum"), field.get("maximum")
    if low is not None or high is not None:
        text += f", {'' if low is None else low}…{'' if high is None else high}"
    if "pattern" in field:
        text += f", `{field['pattern']}`"
    return text


def field_rows(schema, prefix=""):
    """(name, type, required, description) of each property, those of nested objects too."""
    for name, field in schema.get("properties", {}).items():
        required = name in schema.get("required", [])
        yield prefix + name, type_text(field), required, field.get("description", "")
        yield from field_rows(field, prefix + name + ".")


def manifest_page():
    schema = json.loads((ROOT / "schemas/manifest.v1.json").read_text())
    lines = ["# Manifest v1", "", schema["description"], ""]
    sections = [("top level", schema)] + list(schema["$defs"].items())
    for title, section in sections:
        rows = list(field_rows(section))
        lines += [f"## {title}", ""]
        if section is not schema:
            lines += [section.get("description", ""), ""]
        if rows:
            lines += ["| field | type | |", "|---|---|---|"]
        for name, kind, required, text in rows:
            lines.append(f"| `{name}` | {kind.replace('|', chr(92) + '|')} "
                         f"| {'**required.** ' if required else ''}{text} |")
        lines.append("")
    missing = [f"manifest field {title}.{row[0]}" for title, section in sections
               for row in field_rows(section) if not row[3] and not row[1].startswith("[")]
    return "\n".join(lines), missing


# ---- C

COMMENT = re.compile(r"/\*(.*?)\*/", re.S)
DECLARATION = re.compile(r"^(?:RM_API|typedef|enum|struct|#define RM_)", re.M)


def comment_text(comment):
    lines = [re.sub(r"^\s*\* ?", "", line) for line in comment.split("\n")]
    return "\n".join(lines).strip()


def blocks(text):
    """(comment, code) for each run of lines of a header that no blank line parts."""
    body = re.sub(r'#ifdef __cplusplus.*?#endif\n', "", text, flags=re.S)
    body = COMMENT.sub(lambda m: m.group(0).replace("\n\n", "\n*\n"), body)
    for block in re.split(r"\n\s*\n(?![^{]*\n\})", body):
        match = COMMENT.match(block.strip())
        code = block.strip()[match.end():].strip() if match else block.strip()
        yield (comment_text(match.group(1)) if match else ""), code


def functions_of(code):
    plain = COMMENT.sub("", code)
    return re.findall(r"RM_API[^;{]*?\b(rm_\w+)\s*\(", plain)


def header_page(path):
    text = path.read_text()
    lines, missing = [], []
    for index, (comment, code) in enumerate(blocks(text)):
        if index == 0:
            lines += [f"## {path.name}", "", "```text", comment, "```", ""]
            continue
        names = functions_of(code)
        if names and not comment:
            missing += [f"{path.name}: {name}()" for name in names]
        if comment and not code:
            lines += [comment, ""]
        elif DECLARATION.search(code):
            lines += ["```c", code, "```", ""] + ([comment, ""] if comment else [])
    return lines, missing


def c_page():
    lines, missing = ["# C API", ""], []
    for path in sorted((ROOT / "include/remotemedia").glob("*.h")):
        page, lacking = header_page(path)
        lines += page
        missing += lacking
    return "\n".join(lines), missing


# ---- errors


def errors_page():
    table = (ROOT / "include/remotemedia/error_codes.h").read_text()
    lines, missing = ["# Error codes", ""], []
    for number, name in re.findall(r"X\((\d+), (\w+),", table):
        page = ROOT / f"docs/errors/E{int(number):04d}.md"
        if page.exists():
            lines += [re.sub(r"^#", "##", page.read_text(), flags=re.M), ""]
        else:
            missing.append(f"error code E{int(number):04d} ({name})")
    return "\n".join(lines), missing


# ---- Python


def is_public(name):
    return not name.startswith("_") or name in ("__init__",)


def signature(node):
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    prefix = "async " if isinstance(node, ast.AsyncFunctionDef) else ""
    return f"{prefix}{node.name}({ast.unparse(node.args)}){returns}"


def python_members(body, where, level):
    lines, missing = [], []
    for node in body:
        if isinstance(node, ast.ClassDef) and is_public(node.name):
            text = ast.get_docstring(node)
            lines += [f"{'#' * level} class `{node.name}`", "", text or "", ""]
            missing += [] if text else [f"{where}.{node.name}"]
            inner, lacking = python_members(node.body, f"{where}.{node.name}", level + 1)
            lines, missing = lines + inner, missing + lacking
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and is_public(node.name):
            overload = any("overload" in ast.unparse(d) or ".setter" in ast.unparse(d)
                           for d in node.decorator_list)
            text = ast.get_docstring(node)
            if not overload:
                lines += [f"{'#' * level} `{signature(node)}`", "", text or "", ""]
            if not text and not overload and node.name != "__init__":
                missing.append(f"{where}.{node.name}()")
    return lines, missing


def python_files():
    package = ROOT / "python/remotemedia"
    for path in sorted(package.rglob("*.py")):
        relative = path.relative_to(package.parent).with_suffix("")
        parts = [part for part in relative.parts if part != "__init__"]
        if all(is_public(part) for part in parts):
            yield path, ".".join(parts)


def python_page():
    lines, missing = ["# Python", ""], []
    for path, module in python_files():
        tree = ast.parse(path.read_text())
        text = ast.get_docstring(tree)
        missing += [] if text else [f"module {module}"]
        inner, lacking = python_members(tree.body, module, 3)
        lines += [f"## {module}", "", text or "", ""] + inner
        missing += lacking
    return "\n".join(lines), missing


# ---- the command


def ask(command, *arguments):
    return subprocess.run([command, *arguments], check=True, capture_output=True, text=True).stdout


def cli_page(command):
    overview = ask(command, "--help")
    lines = ["# The `remotemedia` command", "", "```text", overview.rstrip(), "```", ""]
    commands = re.search(r"^Commands\n(.*?)\n\n", overview, re.S | re.M)
    for name in re.findall(r"^  (\w+)", commands.group(1), re.M):
        lines += [f"## {name}", "", "```text", ask(command, "help", name).rstrip(), "```", ""]
    return "\n".join(lines)


def port_rows(kind, ports):
    for port in ports:
        what = f"the format of `{port['same_as']}`" if port.get("same_as") else \
            f"`{port.get('formats') or 'any'}`".replace("|", "\\|")
        yield f"| {kind} `{port['name']}` | {what} | {port.get('summary') or ''} |"


def param_row(param):
    limits = [str(param["kind"]), param.get("unit") or ""]
    low, high = param.get("min"), param.get("max")
    if low is not None and high is not None:
        limits.append(f"{low:g}…{high:g}")
    elif low is not None or high is not None:
        limits.append(f"≥ {low:g}" if high is None else f"≤ {high:g}")
    if param.get("choices"):
        limits.append(", ".join(f"`{choice}`" for choice in param["choices"]))
    default = "**required**" if param.get("required") else f"`{json.dumps(param.get('default'))}`"
    live = "; may change while it runs" if param.get("live") else ""
    return (f"| `{param['name']}` | {', '.join(filter(None, limits))} | {default} "
            f"| {param.get('summary') or ''}{live} |")


def nodes_page(command):
    lines, missing = ["# Node types", ""], []
    for node in json.loads(ask(command, "nodes", "--json"))["nodes"]:
        lines += [f"## {node['type']}", "", node["summary"] or "", ""]
        lines += ["| port | format | |", "|---|---|---|"]
        lines += list(port_rows("in", node["inputs"])) + list(port_rows("out", node["outputs"]))
        if node["params"]:
            lines += ["", "| parameter | kind | default | |", "|---|---|---|---|"]
            lines += [param_row(param) for param in node["params"]]
        if node.get("example"):
            lines += ["", "```sh", f"remotemedia run '{node['example']}'", "```"]
        lines.append("")
        named = node["inputs"] + node["outputs"] + node["params"]
        missing += [] if node["summary"] else [f"node type {node['type']}"]
        missing += [f"node type {node['type']}: {thing['name']}"
                    for thing in named if not thing.get("summary")]
    return "\n".join(lines), missing


# ---- the whole


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("out", nargs="?", type=pathlib.Path, help="folder for the pages")
    parser.add_argument("--command", help="the remotemedia command, for cli.md and nodes.md")
    parser.add_argument("--check", action="store_true", help="list what has no text")
    options = parser.parse_args()
    made = {"manifest": manifest_page(), "c-api": c_page(), "errors": errors_page(),
            "python": python_page()}
    if options.command:
        made["cli"] = (cli_page(options.command), [])
        made["nodes"] = nodes_page(options.command)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        for name, (text, _) in made.items():
            (options.out / f"{name}.md").write_text(text.rstrip() + "\n")
    missing = [f"{name}: {what}" for name, (_, lacking) in made.items() for what in lacking]
    if options.check and missing:
        print("these public names have no text:", *missing, sep="\n  ")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
