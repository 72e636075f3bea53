"""The page of HTML that chapters make: what is in it, and that what comes from outside does nothing there."""

import base64
import hashlib
import json
import re
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path

import plotly.graph_objects as go
import pytest
from make_sweep import CASES, DEFAULT, evaluation, open_study, sweep_directory
from PIL import Image

from tuner.chapters import Block, Cell, Chapter, Chart, Folded, Gallery, Picture, SortedTable, Tile, Tiles, to_markdown
from tuner.directory import SweepDirectory
from tuner.html_page import to_html
from tuner.markdown import escape
from tuner.report import report_at_end, write_report
from tuner.storage import open_storage
from tuner.study import DEFAULT_ORIGIN

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>[a](javascript:alert(3)) `b` **c** \"d' | e"


class Tags(HTMLParser):
    """The tags of a page with their attributes, the scripts' texts, and all text that is shown."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[str | None, str]] = []
        self.text = ""
        self._in_script = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append((dict(attrs).get("type"), ""))
            self._in_script = True

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False

    def handle_data(self, data: str) -> None:
        if self._in_script:
            self.scripts[-1] = (self.scripts[-1][0], self.scripts[-1][1] + data)
        else:
            self.text += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def page_of(*blocks: Block, figures: dict[str, go.Figure] | None = None) -> str:
    return to_html("Sweep x", [Chapter.of("", blocks)], figures or {}, about="about", written=datetime(2026, 1, 2))


def assert_inert(page: str, *, ours: int) -> Tags:
    """Only our scripts run, nothing is fetched, no handler is set; `ours` is how many scripts we wrote."""
    found = Tags(page)
    policy = next(meta["content"] for meta in found.of("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    running = [text for kind, text in found.scripts if kind is None]
    assert len(running) == ours
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in running]
    assert re.findall(r"'sha256-(.*?)'", policy) == hashes
    assert policy.startswith("default-src 'none'; script-src ")
    assert "http" not in policy
    for tag, attributes in found.tags:
        assert not [name for name in attributes if name.startswith("on")], tag
        for name in ("src", "href"):
            value = attributes.get(name) or ""
            assert not re.match(r"(?!data:)[a-z]+:|//", value), (tag, value)
    assert not found.of("iframe")
    return found


def test_names_from_outside_do_nothing() -> None:
    figure = go.Figure(go.Scatter(x=[1], y=[2], name=HOSTILE), {"meta": {"caption": HOSTILE}})
    table = SortedTable(header=[HOSTILE], rows=[[Cell(text=HOSTILE)]], shown=1, what="trial")
    blocks: list[Block] = [
        escape(HOSTILE),
        HOSTILE,  # even Markdown that somebody else wrote
        Tiles(tiles=[Tile(value=HOSTILE, name=HOSTILE, note=HOSTILE)]),
        Folded(summary=HOSTILE, text=HOSTILE),
        Chart(keys=["a"], alt=HOSTILE, note=escape(HOSTILE)),
        table,
    ]
    chapters = [Chapter.of(HOSTILE, blocks)]
    found = assert_inert(to_html(HOSTILE, chapters, {"a": figure}, about=HOSTILE, written=datetime(2026, 1, 2)), ours=2)
    assert found.text.count("<script>alert(1)</script>") >= 10  # it is shown
    assert not found.of("img")
    assert not [link for link in found.of("a") if not (link["href"] or "").startswith("#")]
    (data,) = (text for kind, text in found.scripts if kind == "application/json" and "alert" in text)
    assert json.loads(data)["data"][0]["name"] == HOSTILE


def test_prose_has_nothing_fetched() -> None:
    found = Tags(page_of("![a](https://elsewhere.example/a.png)", "![b](b.png)"))
    assert not found.of("img")


def test_a_report_of_hostile_names_does_nothing(tmp_path: Path) -> None:
    environment = {"dataset": {"name": HOSTILE, "content_hash": HOSTILE, "modalities": [HOSTILE]}, "system": HOSTILE}
    directory = sweep_directory(
        tmp_path / "heart", environment=environment, split={"train": [HOSTILE], "validation": [HOSTILE], "test": []}
    )
    study = open_study(open_storage(None, directory.journal, owner=True))
    study.enqueue(DEFAULT, origin=DEFAULT_ORIGIN)
    number = study.ask().number
    study.report(number, 1000, evaluation(0.7, 1000, cases={HOSTILE: {HOSTILE: 0.7, "b": 0.6}}), {})
    study.finish(number, "full budget")
    study.finish(study.ask().number, "error", error=f"ValueError: {HOSTILE}")
    files = write_report(directory)
    assert files.html == directory.report_page
    found = assert_inert(files.html.read_text(), ours=2)
    assert not found.of("img")


def test_plotly_is_there_once_and_only_for_charts() -> None:
    assert len(page_of("nothing to draw")) < 30_000
    page = page_of(
        Chart(keys=["a", "missing"], alt="A"), Chart(keys=["b"]), figures={"a": go.Figure(), "b": go.Figure()}
    )
    assert page.count("plotly.js v") == 1
    assert "Licensed under the MIT license" in page
    assert [place["data-figure"] for place in Tags(page).of("div") if "data-figure" in place] == ["a", "b"]


def test_chapters_without_content_are_left_out_of_both_pages() -> None:
    chapters = [
        Chapter.of("", ["yes"]),
        Chapter.of("Drawn", [Chart(keys=["a"], picture="a.png", alt="A")]),
        Chapter.of("Not drawn", [Chart(keys=["b"], alt="B")]),
        Chapter.of("Empty", []),
    ]
    page = to_html("T", chapters, {"a": go.Figure()}, about="", written=datetime(2026, 1, 2))
    assert [heading["id"] for heading in Tags(page).of("section")] == ["answer", "drawn"]
    assert to_markdown("T", chapters) == "# T\n\nyes\n\n## Drawn\n\n![A](a.png)\n"


def test_a_long_table_is_whole_in_html_and_short_in_markdown() -> None:
    rows = [[Cell.of(value, f"{value:.1f}"), Cell(text=f"loss {value}")] for value in range(120)]
    table = SortedTable(header=["Dice", "loss"], rows=rows, shown=10, what="trial", high_first=["Dice"])
    found = Tags(page_of(table))
    assert len(found.of("tr")) == 121
    assert [cell.get("data-rank") for cell in found.of("td")[:4]] == ["0.0", None, "1.0", None]
    assert [head.get("class") for head in found.of("th")] == ["number", None]
    markdown = to_markdown("T", [Chapter.of("", [table])])
    assert markdown.count("| loss ") == 11
    assert "The first 10 of 120 trials." in markdown


def test_pictures_lie_in_the_page(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.png"):
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    pictures = [
        Picture(file=tmp_path / name, link=f"../best/{name}", caption=f"<{name}>") for name in ("a.jpg", "b.png")
    ]
    gallery = Gallery(pictures=pictures, shown=[1])
    images = Tags(page_of(gallery)).of("img")
    assert [image["alt"] for image in images] == ["<a.jpg>", "<b.png>"]
    assert [(image["src"] or "").split(",")[0] for image in images] == [
        "data:image/jpeg;base64",
        "data:image/png;base64",
    ]
    assert {image["loading"] for image in images} == {"lazy"}
    assert to_markdown("T", [Chapter.of("", [gallery])]).count("![") == 1


def finished_sweep(tmp_path: Path) -> Path:
    directory = sweep_directory(tmp_path / "heart", trials=1)
    study = open_study(open_storage(None, directory.journal, owner=True))
    study.plan(1)
    study.report(study.ask().number, 1000, evaluation(0.8, 1000), {})
    study.finish(0, "full budget")
    return directory.root


def cases_json(folder: Path, *, run: str = "sweep:0", picture: str = "cases/0001.jpg") -> None:
    (folder / "best" / "cases").mkdir(parents=True)
    Image.new("RGB", (8, 4)).save(folder / "best" / "cases" / "0001.jpg")
    case = {"case": CASES[0], "dice": 0.78, "classes": {"Anterior": 0.8, "Posterior": 0.76}, "picture": picture}
    content = {
        "run": run,
        "part": "validation",
        "rows": "truth above, prediction below",
        "cases": [case, {**case, "case": "b"}],
    }
    del content["cases"][1]["picture"]
    (folder / "best" / "cases.json").write_text(json.dumps(content))


def test_cases_are_shown_with_their_pictures(tmp_path: Path) -> None:
    root = finished_sweep(tmp_path)
    directory = SweepDirectory(root)
    files = write_report(directory)
    assert "No pictures of them were made; with the data set at hand `voxtune report" in files.markdown.read_text()
    cases_json(root)
    write_report(directory)
    page, markdown = directory.report_page.read_text(), files.markdown.read_text()
    assert len(Tags(page).of("img")) == 1
    assert "Three planes of 1 validation case, truth above, prediction below." in page
    assert "![case_001: Dice 0.7800](<../best/cases/0001.jpg>)" in markdown
    assert "| case_001 | 0.7800 | 0.8000 | 0.7600 |" in markdown


def test_pictures_of_another_run_are_not_shown(tmp_path: Path) -> None:
    root = finished_sweep(tmp_path)
    cases_json(root, run="sweep:3")
    files = write_report(SweepDirectory(root))
    assert "Their pictures are of another run, sweep:3;" in files.markdown.read_text()


def test_a_listing_can_not_name_files_elsewhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = finished_sweep(tmp_path)
    Image.new("RGB", (8, 4)).save(root / "secret.jpg")
    cases_json(root, picture="../secret.jpg")
    with pytest.raises(ValueError, match="is no picture in it"):
        write_report(SweepDirectory(root))
    files = report_at_end(SweepDirectory(root))
    assert files is not None
    assert files.html is not None
    assert not Tags(files.html.read_text()).of("img")
    assert caplog.messages[-1] == "the report lacks its pictures of cases"
