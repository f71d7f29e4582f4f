"""`TextTransformNode`: a function of one's own, applied to text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import VALUE_NOT_ACCEPTABLE, ConfigurationError
from ..node import Node, NodeSpec, Param, Port

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["TextTransformNode"]


class TextTransformNode(Node):
    """Applies a function to a str, or to the first element of a tuple; all else passes.

    Parameters
    ----------
    transform_func : callable
        Gets the text; what it returns takes its place.

    Raises
    ------
    ConfigurationError
        ``transform_func`` cannot be called.
    """

    spec = NodeSpec(
        "TextTransformNode",
        "Apply a function of the program to text",
        inputs=(Port("input", None, "texts; all else passes"),),
        outputs=(Port("output", None, "the same, changed"),),
        params=(
            Param("transform_func", "json", required=True, summary="a function of the program"),
        ),
        example="test.tone duration_ms=1000 ! TextTransformNode transform_func=null "
        "! json.write path=-",
        other_params=True,
    )

    def __init__(self, transform_func: Callable[[Any], Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not callable(transform_func):
            raise ConfigurationError(
                f"transform_func is {transform_func!r}, want a function", code=VALUE_NOT_ACCEPTABLE
            )
        self.transform_func = transform_func

    def process(self, data: Any) -> Any:
        """Returns the item with the text changed."""
        if isinstance(data, str):
            return self.transform_func(data)
        if isinstance(data, tuple) and data:
            return (self.transform_func(data[0]), *data[1:])
        return data
