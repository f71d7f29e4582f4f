"""Plain objects with arguments."""

from __future__ import annotations

from typing import Any

__all__ = ["Counter", "DataProcessor"]


class Counter:
    """Counts from a value on."""

    def __init__(self, initial_value: int = 0) -> None:
        self.value = initial_value

    def increment(self) -> int:
        """Adds 1 and returns the value."""
        return self.add(1)

    def get_value(self) -> int:
        """Returns the value."""
        return self.value

    def add(self, amount: int) -> int:
        """Adds to the value and returns it."""
        self.value += amount
        return self.value


class DataProcessor:
    """Says what it was given."""

    def __init__(self, mode: str = "fast") -> None:
        self.mode = mode
        self.processed_count = 0

    def process(self, data: Any) -> str:
        """Counts the call and returns a sentence."""
        self.processed_count += 1
        return f"Processed '{data}' in {self.mode} mode"

    def get_stats(self) -> dict[str, Any]:
        """Returns mode and count."""
        return {"mode": self.mode, "processed_count": self.processed_count}
