"""Reads the project's Markdown: its headings, links, blocks of code, and commands of voxtune in them."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[1]

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("[!_]*.md"), *(ROOT / "docs" / "reference").glob("*.md")])

GENERATED = ROOT / "docs" / "reference"

_MARKDOWN = MarkdownIt("commonmark").enable("table")


@dataclass(frozen=True, kw_only=True)
class Block:
    """A fenced block of code."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path, *languages: str) -> list[Block]:
    """The blocks of code of a page; one that is merely indented has the language ""."""
    return [
        Block(page=page, line=token.map[0] + 1, language=token.info.strip(), text=token.content)
        for token in _MARKDOWN.parse(page.read_text())
        if token.type in ("fence", "code_block") and token.map and (not languages or token.info in languages)
    ]


def links(page: Path) -> list[str]:
    """Where the links and pictures of a page point to."""
    found = [token.attrGet("href") or token.attrGet("src") for token in _inline(page) if token.type in _LINKS]
    return [str(target) for target in found]


def code(page: Path) -> list[str]:
    """What stands in a page's text as `code`."""
    return [token.content for token in _inline(page) if token.type == "code_inline"]


def anchors(page: Path) -> set[str]:
    """The names of a page's headings, as GitHub makes them."""
    tokens = _MARKDOWN.parse(page.read_text())
    headings = [tokens[index + 1] for index, token in enumerate(tokens) if token.type == "heading_open"]
    names = ["".join(part.content for part in heading.children or ()) for heading in headings]
    return {re.sub(r"[^\w\- ]", "", name.lower()).replace(" ", "-") for name in names}


def commands(script: str) -> Iterator[list[str]]:
    """The words after each `voxtune` of a shell's script."""
    for line in script.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words = list(lexer)
        ends = [place for place, word in enumerate(words) if not word.strip("();<>|&")] + [len(words)]
        for place, word in enumerate(words):
            begins = place == 0 or place - 1 in ends or re.fullmatch(r"\w+=.*", words[place - 1])
            if begins and (word == "voxtune" or word.endswith("/voxtune")):
                yield words[place + 1 : next(end for end in ends if end > place)]


_LINKS = ("link_open", "image")


def _inline(page: Path) -> Iterator[Token]:
    for token in _MARKDOWN.parse(page.read_text()):
        yield from token.children or ()
