"""Runs a session: on the caller's event loop, or without one.

    initialize (rank order) --> open --> slices on the loop --> close --> cleanup (reverse order)

Every node whose ``initialize`` was called gets its ``cleanup`` called, on each path, also on cancel
and Ctrl-C.

    ``await run(plan, feed, collect)``     the whole run on the running loop
    ``run_sync(plan, feed, collect)``      the same without a loop where all nodes are sync, else on a
                                           private one
    ``async with Stream(plan, ...)``       a two-way session: push, pull, interrupt

``feed`` maps the id of a ``python.feed`` node to its source (list, iterable, async iterable);
``collect`` maps the id of a ``python.collect`` node to a list or a function; ``given`` maps ids of nodes
that the plan does not make to these.
"""

import sys
from time import monotonic, sleep

from . import _core

__all__ = ["Stream", "run", "run_sync"]

# Seconds that a call still running on a worker thread gets once the run is cancelled.
GRACE_S = 2.0
OVER = (_core.DONE, _core.FAILED)


# Modules whose frames lie between a run and the code of a node.
OWN = tuple(
    f"{__package__}.{name}" for name in ("_drive", "_exchange", "_host", "_memory", "_resolve", "session")
)


def translate(error, node, item, input=None, attempts=1):
    """The exception that a run raises. Replaced by the SDK, which adds the others."""
    return error


def from_node_on(error):
    """The error, its traceback without the frames of this package that lead to the node's code.

    ``process`` and ``flush`` are called from C and have none; so all of a node's errors look alike.
    """
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_frame.f_globals.get("__name__") in OWN:
        traceback = traceback.tb_next
    return error.with_traceback(traceback)


class Untimely(Exception):
    """The moment for a change did not come."""


def made(id, kind):
    """The node that a type makes."""
    if kind.make is None:
        raise TypeError(f"node '{id}': its type {kind.name} says how it looks, not what it does")
    try:
        return kind.make()
    except Exception as error:
        raised = translate(from_node_on(error), id, None)
        raise raised from raised.__cause__


class _Work:
    """A session, its nodes, and what has gone wrong so far."""

    __slots__ = (
        "begun",
        "change",
        "feed",
        "is_changed",
        "keep",
        "nodes",
        "opened",
        "problem",
        "session",
        "spares",
        "trace",
    )

    def __init__(
        self, plan, feed, collect, given, memory_bytes_max, news, keep=None, trace=None
    ):
        self.trace = trace
        self.keep = keep or {}
        self.nodes = {}
        given = given or {}
        self.begun = []
        self.opened = False
        self.problem = None
        self.change = None  # the task of one that is under way
        self.is_changed = False  # that is made, or given up: only the cleaning up is left
        self.spares = {}  # nodes that run here if another place refuses them
        connected = plan.connected_outputs
        for nodes, kinds in ((self.nodes, plan.python_nodes), (self.spares, plan.python_fallbacks)):
            for id, kind in kinds:
                nodes[id] = self.traced(id, given[id] if id in given else made(id, kind))
                if id in connected and hasattr(nodes[id], "connected_outputs"):
                    nodes[id].connected_outputs = frozenset(connected[id])
        every = {**self.nodes, **self.spares} if self.spares else self.nodes
        self.session = _core.Session(plan, every, memory_bytes_max=memory_bytes_max)
        if news is not None:
            news(self.session)
        self.feed = feed
        for id, source in feed.items():
            self.session.feed(id, source)
        for id, results in collect.items():
            self.session.collect(id, results)

    def traced(self, id, node):
        """What runs in place of a node, where the memory of nodes is counted."""
        return node if self.trace is None else self.trace.stand_in(id, node)

    def needs_loop(self):
        """True where something is async."""
        if any(hasattr(type(source), "__aiter__") for source in self.feed.values()):
            return True
        return any(_is_async(node) for nodes in (self.nodes, self.spares) for node in nodes.values())

    def open(self, loop=None):
        try:
            self.session.open(loop, **self.keep)
        except _core.Error as error:
            made = translate(error, error.node, None)
            raise made from made.__cause__
        self.opened = True

    def fallen_back(self):
        """The nodes that run here since a place refused them as the session opened."""
        found = {id: self.spares[id] for id in self.session.fell_back()} if self.spares else {}
        self.nodes.update(found)
        return found

    def failed(self, error, node=None, *where):
        """Keeps the first failure; what came of cleaning up after it is its context at most."""
        if self.problem is None:
            made = node is not None
            self.problem = translate(from_node_on(error), node, *(where or (None,))) if made else error

    def take_failure(self):
        failure = self.session.failure()
        if failure is not None and self.session.state == _core.FAILED:
            self.failed(*failure)

    def finish(self):
        """Raises what has gone wrong."""
        problem, self.problem = self.problem, None
        if problem is not None:
            try:
                raise problem
            finally:
                del problem, self


