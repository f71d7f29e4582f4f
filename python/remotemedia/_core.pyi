"""The C extension: registry, graph, plan and session of libremotemedia, and the host of Python nodes.

It checks arguments, moves values and maps errors; policy lives in the pure-Python files. What runs a
session (initialize, run, cleanup, cancel) is ``remotemedia._drive``, made of these parts::

    Registry --> Graph.parse / inline --> Graph.plan --> Plan --> Session(plan) --> _drive.run()

Threads: a Session belongs to the thread that made it (its event loop); ``interrupt`` and ``cancel``
may be called from any thread. After ``os.fork()`` the child's sessions are dead and
say so.
"""

from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any, Final, Literal, Protocol, final

from _typeshed import structseq
from typing_extensions import Self

__version__: Final[str]

class Error(Exception):
    """What went wrong, where, and what would mend it. Base of all errors of this package.

    ``code`` is the stable number (301 prints as E0301), ``status`` the C name ("RM_ENOENT"),
    ``node`` the id of the node or None, ``item`` the item's number from 1 or None, ``help`` what
    would mend it or "". ``findings`` is not empty where a document was checked (a list). The text of
    the exception is "E0301: message", and "help: …" on a line of its own.
    """

    code: int
    status: str
    message: str
    help: str
    node: str | None
    item: int | None
    findings: Sequence[Finding]

@final
class Block:
    """Memory of a link as a buffer: of `Link.alloc` writable, of what came read-only."""

    def __buffer__(self, flags: int, /) -> memoryview: ...
    def __len__(self) -> int: ...

@final
class Link:
    """One side of a link to another process.

    Messages of up to 256 bytes and 4 buffers, in order, in both directions; remotemedia/ipc.h says all.
    Threads: one at a time.
    """

    @classmethod
    def make(
        cls, *, capacity: int = 64, pool_bytes_max: int = 0
    ) -> tuple[Link, tuple[int, int, int, int]]:
        """A link, and the descriptors for the other side; the caller closes these.

        ``capacity``: messages on their way in one direction, 1 to 4096. ``pool_bytes_max``: of buffers
        in one direction, bytes; 0: 1 GiB. The system gives them as they are needed.
        """

    @classmethod
    def attach(cls, fds: tuple[int, int, int, int], /) -> Link:
        """The other side; takes the descriptors. Raises `Error` where they are no link's."""

    def alloc(self, bytes: int, /) -> Block:
        """Memory that `send` does not copy. Raises `Error` (RM_ENOMEM) where the pool is used up."""

    def send(self, head: bytes, parts: tuple[Any, ...], /) -> bool:
        """Sends a message; False: no credit, then nothing is sent.

        Raises EOFError where the peer wants nothing more, `Error` where it is gone or memory is.
        """

    def receive(self) -> tuple[bytes, tuple[Block, ...]] | None:
        """The next message; None: nothing has come.

        Raises EOFError at its end, `Error` where the peer is gone or wrote what cannot be.
        """

    def acknowledge(self) -> None:
        """All that was received is dealt with; the sender gets its credits back."""

    def interrupt(self) -> None:
        """Drops what was sent from this side and not received yet."""

    def end(self) -> None:
        """Nothing more is to come from this side."""

    def fileno(self) -> int:
        """Readable when the peer has something for a side that sleeps."""

    def socket(self) -> int:
        """Readable when `look` is to be called."""

    def sleep(self) -> bool:
        """True: wait for `fileno`, the peer will write to it. False: look again at once."""

    def wake(self) -> None:
        """After a sleep, or in place of one."""

    def look(self) -> bool:
        """Maps what memory the peer has added; False: the peer is gone."""

    def renew(self) -> tuple[int, int, int, int]:
        """Descriptors for a new peer, which receives what the one that died did not acknowledge."""

    def close(self) -> None:
        """The peer sees it. Blocks stay as long as they are used."""

@final
class Finding(structseq[Any], tuple[str, int, int, int, str, str, str]):
    """One finding about a manifest: a named tuple."""

    __match_args__: Final = (
        "severity",
        "code",
        "line",
        "column",
        "pointer",
        "message",
        "help",
    )

    severity: Literal["error", "warning"]
    code: int
    line: int  # from 1; 0: no place
    column: int
    pointer: str  # JSON Pointer
    message: str
    help: str

