"""Should each device train a trial of its own, or several devices one trial after another? The same trials both ways.

Each way is a sweep like any other, on some of the devices and with some of them a trial, so that what is measured is
what a user gets. What it did is read from its study.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import getpid
from pathlib import Path
from shutil import rmtree
from statistics import mean
from time import time
from typing import Any

from optuna.trial import FrozenTrial

from tuner.cluster_model import Observed
from tuner.config import SEGMENTATION, SweepConfig
from tuner.cpu_watch import CpuWatch, watched_cpu
from tuner.results import Results
from tuner.sweep import run_sweep
from tuner.utilisation import stints
from tuner.view import View


@dataclass(frozen=True, kw_only=True, order=True)
class Way:
    """How devices are used."""

    devices: int
    group: int
    """So many train a trial together: 1 is experiment parallelism, all of them data parallelism."""

    early_stopping: bool

    def __post_init__(self) -> None:
        if self.devices % self.group:
            raise ValueError(f"{self.devices} devices can't be dealt into groups of {self.group}")

    @property
    def slots(self) -> int:
        return self.devices // self.group


@dataclass(frozen=True, kw_only=True)
class TrialFound:
    """What one trial did."""

    number: int
    parameters: Mapping[str, Any]
    steps: tuple[int, ...]
    """The rungs that it reached, in thousandths of the full budget."""

    seconds: tuple[float, ...]
    """From rung to rung, of training and evaluation."""

    scores: tuple[float, ...]
    training: float
    """Seconds, of these `data` drawing batches and `exchange` adding up with other devices."""

    data: float
    exchange: float
    evaluation: float
    optimizer_steps: int
    formats: Mapping[str, str]
    """`precision` and `memory_format`, where the run says them."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """One way, run once."""

    way: Way
    repetition: int
    trials: tuple[TrialFound, ...]
    """In the order in which they began."""

    start_seconds: float
    """From the call to the first trial's begin: data, Ray, processes."""

    seconds: float
    """From the first trial's begin to the last one's end."""

    tail_seconds: float
    """Summed over the slots: nothing left to train, and others still training."""

    driver_seconds: float
    """Of a processor core, meanwhile."""

    @property
    def observed(self) -> Observed:
        """As the model wants it."""
        return Observed(
            slots=self.way.slots,
            seconds=self.seconds,
            durations=tuple(sum(trial.seconds) for trial in self.trials),
            answers=sum(len(trial.steps) + 1 for trial in self.trials),
            driver_seconds=self.driver_seconds,
        )

    @property
    def shares(self) -> dict[str, float]:
        """Where the devices' time went: shares of it that add up to 1."""
        whole = self.way.slots * self.seconds
        spent = {
            name: sum(getattr(trial, name) for trial in self.trials) for name in ("data", "exchange", "evaluation")
        }
        training = sum(trial.training for trial in self.trials)
        found = {
            "training": training - spent["data"] - spent["exchange"],
            **spent,
            "tail": self.tail_seconds,
        }
        shares = {name: seconds / whole for name, seconds in found.items()}
        return {**shares, "between": 1 - sum(shares.values())}

    @property
    def utilisation(self) -> float:
        """Share of the devices' time in training and evaluation, exchange left out."""
        shares = self.shares
        return shares["training"] + shares["data"] + shares["evaluation"]

    @property
    def best_dice(self) -> float:
        return max(trial.scores[-1] for trial in self.trials)

    @property
    def mean_dice(self) -> float:
        """Over the trials that reached the full budget."""
        return mean(trial.scores[-1] for trial in self.finished)

    @property
    def finished(self) -> list[TrialFound]:
        last = max(trial.steps[-1] for trial in self.trials)
        return [trial for trial in self.trials if trial.steps[-1] == last]


def all_ways(devices: Sequence[int]) -> list[Way]:
    """Each number of devices, in groups of each of these numbers (and one by one), with and without early stopping."""
    groups = sorted({1, *devices})
    return [
        Way(devices=count, group=group, early_stopping=early_stopping)
        for early_stopping in (False, True)
        for count in sorted(set(devices))
        for group in groups
        if group <= count and count % group == 0
    ]


