"""Asynchronous successive halving (ASHA): at which budgets trials are compared, and which of them go on.

After Li et al., "A System for Massively Parallel Hyperparameter Tuning" (MLSys 2020). As in Ray Tune's ASHA a trial
is judged when it reports and is never taken up again later. Ours differs in two points: the rungs are divided down
from the full budget, so that none is lost to rounding (Ray loses the top rung of 243/1 at reduction 3), and it keeps
nothing: the scores at a rung are read from the study, so that a resumed sweep, or several drivers of one study, judge
like one undisturbed driver.
"""

from collections.abc import Mapping
from dataclasses import dataclass

FULL_BUDGET = 1000
"""Rungs are named by thousandths of the full budget: an Optuna step is a small int whatever the budget's unit."""


def rung_steps(first_share: float, reduction: float) -> tuple[int, ...]:
    """The rungs as thousandths of the full budget, ascending, the last one 1000.

    Args:
        first_share: the lowest budget at which a trial may be judged, as a share of the full one, in (0, 1].
        reduction: each rung's budget is this many times the one below; above 1.

    >>> rung_steps(1 / 9, 3)
    (111, 333, 1000)
    """
    assert 0 < first_share <= 1, first_share
    assert reduction > 1, reduction
    steps = []
    share = 1.0
    while share >= first_share * (1 - 1e-6) and round(share * FULL_BUDGET) >= 1:
        steps.append(round(share * FULL_BUDGET))
        share /= reduction
    return tuple(sorted(set(steps)))


@dataclass(frozen=True)
class SuccessiveHalving:
    """The rule: of the trials that reached a rung so far, the best 1/reduction go on."""

    steps: tuple[int, ...]
    reduction: float

    def judges(self, step: int) -> bool:
        """Whether trials are compared at `step`: a rung below the top."""
        return step in self.steps[:-1]

    def goes_on(self, number: int, scores: Mapping[int, float]) -> bool:
        """Whether trial `number` is among the best at a rung.

        Args:
            scores: by trial number, of all that reached the rung, its own included. With fewer than `reduction` of
                them only the best goes on, so the first trial always does.
        """
        places = max(1, int(len(scores) / self.reduction + 1e-9))
        better = sum(score > scores[number] for score in scores.values())
        return better < places