def _method(node, name):
    """(method or None, whether it may be called on the loop's thread)."""
    method, light = getattr(node, name, None), getattr(node, "is_light", None)
    return method, light is not None and bool(light(name))


def _does_nothing(node, name):
    """True where that method is to be called, and runs no code of the node's."""
    asked = getattr(node, "does_nothing", None)
    return asked is not None and asked(name)


def _is_async(node):
    if getattr(node, "is_streaming", False):
        return True
    inner = getattr(node, "node", node)  # what a stand-in stands for
    methods = [getattr(node, "process", None), getattr(node, "flush", None)]
    methods += [getattr(inner, "initialize", None), getattr(inner, "cleanup", None)]
    return any(method is not None and _core.is_async(method) for method in methods)


# ---- on a loop


async def _call(work, loop, id, function, inline=False):
    """Calls something of a node's as its task, or on a thread. ``id``: or its runner."""
    import asyncio

    done = loop.create_future()
    finished, value = work.session.call(id, function, done, inline)
    if finished:
        return value
    try:
        await asyncio.wait((done,))
    except asyncio.CancelledError:
        for task in work.session.tasks(False, id):
            task.cancel()
        await asyncio.wait((done,), timeout=GRACE_S)
        if done.done() and not done.cancelled():
            done.exception()
        raise
    return done.result()


async def _initialize(work, loop, nodes):
    """False where a node failed. What it raised is not raised here: that would add to its traceback."""
    for id, node in nodes.items():
        work.begun.append(id)
        try:
            await initialize_node(work, loop, id, node)
        except Exception as error:
            work.failed(error, id)
            return False
    return True


async def initialize_node(work, loop, id, node):
    """``id``: or its runner."""
    method, light = _method(node, "initialize")
    if _does_nothing(node, "initialize"):  # so it needs no task
        waits = method()
        if waits is not None:
            await waits
    elif method is not None:
        await _call(work, loop, id, method, light)


async def _open(work, loop):
    """All that comes before the first item; False where a node failed."""
    if not await _initialize(work, loop, work.nodes):
        return False
    work.open(loop)
    return await _initialize(work, loop, work.fallen_back())


async def cleanup_node(work, loop, id, node):
    """Keeps what it raises for the end. ``id``: or its runner."""
    method, light = _method(node, "cleanup")
    if _does_nothing(node, "cleanup"):
        method()
    elif method is not None:
        await close_call(work, loop, id, method, light)


async def _until_over(work, loop):
    """Waits for the end of the session; a cancellation meanwhile is kept for later."""
    import asyncio

    session = work.session
    while session.state not in OVER:
        done = loop.create_future()
        session.start(done, asyncio.current_task())
        try:
            if session.state not in OVER:
                await done
        except asyncio.CancelledError as error:
            work.failed(error)


async def _until_idle(work, until):
    """Waits for calls that still run on threads."""
    import asyncio

    pause_s = 0.0005
    while work.session.busy and monotonic() < until:
        try:
            await asyncio.sleep(pause_s)
        except asyncio.CancelledError as error:
            work.failed(error)
        pause_s = min(2 * pause_s, 0.02)


async def close_call(work, loop, id, function, inline):
    """A call on the way out: nothing that it raises stops the others. ``id``: or its runner."""
    import asyncio

    try:
        await _call(work, loop, id, function, inline)
    except asyncio.CancelledError as error:
        work.failed(error)
    except RuntimeError as error:
        if "still at work" not in str(error):
            work.failed(error, str_id(id))
            return
        if function is None:
            return
        result = function()  # its task or thread does not come back: do it here
        if hasattr(result, "__await__"):
            await result
    except BaseException as error:
        work.failed(error, str_id(id))


def str_id(id):
    """The id of a node that is given by it or by its runner."""
    return id if isinstance(id, str) else id.id


