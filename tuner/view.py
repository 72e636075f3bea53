"""What a user sees while work goes on: a live table or bars in a terminal, plain lines elsewhere.

What is shown of a search is read from its study, so that the table says what the record says.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tuner.background import beating

if TYPE_CHECKING:
    from tuner.study import SweepStudy

REFRESH_SECONDS = 0.5

log = logging.getLogger("voxtune")


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
        """Say that `done` of `of` cases of a stage are done; a terminal shows it inside `preparing`."""
        if self._bars is None:
            return
        if stage not in self._stages:
            self._stages[stage] = self._bars.add_task(stage, total=of)
        self._bars.update(self._stages[stage], completed=done)

    @contextmanager
    def watching(self, study: "SweepStudy", *, trials: int | None, title: str) -> Iterator[None]:
        """Show the study's trials as they change, until the block ends.

        Args:
            trials: how many the study is to hold in the end; None where something else ends the search.
        """
        if self.console.quiet:
            yield
            return
        from tuner.lines import Lines  # not at the top: commands that only prepare need no Optuna
        from tuner.live import LiveTable

        shown = (LiveTable if self.console.is_terminal else Lines)(self.console, study, trials=trials, title=title)
        failed = threading.Event()

        def update() -> None:
            try:
                shown.update()
            except Exception:  # a storage that is away for a moment must not end what is shown, nor the search
                if not failed.is_set():
                    log.exception("%s: what is shown could not be brought up to date", title)
                failed.set()

        with shown:
            try:
                with beating(update, every=REFRESH_SECONDS, name="view"):
                    yield
            finally:
                update()
