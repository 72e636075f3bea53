"""The pages tell the truth: links lead somewhere, examples are read by the program, references follow from the code."""

import json
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import fmean, stdev
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest
import typer
from command_line import find_command, parse_command
from make_sweep import open_study, play, sweep_directory
from markdown_pages import GENERATED, PAGES, ROOT, Block, anchors, blocks, code, commands, links

import tuner.api
from search_spaces.presets import load_preset, preset_names
from search_spaces.yaml_file import parse_yaml
from trainables.segmentation_config import SegmentationConfig
from tuner.config import SEGMENTATION, DatasetConfig, SweepConfig
from tuner.results import read_results
from tuner.sampler import sampler_factory
from tuner.section import Section
from tuner.storage import open_storage

sys.path.insert(0, str(ROOT / "docs"))
from command_pages import examples as command_examples
from command_pages import leaves
from make_reference import references

LANGUAGES = {"sh", "yaml", "python", "py", "json", "dockerfile", "text"}
"""Those of `py` are signatures, no examples."""

BASE: dict[str, Any] = {
    "name": "heart",
    "dataset": {"path": "Task02_Heart"},
    "space": {"learning_rate": {"float": [1e-4, 1e-2], "log": True}},
    "budget": {"maximum": 1e9},
}
"""What an example that shows a part of a sweep file leaves out."""

SECTIONS = {
    key: form.annotation.model_fields
    for key, form in SweepConfig.model_fields.items()
    if isinstance(form.annotation, type) and issubclass(form.annotation, Section)
} | {"dataset": DatasetConfig.model_fields}

RESULTS = ROOT / "benchmarks" / "results"

pytestmark = pytest.mark.skipif(not RESULTS.is_dir(), reason="a source distribution has no results to link to")

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def each_block(*languages: str) -> Any:
    found = [block for page in PAGES for block in blocks(page, *languages)]
    return pytest.mark.parametrize("block", found, ids=str)


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    for target in links(page):
        if "://" in target or target.startswith("mailto:"):
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file), target


@each_page
def test_pages_of_the_site_link_to_files(page: Path) -> None:
    """A folder is a page on GitHub, and nothing on the site."""
    if page.is_relative_to(ROOT / "docs"):
        assert not [target for target in links(page) if (page.parent / target).is_dir()]


@each_page
def test_each_block_says_its_language(page: Path) -> None:
    """So that none is left out below."""
    assert {block.language for block in blocks(page)} <= LANGUAGES


@each_page
def test_rows_of_tables_have_as_many_cells_as_their_heads(page: Path) -> None:
    """A bar ends a cell in code too, unless a backslash stands before it."""
    lines = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE).splitlines()
    bars = [len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0 for line in lines]
    assert [
        line
        for line, before, count in zip(lines[1:], bars, bars[1:], strict=False)
        if before and count not in (0, before)
    ] == []


@each_block("yaml")
def test_examples_of_sweep_files_are_read(block: Block) -> None:
    told = parse_yaml(block.text)
    assert told
    jsonschema.validate(read(told), json.loads((ROOT / "docs" / "sweep.schema.json").read_text()))


@each_page
def test_keys_of_sweep_files_in_the_text_are_such(page: Path) -> None:
    """`search.turned_away`, or `resources: {gpus_per_trial: 1}`."""
    for text in code(page):
        section, _, key = text.partition(".")
        if section in SECTIONS and key.isidentifier() and key not in ("py", "json"):
            assert key in SECTIONS[section], text
        elif re.match(r"\w+: [{\[]", text) and text.partition(":")[0] in SweepConfig.model_fields and "..." not in text:
            read(parse_yaml(text))


