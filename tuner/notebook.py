"""The table that a notebook shows while a search runs: one output of the cell, replaced when something has changed.

No widgets: the last table stays in the notebook's file, and shows wherever that is opened.
"""

from collections.abc import Iterator
from contextvars import Context, copy_context
from html import escape
from types import TracebackType
from typing import Any

from IPython.display import DisplayHandle, display

from tuner.board import Board
from tuner.followed import Followed

COLOURS = {
    "running": "teal",
    "interrupted": "darkorange",
    "full budget": "green",
    "stopped at rung": "gray",
    "out of memory": "crimson",
    "timed out": "crimson",
    "error": "crimson",
}
"""Of the states, to be read on light and dark pages."""

PLAIN_WIDTH = 120
"""Characters of a line where a program shows the notebook as text."""

_TEXT, _NUMBER = "text-align: left", "text-align: right; font-variant-numeric: tabular-nums"


class NotebookTable:
    """One table, brought up to date whenever it is told to."""

    def __init__(self, followed: Followed) -> None:
        self._followed = followed
        self._shown: str | None = None
        self._handle: DisplayHandle | None = None
        self._context: Context = copy_context()

    def __enter__(self) -> None:
        self._context = copy_context()  # says whose output it is: the cell's, to whichever thread asks
        self.update()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def note(self, text: str) -> None:
        """Print a line, which stands below the table."""
        print(text)

    def update(self) -> None:
        table = _Table(self._followed)
        if table.html == self._shown:
            return
        self._shown = table.html
        if self._handle is None:
            self._handle = display(table, display_id=True)
        else:
            self._context.run(self._handle.update, table)


class _Table:
    """What is shown at one moment, as notebooks ask for it."""

    def __init__(self, followed: Followed) -> None:
        self._summary = followed.summary()
        self._board = Board.of(followed.standing(), followed.searched)
        self.html = "".join(self._html())

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        above = ["   ".join(parts) for parts in self._summary]
        return "\n".join([*above, *(line.plain for line in self._board.table().lines(PLAIN_WIDTH))])

    def _html(self) -> Iterator[str]:
        board = self._board
        for parts in self._summary:
            yield f"<div><b>{escape(' · '.join(parts))}</b></div>"
        yield '<table class="voxtune"><thead><tr>'
        for name in ("trial", "state", "budget", "Dice", *board.searched):
            yield _cell("th", name, _TEXT if name == "state" else _NUMBER)
        yield "</tr></thead><tbody>"
        for row in board.rows:
            yield '<tr style="font-weight: bold">' if row.best else "<tr>"
            yield _cell("td", row.number)
            yield _cell("td", row.status, f"{_TEXT}; color: {COLOURS.get(row.status, 'inherit')}")
            for value in (row.budget, row.dice, *row.parameters):
                yield _cell("td", value)
            yield "</tr>"
        yield "</tbody></table>"
        if board.more:
            yield f"<div><i>{escape(board.more)}</i></div>"


def _cell(kind: str, content: Any, style: str = _NUMBER) -> str:
    return f'<{kind} style="{style}">{escape(str(content))}</{kind}>'
