"""How a sweep is doing, read from its study alone: while it runs, after it died, from another machine, without Ray."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import optuna
from optuna.trial import FrozenTrial

from tuner.best import Best
from tuner.cells import short
from tuner.columns import Column, Rows
from tuner.config import SweepConfig
from tuner.directory import SweepDirectory
from tuner.drivers import living_drivers
from tuner.durations import about, duration
from tuner.failure import told_failure
from tuner.markdown import count
from tuner.owner import Owner, read_owner
from tuner.results import read_results
from tuner.rungs import FULL_BUDGET
from tuner.standing import Standing
from tuner.storage import SWEEP, open_storage, storage_place, stored_name, takes_several_drivers
from tuner.stored_study import readable

POINTS = 4
"""Of a learning curve the last ones are shown."""


@dataclass(frozen=True, kw_only=True)
class SweepStatus:
    """A sweep at one moment."""

    directory: SweepDirectory
    search: Standing
    confirm: Standing | None
    """The trainings of the best with other seeds; None before they were planned."""

    folds: Standing | None
    """The trainings of the best on every fold; None where `voxtune train --folds` was not begun."""

    owner: Owner | None
    """The driver that works on the sweep's directory, or worked on it until it died; None if the last one left in
    order."""

    drivers: int
    """How many drivers work on the sweep, as far as can be told from here. In a database on a server those of other
    directories (`--join`) count too."""

    failure: str | None
    """Why the last driver could not go on; None if it could, or one is at work."""

    best: Best | None
    """What the sweep's results call best."""

    over: str | None
    """What ended the search before all its trials, such as a limit of time; None if nothing did."""

    searched: tuple[str, ...]
    """The parameters that are searched."""

    now: datetime
    """Local time, without a zone, as Optuna gives the study's times to whoever reads it."""

    @property
    def driven(self) -> bool:
        """Whether a driver works on the sweep, in this directory or, on a database server, in another."""
        return self.drivers > 0

    @property
    def seconds_left(self) -> float | None:
        """Expected until the stage that is under way ends; None while there is no ground for it."""
        return self.stages[-1].seconds_left

    @property
    def stages(self) -> tuple[Standing, ...]:
        """Those that were begun, in their order."""
        return tuple(stage for stage in (self.search, self.confirm, self.folds) if stage is not None)

    @property
    def begun(self) -> datetime | None:
        """When the first trial began."""
        return min((trial.datetime_start for trial in self._trials() if trial.datetime_start), default=None)

    @property
    def last_ended(self) -> datetime | None:
        """When a trial last ended."""
        return max((trial.datetime_complete for trial in self._trials() if trial.datetime_complete), default=None)

    def _trials(self) -> Iterable[FrozenTrial]:
        for stage in self.stages:
            yield from (*stage.running, *stage.interrupted, *stage.ended)


def read_status(directory: SweepDirectory, *, now: datetime | None = None) -> SweepStatus:
    """How the sweep in `directory` is doing; `now` is local time. Changes nothing.

    Raises StudyError if its study can't be read, or was not begun yet.
    """
    config = SweepConfig.read(directory.sweep_file)
    results = read_results(directory)
    owner = read_owner(directory.root)
    now = now or datetime.now()
    drivers, shared = int(_is_alive(owner)), takes_several_drivers(config.storage)
    if shared:
        drivers = max(drivers, _living_drivers(config, directory))

    def later(trials: Sequence[FrozenTrial]) -> Standing | None:
        """Of a stage that one driver works on alone: it may be another directory's, of which nothing is known here."""
        return Standing.of(trials, driven=drivers > 0 or (shared and owner is None), now=now) if trials else None

    return SweepStatus(
        directory=directory,
        search=Standing.of(results.sweep_trials, endless=config.search.endless, driven=drivers > 0, now=now),
        confirm=later(results.confirm_trials),
        folds=later(results.fold_trials),
        owner=owner,
        drivers=drivers,
        failure=None if drivers else told_failure(directory),
        best=results.best,
        over=results.over,
        searched=tuple(results.space.searched),
        now=now,
    )


def _is_alive(owner: Owner | None) -> bool:
    return owner is not None and owner.alive


def _living_drivers(config: SweepConfig, directory: SweepDirectory) -> int:
    """How many drivers of its search the study itself knows of."""
    storage = open_storage(config.storage, directory.journal)
    with readable(storage_place(config.storage, directory.journal)):
        study = optuna.load_study(study_name=stored_name(SWEEP, config.name, config.storage), storage=storage)
        return len(living_drivers(study))


