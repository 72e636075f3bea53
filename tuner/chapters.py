"""A report's chapters: what they hold, said once, for a page of Markdown and one of HTML (`tuner.html_page`).

Prose is Markdown; names in it that come from users' files are escaped. Other blocks are data that each page shows in
its own way: a table is cut short in Markdown and can be sorted in HTML, a chart is a PNG in the one and drawn in the
other.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from tuner.markdown import count, escape, table


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A cell of a table that can be sorted."""

    text: str
    """As it is shown, not escaped."""

    rank: float | None = None
    """What it is sorted by; by its text where there is none."""

    @classmethod
    def of(cls, value: float | None, text: str) -> "Cell":
        """A number's; an empty one where there is none."""
        return cls(text="") if value is None or pd.isna(value) else cls(text=text, rank=float(value))


@dataclass(frozen=True, kw_only=True)
class SortedTable:
    """A table that readers of HTML can sort and see all of; Markdown shows its first rows."""

    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    shown: int
    """Rows that are shown first."""

    what: str
    """What a row is: `trial`."""

    high_first: Collection[str] = ()
    """Headings of columns in which one looks for the highest."""

    @property
    def numeric(self) -> list[bool]:
        """Which columns hold numbers, and no text."""
        columns = zip(*self.rows, strict=True) if self.rows else [()] * len(self.header)
        return [all(isinstance(cell.rank, float) or not cell.text for cell in column) for column in columns]


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A picture of figures: in HTML drawn from its data, beside the Markdown a PNG."""

    keys: Sequence[str] = ()
    """Of the figures that are drawn one below the other, those that there are."""

    picture: str | None = None
    """The PNG's name."""

    alt: str = ""
    note: str = ""
    """Plain text that says what readers may do with a drawn figure."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture file with what it shows."""

    file: Path
    link: str
    """How the Markdown names the file."""

    caption: str
    detail: str = ""
    """More of the caption; not escaped either."""


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """Pictures, in order; Markdown shows a few."""

    pictures: Sequence[Picture]
    shown: Sequence[int]
    """Places of those that Markdown shows."""


@dataclass(frozen=True, kw_only=True)
class Tile:
    """A figure that stands out: `0.8742`, `validation Dice`, `± 0.0012 over 2 seeds`."""

    value: str
    name: str
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Tiles:
    """The figures that answer at a glance; the prose says them too, so only HTML shows them."""

    tiles: Sequence[Tile]


@dataclass(frozen=True, kw_only=True)
class Folded:
    """What only some want to read, such as long lists of names; only HTML shows it, folded."""

    summary: str
    text: str
    """Plain text."""


Block = str | Chart | SortedTable | Gallery | Tiles | Folded


@dataclass(frozen=True, kw_only=True)
class Chapter:
    """One question and its answer. A page leaves out chapters of which it has nothing to show."""

    title: str
    """Plain text; empty for the first chapter, which answers before anything else."""

    blocks: Sequence[Block]

    @classmethod
    def of(cls, title: str, blocks: Iterable[Block]) -> "Chapter":
        return cls(title=title, blocks=tuple(blocks))

    @property
    def anchor(self) -> str:
        """Its name in links."""
        return "-".join("".join(c if c.isalnum() else " " for c in self.title.lower()).split()) or "answer"


def to_markdown(title: str, chapters: Iterable[Chapter]) -> str:
    """The whole page."""
    parts = [f"# {escape(title)}"]
    for chapter in chapters:
        if blocks := [text for block in chapter.blocks for text in _markdown(block)]:
            parts += [f"## {chapter.title}"] * bool(chapter.title) + blocks
    return "\n\n".join(parts) + "\n"


def _markdown(block: Block) -> Iterator[str]:
    match block:
        case str():
            yield block
        case Chart(picture=str(picture), alt=alt):
            yield f"![{escape(alt)}]({picture})"
        case SortedTable(header=header, rows=rows, shown=shown, what=what):
            cells = [[escape(cell.text) for cell in row] for row in rows[:shown]]
            yield table([escape(name) for name in header], cells)
            if len(rows) > shown:
                yield f"The first {shown} of {count(len(rows), what)}."
        case Gallery(pictures=pictures, shown=places):
            for one in (pictures[place] for place in places):
                yield f"![{escape(one.caption)}](<{one.link}>)"
                yield escape(f"{one.caption} {one.detail}".strip())
