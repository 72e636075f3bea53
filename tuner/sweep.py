"""Begins a sweep, or goes on with one: everything is right and ready before a driver starts."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tuner.config import SweepConfig
from tuner.data_facts import data_facts
from tuner.directory import SweepDirectory
from tuner.drive import Drive
from tuner.environment import describe_environment
from tuner.errors import StudyError
from tuner.files import replace_file, write_text
from tuner.importing import code_note
from tuner.interrupt import terminated_as_interrupted
from tuner.on_end import told_at_end
from tuner.preparation import Prepared, prepare_sweep
from tuner.quiet import library_messages
from tuner.results import Results
from tuner.sampler import sampler_factory
from tuner.share import check_trials_fit_here
from tuner.space_check import check_trainable
from tuner.storage import SWEEP, holds_password, shown_url, stored_name, stored_studies
from tuner.view import View
from tuner.warm_start import EarlierBest, best_of_earlier
from tuner.webhook_url import is_secret, resolved


@terminated_as_interrupted()
def run_sweep(
    config: SweepConfig,
    *,
    runs: Path = Path("runs"),
    address: str | None = None,
    join: bool = False,
    earlier: Sequence[SweepDirectory] = (),
    report: bool = True,
    view: View | None = None,
    verbose: bool = False,
) -> Results:
    """Run a new sweep in `runs/NAME`: prepare the data, search, confirm, report.

    Args:
        address: of a running Ray cluster (`auto` or `HOST:PORT`); None starts Ray on this machine.
        join: help with the sweep of this name in the database `storage`, which another driver began and will confirm.
        earlier: sweeps whose best configurations are tried first, as far as the space holds them.
        report: whether one is written at the end; not needed where the sweep's directory is thrown away.
        view: where progress is shown; nowhere by default.
        verbose: whether Ray's and Optuna's messages reach the terminal.

    Raises a UserError, TrainableError or ClusterError before a trial starts, and leaves nothing then; SweepFailed if
    no trial gave a result or, with a trial begun, the study can't be written; SweepInterrupted if the user stopped it.
    """
    view = view or View(quiet=True)
    SweepDirectory.check_free(runs / config.name)
    _check_settings(config, address)
    _check_name(config, join=join)
    best = _best_of(earlier, config, join=join)
    for found in best:
        view.note(str(found))
    prepared = prepare_sweep(config, view)
    directory = SweepDirectory.create(runs / config.name)
    drive = Drive(config, directory, prepared, view, join, best, report)
    try:
        _write_set_up(directory, config, prepared)
        # One that helps ends before the sweep does.
        with drive.owned(), told_at_end(None if join else config.on_end, directory, tell=view.note):
            return drive.run(address=address, verbose=verbose)
    finally:
        if not drive.began:
            shutil.rmtree(directory.root)


@terminated_as_interrupted()
def resume_sweep(
    directory: SweepDirectory,
    *,
    trials: int | None = None,
    minutes: float | None = None,
    confirm: bool = True,
    address: str | None = None,
    view: View | None = None,
    verbose: bool = False,
) -> Results:
    """Go on with a sweep over the same study: finished trials stay, interrupted ones go on.

    Args:
        trials: how many in all from now on, if not as many as before.
        minutes: how long a search in all from now on, what is searched already included.

    Raises as `run_sweep` does; SweepDirectoryError if no run was begun there; StudyError if data or settings are no
    longer those of the study's trials.
    """
    view = view or View(quiet=True)
    directory.check_begun()
    config = SweepConfig.read(directory.sweep_file)
    longer = {name: value for name, value in {"trials": trials, "minutes": minutes}.items() if value is not None}
    config = config.changed({"search": longer})
    if note := code_note(config.source, config.trainable, config.search.sampler):
        view.note(note)
    _check_settings(config, address)
    prepared = prepare_sweep(config, view)
    drive = Drive(config if confirm else config.changed({"confirm": {"top": 0}}), directory, prepared, view)
    with drive.owned():
        directory.remove_torn_files()
        with library_messages(None, verbose=verbose):
            drive.study()  # before anything is changed: do scores made so far compare with those to come?
        if longer:
            _write_sweep_file(directory, config)
        with told_at_end(config.on_end, directory, tell=view.note):
            return drive.run(address=address, verbose=verbose)


def _check_settings(config: SweepConfig, address: str | None) -> None:
    """Raises SweepConfigError or ClusterError for what would else show after preprocessing: code or options that can't
    be used, a variable that is not set, trials that this machine can't hold."""
    check_trainable(config)
    sampler_factory(config.search, slots=1)
    if config.on_end:
        resolved(config.on_end)
    if address is None:
        check_trials_fit_here(config.resources)


def _check_name(config: SweepConfig, *, join: bool) -> None:
    """Raises StudyError if the database holds a sweep of this name, which a new one must not mix with.

    Or, for one that joins, if it holds none.
    """
    if config.storage is None:
        if join:
            raise StudyError("--join: the sweep file names no `storage`, a database that several drivers share")
        return
    name = stored_name(SWEEP, config.name, config.storage)
    where = shown_url(config.storage)
    there = name in stored_studies(config.storage)
    if there and not join:
        raise StudyError(
            f"storage: {where} holds a study {name!r} already; choose another --name, or help with it by --join"
        )
    if join and not there:
        raise StudyError(f"--join: {where} holds no study {name!r}; begin it without --join")


def _best_of(earlier: Sequence[SweepDirectory], config: SweepConfig, *, join: bool) -> list[EarlierBest]:
    """What the earlier sweeps found. Raises StudyError if a sweep like this one can't begin with it."""
    if earlier and join:
        raise StudyError("--from and --join exclude one another: the driver that began the sweep says what comes first")
    if earlier and config.search.sampler == "grid":
        raise StudyError("--from: a grid (search.sampler) tries every combination anyway")
    found = [best_of_earlier(directory, config.search_space) for directory in earlier]
    first = sum(len(best.trials) for best in found) + bool(config.default)
    if config.search.trials is not None and first >= config.search.trials:
        come = (
            f"--from: {first} trials would come first, the default and the best of earlier sweeps,"
            if found
            else "the default configuration (default) comes first,"
        )
        raise StudyError(f"{come} which leaves none for the search; search.trials is {config.search.trials}")
    return found


def _write_set_up(directory: SweepDirectory, config: SweepConfig, prepared: Prepared | None) -> None:
    """Write what the sweep starts from; `sweep.yaml` last, since it makes the directory a sweep's."""
    environment = describe_environment()
    if prepared:
        environment["dataset"] = data_facts(prepared)
        split = json.dumps(asdict(prepared.split), indent=1)
        write_text(directory.split_file, split)
    text = json.dumps(environment, indent=1)
    write_text(directory.environment_file, text)
    _write_sweep_file(directory, _with_own_groups(config, directory))


def _with_own_groups(config: SweepConfig, directory: SweepDirectory) -> SweepConfig:
    """The config with its groups file copied into the directory: where a job found it, nothing is once it ended."""
    if config.dataset is None or config.dataset.groups_file is None:
        return config
    source = config.dataset.groups_file
    replace_file(directory.groups_file, lambda path: shutil.copyfile(source, path))
    return config.changed({"dataset": {"groups_file": directory.groups_file}})


def _write_sweep_file(directory: SweepDirectory, config: SweepConfig) -> None:
    private = holds_password(config.storage) or is_secret(config.on_end)
    replace_file(
        directory.sweep_file, lambda path: path.write_text(config.to_yaml(), encoding="utf-8"), private=private
    )
