"""Values of a manifest's parameters: JSON, and keys that start with ``$`` for what JSON lacks.

::

    {"$bytes": base64}  {"$tuple": […]}  {"$set": […]}  {"$float": "nan"}  {"$int": "123…"}
    {"$ndarray": {"dtype", "shape", "data"}}   {"$env": NAME}   {"$$key": …} is the key "$key"
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from .errors import VALUE_NOT_ACCEPTABLE, SerializationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

DEPTH_MAX = 100


def _is_array(value: Any) -> bool:
    return hasattr(value, "__array_interface__") and hasattr(value, "dtype")


def _from_array(value: Any) -> Any:
    from base64 import b64encode

    import numpy as np

    array = np.ascontiguousarray(value)
    if array.dtype.hasobject:
        raise SerializationError(
            f"an array of dtype {array.dtype} holds Python objects", code=VALUE_NOT_ACCEPTABLE
        )
    if array.ndim == 0 and not isinstance(value, np.ndarray):
        return to_json(value.item())  # a numpy scalar
    data = b64encode(array.tobytes()).decode("ascii")
    return {"$ndarray": {"dtype": array.dtype.str, "shape": list(value.shape), "data": data}}


def _from_int(value: int, depth: int) -> Any:
    return int(value) if -(2**63) <= value < 2**63 else {"$int": str(int(value))}


def _from_float(value: float, depth: int) -> Any:
    return float(value) if math.isfinite(value) else {"$float": str(float(value))}


def _from_bytes(value: bytes, depth: int) -> Any:
    from base64 import b64encode

    return {"$bytes": b64encode(value).decode("ascii")}


def _from_dict(value: dict[Any, Any], depth: int) -> Any:
    if not all(isinstance(key, str) for key in value):
        raise SerializationError("a dict has a key that is no str", code=VALUE_NOT_ACCEPTABLE)
    return {
        f"${key}" if key.startswith("$") else key: to_json(item, depth)
        for key, item in value.items()
    }


def _from_items(value: Iterable[Any], depth: int) -> list[Any]:
    return [to_json(item, depth) for item in value]


# What stands in the manifest for a value of these types; bool before int, which it is too.
_FORMS: list[tuple[Any, Callable[[Any, int], Any]]] = [
    ((type(None), bool, str), lambda value, depth: value),
    (int, _from_int),
    (float, _from_float),
    ((bytes, bytearray, memoryview), _from_bytes),
    (dict, _from_dict),
    (list, _from_items),
    (tuple, lambda value, depth: {"$tuple": _from_items(value, depth)}),
    ((set, frozenset), lambda value, depth: {"$set": _from_items(sorted(value, key=repr), depth)}),
]


def to_json(value: Any, depth: int = 0) -> Any:
    """What stands in the manifest for a value.

    Raises
    ------
    SerializationError
        The value is of a type that a manifest cannot hold, or nested more than 100 deep.
    """
    if depth > DEPTH_MAX:
        raise SerializationError(
            f"a value is nested more than {DEPTH_MAX} deep", code=VALUE_NOT_ACCEPTABLE
        )
    for types, convert in _FORMS:
        if isinstance(value, types):
            return convert(value, depth + 1)
    if _is_array(value):
        return _from_array(value)
    if hasattr(value, "__fspath__"):
        return value.__fspath__()
    raise SerializationError(
        f"a {type(value).__name__} does not fit a manifest", code=VALUE_NOT_ACCEPTABLE
    )


def _read_env(name: Any) -> str:
    import os

    if not isinstance(name, str) or name not in os.environ:
        raise SerializationError(
            f"the environment variable {name!r} is not set", code=VALUE_NOT_ACCEPTABLE
        )
    return os.environ[name]


def _read_bytes(text: Any) -> bytes:
    from base64 import b64decode

    return b64decode(text, validate=True)


def _read_array(value: Any) -> Any:
    import numpy as np

    data = np.frombuffer(_read_bytes(value["data"]), np.dtype(value["dtype"]))
    return data.reshape(value["shape"]).copy()


_READERS: dict[str, Callable[[Any], Any]] = {
    "$env": _read_env,
    "$bytes": _read_bytes,
    "$tuple": lambda items: tuple(from_json(item) for item in items),
    "$set": lambda items: {from_json(item) for item in items},
    "$float": float,
    "$int": int,
    "$ndarray": _read_array,
}


def from_json(value: Any) -> Any:
    """The value that stands in a manifest.

    Raises
    ------
    SerializationError
        A ``$`` key that is not known here, or its content is not well formed.
    """
    if isinstance(value, list):
        return [from_json(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((key, content),) = value.items()
        if key in _READERS:
            try:
                return _READERS[key](content)
            except (TypeError, ValueError, KeyError) as error:
                raise SerializationError(
                    f"{key} is not well formed: {error}", code=VALUE_NOT_ACCEPTABLE
                ) from error
    for key in value:
        if key.startswith("$") and not key.startswith("$$"):
            raise SerializationError(f"{key} is not known here", code=VALUE_NOT_ACCEPTABLE)
    return {key.removeprefix("$"): from_json(item) for key, item in value.items()}
