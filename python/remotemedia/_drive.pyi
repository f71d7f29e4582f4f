from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar

from ._core import Plan, Session
from ._memory import Tracer

Raised = TypeVar("Raised", bound=BaseException)

__all__ = ["Stream", "run", "run_sync"]

GRACE_S: float
OVER: tuple[int, int]
OWN: tuple[str, ...]

translate: Callable[[BaseException, str | None, int | None], BaseException]

def from_node_on(error: Raised) -> Raised: ...
async def run(
    plan: Plan,
    feed: Mapping[str, object],
    collect: Mapping[str, list[Any] | Callable[[Any], object]],
    given: Mapping[str, object] | None = None,
    *,
    memory_bytes_max: int = 0,
    on_session: Callable[[Session], object] | None = None,
    news: Callable[[Session], object] | None = None,
    keep: Mapping[str, Any] | None = None,
    trace: Tracer | None = None,
) -> None: ...
def run_sync(
    plan: Plan,
    feed: Mapping[str, object],
    collect: Mapping[str, list[Any] | Callable[[Any], object]],
    given: Mapping[str, object] | None = None,
    *,
    memory_bytes_max: int = 0,
    on_session: Callable[[Session], object] | None = None,
    news: Callable[[Session], object] | None = None,
    keep: Mapping[str, Any] | None = None,
    trace: Tracer | None = None,
) -> None: ...

class Untimely(Exception): ...

class Stream:
    session: Session
    def __init__(
        self,
        plan: Plan,
        inputs: Sequence[str],
        outputs: Sequence[str],
        *,
        given: Mapping[str, object] | None = None,
        memory_bytes_max: int = 0,
        news: Callable[[Session], object] | None = None,
        keep: Mapping[str, Any] | None = None,
        trace: Tracer | None = None,
    ) -> None: ...
    async def __aenter__(self) -> Stream: ...
    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...
    async def push(self, node: str, item: object) -> None: ...
    async def pull(self, node: str) -> Any: ...
    def end(self, node: str) -> None: ...
    def interrupt(self, node: str | None = None) -> None: ...
    def has(self, node: object) -> str | None: ...
    async def change(
        self,
        words: list[tuple[str, str | None, str | None, str | None]],
        given: Mapping[str, object],
    ) -> int: ...
