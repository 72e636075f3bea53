"""Writes a sweep file to start from: looks at a data set and at this machine, and explains each choice in the file."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from pydantic import Field

from search_spaces.presets import preset_file
from search_spaces.yaml_file import parse_yaml
from trainables.dataset import Dataset
from trainables.fingerprint import cached_fingerprint
from trainables.layouts import read_dataset
from trainables.preprocessing import plan_preprocessing
from trainables.split import Split
from tuner import machine
from tuner.calibration import TimeJob
from tuner.config import SEGMENTATION, ConfirmConfig, DatasetConfig, SweepConfig, cache_folder
from tuner.draft_text import sweep_text
from tuner.pace import Pacers
from tuner.preparation import Progress, groups_of, split_dataset, targets_of
from tuner.proposal import Subject, check_minutes, propose, sweep_shape
from tuner.section import Section, SweepName, validated
from tuner.slots import plan_slots
from tuner.space_check import check_space

FOLDS = 5


class Wishes(Section):
    """What can be said of a sweep before its data are looked at."""

    name: SweepName = "sweep"
    trials: int = Field(16, ge=1)
    minutes: float = Field(10.0, gt=0)


def draft_sweep(
    place: Path,
    *,
    name: str | None = None,
    trials: int = 16,
    minutes: float | None = None,
    group: str | None = None,
    groups_file: Path | None = None,
    folds: int | None = None,
    fold: int = 0,
    held_out: float | None = None,
    test_fraction: float = 0.0,
    split_seed: int = 0,
    preset: str | None = None,
    relative_to: Path = Path(),
    cache: Path | None = None,
    progress: Progress = lambda stage, done, of: None,
    tell: Callable[[str], None] = lambda text: None,
    time_job: TimeJob | None = None,
) -> str:
    """The text of a sweep file for a data set, that fits this machine.

    Args:
        place: of the data set: its folder, or a table of cases.
        name: of the sweep; from the data set's name by default.
        trials: how many configurations are tried.
        minutes: how long the search may take; 10 on a CPU and 60 on GPUs by default.
        group, groups_file, fold, held_out, test_fraction, split_seed: as in the sweep file's `dataset`.
        preset: name of a ready-made search space to take instead of a planned one.
        folds: by default 5, or as many as there are subjects where they are fewer.
        relative_to: folder of the sweep file; the data set's path is written relative to it if it lies near.
        cache: folder of fingerprints.
        progress: told how many cases have been checked, and when training is timed.
        tell: told what is odd about the data set, and what takes long before it begins.
        time_job: measures; by default processes of this machine do, one for each trial at a time.

    Raises DatasetError, SettingError, SpaceError or SweepConfigError naming file or key, rule and value.
    """
    source = "voxtune new"
    if preset is not None:
        preset_file(preset)  # an unknown one is told before the data are looked at
    wishes = {"name": name, "trials": trials, "minutes": minutes}
    validated(Wishes, {key: value for key, value in wishes.items() if value is not None}, source=source)
    dataset = read_dataset(place)
    for note in dataset.notes:
        tell(note)
    given = {
        "path": place,
        "group": group,
        "groups_file": groups_file,
        "held_out": held_out,
        "test_fraction": test_fraction,
        "split_seed": split_seed,
    }
    config, split = _split(dataset, given, folds, fold, source)
    slots = plan_slots(
        trials=trials,
        cores=machine.usable_cores(),
        memory_gib=machine.available_memory_gib(),
        devices=machine.cuda_devices(),
    )
    if minutes is not None:
        check_minutes(minutes, sweep_shape(trials, slots))
    with ExitStack() as stack:
        if time_job is None:  # its processes start while cases are checked
            workers = Pacers(slots=1 if slots.gpus else slots.count, threads=slots.cpus, trainable=SEGMENTATION)
            time_job = stack.enter_context(workers).time
            tell("Checking the cases and timing some training on this machine, which may take a minute")
        fingerprint = cached_fingerprint(
            dataset, cache_folder(cache), progress=lambda done, of: progress("Checking cases", done, of)
        )
        for note in fingerprint.flat_notes(dataset.modalities):
            tell(note)
        dataset = dataset.labelled(fingerprint.labels)
        seen = fingerprint.subset((*split.train, *split.validation))
        subject = Subject(
            dataset=dataset,
            config=config,
            split=split,
            fingerprint=fingerprint,
            seen=seen,
            plan=plan_preprocessing(seen, dataset.modalities),
            targets=targets_of(dataset, config),
        )
        confirmed = ConfirmConfig().top * ConfirmConfig().seeds
        progress("Timing some training", 0, 1)
        proposal = propose(
            subject,
            slots,
            trials=trials,
            minutes=minutes,
            preset=preset,
            time_job=time_job,
            confirmed=confirmed,
        )
        progress("Timing some training", 1, 1)
    text = sweep_text(subject, slots, proposal, name=name, trials=trials, folder=relative_to)
    written = validated(SweepConfig, parse_yaml(text), source=source)
    check_space(written, subject.plan, subject.targets)
    return text


def _split(
    dataset: Dataset, given: dict[str, Any], folds: int | None, fold: int, source: str
) -> tuple[DatasetConfig, Split]:
    """The data set's section of the sweep file, and the split that it gives."""
    if folds is None and given["held_out"] is None:
        in_two = validated(DatasetConfig, {**given, "folds": 2}, source=source)
        halves, groups = split_dataset(dataset, in_two), groups_of(dataset, in_two)
        folds = min(FOLDS, len({groups[name] for name in (*halves.train, *halves.validation)}))
    config = validated(DatasetConfig, {**given, "folds": folds, "fold": fold}, source=source)
    return config, split_dataset(dataset, config)
