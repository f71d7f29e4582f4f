#!/usr/bin/env python3
"""Random graphs find bugs that are planted in the engine: a test of the test.

    planted_bugs_test.py BUILD [--seeds N]

Each bug is one change to one source file. The file is compiled anew with it, and linked with the rest of
the library as it was built in BUILD. A change whose original is no longer in the source fails.
"""

import argparse
import json
import pathlib
import shlex
import subprocess
import sys
import tempfile

from random_graphs_test import Runner, check

ROOT = pathlib.Path(__file__).resolve().parents[3]

# What it does wrong, the file, the text, what stands there instead, what the owner does meanwhile.
BUGS = [
    ("a packet leaves twice on a fan-out that waits for room", "core/engine/node.c",
     "node->outbox_done |= 1ull << e;\n        edge_push(", "edge_push("),
    ("what a failed call emitted is delivered", "core/engine/recover.c",
     "    rmi_node_drop_outbox(node);\n    bool called", "    bool called"),
    ("an item is lost when it is retried", "core/engine/recover.c",
     "node->held = !node->flushing;", "node->held = false; rmi_node_drop_inputs(node);"),
    ("zip ends before what is queued is used up", "core/engine/intake.c",
     "drained &= is_drained(node->in[i]);\n        }\n        if (drained) {",
     "drained &= node->in[i]->ended;\n        }\n        if (drained) {"),
    ("a producer is not woken when there is room", "core/engine/arrivals.c",
     "        rmi_parking_wake(&link->producer->parking);", ""),
    ("the end of a stream does not wake its consumer", "core/engine/arrivals.c",
     "if (tail != link->tail_told || ended != link->end_told) {", "if (tail != link->tail_told) {"),
    ("an edge that grows mixes up its packets", "core/engine/edge.c",
     "edge->ring[(edge->head + i) & edge->mask]", "edge->ring[i & edge->mask]"),
    ("edges do not grow", "core/engine/quiet.c", "if (edge && grow(edge)) {", "if (false) {"),
    ("a link that drops takes back the newest", "core/engine/link.c",
     "link->ring[head & link->mask], __ATOMIC_ACQUIRE);\n        if (atomic_compare_exchange_strong("
     "&link->head, &head, head + 1)) {\n            return packet;",
     "link->ring[(tail - 1) & link->mask], __ATOMIC_ACQUIRE);\n        if (atomic_compare_exchange_strong("
     "&link->head, &head, head + 1)) {\n            return packet;"),
    ("what an attempt gives back itself wakes it again", "core/engine/strand.c",
     "    strand->pool->wanted = false;\n    rmi_node_drop_outbox(node);", "    rmi_node_drop_outbox(node);"),
    ("a packet goes over edges that do not take it", "core/engine/node.c",
     "            node->outbox_done |= 1ull << e;\n            refused++;", "            refused++;"),
    ("a condition is asked for one packet, and holds for the next", "core/engine/node.c",
     "    node->outbox_done = 0;\n    node->outbox_checked = false;\n    rmi_pool_give",
     "    node->outbox_done = 0;\n    rmi_pool_give"),
    ("more than a call's last packet is lost where an edge is full", "core/engine/node.c",
     "        if (!send_front(node)) {\n            return false;", "        if (!send_front(node)) {\n"
     "            rmi_node_drop_outbox(node);\n            return true;"),
    ("the order of the copies of a node is not kept", "core/engine/intake.c",
     "            node->current[0] = packet;\n            node->taken = edge;\n            return RMI_TAKEN_SET;",
     "            node->current[0] = packet;\n            node->next_in = (node->next_in + 1) % node->n_in;\n"
     "            return RMI_TAKEN_SET;"),
    ("an item that gives nothing leaves no mark", "core/engine/parallel.c",
     "if (node->out[p].edge_count && gathered) {",
     "if (node->out[p].edge_count && gathered && node->outbox_count) {"),
    ("what a fallback gives is not awaited", "core/engine/recover.c",
     "        rmi_parallel_mark(node);\n        node->fallbacks++;", "        node->fallbacks++;"),
    ("a checkpoint forgets over which edges a packet went", "core/engine/snapshot.c",
     ".outbox_done = node->outbox_done,", ".outbox_done = 0,", "restart"),
    ("a checkpoint forgets that an input is worked on", "core/engine/snapshot.c",
     ".held = node->held,", ".held = false,", "restart"),
    ("a checkpoint forgets that a stream has ended", "core/engine/snapshot.c",
     ".ended = edge->ended,", ".ended = false,", "restart"),
    ("a change loses what is queued on a connection that goes", "core/engine/change_exchange.c",
     "            copy_queue(change, old, heir);\n", "", "change"),
    ("a change loses what a node holds back that goes", "core/engine/change_exchange.c",
     "status = rmi_node_hand_over(old, successor(change, old), err);", "status = RM_OK;", "change"),
    ("a change doubles a packet that some consumers have", "core/engine/change_exchange.c",
     "(is_front && rmi_change_has_front(node, old))", "false", "change"),
    ("a change leads a packet past a condition", "core/engine/change_exchange.c",
     "return is_behind || !to->route ||", "return is_behind || to ||", "change"),
    ("after a change nobody sees that nothing moves", "core/engine/change_exchange.c",
     "strand->resting &= strand->finished && i > 0;", "strand->resting = false;", "change"),
    ("a record takes what was dropped as it came for sent", "core/engine/link.c",
     "        rmi_record_unsent(link->producer->session, link->sending);\n", "", "record"),
    ("a record does not tell how many were dropped", "core/engine/record.c",
     "place - recorder->next[index]", "0", "record"),
    ("a record takes an item that is tried again for another", "core/engine/record.c",
     "note_call(node, node->held ? RMI_CALL_SAME : 0);", "note_call(node, 0);", "record"),
]  # fmt: skip