@final
class NodeType:
    """A node type whose code is Python; a resolver returns one, see `Registry`.

    Parameters
    ----------
    make : callable without arguments, or None
        Returns the node object; called once for each session. A live object is given by
        ``lambda: obj``.
    name, summary : str
    inputs, outputs : sequence of (name, formats)
        ``formats`` is format.h's text or None for anything. Default: one port "input", one
        "output". No input: the node is a source, its ``process()`` is called without argument once
        and returns an iterable, iterator or async iterator.
    params : sequence of mappings, or None
        Keys name, kind ("bool" "int" "float" "string" "enum" "json"), default, min, max, unit,
        choices (sequence of str), summary, required, live. They are checked at planning. None: any
        parameter is accepted.
    other_params : True: parameters of any other name are accepted, too; one that looks like a slip
        of a name in ``params`` gets a warning.
    live : True: a source that cannot wait, whose ``overrun()`` is called where nothing it gives has room.
    keeps : True: its nodes are part of checkpoints, with what their ``save()`` gives and ``load(state)``
        takes, or without a state.
    process : True: what the makers give calls code in a process of its own. pure : True: it keeps no
        state, so that it may then run in several copies.
    merge : "any" or "zip" — see the manifest; with several input ports `process` gets a tuple.
    blocking : True: always on a thread of its own; False: always on the caller's loop; None: decided
        by measuring.
    """

    def __new__(
        cls,
        make: Callable[[], object] | None,
        *,
        name: str,
        summary: str = "",
        inputs: Sequence[tuple[str, str | None]] | None = None,
        outputs: Sequence[tuple[str, str | None]] | None = None,
        params: Sequence[Mapping[str, Any]] | None = None,
        example: str = "",
        blocking: bool | None = None,
        other_params: bool = False,
        live: bool = False,
        keeps: bool = False,
        pure: bool = False,
        process: bool = False,
    ) -> Self: ...
    @property
    def name(self) -> str: ...
    @property
    def make(self) -> Callable[[], object] | None: ...

_Resolver = Callable[[dict[str, Any]], NodeType | None]

@final
class Registry:
    """Which node types exist.

    ``resolve`` is asked at planning for each node that is not native. It gets a dict with ``id``,
    ``node_type``, ``code`` (str or None), ``params`` (JSON text), ``node`` (JSON text of the whole
    node) and ``instance`` (the n of ``{"$python": n}``, 0: none), and returns a `NodeType`, or None:
    not mine. An exception that it raises ends the planning and is the cause of the Error.

    Two types are built in for feeding and collecting without a push for each item: ``python.feed``
    (no input, one output) and ``python.collect`` (one input), see `Session.feed` and
    `Session.collect`.
    """

    def __new__(cls, resolve: _Resolver | None = None) -> Self: ...
    def load(self, path: str, /) -> None: ...
    def load_all(self) -> list[tuple[str, Error]]:
        """Loads every module of the module path; returns those that failed, and why."""
    def names(self) -> list[str]:
        """The types known so far, sorted."""
    def describe(self, name: str, /) -> dict[str, Any]:
        """A type, loading its module if needed.

        Keys name, summary, example, flags (list of "blocks" "heavy" "pure" "live" "python" "late"
        "other_params"),
        origin, inputs, outputs (lists of dicts name, formats, same_as, summary, emit_max), params
        (list of dicts name, kind, flags, default (JSON text or None), min, max, unit, choices,
        summary).
        """
    def schema(self, name: str, /) -> str:
        """A JSON Schema (2020-12) of the type's parameters, as text."""

