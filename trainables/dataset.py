"""What a data set is to the program, in whatever layout its files lie: cases, channels, labels, groups."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

LARGEST_LABEL = 65535
"""Label values are whole numbers from 0 to this; real data sets stay below 256, a few count past 1000."""

SUFFIXES = (".nii", ".nii.gz")
BACKGROUND = "background"


@dataclass(frozen=True)
class ImageFiles:
    """One image: a file with all its channels, or a file for each. Messages name it by the first."""

    name: str
    """What its label is called, without a suffix."""

    files: tuple[Path, ...]
    """In the order of the data set's channels."""

    @classmethod
    def of(cls, file: Path) -> Self:
        """The image in one file, named by it."""
        return cls(stem(file), (file,))

    def __str__(self) -> str:
        return str(self.files[0])


@dataclass(frozen=True)
class Case:
    """One image with its label."""

    image: ImageFiles
    label: Path
    group: str | None = None
    """Whose case it is, where the data set says so."""

    @property
    def name(self) -> str:
        return self.image.name

    @property
    def files(self) -> tuple[Path, ...]:
        """Those of the image, then the label."""
        return (*self.image.files, self.label)


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A data set as it declares itself; what its files hold is for `case_files` to see."""

    source: Path
    """Its folder or its table, absolute: what `read_dataset` makes it of."""

    manifest: Path
    """The file that lists it, absolute; messages name it."""

    name: str
    modalities: tuple[str, ...]
    """One name a channel, e.g. `("CT",)` or `("FLAIR", "T1w", "t1gd", "T2w")`."""

    labels: Mapping[int, str]
    """Name of each label value, in rising order; 0 is the background. Empty where nothing declares them: then they are
    what the label files hold (`labelled`)."""

    labels_found: bool = False
    """Whether the labels are those of the files, with names that say no more than the value."""

    regions: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Of a data set that wants regions learned, which may overlap: the label values that make each."""

    cases: tuple[Case, ...]
    """At least one, in the order of the manifest; names are unique. All have a group, or none has."""

    notes: tuple[str, ...] = ()
    """What is odd about it, but no reason to refuse it: whole sentences for the user."""

    @property
    def case_names(self) -> tuple[str, ...]:
        return tuple(case.name for case in self.cases)

    @property
    def groups(self) -> dict[str, str]:
        """Whose each case is, by name; empty where the data set does not say."""
        return {case.name: case.group for case in self.cases if case.group is not None}

    def labelled(self, values: Iterable[int]) -> "Dataset":
        """The same, where labels are not declared with names for the `values` that were found."""
        if self.labels:
            return self
        found = {value: f"label_{value}" for value in sorted(values) if value}
        return replace(self, labels={0: BACKGROUND, **found}, labels_found=True)


def stem(file: Path) -> str:
    """A NIfTI file's name without `.nii` or `.nii.gz`."""
    return file.name.removesuffix(".gz").removesuffix(".nii")
