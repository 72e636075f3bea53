"""What a data set is like: taken once by reading and checking every file, then kept as a small JSON file."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Self

import numpy as np

from trainables.case_files import reading_memory
from trainables.case_fingerprint import CaseFingerprint, measure_case
from trainables.dataset import Dataset
from trainables.errors import DatasetError, SettingError
from trainables.intensity import Intensity
from trainables.problems import SHOWN_PROBLEMS, raise_problems
from trainables.resampling import Shape, Spacing, resampled_shape
from trainables.whole_file import replace_file

FORMAT = 2
"""Raised when what `to_mapping` gives, or the rules that a case must keep, change: older caches are then not used."""

FINGERPRINT_MEMORY = 4 * 2**30
"""Bytes that the threads may take together, unless a single case needs more."""


@dataclass(frozen=True)
class Fingerprint:
    """Facts of the cases of a data set, at least one, and what follows from them."""

    cases: tuple[CaseFingerprint, ...]

    @property
    def channels(self) -> int:
        return self.cases[0].channels

    @property
    def labels(self) -> tuple[int, ...]:
        """The data set's label values in rising order: those that it declares, or else those that its cases have."""
        return tuple(self.cases[0].label_voxels)

    @property
    def median_spacing(self) -> Spacing:
        """mm along each RAS axis, the median over cases axis by axis."""
        x, y, z = np.median([case.spacing for case in self.cases], axis=0)
        return float(x), float(y), float(z)

    def median_shape(self, spacing: Spacing | None = None) -> Shape:
        """Voxels along each RAS axis once cropped to content and resampled to `spacing`, mm (default: the median)."""
        target = spacing or self.median_spacing
        shapes = [resampled_shape(case.cropped_shape, case.spacing, target) for case in self.cases]
        x, y, z = np.median(shapes, axis=0)
        return round(float(x)), round(float(y)), round(float(z))

    def most_voxels(self, spacing: Spacing) -> Shape:
        """The case with the most voxels once cropped and resampled to `spacing`, mm: how many along each RAS axis."""
        return max((resampled_shape(case.cropped_shape, case.spacing, spacing) for case in self.cases), key=prod)

    @property
    def class_frequencies(self) -> dict[int, float]:
        """The share of all voxels that each label has, the background included; the sum is 1."""
        counts = {label: sum(case.label_voxels[label] for case in self.cases) for label in self.labels}
        return {label: count / sum(counts.values()) for label, count in counts.items()}

    def foreground(self, channel: int) -> Intensity:
        """Intensities of the labelled voxels of all cases together. Raises DatasetError if there are none."""
        parts = [case.foreground[channel] for case in self.cases if case.foreground]
        if not parts:
            raise DatasetError("no case has a voxel with a label other than 0, the background")
        return Intensity.pooled(parts)

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 over the cases' names and files, hex; the order of the cases does not matter."""
        lines = sorted(f"{case.name}\0{case.content_hash}\n" for case in self.cases)
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def flat_notes(self, channels: Sequence[str]) -> list[str]:
        """For each channel, by name, a sentence for the user where cases have it the same in every voxel."""
        notes = []
        for index, channel in enumerate(channels):
            flat = [case.name for case in self.cases if index in case.flat_channels]
            if flat:
                more = f" and {len(flat) - 5} more" if len(flat) > 5 else ""
                notes.append(f"{channel} is the same in every voxel of {', '.join(flat[:5])}{more}")
        return notes

    def subset(self, names: Iterable[str]) -> Self:
        """The fingerprint of some of the cases, in the order of `names`. Raises KeyError for an unknown one."""
        by_name = {case.name: case for case in self.cases}
        return type(self)(tuple(by_name[name] for name in names))

    def to_mapping(self) -> dict[str, Any]:
        """Plain types, for JSON."""
        return {"format": FORMAT, "cases": [case.to_mapping() for case in self.cases]}

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Self:
        """What `to_mapping` gave, also after JSON. Raises KeyError, TypeError or ValueError for anything else."""
        if mapping["format"] != FORMAT or not mapping["cases"]:
            raise ValueError(f"format {mapping['format']}, not {FORMAT}, or no case")
        return cls(tuple(CaseFingerprint.from_mapping(case) for case in mapping["cases"]))


