"""Plain objects with state."""

from __future__ import annotations

import ast
import operator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Calculator", "MathOperations", "SimpleCounter", "StringProcessor", "TodoList"]

_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}
EXPRESSION_MAX = 1000  # characters
BITS_MAX = 13_000  # of an int: what Python writes out, about 3,900 digits


class SimpleCounter:
    """Counts."""

    def __init__(self) -> None:
        self.count = 0

    def add(self, n: int) -> int:
        """Adds to the count and returns it."""
        self.count += n
        return self.count


class StringProcessor:
    """Changes text."""

    def reverse(self, text: str) -> str:
        """Returns the text backwards."""
        return text[::-1]

    def uppercase(self, text: str) -> str:
        """Returns the text in capitals."""
        return text.upper()

    def process(self, text: str, reverse: bool = False, uppercase: bool = False) -> str:
        """Returns the text backwards, then in capitals, each if asked."""
        text = self.reverse(text) if reverse else text
        return self.uppercase(text) if uppercase else text


class MathOperations:
    """Calculates, and remembers what."""

    def __init__(self) -> None:
        self.history: list[str] = []

    def calculate(self, expr: str) -> Any:
        """Returns the value of an expression of numbers and operators.

        Raises
        ------
        ValueError
            There is something else in it, it is too long, or a number in it too large.
        """
        result = _value(expr)
        self.history.append(f"{expr} = {result}")
        return result

    def get_history(self) -> list[str]:
        """Returns what was calculated: ``"1 + 2 = 3"``."""
        return self.history

    def matrix_multiply(self, a: Any, b: Any) -> Any:
        """Returns the product of two matrices, as an array."""
        import numpy as np

        return np.dot(a, b)


def _value(expression: str) -> Any:
    if len(expression) > EXPRESSION_MAX:
        raise ValueError(f"an expression has {len(expression)} characters, {EXPRESSION_MAX} at most")
    try:
        return _node_value(ast.parse(expression, mode="eval").body)
    except (SyntaxError, RecursionError) as error:
        raise ValueError(f"{expression!r} is no expression: {error}") from error


def _node_value(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=int() | float() | complex() as value):
            return value
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
            return _UNARY[type(op)](_node_value(operand))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            a, b = _node_value(left), _node_value(right)
            if isinstance(a, int) and isinstance(b, int) and _bits(op, a, b) > BITS_MAX:
                raise ValueError(f"a number of {ast.unparse(node)[:60]!r} is over {BITS_MAX} bits")
            return _BINARY[type(op)](a, b)
    raise ValueError(f"{ast.unparse(node)!r} is neither a number nor an operator")


def _bits(op: ast.operator, a: int, b: int) -> int:
    """How many the result can have."""
    if isinstance(op, ast.Pow):
        return a.bit_length() * max(b, 0)
    return a.bit_length() + b.bit_length()


class TodoList:
    """Tasks, and which are done."""

    def __init__(self) -> None:
        self.todos: list[str] = []
        self.completed: list[str] = []

    def add_todo(self, task: str) -> str:
        """Adds a task."""
        self.todos.append(task)
        return f"Added: {task}"

    def complete_todo(self, index: int) -> str:
        """Moves a task to those that are done."""
        if not 0 <= index < len(self.todos):
            return "Invalid index"
        task = self.todos.pop(index)
        self.completed.append(task)
        return f"Completed: {task}"

    def get_status(self) -> dict[str, int]:
        """Returns how many are pending, completed, and both."""
        pending, completed = len(self.todos), len(self.completed)
        return {"pending": pending, "completed": completed, "total": pending + completed}


class Calculator:
    """Adds and multiplies, and remembers what."""

    def __init__(self) -> None:
        self.result: Any = 0
        self.operations: list[str] = []

    def add(self, x: Any, y: Any = None) -> Any:
        """Returns x + y; without y adds x to the result and returns that."""
        if y is None:
            self.result += x
            self.operations.append(f"Added {x}, result: {self.result}")
            return self.result
        total = x + y
        self.operations.append(f"{x} + {y} = {total}")
        return total

    def multiply(self, x: Any, y: Any) -> Any:
        """Returns x * y."""
        product = x * y
        self.operations.append(f"{x} * {y} = {product}")
        return product

    def reset(self) -> str:
        """Sets the result to 0."""
        self.result = 0
        self.operations.append("Reset to 0")
        return "Calculator reset"

    def history(self) -> list[str]:
        """Returns what was done."""
        return self.operations
