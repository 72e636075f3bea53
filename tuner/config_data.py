"""The sweep file's part about data: which data set, how it is split, what is done to it before training."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from tuner.section import LenientPath, Section, absolute_path

Length = Annotated[float, Field(gt=0)]
"""mm."""


class DatasetConfig(Section):
    path: LenientPath
    """Folder of a data set in the layout of the Decathlon or of nnU-Net (it holds `dataset.json`), or a CSV file that
    lists cases. Relative to the sweep file."""

    labels: Annotated[dict[str, int | list[int]], Field(min_length=1)] | None = None
    """Classes to learn, each from one or several of the files' label values; by default what the data set declares, or
    every value that its files have."""

    regions: bool = False
    """Whether the classes of `labels` may overlap (nested tumour regions): each is then learned on its own."""

    group: str | None = None
    """Keeps cases of one subject on one side of a split: an expression over the case's `name` and `number`. By default
    the column `group` of a data set that is a CSV file."""

    groups_file: LenientPath | None = None
    """The same as a CSV file with the columns `case,group`. Relative to the sweep file."""

    folds: int | None = Field(5, ge=2)
    """How many folds the cases are dealt into; none where `held_out` is given instead."""

    fold: int = Field(0, ge=0)
    """The fold that validates."""

    held_out: float | None = Field(None, gt=0, lt=1)
    """Share of the cases that validates, instead of folds."""

    test_fraction: float = Field(0.0, ge=0, lt=1)
    """Share of the cases that the search never sees."""

    split_seed: int = Field(0, ge=0, le=2**32 - 1)
    """Seed of the split."""

    @model_validator(mode="after")
    def _folds_or_share(self) -> "DatasetConfig":
        if self.held_out is not None and "folds" not in self.model_fields_set:
            object.__setattr__(self, "folds", None)  # the default gives way to what was asked for
        if (self.folds is None) == (self.held_out is None):
            folds, held_out = ("null" if value is None else value for value in (self.folds, self.held_out))
            raise ValueError(f"give either folds or held_out, not both; got folds {folds} and held_out {held_out}")
        if self.folds is not None and self.fold >= self.folds:
            raise ValueError(f"fold counts from 0 and must be below folds; got fold {self.fold} of {self.folds}")
        if self.group is not None and self.groups_file is not None:
            raise ValueError("give either group or groups_file, not both")
        if self.regions and self.labels is None:
            raise ValueError("regions: true needs labels that say which values make up each region")
        return self

    def resolved(self, base: Path) -> "DatasetConfig":
        """The same with all paths absolute; relative ones count from `base`."""
        return self.model_copy(
            update={
                "path": absolute_path(self.path, base),
                "groups_file": self.groups_file and absolute_path(self.groups_file, base),
            }
        )


class PreprocessingConfig(Section):
    spacing: Literal["median"] | Annotated[tuple[Length, Length, Length], Field(strict=False)] = "median"
    """Voxel size in mm that volumes are resampled to: the data set's median, or three numbers (x, y, z)."""

    normalisation: Literal["auto", "zscore", "ct", "minmax", "none"] = "auto"
    """Of intensities; `auto` goes by each channel's modality."""
