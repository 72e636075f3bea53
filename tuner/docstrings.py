"""Reads the docstrings that Python itself drops: the string below an attribute says what it is."""

import ast
import inspect


def class_definition(cls: type) -> ast.ClassDef:
    """The source of a class as a tree."""
    (tree,) = ast.parse(inspect.getsource(cls)).body
    assert isinstance(tree, ast.ClassDef)
    return tree


def attribute_docstrings(cls: type) -> dict[str, str]:
    """What is said below each public attribute of a class; nothing below it is an empty text."""
    body = class_definition(cls).body
    told = {}
    for place, node in enumerate(body):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and not node.target.id.startswith("_"):
            below = body[place + 1] if place + 1 < len(body) else None
            told[node.target.id] = _text(below)
    return told


def _text(node: ast.stmt | None) -> str:
    said = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    return str(node.value.value) if said else ""  # type: ignore[union-attr]