@final
class Graph:
    """A parsed manifest. Immutable."""

    @classmethod
    def parse(cls, text: str | bytes, /, folder: str | None = None) -> Graph:
        """Raises `Error` with all findings. ``folder``: where files that it names are."""
    @classmethod
    def check(cls, text: str | bytes, /) -> tuple[Graph | None, list[Finding]]:
        """As `parse`, without raising; warnings are among the findings."""
    @classmethod
    def inline(cls, text: str, /) -> Graph: ...
    def to_json(self) -> str: ...
    def set_param(self, node: str, name: str, value: str, /) -> Graph:
        """A new graph. ``value`` is a JSON value, or else taken as a string."""
    def plan(self, registry: Registry, *, media_threads: int = 0) -> Plan:
        """Raises `Error` with all findings."""
    @property
    def name(self) -> str: ...
    @property
    def nodes(self) -> list[dict[str, Any]]:
        """Dicts id, name, node_type, params (JSON text), line, column."""
    @property
    def edges(self) -> list[dict[str, Any]]:
        """Dicts from, to (node ids), from_port, to_port (str or None), capacity, policy."""

@final
class Plan:
    """Formats, placement and reasons, fixed before anything opens. Keeps graph and registry alive."""

    def to_json(self) -> str:
        """The plan with the reason of each choice, as `remotemedia explain --json` prints it."""
    @property
    def findings(self) -> list[Finding]:
        """Warnings of parsing and planning."""
    @property
    def python_nodes(self) -> list[tuple[str, NodeType]]:
        """Ids and types of the nodes whose code is Python, in rank order."""
    @property
    def python_fallbacks(self) -> list[tuple[str, NodeType]]:
        """Ids and types of those that take over, in Python, what a place refuses."""
    @property
    def connected_outputs(self) -> dict[str, list[str]]:
        """Names of the connected outputs of each Python node that has several, by its id."""
    @property
    def native_only(self) -> bool: ...

# What Session.step() and Session.state say.
MORE: Final[int]  # the slice is over, call again
PENDING: Final[int]  # wait for the wake descriptor, a timer, or a node's task
DONE: Final[int]
FAILED: Final[int]

_Failure = tuple[BaseException, str | None, int | None, Any, int]

class _Runner(Protocol):
    """A node of a session."""

    @property
    def id(self) -> str: ...

@final
class Numbers:
    """The numbers of a session at one moment; they outlive it."""

    def json(self) -> str:
        """The numbers as JSON text: rm_session_metrics() of session.h."""

