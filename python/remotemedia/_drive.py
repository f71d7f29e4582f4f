"""Runs a session: on the caller's event loop, or without one.

    initialize (rank order) --> open --> slices on the loop --> close --> cleanup (reverse order)

Every node whose ``initialize`` was called gets its ``cleanup`` called, on each path, also on cancel
and Ctrl-C.

    ``await run(plan, feed, collect)``     the whole run on the running loop
    ``run_sync(plan, feed, collect)``      the same without a loop where all nodes are sync, else on a
                                           private one
    ``async with Stream(plan, ...)``       a two-way session: push, pull, interrupt

``feed`` maps the id of a ``python.feed`` node to its source (list, iterable, async iterable);
``collect`` maps the id of a ``python.collect`` node to a list or a function.
"""

import inspect
import sys

from . import _core

__all__ = ["Stream", "run", "run_sync"]

# Seconds that a call still running on a worker thread gets once the run is cancelled.
GRACE_S = 2.0


def translate(error, node, item):
    """The exception that a run raises. Replaced by the SDK, which adds node and item."""
    return error


async def run(plan, feed, collect, *, memory_bytes_max=0, on_session=None):
    """Runs a plan to its end on the running loop.

    ``on_session(session)`` is called once the session is open. Raises what a node raised, through
    `translate`, or `_core.Error`.
    """


def run_sync(plan, feed, collect, *, memory_bytes_max=0, on_session=None):
    """As `run`, blocking. Raises RuntimeError inside a running loop."""


class Stream:
    """A two-way session on the running loop.

    ``inputs``: ids of ``python.feed`` nodes; ``outputs``: ids of ``python.collect`` nodes.
    """

    def __init__(self, plan, inputs, outputs, *, memory_bytes_max=0):
        self.session = None

    async def __aenter__(self):
        return self

    async def __aexit__(self, kind, error, traceback):
        return None

    async def push(self, node, item):
        """Waits for room; returns at once where there is some."""

    async def pull(self, node):
        """The next item of an output; raises StopAsyncIteration at its end, or why the run failed."""

    def end(self, node):
        """No more items on this input."""

    def interrupt(self, node=None):
        """Barge-in, see `_core.Session.interrupt`."""