@each_block("python")
def test_examples_in_python_run(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As far as that costs nothing: a sweep that is run is one that was played before."""
    directory = sweep_directory(tmp_path / "runs" / "hippocampus")
    study = open_study(open_storage(None, directory.journal, owner=True))
    play(study, 4)
    monkeypatch.chdir(tmp_path)
    shutil.copy(directory.sweep_file, "sweep.yaml")
    monkeypatch.setattr(tuner.api, "run_sweep", lambda config, view: read_results(directory))
    monkeypatch.setattr(tuner.api, "watch", lambda run: "finished")
    monkeypatch.setattr(tuner.api, "write_report", lambda found: SimpleNamespace(html=found.report_page))
    Path("example.py").write_text(block.text)
    runpy.run_path("example.py", {"config": SweepConfig.read(Path("sweep.yaml"))})


@each_block("sh")
def test_commands_are_such(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://localhost:8265")
    for words in commands(block.text):
        parse_command(words)


@each_page
def test_commands_in_the_text_are_such(page: Path) -> None:
    """Their values may be placeholders, so that the names of commands and options are looked at alone."""
    for words in (words for text in code(page) if "voxtune " in text for words in commands(text)):
        command, rest = find_command(words)
        known = {name for one in command.params for name in (*one.opts, *one.secondary_opts)} | {"--help"}
        assert {word for word in rest if word.startswith("-") and word != "-"} <= known, words


def test_the_words_of_a_command() -> None:
    """What the tests above see is what a shell would."""
    script = """
        (umask 077 && voxtune a 'b c' >/dev/null)  # it's voxtune
        X=1 voxtune b \\
            -x 1 && su voxtune; bin/voxtune c &
    """
    assert list(commands(script)) == [["a", "b c"], ["b", "-x", "1"], ["c"]]


@pytest.mark.parametrize("wrong", [["rum", "sweep.yaml"], ["run", "sweep.yaml", "--trails", "3"], ["run"]])
def test_a_wrong_command_is_found(wrong: list[str]) -> None:
    with pytest.raises((KeyError, typer._click.exceptions.UsageError)):
        parse_command(wrong)


def test_each_setting_and_key_of_a_preset_is_in_the_reference() -> None:
    page = (GENERATED / "sweep_file.md").read_text()
    for preset in preset_names():
        for name in load_preset(preset):
            assert f"| `{name}` |" in page


def test_figures_of_the_readme_are_those_of_the_results() -> None:
    """Word by word, as far as README says them."""
    readme = " ".join((ROOT / "README.md").read_text().split())
    job = json.loads(max(RESULTS.glob("main_job-*.json")).read_text())
    seeds = list(job["chosen_dice_by_seed"].values())
    sides = json.loads(max(RESULTS.glob("against_stock-*.json")).read_text())["medians"]
    stock, ours, new = (sides[name] for name in ("stock", "ours", "new"))
    for words in (
        f"16 trials in {job['search_seconds'] / 60:.1f} minutes",
        f"Dice {job['best_dice_of_search']:.4f} on {len(job['validation_cases'])} validation cases",
        f"{fmean(seeds):.4f} ± {stdev(seeds):.4f} over two other seeds",
        f"the default configuration had {job['trials'][0]['score']:.4f}",
        f"{ours['seconds']:.0f} s, Dice {ours['best']:.3f}",
        f"{new['seconds']:.0f} s, {new['best']:.3f} | {stock['seconds']:.0f} s, {stock['best']:.3f}",
    ):
        assert words in readme


def test_the_readme_s_table_says_what_the_page_of_benchmarks_does() -> None:
    """Row by row: the figures of the first are among those of the second, which are written from the results."""
    page = (ROOT / "docs" / "benchmarks.md").read_text().replace("%", " %")
    rows = {
        "the regret that the rival ends with": ("0.12",),
        "trials out of memory": ("0.0 %", "63.3 %", "34 %"),
        "a training step": ("0.76", "0.83"),
        "an evaluation": ("0.55",),
        "memory a further trial": ("1.0 %", "391 %"),
        "speed of 32 slots": ("2.1 %",),  # above the bound, so 98 % of what it allows
    }
    readme = (ROOT / "README.md").read_text()
    for name, figures in rows.items():
        (row,) = [line for line in readme.splitlines() if line.startswith("|") and name in line]
        for figure in figures:
            assert figure in page
            number, _, unit = figure.partition(" ")
            told = (
                f"{100 / (1 + float(number) / 100):.0f} %" if figure == "2.1 %" else f"{float(number):g} {unit}".strip()
            )
            assert told in row or f"{float(number):.0f} {unit}" in row, (told, row)


def test_references_are_current() -> None:
    behind = [path.name for path, text in references().items() if path.read_text() != text]
    assert not behind, "run: python docs/make_reference.py"


@pytest.mark.parametrize(("names", "command"), [pytest.param(*one, id=" ".join(one[0])) for one in leaves()])
def test_each_command_has_an_example_that_is_one(names: tuple[str, ...], command: Any) -> None:
    shown = [words for text in command_examples(command.help) for words in commands(text)]
    assert shown
    for words in shown:
        assert tuple(words[: len(names)]) == names
        parse_command(words)


@pytest.mark.slow
def test_the_site_is_built_without_warnings(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", ROOT / "docs", tmp_path / "site"]
    built = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert (built.returncode, built.stderr) == (0, "")
    for page in (ROOT / "docs").rglob("*.md"):
        assert (tmp_path / "site" / page.relative_to(ROOT / "docs").with_suffix(".html")).is_file()


def read(told: dict[str, Any]) -> dict[str, Any]:
    """What an example of a sweep file says, with the rest around it. Raises where voxtune would refuse it."""
    whole = {**BASE, **told, **{key: BASE[key] | told.get(key, {}) for key in ("dataset", "budget")}}
    config = SweepConfig.model_validate(whole)
    sampler_factory(config.search, slots=1)
    if config.trainable == SEGMENTATION:
        SegmentationConfig.from_mapping(config.search_space.first(config.default))
    return whole
