"""YAML with a comment beside its keys, that parses to the same content as without."""

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

Comments = Mapping[tuple[str, ...], str]
"""By the path of a key, such as `("parameters", "learning_rate")`."""

WIDTH = 120
ALIGNED = 40
"""Comments of siblings stand in one column, unless a line is longer than this."""


def commented_yaml(content: Mapping[str, Any], comments: Comments) -> str:
    """`content` as YAML, each key that `comments` names with its comment: behind it, or above where it takes lines."""
    return "".join(f"{line}\n" for line in _block(content, comments, ()))


def _block(content: Mapping[str, Any], comments: Comments, path: tuple[str, ...]) -> Iterator[str]:
    """The lines of a mapping at `path`, indented by its depth."""
    indent = "  " * len(path)
    entries = [(key, value, _dumped({key: value})) for key, value in content.items()]
    column = max((len(lines[0]) for _, _, lines in entries if len(lines) == 1 and len(lines[0]) <= ALIGNED), default=0)
    for key, value, lines in entries:
        here = (*path, key)
        deeper = isinstance(value, Mapping) and any(_is_below(other, here) for other in comments)
        first, rest = lines[0], lines[1:]
        if comment := _on_one_line(comments.get(here, "")):
            if rest and not first.endswith(":"):  # inside a quoted text it would be no comment
                yield f"{indent}# {comment}"
            else:
                first = f"{first if rest else first.ljust(column)}  # {comment}"
        yield indent + first
        yield from _block(value, comments, here) if deeper else (indent + line if line else line for line in rest)


def _dumped(content: Mapping[str, Any]) -> list[str]:
    text: str = yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True, width=WIDTH)
    return text.removesuffix("\n").split("\n")


def _is_below(path: tuple[str, ...], above: tuple[str, ...]) -> bool:
    return len(path) > len(above) and path[: len(above)] == above


def _on_one_line(comment: str) -> str:
    """Without what would end the comment, or what YAML does not let stand in one."""
    return " ".join("".join(character if character.isprintable() else " " for character in comment).split())