def sweep_for(config: SweepConfig, way: Way, *, trials: int, name: str) -> SweepConfig:
    """The user's sweep as it is run one way: the same trials, drawn at random, in every way.

    Nothing of it is kept in the user's own study or storage, and nobody is told of its end.
    """
    return config.changed(
        {
            "name": name,
            "search": {
                "trials": trials,
                "minutes": None,
                "device_hours": None,
                "terminate": False,
                "sampler": "random",
                "sampler_options": {},
                "objectives": ("dice",),
                "stop_early": way.early_stopping,
                "keep_models": 1,
            },
            "resources": {"workers_per_trial": way.group, "trials_at_once": way.slots},
            "confirm": {"top": 0},
            "storage": None,
            "checkpoints": None,
            "on_end": None,
        }
    )


def measure(
    config: SweepConfig,
    ways: Sequence[Way],
    *,
    trials: int,
    repetitions: int,
    known: Sequence[Search],
    folder: Path,
    address: str | None,
    view: View,
) -> Iterator[Search]:
    """Run each way, over and over, so that what else the machines do meets them alike.

    Args:
        known: what was measured before, and is not repeated.
        folder: of the sweeps, which are gone when they are measured.
    """
    done = {(search.way, search.repetition) for search in known}
    todo = [(way, number) for number in range(repetitions) for way in ways if (way, number) not in done]
    for way, number in todo:
        config = _settled(config, known)
        view.note(f"{described(way)}, search {len(known) + 1} of {len(ways) * repetitions}")
        name = f"{way.devices}x{way.group}"
        rmtree(folder / name, ignore_errors=True)  # of a study that was broken off
        began = time()
        with watched_cpu(getpid()) as driver:
            results = run_sweep(
                sweep_for(config, way, trials=trials, name=name),
                runs=folder,
                address=address,
                report=False,
                view=view,
            )
        rmtree(folder / name)
        known = [*known, found_search(results, way, number, began=began, driver=driver)]
        yield known[-1]


def described(way: Way) -> str:
    """For people."""
    together = "each a trial" if way.group == 1 else f"{way.group} a trial"
    devices = "1 device" if way.devices == 1 else f"{way.devices} devices, {together}"
    return f"{devices}, {'with' if way.early_stopping else 'without'} early stopping"


def found_search(results: Results, way: Way, repetition: int, *, began: float, driver: CpuWatch) -> Search:
    """What the way's study says. Raises SweepFailed, as every sweep does, if no trial gave a result."""
    frame = stints(results.sweep_trials)
    first, last = frame["began"].min(), frame["ended"].max()
    order = frame.drop_duplicates("number")["number"]
    by_number = {trial.number: trial for trial in results.begun if trial.user_attrs.get("evaluations")}
    ends = frame.groupby("slot")["ended"].max()
    unused = way.slots - len(ends)
    return Search(
        way=way,
        repetition=repetition,
        trials=tuple(_trial(by_number[number]) for number in order if number in by_number),
        start_seconds=first - began,
        seconds=last - first,
        tail_seconds=float((last - ends).sum()) + unused * (last - first),
        driver_seconds=driver.seconds(first, last),
    )


def _trial(trial: FrozenTrial) -> TrialFound:
    evaluations, facts = trial.user_attrs["evaluations"], trial.user_attrs
    ends = [one["training_seconds"] + one["evaluation_seconds"] for one in evaluations]
    return TrialFound(
        number=trial.number,
        parameters=dict(trial.params),
        steps=tuple(one["step"] for one in evaluations),
        seconds=tuple(end - before for end, before in zip(ends, [0.0, *ends], strict=False)),
        scores=tuple(one["score"] for one in evaluations),
        training=evaluations[-1]["training_seconds"],
        data=facts.get("data_seconds", 0.0),
        exchange=facts.get("exchange_seconds", 0.0),
        evaluation=evaluations[-1]["evaluation_seconds"],
        optimizer_steps=evaluations[-1]["steps"],
        formats={name: facts[name] for name in ("precision", "memory_format") if name in facts},
    )


def _settled(config: SweepConfig, known: Sequence[Search]) -> SweepConfig:
    """The sweep in the number format that was the fastest when its first way began: one for all that are compared."""
    if config.trainable != SEGMENTATION or not known or "precision" in config.space:
        return config
    settled = {name: value for name, value in known[0].trials[0].formats.items() if name not in config.search_space}
    return config.changed({"training": settled})