async def _end(work, loop):
    import asyncio

    session = work.session
    if work.change is not None:
        await _end_change(work)
    if session.state not in OVER:
        until = monotonic() + GRACE_S
        session.cancel()
        if work.opened:
            await _until_over(work, loop)
        await _until_idle(work, until)
    elif session.busy:
        await _until_idle(work, monotonic() + GRACE_S)
    for id, generator in session.leftovers():
        await close_call(work, loop, id, generator and generator.aclose, True)
    for id in reversed(work.begun):
        await cleanup_node(work, loop, id, work.nodes[id])
    tasks = session.tasks(True)
    for task in tasks:
        task.cancel()
    if tasks:
        try:
            await asyncio.wait(tasks, timeout=GRACE_S)
        except asyncio.CancelledError as error:
            work.failed(error)
    session.close()


async def _end_change(work):
    """Gives a change up that is under way, and waits until it has cleaned up behind it."""
    import asyncio

    change = work.change
    if not work.is_changed:
        change.cancel()
    while not change.done():
        try:
            await asyncio.wait((change,))
        except asyncio.CancelledError as error:
            work.failed(error)


async def _go(work, loop):
    import asyncio

    done = loop.create_future()
    if work.session.start(done, asyncio.current_task()) not in OVER:
        await done
    work.take_failure()


async def _run(work, on_session):
    import asyncio

    loop = asyncio.get_running_loop()
    session = work.session
    try:
        session.attach(loop)
        if await _open(work, loop):
            if on_session is not None:
                on_session(session)
            await _go(work, loop)
    except BaseException as error:
        work.failed(error)
    await _end(work, loop)
    work.finish()


async def run(
    plan, feed, collect, given=None, *, memory_bytes_max=0, on_session=None, news=None, keep=None,
    trace=None,
):
    """Runs a plan to its end on the running loop.

    ``news(session)`` is called once there is a session, ``on_session(session)`` once it is open. Raises what a node raised, through
    `translate`, or `_core.Error`. ``keep``: the checkpoints and the record, as arguments of `_core.Session.open`.
    ``trace``: a `Tracer` of the nodes' memory.
    """
    await _run(_Work(plan, feed, collect, given, memory_bytes_max, news, keep, trace), on_session)


# ---- without a loop


def _call_now(work, id, function):
    _, value = work.session.call(id, function, None, True)
    if hasattr(value, "close") and hasattr(value, "cr_frame"):
        value.close()
        raise TypeError(f"node '{id}': {function.__name__}() gave a coroutine; make it `async def`")


def _until_over_now(work):
    tries = 0
    while work.session.state not in OVER and tries < 2:
        try:
            work.session.run()
        except BaseException as error:
            tries += 1
            work.failed(error)


def _end_now(work):
    session = work.session
    if session.state not in OVER:
        session.cancel()
        if work.opened:
            _until_over_now(work)
    until = monotonic() + GRACE_S
    while session.busy and monotonic() < until:
        sleep(0.001)
    for id in reversed(work.begun):
        method, _ = _method(work.nodes[id], "cleanup")
        try:
            if method is not None:
                _call_now(work, id, method)
        except BaseException as error:
            work.failed(error, id)
    session.close()


async def _go_on(work):
    """The rest of a run that turned out to need a loop."""
    import asyncio

    loop = asyncio.get_running_loop()
    try:
        work.session.attach(loop)
        await _go(work, loop)
    except BaseException as error:
        work.failed(error)
    await _end(work, loop)
    work.finish()


def _initialize_now(work, nodes):
    """As `_initialize`."""
    for id, node in nodes.items():
        method, _ = _method(node, "initialize")
        work.begun.append(id)
        try:
            if method is not None:
                _call_now(work, id, method)
        except Exception as error:
            work.failed(error, id)
            return False
    return True


def _open_now(work):
    """As `_open`."""
    if not _initialize_now(work, work.nodes):
        return False
    work.open()
    return _initialize_now(work, work.fallen_back())


def _run_now(work, on_session):
    session = work.session
    try:
        if _open_now(work):
            if on_session is not None:
                on_session(session)
            if session.run() not in OVER:
                return _go_on(work)
            work.take_failure()
    except BaseException as error:
        work.failed(error)
    _end_now(work)
    work.finish()
    return None


