"""Which images and labels a data set holds: reads a `dataset.json` in the raw layout of nnU-Net v2.

    Dataset004_Hippocampus/
    ├── dataset.json      channel_names, labels (name to value), numTraining, file_ending
    ├── imagesTr/         one NIfTI file a channel: CASE_0000.nii.gz, CASE_0001.nii.gz, ...
    └── labelsTr/         one NIfTI file a case: CASE.nii.gz

As in nnU-Net, the cases are what lies in `imagesTr`, unless the key `dataset` lists them: `{CASE: {"images": [...],
"label": ...}}`. Source: nnU-Net's documentation/dataset_format.md, region_based_training.md and ignore_label.md.
"""

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from trainables.dataset import SUFFIXES, Case, Dataset, ImageFiles
from trainables.errors import DatasetError
from trainables.manifest import (
    MANIFEST,
    BrokenRuleError,
    check_values,
    inner_path,
    raise_missing,
    read_channels,
    read_name,
    required,
    shown,
    training_note,
)
from trainables.problems import is_file, name_problem, raise_problems

IGNORE = "ignore"
"""The label of voxels that nobody annotated."""

NIFTI_READERS = ("SimpleITKIO", "NibabelIO", "NibabelIOWithReorient")
"""nnU-Net's own readers of such files."""

_NUMBERED = re.compile(r"Dataset\d{3}_(?=.)")


def is_nnunet_raw(content: Mapping[str, Any]) -> bool:
    """Whether a `dataset.json` is nnU-Net v2's: it has a key that the Decathlon's lacks."""
    return "channel_names" in content or "file_ending" in content


def read_nnunet_raw(root: Path, content: Mapping[str, Any]) -> Dataset:
    """The data set in the folder `root`, absolute, whose `dataset.json` holds `content`; sees that its files are there.

    Raises DatasetError, naming the file, the key, the rule and the value.
    """
    manifest = root / MANIFEST
    try:
        channels, ending = _channels(content), _ending(content)
        labels, regions = _labels(content)
        if "dataset" in content:
            cases = _listed_cases(root, content, len(channels))
            raise_missing(cases)
            notes: tuple[str, ...] = ()
        else:
            cases, notes = _found_cases(root, channels, ending)
        return Dataset(
            source=root,
            manifest=manifest,
            name=read_name(content, default=_NUMBERED.sub("", root.name)),
            modalities=channels,
            labels=labels,
            regions=regions,
            cases=cases,
            notes=(*training_note(manifest, content, len(cases)), *notes, *_reader_note(manifest, content)),
        )
    except BrokenRuleError as error:
        raise DatasetError(f"{manifest}: {error}") from None


def _channels(content: Mapping[str, Any]) -> tuple[str, ...]:
    early = "channel_names" not in content and "modality" in content  # as nnU-Net v2 wrote it in the beginning
    return read_channels(content, "modality" if early else "channel_names")


def _ending(content: Mapping[str, Any]) -> str:
    ending = required(content, "file_ending")
    if ending not in SUFFIXES:
        raise BrokenRuleError(f"file_ending must be .nii.gz or .nii, got {shown(ending)}: only NIfTI files are read")
    return str(ending)


def _labels(content: Mapping[str, Any]) -> tuple[Mapping[int, str], Mapping[str, tuple[int, ...]]]:
    """The name of each label value; and the values of each region, where there is a label of several values."""
    given = required(content, "labels")
    if not isinstance(given, dict) or not given:
        raise BrokenRuleError(f'labels must be an object such as {{"background": 0, "liver": 1}}, got {shown(given)}')
    name, value = next(iter(given.items()))
    if isinstance(value, str) and name.isascii() and name.isdigit():
        raise BrokenRuleError(
            f"labels: name and value are the other way round, as nnU-Net 1 has them: {{{shown(name)}: {shown(value)}}} "
            f"must be {{{shown(value)}: {int(name)}}}"
        )
    groups: dict[str, tuple[int, ...]] = {}
    single: dict[int, str] = {}
    for key, value in given.items():
        name, group = key.strip(), _values(key, value)
        if not name or name in groups:
            raise BrokenRuleError(f"labels: names must differ and not be empty, got {shown(key)}")
        if len(group) > 1 and 0 in group:
            raise BrokenRuleError(f"labels: {name} has 0, the background, among its values {shown(value)}")
        if len(group) == 1 and single.setdefault(group[0], name) != name:
            raise BrokenRuleError(f"labels: {single[group[0]]} and {name} have the same value {group[0]}")
        groups[name] = group
    if IGNORE in groups:
        raise BrokenRuleError(
            f"labels: {IGNORE} ({groups[IGNORE][0]}) marks voxels that nobody annotated, and nothing here leaves those "
            "out of loss and Dice: annotate them, or take the cases that are annotated whole"
        )
    values = sorted({value for group in groups.values() for value in group})
    check_values(values)
    regions = {name: group for name, group in groups.items() if group != (0,)}
    return (
        {value: single.get(value, f"label_{value}") for value in values},
        regions if any(len(group) > 1 for group in regions.values()) else {},
    )


