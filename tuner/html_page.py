"""Chapters as one HTML file that needs nothing else: no network, no other file, so it can be mailed and read offline.

What it shows comes from users' files. Prose is Markdown without raw HTML, everything else is escaped by the template,
figures are JSON in which no tag can end; and the page's own policy lets a browser run our scripts alone, by their
hashes, and fetch nothing.
"""

import base64
import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup

from tuner.chapters import Block, Chapter, Chart, Gallery, Tiles

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

ASSETS = Path(__file__).parent / "page_assets"

HEIGHT = 450
"""Pixels of a chart that does not say."""

_IMAGES = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png"}


def to_html(
    title: str, chapters: Iterable[Chapter], figures: "Mapping[str, Figure]", *, about: str, written: datetime
) -> str:
    """The whole page.

    Args:
        figures: by the keys that the chapters' charts name.
        about: what the page is, in plain text, below the title.
    """
    shown = [chapter for chapter in chapters if any(_shows(block, figures) for block in chapter.blocks)]
    keys = [key for chapter in shown for block in chapter.blocks if isinstance(block, Chart) for key in block.keys]
    drawn = {key: figures[key] for key in keys if key in figures}
    scripts = ([_plotly()] if drawn else []) + [_asset("page.js")]
    template = _templates().get_template("page.html")
    return template.render(
        title=title,
        about=about,
        written=f"{written.astimezone():%Y-%m-%d %H:%M %z}",
        version=version("voxtune"),
        chapters=shown,
        figures={key: _json(figure) for key, figure in drawn.items()},
        heights={key: figure.layout.height or HEIGHT for key, figure in drawn.items()},
        captions={key: (figure.layout.meta or {}).get("caption", "") for key, figure in drawn.items()},
        widths={key: (figure.layout.meta or {}).get("least_width", 0) for key, figure in drawn.items()},
        style=Markup(_asset("page.css")),
        scripts=[Markup(script) for script in scripts],
        policy=_policy(scripts),
    )


def _shows(block: Block, figures: "Mapping[str, Figure]") -> bool:
    """Whether a page has something to show of it. Key figures alone are no chapter."""
    match block:
        case Chart(keys=keys):
            return any(key in figures for key in keys)
        case Gallery(pictures=pictures):
            return bool(pictures)
        case Tiles():
            return False
    return True


def _policy(scripts: Iterable[str]) -> str:
    """What a browser may do on this page. plotly compiles the code of some charts (WebGL) itself: unsafe-eval."""
    hashes = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{value}'" for value in hashes)
    return (
        f"default-src 'none'; script-src {allowed} 'unsafe-eval'; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def _json(figure: "Figure") -> Markup:
    """A figure's data, in which nothing can be taken for a tag."""
    text = figure.to_json()
    assert text is not None
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def _data_uri(file: Path) -> str:
    """A picture in the page itself."""
    return f"data:{_IMAGES[file.suffix.lower()]};base64,{base64.b64encode(file.read_bytes()).decode()}"


@cache
def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())


@cache
def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


@cache
def _templates() -> Environment:
    templates = Environment(
        loader=FileSystemLoader(ASSETS),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {"prose": _prose, "data_uri": _data_uri, "kind": lambda block: type(block).__name__}
    return templates


@cache
def _markdown() -> MarkdownIt:
    """Tables in boxes that scroll; no HTML of others; no images, which would be fetched."""
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table").disable(["image", "autolink"])
    markdown.add_render_rule("table_open", _table_open)
    markdown.add_render_rule("table_close", lambda *_: "</table></div>\n")
    return markdown


def _table_open(*_: Any) -> str:
    return '<div class="scroll" tabindex="0"><table>\n'


def _prose(text: str) -> Markup:
    return Markup(_markdown().render(text))
