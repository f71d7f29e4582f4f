"""`CalculatorNode`: arithmetic on numbers, or on dicts that say what is to be done."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

from ..errors import VALUE_NOT_ACCEPTABLE, ConfigurationError
from ..node import Node, NodeSpec, Param, Port
from ._convention import error_dict, processed_by

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CalculatorNode"]

OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "add": operator.add,
    "multiply": operator.mul,
    "subtract": operator.sub,
    "divide": operator.truediv,
    "power": operator.pow,
    "modulo": operator.mod,
}
ZERO_DIVISORS = {"divide": "Division by zero", "modulo": "Modulo by zero"}


class CalculatorNode(Node):
    """Calculates.

    A dict ``{"operation": "add", "args": [2, 3]}`` gives ``{"operation", "args", "result",
    "processed_by", "node_config"}``; one that cannot be calculated ``{"error", "operation", "args",
    "processed_by"}``. A number gives a number: it is joined with ``operand`` by ``operation``.

    Parameters
    ----------
    operation : str or None
        One of `get_supported_operations`; for numbers, and for dicts that name none.
    operand : number or None
        What numbers are joined with.

    Raises
    ------
    ConfigurationError
        ``operation`` is not known.
    """

    spec = NodeSpec(
        "CalculatorNode",
        "Calculate with numbers, or as dicts say",
        inputs=(Port("input", None, "numbers, or dicts that say what is to be done"),),
        outputs=(Port("output", None, "numbers, or dicts with the result"),),
        params=(
            Param("operation", "string", summary="for numbers: add, multiply …"),
            Param("operand", "json", summary="what numbers are joined with"),
        ),
        example="test.tone duration_ms=1000 ! CalculatorNode operation=multiply operand=3 "
        "! json.write path=-",
        other_params=True,
    )
    stateless = True

    def __init__(self, operation: str | None = None, operand: Any = None, **kwargs: Any) -> None:
        given = {"operation": operation, "operand": operand}
        super().__init__(**{k: v for k, v in given.items() if v is not None}, **kwargs)
        if operation is not None and operation not in OPERATIONS:
            raise ConfigurationError(
                f"operation is {operation!r}, want one of {', '.join(OPERATIONS)}",
                code=VALUE_NOT_ACCEPTABLE,
            )
        self.operation = operation
        self.operand = operand

    def get_supported_operations(self) -> list[str]:
        """The names of the operations."""
        return list(OPERATIONS)

    def process(self, data: Any) -> Any:
        """Returns a dict for a dict, a number for a number.

        Raises
        ------
        ZeroDivisionError
            Of a number; a dict says it in ``error``.
        """
        if isinstance(data, dict):
            operation: Any = data.get("operation", self.operation)
            args: Any = data.get("args", [])
            try:
                result = OPERATIONS[operation](args[0], args[1])
            except Exception as error:
                return error_dict(self, _why(operation, args, error), operation=operation, args=args)
            return {
                "operation": operation,
                "args": args,
                "result": result,
                "processed_by": processed_by(self),
                "node_config": self.config,
            }
        if self.operand is not None and not isinstance(data, (str, bytes, list, tuple)):
            return OPERATIONS[self.operation or "add"](data, self.operand)
        return error_dict(self, f"Input must be a dict, not {type(data).__name__}", input=data)


def _why(operation: Any, args: Any, error: Exception) -> str:
    """What 0.1 says of a dict that cannot be calculated."""
    if not isinstance(operation, str) or operation not in OPERATIONS:
        return f"Unknown operation: {operation}"
    if not isinstance(args, (list, tuple)) or len(args) < 2:
        return f"Operation '{operation}' requires at least 2 arguments"
    if isinstance(error, ZeroDivisionError):
        return ZERO_DIVISORS.get(operation, "Division by zero")
    return str(error)
