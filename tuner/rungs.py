"""Asynchronous successive halving (ASHA): at which budgets trials are compared, and which of them go on.

After Li et al., "A System for Massively Parallel Hyperparameter Tuning" (MLSys 2020). As in Ray Tune's ASHA a trial
is judged when it reports and is never taken up again later. Ours differs in two points: the rungs are divided down
from the full budget, so that none is lost to rounding (Ray loses the top rung of 243/1 at reduction 3), and the
records can be filled again from a study, so that a resumed sweep judges like an undisturbed one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

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


@dataclass
class SuccessiveHalving:
    """The scores seen at each rung, and the rule: the best 1/reduction of those seen so far go on.

    With fewer than `reduction` scores at a rung only the best of them goes on, so the first trial always does.
    """

    steps: tuple[int, ...]
    reduction: float
    _scores: dict[int, dict[int, float]] = field(default_factory=dict)

    def refill(self, number: int, values: Mapping[int, float]) -> None:
        """Take a trial's scores by step from an earlier run of the sweep into the rungs."""
        for step, score in values.items():
            if step in self.steps:
                self._scores.setdefault(step, {})[number] = score

    def goes_on(self, number: int, step: int, score: float) -> bool:
        """Record a trial's score, and judge it if `step` is a rung below the top."""
        if step not in self.steps or step == self.steps[-1]:
            return True
        seen = self._scores.setdefault(step, {})
        seen[number] = score
        places = max(1, int(len(seen) / self.reduction + 1e-9))
        better = sum(other > score for other in seen.values())
        return better < places
