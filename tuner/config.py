"""The sweep file: every key, its meaning, its rule and its default."""

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from search_spaces.space import SearchSpace, parse_space
from search_spaces.yaml_file import read_yaml
from trainables.protocol import Budget, BudgetUnit
from tuner.errors import SweepConfigError

SEGMENTATION = "trainables.segmentation:SegmentationRun"

SectionT = TypeVar("SectionT", bound="Section")


class Section(BaseModel):
    """A part of a configuration file: unknown keys are errors, values are checked, nothing changes later."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)


class DatasetConfig(Section):
    path: Path
    """Folder of a Decathlon-style data set (it holds `dataset.json`). Relative to the sweep file."""

    labels: dict[str, int | list[int]] | None = None
    """Classes to learn, each from one or several of the files' label values; all declared labels by default."""

    regions: bool = False
    """Whether the classes of `labels` may overlap (nested tumour regions): each is then learned on its own."""

    group: str | None = None
    """Keeps cases of one subject on one side of a split: an expression over the case's `name` and `number`."""

    groups_file: Path | None = None
    """The same as a CSV file with the columns `case,group`. Relative to the sweep file."""

    folds: int | None = Field(5, ge=2)
    """How many folds the cases are dealt into; null if `held_out` is given."""

    fold: int = Field(0, ge=0)
    """The fold that validates."""

    held_out: float | None = Field(None, gt=0, lt=1)
    """Share of the cases that validates, instead of folds."""

    test_fraction: float = Field(0.0, ge=0, lt=1)
    """Share of the cases that the search never sees."""

    split_seed: int = Field(0, ge=0)
    """Seed of the split."""

    @model_validator(mode="after")
    def _folds_or_share(self) -> "DatasetConfig":
        if (self.folds is None) == (self.held_out is None):
            raise ValueError(
                f"give either folds or held_out, the other null; got folds {self.folds} and held_out {self.held_out}"
            )
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
    spacing: Literal["median"] | tuple[float, float, float] = "median"
    """Voxel size in mm that volumes are resampled to: the data set's median, or three numbers (x, y, z)."""

    normalisation: Literal["auto", "zscore", "ct", "minmax", "none"] = "auto"
    """Of intensities; `auto` goes by each channel's modality."""

    @field_validator("spacing")
    @classmethod
    def _positive(cls, spacing: Any) -> Any:
        if spacing != "median" and min(spacing) <= 0:
            raise ValueError("each spacing must be above 0 mm")
        return spacing


class BudgetConfig(Section):
    unit: BudgetUnit = "voxels"
    """`voxels` seen in training, `flops`, `seconds` of training, or optimizer `steps`."""

    maximum: float = Field(gt=0)
    """What a trial uses that is never stopped."""

    first_rung: float | None = Field(None, gt=0)
    """The lowest budget at which trials are compared; two reductions below the maximum by default."""

    reduction: float = Field(3.0, gt=1)
    """Each rung's budget is this many times the one below, and this share of the trials reaches it."""

    @model_validator(mode="after")
    def _first_below_maximum(self) -> "BudgetConfig":
        if self.first_rung is not None and self.first_rung > self.maximum:
            raise ValueError(f"first_rung {self.first_rung:g} is above maximum {self.maximum:g}")
        return self

    @property
    def first_share(self) -> float:
        return self.reduction**-2 if self.first_rung is None else self.first_rung / self.maximum

    @property
    def full(self) -> Budget:
        return Budget(unit=self.unit, maximum=self.maximum)


Objective = Literal["dice", "training_seconds", "peak_gib"]
"""What a trial is judged by: Dice is to be high, seconds of training and peak device memory low."""


