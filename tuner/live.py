"""The table that a terminal shows while a search runs, drawn in place."""

import time
from types import TracebackType

from optuna.trial import FrozenTrial, TrialState
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tuner.cells import cell
from tuner.durations import about, duration
from tuner.rungs import FULL_BUDGET
from tuner.standing import Standing
from tuner.study import SweepStudy
from tuner.time_left import last_step

ROWS = 24
"""Trials shown at most: the running ones, the interrupted ones, then the best of the others."""

STYLES = {
    "running": "cyan",
    "interrupted": "yellow",
    "full budget": "green",
    "stopped at rung": "dim",
    "out of memory": "red",
    "error": "red",
}


class LiveTable:
    """One table, drawn again whenever it is told to."""

    def __init__(self, console: Console, study: SweepStudy, *, trials: int | None, title: str) -> None:
        self._console, self._study, self._trials, self._title = console, study, trials, title
        self._started = time.monotonic()
        self._live = Live(self._draw(), console=console, auto_refresh=False)

    def __enter__(self) -> None:
        self._live.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def update(self) -> None:
        drawn = self._draw()  # before the console is locked, because reading the study may take its time
        self._live.update(drawn, refresh=True)

    def _draw(self) -> Group:
        standing = Standing.of(self._study.trials(), wanted=self._trials)
        best = standing.best
        times = [
            f"best Dice {best.score:.4f} (trial {best.number})" if best else "no Dice yet",
            f"elapsed {duration(round(time.monotonic() - self._started))}",
        ]
        if standing.seconds_left is not None:
            times.append(f"about {about(standing.seconds_left)} left")
        lines = [f"{self._title}: {standing.counts()}", "   ".join(times)]
        rows = max(5, min(ROWS, self._console.height - 6))
        return Group(
            *(Text(line, style="bold", no_wrap=True, overflow="ellipsis") for line in lines),
            trial_rows(standing, list(self._study.space.searched), rows=rows),
        )


def trial_rows(standing: Standing, searched: list[str], *, rows: int = ROWS) -> Table:
    """A row a trial, with the parameters that are searched: unfinished trials, then the best."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("trial", "state", "budget", "Dice"):
        table.add_column(heading, justify="left" if heading == "state" else "right", no_wrap=True)
    for name in searched:  # these give way in a narrow terminal: cut, never wrapped
        table.add_column(cell(name), justify="right")
    trials = [*standing.running, *standing.interrupted, *sorted(standing.ended, key=_rank)]
    for trial in trials[: max(rows, len(standing.running))]:
        status, step = status_of(trial), last_step(trial)
        table.add_row(
            str(trial.number),
            Text(status, style=STYLES.get(status, "")),
            f"{step / FULL_BUDGET:.0%}" if step else "",
            f"{trial.intermediate_values[step]:.4f}" if step else "",
            *(cell(trial.params.get(name, "")) for name in searched),
            style="bold" if standing.best and trial.number == standing.best.number else "",
        )
    if len(trials) > table.row_count:
        table.caption = f"and {len(trials) - table.row_count} more"
    return table


def status_of(trial: FrozenTrial) -> str:
    """What a trial does, or why it ended."""
    if trial.state == TrialState.WAITING:
        return "interrupted"
    if trial.state == TrialState.RUNNING:
        return "running"
    return str(trial.user_attrs.get("stop_reason", "ended"))


def _rank(trial: FrozenTrial) -> tuple[int, float]:
    """Sorts by the budget reached, then by Dice there."""
    step = last_step(trial)
    return -step, -trial.intermediate_values.get(step, 0.0)
