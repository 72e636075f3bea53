"""What one search is to do: its study, its trials, and the rules by which they end."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from trainables.protocol import Budget
from tuner.checkpoints import Checkpoints
from tuner.limits import Limits
from tuner.rungs import SuccessiveHalving
from tuner.silence import Timeout
from tuner.study import DEFAULT_ORIGIN, StopReason, SweepStudy, was_turned_away
from tuner.trial_files import TrialFiles
from tuner.trial_record import TrialRecord


@dataclass(frozen=True, kw_only=True)
class TooLarge:
    """Why a configuration was not started."""

    estimated_gib: float
    """Estimated peak memory of training it."""

    memory_limit_gib: float
    """What one trial may use."""


def numbers(trials: Sequence[FrozenTrial]) -> list[int]:
    """The numbers of trials."""
    return [trial.number for trial in trials]


@dataclass(frozen=True, kw_only=True)
class Work:
    """What all trials of a search have in common."""

    sweep: str
    """The sweep's name."""

    study: SweepStudy
    study_name: str
    checkpoints: Checkpoints
    trial_files: TrialFiles
    """The files of `checkpoints`, as the trials' processes reach them."""

    record: TrialRecord
    """What is kept of trials for people to look at."""

    ray_results: Path
    """Folder for Ray Tune's own bookkeeping, removed when the search ends."""

    trainable: str
    data: Mapping[str, Any]
    meaning: Callable[[Mapping[str, Any]], tuple[Mapping[str, Any], Mapping[str, Any]]] | None = None
    """Of a trial's parameters in the study what they stand for, where they are not its run's own: the parameters that
    the run is made with, and what is its own of `data`."""

    budget: Budget
    trials: int | None
    """How many trials the study is to hold when the search is over; None: as many as `limits` allow."""

    limits: Limits
    """What ends the search before that."""

    rungs: SuccessiveHalving | None
    """None: no trial is stopped."""

    steps: tuple[int, ...]
    """When trials evaluate, in thousandths of the full budget."""

    resources: Mapping[str, float]
    """Ray resources of one trial, or of each of its workers, e.g. `{"cpu": 1, "gpu": 0.5}`."""

    workers: int = 1
    """How many processes train a trial together."""

    trials_at_once: int
    """How many trials may run at the same time."""

    slots: int = 1
    """How many trials the present nodes hold at once."""

    trial_timeout: Timeout = None
    """After how many minutes of silence a trial's process is ended."""

    keep_models: int = 10
    """Of so many of the best trials the models are kept."""

    replaces_turned_away: bool = True
    """Whether another configuration takes the place of one that was turned away; not on a grid."""

    too_large: Callable[[Mapping[str, Any]], TooLarge | None] = lambda parameters: None
    """Says of a configuration that it can't fit in memory: then it is not started."""

    most_turned_away: int = 200
    """So many are turned away before the search gives up."""

    abandoned: Callable[[Sequence[FrozenTrial]], Collection[int]] = numbers
    """Which RUNNING trials that are not ours have lost their driver, by number: all of them, unless several drivers
    share the study."""

    def over(self) -> str | None:
        """Why no further trial is to start or go on, for people; None while there is no reason."""
        away = sum(was_turned_away(trial) for trial in self.study.trials())
        if away > self.most_turned_away:
            return (
                f"{away} configurations were turned away because they can't fit in memory; narrow the space, or raise "
                "resources.memory_limit_gib or search.turned_away"
            )
        return self.limits.reached(self.study)

    def run_of(self, parameters: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """The parameters and the data of the run that a trial with these parameters is."""
        own, data = self.meaning(parameters) if self.meaning else (parameters, {})
        return dict(own), {**self.data, **data}

    def verdict(self, number: int, step: int) -> StopReason | None:
        """What becomes of a trial that has reported at `step`; None: it goes on."""
        if step == self.steps[-1]:
            return "full budget"
        if self.rungs and self.rungs.judges(step) and not self.rungs.goes_on(number, self.study.scores_at(step)):
            return "stopped at rung"
        return None

    def end(self, number: int, reason: StopReason) -> None:
        """End a trial that went as it should."""
        ended, error = self.study.finish(number, reason)
        self.record.ended(number, ended, error=error)
        if reason == "stopped at rung":
            self.checkpoints.forget_trial(self.study_name, number)
        else:
            self.checkpoints.forget_states(self.study_name, number)
            self.forget_losers()

    def forget_losers(self) -> None:
        """Remove what trials left that have ended and are not among the best, nor the default configuration's."""
        ended = {trial.number: trial for trial in self.study.trials() if trial.state.is_finished()}
        kept = {trial.number for trial in self.study.ranking()[: self.keep_models]}
        kept |= {trial.number for trial in ended.values() if trial.user_attrs.get("origin") == DEFAULT_ORIGIN}
        if len(self.study.optuna.directions) > 1:
            kept |= {trial.number for trial in self.study.optuna.best_trials}
        for number in self.checkpoints.trials(self.study_name):
            if number in ended and number not in kept:
                self.checkpoints.forget_trial(self.study_name, number)