def status_lines(status: SweepStatus) -> list[str]:
    """How the whole is doing."""
    lines = [f"{status.directory.name}: {status.search.counts()}"]
    if status.confirm is not None:
        lines.append(f"confirm: {status.confirm.counts()}")
    if status.folds is not None:
        lines.append(f"folds: {status.folds.counts()}")
    if status.best is not None and status.best.basis == "confirmed":
        lines.append(
            f"Best: trial {status.best.number}, Dice {status.best.score:.4f} as the mean of {len(status.best.repeats)} "
            "trainings with other seeds"
        )
    elif (best := status.search.best) is not None:
        lines.append(
            f"Best so far: Dice {best.score:.4f}, trial {best.number} at {best.step / FULL_BUDGET:.0%} of budget"
        )
    if failures := status.search.failures():
        lines.append(f"{failures}; see `voxtune logs {status.directory.root} --trial N`")
    page = status.directory.report_page
    report = [f"Report: {page}"] if page.is_file() and not status.drivers else []
    return [*lines, *_times(status), *_driver(status), *report]


def _times(status: SweepStatus) -> list[str]:
    if status.begun is None:
        return []
    now, begun = status.now.astimezone(), status.begun.astimezone()
    text = f"Begun {begun:%Y-%m-%d %H:%M %z}, {duration(_seconds(status.now - status.begun))} ago"
    if status.last_ended is not None:
        text += f"; a trial last ended {duration(_seconds(status.now - status.last_ended))} ago"
    if status.seconds_left is not None:
        end = (now + timedelta(seconds=status.seconds_left)).astimezone()
        day = f"{end:%Y-%m-%d }" if end.date() != now.date() else ""
        text += f"; about {about(status.seconds_left)} left, until {day}{end:%H:%M %z}"
    return [text]


def _driver(status: SweepStatus) -> list[str]:
    if _is_alive(status.owner):
        return [f"Driver: {status.owner}"]
    if status.driven:
        elsewhere = f"{count(status.drivers, 'driver')} of other directories"
        return [f"No driver works on it in this directory; {elsewhere} {'does' if status.drivers == 1 else 'do'}"]
    died = f": the last one died ({status.owner})" if status.owner else ""
    failed = f": the last one failed: {status.failure.splitlines()[0]}" if status.failure and not died else ""
    advice = []
    if _unfinished(status.confirm) or (died and status.folds is None):
        advice = [f"Go on by: voxtune resume {status.directory.root}"]
    elif status.over:
        advice = [f"The search ended: {status.over}", *_longer(status)]
    elif _unfinished(status.search):
        advice = [f"Go on by: voxtune resume {status.directory.root}"]
    elif _unfinished(status.folds):
        advice = ["Go on by the same `voxtune train --folds` as before"]
    return [f"No driver works on it{died or failed}", *advice]


def _longer(status: SweepStatus) -> list[str]:
    """How to have what was left over trained after all."""
    over = "search.minutes" in (status.over or "")
    return [f"For longer: voxtune resume {status.directory.root} --minutes N, in all"] if over else []


def _unfinished(stage: Standing | None) -> bool:
    return stage is not None and bool(stage.to_go or stage.interrupted or stage.running)


def unfinished_trials(status: SweepStatus) -> Rows:
    """A row for each trial of the search that runs or was interrupted, with its learning curve so far."""
    stages = {"running": status.search.running, "interrupted": status.search.interrupted}
    trials = [trial for stage in stages.values() for trial in stage]
    states = tuple(state for state, stage in stages.items() for _ in stage)
    columns = [
        Column(heading="trial", cells=tuple(str(trial.number) for trial in trials)),
        Column(heading="state", cells=states, left=True),
        Column(heading="Dice by budget", cells=tuple(map(curve, trials)), left=True, rank=1),
    ]
    for name in status.searched:
        values = [short(trial.params.get(name, "")) for trial in trials]
        columns.append(Column.of_parameter(name, values, rank=2))
    return Rows(columns)


def curve(trial: FrozenTrial) -> str:
    """`11% 0.7100 → 33% 0.8000`: the Dice at the last steps that it reported."""
    points = sorted(trial.intermediate_values.items())
    shown = [f"{step / FULL_BUDGET:.0%} {score:.4f}" for step, score in points[-POINTS:]]
    return " → ".join(["…", *shown] if len(points) > POINTS else shown)


def _seconds(time: timedelta) -> float:
    return max(0.0, round(time.total_seconds()))