def run_sync(
    plan, feed, collect, given=None, *, memory_bytes_max=0, on_session=None, news=None, keep=None,
    trace=None,
):
    """As `run`, blocking. Raises RuntimeError inside a running loop."""
    events = sys.modules.get("asyncio.events")
    if events is not None and events._get_running_loop() is not None:
        raise RuntimeError("run_sync() inside a running event loop: write `await pipeline.run(…)`")
    work = _Work(plan, feed, collect, given, memory_bytes_max, news, keep, trace)
    rest = _run(work, on_session) if work.needs_loop() else _run_now(work, on_session)
    if rest is not None:
        import asyncio

        asyncio.run(rest)


# ---- two ways


class Stream:
    """A two-way session on the running loop.

    ``inputs``: ids of ``python.feed`` nodes; ``outputs``: ids of ``python.collect`` nodes.
    """

    __slots__ = ("_arguments", "_loop", "_output", "_room", "_told", "_work", "session")

    def __init__(
        self, plan, inputs, outputs, *, given=None, memory_bytes_max=0, news=None, keep=None, trace=None
    ):
        self.session = None
        ports = dict.fromkeys(inputs), dict.fromkeys(outputs)
        self._arguments = plan, *ports, given, memory_bytes_max, news, keep, trace
        self._work = None
        self._loop = None
        self._room = None
        self._output = None
        self._told = False

    async def __aenter__(self):
        import asyncio

        loop = self._loop = asyncio.get_running_loop()
        arguments, self._arguments = self._arguments, None
        work = self._work = _Work(*arguments)
        session = self.session = work.session
        try:
            session.attach(loop)
            session.on_room = self._on_room
            session.on_output = self._on_output
            if await _open(work, loop):
                session.start(None, asyncio.current_task())
        except BaseException as error:
            work.failed(error)
        if work.problem is not None:
            await _end(work, loop)
            work.finish()
        return self

    async def __aexit__(self, kind, error, traceback):
        work = self._work
        if work.session.state in OVER and not self._told and error is None:
            work.take_failure()
        await _end(work, self._loop)
        if error is None or not isinstance(work.problem, Exception):
            work.finish()

    def _on_room(self):
        future, self._room = self._room, None
        if future is not None and not future.done():
            future.set_result(None)

    def _on_output(self):
        future, self._output = self._output, None
        if future is not None and not future.done():
            future.set_result(None)

    def _raise_failure(self):
        """Raises why the session failed, if it did."""
        failure = self.session.failure() if self.session.state == _core.FAILED else None
        if failure is not None:
            self._told = True
            raise translate(*failure)

    async def push(self, node, item):
        """Waits for room; returns at once where there is some."""
        while not self.session.push(node, item):
            if self.session.state in OVER:
                self._raise_failure()
                raise RuntimeError(f"push to '{node}': the session is over")
            if self._room is None:
                self._room = self._loop.create_future()
            await _shielded(self._room)

    async def pull(self, node):
        """The next item of an output; raises StopAsyncIteration at its end, or why the run failed."""
        while True:
            there, item = self.session.pull(node)
            if there:
                return item
            if self.session.state in OVER:
                self._raise_failure()
                raise StopAsyncIteration
            if self._output is None:
                self._output = self._loop.create_future()
            await _shielded(self._output)

    def end(self, node):
        """No more items on this input."""
        self.session.end(node)

    def has(self, node):
        """The id of a node that runs here, None: it does not."""
        for id, known in self._work.nodes.items():
            if getattr(known, "node", known) is node:
                return id
        return None

    async def change(self, words, given):
        """Changes the graph, after other changes that are under way. How long it stood still, in ns.

        ``words``: as of `_core.Session.plan_change`; ``given``: new nodes that the plan does not
        make, by id. What it was when it raises.
        """
        import asyncio

        from ._exchange import change

        work = self._work
        while work.change is not None and not work.change.done():
            await asyncio.wait((work.change,))
        work.is_changed = False
        task = work.change = self._loop.create_task(change(work, self._loop, words, given))
        task.add_done_callback(self._on_change)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise RuntimeError("the session ended before it was changed") from None
            if not work.is_changed:
                task.cancel()
            await asyncio.wait((task,))
            raise

    def _on_change(self, task):
        if not task.cancelled():
            task.exception()  # told to who changes, if that is still there to hear it
        if self._work.change is task:
            self._work.change = None

    def interrupt(self, node=None):
        """Barge-in, see `_core.Session.interrupt`."""
        self.session.interrupt(node)


async def _shielded(future):
    """Several wait for it: one of them that is cancelled does not cancel it for the others."""
    import asyncio

    await asyncio.wait((future,))
