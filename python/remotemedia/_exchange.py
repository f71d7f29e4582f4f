"""Nodes that come into a session that runs, and those that leave it.

    plan --> make and initialize what is new --> exchange, again until its moment has come
                                             --> clean up what is out

Until the exchange the session goes on as it was, and what was begun is cleaned up where it fails.
"""

from . import _core, _drive

# Seconds for which a change is tried, and between two tries.
TRY_S = 2.0
PAUSE_S = 0.0005


async def change(work, loop, words, given):
    """Changes the session by the words of a `Change`. Returns how long it stood still, in ns.

    ``given``: the nodes that the plan does not make, by id.
    """
    try:
        return await _change(work, loop, words, given)
    except _core.Error as error:
        made = _drive.translate(error, error.node, None)
        raise made from made.__cause__


async def _change(work, loop, words, given):
    session, fresh, runners, begun = work.session, {}, {}, []
    rows = session.plan_change(words)
    try:
        fresh = _made(work, rows, given)
        runners = session.add_nodes(fresh, _heirs(work, fresh))
        await _initialize(work, loop, fresh, runners, begun)
        pause_ns, out = await _exchange(loop, session)
    except BaseException:
        await _give_up(work, loop, fresh, runners, begun)
        raise
    work.is_changed = True  # it is not given up any more
    rest = [(runner, *_take(work, runner.id)) for runner in out]
    work.nodes.update(fresh)
    work.begun += fresh
    for row in reversed(rest):
        await _dismiss(work, loop, *row)
    return pause_ns


async def _give_up(work, loop, fresh, runners, begun):
    work.is_changed = True
    work.session.forget_change()
    for id in reversed(begun):
        await _dismiss(work, loop, runners.pop(id), fresh[id], True)
    for runner in runners.values():
        work.session.drop(runner)


def _made(work, rows, given):
    """The new nodes by id, in rank order."""
    fresh = {}
    for id, kind, outputs in rows:
        node = fresh[id] = work.traced(
            id, given[id] if id in given else _drive.made(id, kind)
        )
        if outputs is not None and hasattr(node, "connected_outputs"):
            node.connected_outputs = frozenset(outputs)
    return fresh


def _code_of(node):
    return getattr(node, "node", node)  # what a stand-in stands for


def _heirs(work, fresh):
    """Ids of new nodes that get the state of those in whose place they come: both know it."""
    return {id for id in fresh if id in work.nodes and _knows(work.nodes[id], fresh[id])}


def _knows(old, new):
    old, new = _code_of(old), _code_of(new)
    related = isinstance(new, type(old)) or isinstance(old, type(new))
    return related and callable(getattr(old, "save", None)) and callable(getattr(new, "load", None))


async def _initialize(work, loop, fresh, runners, begun):
    for id, node in fresh.items():
        begun.append(id)
        try:
            await _drive.initialize_node(work, loop, runners[id], node)
        except Exception as error:
            made = _drive.translate(_drive.from_node_on(error), id, None)
            raise made from made.__cause__


async def _exchange(loop, session):
    """(how long it took, the runners that are out)."""
    import asyncio

    until = loop.time() + TRY_S
    result = session.change()
    while isinstance(result, str):  # not now: the session has to go on a little
        if loop.time() > until:
            raise _drive.Untimely(f"the change could not be made within {TRY_S:g} s: {result}")
        await asyncio.sleep(PAUSE_S)
        result = session.change()
    if len(result) != 2:  # a node that was about to go has failed
        made = _drive.translate(*result)
        raise made from made.__cause__
    return result


def _take(work, id):
    """The node that is out, and whether it was begun."""
    was_begun = id in work.begun
    if was_begun:
        work.begun.remove(id)
    return work.nodes.pop(id), was_begun


async def _dismiss(work, loop, runner, node, was_begun):
    """Ends what a node that is out is at, cleans it up, and lets go of it."""
    import asyncio

    session = work.session
    for _, generator in session.leftovers(runner):
        await _drive.close_call(work, loop, runner, generator and generator.aclose, True)
    if was_begun:
        await _drive.cleanup_node(work, loop, runner, node)
    tasks = session.tasks(True, runner)
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=_drive.GRACE_S)
    session.drop(runner)
