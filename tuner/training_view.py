"""What a user sees while one configuration trains: a line at each evaluation, and in a terminal a bar."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from trainables.protocol import Budget, Evaluation, TrainingRun
from tuner.durations import duration
from tuner.terminal import can_be_drawn_over

Tell = Callable[[Evaluation], None]


@contextmanager
def watching_training(console: Console, run: TrainingRun, budget: Budget) -> Iterator[Tell]:
    """Gives a function that is told each evaluation of `run`, while the block trains it to its full `budget`.

    Between evaluations the bar moves where the run has an attribute `used`, training so far in the budget's unit.
    """
    started = time.monotonic()
    columns = (TextColumn("Training"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with _Bar(*columns, console=console, transient=True, disable=not can_be_drawn_over(console)) as bar:
        task = bar.add_task("", total=budget.maximum, run=run)

        def tell(evaluation: Evaluation) -> None:
            bar.update(task, completed=evaluation.budget_used)
            loss = evaluation.metrics.get("loss")
            parts = [
                f"{evaluation.budget_used / budget.maximum:4.0%} of the budget",
                *([f"loss {loss:.4f}"] if loss is not None else []),
                f"Dice {evaluation.score:.4f}",
                f"after {duration(time.monotonic() - started)}",
            ]
            console.print("  ".join(parts), highlight=False, soft_wrap=True)

        yield tell


class _Bar(Progress):
    """Asks the run how far it is whenever it is drawn."""

    def get_renderables(self) -> Iterable[RenderableType]:
        for task in self.tasks:
            used = getattr(task.fields["run"], "used", None)
            if used is not None:
                self.update(task.id, completed=used)
        yield from super().get_renderables()