class SearchConfig(Section):
    trials: int | None = Field(16, ge=1)
    """At most so many configurations are trained; null if `minutes` or `device_hours` ends the search."""

    minutes: float | None = Field(None, gt=0)
    """At most so long a search, in minutes of wall-clock time, all its drivers and resumes together."""

    device_hours: float | None = Field(None, gt=0)
    """At most so much training and evaluation, summed over all trials, in hours."""

    terminate: bool = False
    """Whether the search ends when Optuna's terminator expects that little can still be gained."""

    sampler: Literal["tpe", "gp", "random", "quasi-random", "grid"] | Annotated[str, Field(pattern=r"^[\w.]+:\w+$")] = (
        "tpe"
    )
    """`tpe`: Optuna's tree-structured Parzen estimator; `gp`: its Gaussian process; `random` and `quasi-random`
    (Sobol) draws; `grid`: every combination once; `module:Class`: an Optuna sampler of yours (it names code that is
    run)."""

    sampler_options: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments of the sampler's class, its seed excepted."""

    startup_trials: int | None = Field(None, ge=0)
    """Random draws before TPE starts to learn; by default four a slot, but not more than half of the trials."""

    seed: int = Field(0, ge=0)
    """Seed of the sampler and of every trial's training."""

    objectives: tuple[Objective, ...] = ("dice",)
    """What is searched for: Dice alone, or Dice against `training_seconds` or `peak_gib` or both, a Pareto front."""

    stop_early: bool = True
    """Whether trials are stopped at rungs (ASHA); false: each trial uses the full budget."""

    turned_away: int = Field(200, ge=0)
    """At most so many configurations may be turned away before they start, because they can't fit in memory."""

    @model_validator(mode="after")
    def _consistent(self) -> "SearchConfig":
        if self.trials is None and self.minutes is None and self.device_hours is None:
            raise ValueError("trials: null needs minutes or device_hours, or the search would never end")
        if "seed" in self.sampler_options:
            raise ValueError("sampler_options: seed stands under search itself")
        if self.sampler in ("random", "grid") and self.sampler_options:
            raise ValueError(
                f"sampler_options: the sampler {self.sampler} has none; got {', '.join(self.sampler_options)}"
            )
        if "dice" not in self.objectives or len(set(self.objectives)) < len(self.objectives):
            raise ValueError(
                f"objectives must name dice, and each only once; got {', '.join(self.objectives) or 'none'}"
            )
        if len(self.objectives) > 1 and self.stop_early:
            raise ValueError(
                "stop_early must be false where there are several objectives: ASHA stops trials by comparing one "
                f"number, and objectives asks for {len(self.objectives)} ({', '.join(self.objectives)})"
            )
        return self


class ResourcesConfig(Section):
    cpus_per_trial: float = Field(1, gt=0)
    """CPU cores (and threads) of one trial."""

    gpus_per_trial: float = Field(0, ge=0)
    """GPUs of one trial; a fraction lets several share one."""

    trials_at_once: int | None = Field(None, ge=1)
    """A cap; by default as many as the cluster's resources hold."""

    memory_limit_gib: float | None = Field(None, gt=0)
    """GiB that one trial may take on its device, if less than its share of what the device has."""

    memory_estimate: bool = True
    """Whether configurations whose estimated peak memory does not fit are turned away before they start."""

    @field_validator("gpus_per_trial")
    @classmethod
    def _fraction_or_whole(cls, gpus: float) -> float:
        if gpus > 1 and gpus != int(gpus):
            raise ValueError("above 1 it must be a whole number")
        return gpus


class ConfirmConfig(Section):
    top: int = Field(3, ge=0)
    """How many of the best configurations are trained again before one is called best; 0: none."""

    seeds: int = Field(2, ge=1)
    """With how many other seeds each."""


