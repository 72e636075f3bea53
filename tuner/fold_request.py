"""What a user may ask of `voxtune train --folds`, made a plan: all is right and ready before a driver starts."""

from pathlib import Path
from typing import Any

from trainables.errors import SettingError
from trainables.layouts import read_dataset
from trainables.protocol import TrainingRun
from trainables.split import Split, fold_splits
from tuner.config import ConfirmConfig, DatasetConfig, ResourcesConfig, SearchConfig, SweepConfig
from tuner.config_errors import naming
from tuner.directory import SweepDirectory
from tuner.errors import OutputError, StudyError, SweepConfigError
from tuner.files import check_output
from tuner.fold_plan import ALONE, FoldPlan
from tuner.importing import code_note, import_named
from tuner.machine import cuda_devices
from tuner.preparation import Prepared, groups_of, prepare_sweep
from tuner.results import Results, read_results
from tuner.rungs import FULL_BUDGET
from tuner.space_check import check_trainable
from tuner.sweep_files import read_environment, read_split
from tuner.train import TrainConfig, prepare_config
from tuner.view import View


def folds_asked(text: str) -> int | None:
    """How many folds `--folds` asks for; None for all that the file has. Raises SweepConfigError."""
    if text == "all":
        return None
    if not (text.isascii() and text.isdigit()):
        raise SweepConfigError(
            f"--folds: {text!r} is neither all nor a whole number, into how many the cases are dealt"
        )
    return int(text)


def plan_of_run(directory: SweepDirectory, *, folds: int | None, top: int, view: View) -> FoldPlan:
    """The best `top` configurations of a sweep on every fold.

    Raises a UserError or TrainableError where that can't be; nothing has been changed then.
    """
    config = SweepConfig.read(directory.sweep_file)
    dataset, source = _dataset_of(config.dataset, directory.sweep_file), directory.sweep_file
    results = read_results(directory)
    configurations = top_configurations(results, top, directory)
    if note := code_note(source, config.trainable):
        view.note(note)
    check_trainable(config)
    splits, groups = _splits(dataset, folds, source)
    prepared = prepare_sweep(config.changed({"dataset": _first_of(len(splits))}), view)
    assert prepared is not None  # there is a data set
    _check_data(prepared, directory)
    chosen_on = read_split(directory)["validation"]
    return FoldPlan(
        config=config,
        directory=directory,
        output=directory.folds,
        prepared=prepared,
        splits=splits,
        groups=groups,
        configurations=configurations,
        # None that search or confirm trained with: by their luck the configurations were picked.
        seed=config.search.seed + config.confirm.seeds + 1,
        results=results,
        chosen_on=frozenset(chosen_on),
        instead=f"train its best configuration elsewhere: voxtune train {directory.best_config} --folds N -o FOLDER",
    )


def plan_of_config(
    path: Path, output: Path, *, folds: int | None, device: str | None, threads: int | None, view: View
) -> FoldPlan:
    """The configuration in the file `path` on every fold; study and results lie in the folder `output`.

    Args:
        device: `cpu` or `cuda` instead of the file's; by default a GPU where this machine has one.
        threads: CPU threads of each training instead of the file's.

    Raises a UserError or TrainableError where that can't be; OutputError if `output` holds something else.
    """
    file = TrainConfig.read(path)
    dataset = _dataset_of(file.dataset, path)
    directory = SweepDirectory(output.absolute())
    _check_folder(directory)
    kind = device or file.device or ("cuda" if cuda_devices() else "cpu")
    if kind not in ("cpu", "cuda"):
        raise SweepConfigError(f"--device: with --folds cpu or cuda, got {kind}; each training has a GPU of its own")
    splits, groups = _splits(dataset, folds, path)
    if note := code_note(path, file.trainable):
        view.note(note)
    import_named(file.trainable, key=f"{path}: trainable", kind=TrainingRun)
    first = dataset.model_copy(update=_first_of(len(splits)))
    prepared = prepare_config(file.model_copy(update={"dataset": first}), path, kind, view)
    assert prepared is not None
    config = SweepConfig(
        name="folds",
        dataset=first,
        preprocessing=file.preprocessing,
        trainable=file.trainable,
        space={"fold": {"int": [0, len(splits) - 1]}},
        budget=file.budget,
        search=SearchConfig(trials=len(splits), stop_early=False, seed=file.seed),
        resources=ResourcesConfig(cpus_per_trial=threads or file.threads, gpus_per_trial=float(kind == "cuda")),
        confirm=ConfirmConfig(top=0),
        cache=file.cache,
    )
    return FoldPlan(
        config=config,
        directory=directory,
        output=directory.root,
        prepared=prepared,
        splits=splits,
        groups=groups,
        configurations={ALONE: file.parameters},
        seed=file.seed,
        instead="choose another --output",
    )


