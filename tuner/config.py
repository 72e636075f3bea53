"""The sweep file: every key, its meaning, its rule and its default."""

import os
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import yaml
from pydantic import AfterValidator, Field, PrivateAttr, model_validator

from search_spaces.errors import SpaceError
from search_spaces.space import SearchSpace, parse_fixed, parse_space
from search_spaces.yaml_file import read_yaml
from trainables.errors import SettingError
from tuner.config_data import DatasetConfig, PreprocessingConfig
from tuner.config_errors import did_you_mean
from tuner.config_search import BudgetConfig, ConfirmConfig, Objective, ResourcesConfig, SearchConfig
from tuner.section import ImportString, LenientPath, Section, SweepName, absolute_path, validated
from tuner.webhook_url import check_form

__all__ = [
    "SEGMENTATION",
    "BudgetConfig",
    "ConfirmConfig",
    "DatasetConfig",
    "Objective",
    "PreprocessingConfig",
    "ResourcesConfig",
    "SearchConfig",
    "SweepConfig",
    "cache_folder",
]

MOST_IN_GRID = 100_000
"""Combinations, which are all laid out before the first is trained."""

SEGMENTATION = "trainables.segmentation:SegmentationRun"


def _without_keys(uri: str) -> str:
    """A place that may be printed and sent along: the keys to it are found by each store's own ways."""
    try:
        parts = urlsplit(uri)
        keys = parts.password is not None or (parts.scheme == "s3" and parts.username is not None)
    except ValueError:
        keys = False
    if keys:
        raise ValueError("must hold no keys; put them into the environment or the file where the store's tools look")
    return uri


class SweepConfig(Section):
    """A sweep: data, what is trained, what is searched, for how long, on what."""

    name: SweepName
    """Names the sweep's directory, `runs/NAME`."""

    dataset: DatasetConfig | None = None
    """Needed by segmentation runs."""

    preprocessing: PreprocessingConfig = PreprocessingConfig()
    trainable: ImportString = SEGMENTATION
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
    storage: str | None = Field(None, json_schema_extra={"writeOnly": True})
    """URL of the study's database; a journal file in the sweep's directory by default. `${NAME}` in it stands for an
    environment variable, so that no password need stand in the file: `postgresql://user:${PASSWORD}@host/database`."""

    on_end: Annotated[str, AfterValidator(check_form)] | None = Field(None, json_schema_extra={"writeOnly": True})
    """URL that is told by POST, as JSON, how the sweep ended: a chat's webhook, or a program's. `${NAME}` in it stands
    for an environment variable, so that no secret need stand in the file: `on_end: ${SLACK_WEBHOOK}`."""

    checkpoints: Annotated[str, AfterValidator(_without_keys)] | None = Field(
        None, json_schema_extra={"writeOnly": True}
    )
    """Where trials keep their states and models: a URI that all nodes reach, `s3://bucket/folder` or `gs://...`, or an
    absolute path that they share. By default the sweep's directory, to which nodes that don't see it send theirs."""

    cache: LenientPath | None = None
    """Folder of preprocessed volumes; `$XDG_CACHE_HOME/voxtune` by default. Relative to the sweep file."""

    _source: Path | str = PrivateAttr("the sweep")

    @model_validator(mode="after")
    def _consistent(self) -> "SweepConfig":
        if both := self.training.keys() & self.space.keys():
            raise ValueError(f"in training and in space: {', '.join(sorted(both))}; a parameter has one place")
        space = self.search_space
        if self.default:
            try:
                object.__setattr__(self, "default", _first_trial(self.default, space))
            except ValueError:
                if self.trainable == SEGMENTATION:
                    _check_values(space)  # a default may lie outside because the space is wrong, which is then told
                raise
        if self.trainable == SEGMENTATION and self.dataset is None:
            raise ValueError("dataset is needed to train a segmentation")
        if self.resources.workers_per_trial > 1 and self.budget.unit == "seconds":
            raise ValueError(
                "budget.unit: seconds differ from worker to worker (resources.workers_per_trial), which must all make "
                "the same steps; take voxels, flops or steps"
            )
        if self.search.sampler == "grid" and (size := space.size() or 0) > MOST_IN_GRID:
            raise ValueError(
                f"search.sampler: grid tries every value, and space has {size:,} combinations, more than "
                f"{MOST_IN_GRID:,}; give larger steps or fewer values, or take another sampler"
            )
        endless = [name for name, parameter in space.searched.items() if parameter.size() is None]
        if self.search.sampler == "grid" and endless:
            raise ValueError(
                f"search.sampler: grid tries every value, and {', '.join(endless)} has no end of them; "
                "give it a step, make it a choice, or take another sampler"
            )
        return self

    @property
    def source(self) -> Path | str:
        """The file it was read from, to be named in messages."""
        return self._source

    @property
    def search_space(self) -> SearchSpace:
        """The space, the fixed training parameters included."""
        return SearchSpace({**parse_fixed(self.training, key="training"), **parse_space(self.space)})

    @classmethod
    def read(cls, path: Path) -> "SweepConfig":
        """Read a sweep file. Raises SweepConfigError or SpaceError naming file, key, rule and value."""
        config = validated(cls, read_yaml(path), source=path).resolved(path.parent)
        config._source = path
        return config

    def changed(self, changes: Mapping[str, Any]) -> "SweepConfig":
        """The same with some keys changed; sections are merged, and everything is checked again."""
        content = self.model_dump()
        for key, value in changes.items():
            content[key] = {**content[key], **value} if isinstance(value, Mapping) else value
        config = validated(type(self), content, source="the command line")
        config._source = self._source
        return config

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


def _first_trial(default: Mapping[str, Any], space: SearchSpace) -> dict[str, Any]:
    """`default` in the spelling of the space's own values. Raises ValueError naming the key."""
    for name in default:
        if name not in space:
            # The slip may be in `space`: who mistypes a name there may have it right here.
            near = get_close_matches(name, space, n=1)
            known = f"; they have {near[0]!r}: is one of the two misspelt?" if near else did_you_mean(name, space)
            raise ValueError(f"default.{name}: neither space nor training has a parameter of this name{known}")
    if missing := space.searched.keys() - default.keys():
        names = ", ".join(f"default.{name}" for name in sorted(missing))
        raise ValueError(f"{names}: is missing; each parameter of space needs the value of the first trial there")
    try:
        point = space.canonical({**space.fixed, **default})
    except SpaceError as error:
        raise ValueError(f"default.{error}") from None
    return {name: point[name] for name in default}


def _check_values(space: SearchSpace) -> None:
    """Raises ValueError naming a searched value that no segmentation run takes, whatever the other settings."""
    from trainables.segmentation_config import SegmentationConfig  # torch takes seconds to import

    for name, values in space.extremes().items():
        for value in values:
            try:
                SegmentationConfig.from_mapping({name: value})
            except SettingError as error:
                if str(error).startswith(f"{name}: must "):
                    raise ValueError(f"space.{error}") from None


def cache_folder(configured: Path | None) -> Path:
    """Where preprocessed volumes are kept between sweeps."""
    if configured is not None:
        return configured
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "voxtune"
