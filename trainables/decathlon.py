"""Which images and labels a data set holds: reads a `dataset.json` in the layout of the Medical Segmentation Decathlon.

    Task04_Hippocampus/
    ├── dataset.json      names, modalities, labels, the list of training cases
    ├── imagesTr/         one NIfTI file a case, (X, Y, Z) or, with several channels, (X, Y, Z, C)
    └── labelsTr/         one NIfTI file a case, (X, Y, Z), whole numbers

Only the manifest and the existence of the files are looked at here; what the files hold is `volume_file`'s matter. The
`test` list (images without labels) and `tensorImageSize` (the files say it themselves) are not used.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from trainables.errors import DatasetError

MANIFEST = "dataset.json"
LARGEST_LABEL = 65535
"""Label values are whole numbers from 0 to this; real data sets stay below 256, a few count past 1000."""

SHOWN_PROBLEMS = 10


@dataclass(frozen=True)
class Case:
    """One image with its label."""

    name: str
    """The image's file name without `.nii` or `.nii.gz`."""

    image: Path
    label: Path


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A data set as its `dataset.json` declares it."""

    root: Path
    """The folder of `dataset.json`, absolute."""

    name: str
    modalities: tuple[str, ...]
    """One name a channel, e.g. `("CT",)` or `("FLAIR", "T1w", "t1gd", "T2w")`."""

    labels: Mapping[int, str]
    """Name of each label value, in rising order; 0 is the background."""

    cases: tuple[Case, ...]
    """In the order of `dataset.json`; names are unique."""

    notes: tuple[str, ...] = ()
    """What is odd about `dataset.json`, but no reason to refuse it: whole sentences for the user."""

    @property
    def case_names(self) -> tuple[str, ...]:
        return tuple(case.name for case in self.cases)


def read_dataset(folder: Path) -> Dataset:
    """Read `folder/dataset.json` and see that the files of its `training` list are there.

    A path in the list is relative to the folder and stays in it: absolute ones and ones with `..` are refused. Links in
    the file system are followed, since copies of the Decathlon often link `imagesTr` to a shared disk. Entries whose
    file name starts with `._` (left by macOS archives) are no images and are skipped. A `numTraining` that disagrees
    with the list is a note: the list counts, and data sets that were cut or grew by hand often keep the old number.

    Raises DatasetError, naming the file, the key, the rule and the value.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DatasetError(f"{folder}: not a folder; give the folder that holds {MANIFEST}")
    root = folder.resolve()
    manifest = root / MANIFEST
    content = _read_json(manifest)
    try:
        cases = _read_cases(root, content)
        dataset = Dataset(
            root=root,
            name=_read_name(content, default=root.name),
            modalities=_read_modalities(content),
            labels=_read_labels(content),
            cases=cases,
            notes=_read_notes(manifest, content, cases),
        )
    except _BrokenRuleError as error:
        raise DatasetError(f"{manifest}: {error}") from None
    raise_problems(f"{file}: listed in {MANIFEST}, but no such file" for file in _missing_files(cases))
    return dataset


def raise_problems(problems: Iterable[str]) -> None:
    """Raise one DatasetError that lists the first ten problems, if there is any."""
    listed = list(problems)
    if len(listed) == 1:
        raise DatasetError(listed[0])
    if listed:
        more = len(listed) - SHOWN_PROBLEMS
        lines = [
            f"{'the first ' if more >= 0 else ''}{min(len(listed), SHOWN_PROBLEMS)} problems:",
            *listed[:SHOWN_PROBLEMS],
            *([f"... and {more} more"] if more > 0 else []),
        ]
        raise DatasetError("\n  ".join(lines))


class _BrokenRuleError(Exception):
    """A key of the manifest breaks a rule; the message lacks the file's name."""


