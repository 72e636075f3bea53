"""A study as those who show it see it: where it stands, for how long it has been worked on, how long it will still be.

Asking is cheap, however often it is done: the study reads what is new alone, and a standing is made anew only where a
trial has changed. (At 400 trials a standing takes 6 ms; to see that nothing has changed, 0.2.)
"""

import math
import time
from collections.abc import Callable, Sequence

from optuna.trial import FrozenTrial

from tuner.durations import about, duration
from tuner.rungs import FULL_BUDGET
from tuner.standing import Standing
from tuner.study import SweepStudy
from tuner.utilisation import utilisation

BUSY_SECONDS = 30.0
"""Between two sums of what the slots did, which take 20 ms at 400 trials."""


def _always() -> bool:
    return True


class Followed:
    """One study, followed from now on."""

    def __init__(
        self,
        study: SweepStudy,
        *,
        title: str,
        endless: bool = False,
        elapsed: float = 0.0,
        driven: Callable[[], bool] = _always,
    ) -> None:
        """
        Args:
            endless: whether no number of trials ends the search.
            elapsed: seconds for which it has been worked on already.
            driven: whether a driver is at work; if not, trials that it left as running are interrupted.
        """
        self.title = title
        self.searched = tuple(study.space.searched)
        self._study, self._endless, self._driven = study, endless, driven
        self._began = time.monotonic() - elapsed
        self._seen: object = None
        self._standing = Standing.of((), endless=endless)
        self._read = self._began
        self._busy: str | None = None
        self._busy_summed = -math.inf

    def standing(self) -> Standing:
        """As it stands now; the very same object while no trial has changed."""
        trials, driven = self._study.trials(), self._driven()
        seen = driven, _what_changes(trials)
        if seen != self._seen:
            self._standing = Standing.of(trials, endless=self._endless, driven=driven)
            self._seen, self._read = seen, time.monotonic()
        return self._standing

    def elapsed(self) -> str:
        """`12 min 5 s`: until now or, once no trial is left, until the last one was seen to end."""
        until = self._read if self._standing.to_go == 0 and not self._standing.unfinished else time.monotonic()
        return duration(round(until - self._began))

    def left(self, standing: Standing) -> str | None:
        """`about 34 minutes left`, or None where there is no ground for it, as when it takes longer than that."""
        if standing.seconds_left is None:
            return None
        seconds = standing.seconds_left - (time.monotonic() - self._read)
        return f"about {about(seconds)} left" if seconds >= 1 else None

    def summary(self, *, longest_title: int = 100) -> list[list[str]]:
        """Lines of parts: `heart: 2 running, 5 ended, 9 to go`; `best Dice 0.8731 (trial 3)`, `elapsed 8 s`, ..."""
        standing = self.standing()
        title = self.title if len(self.title) <= longest_title else f"{self.title[:longest_title]}…"
        times = [best_of(standing), f"elapsed {self.elapsed()}", *filter(None, [self.left(standing), self._slots()])]
        failures = standing.failures()
        return [f"{title}: {standing.counts()}".split("; "), times, *([[failures]] if failures else [])]

    def _slots(self) -> str | None:
        """`slots 96% busy`: with training and evaluation until their trials last reported; None before any has."""
        now = time.monotonic()
        if now - self._busy_summed > BUSY_SECONDS:
            use, self._busy_summed = utilisation(self._study.trials()), now
            self._busy = None if use is None else f"slots {use.busy:.0%} busy"
        return self._busy


def best_of(standing: Standing) -> str:
    """`best Dice 0.8731 (trial 3)`, with the share of the budget where no trial has reached all of it."""
    best = standing.best
    if best is None:
        return "no Dice yet"
    where = "" if best.step == FULL_BUDGET else f" at {best.step / FULL_BUDGET:.0%} of budget"
    return f"best Dice {best.score:.4f}{where} (trial {best.number})"


def _what_changes(trials: Sequence[FrozenTrial]) -> list[tuple[int, int, int]]:
    """Differs wherever two standings of the same trials do: of each its state, and how much it has told."""
    return [(trial.state.value, len(trial.params), len(trial.intermediate_values)) for trial in trials]