def take_fingerprint(
    dataset: Dataset, *, workers: int | None = None, progress: Callable[[int, int], None] | None = None
) -> Fingerprint:
    """Read and check every file of `dataset`, with `workers` threads (default: one a core), fewer for huge cases.

    `progress` is called with (cases done, cases in all). Raises one DatasetError that lists what is wrong with the
    first ten cases that break a rule.
    """
    measured: dict[str, CaseFingerprint] = {}
    problems: dict[str, str] = {}
    with ThreadPoolExecutor(_worker_count(dataset, workers)) as pool:
        names = {pool.submit(measure_case, dataset, case): case.name for case in dataset.cases}
        try:
            for done, future in enumerate(as_completed(names), start=1):
                try:
                    measured[names[future]] = future.result()
                except DatasetError as error:
                    problems[names[future]] = str(error)
                    if len(problems) == SHOWN_PROBLEMS:
                        break
                if progress is not None:
                    progress(done, len(names))
        finally:  # after ten problems, or Ctrl-C, the cases not yet begun are left alone
            pool.shutdown(wait=False, cancel_futures=True)
    raise_problems(problems[name] for name in dataset.case_names if name in problems)
    fingerprint = Fingerprint(_with_same_labels(tuple(measured[name] for name in dataset.case_names)))
    if not any(case.foreground for case in fingerprint.cases):
        raise DatasetError(f"{dataset.source}: every voxel of every label file is 0, the background")
    return fingerprint


def cached_fingerprint(
    dataset: Dataset,
    folder: Path,
    *,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Fingerprint:
    """The fingerprint that `folder` keeps for `dataset`, or a new one, kept there from now on.

    A kept one holds as long as the labels, the modalities, the cases' names, and the path, size and times of every file
    are the same.
    Raises SettingError, before anything is measured, if `folder` can't be written to, and DatasetError as
    `take_fingerprint` does; then nothing is kept.
    """
    path = folder / f"fingerprint-{_listing_key(dataset)}.json"
    try:
        return Fingerprint.from_mapping(json.loads(path.read_text()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass  # none there, or one that this version can't use
    with _writing(folder):
        TemporaryFile(dir=next(place for place in (folder, *folder.parents) if place.exists())).close()
    fingerprint = take_fingerprint(dataset, workers=workers, progress=progress)
    with _writing(folder):
        replace_file(path, lambda temporary: temporary.write_text(json.dumps(fingerprint.to_mapping())))
    return fingerprint


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SettingError(
            f"cache: {folder} can't be written: {error.strerror or error}; name another folder by `cache` in the file, "
            "or by the variable XDG_CACHE_HOME"
        ) from None


def _with_same_labels(cases: tuple[CaseFingerprint, ...]) -> tuple[CaseFingerprint, ...]:
    """`cases` with a count for each label that any of them has."""
    labels = sorted({label for case in cases for label in case.label_voxels})
    return tuple(
        replace(case, label_voxels={label: case.label_voxels.get(label, 0) for label in labels}) for case in cases
    )


def _listing_key(dataset: Dataset) -> str:
    files: list[list[str | int]] = []
    for case in dataset.cases:
        files.append([case.name])
        for file in case.files:
            # The change time tells of a file put in place of another with its old modification time.
            stat = file.stat()
            files.append([str(file), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns])
    declared = [sorted(dataset.labels.items()), dataset.modalities]
    return hashlib.sha256(json.dumps([FORMAT, declared, files]).encode()).hexdigest()[:32]


def _worker_count(dataset: Dataset, wanted: int | None) -> int:
    largest = max(dataset.cases, key=lambda case: sum(file.stat().st_size for file in case.image.files))
    fitting = FINGERPRINT_MEMORY // max(1, reading_memory(largest))
    return max(1, min(wanted or len(os.sched_getaffinity(0)), fitting, len(dataset.cases)))