class SweepConfig(Section):
    """A sweep: data, what is trained, what is searched, for how long, on what."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    """Names the sweep's directory, `runs/NAME`."""

    dataset: DatasetConfig | None = None
    """Needed by segmentation runs."""

    preprocessing: PreprocessingConfig = PreprocessingConfig()
    trainable: str = Field(SEGMENTATION, pattern=r"^[\w.]+:\w+$")
    """Import string `module:Class` of the training run. It names code that will be run: use only your own files."""

    training: dict[str, Any] = Field(default_factory=dict)
    """Fixed training parameters, the same for every trial."""

    space: dict[str, Any] = Field(min_length=1)
    """What is searched, e.g. `learning_rate: {float: [1e-4, 1e-2], log: true}`."""

    default: dict[str, Any] = Field(default_factory=dict)
    """The first trial's values of the searched parameters: a sensible default, so that no sweep ends below it."""

    budget: BudgetConfig
    search: SearchConfig = SearchConfig()
    resources: ResourcesConfig = ResourcesConfig()
    confirm: ConfirmConfig = ConfirmConfig()
    storage: str | None = None
    """URL of the study's database; a journal file in the sweep's directory by default."""

    cache: Path | None = None
    """Folder of preprocessed volumes; `$XDG_CACHE_HOME/voxtune` by default. Relative to the sweep file."""

    @model_validator(mode="after")
    def _consistent(self) -> "SweepConfig":
        both = self.training.keys() & self.space.keys()
        if both:
            raise ValueError(f"in training and in space: {', '.join(sorted(both))}; a parameter has one place")
        space = self.search_space
        if self.default:
            missing = space.searched.keys() - self.default.keys()
            if missing:
                raise ValueError(f"default gives no value for {', '.join(sorted(missing))}")
            space.validate({**space.fixed, **self.default})
        if self.trainable == SEGMENTATION and self.dataset is None:
            raise ValueError("dataset is needed to train a segmentation")
        endless = [name for name, parameter in space.searched.items() if parameter.size() is None]
        if self.search.sampler == "grid" and endless:
            raise ValueError(
                f"sampler grid tries every value, but {', '.join(endless)} has no end of them; "
                "give it a step, make it a choice, or take another sampler"
            )
        return self

    @property
    def search_space(self) -> SearchSpace:
        """The space, the fixed training parameters included."""
        return parse_space({**self.training, **self.space})

    @classmethod
    def read(cls, path: Path) -> "SweepConfig":
        """Read a sweep file. Raises SweepConfigError or SpaceError naming file, key, rule and value."""
        return validated(cls, read_yaml(path), source=path).resolved(path.parent)

    def changed(self, changes: Mapping[str, Any]) -> "SweepConfig":
        """The same with some keys changed; sections are merged, and everything is checked again."""
        content = self.model_dump()
        for key, value in changes.items():
            content[key] = {**content[key], **value} if isinstance(value, Mapping) else value
        return validated(type(self), content, source="the command line")

    def resolved(self, base: Path) -> "SweepConfig":
        """The same with all paths absolute; relative ones count from `base`."""
        return self.model_copy(
            update={
                "dataset": self.dataset and self.dataset.resolved(base),
                "cache": self.cache and absolute_path(self.cache, base),
            }
        )

    def to_yaml(self) -> str:
        """As a sweep file that gives this config again."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=120)


def absolute_path(path: Path, base: Path) -> Path:
    """`path` without `~` and `..`; a relative one counts from `base`."""
    return Path(os.path.normpath(base.absolute() / path.expanduser()))


def cache_folder(configured: Path | None) -> Path:
    """Where preprocessed volumes are kept between sweeps."""
    if configured is not None:
        return configured
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "voxtune"


def validated(model: type[SectionT], content: Mapping[str, Any], *, source: Path | str) -> SectionT:
    """Build `model` from a file's content. Raises SweepConfigError naming `source`, key, rule and value."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise SweepConfigError(_explain(model, source, error)) from None


def _explain(model: type[BaseModel], source: Path | str, error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"]) or "sweep"
        if problem["type"] == "extra_forbidden":
            lines.append(f"{source}: {key}: unknown key{_suggest(model, problem['loc'])}")
        elif problem["type"] == "missing":
            lines.append(f"{source}: {key}: is missing")
        else:
            rule = problem["msg"].removeprefix("Value error, ")
            value = "" if isinstance(problem["input"], dict | BaseModel) else f"; got {problem['input']!r}"
            lines.append(f"{source}: {key}: {rule}{value}")
    return "\n".join(lines)


def _suggest(model: type[BaseModel], location: tuple[int | str, ...]) -> str:
    for part in location[:-1]:
        assert isinstance(part, str), location
        annotation = model.model_fields[part].annotation
        model = next(
            option
            for option in getattr(annotation, "__args__", (annotation,))
            if isinstance(option, type) and issubclass(option, BaseModel)
        )
    close = difflib.get_close_matches(str(location[-1]), model.model_fields, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(model.model_fields)}"
