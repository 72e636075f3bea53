"""The report in a browser, wide and narrow: it draws, sorts, asks for nothing and complains of nothing."""

import asyncio
import json
import shutil
import sys
from pathlib import Path

import pytest
from make_sweep import CASES, DEFAULT, evaluation, open_study, play, sweep_directory
from PIL import Image
from services import missing

from tuner.directory import SweepDirectory
from tuner.report import write_report
from tuner.report_comparison import write_comparison
from tuner.storage import open_storage
from tuner.study import DEFAULT_ORIGIN

sys.path.insert(0, str(Path(__file__).parents[1] / "docs"))
from browser import Page, browser

pytestmark = pytest.mark.service

TRIALS = 40

WIDE, PHONE = 1280, 390

BUSY_SECONDS = 120
"""A chart may take to be drawn, without a GPU and beside other tests."""

EACH = "[...document.querySelectorAll('.chart')]"


def written(folder: Path, *, trials: int = TRIALS) -> Path:
    """The page of a played sweep with a picture, failed trials and names that are longer than a phone is wide."""
    names = {"train": ["x" * 200], "validation": list(CASES), "test": []}
    environment = {"dataset": {"name": "Heart <b>scans</b>", "content_hash": "ab" * 32}, "system": "Linux-" + "5" * 90}
    directory = sweep_directory(folder, trials=trials, environment=environment, split=names)
    study = open_study(open_storage(None, directory.journal, owner=True))
    study.enqueue(DEFAULT, origin=DEFAULT_ORIGIN)
    study.plan(trials)
    number = study.ask().number
    study.report(number, 1000, evaluation(0.95, 1000), {})
    study.finish(number, "full budget")
    study.finish(study.ask().number, "error", error="ValueError: " + "</script>" * 40)
    study.finish(study.ask().number, "out of memory", error="OutOfMemoryError", facts={"estimated_gib": 9.0})
    play(study, trials)
    (folder / "best" / "cases").mkdir(parents=True)
    Image.new("RGB", (900, 500)).save(folder / "best" / "cases" / "0001.jpg")
    case = {"case": CASES[0], "dice": 0.9, "classes": {"Anterior": 0.9}, "picture": "cases/0001.jpg"}
    content = {"run": "sweep:0", "part": "validation", "rows": "truth above", "cases": [case]}
    (folder / "best" / "cases.json").write_text(json.dumps(content))
    page = write_report(directory, price=2.5).html
    assert page is not None
    return page


async def looked_at(page: Page, file: Path, *, width: int, charts: set[str]) -> None:
    """Open the file, see to the end of it, and hold what must hold at any width."""
    await page.open(file.as_uri(), width=width, height=900, phone=width == PHONE)
    await page.until("document.readyState == 'complete'", pause=0.2)
    assert set(json.loads(await page.run(f"JSON.stringify({EACH}.map(one => one.dataset.figure))"))) == charts
    await page.run(f"{EACH}.forEach(one => one.scrollIntoView())")
    for chart in charts:
        there = f"document.querySelector('[data-figure={chart}]')"
        await page.run(f"{there}.scrollIntoView()")
        height = f"({there}.querySelector('.main-svg')?.getBoundingClientRect().height ?? 0)"
        await page.until(f"{height} > 80", seconds=BUSY_SECONDS, pause=0.1)
    assert await page.run("document.documentElement.scrollWidth") == width
    assert await page.run("[...document.images].every(one => one.alt && one.src.startsWith('data:image/'))")


def shown_cells(column: int) -> str:
    """The cells of the leaderboard that are seen, in a column, from top to bottom."""
    rows = "[...document.querySelector('#leaderboard tbody').rows].filter(one => one.offsetParent)"
    return f"JSON.stringify({rows}.map(one => one.cells[{column}].textContent))"


async def sorting(page: Page) -> None:
    """By click and by key, numbers as numbers and empty cells last; all rows, though few are shown."""
    assert len(json.loads(await page.run(shown_cells(0)))) == 10
    click = "document.querySelectorAll('#leaderboard th button')[{}].click()"
    await page.run(click.format(0))
    assert json.loads(await page.run(shown_cells(0))) == ["0 *", *map(str, range(1, 10))]
    await page.run(click.format(0))
    assert json.loads(await page.run(shown_cells(0)))[0] == str(TRIALS - 1)
    heading = "document.querySelectorAll('#leaderboard th')[{}]"
    assert await page.run(f"{heading.format(0)}.getAttribute('aria-sort')") == "descending"
    await page.run(f"{heading.format(1)}.firstChild.focus()")
    await page.press("Enter")
    dice = json.loads(await page.run(shown_cells(1)))
    assert dice[0] == "0.9500"  # the highest first
    assert dice == sorted(dice, reverse=True)
    await page.run("document.querySelector('#leaderboard button.all').click()")
    dice = json.loads(await page.run(shown_cells(1)))
    assert len(dice) == TRIALS
    assert dice[-2:] == ["", ""]
    assert dice.count("") == 2
    await page.press("Enter")
    assert json.loads(await page.run(shown_cells(1)))[-2:] == ["", ""]


def test_pages_in_chromium_wide_and_on_a_phone(tmp_path: Path) -> None:
    if shutil.which("chromium") is None:
        missing("Chromium is not installed; `.ci/services` installs it on Debian")
    report = written(tmp_path / "heart")
    other = tmp_path / "other"
    written(other, trials=4)
    sweeps = [SweepDirectory(tmp_path / "heart"), SweepDirectory(other)]
    comparison = write_comparison(sweeps, output=tmp_path / "compare.html").html
    charts = {
        "curves",
        "importance",
        "parallel",
        "time_front",
        "memory_front",
        "batch_patch",
        "timeline",
        "utilisation",
    }

    async def look() -> tuple[list[str], list[str]]:
        async with browser(tmp_path / "browser") as page:
            await page.listen()
            for width in (WIDE, PHONE):
                await looked_at(page, report, width=width, charts=charts)
                await sorting(page)
                await looked_at(page, comparison, width=width, charts={"best_so_far"})
            return page.complaints(), page.requests()

    complaints, requests = asyncio.run(look())
    assert complaints == []
    assert set(requests) == {report.as_uri(), comparison.as_uri()}
