"""A line for each thing that happens while a search runs, for logs and pipes."""

from optuna.trial import FrozenTrial, TrialState
from rich.console import Console

from tuner.board import status_of
from tuner.cells import short
from tuner.followed import Followed, best_of
from tuner.rungs import FULL_BUDGET
from tuner.standing import Standing, failure
from tuner.time_left import last_step


class Lines:
    """Tells what is new since the last update:

    heart 4 s: trial 3 running (learning_rate 0.001, batch_size 2)
    heart 1 min 7 s: trial 3 running, 11% of budget, Dice 0.7120; best Dice 0.8100 at 33% of budget (trial 1)
    heart 2 min 3 s: trial 3 stopped at rung, 33% of budget, Dice 0.7320; best Dice 0.8340 (trial 2); 1 running, 5
        ended, 10 to go; about 4 minutes left
    """

    def __init__(self, console: Console, followed: Followed) -> None:
        self._console, self._followed = console, followed
        standing = followed.standing()
        self._seen = {trial.number: _progress(trial) for trial in _shown(standing)}
        self._turned_away = standing.turned_away

    def __enter__(self) -> None: ...

    def __exit__(self, *error: object) -> None: ...

    def note(self, text: str) -> None:
        """Write a line of other news."""
        self._console.print(text, highlight=False, soft_wrap=True, markup=False)

    def update(self) -> None:
        standing = self._followed.standing()
        news = [trial for trial in _shown(standing) if self._seen.get(trial.number) != _progress(trial)]
        for trial in sorted(news, key=lambda trial: trial.number):
            self._seen[trial.number] = _progress(trial)
            self._print(self._line(trial, standing))
        if standing.turned_away > self._turned_away:
            self._turned_away = standing.turned_away
            self._print(f"{self._turned_away} turned away: too large for memory")

    def _line(self, trial: FrozenTrial, standing: Standing) -> str:
        status, step = _progress(trial)
        line = f"trial {trial.number} {status}"
        if step:
            line += f", {step / FULL_BUDGET:.0%} of budget, Dice {trial.intermediate_values[step]:.4f}"
            if standing.best:
                line += f"; {best_of(standing)}"
        elif trial.state == TrialState.RUNNING:
            searched = [name for name in self._followed.searched if name in trial.params]
            line += f" ({', '.join(f'{name} {short(trial.params[name])}' for name in searched)})"
        if reason := failure(trial):
            line += f": {reason}"
        if trial.state.is_finished():
            line += f"; {standing.counts()}"
            if left := self._followed.left(standing):
                line += f"; {left}"
        return line

    def _print(self, text: str) -> None:
        self.note(f"{self._followed.title} {self._followed.elapsed()}: {text}")


def _shown(standing: Standing) -> list[FrozenTrial]:
    return [*standing.running, *standing.interrupted, *standing.ended]


def _progress(trial: FrozenTrial) -> tuple[str, int]:
    """What it does or why it ended, and the last step that it reported."""
    return status_of(trial), last_step(trial)
