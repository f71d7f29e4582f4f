"""Values as bytes, as 0.1 has them: `JSONSerializer` and `PickleSerializer`."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from typing import Any

from ..errors import SerializationError

__all__ = ["JSONSerializer", "PickleSerializer", "Serializer"]


class Serializer(ABC):
    """Makes bytes of a value, and the value of bytes."""

    @abstractmethod
    def serialize(self, data: Any) -> bytes:
        """Returns the bytes; SerializationError where the value has none."""

    @abstractmethod
    def deserialize(self, data: bytes) -> Any:
        """Returns the value; SerializationError where the bytes are not well formed."""


class JSONSerializer(Serializer):
    """UTF-8 JSON: tuples become lists, arrays and other objects have no form."""

    def serialize(self, data: Any) -> bytes:
        """Returns the bytes."""
        try:
            return json.dumps(data, ensure_ascii=False).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise SerializationError(f"a value has no form in JSON: {error}") from error

    def deserialize(self, data: bytes) -> Any:
        """Returns the value."""
        try:
            return json.loads(data)
        except (ValueError, RecursionError) as error:
            raise SerializationError(f"bytes are not well-formed JSON: {error}") from error


class PickleSerializer(Serializer):
    """Pickle. Bytes from elsewhere can run any code: give it none that you do not trust."""

    def serialize(self, data: Any) -> bytes:
        """Returns the bytes."""
        import pickle

        try:
            return pickle.dumps(data)
        except Exception as error:
            raise SerializationError(f"a value cannot be pickled: {error}") from error

    def deserialize(self, data: bytes) -> Any:
        """Returns the value."""
        import pickle

        try:
            return pickle.loads(data)
        except Exception as error:
            raise SerializationError(f"bytes are no pickle: {error}") from error
