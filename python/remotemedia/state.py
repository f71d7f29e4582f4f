"""What a node remembers of each session: `SessionState`, kept by a `StateManager`.

0.1 had these methods as coroutines, its successor as plain functions: here what they return can be
used as it is, and awaited as well::

    state = await self.get_session_state("call-7")
    state = self.get_session_state("call-7")
    if state:
        state.set("turns", state.get("turns", 0) + 1)
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, TypeVar

from .errors import VALUE_NOT_ACCEPTABLE, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Generator
    from datetime import datetime, timedelta

__all__ = ["NO_STATE", "SessionState", "StateManager"]

SESSIONS_MAX = 100_000  # of one manager that has no bound of its own
METADATA_KEYS = ("session_id", "metadata", "user_name", "timestamp")

T = TypeVar("T")


class _Awaitable:
    """A value that can be awaited, too: that gives itself."""

    __slots__ = ()

    def __await__(self: T) -> Generator[Any, None, T]:
        return self
        yield


class Count(int, _Awaitable):
    """A number; of `StateManager.delete_session` 1 or 0."""


class Sessions(dict[str, Any], _Awaitable):
    """Session id to `SessionState`."""


class _NoState:
    """No state: false, equal to None, and None where it is awaited."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, None]:
        return
        yield

    def __bool__(self) -> bool:
        return False

    def __eq__(self, other: object) -> bool:
        return other is None or isinstance(other, _NoState)

    def __hash__(self) -> int:
        return hash(None)

    def __repr__(self) -> str:
        return "None"


NO_STATE = _NoState()


def _now() -> datetime:
    from datetime import datetime

    return datetime.now()


