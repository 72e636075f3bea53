"""The study: all that is known of a sweep's trials, in Optuna's terms, written while they run.

A trial's life, and what stands in the study after each step:

    ask      RUNNING    parameters, seed
    report   RUNNING    the Dice at a step (thousandths of the full budget) as an intermediate value; as user
                        attributes the evaluations so far, the last one's cases, and the run's facts
    finish   COMPLETE   reached the full budget; value = its Dice there
             PRUNED     stopped at a rung (value = its last Dice), or did not fit in memory (constraint > 0)
             FAIL       an error or a loss that is not finite; `stop_reason` and `error` say which
    release  WAITING    interrupted; the next driver takes it up from its last checkpoint

Only the driver writes. Every reader (report, results, optuna-dashboard, resume) needs nothing else.
"""

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from search_spaces.parameters import Choice, Fixed, Float, Int, Parameter
from search_spaces.space import SearchSpace
from trainables.protocol import Evaluation
from tuner.errors import StudyError
from tuner.rungs import FULL_BUDGET

StopReason = Literal["full budget", "stopped at rung", "out of memory", "error"]

MEMORY_CONSTRAINT = "memory"

DEFAULT_ORIGIN = "default"
"""The attribute `origin` of the trial with the sweep file's default configuration."""


@dataclass(frozen=True)
class Proposal:
    """A trial to run: its number in the study, all its parameters (fixed ones too) and its seed."""

    number: int
    parameters: Mapping[str, Any]
    seed: int
    steps_done: tuple[int, ...] = ()
    """Steps already reported by an earlier driver, for a trial that is taken up again."""


