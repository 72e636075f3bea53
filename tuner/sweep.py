"""A sweep from its config to its report."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import optuna

from cluster.connect import Cluster, connect
from cluster.errors import ClusterError
from tuner import machine
from tuner.config import SweepConfig, cache_folder
from tuner.confirm import confirming_work, score_on_test_cases
from tuner.directory import SweepDirectory
from tuner.environment import describe_environment
from tuner.errors import StudyError, SweepFailed, SweepInterrupted
from tuner.files import replace_file
from tuner.preparation import Prepared, check_space, prepare
from tuner.quiet import library_messages
from tuner.report import write_report
from tuner.results import Results, read_results
from tuner.rungs import SuccessiveHalving, rung_steps
from tuner.sampler import sampler_factory
from tuner.search import Work, search
from tuner.storage import CONFIRM, SWEEP, open_storage, stored_name
from tuner.study import DEFAULT_ORIGIN, SweepStudy
from tuner.view import View


def run_sweep(
    config: SweepConfig,
    *,
    runs: Path = Path("runs"),
    address: str | None = None,
    view: View | None = None,
    verbose: bool = False,
) -> Results:
    """Run a new sweep in `runs/NAME`: prepare the data, search, confirm, report.

    Args:
        address: of a running Ray cluster (`auto` or `HOST:PORT`); None starts Ray on this machine.
        view: where progress is shown; nowhere by default.
        verbose: whether Ray's and Optuna's messages reach the terminal.

    Raises a UserError, TrainableError or ClusterError before a trial starts, and leaves nothing then; SweepFailed if
    no trial gave a result; SweepInterrupted if the user stopped it.
    """
    view = view or View(quiet=True)
    SweepDirectory.check_free(runs / config.name)
    _check_unused(config, runs)
    prepared = _prepare(config, view)
    directory = SweepDirectory.create(runs / config.name)
    _write_set_up(directory, config, prepared)
    try:
        return _drive(config, directory, prepared, address=address, view=view, verbose=verbose)
    except ClusterError:  # no trial was begun
        shutil.rmtree(directory.root)
        raise


def resume_sweep(
    directory: SweepDirectory,
    *,
    trials: int | None = None,
    address: str | None = None,
    view: View | None = None,
    verbose: bool = False,
) -> Results:
    """Go on with a sweep over the same study: finished trials stay, interrupted ones go on, `trials` in all."""
    view = view or View(quiet=True)
    config = SweepConfig.read(directory.sweep_file)
    if trials is not None:
        config = config.model_copy(update={"search": config.search.model_copy(update={"trials": trials})})
        replace_file(directory.sweep_file, lambda path: path.write_text(config.to_yaml()))
    return _drive(config, directory, _prepare(config, view), address=address, view=view, verbose=verbose)


def _drive(
    config: SweepConfig,
    directory: SweepDirectory,
    prepared: Prepared | None,
    *,
    address: str | None,
    view: View,
    verbose: bool,
) -> Results:
    """Search, confirm and report, over whatever the study holds already."""
    cores = machine.usable_cores()
    with (
        directory.owned(),
        library_messages(directory.log_file, verbose=verbose),
        connect(address, cores=cores, verbose=verbose) as cluster,
    ):
        if cluster.dashboard:
            view.note(f"Ray dashboard: {cluster.dashboard}")
        work = _work(config, directory, prepared, cluster)
        try:
            with view.watching(work.study, trials=work.trials, title=config.name):
                search(work)
            if config.confirm.top and work.study.ranking():
                _confirm(work, config, prepared, view)
        except KeyboardInterrupt:
            raise SweepInterrupted(f"Stopped. Nothing is lost; go on by: voxtune resume {directory.root}") from None
        finally:
            write_report(directory)
    results = read_results(directory)
    if results.trials["score"].isna().all():
        raise SweepFailed(f"no trial gave a result; the first error: {work.study.first_error()}; see {directory.root}")
    return results


def _confirm(work: Work, config: SweepConfig, prepared: Prepared | None, view: View) -> None:
    confirm = SweepStudy.open(
        open_storage(config.storage, work.directory.journal),
        stored_name(CONFIRM, config.name, config.storage),
        work.study.space,
    )
    repeats = confirming_work(work, confirm, config.confirm)
    with view.watching(confirm, trials=repeats.trials, title="confirm"):
        search(repeats)
    if prepared and prepared.split.test:
        score_on_test_cases(work, repeats, dataset=prepared.dataset.root, cases=prepared.split.test)


def _check_unused(config: SweepConfig, runs: Path) -> None:
    """Raises StudyError if the database holds a sweep of this name already: a new one must not mix with it."""
    if config.storage is None:
        return
    name = stored_name(SWEEP, config.name, config.storage)
    if name in optuna.get_all_study_names(open_storage(config.storage, runs)):
        raise StudyError(f"storage: {config.storage} holds a study {name!r} already; choose another --name")


def _prepare(config: SweepConfig, view: View) -> Prepared | None:
    """The data set, made ready; None for a training run that needs none."""
    if config.dataset is None:
        return None
    with view.preparing():
        return prepare(
            config.dataset,
            config.preprocessing,
            cache=cache_folder(config.cache),
            check=lambda plan, targets: check_space(config, plan, targets),
            progress=view.progress,
            tell=view.note,
        )


def _work(config: SweepConfig, directory: SweepDirectory, prepared: Prepared | None, cluster: Cluster) -> Work:
    """The search that the config describes, over its study."""
    size = config.resources
    slots = cluster.slots(cpus=size.cpus_per_trial, gpus=size.gpus_per_trial)
    study = SweepStudy.open(
        open_storage(config.storage, directory.journal),
        stored_name(SWEEP, config.name, config.storage),
        config.search_space,
        seed=config.search.seed,
        sampler=sampler_factory(config.search, slots=slots),
    )
    if config.default and not study.trials():
        study.enqueue(config.default, origin=DEFAULT_ORIGIN)
    steps = rung_steps(config.budget.first_share, config.budget.reduction)
    return Work(
        study=study,
        study_name=SWEEP,
        directory=directory,
        trainable=config.trainable,
        data=prepared.training_data(threads=max(1, int(size.cpus_per_trial))) if prepared else {},
        budget=config.budget.full,
        trials=config.search.trials,
        rungs=SuccessiveHalving(steps, config.budget.reduction) if config.search.stop_early else None,
        steps=steps,
        resources={"cpu": size.cpus_per_trial, "gpu": size.gpus_per_trial},
        trials_at_once=min(slots, size.trials_at_once or slots),
    )


def _write_set_up(directory: SweepDirectory, config: SweepConfig, prepared: Prepared | None) -> None:
    """Write what the sweep starts from; `sweep.yaml` last, since it makes the directory a sweep's."""
    environment = describe_environment()
    if prepared:
        environment["dataset"] = {
            "name": prepared.dataset.name,
            "cases": len(prepared.dataset.cases),
            "content_hash": prepared.fingerprint.content_hash,
        }
        split = json.dumps(asdict(prepared.split), indent=1)
        replace_file(directory.split_file, lambda path: path.write_text(split))
    text = json.dumps(environment, indent=1)
    replace_file(directory.environment_file, lambda path: path.write_text(text))
    replace_file(directory.sweep_file, lambda path: path.write_text(config.to_yaml()))
