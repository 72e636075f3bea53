"""The data set, ready before Ray starts: checked, split and preprocessed, the sweep's settings tried on it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainables.dataset import Dataset
from trainables.errors import DatasetError
from trainables.fingerprint import Fingerprint, cached_fingerprint
from trainables.layouts import read_dataset
from trainables.preprocessing import PreprocessingPlan, plan_preprocessing
from trainables.split import Split, group_cases, split_cases
from trainables.targets import Targets, plan_targets
from trainables.volume_need import disk_need, memory_need
from trainables.volumes import Volumes, prepare_volumes
from tuner.config import DatasetConfig, PreprocessingConfig, SweepConfig, cache_folder
from tuner.config_errors import naming
from tuner.space_check import check_settings, check_space, padding_notes
from tuner.view import View

Progress = Callable[[str, int, int], None]
"""Told the stage's name, how many cases are done, and how many there are."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A data set, ready to train on."""

    dataset: Dataset
    """Its labels are known."""

    split: Split
    fingerprint: Fingerprint
    volumes: Volumes

    def training_data(self, *, threads: int | None = None) -> dict[str, Any]:
        """The `data` of a segmentation run: plain values, small enough to travel with every trial."""
        return {
            "volumes": str(self.volumes.folder),
            "train": list(self.split.train),
            "validation": list(self.split.validation),
            "threads": threads,
        }


def groups_of(dataset: Dataset, config: DatasetConfig) -> dict[str, str]:
    """Whose each case is: as the configuration says, or else the data set itself; by default each is its own."""
    if config.group is None and config.groups_file is None and dataset.groups:
        return dataset.groups
    return group_cases(dataset.case_names, expression=config.group, file=config.groups_file)


def targets_of(dataset: Dataset, config: DatasetConfig) -> Targets:
    """What is learned: as the configuration says, or else the data set itself. `dataset` knows its labels."""
    if config.labels is None and dataset.regions:
        return plan_targets(dataset.labels, dataset.regions, regions=True)
    return plan_targets(dataset.labels, config.labels, regions=config.regions)


def split_dataset(dataset: Dataset, config: DatasetConfig) -> Split:
    """Which cases train, validate and test. Raises DatasetError where all are of one group."""
    groups = groups_of(dataset, config)
    _check_groups(dataset, config, groups)
    return split_cases(
        groups,
        folds=config.folds,
        fold=config.fold,
        held_out=config.held_out,
        test_fraction=config.test_fraction,
        seed=config.split_seed,
    )


def _check_groups(dataset: Dataset, config: DatasetConfig, groups: Mapping[str, str]) -> None:
    """Raises DatasetError unless there is something to validate on besides what is trained on."""
    different = set(groups.values())
    if len(different) > 1:
        return
    if len(groups) == 1:
        raise DatasetError(
            f"{dataset.source}: has one case, {dataset.case_names[0]}; one is needed to train on and another to "
            "validate on: add cases"
        )
    given = {"group": config.group, "groups_file": config.groups_file}
    origin = next((f"{key}: {value}" for key, value in given.items() if value is not None), "its column group")
    raise DatasetError(
        f"{dataset.source}: its {len(groups)} cases are all of the group {different.pop()} ({origin}); cases of one "
        "group stay together, so that none is left to validate on: give each person a group of their own"
    )


def prepare(
    config: DatasetConfig,
    preprocessing: PreprocessingConfig,
    *,
    cache: Path,
    check: Callable[[PreprocessingPlan, Targets], None] = lambda plan, targets: None,
    progress: Progress = lambda stage, done, of: None,
    tell: Callable[[str], None] = lambda text: None,
    source: Path | str | None = None,
) -> Prepared:
    """Read, check, split and preprocess a data set.

    Args:
        cache: folder of fingerprints and preprocessed volumes.
        check: tries the training parameters once it is known what is trained on, before the long part.
        tell: told what is odd about the data set, and what preprocessing will take, before it begins.
        source: the file that `config` and `preprocessing` were read from, to be named in errors.

    Raises DatasetError, SettingError or SweepConfigError: nothing has been started or overwritten then.
    """
    dataset = read_dataset(config.path)
    for note in dataset.notes:
        tell(note)
    with naming(source, "dataset."):
        if dataset.labels:  # else they are known once every file was read
            targets_of(dataset, config)
        split = split_dataset(dataset, config)
    with naming(source):
        fingerprint = cached_fingerprint(dataset, cache, progress=lambda done, of: progress("Checking cases", done, of))
    for note in fingerprint.flat_notes(dataset.modalities):
        tell(note)
    dataset = dataset.labelled(fingerprint.labels)
    with naming(source, "dataset."):
        targets = targets_of(dataset, config)
    # What the search never sees shapes neither spacing nor intensities.
    seen = fingerprint.subset((*split.train, *split.validation))
    with naming(source, "preprocessing."):
        plan = plan_preprocessing(
            seen, dataset.modalities, spacing=preprocessing.spacing, normalisation=preprocessing.normalisation
        )
    check(plan, targets)
    disk, memory = disk_need(fingerprint, plan, targets), memory_need(fingerprint, plan)
    tell(
        f"{len(dataset.cases)} cases; preprocessed they take {_size(disk)} in {cache}, shared by all trials; "
        f"preparing one takes up to {_size(memory)} of memory"
    )
    with naming(source):
        volumes = prepare_volumes(
            dataset,
            targets,
            plan,
            fingerprint,
            cache=cache,
            progress=lambda done, of: progress("Preprocessing", done, of),
        )
    return Prepared(dataset=dataset, split=split, fingerprint=fingerprint, volumes=volumes)


def _size(number: int) -> str:
    """Bytes for people; never 0 MiB."""
    return f"{number / 2**30:.1f} GiB" if number >= 2**30 else f"{max(1, round(number / 2**20))} MiB"


def prepare_sweep(config: SweepConfig, view: View) -> Prepared | None:
    """The data set of a sweep, made ready, and its space tried on it; None for a training run that needs no data.

    Raises as `prepare` and `check_space` do; what no data set allows, before the data are looked at.
    """
    check_settings(config)
    if config.dataset is None:
        return None
    with view.preparing():
        prepared = prepare(
            config.dataset,
            config.preprocessing,
            cache=cache_folder(config.cache),
            check=lambda plan, targets: check_space(config, plan, targets),
            progress=view.progress,
            tell=view.note,
            source=config.source,
        )
    for note in padding_notes(config, prepared.fingerprint.most_voxels(prepared.volumes.plan.spacing)):
        view.note(note)
    return prepared
