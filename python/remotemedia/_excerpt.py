"""What an error says of the input that a node failed on: bounded, and without its secrets.

Made only when a node has failed. Nothing of the input is kept but the text.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from .errors import Excerpt
from .media import Audio, Video
from .node import secret_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

TEXT_MAX = 400  # characters of the whole
STRING_MAX = 80
BYTES_MAX = 16
ITEMS_MAX = 8
DEPTH_MAX = 3
INT_BITS_MAX = 256
HIDDEN = "***"


def excerpt(value: Any, node: object) -> Excerpt:
    """The excerpt of what a node was given; ``node``: whose secrets are left out."""
    inner = getattr(node, "node", node)  # what a stand-in stands for
    text = _Text(secret_names(inner)).of(value, 0)
    return Excerpt(_type_text(value), _shape(value), _cut(text, TEXT_MAX))


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _is_array(value: Any) -> bool:
    return isinstance(getattr(value, "shape", None), tuple) and hasattr(value, "dtype")


def _type_text(value: Any) -> str:
    name = type(value).__qualname__
    return _cut(f"{name} {value.dtype}" if _is_array(value) else name, STRING_MAX)


def _shape(value: Any) -> tuple[int, ...] | None:
    if isinstance(value, Video):
        return (value.height, value.width)
    array: Any = value.samples if isinstance(value, Audio) else value
    if _is_array(array):
        return tuple(int(n) for n in array.shape)
    known = (str, bytes, bytearray, memoryview, list, tuple, dict, set, frozenset)
    return (len(value),) if isinstance(value, known) else None


class _Text:
    """A value as text; what stands under a secret name is hidden."""

    def __init__(self, secrets: frozenset[str]) -> None:
        self.secrets = secrets
        self.forms: list[tuple[Any, Callable[[Any, int], str]]] = [
            ((bool, float, complex, type(None)), lambda value, depth: repr(value)),
            (int, lambda value, depth: self.integer(value)),
            (str, lambda value, depth: _quoted(value)),
            ((bytes, bytearray, memoryview), lambda value, depth: _hex(value)),
            (dict, self.mapping),
            (tuple, self.row),
            (list, lambda value, depth: f"[{self.items(value, depth)}]"),
            ((set, frozenset), lambda value, depth: f"{{{self.items(value, depth)}}}"),
        ]

    def of(self, value: Any, depth: int) -> str:
        """Never raises: a value that cannot be looked at is told by its type."""
        if depth > DEPTH_MAX:
            return "…"
        try:
            return self.known(value, depth)
        except Exception:
            return f"<{type(value).__qualname__}>"

    def known(self, value: Any, depth: int) -> str:
        if _is_array(value):
            return self.array(value)
        fields = _fields(value)
        if fields is not None:
            inside = self.pairs(fields, depth, "{}={}")
            return f"{type(value).__qualname__}({inside})"
        for types, form in self.forms:
            if isinstance(value, types):
                return form(value, depth)
        if self.secrets:  # its repr() could tell them
            return f"<{type(value).__qualname__}>"
        return _cut(repr(value), STRING_MAX)

    def integer(self, value: int) -> str:
        bits = int.bit_length(value)
        return f"<int of {bits} bits>" if bits > INT_BITS_MAX else int.__repr__(value)

    def mapping(self, value: dict[Any, Any], depth: int) -> str:
        return f"{{{self.pairs(value.items(), depth, '{}: {}', self.key)}}}"

    def key(self, key: Any) -> str:
        return self.of(key, DEPTH_MAX)

    def row(self, value: tuple[Any, ...], depth: int) -> str:
        comma = "," if len(value) == 1 else ""
        return f"({self.items(value, depth)}{comma})"

    def pairs(
        self,
        rows: Iterable[tuple[Any, Any]],
        depth: int,
        form: str,
        key_text: Callable[[Any], str] = str,
    ) -> str:
        parts = []
        for key, value in islice(rows, ITEMS_MAX + 1):
            secret = isinstance(key, str) and key.lower() in self.secrets
            text = HIDDEN if secret else self.of(value, depth + 1)
            parts.append(form.format(key_text(key), text))
        return _joined(parts)

    def items(self, values: Iterable[Any], depth: int) -> str:
        return _joined([self.of(value, depth + 1) for value in islice(values, ITEMS_MAX + 1)])

    def array(self, value: Any) -> str:
        names = getattr(value.dtype, "names", None)
        if names and any(name.lower() in self.secrets for name in names):
            return HIDDEN
        first = islice(value.flat, ITEMS_MAX + 1)  # no copy, however it is strided
        return f"[{_joined([_cut(str(item), STRING_MAX) for item in first])}]"


def _joined(parts: list[str]) -> str:
    if len(parts) > ITEMS_MAX:
        parts = [*parts[:ITEMS_MAX], "…"]
    return ", ".join(parts)


def _quoted(value: str) -> str:
    text = str.__str__(value)
    return repr(text[:STRING_MAX]) + ("…" if len(text) > STRING_MAX else "")


def _hex(value: bytes | bytearray | memoryview) -> str:
    view = memoryview(value)
    if not view.contiguous:
        return f"<{view.nbytes} bytes>"
    head = view.cast("B")[:BYTES_MAX].tobytes().hex(" ")
    return head + (" …" if view.nbytes > BYTES_MAX else "")


def _fields(value: Any) -> list[tuple[str, Any]] | None:
    """Names and values of what has names: our media, a named tuple, an object; None: has none."""
    cls = type(value)
    if isinstance(value, (Audio, Video)):
        names = ["samples", "rate_hz"] if isinstance(value, Audio) else ["fourcc", "planes"]
        names += ["pts_ns", "metadata"]
        return [(name, getattr(value, name)) for name in names]
    if isinstance(value, tuple) and isinstance(getattr(cls, "_fields", None), tuple):
        return list(zip(cls._fields, value, strict=False))
    plain = (int, float, complex, str, bytes, bytearray, dict, list, tuple, set, frozenset)
    if isinstance(value, (*plain, type, BaseException)):
        return None
    slots = [name for base in cls.__mro__ for name in _slots(base)]
    own = getattr(value, "__dict__", None)
    if own is None and not slots:
        return None
    there = [(name, getattr(value, name)) for name in slots if hasattr(value, name)]
    return there + list((own or {}).items())


def _slots(cls: type) -> list[str]:
    slots = cls.__dict__.get("__slots__", ())
    names = [slots] if isinstance(slots, str) else list(slots)
    return [name for name in names if not name.startswith("__")]
