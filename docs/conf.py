"""How Sphinx makes a site of these pages: `make docs`. They are plain Markdown, and read on GitHub as they are."""

import re
import shutil
from pathlib import Path

from sphinx.application import Sphinx

project = "voxtune"
project_copyright = "the voxtune authors, Apache-2.0"
root_doc = "index"
extensions = ["myst_parser"]
exclude_patterns = ["_static"]

myst_heading_anchors = 3  # as GitHub makes them

html_theme = "furo"
html_title = "voxtune"
html_static_path = ["_static"]
html_css_files = ["voxtune.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False

DOCS = Path(__file__).parent

SECTION = re.compile(r"^## (.+)\n((?:(?!## ).*\n)*)", re.MULTILINE)
PAGE = re.compile(r"^- \[(.+?)\]\(([\w/]+)\.md\)", re.MULTILINE)


def copy_results(app: Sphinx) -> None:
    """Bring the pages of benchmarks here, since Sphinx reads only what lies below this folder."""
    leave_out = shutil.ignore_patterns("*.json")  # they are linked to as files
    shutil.copytree(DOCS.parent / "benchmarks" / "results", DOCS / "_results", ignore=leave_out, dirs_exist_ok=True)


def change_source(app: Sphinx, docname: str, source: list[str]) -> None:
    """What a page needs on the site and not on GitHub."""
    if docname == root_doc:
        source[0] += _navigation(source[0])
    elif docname.startswith("_results/"):
        source[0] = f"---\norphan: true\n---\n{source[0]}"
    else:
        source[0] = re.sub(r"\]\((?:\.\./)+benchmarks/results/([^)]+\.md)", r"](/_results/\1", source[0])


def _navigation(index: str) -> str:
    """Each section of index.md, a list of links, as a part of the navigation at the side."""
    blocks = []
    for caption, links in SECTION.findall(index):
        pages = "\n".join(f"{title} <{page}>" for title, page in PAGE.findall(links))
        blocks.append(f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{pages}\n```\n")
    return "".join(blocks)


def setup(app: Sphinx) -> None:
    app.connect("builder-inited", copy_results)
    app.connect("source-read", change_source)
