"""The `remotemedia` command: ``python -m remotemedia`` and the console script.

It is the C program, run inside this interpreter so that nodes may be Python. Nothing of the SDK is
imported before a pipeline names such a node.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, Any

from . import _core

if TYPE_CHECKING:
    from collections.abc import Callable


def _resolve(asked: dict[str, Any]) -> _core.NodeType | None:
    from ._resolve import resolve

    return resolve(asked)


def _show_traceback(error: BaseException) -> None:
    """What a node raised, where; the command says the rest."""
    original = getattr(error, "original", None)
    if original is not None:
        from traceback import print_exception

        print_exception(original)


def _run(
    plan: _core.Plan, on_session: Callable[[_core.Session], object], record: str | None = None
) -> None:
    """record: what is run again."""
    from . import _drive, pipeline  # pipeline: how native packets reach Python, how errors are told

    sessions = []

    def opened(session: _core.Session) -> None:
        sessions.append(session)
        on_session(session)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        keep = {"replay": record} if record else None
        _drive.run_sync(plan, {}, {}, on_session=opened, keep=keep)
    except BaseException as error:
        _show_traceback(error)
        if any(session.busy for session in sessions):
            # A call on another thread uses what the command is about to free.
            print(f"remotemedia: {error}; a node does not return from its call", file=sys.stderr)
            sys.stderr.flush()
            os._exit(1)
        raise
    finally:
        signal.signal(signal.SIGINT, before)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()


def main() -> int:
    """Runs the command line of this process; returns the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a run sets its own handler
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # as `python -m` does: a pipeline's own modules
    return _core.cli(["remotemedia", *sys.argv[1:]], _core.Registry(_resolve), _run)


if __name__ == "__main__":
    sys.exit(main())
