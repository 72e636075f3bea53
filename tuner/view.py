"""What a user sees while a sweep runs: a live table in a terminal, plain lines elsewhere.

Everything shown is read from the study, so that the table says what the record says.
"""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from optuna.trial import FrozenTrial, TrialState
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from tuner.cells import cell, short
from tuner.rungs import FULL_BUDGET
from tuner.study import SweepStudy

REFRESH_SECONDS = 0.5
ROWS = 24
"""Trials shown: the running ones, then the best."""

STATE_STYLES = {"running": "cyan", "waiting": "dim", "full budget": "green", "stopped at rung": "dim", "error": "red"}


class View:
    """Shows a sweep on a console; `quiet` shows nothing, for notebooks and tests."""

    def __init__(self, console: Console | None = None, *, quiet: bool = False) -> None:
        self.console = console or Console(quiet=quiet)
        self._bars: Progress | None = None
        self._stages: dict[str, Any] = {}

    def note(self, text: str) -> None:
        """One line of news."""
        self.console.print(text, highlight=False, soft_wrap=True, markup=False)

    @contextmanager
    def preparing(self) -> Iterator[None]:
        """Progress bars for the stages that `progress` names, gone when they are done."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal) as bars:
            self._bars, self._stages = bars, {}
            try:
                yield
            finally:
                self._bars = None

    def progress(self, stage: str, done: int, of: int) -> None:
        """Say that `done` of `of` cases of a stage are done."""
        if self._bars is None:
            return
        if stage not in self._stages:
            self._stages[stage] = self._bars.add_task(stage, total=of)
        self._bars.update(self._stages[stage], completed=done)

    @contextmanager
    def watching(self, study: SweepStudy, *, trials: int, title: str) -> Iterator[None]:
        """Show the study's trials as they change, until the block ends."""
        watcher = (_LiveTable if self.console.is_terminal else _Lines)(self.console, study, trials, title)
        ended = threading.Event()

        def follow() -> None:
            while not ended.wait(REFRESH_SECONDS):
                watcher.update()

        thread = threading.Thread(target=follow, daemon=True)
        with watcher:
            thread.start()
            try:
                yield
            finally:
                ended.set()
                thread.join()
                watcher.update()


class _LiveTable:
    """One table, drawn in place."""

    def __init__(self, console: Console, study: SweepStudy, trials: int, title: str) -> None:
        self._console, self._study, self._trials, self._title = console, study, trials, title
        self._started = time.monotonic()
        self._finished_before = len(_finished(study))
        self._live = Live(self._draw(), console=console, auto_refresh=False)

    def __enter__(self) -> None:
        self._live.__enter__()

    def __exit__(self, *error: Any) -> None:
        self._live.__exit__(*error)

    def update(self) -> None:
        self._live.update(self._draw(), refresh=True)

    def _draw(self) -> Group:
        return Group(self._summary(), trial_table(self._study, rows=max(5, min(ROWS, self._console.height - 5))))

    def _summary(self) -> Text:
        elapsed = time.monotonic() - self._started
        finished = len(_finished(self._study))
        best = best_score(self._study)
        parts = [
            f"{self._title}: {finished} of {self._trials} trials ended",
            f"best Dice {best[1]:.4f} (trial {best[0]})" if best else "no Dice yet",
            f"elapsed {clock(elapsed)}",
        ]
        done = finished - self._finished_before
        if done and finished < self._trials:
            parts.append(f"about {clock(elapsed / done * (self._trials - finished))} left")
        return Text("  ".join(parts), style="bold", no_wrap=True, overflow="ellipsis")


class _Lines:
    """A line for each thing that happened, for logs and pipes."""

    def __init__(self, console: Console, study: SweepStudy, trials: int, title: str) -> None:
        self._console, self._study, self._title = console, study, title
        self._seen: dict[int, tuple[str, int]] = {trial.number: _progress(trial) for trial in study.trials()}

    def __enter__(self) -> None: ...

    def __exit__(self, *error: Any) -> None: ...

    def update(self) -> None:
        for trial in self._study.trials():
            now = _progress(trial)
            if self._seen.get(trial.number) == now:
                continue
            self._seen[trial.number] = now
            status, step = now
            score = trial.intermediate_values.get(step)
            reached = f" {step / FULL_BUDGET:.0%} of budget, Dice {score:.4f}" if score is not None else ""
            detail = f" ({_values(self._study.parameters(trial), self._study)})" if not step else ""
            self._console.print(
                f"{self._title}: trial {trial.number} {status}{reached}{detail}", highlight=False, soft_wrap=True
            )


def trial_table(study: SweepStudy, *, rows: int = ROWS) -> Table:
    """The running trials, then the best of the others, with what was searched."""
    searched = list(study.space.searched)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("trial", "state", "budget", "Dice"):
        table.add_column(heading, justify="left" if heading == "state" else "right", no_wrap=True)
    for name in searched:  # these give way in a narrow terminal: cut, never wrapped
        table.add_column(cell(name), justify="right")
    trials = study.trials()
    running = [trial for trial in trials if trial.state == TrialState.RUNNING]
    others = sorted((trial for trial in trials if trial.state.is_finished()), key=_rank)
    best = best_score(study)
    for trial in [*running, *others[: max(0, rows - len(running))]]:
        status, step = _progress(trial)
        table.add_row(
            str(trial.number),
            Text(status, style=STATE_STYLES.get(status, "")),
            f"{step / FULL_BUDGET:.0%}" if step else "",
            f"{trial.intermediate_values[step]:.4f}" if step else "",
            *(cell(trial.params.get(name, "")) for name in searched),
            style="bold" if best and trial.number == best[0] else "",
        )
    hidden = len(trials) - table.row_count
    if hidden > 0:
        table.caption = f"and {hidden} more"
    return table


def best_score(study: SweepStudy) -> tuple[int, float] | None:
    """Number and Dice of the best trial at the full budget; at the highest step that any reached, if none is there."""
    reached = [(max(t.intermediate_values), t) for t in study.trials() if t.intermediate_values]
    if not reached:
        return None
    top = max(step for step, _ in reached)
    score, number = max((trial.intermediate_values[top], -trial.number) for step, trial in reached if step == top)
    return -number, score


def clock(seconds: float) -> str:
    """Minutes and seconds, or hours and minutes: `3:07`, `2 h 05`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d}"


def _finished(study: SweepStudy) -> list[FrozenTrial]:
    return [trial for trial in study.trials() if trial.state.is_finished()]


def _progress(trial: FrozenTrial) -> tuple[str, int]:
    """What the trial is doing or why it ended, and the last step it reported (0: none)."""
    status = trial.user_attrs.get("stop_reason") if trial.state.is_finished() else trial.state.name.lower()
    return status or "ended", max(trial.intermediate_values, default=0)


def _rank(trial: FrozenTrial) -> tuple[int, float]:
    """Sorts by the budget reached, then by Dice there."""
    step = max(trial.intermediate_values, default=0)
    return -step, -trial.intermediate_values.get(step, 0.0)


def _values(parameters: Mapping[str, Any], study: SweepStudy) -> str:
    return ", ".join(f"{name} {short(parameters[name])}" for name in study.space.searched if name in parameters)
