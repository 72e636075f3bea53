"""What a user sees while work goes on: a live table or bars in a terminal, a table in a notebook, lines elsewhere.

What is shown of a search is read from its study, so that the table says what the record says.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import Event
from typing import TYPE_CHECKING, Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tuner.background import beside
from tuner.inert import InertConsole
from tuner.terminal import can_be_drawn_over

if TYPE_CHECKING:
    from tuner.followed import Followed
    from tuner.study import SweepStudy

REFRESH_SECONDS = 0.5

SHARE_OF_A_CORE = 0.005
"""What showing a search may take of a processor core that could train: a slow storage is read less often."""

LONGEST_PAUSE = 10.0
"""Seconds after which what is shown is brought up to date in any case."""

log = logging.getLogger("voxtune")


class Display(AbstractContextManager[None], Protocol):
    """Shows one study."""

    def note(self, text: str) -> None:
        """A line of other news."""

    def update(self) -> None:
        """Bring what is shown up to date."""


class View:
    """Shows a sweep on a console; `quiet` shows nothing, for notebooks and tests."""

    def __init__(self, console: Console | None = None, *, quiet: bool = False) -> None:
        self.console = console or InertConsole(quiet=quiet)
        self._bars: Progress | None = None
        self._stages: dict[str, Any] = {}
        self._shown: Display | None = None

    @property
    def draws(self) -> bool:
        """Whether a search is shown as a table; else line by line as it goes on."""
        return self.console.is_jupyter or can_be_drawn_over(self.console)

    def note(self, text: str) -> None:
        """One line of news."""
        if self._shown is not None:
            self._shown.note(text)
        else:
            self.console.print(text, highlight=False, soft_wrap=True, markup=False)

    @contextmanager
    def preparing(self) -> Iterator[None]:
        """Progress bars for the stages that `progress` names, gone when they are done."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(
            *columns, console=self.console, transient=True, disable=not can_be_drawn_over(self.console)
        ) as bars:
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

    def watching(self, study: "SweepStudy", *, title: str, endless: bool = False) -> AbstractContextManager[None]:
        """Show the study's trials as they change, until the block ends.

        Args:
            endless: whether no number of trials ends the search.
        """
        if self.console.quiet:
            return nullcontext()
        from tuner.followed import Followed  # not at the top: commands that only prepare need no Optuna

        return self.showing(Followed(study, title=title, endless=endless))

    @contextmanager
    def showing(self, followed: "Followed") -> Iterator[None]:
        """The same of a study that is followed already."""
        if self.console.quiet:
            yield
            return
        shown, failed = self._display(followed), Event()

        def update() -> None:
            try:
                shown.update()
            except Exception:  # a storage that is away for a moment must not end what is shown, nor the search
                if not failed.is_set():
                    log.exception("%s: what is shown could not be brought up to date", followed.title)
                failed.set()

        with shown:
            self._shown = shown
            try:
                with beside(lambda ended: _again_and_again(update, ended), name="view"):
                    yield
            finally:
                update()
                self._shown = None

    def _display(self, followed: "Followed") -> "Display":
        if self.console.is_jupyter:
            from tuner.notebook import NotebookTable

            return NotebookTable(followed)
        if self.draws:
            from tuner.live import LiveTable

            return LiveTable(self.console, followed)
        from tuner.lines import Lines

        return Lines(self.console, followed)


def _again_and_again(update: Callable[[], None], ended: Event) -> None:
    """Call `update` until the event is set: every REFRESH_SECONDS, or as seldom as keeps its CPU time small."""
    pause = REFRESH_SECONDS
    while not ended.wait(pause):
        began = time.thread_time()
        update()
        pause = max(REFRESH_SECONDS, min(LONGEST_PAUSE, (time.thread_time() - began) / SHARE_OF_A_CORE))