@final
class Session:
    """One running instance of a plan. Use `_drive` unless you write a driver.

    ``nodes`` maps the id of each Python node of the plan, and of its Python fallbacks, to its object. With several outputs its
    ``process()`` gives ``(port, item)`` or a dict of ports and items. ``memory_bytes_max``: 0 stands for 256 MiB.
    """

    def __new__(
        cls, plan: Plan, nodes: Mapping[str, object], *, memory_bytes_max: int = 0
    ) -> Self: ...

    # before open()
    def feed(self, node: str, source: object, /) -> None:
        """What the ``python.feed`` node reads: a list or tuple (read in place, no call for each
        item), any iterable, an async iterable, or None for a queue that `push` fills."""
    def collect(self, node: str, results: list[Any] | Callable[[Any], object] | None, /) -> None:
        """Where the ``python.collect`` node puts what arrives: appended to a list, given to a
        function, or (None) into a queue that `pull` empties."""
    def attach(self, loop: object, /) -> None:
        """Gives the session its event loop: before `call`, or when `run` came back without an end,
        because a node turned out to be async; `start` goes on then."""
    def call(
        self,
        node: str | _Runner,
        callable: Callable[[], Any] | None,
        done: object | None,
        inline: bool = False,
        /,
    ) -> tuple[bool, Any]:
        """Calls something of a Python node's (initialize, cleanup) in its context: what is async as
        its task, what is not on a thread, unless ``inline`` is true or there is no loop. (True,
        result), or (False, None): the future ``done`` gets the result or the exception. Raises what
        the callable raised, RuntimeError where the node is still at work."""
    def open(
        self,
        loop: object | None = None,
        checkpoint: str | None = None,
        checkpoint_interval_ms: int = 0,
        record: str | None = None,
        replay: str | None = None,
    ) -> None:
        """Opens all nodes. ``loop``: the running event loop, or None for `run`. ``checkpoint``: the
        folder of checkpoints; None: as the manifest says. ``record``: the file that keeps the run;
        ``replay``: one that is run again instead. Raises `Error` (E0401, E0409 to E0412)."""

    def follow(self, spans_max: int, traceparent: str | None, /) -> None:
        """From `open` on keeps the latest spans of calls, see `spans`. ``traceparent``: the W3C trace
        context that the run is a part of; None: it is a trace of its own."""

    # driving
    def start(self, done: object | None, outer: object | None, /) -> int:
        """Runs the first slice from within task ``outer``. Later slices are scheduled on the loop;
        the end sets the result None of future ``done``. Returns `state`."""
    def run(self) -> int:
        """Without a loop: runs to the end, letting the GIL go while it waits; signal handlers run
        and may raise. Comes back before the end where a node turns out to be async, see `attach`."""
    @property
    def state(self) -> int: ...
    def fileno(self) -> int:
        """The wake descriptor: readable when another thread has something for this session."""

    # two-way sessions
    def push(self, node: str, item: object, /) -> bool:
        """False: the queue is full, wait for `on_room`."""
    def end(self, node: str, /) -> None: ...
    def pull(self, node: str, /) -> tuple[bool, Any]:
        """(True, item), or (False, None): nothing there now, see `state` for the end."""
    def count(self, node: str, /) -> int:
        """Items that were pushed to a feed, or pulled from a collect; those before the checkpoint
        that the session goes on from are counted, too."""
    on_room: Callable[[], object] | None
    on_output: Callable[[], object] | None

    # what happens
    def set_events(self, wanted: bool, /) -> None:
        """Whether `take_events` is to have any, from now on. Thread: any."""
    def take_events(self) -> list[tuple[int, str, str, str, int, int, int, int, int, int, str]]:
        """Since the last call, at most 1,000: rows of kind (rm_event_kind), node, to, reason, count,
        total, time_ns, lost, code, item, message; None for a text that is not there."""
    on_news: Callable[[], object] | None

    # any thread
    def interrupt(self, node: str | None = None, /) -> None:
        """Barge-in: what is queued downstream of ``node`` dies; None: from the sources on."""
    def cancel(self) -> None: ...
    def set_params(self, node: str, params: str | None, objects: dict[str, Any], /) -> None:
        """``params``: JSON text, None: there is none. ``objects``: the same for a live object."""
    def plan_change(
        self, words: list[tuple[str, str | None, str | None, str | None, dict[str, Any] | None]], /
    ) -> list[tuple[str, NodeType, list[str] | None]]:
        """Plans a change by all of the words: (what, its texts, its parameters), as in change.h. The new Python nodes
        in rank order: id, type, and the names of the connected outputs of one that has several.
        One change at a time. Thread of this and the following: the session's."""
    def add_nodes(
        self, nodes: Mapping[str, object], heirs: Container[str], /
    ) -> dict[str, _Runner]:
        """The objects of the new nodes by id, and which of them get by ``load()`` what ``save()`` of
        those gives in whose place they come. `call` takes a `_Runner` as it takes an id."""
    def change(self) -> tuple[int, list[_Runner]] | str | _Failure:
        """Makes the change that was planned, or says why it is not the moment: again soon. How long
        the session stood still, in ns, and what is out; or why a node failed that was to go."""
    def forget_change(self) -> None:
        """Gives it up; does nothing where none is planned."""
    def drop(self, runner: _Runner, /) -> None:
        """Lets go of a node that is out, or did not come in."""
    def fell_back(self) -> list[str]:
        """Ids of the nodes that run here since a place refused them, once it is open: their
        ``initialize`` is to be called before the first step."""
    def numbers(self) -> Numbers:
        """Those of now; of a closed session the last ones."""
    def announce(self, name: str, /) -> None:
        """From here on, until `close`, `remotemedia top` is told of it under that name, unless the
        environment has REMOTEMEDIA_TOP=0. Once it is open; twice is fine."""
    def spans(self) -> str:
        """Takes the spans of calls since the last time, as JSON text: rm_session_spans() of
        session.h. Once it is closed those that were left, once. RuntimeError: there are none."""

    # the end
    def failure(self) -> _Failure | None:
        """Why it ended: (the exception that a Python node raised, or an `Error`; node; item; what
        `set_excerpt` made of its input, of a native node's a text; how often the item has been tried)."""
    def take_errors(self) -> list[_Failure]:
        """Errors that on_error dealt with since the last call; at most 1,000 are kept."""
    @property
    def busy(self) -> int:
        """Calls that are still running on worker threads."""
    def tasks(self, retire: bool = False, runner: str | _Runner | None = None, /) -> list[Any]:
        """The nodes' long-lived tasks, to be cancelled and awaited. ``retire``: they end with what
        they do now. ``runner``: its alone."""
    def leftovers(self, runner: _Runner | None = None, /) -> list[tuple[str | _Runner, Any]]:
        """Node ids and async generators that were not run to their end, to be closed by
        ``aclose()``; None before one that waits for input: ``call(id, None, done)`` ends that."""
    def close(self) -> None:
        """Frees the native session. Deferred while `busy`."""