def _read_json(manifest: Path) -> Mapping[str, Any]:
    try:
        text = manifest.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DatasetError(
            f"{manifest}: no such file; a Decathlon-style data set has it beside imagesTr and labelsTr"
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


def _read_name(content: Mapping[str, Any], *, default: str) -> str:
    name = content.get("name", default)
    if not isinstance(name, str):
        raise _BrokenRuleError(f"name must be a string, got {_shown(name)}")
    return name.strip() or default


def _read_modalities(content: Mapping[str, Any]) -> tuple[str, ...]:
    named = _numbered_names(content, "modality")
    if sorted(named) != list(range(len(named))):
        raise _BrokenRuleError(f"modality must number the channels from 0 without a gap, got {sorted(named)}")
    return tuple(named[channel] for channel in range(len(named)))


def _read_labels(content: Mapping[str, Any]) -> Mapping[int, str]:
    named = _numbered_names(content, "labels")
    if 0 not in named:
        raise _BrokenRuleError(f"labels must name 0, the background, got {sorted(named)}")
    if len(named) < 2:
        raise _BrokenRuleError("labels must name at least one label besides 0, the background")
    largest = max(named)
    if largest > LARGEST_LABEL:
        raise _BrokenRuleError(f"labels: {largest} is past {LARGEST_LABEL}, the largest label value")
    seen: dict[str, int] = {}
    for value, name in sorted(named.items()):
        if name in seen:
            raise _BrokenRuleError(f'labels {seen[name]} and {value} have the same name "{name}"')
        seen[name] = value
    return {value: named[value] for value in sorted(named)}


def _numbered_names(content: Mapping[str, Any], key: str) -> dict[int, str]:
    """The object under `key`, e.g. `{"0": "MRI"}`, with whole numbers as keys."""
    value = _required(content, key)
    if not isinstance(value, dict) or not value:
        raise _BrokenRuleError(f'{key} must be an object such as {{"0": "name"}}, got {_shown(value)}')
    named = {}
    for number, name in value.items():
        if not (number.isascii() and number.isdigit() and len(number) <= 9):
            raise _BrokenRuleError(f'{key}: the key "{number}" is not a whole number from 0 on')
        if not isinstance(name, str) or not name.strip():
            raise _BrokenRuleError(f"{key}: the name of {number} must be a string, not empty, got {_shown(name)}")
        if int(number) in named:
            raise _BrokenRuleError(f"{key}: {int(number)} is named twice")
        named[int(number)] = name.strip()
    return named


def _read_cases(root: Path, content: Mapping[str, Any]) -> tuple[Case, ...]:
    entries = _required(content, "training")
    if not isinstance(entries, list) or not entries:
        raise _BrokenRuleError(f"training must be a list of cases, not empty, got {_shown(entries)}")
    cases: dict[str, Case] = {}
    used: dict[Path, str] = {}
    for index, entry in enumerate(entries):
        place = f"training[{index}]"
        if not isinstance(entry, dict):
            raise _BrokenRuleError(f"{place} must be an object with image and label, got {_shown(entry)}")
        paths = {key: _read_path(entry, key, place) for key in ("image", "label")}
        if paths["image"].name.startswith("._"):
            continue
        for key, path in paths.items():
            if root / path in used:
                raise _BrokenRuleError(f"{place}.{key}: {path} is already listed as {used[root / path]}")
            used[root / path] = f"{place}.{key}"
        name = paths["image"].name.removesuffix(".gz").removesuffix(".nii")
        if name in cases:
            raise _BrokenRuleError(
                f'{place}.image: a second case "{name}" besides {cases[name].image.relative_to(root)}; names differ'
            )
        cases[name] = Case(name, root / paths["image"], root / paths["label"])
    if not cases:
        raise _BrokenRuleError("training lists no case besides `._` files, which are no images")
    return tuple(cases.values())


def _read_notes(manifest: Path, content: Mapping[str, Any], cases: tuple[Case, ...]) -> tuple[str, ...]:
    declared = content.get("numTraining", len(cases))
    counted = (len(cases), len(content["training"]))  # without and with entries that are skipped
    if declared in counted and not isinstance(declared, bool):
        return ()
    return (
        f"{manifest}: numTraining is {_shown(declared)}, but training lists {len(cases)} cases; all of these count",
    )


def _read_path(entry: Mapping[str, Any], key: str, place: str) -> PurePosixPath:
    """A path relative to the data set's folder; PurePosixPath drops `./`."""
    value = _required(entry, key, place=f"{place}.")
    if not isinstance(value, str):
        raise _BrokenRuleError(f"{place}.{key} must be a path, got {_shown(value)}")
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts or "\0" in value:
        raise _BrokenRuleError(f"{place}.{key}: {_shown(value)} leaves the data set's folder; give a path inside it")
    if not path.name.endswith((".nii", ".nii.gz")):
        raise _BrokenRuleError(f"{place}.{key}: {_shown(value)} is not a NIfTI file (.nii or .nii.gz)")
    return path


def _missing_files(cases: tuple[Case, ...]) -> Iterable[Path]:
    return (file for case in cases for file in (case.image, case.label) if not _is_file(file))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name longer than the file system takes, a folder that may not be looked into
        return False


def _required(content: Mapping[str, Any], key: str, *, place: str = "") -> Any:
    if key not in content:
        raise _BrokenRuleError(f"{place}{key} is missing")
    return content[key]


def _shown(value: object) -> str:
    """The value as JSON, cut short so that a message stays readable."""
    text = json.dumps(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _kind(value: object) -> str:
    names = {list: "a list", str: "a string", bool: "a truth value", int: "a number", float: "a number"}
    return names.get(type(value), "null")