def compile_command(build, source):
    for entry in json.loads((build / "compile_commands.json").read_text()):
        if (build / entry["file"]).resolve() == ROOT / source and "remotemedia-core" in entry["output"]:
            return entry["command"]
    raise SystemExit(f"Bail out! {source} is not in {build}")


def runner_with(build, folder, source, text):
    """The runner, linked with one file of the library as `text` has it."""
    changed = folder / pathlib.Path(source).name
    changed.write_text(text)
    words = shlex.split(compile_command(build, source))
    if pathlib.Path(words[0]).name == "ccache":
        del words[0]
    words = words[: words.index("-o")] + ["-w", "-o", f"{changed}.o", "-c", str(changed)]
    # What it includes by quotes lies beside the original.
    compiler = words[: next(i for i, word in enumerate(words) if word.startswith("-"))]
    words.insert(len(compiler), f"-I{(ROOT / source).parent}")
    subprocess.run(words, cwd=build, check=True)
    runner = build / "core/engine/random_graphs"
    objects = sorted((runner / "random_graphs_runner.p").glob("*.o"))
    link = [*compiler, *objects, f"{changed}.o", build / "core/libremotemedia-core.a"]
    link += ["-o", folder / "runner", "-ljansson", "-lmsgpackc", "-lm", "-ldl", "-pthread"]
    link += [word for word in words if word.startswith(("-fsanitize", "--coverage"))]
    subprocess.run(link, cwd=build, check=True)
    return folder / "runner"


def first_found(program, seeds, disturb=None):
    """The first seed at which the runner differs from the reference; None: none does."""
    runner = Runner(program, answer_s=10)
    how = {"record": f"{program}.rmrec"} if disturb == "record" else {"disturb": disturb}
    found = next((seed for seed in range(1, seeds + 1) if check(runner, seed, **how)), None)
    runner.end()
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--seeds", type=int, default=1000)
    options = parser.parse_args()
    failed = 0
    for number, (name, source, original, instead, *disturb) in enumerate(BUGS, 1):
        text = (ROOT / source).read_text()
        found = None
        if text.count(original) == 1:
            with tempfile.TemporaryDirectory() as folder:
                program = runner_with(
                    options.build.resolve(), pathlib.Path(folder), source, text.replace(original, instead)
                )
                found = first_found(program, options.seeds, *disturb)
        else:
            print(f"# its original stands {text.count(original)} times in {source}")
        failed += found is None
        print(f"{'not ok' if found is None else 'ok'} {number} {name}: found at seed {found}", flush=True)
    print(f"1..{len(BUGS)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
