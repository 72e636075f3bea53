"""The study: all that is known of a sweep's trials, in Optuna's terms, written while they run.

A trial's life, and what stands in the study after each step:

    plan     WAITING    nothing, or what was enqueued for it: a place in the sweep, free for any driver to claim
    claim    RUNNING    parameters, seed, driver, the number of the attempt
    report   RUNNING    the Dice at a step (thousandths of the full budget) as an intermediate value; as user
                        attributes the evaluations so far, the last one's cases, and the run's facts
    finish   COMPLETE   reached the full budget; value = its Dice there
             PRUNED     stopped at a rung (value = its last Dice), or did not fit in memory (constraint > 0), found
                        out by trying or, `turned away`, by an estimate before it started
             FAIL       an error, a loss that is not finite, or silence (`timed out`); `stop_reason` and `error` say
                        which
    release  WAITING    interrupted; the next driver takes it up from its last checkpoint

Only drivers write. Every reader (report, results, optuna-dashboard, resume) needs nothing else. Several drivers may
share a study in a database: a trial is claimed by Optuna's WAITING to RUNNING, which only one of them can win.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal

import optuna
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from search_spaces.space import SearchSpace
from trainables.protocol import Evaluation
from tuner.config import Objective
from tuner.distributions import distributions_of
from tuner.journal import written_together
from tuner.rungs import FULL_BUDGET
from tuner.seeded import SeededByNumber
from tuner.stored_study import check_study, readable
from tuner.study_terms import open_on_terms

StopReason = Literal["full budget", "stopped at rung", "out of memory", "turned away", "timed out", "error"]

MEMORY_CONSTRAINT = "memory"

DEFAULT_ORIGIN = "default"
"""The attribute `origin` of the trial with the sweep file's default configuration."""

OVER = "over"
"""The study's attribute that says why its search ended before all its trials."""

DEVICES = "devices_per_trial"
"""The study's attribute that says what each trial is given: `{"GPU": 0.25}`, or `{"core": 2}` without GPUs."""

DRIVER = "driver"
"""The attribute that names the driver of a trial, where several share the study."""

ATTEMPT = "attempt"
"""The attribute that counts how often a trial was taken up."""

LOST = "lost"
"""The attribute that counts how often the process that ran a trial was lost: killed, or its machine cut off."""

