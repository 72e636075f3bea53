"""What must be right and ready before Ray starts: the data checked, split and preprocessed, every setting tried."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search_spaces.parameters import Choice, Fixed
from search_spaces.space import SearchSpace
from trainables.decathlon import Dataset, read_dataset
from trainables.errors import SettingError
from trainables.fingerprint import Fingerprint, cached_fingerprint
from trainables.preprocessing import PreprocessingPlan, plan_preprocessing
from trainables.split import Split, group_cases, split_cases
from trainables.targets import Targets, plan_targets
from trainables.volumes import Volumes, disk_need, memory_need, prepare_volumes
from tuner.config import SEGMENTATION, DatasetConfig, PreprocessingConfig, SweepConfig
from tuner.errors import SweepConfigError

Progress = Callable[[str, int, int], None]
"""Told the stage's name, how many cases are done, and how many there are."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A data set, ready to train on."""

    dataset: Dataset
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


def split_dataset(dataset: Dataset, config: DatasetConfig) -> Split:
    """Which cases train, validate and test."""
    groups = group_cases([case.name for case in dataset.cases], expression=config.group, file=config.groups_file)
    return split_cases(
        groups,
        folds=config.folds,
        fold=config.fold,
        held_out=config.held_out,
        test_fraction=config.test_fraction,
        seed=config.split_seed,
    )


def prepare(
    config: DatasetConfig,
    preprocessing: PreprocessingConfig,
    *,
    cache: Path,
    check: Callable[[PreprocessingPlan, Targets], None],
    progress: Progress,
    tell: Callable[[str], None] = lambda text: None,
) -> Prepared:
    """Read, check, split and preprocess a data set.

    Args:
        cache: folder of fingerprints and preprocessed volumes.
        tell: told what preprocessing will take, before it begins.
        check: tries the training parameters once it is known what is trained on, before the long part.

    Raises DatasetError, SettingError or SweepConfigError: nothing has been started or overwritten then.
    """
    dataset = read_dataset(config.path)
    targets = plan_targets(dataset.labels, config.labels, regions=config.regions)
    split = split_dataset(dataset, config)
    fingerprint = cached_fingerprint(dataset, cache, progress=lambda done, of: progress("Checking cases", done, of))
    # What the search never sees shapes neither spacing nor intensities.
    seen = fingerprint.subset((*split.train, *split.validation))
    plan = plan_preprocessing(
        seen, dataset.modalities, spacing=preprocessing.spacing, normalisation=preprocessing.normalisation
    )
    check(plan, targets)
    disk, memory = disk_need(fingerprint, plan, targets), memory_need(fingerprint, plan)
    tell(
        f"{len(dataset.cases)} cases; preprocessed they take {_size(disk)} in {cache}, shared by all trials; "
        f"preparing one takes up to {_size(memory)} of memory"
    )
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
    """Bytes for people."""
    return f"{number / 2**30:.1f} GiB" if number >= 2**30 else f"{number / 2**20:.0f} MiB"


def check_space(config: SweepConfig, plan: PreprocessingPlan, targets: Targets) -> None:
    """Try each setting that the search may propose, one at a time beside the default ones.

    Raises SweepConfigError naming the parameter and what is wrong with its value.
    """
    if config.trainable != SEGMENTATION:
        return
    from trainables.precision import resolve_precision  # torch takes seconds to import
    from trainables.segmentation import check_parameters

    for name, parameters in _probes(config.search_space, config.default):
        try:
            check_parameters(parameters, spacing=plan.spacing, channels=len(plan.normalisation), targets=targets)
            if not config.resources.gpus_per_trial:
                resolve_precision(parameters.get("precision", "auto"), "cpu")
        except SettingError as error:
            where = "training" if name in config.training else "space"
            raise SweepConfigError(f"{where}: {error}") from None


def _probes(space: SearchSpace, default: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """One configuration for each choice and each bound, the other parameters at their default or first value."""
    extremes = {
        name: list(parameter.values) if isinstance(parameter, Choice) else [parameter.low, parameter.high]
        for name, parameter in space.items()
        if not isinstance(parameter, Fixed)
    }
    base = {**space.fixed, **{name: values[0] for name, values in extremes.items()}, **default}
    yield from ((name, base) for name in space.fixed)
    for name, values in extremes.items():
        yield from ((name, {**base, name: value}) for value in values)
