"""The process that forks worker processes, as the program sees it: started when first needed, one a
program.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
from _thread import allocate_lock
from typing import TYPE_CHECKING, Any, NamedTuple

from .errors import FAILED, PipelineError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from subprocess import Popen

ANSWER_BYTES_MAX = 1 << 16
IMPORTS_MAX = 256
# Imported there without being asked for, where the program has them.
SHARED = ("numpy",)


class Process(NamedTuple):
    """A worker process. ``fd``: a descriptor of it (pidfd), of whoever asked for it."""

    pid: int
    fd: int
    zygote: _Zygote

    def kill(self) -> None:
        """Ends it, whatever it does."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.fd, signal.SIGKILL)

    def wait(self) -> str:
        """What it ended by, in words; waits for that."""
        try:
            status = self.zygote.ask({"do": "wait", "pid": self.pid})[0].get("status")
        except (OSError, PipelineError):
            status = None
        finally:
            os.close(self.fd)
        if status is None:
            return "is gone"
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            return f"was ended by signal {number} ({_signal_name(number)})"
        return f"ended with status {os.WEXITSTATUS(status)}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "of no name"


class _Zygote:
    """The process, and the socket to it.

    Threads: any; one request at a time.
    """

    def __init__(self) -> None:
        import subprocess

        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.lock = allocate_lock()
        self.pid_of_owner = os.getpid()
        self.socket = ours
        with theirs:
            self.process: Popen[bytes] = subprocess.Popen(
                [sys.executable, *_options(), "-m", f"{__package__}.worker", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the program
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )

    def ask(
        self, request: dict[str, Any], fds: Sequence[int] = ()
    ) -> tuple[dict[str, Any], list[int]]:
        """The answer to a request, and the descriptors that came with it.

        Raises
        ------
        OSError
            The zygote is gone.
        PipelineError
            It says why it could not.
        """
        import json

        with self.lock:
            socket.send_fds(self.socket, [json.dumps(request).encode()], list(fds))
            text, given, _, _ = socket.recv_fds(self.socket, ANSWER_BYTES_MAX, 1)
        if not text:
            raise ConnectionResetError("the process that forks workers is gone")
        answer = json.loads(text)
        if "error" in answer:
            raise PipelineError(
                f"the process that forks workers: {answer['error']}", code=FAILED
            )
        return answer, list(given)

    def close(self) -> None:
        """Ends it and the workers that are left, and waits for it."""
        self.socket.close()
        try:
            self.process.wait(timeout=10)
        except Exception:
            self.process.kill()
            self.process.wait()


def _options() -> list[str]:
    """The interpreter's own, as a child is to have them."""
    import subprocess

    return subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined, no-any-return]


_lock = allocate_lock()
# Protected by _lock.
_zygote: _Zygote | None = None
_imports: list[str] = []


def _current() -> _Zygote:
    """The zygote, started if there is none. With _lock held."""
    global _zygote
    if _zygote is not None and _zygote.process.poll() is not None:
        _zygote.socket.close()
        _zygote = None
    if _zygote is None:
        import atexit

        _zygote = _Zygote()
        atexit.unregister(close)
        atexit.register(close)
        imports = [*_imports, *(name for name in SHARED if name in sys.modules)]
        if imports:
            _zygote.ask({"do": "warm", "imports": imports})
    return _zygote


def _forget() -> None:
    """In the child of a fork: the zygote is the parent's."""
    global _zygote, _lock
    _lock = allocate_lock()
    if _zygote is not None:
        _zygote.socket.close()
        _zygote.process.returncode = 0  # not ours to wait for
        _zygote = None


os.register_at_fork(after_in_child=_forget)


def close() -> None:
    """Ends the zygote and all workers. The next one that is needed starts it anew."""
    global _zygote
    with _lock:
        zygote, _zygote = _zygote, None
    if zygote is not None:
        zygote.close()


def is_there() -> bool:
    """True where a worker is forked at once; False: the zygote is to be started first."""
    zygote = _zygote
    return zygote is not None and zygote.process.poll() is None


def start() -> None:
    """Starts the zygote if there is none; takes as long as an interpreter does."""
    with _lock:
        _current()


def warm(imports: Sequence[str]) -> None:
    """Has modules imported before workers are forked, which then share their memory.

    Raises
    ------
    PipelineError
        One cannot be imported; what it raised is in the message.
    """
    with _lock:
        new = [name for name in imports if name not in _imports]
        if len(_imports) + len(new) > IMPORTS_MAX:
            raise PipelineError(f"{len(_imports) + len(new)} imports, want at most {IMPORTS_MAX}")
        _current().ask({"do": "warm", "imports": new})
        _imports.extend(new)


def fork(fds: Sequence[int], limits: dict[str, Any]) -> Process:
    """A worker on the other side of a link; takes the descriptors of that."""
    try:
        with _lock:
            zygote = _current()
            answer, given = zygote.ask({"do": "fork", "limits": limits}, fds)
    finally:
        for fd in fds:
            os.close(fd)
    return Process(answer["pid"], given[0], zygote)
