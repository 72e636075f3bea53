"""Text that does nothing in a terminal, whoever wrote it.

Names come from users' files, and a terminal obeys what stands in them: it takes a title, another screen, the clipboard.
So control characters, and those that turn the direction of text, are shown by a sign instead.
"""

import re
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

_SIGNS = {
    **{code: 0x2400 + code for code in range(0x20) if chr(code) not in "\t\n\r"},
    0x7F: 0x2421,
    **dict.fromkeys(
        (*range(0x80, 0xA0), 0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)), 0xFFFD
    ),
}
"""Unicode's pictures of control characters, ␛ for escape, and � for those that have none."""

_COLOURED = re.compile(r"(\x1b\[[\d;]*m)")


def inert(text: str) -> str:
    """`text` without characters that a terminal obeys."""
    return text.translate(_SIGNS)


def inert_but_coloured(text: str) -> str:
    """The same, but colours stay: a log holds what programs wrote for a terminal."""
    return "".join(part if _COLOURED.fullmatch(part) else inert(part) for part in _COLOURED.split(text))


class InertConsole(Console):
    """A console on which no text does anything; what rich itself has the terminal do is no text."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield Segment(inert(segment.text), segment.style)
