"""The reference page of Python, in Markdown: what `tuner.api` names, with signatures and docstrings.

Sphinx's autodoc would show them on the site alone, and of a pydantic class every validator in its signature.
"""

import ast
import inspect
import re
from collections.abc import Iterator
from typing import Any

import tuner.api
from tuner.config import SweepConfig
from tuner.docstrings import attribute_docstrings, class_definition

HEAD = """\
# Python

Everything for scripts and notebooks is in `tuner.api`:

```python
{example}
```

`tuner.errors` draws the tree of errors; its `USER_ERRORS` are those that a user can mend, and their text names file or
key, rule and value.

"""

EXAMPLE = """\
from pathlib import Path
from tuner.api import SweepConfig, SweepDirectory, View, run_sweep, write_report

config = SweepConfig.read(Path("sweep.yaml"))
results = run_sweep(config, view=View())  # in a notebook shown as a table that follows it
results.trials.sort_values("score")  # pandas DataFrames: trials, curves, cases, confirmed
results.best.parameters
write_report(SweepDirectory.find("hippocampus")).html"""


def python_page() -> str:
    """The whole page."""
    found = [(name, getattr(tuner.api, name)) for name in tuner.api.__all__]
    functions = [_function(one) for _, one in found if inspect.isfunction(one)]
    classes = [_class(one) for _, one in found if inspect.isclass(one)]
    return HEAD.format(example=EXAMPLE) + "\n".join(["## Functions\n", *functions, "## Classes\n", *classes])


def _function(one: Any) -> str:
    (node,) = ast.parse(inspect.getsource(one)).body
    assert isinstance(node, ast.FunctionDef)
    return f"### {node.name}\n\n```py\n{_signature(node)}\n```\n\n{_text(one.__doc__)}\n"


def _class(one: type) -> str:
    parts = [f"### {one.__name__}\n", f"{_text(one.__doc__ or '')}\n"]
    if one is SweepConfig:
        parts.append("Its attributes are the keys of [the sweep file](sweep_file.md).\n")
        rows = []
    else:
        rows = [f"| `{name}` | {_cell(said)} |" for name, said in attribute_docstrings(one).items()]
    rows += [f"| `{_cell(form)}` | {_cell(said)} |" for form, said in _members(one)]
    return "\n".join([*parts, "| | |", "|---|---|", *rows, ""])


def _members(one: type) -> Iterator[tuple[str, str]]:
    """Public properties and methods: how they are used, and what is said of them."""
    for node in class_definition(one).body:
        if not isinstance(node, ast.FunctionDef) or node.name.startswith("_"):
            continue
        kinds = {ast.unparse(decorator) for decorator in node.decorator_list}
        said = ast.get_docstring(node) or ""
        if kinds & {"property", "cached_property"}:
            yield node.name, said
        elif not any(kind.startswith(("model_validator", "field_validator")) for kind in kinds):
            node.args.args = node.args.args[not kinds & {"staticmethod"} :]
            yield _call(node), said


def _signature(node: ast.FunctionDef) -> str:
    """A function's first line, or a line for each of many arguments."""
    line = f"def {_call(node)}: ..."
    each = "".join(f"    {one},\n" for one in _arguments(node.args))
    return line if len(line) <= 100 else f"def {node.name}(\n{each}){_returned(node)}: ..."


def _call(node: ast.FunctionDef) -> str:
    return f"{node.name}({', '.join(_arguments(node.args))}){_returned(node)}"


def _arguments(given: ast.arguments) -> list[str]:
    first = [None] * (len(given.args) - len(given.defaults)) + given.defaults
    named = [_argument(*one) for one in zip(given.kwonlyargs, given.kw_defaults, strict=True)]
    return [*(_argument(*one) for one in zip(given.args, first, strict=True)), *["*"] * bool(named), *named]


def _argument(one: ast.arg, default: ast.expr | None) -> str:
    kind = f": {_type(one.annotation)}" if one.annotation else ""
    return f"{one.arg}{kind}" + (f" = {_source(default)}" if default else "")


def _returned(node: ast.FunctionDef) -> str:
    return f" -> {_type(node.returns)}" if node.returns else ""


def _type(annotation: ast.expr) -> str:
    """An annotation as it is meant: the name of a class that comes later stands in quotes in the source."""
    return str(annotation.value) if isinstance(annotation, ast.Constant) else _source(annotation)


def _source(node: ast.expr) -> str:
    """Code as our formatter writes it."""
    return ast.unparse(node).replace("'", '"')


def _text(docstring: str) -> str:
    """A docstring as Markdown: its arguments become a list."""
    parts = []
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(docstring)):
        head, _, rest = paragraph.partition("\n")
        if head in ("Args:", "Returns:"):
            entries = re.split(r"\n(?=\S)", inspect.cleandoc(rest))
            named = [re.sub(r"^(\w+): ", r"`\1`: ", " ".join(entry.split())) for entry in entries]
            parts.append("\n".join(f"- {entry}" for entry in named))
        else:
            parts.append(" ".join(paragraph.split()))
    return "\n\n".join(parts)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
