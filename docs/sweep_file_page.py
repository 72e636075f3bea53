"""The reference page of the sweep file, in Markdown, read off the classes that check it."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from trainables.segmentation_config import SegmentationConfig
from tuner.config import SweepConfig
from tuner.docstrings import attribute_docstrings

HEAD = """\
# The sweep file

A sweep file is YAML. `voxtune new` writes one with a word on each choice; [Choose a space and a budget](../space.md)
says how to think about it. A key that is not listed here is an error, and so is a value of another type, before
anything starts.

**In an editor.** [sweep.schema.json](../sweep.schema.json) is the same as a JSON schema; `voxtune schema` prints that
of the installed version. Editors with a YAML language server (VS Code with *YAML*, Neovim, Emacs, Helix) complete keys,
show what they mean and mark mistakes where the file's first line names it:

```sh
voxtune schema > sweep.schema.json
```

```yaml
# yaml-language-server: $schema=sweep.schema.json
name: heart
```

"""

PARAMETERS = """\
## Parameters in `space`

Bounds are inclusive. A value alone fixes a parameter, as it would under `training`.

| form | what |
|---|---|
| `{float: [1e-4, 1e-2], log: true}` | a number; with `log` the logarithm is searched |
| `{float: [0.0, 0.5], step: 0.1}` | a number on a grid, which must meet the upper bound |
| `{int: [8, 32], step: 8}`, `{int: [1, 64], log: true}` | a whole number |
| `{choice: [dice, dice_ce]}` | one of at least two values: texts, numbers, true or false |
| `{choice: [32, 40x56x40]}` | patch sizes: 32 is a cube, `[40, 56, 40]` another spelling of the second |

"""

SETTINGS = """\
## Settings of a segmentation

They stand under `training`, the same for all trials, or under `space`. What stands in neither has its default. A
training run of your own (`trainable:`) has its own settings.

"""

KINDS = {"integer": "whole number", "number": "number", "boolean": "true, false", "object": "mapping"}

BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}

COLUMNS = "| key | value | default | |\n|---|---|---|---|\n"


def sweep_file_page() -> str:
    """The whole page."""
    schema = SweepConfig.model_json_schema()
    parts = [HEAD, "## Keys\n\n", _table(schema)]
    for key, form in schema["properties"].items():
        if section := _section_of(form):
            parts += [f"## `{key}`\n\n", _table(schema["$defs"][section])]
    return "".join([*parts, PARAMETERS, SETTINGS, _settings()])


def _table(section: Mapping[str, Any]) -> str:
    rows = []
    for key, form in section["properties"].items():
        needed = key in section.get("required", ())
        is_section = _section_of(form) is not None
        name = f"[`{key}`](#{key})" if is_section else f"`{key}`"
        meaning = "See below." if is_section else form.get("description", "")
        rows.append([name, _values(form), "*needed*" if needed else _default(form), meaning])
    return COLUMNS + "".join(f"| {' | '.join(map(_cell, row))} |\n" for row in rows) + "\n"


def _section_of(form: Mapping[str, Any]) -> str | None:
    """The name of the class of a key that is a section of its own."""
    forms = [form, *form.get("anyOf", ())]
    return next((one["$ref"].rpartition("/")[2] for one in forms if "$ref" in one), None)


def _values(form: Mapping[str, Any]) -> str:
    """What a key takes, in words."""
    if "$ref" in form:
        return "section"
    if "anyOf" in form:
        return " or ".join(dict.fromkeys(_values(one) for one in form["anyOf"] if one.get("type") != "null"))
    if "enum" in form:
        return ", ".join(f"`{value}`" for value in form["enum"])
    if "const" in form:
        return f"`{form['const']}`"
    if form["type"] == "array":
        if "prefixItems" in form:
            return f"list of {len(form['prefixItems'])}: {_values(form['prefixItems'][0])}"
        return f"list: {_values(form['items'])}"
    if form["type"] == "string":
        return "`module:Class`" if ":" in form.get("pattern", "") else "path" if "format" in form else "text"
    bounds = " and ".join(f"{sign} {form[key]}" for key, sign in BOUNDS.items() if key in form)
    return f"{KINDS[form['type']]} {bounds}".strip()


def _default(form: Mapping[str, Any]) -> str:
    default = form.get("default")
    return "" if default in (None, {}) or isinstance(default, dict) else f"`{_yaml(default)}`"


def _settings() -> str:
    told = attribute_docstrings(SegmentationConfig)
    rows = [[f"`{field.name}`", f"`{_yaml(field.default)}`", told[field.name]] for field in fields(SegmentationConfig)]
    return "| setting | default | |\n|---|---|---|\n" + "".join(f"| {' | '.join(map(_cell, row))} |\n" for row in rows)


def _yaml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_yaml, value))}]"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value) or '""'


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
