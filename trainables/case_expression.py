"""A group for each case from an expression over its name, such as `(int(number) + 1) // 2`, without `eval`.

The expression is parsed to a syntax tree, and only the nodes named here have a meaning:

    name, number              the case's name; its last run of digits, a string ("" without one)
    1, "text"                 whole numbers and strings
    + - * // %                on whole numbers; + also joins strings
    int(x), str(x)
    x[0], x[-3:], x.split("_")[0], x.removeprefix("p"), x.removesuffix("L"), x.lower()

A sweep file may come from somebody else, so that results are bounded too: numbers to 18 digits, strings to 1000
characters. None of the operations can reach those bounds by more than a factor of two before it is stopped.
"""

import ast
import operator
import re
from collections.abc import Callable
from typing import Any

from trainables.errors import SettingError

LONGEST_EXPRESSION = 200
LARGEST_NUMBER = 10**18
LONGEST_STRING = 1000

_ARITHMETIC: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_FUNCTIONS: dict[str, Callable[[Any], int | str]] = {"int": int, "str": str}
_METHODS: dict[str, Callable[..., Any]] = {
    "split": str.split,
    "removeprefix": str.removeprefix,
    "removesuffix": str.removesuffix,
    "lower": str.lower,
}


class CaseExpression:
    """An expression, parsed once. Raises SettingError, naming what has no meaning in it."""

    def __init__(self, text: str) -> None:
        self.text = text
        if len(text) > LONGEST_EXPRESSION:
            raise SettingError(f"group: the expression has {len(text)} characters; at most {LONGEST_EXPRESSION}")
        try:
            self._tree = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
            raise SettingError(f'group: "{text}" is not an expression: {error}') from None
        for node in ast.walk(self._tree):
            if not _has_meaning(node):
                raise SettingError(
                    f'group: "{text}": {_source(node)} has no meaning here; use name, number, int(), str(), '
                    f"+ - * // %, [slices], {', '.join('.' + method + '()' for method in _METHODS)}"
                )

    def group(self, case: str) -> str:
        """The group of a case, from its name. Raises SettingError where the expression fails on this name."""
        number = re.findall("[0-9]+", case)
        names = {"name": case, "number": number[-1] if number else ""}
        try:
            result = _evaluate(self._tree, names)
            if not isinstance(result, int | str):
                raise TypeError("the result must be a number or a string")
        except (TypeError, ValueError, IndexError, ArithmeticError) as error:
            raise SettingError(
                f'group: "{self.text}" fails for case "{case}" (number is "{names["number"]}"): {error}'
            ) from None
        return str(result)


def _has_meaning(node: ast.AST) -> bool:
    match node:
        case ast.Constant(value=value):
            return type(value) in (int, str)
        case ast.Name(id=name):
            return name in ("name", "number", *_FUNCTIONS)
        case ast.Call(func=ast.Name(id=name), args=[_], keywords=[]):
            return name in _FUNCTIONS
        case ast.Call(func=ast.Attribute(), args=[] | [_], keywords=[]):
            return True
        case ast.Attribute(attr=method):
            return method in _METHODS
    allowed = (ast.BinOp, ast.UnaryOp, ast.USub, ast.Subscript, ast.Slice, ast.Load, *_ARITHMETIC)
    return isinstance(node, allowed)


def _evaluate(node: ast.AST | None, names: dict[str, str]) -> Any:
    return _bounded(_value(node, names))


def _value(node: ast.AST | None, names: dict[str, str]) -> Any:
    match node:
        case None:  # an open end of a slice
            return None
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name) if name in names:
            return names[name]
        case ast.Call(func=ast.Name(id=name), args=[argument]):
            return _FUNCTIONS[name](_evaluate(argument, names))
        case ast.Call(func=ast.Attribute(value=owner, attr=method), args=arguments):
            return _METHODS[method](_evaluate(owner, names), *[_evaluate(argument, names) for argument in arguments])
        case ast.UnaryOp(operand=operand):
            return -_evaluate(operand, names)
        case ast.BinOp(left=left, op=op, right=right):
            return _combine(type(op), _evaluate(left, names), _evaluate(right, names))
        case ast.Subscript(value=owner, slice=ast.Slice(lower=lower, upper=upper, step=step)):
            return _evaluate(owner, names)[slice(*[_evaluate(end, names) for end in (lower, upper, step)])]
        case ast.Subscript(value=owner, slice=index):
            return _evaluate(owner, names)[_evaluate(index, names)]
    raise TypeError(f"{_source(node)} is not a value")


def _combine(op: type[ast.operator], left: Any, right: Any) -> int | str:
    if op is ast.Add and isinstance(left, str) and isinstance(right, str):
        return left + right
    # Strings know * and % too: "x" * 10**9 and "%999999999d" % 1 would fill the memory.
    if type(left) is not int or type(right) is not int:
        raise TypeError(f"{left!r:.50} and {right!r:.50} can't be combined so")
    return _ARITHMETIC[op](left, right)


def _bounded(value: Any) -> Any:
    if isinstance(value, int) and abs(value) > LARGEST_NUMBER:
        raise ArithmeticError("a number has more than 18 digits")
    if isinstance(value, str | list) and len(value) > LONGEST_STRING:
        raise ArithmeticError(f"a string has more than {LONGEST_STRING} characters")
    return value


def _source(node: ast.AST | None) -> str:
    return ast.unparse(node) if isinstance(node, ast.expr) else type(node).__name__
