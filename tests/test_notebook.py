"""The table in a notebook, in a real Jupyter kernel: what stands in the notebook's file when it has run."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest
from make_sweep import evaluation, open_study, play, sweep_directory

from search_spaces.space import parse_space
from tuner.directory import SweepDirectory
from tuner.followed import Followed
from tuner.notebook import NotebookTable
from tuner.results import read_results
from tuner.storage import open_storage

pytestmark = pytest.mark.slow

TESTS = Path(__file__).parent


class Table(HTMLParser):
    """The rows of an HTML table, and the text around it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.bold: list[bool] = []
        self.around: list[str] = []
        self._in_cell = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.rows.append([])
            self.bold.append("bold" in (dict(attrs).get("style") or ""))
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self._in_cell = True

    def handle_endtag(self, tag: str) -> None:
        self._in_cell = self._in_cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._in_cell:
            self.rows[-1][-1] += data
        else:
            self.around.append(data)


def run_cells(*cells: str, folder: Path) -> tuple[list[list[Any]], list[dict[str, Any]]]:
    """The outputs of each cell after a kernel has run them in `folder`, and all messages that brought outputs."""
    begin = f"import sys; sys.path.insert(0, {str(TESTS)!r})\nimport optuna; optuna.logging.set_verbosity(30)"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in (begin, *cells)])
    messages: list[dict[str, Any]] = []

    class Client(nbclient.NotebookClient):
        def process_message(self, message: Any, *arguments: Any) -> Any:
            messages.append(message)
            return super().process_message(message, *arguments)

    Client(notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute()
    return [cell.outputs for cell in notebook.cells[1:]], messages


def tables(outputs: list[Any]) -> list[Any]:
    return [output for output in outputs if "text/html" in output.get("data", {})]


def test_names_from_outside_are_no_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    hostile = "<img src=x onerror=alert(1)>"
    study = open_study(space=parse_space({"loss": {"choice": [hostile, "b"]}}))
    study.enqueue({"loss": hostile})
    study.ask()
    displayed: list[Any] = []
    monkeypatch.setattr("tuner.notebook.display", lambda table, **options: displayed.append(table))
    NotebookTable(Followed(study, title=hostile)).update()
    (table,) = displayed
    assert table._repr_html_().count("&lt;img src=x onerror=alert(1)&gt;") == 2
    assert "<img" not in table._repr_html_()


def test_one_table_is_replaced_until_it_is_the_last_one(tmp_path: Path) -> None:
    outputs, messages = run_cells(
        "from advancing import SPACE, advance, open_study, parse_space, View\n"
        "study = open_study(space=parse_space(SPACE))\n"
        "view = View()\n"
        "with view.watching(study, title='<heart>'):\n"
        "    view.note('news')\n"
        "    advance(study, 40, seconds=4)\n"
        "best = study.ranking()[0]\n"
        "print(best.number, best.value)",
        folder=tmp_path,
    )
    (table,) = tables(outputs[0])
    assert table["output_type"] == "display_data"
    read = Table(table["data"]["text/html"])
    assert read.around[0] == "<heart>: 0 running, 40 ended, 0 to go"
    printed = "".join(output["text"] for output in outputs[0] if output["output_type"] == "stream")
    news, best = printed.splitlines()
    number, dice = best.split()
    assert news == "news"
    assert re.fullmatch(rf"best Dice {float(dice):.4f} \(trial {number}\) · elapsed \d+ s", read.around[1])
    assert read.around[2] == "and 8 more ended"
    assert read.rows[0][:6] == ["trial", "state", "budget", "Dice", "learning_rate", "batch_size"]
    assert len(read.rows) == 1 + 32
    assert read.rows[1][:4] == [number, "full budget", "100%", f"{float(dice):.4f}"]
    assert read.bold == [False, True, *[False] * 31]
    assert all(len(row) == 4 + 7 and all(row) for row in read.rows)
    plain = table["data"]["text/plain"].splitlines()
    assert plain[0] == read.around[0]
    assert all(len(line) <= 120 for line in plain)
    updates = [message for message in messages if message["msg_type"] == "update_display_data"]
    assert len(updates) >= 4
    assert len({message["content"]["transient"]["display_id"] for message in updates}) == 1


def test_a_sweep_that_runs_elsewhere_is_watched(tmp_path: Path) -> None:
    directory = sweep_directory(tmp_path / "runs" / "heart", trials=4)
    study = open_study(open_storage(None, directory.journal, owner=True))
    play(study, 3)
    study.report(study.ask().number, 111, evaluation(0.5, 111))
    outputs, _ = run_cells("from tuner.api import watch\nwatch('heart')", folder=tmp_path)
    (table,) = tables(outputs[0])
    read = Table(table["data"]["text/html"])
    assert read.around[0] == "heart: 0 running, 1 interrupted, 3 ended, 0 to go"
    assert read.rows[-1][:4] == ["3", "interrupted", "11%", "0.5000"]
    assert outputs[0][-1]["data"]["text/plain"] == "'interrupted'"


@pytest.mark.ray
def test_a_sweep_of_toys_shows_its_search_and_its_confirm_stage(tmp_path: Path, running_ray: str) -> None:
    outputs, _ = run_cells(
        "from pathlib import Path\n"
        "from tuner.api import SweepConfig, View, run_sweep\n"
        "config = SweepConfig.model_validate({\n"
        "    'name': 'toy', 'trainable': 'trainables.toy:ToyRun',\n"
        "    'space': {'learning_rate': {'float': [1e-5, 1e-1], 'log': True}},\n"
        "    'budget': {'unit': 'steps', 'maximum': 90}, 'search': {'trials': 4}, 'confirm': {'top': 1, 'seeds': 1},\n"
        "})\n"
        f"results = run_sweep(config, view=View(), address={running_ray!r})\n"
        "results.best.number",
        folder=tmp_path,
    )
    search, confirm = (Table(table["data"]["text/html"]) for table in tables(outputs[0])[:2])
    assert search.around[0] == "toy: 0 running, 4 ended, 0 to go"
    assert confirm.around[0] == "confirm: 0 running, 1 ended, 0 to go"
    results = read_results(SweepDirectory.find("toy", tmp_path / "runs"))
    assert len(search.rows) == 1 + 4
    for row in search.rows[1:]:
        trial = results.trials.set_index("number").loc[int(row[0])]
        assert row[1:4] == [trial["stop_reason"], f"{trial['step'] / 1000:.0%}", f"{trial['score']:.4f}"]
        assert row[4] == f"{trial['learning_rate']:.3g}"


@pytest.mark.ray
def test_the_notebook_of_the_pages_runs(tmp_path: Path) -> None:
    """As it stands, but for a shorter search."""
    notebook = nbformat.read(TESTS.parent / "docs" / "first_sweep.ipynb", as_version=4)
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    asked = "trials=6, minutes=0.5)"
    (draft,) = (place for place, cell in enumerate(cells) if asked in cell)
    cells[draft] = cells[draft].replace(asked, 'trials=3, minutes=0.4).replace("top: 3", "top: 0")')
    outputs, _ = run_cells(*cells, folder=tmp_path)
    (search,) = (place for place, cell in enumerate(cells) if "run_sweep(config" in cell)
    shown = [Table(table["data"]["text/html"]) for table in tables(outputs[search])]
    assert any("notebook: 0 running, 3 ended, 0 to go" in text for table in shown for text in table.around)
    (trials,) = tables(outputs[search + 1])
    assert len(Table(trials["data"]["text/html"]).rows) == 1 + 3
    kinds = {kind for output in outputs[search + 1 :] for one in output for kind in one.get("data", {})}
    assert {"image/png", "image/jpeg"} <= kinds
    assert (tmp_path / "runs" / "notebook" / "report" / "report.html").is_file()
