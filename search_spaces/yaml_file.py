"""Reads YAML as people expect it of a configuration file: YAML 1.2's core schema, and nothing that hides.

PyYAML follows YAML 1.1, where `1e-4` is text, `no` is false, `010` is 8 and `1:30` is 90, and it lets the last of two
equal keys win. Here `1e-4` is a number, only `true` and `false` are truth values, and a key given twice is an error.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from search_spaces.errors import YamlFileError

LARGEST_FILE = 256 * 1024
"""Bytes; a configuration has some thousand."""

DEEPEST_NESTING = 20
"""Levels; bounds the parser's recursion."""

LARGEST_INT = 2**63 - 1
"""What numpy, torch and databases hold in an integer."""

LONGEST_INT = 100
"""Characters; Python refuses to read thousands of digits."""


def read_yaml(path: Path | str) -> dict[Any, Any]:
    """The mapping in the YAML file at `path`. Raises YamlFileError, naming the file and the line."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise YamlFileError(f"{path}: can't be read: {error.strerror}") from None
    if len(content) > LARGEST_FILE:
        raise YamlFileError(f"{path}: larger than {LARGEST_FILE} bytes, too large for a configuration")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise YamlFileError(f"{path}, line {line}: not UTF-8 text") from None
    return parse_yaml(text, source=str(path))


def parse_yaml(text: str, *, source: str = "YAML text") -> dict[Any, Any]:
    """The mapping that `text` writes in YAML; `source` stands for its file in errors. Raises YamlFileError."""
    try:
        root = _Composer(text).get_single_node()
        content = None if root is None else _value(root)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        problem = error.problem or "not YAML"
        if problem.startswith("but "):  # PyYAML's sentence begins in the context
            problem = f"{error.context} {problem}"
        raise YamlFileError(f"{source}{line}: {problem}") from None
    except yaml.YAMLError as error:
        raise YamlFileError(f"{source}: {' '.join(str(error).split())}") from None
    if content is None:
        raise YamlFileError(f"{source}: empty; expected keys and values")
    if not isinstance(content, dict):
        raise YamlFileError(f"{source}: expected keys and values, got {type(content).__name__} {content!r:.60}")
    return content


class _Composer(yaml.SafeLoader):
    """Parses YAML to nodes, without anchors, aliases and tags."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()
        # Aliases are where a few lines become gigabytes, and where a change in one place changes another unseen.
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise _problem("anchors and aliases (&name, *name) are not taken; write the value out", event)
        if getattr(event, "tag", None) is not None:
            raise _problem(f"tag {event.tag} is not taken; write the value alone", event)
        if self.depth >= DEEPEST_NESTING:
            raise _problem(f"nested more than {DEEPEST_NESTING} levels deep", event)
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


def _value(node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return _mapping(node)
    if isinstance(node, yaml.SequenceNode):
        return [_value(child) for child in node.value]
    assert isinstance(node, yaml.ScalarNode)
    quoted = node.style is not None
    return node.value if quoted else _plain_scalar(node)


def _mapping(node: yaml.MappingNode) -> dict[Any, Any]:
    mapping: dict[Any, Any] = {}
    lines: dict[Any, int] = {}
    for key_node, value_node in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            raise _problem("a key must be text or a number", key_node)
        key = _value(key_node)
        if key in mapping:
            raise _problem(f"key {key_node.value} given twice, first in line {lines[key]}", key_node)
        lines[key] = key_node.start_mark.line + 1
        mapping[key] = _value(value_node)
    return mapping


NULL = re.compile(r"null|Null|NULL|~|")
BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
"""What an unquoted scalar is: the table of YAML 1.2.2, section 10.3.2; anything else is text."""


def _plain_scalar(node: yaml.ScalarNode) -> str | int | float | bool | None:
    text: str = node.value
    if NULL.fullmatch(text):
        return None
    if BOOL.fullmatch(text):
        return text.lower() == "true"
    if INT.fullmatch(text):
        number = int(text, {"0o": 8, "0x": 16}.get(text[:2], 10)) if len(text) <= LONGEST_INT else LARGEST_INT + 1
        if abs(number) > LARGEST_INT:
            raise _problem(f"{text:.40} is past {LARGEST_INT}, the largest whole number", node)
        return number
    if FLOAT.fullmatch(text):
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text


def _problem(text: str, at: yaml.Event | yaml.Node) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=text, problem_mark=at.start_mark)  # type: ignore[arg-type]
