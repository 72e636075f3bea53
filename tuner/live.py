"""The table that a terminal shows while a search runs, drawn in place."""

from types import TracebackType

from rich.console import Console
from rich.text import Text

from tuner.board import ROWS, Board
from tuner.columns import flowing
from tuner.followed import Followed
from tuner.in_place import InPlace

FEWEST_ROWS = 3
"""Trials that are shown in a terminal of whatever height, if it is cut at its end."""

BESIDE_ROWS = 3
"""Lines of the table that are no trials: headings in two lines, and one for what is not shown."""


class LiveTable:
    """One table, brought up to date whenever it is told to."""

    def __init__(self, console: Console, followed: Followed) -> None:
        self._followed = followed
        self._place = InPlace(console)
        self._widest: dict[str, int] = {}
        self._table: list[Text] = []
        self._table_of: object = None

    def __enter__(self) -> None:
        self._place.__enter__()
        self.update()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._place.__exit__(kind, error, trace)

    def note(self, text: str) -> None:
        """Write a line above the table."""
        self._place.above(text)

    def update(self) -> None:
        # The study is read before the terminal is locked, since that may take its time.
        self._place.show(self._lines(self._place.width, self._place.height))

    def _lines(self, width: int, height: int) -> list[Text]:
        summary = self._followed.summary(longest_title=width // 3)
        above = [Text(line, style="bold") for parts in summary for line in flowing(parts, width)]
        rows = max(FEWEST_ROWS, min(ROWS, height - len(above) - BESIDE_ROWS))
        table_of = (self._followed.standing(), width, rows)
        if table_of != self._table_of:
            board = Board.of(table_of[0], self._followed.searched, rows=rows)
            self._table, self._table_of = board.table(self._widest).lines(width), table_of
        return above + self._table