def top_configurations(results: Results, top: int, directory: SweepDirectory) -> dict[int, dict[str, Any]]:
    """The parameters of the best `top` configurations by number: the confirmed ones first, by their mean over other
    seeds, then by the search's Dice. Raises StudyError if so many have not reached the full budget."""
    reached = [run.number for run in results.standings if run.finished]
    if not reached:
        furthest = max((run.step for run in results.standings), default=0)
        done = (
            f"the furthest of {len(results.begun)} begun is at {furthest / FULL_BUDGET:.0%}"
            if furthest
            else (f"of {len(results.begun)} begun none was evaluated yet")
        )
        raise StudyError(
            f"{directory.root}: no trial has reached the full budget ({done}), so no configuration can be called "
            f"best; go on by: voxtune resume {directory.root}"
        )
    order = list(dict.fromkeys([*map(int, results.confirmed_summary["config"]), *reached]))
    if top > len(order):
        raise StudyError(
            f"--top: {top} configurations are asked for, and {len(order)} of {directory.root} reached the full budget "
            f"({'trial' if len(order) == 1 else 'trials'} {', '.join(map(str, order[:10]))}"
            f"{', ...' if len(order) > 10 else ''})"
        )
    return {number: {**results.space.fixed, **results.sweep_trials[number].params} for number in order[:top]}


def _check_data(prepared: Prepared, directory: SweepDirectory) -> None:
    """Raises StudyError where the data set is no longer what the sweep searched on."""
    environment = read_environment(directory)
    before, now = environment.get("dataset", {}).get("content_hash"), prepared.fingerprint.content_hash
    if before not in (None, now):
        raise StudyError(
            f"{directory.root}: the data set has changed since the sweep searched on it (content {before[:8]}, now "
            f"{now[:8]}): put it back, or train the configuration on the data of now: voxtune train "
            f"{directory.best_config} --folds all -o FOLDER"
        )


def _dataset_of(dataset: DatasetConfig | None, source: Path) -> DatasetConfig:
    if dataset is None:
        raise SweepConfigError(f"{source}: dataset: --folds deals cases into folds, and no data set is named")
    return dataset


def _splits(dataset: DatasetConfig, asked: int | None, source: Path) -> tuple[tuple[Split, ...], dict[str, str]]:
    """The split of each fold, and whose each case is."""
    folds = asked or dataset.folds
    if asked == 0 or folds is None:
        raise SweepConfigError(
            f"--folds: {'0 is less than 2' if asked == 0 else f'all are none: {source} has a share held_out instead'}; "
            "say into how many the cases are dealt, e.g. --folds 5"
        )
    with naming(source, "dataset."):
        groups = groups_of(read_dataset(dataset.path), dataset)
    try:
        splits = fold_splits(groups, folds=folds, test_fraction=dataset.test_fraction, seed=dataset.split_seed)
    except SettingError as error:
        raise SweepConfigError(f"--{error}") from None
    return splits, groups


def _first_of(folds: int) -> dict[str, Any]:
    """What preparing the first of so many folds changes in `dataset:`."""
    return {"folds": folds, "fold": 0, "held_out": None}


def _check_folder(directory: SweepDirectory) -> None:
    """Raises OutputError where something else lies in the folder, or a file can't be written there."""
    root = directory.root
    if directory.journal.is_file() and not directory.sweep_file.is_file():
        return  # begun before
    if root.is_dir() and any(root.iterdir()):
        raise OutputError(f"{root} exists already and holds no trainings on folds: choose another --output")
    if not root.is_dir():
        check_output(root)
