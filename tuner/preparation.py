"""What must be right and ready before Ray starts: the data checked, split and preprocessed, every setting tried."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainables.dataset import Dataset
from trainables.errors import DatasetError, SettingError
from trainables.fingerprint import Fingerprint, cached_fingerprint
from trainables.layouts import read_dataset
from trainables.preprocessing import PreprocessingPlan, plan_preprocessing
from trainables.protocol import TrainingRun
from trainables.split import Split, group_cases, split_cases
from trainables.targets import Targets, plan_targets
from trainables.volume_need import disk_need, memory_need
from trainables.volumes import Volumes, prepare_volumes
from tuner.config import SEGMENTATION, DatasetConfig, PreprocessingConfig, SweepConfig, cache_folder
from tuner.errors import SweepConfigError
from tuner.importing import import_named
from tuner.patch_plan import padded_patches
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


@contextmanager
def naming(source: Path | str | None, section: str = "") -> Iterator[None]:
    """Errors about a setting of `section`, such as `dataset.`, name the file and the key as it stands there.

    SettingErrors of the block are raised as SweepConfigErrors.
    """
    try:
        yield
    except SettingError as error:
        raise SweepConfigError(f"{f'{source}: ' if source else ''}{section}{error}") from None


def _size(number: int) -> str:
    """Bytes for people; never 0 MiB."""
    return f"{number / 2**30:.1f} GiB" if number >= 2**30 else f"{max(1, round(number / 2**20))} MiB"


def check_trainable(config: SweepConfig) -> None:
    """Raises SweepConfigError unless `trainable` names a training run. A run of the user's own is imported for it."""
    if config.trainable != SEGMENTATION:
        import_named(config.trainable, key=f"{config.source}: trainable", kind=TrainingRun)


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
    for note in _padding_notes(config, prepared):
        view.note(note)
    return prepared


def _padding_notes(config: SweepConfig, prepared: Prepared) -> list[str]:
    """A warning for each patch size, searched or set, that no case comes near to filling."""
    if config.trainable != SEGMENTATION:
        return []
    from trainables.segmentation_config import parse_patch_size, patch_text

    largest = prepared.fingerprint.most_voxels(prepared.volumes.plan.spacing)
    given = {f"space.{name}": values for name, values in config.search_space.extremes().items()}
    given |= {f"training.{name}": [value] for name, value in config.training.items()}
    return [
        f"warning: {config.source}: {key}: {patch_text(patch)} is mostly padding: the largest case has "
        f"{patch_text(largest)} voxels once preprocessed"
        for key, values in given.items()
        if key.endswith(".patch_size")
        for patch in padded_patches(map(parse_patch_size, values), largest)
    ]


def check_settings(config: SweepConfig) -> None:
    """Try each setting that the search may propose, one at a time beside the default ones, as far as no data set
    allows it.

    Raises SweepConfigError naming the file, the parameter's key, and what is wrong with its name or value.
    """
    if config.trainable != SEGMENTATION:
        return
    from trainables.precision import resolve_precision  # torch takes seconds to import
    from trainables.segmentation_config import SegmentationConfig, check_name

    def check(parameters: Mapping[str, Any]) -> None:
        SegmentationConfig.from_mapping(parameters).for_workers(config.resources.workers_per_trial)
        if not config.resources.gpus_per_trial:
            resolve_precision(parameters.get("precision", "auto"), "cpu")

    for section, names in {"training": config.training, "space": config.space}.items():
        with naming(config.source, f"{section}."):
            for name in names:
                check_name(name)
    _try_each(config, check)


def check_space(config: SweepConfig, plan: PreprocessingPlan, targets: Targets) -> None:
    """Try each setting that the search may propose, one at a time beside the default ones, on what is trained on.

    Raises SweepConfigError as `check_settings` does, which has its say first.
    """
    check_settings(config)
    if config.trainable != SEGMENTATION:
        return
    from trainables.segmentation import check_parameters

    def check(parameters: Mapping[str, Any]) -> None:
        check_parameters(parameters, spacing=plan.spacing, channels=len(plan.normalisation), targets=targets)

    _try_each(config, check)


def _try_each(config: SweepConfig, check: Callable[[Mapping[str, Any]], None]) -> None:
    """Raises SweepConfigError where `check` raises SettingError: for the first configuration, or a value beside it."""
    base = config.search_space.first(config.default)
    try:
        check(base)
    except SettingError as error:
        raise SweepConfigError(f"{config.source}: {_section(config, error)}{error}") from None
    for name, values in config.search_space.extremes().items():
        for value in values:
            try:
                check({**base, name: value})
            except SettingError as error:
                own = str(error).startswith(f"{name}: ")
                beside = "" if own else f"{name}: {value} can't be trained beside the other parameters' defaults: "
                raise SweepConfigError(f"{config.source}: space.{beside}{error}") from None


def _section(config: SweepConfig, error: SettingError) -> str:
    """Where the sweep file gives the setting that `error` begins with; nowhere, if it is left at its own default."""
    name = str(error).partition(":")[0]
    for section in ("training", "default", "space"):
        if name in getattr(config, section):
            return f"{section}."
    return ""
