from asyncio import AbstractEventLoop
from collections.abc import Mapping
from typing import Any

TRY_S: float
PAUSE_S: float

async def change(
    work: Any,
    loop: AbstractEventLoop,
    words: list[tuple[str, str | None, str | None, str | None]],
    given: Mapping[str, object],
) -> int: ...
