"""One class for each kind of method."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

__all__ = [
    "AsyncGeneratorMethods",
    "AsyncMethods",
    "GeneratorMethods",
    "MixedMethods",
    "SpecialMethods",
    "SyncMethods",
]

DELAY_S = 0.1


async def _pause(seconds: float) -> None:
    import asyncio

    await asyncio.sleep(seconds)


class SyncMethods:
    """Plain methods."""

    def __init__(self) -> None:
        self.counter = 0

    def add(self, x: Any, y: Any) -> Any:
        """Returns x + y."""
        return x + y

    def increment(self) -> int:
        """Adds 1 to the counter and returns it."""
        self.counter += 1
        return self.counter

    def get_counter(self) -> int:
        """Returns the counter."""
        return self.counter


class AsyncMethods:
    """Coroutines."""

    def __init__(self) -> None:
        self.data: list[Any] = []

    async def async_add(self, x: Any, y: Any) -> Any:
        """Returns x + y, 0.1 s later."""
        await _pause(DELAY_S)
        return x + y

    async def fetch_data(self, item: Any) -> str:
        """Keeps an item and returns ``"Fetched: …"``."""
        await _pause(DELAY_S)
        self.data.append(item)
        return f"Fetched: {item}"

    async def get_all_data(self) -> list[Any]:
        """Returns the items."""
        return self.data


class GeneratorMethods:
    """Generators."""

    def __init__(self) -> None:
        self.max_value = 10

    def count_up_to(self, n: int) -> Iterator[int]:
        """Yields 1 to n, to ``max_value`` at most."""
        yield from range(1, min(n, self.max_value) + 1)

    def fibonacci(self, n: int) -> Iterator[int]:
        """Yields the first n numbers of Fibonacci, from 0."""
        a, b = 0, 1
        for _ in range(n):
            yield a
            a, b = b, a + b

    def get_squares(self) -> Iterator[int]:
        """Yields the squares of 0 to ``max_value`` - 1."""
        yield from (n * n for n in range(self.max_value))


class AsyncGeneratorMethods:
    """Async generators."""

    def __init__(self) -> None:
        self.delay = DELAY_S

    async def async_count(self, n: int) -> AsyncIterator[int]:
        """Yields 0 to n - 1, one each ``delay`` seconds."""
        for number in range(n):
            await _pause(self.delay)
            yield number

    async def stream_data(self, items: Iterable[Any]) -> AsyncIterator[str]:
        """Yields ``"Processed: …"`` for each item."""
        for item in items:
            await _pause(self.delay)
            yield f"Processed: {item}"

    async def infinite_stream(self) -> AsyncIterator[int]:
        """Yields 0, 1, 2 … without end."""
        number = 0
        while True:
            await _pause(self.delay)
            yield number
            number += 1


class MixedMethods:
    """All kinds in one."""

    def __init__(self, name: str = "Mixed") -> None:
        self.name = name
        self.history: list[str] = []

    def sync_method(self, value: Any) -> str:
        """Returns a sentence at once."""
        self.history.append(f"sync: {value}")
        return f"{self.name} processed {value}"

    async def async_method(self, value: Any) -> str:
        """Returns a sentence after a pause."""
        await _pause(DELAY_S)
        self.history.append(f"async: {value}")
        return f"{self.name} async processed {value}"

    def generate_items(self, n: int) -> Iterator[str]:
        """Yields n names."""
        yield from (f"{self.name}-item-{i}" for i in range(n))

    async def async_generate(self, n: int) -> AsyncIterator[str]:
        """Yields n names, with pauses."""
        for i in range(n):
            await _pause(DELAY_S)
            yield f"{self.name}-async-item-{i}"

    @property
    def status(self) -> dict[str, Any]:
        """Name, and how much it did."""
        return {"name": self.name, "history_count": len(self.history)}

    @staticmethod
    def static_add(x: Any, y: Any) -> Any:
        """Returns x + y."""
        return x + y

    @classmethod
    def create_named(cls, name: str) -> MixedMethods:
        """Returns one of that name."""
        return cls(name)

    def get_history(self) -> list[str]:
        """Returns what was done."""
        return self.history


class SpecialMethods:
    """Methods that operators call."""

    def __init__(self, value: int = 0) -> None:
        self.value = value

    def __str__(self) -> str:
        return f"SpecialMethods(value={self.value})"

    def __repr__(self) -> str:
        return f"SpecialMethods({self.value})"

    def __add__(self, other: Any) -> SpecialMethods:
        amount = other.value if isinstance(other, SpecialMethods) else other
        return SpecialMethods(self.value + amount)

    def __len__(self) -> int:
        return self.value

    def __getitem__(self, key: Any) -> str:
        return f"item_{key}_{self.value}"

    def __call__(self, x: Any) -> Any:
        return self.value * x

    def increment(self) -> int:
        """Adds 1 and returns the value."""
        self.value += 1
        return self.value
