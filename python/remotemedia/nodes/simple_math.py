"""`MultiplyNode` and `AddNode`: one operation with a fixed number."""

from __future__ import annotations

from typing import Any

from ..node import Node, NodeSpec, Param, Port

__all__ = ["AddNode", "MultiplyNode"]


class MultiplyNode(Node):
    """Multiplies numbers and arrays, and each element of a list, by ``factor``.

    Parameters
    ----------
    factor : number
        Strings and tuples are repeated where it is an int, as in Python.
    """

    spec = NodeSpec(
        "MultiplyNode",
        "Multiply numbers by a factor",
        inputs=(Port("input", None, "numbers, arrays, lists"),),
        outputs=(Port("output", None, "the products"),),
        params=(
            Param("factor", "json", 2.0, summary="what is multiplied by"),
        ),
        example="test.tone duration_ms=1000 ! MultiplyNode factor=3 ! json.write path=-",
        other_params=True,
    )
    stateless = True

    def __init__(self, factor: Any = 2.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = factor

    def process(self, data: Any) -> Any:
        """Returns the product."""
        if type(data) is list:
            return [item * self.factor for item in data]
        return data * self.factor


class AddNode(Node):
    """Adds ``addend`` to numbers and arrays, and to each element of a list.

    Parameters
    ----------
    addend : number
        What is added.
    """

    spec = NodeSpec(
        "AddNode",
        "Add a number to numbers",
        inputs=(Port("input", None, "numbers, arrays, lists"),),
        outputs=(Port("output", None, "the sums"),),
        params=(
            Param("addend", "json", 0.0, summary="what is added"),
        ),
        example="test.tone duration_ms=1000 ! AddNode addend=1 ! json.write path=-",
        other_params=True,
    )
    stateless = True

    def __init__(self, addend: Any = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.addend = addend

    def process(self, data: Any) -> Any:
        """Returns the sum."""
        if type(data) is list:
            return [item + self.addend for item in data]
        return data + self.addend