def _values(name: str, value: object) -> tuple[int, ...]:
    values = value if isinstance(value, list) else [value]
    if not values or any(type(entry) is not int or entry < 0 for entry in values):
        raise BrokenRuleError(
            f"labels: {shown(name)} must have a whole number from 0 on, or a list of them for a region, got "
            f"{shown(value)}"
        )
    return tuple(values)


def _listed_cases(root: Path, content: Mapping[str, Any], channels: int) -> tuple[Case, ...]:
    listed = content["dataset"]
    if not isinstance(listed, dict) or not listed:
        raise BrokenRuleError(f"dataset must be an object of cases, not empty, got {shown(listed)}")
    cases: list[Case] = []
    used: dict[PurePosixPath, str] = {}
    for name, entry in listed.items():
        place = f"dataset.{name}"
        if problem := name_problem(name):
            raise BrokenRuleError(f"dataset: the case {shown(name)} {problem}")
        if not isinstance(entry, dict):
            raise BrokenRuleError(f"{place} must be an object with images and label, got {shown(entry)}")
        images = required(entry, "images", place=f"{place}.")
        if not isinstance(images, list) or len(images) != channels:
            raise BrokenRuleError(
                f"{place}.images must list a file for each of {channels} channels, got {shown(images)}"
            )
        keyed = {f"{place}.images[{index}]": image for index, image in enumerate(images)}
        keyed[f"{place}.label"] = required(entry, "label", place=f"{place}.")
        paths = []
        for key, value in keyed.items():
            path = inner_path(value, key)
            if path in used:
                raise BrokenRuleError(f"{key}: {path} is already listed as {used[path]}")
            used[path] = key
            paths.append(root / path)
        cases.append(Case(ImageFiles(name, tuple(paths[:-1])), paths[-1]))
    return tuple(cases)


def _found_cases(root: Path, channels: tuple[str, ...], ending: str) -> tuple[tuple[Case, ...], tuple[str, ...]]:
    """The cases in `imagesTr`, by name, and what is odd about the folders."""
    images, labels = root / "imagesTr", root / "labelsTr"
    name = re.compile(rf"(.+)_(\d{{4}}){re.escape(ending)}")
    found: dict[str, dict[int, Path]] = {}
    problems = []
    for file in _files(images, ending):
        if match := name.fullmatch(file.name):
            found.setdefault(match[1], {})[int(match[2])] = file
        else:
            problems.append(f"{file}: its name says no channel; it must end with one, as in CASE_0000{ending}")
    named = ", ".join(f"{called} (_{channel:04d})" for channel, called in enumerate(channels))
    for case, files in found.items():
        problems += [
            f"{file}: is a channel too many, _{channel:04d}; {MANIFEST} names {named}"
            for channel, file in sorted(files.items())
            if channel >= len(channels)
        ]
        for channel, called in enumerate(channels):
            if channel not in files:
                missing = images / f"{case}_{channel:04d}{ending}"
                problems.append(f"{missing}: no such file, the channel {called} of the case {case}")
        if not is_file(labels / f"{case}{ending}"):
            problems.append(f"{labels / f'{case}{ending}'}: no such file, the label of the case {case}")
    raise_problems(problems)
    if not found:
        raise DatasetError(f"{images}: holds no file CASE_0000{ending}, as file_ending of {MANIFEST} says")
    cases = tuple(
        Case(ImageFiles(case, tuple(files[channel] for channel in range(len(channels)))), labels / f"{case}{ending}")
        for case, files in found.items()
    )
    lonely = [file.name for file in _files(labels, ending) if file.name.removesuffix(ending) not in found]
    return cases, _lonely_note(labels, lonely)


def _files(folder: Path, ending: str) -> list[Path]:
    """Those with this ending, by name; hidden ones, as macOS archives leave them, are none."""
    try:
        files = sorted(folder.iterdir())
    except OSError as error:
        raise DatasetError(f"{folder}: can't be read: {error.strerror}") from None
    return [file for file in files if file.name.endswith(ending) and not file.name.startswith(".")]


def _lonely_note(folder: Path, names: list[str]) -> tuple[str, ...]:
    if not names:
        return ()
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return (f"{folder}: {', '.join(names[:3])}{more} belong to no image of imagesTr, and are not used",)


def _reader_note(manifest: Path, content: Mapping[str, Any]) -> tuple[str, ...]:
    reader = content.get("overwrite_image_reader_writer")
    if reader is None or reader in NIFTI_READERS:
        return ()
    return (f"{manifest}: overwrite_image_reader_writer is {shown(reader)}; files are read as NIfTI says all the same",)
