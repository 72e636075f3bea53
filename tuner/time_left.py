"""How long a search will likely go on, told from its trials so far.

The mean length of the trials that ended would not do: under early stopping the short ones end first. So the length of a
trial is taken as the seconds that a thousandth of the budget takes, times the thousandths that it will likely train:
at each step as large a share of the trials goes on as did so far.
"""

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from statistics import mean

from optuna.trial import FrozenTrial, TrialState

from tuner.rungs import FULL_BUDGET

GROUND = 3
"""So many trials must have ended before an end is expected."""


def expected_seconds_left(
    running: Sequence[FrozenTrial], ended: Sequence[FrozenTrial], *, waiting: int, now: datetime
) -> float | None:
    """What is left of a search, or None while there is no ground for it.

    It is the work left, spread over as many trials as run at once; at least the longest rest of a running one.

    Args:
        waiting: how many trials are to come.
        now: local time, without a zone.
    """
    trials = [*ended, *running]
    paces = {trial.number: _pace(trial) for trial in trials if "evaluations" in trial.user_attrs}
    if not running or not paces or len(ended) < GROUND:
        return None
    usual = mean(paces.values())
    steps = sorted({FULL_BUDGET}.union(*(trial.intermediate_values for trial in trials)))
    shares = {step: _share_going_on(trials, step) for step in (0, *steps)}

    def likely(step: int) -> float:
        """Thousandths of the budget that a trial will likely train beyond the one after `step`."""
        chance, beyond = 1.0, 0.0
        later = [other for other in steps if other > step]
        for below, other in pairwise(later):
            chance *= shares[below]
            beyond += chance * (other - below)
        return beyond

    def rest(trial: FrozenTrial) -> float:
        pace = paces.get(trial.number, usual)
        step = last_step(trial)
        following = min((other for other in steps if other > step), default=step)
        return max(0.0, following * pace - _seconds(trial, now)) + likely(step) * pace

    rests = [rest(trial) for trial in running]
    whole = shares[0] * (steps[0] + likely(0)) * usual
    # Between two trials a slot is empty for a moment; so those count that ran when the last one ended.
    last = max(trial.datetime_complete for trial in ended if trial.datetime_complete)
    then = [t for t in trials if t.datetime_start and t.datetime_start < last <= (t.datetime_complete or now)]
    left = max(*rests, (sum(rests) + waiting * whole) / max(len(running), len(then)))
    return left if left >= 1 else None  # trials that are slower than the others were: what they still take is not known


def last_step(trial: FrozenTrial) -> int:
    """The last step that it reported, in thousandths of the full budget; 0: none."""
    return max(trial.intermediate_values, default=0)


def _seconds(trial: FrozenTrial, now: datetime) -> float:
    """How long a trial has run since a driver took it up."""
    return ((trial.datetime_complete or now) - (trial.datetime_start or now)).total_seconds()


def _pace(trial: FrozenTrial) -> float:
    """Seconds for a thousandth of the budget, evaluation included."""
    last = trial.user_attrs["evaluations"][-1]
    return float(last["training_seconds"] + last["evaluation_seconds"]) / int(last["step"])


def _share_going_on(trials: Sequence[FrozenTrial], step: int) -> float:
    """Of those that were judged at a step, or at 0 of those that ended or reported: how many went on."""
    if step:
        judged = [trial for trial in trials if step in trial.intermediate_values]
    else:
        judged = [trial for trial in trials if trial.intermediate_values or trial.state.is_finished()]
    on = [trial for trial in judged if last_step(trial) > step or trial.state == TrialState.RUNNING]
    return len(on) / len(judged) if judged else 1.0
