"""A table that keeps to one line a row in whatever width: a column that finds no room is left out whole.

What is cut could be taken for another number (0.0012 for 0.00123), and what wraps is no row any more. So headings are
broken at an underscore first, then columns are left out and named, those last that tell rows apart.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions
from rich.text import Text

GAP = 2
"""Blanks between columns."""

LONGEST = 24
"""Characters of a text in a cell, such as the name of a loss; numbers are never as long."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of a table, its cells from top to bottom."""

    heading: str
    cells: tuple[str, ...]
    left: bool = False
    """Whether it is flush left; numbers are flush right."""

    rank: int = 0
    """Where there is no room for all, the columns of the lowest rank are taken first."""

    least: int = 0
    """Characters that it is wide at least, so that a table that is drawn again and again keeps its columns."""

    style: Callable[[str], str] = lambda cell: ""
    """A cell's style in rich's words."""

    @classmethod
    def of_parameter(cls, name: str, values: Sequence[str], *, rank: int, least: int = 0) -> "Column":
        """A searched parameter's; one that has the same value in all rows comes after those that tell rows apart."""
        cells = tuple(_cut(value, LONGEST) for value in values)
        return cls(heading=name, cells=cells, rank=rank if len(set(values)) > 1 else rank + 1, least=least)

    @property
    def widest(self) -> int:
        """Characters that its cells take."""
        return max([self.least, *map(cell_len, self.cells)])


class Rows:
    """A table, for rich: as wide as it needs to be, and never wider than there is room."""

    def __init__(self, columns: Sequence[Column], *, styles: Sequence[str] = (), more: str = "") -> None:
        """
        Args:
            columns: all as long.
            styles: of the rows, in rich's words.
            more: said below the rows, of those that are not shown.
        """
        self._columns, self._styles, self._more = columns, styles, more

    def lines(self, width: int) -> list[Text]:
        """Headings in one or two lines, a line a row, and one for what is not shown; none wider than `width`."""
        heading, chosen = _whole, _fitting(self._columns, _whole, width)
        if len(chosen) < len(self._columns) and len(more := _fitting(self._columns, _broken, width)) > len(chosen):
            heading, chosen = _broken, more
        widths = [_width(column, heading) for column in chosen]
        headings = [heading(column.heading) for column in chosen]
        lines = [
            Text(_joined(parts, chosen, widths), style="bold")
            for parts in zip(*headings, strict=True)
            if any(parts) or not chosen
        ]
        for row in range(len(chosen[0].cells) if chosen else 0):
            line = Text(style=self._styles[row] if self._styles else "")
            for place, (column, size) in enumerate(zip(chosen, widths, strict=True)):
                cell = column.cells[row]
                line.append(" " * GAP if place else "")
                line.append(_padded(cell, column, size), style=column.style(cell))
            lines.append(line)
        left_out = [column.heading for column in self._columns if not any(column is other for other in chosen)]
        if below := _below(self._more, left_out, width):
            lines.append(Text(below, style="italic"))
        for line in lines:
            line.rstrip()
        return lines

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        yield from self.lines(options.max_width)


def flowing(parts: Sequence[str], width: int) -> list[str]:
    """Parts of one line, in as many lines as it takes; one that is wider than a line by itself is cut."""
    lines: list[str] = []
    for part in parts:
        joined = f"{lines[-1]}   {part}" if lines else part
        if lines and cell_len(joined) <= width:
            lines[-1] = joined
        else:
            lines.append(_cut(part, width))
    return lines


def _fitting(columns: Sequence[Column], heading: Callable[[str], tuple[str, str]], width: int) -> list[Column]:
    """The columns that there is room for, chosen by rank, in the order in which they came."""
    chosen: set[int] = set()
    free = width + GAP
    for place in sorted(range(len(columns)), key=lambda place: columns[place].rank):
        size = _width(columns[place], heading) + GAP
        if size <= free:
            chosen.add(place)
            free -= size
    return [column for place, column in enumerate(columns) if place in chosen]


def _whole(name: str) -> tuple[str, str]:
    return "", name


def _broken(name: str) -> tuple[str, str]:
    """A heading in two lines, `learning_` above `rate`, as narrow as it can be."""
    words = name.split("_")
    breaks = [("_".join(words[:at]) + "_", "_".join(words[at:])) for at in range(1, len(words))]
    return min([_whole(name), *breaks], key=lambda parts: max(map(cell_len, parts)))


def _width(column: Column, heading: Callable[[str], tuple[str, str]]) -> int:
    return max(column.widest, *map(cell_len, heading(column.heading)))


def _joined(texts: Sequence[str], columns: Sequence[Column], widths: Sequence[int]) -> str:
    return (" " * GAP).join(_padded(*cell) for cell in zip(texts, columns, widths, strict=True))


def _padded(text: str, column: Column, width: int) -> str:
    blanks = " " * (width - cell_len(text))
    return text + blanks if column.left else blanks + text


def _below(more: str, left_out: Sequence[str], width: int) -> str:
    """`and 120 more ended   +2 more parameters: loss, width`, the names where there is room for them."""
    if not left_out:
        return _cut(more, width)
    count = f"+{len(left_out)} more parameter{'s' if len(left_out) > 1 else ''}"
    for text in (f"{more}   {count}: {', '.join(left_out)}", f"{more}   {count}"):
        if cell_len(text.strip()) <= width:
            return text.strip()
    return _cut(text.strip(), width)


def _cut(text: str, width: int) -> str:
    return text if cell_len(text) <= width else set_cell_size(text, max(0, width - 1)) + "…"