TIMED_OUT = "timed_out"
"""The attribute that counts how often of those it was ended since it was silent for too long."""


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A trial to run: its number in the study, all its parameters (fixed ones too) and its seed."""

    number: int
    parameters: Mapping[str, Any]
    seed: int
    attempt: int
    """How often the trial was taken up, this time included."""

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
        driver: str = "",
    ) -> None:
        """
        Args:
            seed: seed of trials whose proposal names none.
            sampler: makes a sampler from a number that seeds it, so that a resumed sweep proposes what an undisturbed
                one would; not needed to read.
            driver: marks the trials that this process claims, where several drivers share a study.
        """
        self.optuna = study
        self.space = space
        self._seed = seed
        self._driver = driver
        if sampler is not None:
            study.sampler = SeededByNumber(sampler)
        self._distributions = distributions_of(space)
        self.asked: dict[int, optuna.Trial] = {}
        """The trials that this process runs, by number."""

    @classmethod
    def open(
        cls,
        storage: optuna.storages.BaseStorage,
        name: str,
        space: SearchSpace,
        *,
        terms: Mapping[str, Any] | None = None,
        objectives: Sequence[Objective] = ("dice",),
        seed: int = 0,
        sampler: Callable[[int], BaseSampler] | None = None,
        driver: str = "",
        instead: str = "start a new sweep under another --name",
    ) -> "SweepStudy":
        """Open the study `name`, or make it.

        Args:
            terms: what beside the space makes its scores comparable (data, split, budget), plain values.
            instead: what a user may do who wants other terms.

        Raises StudyError if it was made over another space or on other terms.
        """
        terms = {**(terms or {}), "space": space.to_mapping()}
        with readable(f"study {name!r}"):
            study = open_on_terms(storage, name, terms, objectives, instead=instead)
            check_study(study, where="storage")
        return cls(study, space, seed=seed, sampler=sampler, driver=driver)

    def plan(self, trials: int) -> None:
        """Queue empty trials until the study holds `trials`, those turned away not counted."""
        planned = sum(not was_turned_away(trial) for trial in self.trials())
        with self.together():
            for _ in range(trials - planned):
                self.optuna.enqueue_trial({})

    def enqueue(self, parameters: Mapping[str, Any], *, seed: int | None = None, **attributes: Any) -> None:
        """Have these parameters proposed before any others; the sampler adds what is missing.

        Raises SpaceError if they are not in the space.
        """
        self.space.validate_part(parameters)
        searched = {name: value for name, value in parameters.items() if name in self._distributions}
        if seed is not None:
            attributes["seed"] = seed
        self.optuna.enqueue_trial(searched, user_attrs=attributes)

    def claim(self) -> Proposal | None:
        """The first waiting trial, now ours; None if there is none. Interrupted ones were planned first."""
        # What Study.ask does but for its last resort, a new trial: two drivers would both add the last one.
        trial_id = self.optuna._pop_waiting_trial_id()
        return None if trial_id is None else self._begin(trial_id)

    def ask(self) -> Proposal:
        """The first waiting trial, or a new one."""
        return self.claim() or self._begin(self.optuna._storage.create_new_trial(self.optuna._study_id))

    def _begin(self, trial_id: int) -> Proposal:
        """Give a trial its parameters, from the sampler where they are not set, and its seed."""
        if self._driver:  # first of all: a trial without a driver is everybody's
            self.optuna._storage.set_trial_user_attr(trial_id, DRIVER, self._driver)
        self.optuna._thread_local.cached_all_trials = None  # else the sampler learns from an old list
        trial = optuna.Trial(self.optuna, trial_id)
        self.asked[trial.number] = trial
        _ = trial.relative_params  # what takes the sampler time, before the journal is locked
        with self.together():
            for name, distribution in self._distributions.items():
                trial._suggest(name, distribution)
            if "seed" not in trial.user_attrs:
                trial.set_user_attr("seed", self._seed)
            trial.set_user_attr(ATTEMPT, trial.user_attrs.get(ATTEMPT, 0) + 1)
        return Proposal(
            number=trial.number,
            parameters={**self.space.fixed, **trial.params},
            seed=trial.user_attrs["seed"],
            attempt=trial.user_attrs[ATTEMPT],
            steps_done=tuple(sorted(self._frozen(trial.number).intermediate_values)),
        )

    def say_over(self, reason: str | None) -> None:
        """Record, for readers, why the search ended before all its trials; None if it did not."""
        if self.optuna.user_attrs.get(OVER) != reason:
            self.optuna.set_user_attr(OVER, reason)

    def is_ours(self, number: int) -> bool:
        """Whether a trial that we began is still ours: another driver may have taken us for dead."""
        if not self._driver:
            return True
        trial = self._frozen(number)
        return trial.state == TrialState.RUNNING and trial.user_attrs.get(DRIVER) == self._driver

    def give_up(self, number: int) -> None:
        """Forget a trial that is no longer ours."""
        del self.asked[number]

    def report(
        self,
        number: int,
        step: int,
        evaluation: Evaluation,
        facts: Mapping[str, Any] | None = None,
        *,
        stint: Mapping[str, Any] | None = None,
    ) -> None:
        """Record what a running trial reached at `step` thousandths of the full budget.

        Args:
            stint: where and how its time went since it was taken up, see `tuner.stint`.
        """
        trial = self.asked[number]
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
        cases = {case: dict(scores) for case, scores in evaluation.cases.items()}
        with self.together():
            # Trial.report refuses where there are several objectives, though any trial may have a learning curve.
            self.optuna._storage.set_trial_intermediate_value(trial._trial_id, step, evaluation.score)
            self._note(trial, {"evaluations": evaluations, "cases": cases, **evaluation.facts, **(facts or {})}, stint)

    def scores_at(self, step: int) -> dict[int, float]:
        """What the trials that reached `step` scored there, by number."""
        return {t.number: t.intermediate_values[step] for t in self.trials() if step in t.intermediate_values}

    def finish(
        self,
        number: int,
        reason: StopReason,
        *,
        error: str | None = None,
        facts: Mapping[str, Any] | None = None,
        stint: Mapping[str, Any] | None = None,
    ) -> tuple[StopReason, str | None]:
        """Give a running trial its true final state; `facts` and `stint` are of one that failed before it reported.

        Returns how it truly ended, and the error: one without all objectives has failed, whatever budget it reached.
        """
        values: list[float] = []
        if reason == "full budget":
            try:
                values = self._values(self._frozen(number))
            except KeyError as missing:
                reason, error = "error", f"search.objectives: the trainable reports no {missing.args[0]}"
        trial = self.asked.pop(number)
        feasible = reason not in ("out of memory", "turned away")
        attributes: dict[str, Any] = {**(facts or {}), "stop_reason": reason, "feasible": feasible}
        if error is not None:
            attributes["error"] = error
        with self.together():
            self._note(trial, attributes, stint)
            trial.set_constraint(MEMORY_CONSTRAINT, 0.0 if feasible else 1.0)
            if reason == "full budget":
                self.optuna.tell(trial, values)
            elif reason in ("error", "timed out"):
                self.optuna.tell(trial, state=TrialState.FAIL)
            else:
                self.optuna.tell(trial, state=TrialState.PRUNED)
        return reason, error

    def _note(self, trial: optuna.Trial, attributes: Mapping[str, Any], stint: Mapping[str, Any] | None) -> None:
        """Set the user attributes that are new or have changed."""
        known = trial.user_attrs
        if stint:
            others = [other for other in known.get("stints", []) if other["began"] != stint["began"]]
            attributes = {**attributes, "stints": [*others, dict(stint)]}
        for name, value in attributes.items():
            if known.get(name) != value:
                trial.set_user_attr(name, value)

    def together(self) -> AbstractContextManager[None]:
        """Has all that is written in the block stand in the study, or none of it, where its storage can do that."""
        return written_together(self.optuna._storage)

    def running_elsewhere(self) -> list[FrozenTrial]:
        """The running trials that this process does not run."""
        return [trial for trial in self.trials(TrialState.RUNNING) if trial.number not in self.asked]

    def release(self, numbers: Collection[int]) -> list[int]:
        """Put the running ones of these trials back into the queue. Returns their numbers.

        For the end of a driver, and for the trials that a killed driver left RUNNING.
        """
        released = []
        for trial in self.trials(TrialState.RUNNING):
            if trial.number in numbers:
                if DRIVER in trial.user_attrs:
                    self.optuna._storage.set_trial_user_attr(trial._trial_id, DRIVER, None)
                # Optuna's public tell() only finishes trials; a waiting trial keeps its parameters and values.
                self.optuna._storage.set_trial_state_values(trial._trial_id, state=TrialState.WAITING)
                self.asked.pop(trial.number, None)
                released.append(trial.number)
        return released

    def times(self, attribute: str, number: int) -> int:
        """What a trial of ours has counted as `LOST` or `TIMED_OUT`."""
        times: int = self.asked[number].user_attrs.get(attribute, 0)
        return times

    def lose(self, number: int, *, timed_out: bool = False) -> None:
        """Put a trial of ours back into the queue, whose process was lost."""
        with self.together():
            for attribute in (LOST, TIMED_OUT)[: 1 + timed_out]:
                self.asked[number].set_user_attr(attribute, self.times(attribute, number) + 1)
        self.release([number])

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """The trials, by number; of the given states only, if any are given."""
        return self.optuna.get_trials(deepcopy=False, states=states or None)

    def trials_left(self, wanted: int) -> int:
        """How many of `wanted` trials have not ended."""
        return wanted - sum(trial.state.is_finished() and not was_turned_away(trial) for trial in self.trials())

    def first_error(self) -> str | None:
        """What ended the first trial that failed."""
        return next((t.user_attrs["error"] for t in self.trials(TrialState.FAIL) if "error" in t.user_attrs), None)

    def ranking(self) -> list[FrozenTrial]:
        """The trials that reached the full budget, best Dice first."""
        return sorted(
            self.trials(TrialState.COMPLETE), key=lambda trial: (-trial.intermediate_values[FULL_BUDGET], trial.number)
        )

    def parameters(self, trial: FrozenTrial) -> dict[str, Any]:
        """All parameters of a trial, the space's fixed values included."""
        return {**self.space.fixed, **trial.params}

    def _values(self, trial: FrozenTrial) -> list[float]:
        """What a trial reached, one value an objective. Raises KeyError for what its trainable does not report."""
        reached = {
            **trial.user_attrs,
            "dice": trial.intermediate_values[FULL_BUDGET],
            "training_seconds": trial.user_attrs["evaluations"][-1]["training_seconds"],
        }
        return [reached[objective] for objective in self.optuna.user_attrs["objectives"]]

    def _frozen(self, number: int) -> FrozenTrial:
        return self.optuna.get_trials(deepcopy=False)[number]


def was_turned_away(trial: FrozenTrial) -> bool:
    """Whether it was never started because it can't fit in memory; then it is not one of the sweep's trials."""
    return trial.user_attrs.get("stop_reason") == "turned away"


def is_planned(trial: FrozenTrial) -> bool:
    """Whether it was not begun: nothing is chosen yet. A waiting trial that has parameters was interrupted."""
    return not trial.state.is_finished() and not trial.params
