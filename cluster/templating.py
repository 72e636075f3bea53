"""Fills the YAML templates in `templates/`."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

TEMPLATES = Path(__file__).parent / "templates"

_NAMED = re.compile(r"^( *)\$\{(\w+)\}\n|\$\{(\w+)\}", re.MULTILINE)
"""A name alone on its line, or within one."""


def fill(template: str, values: Mapping[str, object]) -> str:
    """The template's text with each `${name}` in it replaced by a value.

    Within a line a value is written as YAML writes it in one line. A name alone on its line gives way to a text of
    several, each as far from the margin as the name was; to none, where the text is empty.
    """
    text = (TEMPLATES / template).read_text(encoding="utf-8")
    named = {alone or within for _, alone, within in _NAMED.findall(text)}
    assert named == values.keys(), f"{template}: {named ^ values.keys()} named there or given here alone"
    return _NAMED.sub(lambda found: _replaced(found, values), text)


def commented(text: str) -> str:
    """The text as YAML comments."""
    return "".join(f"# {line}\n" for line in text.splitlines())


def _replaced(found: re.Match[str], values: Mapping[str, object]) -> str:
    indent, alone, within = found.groups()
    if within is not None:
        return json.dumps(values[within], ensure_ascii=False)  # JSON is YAML
    return "".join(f"{indent}{line}\n" if line else "\n" for line in str(values[alone]).splitlines())
