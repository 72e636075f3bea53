"""What is wrong with a configuration file, in the words of the file: one line a key, with its rule and its value.

pydantic reports a problem for each member of a union and names Python's types. Here the key that the user wrote gets
one line, and its rule is told from the JSON schema, the one that editors check the file by.
"""

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from trainables.errors import SettingError
from tuner.errors import SweepConfigError

Schema = Mapping[str, Any]

SHOWN_VALUE = 80
"""Characters of a value in a message."""


def explain(error: ValidationError, schema: Schema, content: Any) -> list[str]:
    """One line for each key of `content` that breaks a rule of `schema`: `key: rule; got value`."""
    lines = [_line(problem, schema, content) for problem in error.errors(include_url=False)]
    return list(dict.fromkeys(lines))  # the members of a union say the same


@contextmanager
def naming(source: Path | str | None, section: str = "") -> Iterator[None]:
    """Errors about a setting of `section`, such as `dataset.`, name the file and the key as it stands there.

    SettingErrors of the block are raised as SweepConfigErrors.
    """
    try:
        yield
    except SettingError as error:
        raise SweepConfigError(f"{f'{source}: ' if source else ''}{section}{error}") from None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(known)}"


def _line(problem: Mapping[str, Any], root: Schema, content: Any) -> str:
    location = problem["loc"]
    keys, schema, value = [], _resolved(root, root), content
    for part in location:
        below = _below(schema, part)
        if below is None:
            break
        keys.append(part)
        schema = _resolved(root, below)
        value = value.get(part) if isinstance(value, Mapping) else None
    beyond = location[len(keys) :]
    key = ".".join(keys)
    match problem["type"]:
        case "extra_forbidden" | "invalid_key":
            return f"{'.'.join(map(str, location))}: unknown key{did_you_mean(str(location[-1]), schema['properties'])}"
        case "missing" if not beyond:
            return f"{key}: is missing"
        case "value_error":  # what a validator of ours says; that of a section names its keys and values itself
            rule = problem["msg"].removeprefix("Value error, ")
            if "properties" in schema:
                return f"{key}: {rule}" if key else rule
        case "finite_number":
            rule = "must be finite"
        case _ if beyond[1:] == ("[key]",):
            return f"{key}: the key {_shown(beyond[0])} must be text"
        case _:
            rule = f"must be {_described(root, schema)}"
    secret = schema.get("writeOnly", False)
    return f"{key}: {rule}" if secret else f"{key}: {rule}; got {_shown(value)}"


def _resolved(root: Schema, schema: Schema) -> Schema:
    """Without references; of an optional section, the section."""
    if "$ref" in schema:
        return _resolved(root, root["$defs"][schema["$ref"].rpartition("/")[2]])
    options = [_resolved(root, option) for option in schema.get("anyOf", ()) if option.get("type") != "null"]
    return options[0] if len(options) == 1 and options[0].get("type") == "object" else schema


def _below(schema: Schema, part: int | str) -> Schema | None:
    """The schema of the value under the key `part`; None where that is no key of the file."""
    if "properties" in schema:
        found: Schema | None = schema["properties"].get(part)
        return found
    values = schema.get("additionalProperties")
    return values if isinstance(part, str) and isinstance(values, Mapping) else None


def _described(root: Schema, schema: Schema) -> str:
    """What a value must be."""
    if "anyOf" in schema:
        return _either(_described(root, option) for option in schema["anyOf"])
    schema = _resolved(root, schema)
    if "enum" in schema or "const" in schema:
        return _either(map(str, schema.get("enum") or [schema["const"]]))
    match schema.get("type"):
        case "null":
            return "null"
        case "boolean":
            return "true or false"
        case "integer":
            return "a whole number" + _bounds(schema)
        case "number":
            return "a number" + _bounds(schema)
        case "string":
            return str(schema.get("patternErrorMessage") or ("a path" if schema.get("format") == "path" else "text"))
        case "array":
            count = f"{len(schema['prefixItems'])} " if "prefixItems" in schema else ""
            item = schema["prefixItems"][0] if count else schema["items"]
            return f"a list of {count}values, each {_described(root, item)}"
    values = schema.get("additionalProperties")
    what = f"names, each with {_described(root, values)}" if isinstance(values, Mapping) else "keys with values"
    return f"one or more {what}" if schema.get("minProperties") else what


def _bounds(schema: Schema) -> str:
    words = {
        "minimum": "of at least",
        "exclusiveMinimum": "above",
        "maximum": "of at most",
        "exclusiveMaximum": "below",
    }
    told = [f"{word} {schema[bound]}" for bound, word in words.items() if bound in schema]
    return " " + " and ".join(told) if told else ""


def _either(options: Iterable[str]) -> str:
    *others, last = options
    comma = "," if any(" " in option for option in others) else ""
    return f"{', '.join(others)}{comma} or {last}" if others else last


def _shown(value: Any) -> str:
    """The value as JSON, so that text differs from a number, cut short so that a message stays readable."""
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= SHOWN_VALUE else text[: SHOWN_VALUE - 3] + "..."
