"""Where a study stands: how many trials run, ended and are still to come, the best so far, and how long it may take."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from optuna.trial import FrozenTrial, TrialState

from tuner.study import is_planned, was_turned_away
from tuner.time_left import expected_seconds_left, last_step

LONGEST_FAILURE = 200
"""Characters of an error that are shown; all of it stands in the trial's log."""


@dataclass(frozen=True, kw_only=True)
class BestSoFar:
    """The best Dice at the highest step that any trial reached."""

    number: int
    score: float
    step: int
    """In thousandths of the full budget."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A study at one moment. Its trials are by number."""

    running: tuple[FrozenTrial, ...]
    interrupted: tuple[FrozenTrial, ...]
    """Begun by a driver that left or died; the next one takes them up."""

    ended: tuple[FrozenTrial, ...]
    to_go: int | None
    """Trials that are planned and were not begun; None where no number of trials ends the search."""

    turned_away: int
    """Configurations that were not started because they can't fit in memory; they are no trials."""

    best: BestSoFar | None
    seconds_left: float | None
    """Expected until the last trial ends; None while there is no ground for it."""

    @classmethod
    def of(
        cls,
        trials: Iterable[FrozenTrial],
        *,
        endless: bool = False,
        driven: bool = True,
        now: datetime | None = None,
    ) -> "Standing":
        """
        Args:
            trials: all of a study's trials.
            endless: whether no number of trials ends the search, so that none is to go.
            driven: whether a driver is at work; if not, those that it left as running are interrupted.
            now: local time, without a zone, as Optuna writes it.
        """
        trials = list(trials)
        begun = [trial for trial in trials if not is_planned(trial)]
        counted = [trial for trial in begun if not was_turned_away(trial)]
        ended = tuple(trial for trial in counted if trial.state.is_finished())
        running = tuple(trial for trial in counted if trial.state == TrialState.RUNNING and driven)
        interrupted = tuple(
            trial
            for trial in counted
            if trial.state == TrialState.WAITING or (trial.state == TrialState.RUNNING and not driven)
        )
        # Not what is asked for less what was begun: a grid may hold fewer, and there nothing replaces one turned away.
        to_go = None if endless else len(trials) - len(begun)
        return cls(
            running=running,
            interrupted=interrupted,
            ended=ended,
            to_go=to_go,
            turned_away=len(begun) - len(counted),
            best=_best(counted),
            seconds_left=None
            if to_go is None
            else expected_seconds_left(running, ended, waiting=to_go + len(interrupted), now=now or datetime.now()),
        )

    @property
    def unfinished(self) -> tuple[FrozenTrial, ...]:
        """Begun, and not ended."""
        return (*self.running, *self.interrupted)

    def counts(self) -> str:
        """`2 running, 1 interrupted, 5 ended, 8 to go; 3 turned away: too large for memory`."""
        parts = [f"{len(self.running)} running", f"{len(self.ended)} ended"]
        if self.interrupted:
            parts.insert(1, f"{len(self.interrupted)} interrupted")
        if self.to_go is not None:
            parts.append(f"{self.to_go} to go")
        away = f"; {self.turned_away} turned away: too large for memory" if self.turned_away else ""
        return ", ".join(parts) + away

    def failures(self) -> str | None:
        """`2 failed, the last one trial 7: RuntimeError: a bug`; None if none failed."""
        failed = [trial for trial in self.ended if failure(trial)]
        if not failed:
            return None
        return f"{len(failed)} failed, the last one trial {failed[-1].number}: {failure(failed[-1])}"


def failure(trial: FrozenTrial) -> str | None:
    """`RuntimeError: a bug`, the line that says which error ended a trial; None if none did."""
    if trial.user_attrs.get("stop_reason") not in ("error", "timed out"):
        return None
    lines = str(trial.user_attrs.get("error", "")).splitlines()
    frames = [index for index, line in enumerate(lines) if line.startswith('  File "')]  # of a traceback
    after = lines[frames[-1] + 1 :] if frames else lines
    reason = next((line for line in after if line.strip() and not line.startswith("  ")), "unknown")
    reason = "".join(character if character.isprintable() else " " for character in reason)
    return reason if len(reason) <= LONGEST_FAILURE else f"{reason[:LONGEST_FAILURE]}…"


def _best(trials: Sequence[FrozenTrial]) -> BestSoFar | None:
    reached = [trial for trial in trials if trial.intermediate_values]
    if not reached:
        return None
    top = max(map(last_step, reached))
    best = max((t for t in reached if last_step(t) == top), key=lambda t: (t.intermediate_values[top], -t.number))
    return BestSoFar(number=best.number, score=best.intermediate_values[top], step=top)
