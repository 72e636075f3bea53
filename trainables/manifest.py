"""A `dataset.json`, whatever its layout: read, and the rules that all layouts share."""

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from trainables.dataset import LARGEST_LABEL, SUFFIXES, Case
from trainables.errors import DatasetError
from trainables.problems import is_file, missing_hint, raise_problems

MANIFEST = "dataset.json"


class BrokenRuleError(Exception):
    """A key of the manifest breaks a rule; the message lacks the file's name."""


def read_manifest(manifest: Path) -> Mapping[str, Any]:
    """The JSON object in the file `manifest`. Raises DatasetError."""
    try:
        text = manifest.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DatasetError(
            f"{manifest}: no such file; a data set in the layout of the Decathlon or of nnU-Net has it beside imagesTr "
            "and labelsTr, others are given by a CSV file that lists cases"
        ) from None
    except OSError as error:
        raise DatasetError(f"{manifest}: can't be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise DatasetError(f"{manifest}: can't be read: {error}") from None
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{manifest}: not valid JSON: {error}") from None
    if not isinstance(content, dict):
        raise DatasetError(f"{manifest}: must hold a JSON object, got {_kind(content)}")
    return content


def read_name(content: Mapping[str, Any], *, default: str) -> str:
    name = content.get("name", default)
    if not isinstance(name, str):
        raise BrokenRuleError(f"name must be a string, got {shown(name)}")
    return name.strip() or default


def read_channels(content: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """The names of the channels under `key`, e.g. `{"0": "MRI"}`."""
    named = numbered_names(content, key)
    if sorted(named) != list(range(len(named))):
        raise BrokenRuleError(f"{key} must number the channels from 0 without a gap, got {sorted(named)}")
    return tuple(named[channel] for channel in range(len(named)))


def numbered_names(content: Mapping[str, Any], key: str) -> dict[int, str]:
    """The object under `key`, e.g. `{"0": "MRI"}`, with whole numbers as keys."""
    value = required(content, key)
    if not isinstance(value, dict) or not value:
        raise BrokenRuleError(f'{key} must be an object such as {{"0": "name"}}, got {shown(value)}')
    named = {}
    for number, name in value.items():
        if not (number.isascii() and number.isdigit() and len(number) <= 9):
            raise BrokenRuleError(f'{key}: the key "{number}" is not a whole number from 0 on')
        if not isinstance(name, str) or not name.strip():
            raise BrokenRuleError(f"{key}: the name of {number} must be a string, not empty, got {shown(name)}")
        if int(number) in named:
            raise BrokenRuleError(f"{key}: {int(number)} is named twice")
        named[int(number)] = name.strip()
    return named


def check_values(values: Collection[int]) -> None:
    """Raises BrokenRuleError unless 0 and another are among the declared label values, and none is too large."""
    if 0 not in values:
        raise BrokenRuleError(f"labels must name 0, the background, got {sorted(values)}")
    if len(values) < 2:
        raise BrokenRuleError("labels must name at least one label besides 0, the background")
    largest = max(values)
    if largest > LARGEST_LABEL:
        raise BrokenRuleError(f"labels: {largest} is past {LARGEST_LABEL}, the largest label value")


def inner_path(value: object, key: str) -> PurePosixPath:
    """The NIfTI file that `value` of `key` names, relative to the data set's folder; PurePosixPath drops `./`."""
    if not isinstance(value, str):
        raise BrokenRuleError(f"{key} must be a path, got {shown(value)}")
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts or "\0" in value:
        raise BrokenRuleError(f"{key}: {shown(value)} leaves the data set's folder; give a path inside it")
    if not path.name.endswith(SUFFIXES):
        raise BrokenRuleError(f"{key}: {shown(value)} is not a NIfTI file (.nii or .nii.gz)")
    return path


def raise_missing(cases: Iterable[Case], *, advice: Callable[[Path], str] = lambda missing: "") -> None:
    """Raise DatasetError where files that the manifest lists are not there; `advice` ends what is said of each."""
    raise_problems(
        f"{file}: listed in {MANIFEST}, but no such file{advice(file)}{missing_hint(file)}"
        for case in cases
        for file in case.files
        if not is_file(file)
    )


def training_note(manifest: Path, content: Mapping[str, Any], *counted: int) -> tuple[str, ...]:
    """What is odd about `numTraining`: the number of cases is `counted[0]`, and other ways of counting are no news.

    What is listed counts: data sets that were cut or grew by hand often keep the old number.
    """
    declared = content.get("numTraining", counted[0])
    if declared in counted and not isinstance(declared, bool):
        return ()
    return (
        f"{manifest}: numTraining is {shown(declared)}, but there are {counted[0]} training cases; all of these count",
    )


def required(content: Mapping[str, Any], key: str, *, place: str = "") -> Any:
    """`content[key]`; `place` says where in the manifest `content` stands."""
    if key not in content:
        raise BrokenRuleError(f"{place}{key} is missing")
    return content[key]


def shown(value: object) -> str:
    """The value as JSON, cut short so that a message stays readable."""
    text = json.dumps(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _kind(value: object) -> str:
    names = {list: "a list", str: "a string", bool: "a truth value", int: "a number", float: "a number"}
    return names.get(type(value), "null")