class SessionState(_Awaitable):
    """What is known of one session.

    Parameters
    ----------
    session_id : str
        Its id.
    data : dict or None
        What `get` and `set` have.
    created_at, last_accessed : datetime or None
        Local time; None: now. `get`, `set`, `update` and `clear` move the second.
    metadata : dict or None
        Free for the program.
    """

    def __init__(
        self,
        session_id: str,
        data: dict[str, Any] | None = None,
        created_at: datetime | None = None,
        last_accessed: datetime | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self.session_id = session_id
        self.data: dict[str, Any] = {} if data is None else data
        self.created_at = created_at or _now()
        self.last_accessed = last_accessed or self.created_at
        self.metadata: dict[str, Any] = {} if metadata is None else metadata

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key."""
        self.update_access_time()
        return self.data.get(key, default)

    def set(self, key: str, value: Any) -> None:
        """Sets the value of a key."""
        self.update_access_time()
        self.data[key] = value

    def update(self, values: dict[str, Any]) -> None:
        """Sets several values."""
        self.update_access_time()
        self.data.update(values)

    def clear(self) -> None:
        """Forgets all values."""
        self.update_access_time()
        self.data.clear()

    def update_access_time(self) -> None:
        """Notes that the session is in use."""
        self.last_accessed = _now()

    def __repr__(self) -> str:
        return f"SessionState(session_id={self.session_id!r}, data={self.data!r})"


class StateManager:
    """The states of the sessions of a node.

    Parameters
    ----------
    default_ttl : timedelta or None
        How long a session is kept that is not used; None: 24 hours.
    max_sessions : int or None
        How many are kept at most: of more the one that was used least lately goes. None: 100,000.
    enable_persistence : bool
        Kept; has no effect, as in 0.1.

    Notes
    -----
    What has expired goes when a session is made or fetched, so nothing runs while nothing happens.
    Threads: one at a time.
    """

    def __init__(
        self,
        default_ttl: timedelta | None = None,
        max_sessions: int | None = None,
        enable_persistence: bool = False,
    ) -> None:
        from datetime import timedelta

        if max_sessions is not None and (not isinstance(max_sessions, int) or max_sessions < 1):
            raise ConfigurationError(
                f"max_sessions is {max_sessions!r}, want an int, 1 or more, or None",
                code=VALUE_NOT_ACCEPTABLE,
            )
        self.default_ttl = default_ttl or timedelta(hours=24)
        self.max_sessions = max_sessions
        self.enable_persistence = enable_persistence
        self._sessions: OrderedDict[str, SessionState] = OrderedDict()

    def _expire(self) -> int:
        """How many went."""
        limit = _now() - self.default_ttl
        expired = [id for id, state in self._sessions.items() if state.last_accessed < limit]
        for id in expired:
            del self._sessions[id]
        return len(expired)

    def _make_room(self) -> None:
        bound = self.max_sessions or SESSIONS_MAX
        while len(self._sessions) >= bound:
            least = min(self._sessions.values(), key=lambda state: state.last_accessed)
            del self._sessions[least.session_id]

    def get_or_create_session(self, session_id: str) -> SessionState:
        """The state of a session; a new one where there is none."""
        state = self._known(session_id)
        if state is None:
            if len(self._sessions) >= (self.max_sessions or SESSIONS_MAX):
                self._expire()
            self._make_room()
            state = self._sessions[session_id] = SessionState(session_id)
        return state

    def _known(self, session_id: str) -> SessionState | None:
        state = self._sessions.get(session_id)
        if state is not None and state.last_accessed < _now() - self.default_ttl:
            del self._sessions[session_id]
            return None
        return state

    def get_session(self, session_id: str) -> SessionState | _NoState:
        """The state of a session; `NO_STATE`, awaited None, where there is none."""
        return self._known(session_id) or NO_STATE

    def delete_session(self, session_id: str) -> Count:
        """1: it was there."""
        return Count(self._sessions.pop(session_id, None) is not None)

    def get_all_sessions(self) -> Sessions:
        """The states by their ids."""
        self._expire()
        return Sessions(self._sessions)

    def clear_all_sessions(self) -> Count:
        """How many there were."""
        count = len(self._sessions)
        self._sessions.clear()
        return Count(count)

    def cleanup_expired_sessions(self) -> Count:
        """How many had expired."""
        return Count(self._expire())

    def start_cleanup_task(self, interval: timedelta | None = None) -> Count:
        """Does nothing: what has expired goes by itself. 0."""
        return Count(0)

    def stop_cleanup_task(self) -> Count:
        """Does nothing. 0."""
        return Count(0)


class Stateful:
    """The part of a node that knows sessions."""

    enable_state: bool = True
    state_ttl: timedelta | None = None
    max_sessions: int | None = None
    _states: StateManager | None = None
    _session_id: str | None = None

    @property
    def state(self) -> StateManager | None:
        """The states of the sessions; None: the node keeps none."""
        if self._states is None and self.enable_state:
            self._states = StateManager(self.state_ttl, self.max_sessions)
        return self._states

    def set_session_id(self, session_id: str | None) -> None:
        """The session that `get_session_state` gives from now on."""
        self._session_id = session_id

    def get_session_id(self) -> str | None:
        """The session that was set, or None."""
        return self._session_id

    def get_session_state(self, session_id: str | None = None) -> SessionState | _NoState:
        """The state of a session, made where there is none.

        Parameters
        ----------
        session_id : str or None
            None: the one of `set_session_id`.

        Returns
        -------
        SessionState
            `NO_STATE`, awaited None, where the node keeps none or no session is named.
        """
        wanted, states = session_id or self._session_id, self.state
        return states.get_or_create_session(wanted) if states and wanted else NO_STATE

    def extract_session_id(self, data: Any) -> str | None:
        """The ``session_id`` of an item: of a dict, or of the last dict of a tuple."""
        told = data
        if isinstance(data, tuple):
            told = next((part for part in reversed(data) if isinstance(part, dict)), None)
        return told.get("session_id") if isinstance(told, dict) else None

    def split_data_metadata(self, data: Any) -> tuple[Any, dict[str, Any] | None]:
        """An item and the metadata at its end.

        Metadata is a dict at the end of a tuple that has ``session_id``, ``metadata``,
        ``user_name`` or ``timestamp``; what is left of a pair is its first element.
        """
        if isinstance(data, tuple) and len(data) > 1 and isinstance(data[-1], dict):
            if any(key in data[-1] for key in METADATA_KEYS):
                return (data[0] if len(data) == 2 else data[:-1]), data[-1]
        return data, None

    def merge_data_metadata(self, data: Any, metadata: dict[str, Any] | None) -> Any:
        """The item with metadata at its end: what `split_data_metadata` took apart."""
        if metadata is None:
            return data
        return (*data, metadata) if isinstance(data, tuple) else (data, metadata)
