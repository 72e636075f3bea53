"""The trials that are shown of a study, in a terminal and in a notebook: the best on top, below them the unfinished."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import nsmallest

from optuna.trial import FrozenTrial, TrialState

from tuner.cells import short
from tuner.columns import Column, Rows
from tuner.rungs import FULL_BUDGET
from tuner.standing import Standing
from tuner.time_left import last_step

ROWS = 32
"""Trials shown at most."""

STYLES = {
    "running": "cyan",
    "interrupted": "yellow",
    "full budget": "green",
    "stopped at rung": "dim",
    "out of memory": "red",
    "timed out": "red",
    "error": "red",
}

_PARAMETER_RANK = 4


@dataclass(frozen=True, kw_only=True)
class Row:
    """A trial as it is shown."""

    number: int
    status: str
    budget: str
    """`33%`, or nothing before it has reported."""

    dice: str
    parameters: tuple[str, ...]
    best: bool
    """Whether it is the best so far."""


@dataclass(frozen=True, kw_only=True)
class Board:
    """Trials of a study, and how many there are besides them."""

    searched: tuple[str, ...]
    """The names of the rows' parameters."""

    rows: tuple[Row, ...]
    more: str
    """`and 120 more ended, 3 more running`; nothing where all are shown."""

    @classmethod
    def of(cls, standing: Standing, searched: Iterable[str], *, rows: int = ROWS) -> "Board":
        """
        Args:
            rows: trials shown at most. Where they are not enough for all, the unfinished ones have half of them.
        """
        searched = tuple(searched)
        for_unfinished = min(len(standing.unfinished), max(rows // 2, rows - len(standing.ended)))
        ended = nsmallest(rows - for_unfinished, standing.ended, key=_rank)
        running = _furthest(standing.running, for_unfinished)
        interrupted = _furthest(standing.interrupted, for_unfinished - len(running))
        hidden = {
            "ended": len(standing.ended) - len(ended),
            "running": len(standing.running) - len(running),
            "interrupted": len(standing.interrupted) - len(interrupted),
        }
        told = ", ".join(f"{count} more {what}" for what, count in hidden.items() if count)
        shown = [(trial, status_of(trial)) for trial in ended]
        shown += [(trial, "running") for trial in running]
        shown += [(trial, "interrupted") for trial in interrupted]
        best = standing.best.number if standing.best else None
        return cls(
            searched=searched,
            rows=tuple(_row(trial, status, searched, best=trial.number == best) for trial, status in shown),
            more=f"and {told}" if told else "",
        )

    def table(self, widest: dict[str, int] | None = None) -> Rows:
        """As a terminal shows it.

        Args:
            widest: for a table that is drawn again: how wide each parameter's column was so far, kept up to date.
        """
        rows, widest = self.rows, {} if widest is None else widest
        columns = [
            Column(heading="trial", cells=tuple(str(row.number) for row in rows), rank=0),
            Column(
                heading="state",
                cells=tuple(row.status for row in rows),
                left=True,
                rank=2,
                least=max(map(len, STYLES)),
                style=lambda status: STYLES.get(status, ""),
            ),
            Column(heading="budget", cells=tuple(row.budget for row in rows), rank=3),
            Column(heading="Dice", cells=tuple(row.dice for row in rows), rank=1),
        ]
        for place, name in enumerate(self.searched):
            values = [row.parameters[place] for row in rows]
            columns.append(Column.of_parameter(name, values, rank=_PARAMETER_RANK, least=widest.get(name, 0)))
            widest[name] = columns[-1].widest
        return Rows(columns, styles=["bold" if row.best else "" for row in rows], more=self.more)


def status_of(trial: FrozenTrial) -> str:
    """What a trial does, or why it ended."""
    if trial.state == TrialState.WAITING:
        return "interrupted"
    if trial.state == TrialState.RUNNING:
        return "running"
    return str(trial.user_attrs.get("stop_reason", "ended"))


def _row(trial: FrozenTrial, status: str, searched: Sequence[str], *, best: bool) -> Row:
    step = last_step(trial)
    return Row(
        number=trial.number,
        status=status,
        budget=f"{step / FULL_BUDGET:.0%}" if step else "",
        dice=f"{trial.intermediate_values[step]:.4f}" if step else "",
        parameters=tuple(short(trial.params.get(name, "")) for name in searched),
        best=best,
    )


def _furthest(trials: Sequence[FrozenTrial], count: int) -> list[FrozenTrial]:
    """Those that are furthest on, by number."""
    return sorted(nsmallest(count, trials, key=_rank), key=lambda trial: trial.number)


def _rank(trial: FrozenTrial) -> tuple[int, float, int]:
    """Sorts by the budget reached, then by Dice there."""
    step = last_step(trial)
    return -step, -trial.intermediate_values.get(step, 0.0), trial.number