# values
@final
class View:
    """A packet's memory as a buffer (PEP 3118); holds a reference to the packet.

    Writable where the packet had one reference and owns its memory, else read-only: an array that
    Python lent to the graph comes back read-only.
    """

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def format(self) -> str: ...
    @property
    def readonly(self) -> bool: ...
    @property
    def address(self) -> int: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

def set_types(
    audio: Callable[..., Any] | None, video: Callable[..., Any] | None
) -> tuple[Callable[..., Any] | None, Callable[..., Any] | None]:
    """How native packets reach Python: ``audio(samples, rate_hz, pts_ns, duration_ns, metadata)``,
    ``video(planes, width, height, fourcc, pts_ns, strides, metadata)``. ``samples`` is an ndarray of
    shape (channels, frames), a `View` where numpy is missing; ``planes`` is a list of memoryviews;
    pts_ns is None where there is none; metadata a dict or None. Without them (None) audio is a tuple
    (samples, rate_hz[, metadata]) and video a dict with those keys. Returns what was set before.

    The other way, an instance of ``audio`` (a subclass of tuple: samples, rate_hz) or of ``video``
    (with these names as attributes) becomes a packet of its kind, as do (samples, rate[, metadata])
    and PyAV's AudioFrame and VideoFrame.
    """

def set_excerpt(
    excerpt: Callable[[Any, object], Any] | None, /
) -> Callable[[Any, object], Any] | None:
    """What is kept of the input that a Python node failed on: ``excerpt(input, node)``, called on
    the session's thread. None: nothing. Returns what was set before."""

def pack(value: object, /) -> bytes:
    """A value of the value model as msgpack (with the extension types of value.h).

    The value model: None, bool, int (to 100,000 digits), float, str, bytes, list, tuple, dict, set,
    datetime, arrays of numbers. Subclasses become what they derive from, a frozenset a set, a bytearray
    bytes, a numpy scalar a number, anything with the buffer protocol or DLPack an array, a dataclass
    a dict of its fields. Raises TypeError naming any other type, ValueError beyond 30 levels or 64 MiB.
    """

def unpack(data: bytes | bytearray | memoryview, /) -> Any:
    """The value. Raises ValueError for bytes that are not one whole value. Arrays are ndarrays of
    their own, a `View` where numpy is missing."""

def code_meaning(code: int, /) -> str:
    """One line about a stable error code, "" for an unknown one."""

def codes() -> list[tuple[int, str]]: ...
def set_log(sink: Callable[[int, str, str], object] | None, filter: str | None = None) -> None:
    """Level (1 error .. 5 trace), topic, message. ``filter`` as REMOTEMEDIA_LOG."""

def module_path() -> list[str]: ...
def is_async(callable: object, /) -> bool:
    """A coroutine function or an async generator function, bound or in a functools.partial."""

def shutdown(grace_s: float = 1.0) -> None:
    """Cancels what runs, waits for the worker threads at most that long, and lets no new work in.
    Runs by itself at interpreter exit."""

def cli(
    argv: Sequence[str],
    registry: Registry,
    run: Callable[..., object],
    /,
) -> int:
    """The `remotemedia` command with these words, the first its name; returns the exit code.

    ``registry``'s resolver is asked for the nodes that are not native. ``run(plan, on_session)`` runs
    a plan to its end and calls ``on_session(session)`` once the session is open; what it raises is
    the error of the run. ``run(plan, on_session, record)``: the session replays that file. The plan
    is good until it returns. One call at a time in a process.
    """
