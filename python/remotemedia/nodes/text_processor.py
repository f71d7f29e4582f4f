"""`TextProcessorNode`: what is asked of a text, by the names of operations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..node import Node, NodeSpec, Port
from ._convention import error_dict, processed_by

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["TextProcessorNode"]


def _word(text: str, index: int) -> str:
    words = text.split()
    return words[index] if words else ""


OPERATIONS: dict[str, Callable[[str], Any]] = {
    "uppercase": str.upper,
    "lowercase": str.lower,
    "reverse": lambda text: text[::-1],
    "word_count": lambda text: len(text.split()),
    "char_count": len,
    "title_case": str.title,
    "remove_spaces": lambda text: text.replace(" ", ""),
    "first_word": lambda text: _word(text, 0),
    "last_word": lambda text: _word(text, -1),
}


class TextProcessorNode(Node):
    """Applies operations to a text, each to the text as it came.

    ``{"text": …, "operations": ["uppercase", …]}`` gives ``{"original_text", "operations",
    "results": {operation: result}, "processed_by", "node_config"}``. Without ``operations`` it is
    ``["uppercase"]``; a str is a text without operations. An operation that is not known has the
    result ``"unknown_operation_<name>"``. Anything else gives ``{"error", "input",
    "processed_by"}``.
    """

    spec = NodeSpec(
        "TextProcessorNode",
        "Apply operations to a text, by their names",
        inputs=(Port("input", None, "texts, or dicts with a text and operations"),),
        outputs=(Port("output", None, "dicts with the results"),),
        params=(),
        example="test.tone duration_ms=1000 ! TextProcessorNode ! json.write path=-",
        other_params=True,
    )
    stateless = True

    def process(self, data: Any) -> dict[str, Any]:
        """Returns the results, or what was wrong with the item."""
        asked = {"text": data} if isinstance(data, str) else data
        if not isinstance(asked, dict) or not isinstance(asked.get("text"), str):
            return error_dict(self, "Input must be a dict with a str 'text'", input=data)
        text, operations = asked["text"], asked.get("operations") or ["uppercase"]
        if not isinstance(operations, (list, tuple)):
            return error_dict(self, "'operations' must be a list of names", input=data)
        return {
            "original_text": text,
            "operations": operations,
            "results": {operation: _result(operation, text) for operation in operations},
            "processed_by": processed_by(self),
            "node_config": self.config,
        }


def _result(operation: Any, text: str) -> Any:
    function = OPERATIONS.get(operation)
    return function(text) if function else f"unknown_operation_{operation}"
