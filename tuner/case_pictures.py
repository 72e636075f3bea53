"""Draws the best model's validation cases: on the cluster when a sweep ends, here when a report is written later.

Pictures are an extra. Where they can't be made, a sweep or a report goes on without them and says why.
"""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trainables.errors import TrainableError
from tuner.best import Run
from tuner.best_cases import Scores, are_pictured, mean_dice, run_name, validation_scores, worth_a_picture, write_cases
from tuner.config import SweepConfig
from tuner.directory import SweepDirectory
from tuner.owner import read_owner
from tuner.report_best import write_best
from tuner.results import Results, read_results

if TYPE_CHECKING:
    from trainables.pictured_case import PicturedCase
    from tuner.shipping import ShippedFolder
    from tuner.trial_files import TrialFiles
    from tuner.work import Work

MOST_OFF = 0.01
"""By how much the Dice of a pictured case may differ on average from the study's. Another device rounds otherwise; more
than that is another model, or are other data, than what was asked for."""

PATIENCE = 600.0
"""Seconds that a sweep's end waits for its pictures: the cluster may have lost its nodes."""

MOST_SECONDS = 120.0
"""That a report spends on them: on a CPU a large volume may take a minute."""

log = logging.getLogger("voxtune")

Progress = Callable[[int, int], None]


class NotPictured(Exception):  # noqa: N818 (what became of an extra, not an error)
    """Why there are no pictures."""


def draw_at_end(directory: SweepDirectory, sweep: "Work") -> None:
    """Have the cluster draw the best run's cases, unless it did before. Raises nothing but interrupts.

    Args:
        sweep: the search: a task draws them on a trial's share of a device, from the data that the trials had.
    """
    try:
        results = read_results(directory)
        run = _undrawn(directory, results)
        if run is None:
            return
        model = sweep.checkpoints.model(run.study, run.number)
        if model is None:
            raise NotPictured(f"the model of {run_name(run)} is not kept here")
        scores = validation_scores(results, run)
        _write(directory, run, scores, _on_cluster(sweep, model, worth_a_picture(list(scores))))
    except (NotPictured, TrainableError) as reason:
        log.warning("no pictures of the best model's cases: %s", reason)
    except Exception:
        log.exception("no pictures of the best model's cases; try: voxtune report %s", directory.root)


def draw_here(directory: SweepDirectory, results: Results, *, progress: Progress = lambda done, of: None) -> str | None:
    """Draw the best run's cases in this process, unless that was done before. Returns why not, where it can't be.

    From the data set's files, and the model in `best/`. While a driver works on the sweep nothing is drawn: the
    trials need the device.
    """
    config = SweepConfig.read(directory.sweep_file)
    run = _undrawn(directory, results)
    if config.dataset is None or run is None:
        return None
    try:
        if (owner := read_owner(directory.root)) and owner.alive:
            raise NotPictured("the sweep's driver is at work; it makes them in the end")
        _, model = write_best(directory, config, results)
        if model is None:
            raise NotPictured(f"the model of {run_name(run)} is not at hand")
        scores = validation_scores(results, run)
        _write(directory, run, scores, _drawn(model, config.dataset.path, worth_a_picture(list(scores)), progress))
    except (NotPictured, TrainableError, OSError) as reason:
        return str(reason)
    except Exception as error:  # out of memory, for one: the report goes on without
        return f"{type(error).__name__}: {error}"
    return None


def _undrawn(directory: SweepDirectory, results: Results) -> Run | None:
    """The run whose cases are to be drawn, if there is one that ended, with cases, and it was not done before."""
    run = results.best.run if results.best else None
    if run is None or not run.finished or are_pictured(directory, run) or not validation_scores(results, run):
        return None
    return run


def _on_cluster(sweep: "Work", model: str, names: Sequence[str]) -> "list[PicturedCase]":
    import ray  # not needed to draw here
    from ray.exceptions import GetTimeoutError

    task = ray.remote(num_cpus=sweep.resources["cpu"], num_gpus=sweep.resources["gpu"])(_draw_prepared)
    drawn = task.remote(sweep.trial_files, model, sweep.data["volumes"], list(names), sweep.data.get("threads"))
    try:
        found: list[PicturedCase] = ray.get(drawn, timeout=PATIENCE)
    except GetTimeoutError:
        ray.cancel(drawn, force=True)
        raise NotPictured(f"no node had drawn them after {PATIENCE:g} s") from None
    return found


def _draw_prepared(
    files: "TrialFiles", model: str, volumes: "ShippedFolder | str", names: list[str], threads: int | None
) -> "list[PicturedCase]":
    """In a process of a node: from the volumes that its trials were trained on."""
    import torch

    from trainables.model_file import load_model
    from trainables.pictured_case import picture_cases, prepared_cases
    from trainables.volumes import Volumes
    from tuner.shipping import ShippedFolder

    if threads:
        torch.set_num_threads(threads)
    folder = volumes.here() if isinstance(volumes, ShippedFolder) else volumes
    with files.fetched(model) as path:
        trained = load_model(path)
    return list(picture_cases(trained, prepared_cases(Volumes(Path(folder)), names)))


def _drawn(model: Path, dataset: Path, names: Sequence[str], progress: Progress) -> "Iterable[PicturedCase]":
    """In this process: from the data set's files, until `MOST_SECONDS` are over."""
    from trainables.layouts import read_dataset
    from trainables.model_file import load_model
    from trainables.pictured_case import picture_cases, read_cases  # torch takes seconds to import

    if not dataset.exists():
        raise NotPictured(f"the data set is not at {dataset}")
    trained = load_model(model)
    end = time.monotonic() + MOST_SECONDS
    for done, case in enumerate(picture_cases(trained, read_cases(read_dataset(dataset), trained, names)), start=1):
        yield case
        progress(done, len(names))
        if time.monotonic() > end:
            return


def _write(directory: SweepDirectory, run: Run, scores: Scores, cases: "Iterable[PicturedCase]") -> None:
    """Raises NotPictured where what was drawn is not what the study tells of."""
    drawn = {case.name: case for case in cases}
    off = np.mean([abs(mean_dice(case.dice) - mean_dice(scores[name])) for name, case in drawn.items()])
    if off > MOST_OFF:
        raise NotPictured(
            f"the Dice of a case differs by {off:.3f} on average from the study's: the data set or the model at hand "
            f"is not what {run_name(run)} was evaluated with"
        )
    write_cases(directory, run, scores, {name: case.picture for name, case in drawn.items()})
