"""Makes README's pictures again: `voxtune run` in a real terminal, and the report of a sweep in Chromium.

    apt-get install chromium tmux
    python docs/make_readme_pictures.py runs/hippocampus

The terminal's sweep trains on a generated heart while it is looked at; the report is of the sweep that is named.
"""

import argparse
import asyncio
import io
import re
import sys
import tempfile
from pathlib import Path

from browser import browser
from rich.console import Console
from rich.text import Text

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from terminal import terminal

IMAGES = Path(__file__).parent / "images"
COLUMNS, ROWS = 112, 24
VOXTUNE = f"{sys.executable} -m tuner.cli"
TRIALS = 12
ENDED_WHEN_TAKEN = 7
"""Trials, when the terminal is looked at."""


def terminal_picture(folder: Path) -> str:
    """What a window shows in the midst of a sweep, as SVG without fonts from elsewhere."""
    script = (
        f"{VOXTUNE} phantom heart --cases 12 >/dev/null && "
        f"{VOXTUNE} new heart --trials {TRIALS} --minutes 5 >/dev/null; "
        f"clear; echo '$ voxtune run sweep.yaml'; {VOXTUNE} run sweep.yaml --no-confirm"
    )
    with terminal(["sh", "-c", script], columns=COLUMNS, rows=ROWS, folder=folder) as window:
        ended = re.compile(rf"\b{ENDED_WHEN_TAKEN} ended")
        window.until(lambda: bool(ended.search("\n".join(window.lines()))), seconds=900)
        shown = window.tmux("capture-pane", "-p", "-e")
        window.type("C-c")
        window.wait(120)
    console = Console(record=True, width=COLUMNS, force_terminal=True, file=io.StringIO())
    console.print(Text.from_ansi(shown.rstrip()))
    svg = console.export_svg(title="voxtune run sweep.yaml")
    return re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)


async def take(run: Path, folder: Path) -> None:
    drawn = folder / "terminal.svg"
    drawn.write_text(terminal_picture(folder))
    size = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', drawn.read_text())
    assert size
    width, height = size.groups()
    async with browser(folder / "browser") as page:
        await page.open(drawn.as_uri(), width=round(float(width)), height=round(float(height)))
        await page.until("document.querySelector('svg') != null")
        await page.picture(IMAGES / "run.png")
        await page.open((run / "report" / "report.html").absolute().as_uri(), width=1000, height=760)
        await page.until("document.readyState == 'complete'")
        await page.picture(IMAGES / "report.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="directory of a finished sweep")
    run = parser.parse_args().run
    with tempfile.TemporaryDirectory(prefix="pictures-") as folder:
        asyncio.run(take(run, Path(folder)))


if __name__ == "__main__":
    main()