class SweepStudy:
    """One Optuna study over one search space."""

    def __init__(
        self,
        study: optuna.Study,
        space: SearchSpace,
        *,
        seed: int = 0,
        sampler: Callable[[int], BaseSampler] | None = None,
    ) -> None:
        """
        Args:
            seed: seed of trials whose proposal names none.
            sampler: makes the sampler for a trial from its number, so that a resumed sweep proposes what an
                undisturbed one would; not needed to read.
        """
        self.optuna = study
        self.space = space
        self._seed = seed
        self._sampler = sampler
        self._distributions = {name: _distribution(parameter) for name, parameter in space.searched.items()}
        self.asked: dict[int, optuna.Trial] = {}
        """The trials that this process runs, by number."""

    @classmethod
    def open(
        cls,
        storage: optuna.storages.BaseStorage,
        name: str,
        space: SearchSpace,
        *,
        seed: int = 0,
        sampler: Callable[[int], BaseSampler] | None = None,
    ) -> "SweepStudy":
        """Open the study `name`, or make it. Raises StudyError if it was made over another space."""
        study = optuna.create_study(storage=storage, study_name=name, direction="maximize", load_if_exists=True)
        known = study.user_attrs.get("space")
        if known is None:
            study.set_user_attr("space", space.to_mapping())
            with warnings.catch_warnings(action="ignore", category=optuna.exceptions.ExperimentalWarning):
                study.set_metric_names(["Dice"])
        elif known != space.to_mapping():
            differing = sorted(
                key for key in known.keys() | space.to_mapping().keys() if known.get(key) != space.to_mapping().get(key)
            )
            raise StudyError(f"study {name!r} was made over another search space; differing: {', '.join(differing)}")
        return cls(study, space, seed=seed, sampler=sampler)

    def enqueue(self, parameters: Mapping[str, Any], *, seed: int | None = None, **attributes: Any) -> None:
        """Have these parameters proposed before any others. Raises SpaceError if they are not in the space."""
        self.space.validate({**self.space.fixed, **parameters})
        searched = {name: value for name, value in parameters.items() if name in self._distributions}
        if seed is not None:
            attributes["seed"] = seed
        self.optuna.enqueue_trial(searched, user_attrs=attributes)

    def ask(self) -> Proposal:
        """The next trial: a released or enqueued one if there is any, else what the sampler proposes."""
        if self._sampler is not None:
            self.optuna.sampler = self._sampler(len(self.optuna.get_trials(deepcopy=False)))
        with warnings.catch_warnings(action="ignore", category=optuna.exceptions.ExperimentalWarning):
            trial = self.optuna.ask(self._distributions)
        self.asked[trial.number] = trial
        if "seed" not in trial.user_attrs:
            trial.set_user_attr("seed", self._seed)
        steps_done = tuple(sorted(self._frozen(trial.number).intermediate_values))
        return Proposal(trial.number, {**self.space.fixed, **trial.params}, trial.user_attrs["seed"], steps_done)

    def report(self, number: int, step: int, evaluation: Evaluation, facts: Mapping[str, Any]) -> None:
        """Record what a running trial reached at `step` thousandths of the full budget."""
        trial = self.asked[number]
        trial.report(evaluation.score, step)
        evaluations = [
            *trial.user_attrs.get("evaluations", []),
            {
                "step": step,
                "score": evaluation.score,
                "budget_used": evaluation.budget_used,
                "steps": evaluation.steps,
                "training_seconds": evaluation.training_seconds,
                "evaluation_seconds": evaluation.evaluation_seconds,
                **evaluation.metrics,
            },
        ]
        trial.set_user_attr("evaluations", evaluations)
        trial.set_user_attr("cases", {case: dict(scores) for case, scores in evaluation.cases.items()})
        for name, value in {**evaluation.facts, **facts}.items():
            if trial.user_attrs.get(name) != value:
                trial.set_user_attr(name, value)

    def finish(self, number: int, reason: StopReason, *, error: str | None = None) -> None:
        """Give a running trial its true final state."""
        trial = self.asked.pop(number)
        trial.set_user_attr("stop_reason", reason)
        feasible = reason != "out of memory"
        trial.set_user_attr("feasible", feasible)
        trial.set_constraint(MEMORY_CONSTRAINT, 0.0 if feasible else 1.0)
        if error is not None:
            trial.set_user_attr("error", error)
        if reason == "full budget":
            self.optuna.tell(trial, self._frozen(number).intermediate_values[FULL_BUDGET])
        elif reason in ("stopped at rung", "out of memory"):
            self.optuna.tell(trial, state=TrialState.PRUNED)
        else:
            self.optuna.tell(trial, state=TrialState.FAIL)

    def finish_reached(self, last_step: int) -> None:
        """Complete the trials whose driver died after they reported at `last_step` and before it said so."""
        for trial in self.trials(TrialState.RUNNING, TrialState.WAITING):
            if last_step in trial.intermediate_values:
                # Optuna's storage, because a trial of another process has no public handle.
                storage = self.optuna._storage
                storage.set_trial_user_attr(trial._trial_id, "stop_reason", "full budget")
                storage.set_trial_user_attr(trial._trial_id, "feasible", True)
                value = trial.intermediate_values[last_step]
                storage.set_trial_state_values(trial._trial_id, state=TrialState.COMPLETE, values=[value])

    def release(self, numbers: Iterable[int] | None = None) -> list[int]:
        """Put running trials (all of them, by default) back into the queue. Returns their numbers.

        For the end of a driver, and for the trials that a killed driver left RUNNING.
        """
        released = []
        for trial in self.trials(TrialState.RUNNING):
            if numbers is None or trial.number in numbers:
                # Optuna's public tell() only finishes trials; a waiting trial keeps its parameters and values.
                self.optuna._storage.set_trial_state_values(trial._trial_id, state=TrialState.WAITING)
                self.asked.pop(trial.number, None)
                released.append(trial.number)
        return released

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """The trials, by number; of the given states only, if any are given."""
        return self.optuna.get_trials(deepcopy=False, states=states or None)

    def trials_left(self, wanted: int) -> int:
        """How many of `wanted` trials have not ended."""
        return wanted - sum(trial.state.is_finished() for trial in self.trials())

    def first_error(self) -> str | None:
        """What ended the first trial that failed."""
        return next((t.user_attrs["error"] for t in self.trials(TrialState.FAIL) if "error" in t.user_attrs), None)

    def ranking(self) -> list[FrozenTrial]:
        """The trials that reached the full budget, best Dice first."""
        return sorted(self.trials(TrialState.COMPLETE), key=lambda trial: (-trial.values[0], trial.number))

    def parameters(self, trial: FrozenTrial) -> dict[str, Any]:
        """All parameters of a trial, the space's fixed values included."""
        return {**self.space.fixed, **trial.params}

    def _frozen(self, number: int) -> FrozenTrial:
        return self.optuna.get_trials(deepcopy=False)[number]


def _distribution(parameter: Parameter) -> BaseDistribution:
    match parameter:
        case Float(low=low, high=high, log=log, step=step):
            return FloatDistribution(low, high, log=log, step=step)
        case Int(low=low, high=high, log=log, step=step):
            return IntDistribution(low, high, log=log, step=step or 1)
        case Choice(values=values):
            return CategoricalDistribution(values)
        case Fixed():
            raise AssertionError("a fixed value is not searched")
    raise AssertionError(parameter)
