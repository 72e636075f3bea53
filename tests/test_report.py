"""Reports of played sweeps: over, under way, without a result, confirmed, with hostile names."""

import json
import shutil
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from make_sweep import CASES, DEFAULT, RUNGS, evaluation, open_study, play, stint_on, sweep_directory
from markdown_it import MarkdownIt
from matplotlib.image import imread

from trainables.protocol import Budget
from tuner.directory import SweepDirectory
from tuner.errors import StudyError
from tuner.files import write_text
from tuner.report import ReportFiles, report_at_end, write_report
from tuner.report_answer import ahead
from tuner.results import read_results
from tuner.rungs import SuccessiveHalving
from tuner.storage import open_storage
from tuner.study import DEFAULT_ORIGIN, SweepStudy
from tuner.train import TrainConfig


def begun(folder: Path, *, trials: int = 16, **files: Any) -> tuple[SweepDirectory, SweepStudy]:
    directory = sweep_directory(folder / "heart", trials=trials, **files)
    study = open_study(open_storage(None, directory.journal, owner=True))
    study.enqueue(DEFAULT, origin=DEFAULT_ORIGIN)
    study.plan(trials)
    return directory, study


def put_model(directory: SweepDirectory, study: str, number: int, content: str = "") -> None:
    model = directory.checkpoints / f"{study}_{number:04d}" / "attempt_1" / "model.pt"
    model.parent.mkdir(parents=True, exist_ok=True)
    model.write_text(content or f"{study} {number}")


def page_of(files: ReportFiles) -> str:
    assert files.html is not None
    return files.markdown.read_text()


def row(page: str, name: str) -> list[str]:
    """The cells of the first table row whose first cell is `name`."""
    line = next(line for line in page.splitlines() if line.startswith(f"| {name} |"))
    return [cell.strip() for cell in line.strip("| ").split("|")]


def finish(study: SweepStudy, score: float) -> int:
    number = study.ask().number
    for step in RUNGS:
        study.report(number, step, evaluation(score, step), {})
    study.finish(number, "full budget")
    return number


def test_answers_first_with_best_against_default(tmp_path: Path) -> None:
    directory, study = begun(tmp_path, trials=2)
    finish(study, 0.80)
    finish(study, 0.85)
    page = page_of(write_report(directory))
    first, second = page.split("\n\n")[:2]
    assert first == "# Sweep heart"
    assert second.startswith("**Trial 1 is best: mean validation Dice 0.8500**, the highest of 2 trials.")
    assert row(page, "**mean validation Dice**")[1:] == ["**0.8500**", "**0.8000**"]
    assert row(page, "over 4 cases")[1] == "± 0.0163"  # of 0.83, 0.85, 0.85 and 0.87
    assert row(page, "Posterior")[2] == "0.7800 ± 0.0163"
    assert row(page, "worst case")[1] == "0.8300 (case_001)"
    assert row(page, "patch_size")[2] == "32"
    assert "2 trials took 3 min 20 s of training and 8 s of evaluation" in page
    assert "2 reached the full budget." in page
    assert "The sweep is not over" not in page
    assert "--trials 4\n" in page


def test_a_trial_that_a_limit_cut_off_while_it_was_ahead_is_told(tmp_path: Path) -> None:
    directory, study = begun(tmp_path, trials=2)
    finish(study, 0.40)
    number = study.ask().number
    study.report(number, 333, evaluation(0.83, 333), {})
    study.release([number])
    told = (
        "Trial 1 is unfinished and ahead of it: Dice 0.8300 after 33.3% of the budget; resume the sweep, with more "
        "time where that is over, to have it trained on."
    )
    assert f"**{told}**" in page_of(write_report(directory)).split("\n\n")
    assert ahead(read_results(directory)) == told
    study.ask()
    study.report(number, 1000, evaluation(0.85, 1000), {})
    study.finish(number, "full budget")
    assert ahead(read_results(directory)) is None


@pytest.mark.slow
def test_what_processes_find_meanwhile_is_what_one_finds_alone(tmp_path: Path) -> None:
    directory, study = begun(tmp_path, trials=16)
    play(study, 16)
    alone = write_report(directory).markdown.read_text()
    assert "chance" in alone  # there were trials enough to find something
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        assert write_report(directory, pool=pool).markdown.read_text() == alone


def test_best_config_can_be_trained_alone(tmp_path: Path) -> None:
    changes = {
        "dataset": {"path": "/data/Heart scans", "folds": None, "held_out": 0.3},
        "preprocessing": {"spacing": [1, 1, 2]},
        "resources": {"cpus_per_trial": 3},
        "cache": "/cache",
    }
    directory, study = begun(tmp_path, trials=2, changes=changes)
    finish(study, 0.80)
    number = finish(study, 0.85)
    put_model(directory, "sweep", number, "weights")
    files = write_report(directory)
    assert files.best_config == directory.best_config
    text = directory.best_config.read_text()
    assert text.startswith("# Sweep heart, trial 1: validation Dice 0.8500\n")
    config = TrainConfig.read(directory.best_config)
    assert config.parameters == {"optimizer": "adamw", **study.trials()[1].params, "precision": "fp32"}
    assert config.budget.full == Budget(unit="voxels", maximum=1e9)
    assert (config.seed, config.threads, config.device) == (0, 3, "cpu")
    assert config.dataset is not None
    assert (config.dataset.path, config.dataset.held_out) == (Path("/data/Heart scans"), 0.3)
    assert (config.preprocessing.spacing, config.cache) == ((1, 1, 2), Path("/cache"))
    assert files.best_model is not None
    assert files.best_model.read_text() == "weights"
    assert "its model [best/model.pt](../best/model.pt) (seed 0)." in page_of(files)


def test_best_config_of_a_users_own_run_names_it(tmp_path: Path) -> None:
    directory, study = begun(tmp_path, trials=1, changes={"dataset": None, "trainable": "mine:Run"})
    finish(study, 0.80)
    put_model(directory, "sweep", 0)
    page = page_of(write_report(directory))
    content = yaml.safe_load(directory.best_config.read_text())
    assert list(content) == ["preprocessing", "trainable", "parameters", "budget", "seed", "threads", "device"]
    assert content["trainable"] == "mine:Run"
    assert "voxtune train" in page
    assert "voxtune evaluate" not in page


def test_a_model_never_lies_beside_another_trials_config(tmp_path: Path) -> None:
    directory, study = begun(tmp_path, trials=2)
    put_model(directory, "sweep", finish(study, 0.80))
    write_report(directory)
    shutil.rmtree(directory.checkpoints / "sweep_0000")
    assert write_report(directory).best_model == directory.best_model  # the copy stays: it is still the best
    finish(study, 0.85)
    assert write_report(directory).best_model is None
    assert not directory.best_model.exists()


def test_confirmed_sweep_gives_means_over_seeds_and_test_dice(tmp_path: Path) -> None:
    directory, study = begun(tmp_path, trials=3)
    scores = {"sweep:0": 0.80, "sweep:1": 0.88, "sweep:2": 0.87}
    for score in scores.values():
        finish(study, score)
    confirm = open_study(open_storage(None, directory.journal, owner=True), name="confirm")
    for number, repeats in ((1, (0.80, 0.80)), (2, (0.82, 0.86))):
        for seed, score in enumerate(repeats, start=1):
            confirm.enqueue(study.trials()[number].params, seed=seed, of=number)
            scores[f"confirm:{finish(confirm, score)}"] = score
    tested = {run: {"case_9": {"Anterior": score - 0.1, "Posterior": score - 0.2}} for run, score in scores.items()}
    del tested["sweep:0"]
    confirm.optuna.set_user_attr("test", tested)
    put_model(directory, "sweep", 2)
    files = write_report(directory)
    page = page_of(files)
    assert "**Trial 2 is best: mean validation Dice 0.8400** over 2 other seeds" in page
    assert "had 0.8700 and is not in the mean" in page
    assert row(page, "**mean validation Dice**")[1:] == ["**0.8400 ± 0.0283 (2 seeds)**", "**0.8000**"]
    assert (
        "**It is not told apart from the default configuration:** the difference is +0.0400, and twice its standard"
        in page
    )
    assert "error over the seeds 0.0490." in page  # of 0.82 and 0.86, of 0.80 twice: sd 0.02 pooled
    assert row(page, "**mean test Dice**")[1:] == ["**0.6900 ± 0.0283 (2 seeds)**", "not tested"]
    assert row(page, "trial 2")[1:] == ["0.8400 ± 0.0283", "0.8200 (1), 0.8600 (2)", "0.8700", "0.6900 ± 0.0283"]
    assert row(page, "trial 1")[1:4] == ["0.8000 ± 0.0000", "0.8000 (1), 0.8000 (2)", "0.8800"]
    assert "(seed 0, of its runs the one with the highest validation Dice, 0.8700, test Dice 0.7200)" in page
    assert "3 trials and 4 repeats with other seeds took 11 min 40 s of training" in page
    config = directory.best_config.read_text()
    assert config.startswith("# Sweep heart, trial 2: validation Dice 0.8700\n")
    assert directory.best_model.read_text() == "sweep 2"
    data = json.loads(files.json.read_text())
    assert data["best"]["dice"] == pytest.approx(0.84)
    assert [run["test"] for run in data["best"]["runs"]] == pytest.approx([0.67, 0.71])
    assert (data["best"]["found"]["validation"], data["best"]["model"]["number"]) == (0.87, 2)
    assert data["default"]["test"] is None


@pytest.mark.parametrize(
    ("cases", "worst"), [({"case_1": {"Anterior": 0.7}}, ["0.7000 (case_1)"]), ({}, []), ({"case_9": {}}, [])]
)
def test_a_default_that_reports_other_cases_and_classes(
    tmp_path: Path, cases: Mapping[str, Mapping[str, float]], worst: list[str]
) -> None:
    directory, study = begun(tmp_path, trials=2)
    number = study.ask().number
    study.report(number, RUNGS[-1], replace(evaluation(0.80, RUNGS[-1]), cases=cases), {})
    study.finish(number, "full budget")
    finish(study, 0.88)
    page = page_of(write_report(directory))
    assert row(page, "Posterior")[2:] == []  # an empty cell at a row's end
    assert row(page, "worst case")[2:] == worst


def test_a_lead_that_seeds_do_not_explain(tmp_path: Path) -> None:
    directory, study = begun(tmp_path, trials=2)
    finish(study, 0.80)
    finish(study, 0.88)
    confirm = open_study(open_storage(None, directory.journal, owner=True), name="confirm")
    for seed, score in enumerate((0.87, 0.89), start=1):
        confirm.enqueue(study.trials()[1].params, seed=seed, of=1)
        finish(confirm, score)
    told = "It is ahead of the default configuration by 0.0800, twice the standard error being 0.0346."
    assert told in page_of(write_report(directory)).split("\n\n")


def test_a_default_configuration_that_is_best_is_called_so(tmp_path: Path) -> None:
    directory, study = begun(tmp_path, trials=2)
    finish(study, 0.80)
    finish(study, 0.79)
    confirm = open_study(open_storage(None, directory.journal, owner=True), name="confirm")
    for number, scores in ((0, (0.82, 0.84)), (1, (0.78, 0.86))):
        for seed, score in enumerate(scores, start=1):
            confirm.enqueue(study.trials()[number].params, seed=seed, of=number)
            finish(confirm, score)
    page = page_of(write_report(directory))
    assert "It is the default configuration: the search found none that is better." in page
    assert "which got it picked, had 0.8000 and" in page  # its repeats were better: no luck
    assert "**It is not told apart from trial 1:** the difference is +0.0100, and twice its standard error" in page
    assert "next to nothing" not in page


def test_a_class_that_is_never_found_is_told(tmp_path: Path) -> None:
    directory, study = begun(tmp_path, trials=1)
    number = study.ask().number
    cases = {case: {"Anterior": 0.0, "Posterior": 0.6} for case in CASES}
    study.report(number, 1000, replace(evaluation(0.3, 1000), cases=cases), {})
    study.finish(number, "full budget")
    assert "**It finds next to nothing of Anterior.** Is the budget too small?" in page_of(write_report(directory))


def test_the_model_may_be_one_of_the_repeats(tmp_path: Path) -> None:
    directory, study = begun(tmp_path, trials=1)
    finish(study, 0.80)
    confirm = open_study(open_storage(None, directory.journal, owner=True), name="confirm")
    for seed, score in ((1, 0.79), (2, 0.83)):
        confirm.enqueue(DEFAULT, seed=seed, of=0)
        put_model(directory, "confirm", finish(confirm, score))
    write_report(directory)
    config = directory.best_config.read_text()
    assert config.startswith("# Sweep heart, trial 0, repeated as 1 of confirm: validation Dice 0.8300\n")
    assert yaml.safe_load(config)["seed"] == 2
    assert directory.best_model.read_text() == "confirm 1"


def test_test_dice_is_shown_without_a_confirm_stage(tmp_path: Path) -> None:
    directory, study = begun(tmp_path, trials=2)
    finish(study, 0.80)
    finish(study, 0.85)
    cases = {"case_8": {"Anterior": 0.7}, "case_9": {"Anterior": 0.8}}
    study.optuna.set_user_attr("test", {"sweep:1": cases})
    page = page_of(write_report(directory))
    assert row(page, "**mean test Dice**")[1:] == ["**0.7500**", "not tested"]
    assert row(page, "over 2 test cases")[1] == "± 0.0707"
    assert "Confirmed with other seeds" not in page


def test_reports_a_sweep_under_way(tmp_path: Path) -> None:
    directory, study = begun(tmp_path, trials=8)
    number = study.ask().number
    study.report(number, 111, evaluation(0.6, 111), {})
    stopped = study.ask().number
    study.report(stopped, 111, evaluation(0.5, 111), {})
    study.finish(stopped, "stopped at rung")
    page = page_of(write_report(directory))
    assert "the same search again" not in page
    assert "The sweep is not over: 1 of 8 trials ended." in page
    assert "**No trial has reached the full budget.** Of 2 trials the one that came furthest is trial 0" in page
    assert "0.6000 at 11.1% of the budget" in page
    assert "1 stopped at a rung, 1 running." in page or "1 running, 1 stopped at a rung." in page
    assert directory.best_config.read_text().splitlines()[0].endswith("Dice 0.6000 at 11.1% of the budget")


def test_reports_a_sweep_in_which_all_failed(tmp_path: Path) -> None:
    directory, study = begun(tmp_path, trials=3)
    for error in ("Traceback:\n  somewhere\nValueError: too small", "Traceback:\nValueError: too small"):
        study.finish(study.ask().number, "error", error=error)
    study.finish(study.ask().number, "out of memory", error="OutOfMemoryError")
    files = write_report(directory)
    page = page_of(files)
    assert "**No trial gave a Dice**" in page
    assert "2 failed, 1 did not fit in memory." in page
    assert row(page, "ValueError: too small")[1] == "0, 1"
    assert (files.best_config, files.best_model, files.learning_curves, files.importance) == (None, None, None, None)
    assert "learning_curves.png" not in page
    assert "voxtune train" not in page
    assert json.loads(files.json.read_text())["best"] is None
    assert len(pd.read_csv(files.trials)) == 3


def test_reports_before_the_first_trial(tmp_path: Path) -> None:
    directory, _ = begun(tmp_path)
    page = page_of(write_report(directory))
    assert "**No trial has given a Dice yet.**" in page
    assert "The sweep is not over: 0 of 16 trials ended." in page
    with pytest.raises(StudyError, match="no trial was begun yet"):
        write_report(sweep_directory(tmp_path / "other"))


def test_the_end_of_a_sweep_leaves_a_report_whatever_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    directory, study = begun(tmp_path, trials=1)
    put_model(directory, "sweep", finish(study, 0.80))
    monkeypatch.setattr("tuner.plots.learning_curves", _fail)
    monkeypatch.setattr("tuner.report.expected_gain", _fail)
    monkeypatch.setattr("tuner.charts.charts_of", _fail)
    directory.environment_file.write_text("{torn")
    with pytest.raises(ArithmeticError):
        write_report(directory)
    files = report_at_end(directory)
    assert files is not None
    assert files.learning_curves is None
    assert files.best_model == directory.best_model
    page = page_of(files)
    assert "**Trial 0 is best" in page
    assert "learning_curves.png" not in page
    assert "## Environment" not in page
    assert files.html is not None
    assert "Trial 0 is best" in files.html.read_text()
    monkeypatch.setattr("tuner.html_page.to_html", _fail)
    assert report_at_end(directory) == replace(files, html=None)
    assert not files.html.exists()
    lacking = ["learning curves", "expected gain", "environment", "charts"]
    lacks = [message for message in caplog.messages if "lacks" in message]
    assert lacks == [f"the report lacks its {part}" for part in [*lacking, *lacking, "HTML page"]]


def test_the_end_of_a_sweep_that_was_not_begun_raises_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    directory = sweep_directory(tmp_path / "heart")
    assert report_at_end(directory) is None
    assert caplog.messages == ["no report was written: sweep heart: no trial was begun yet"]
    directory.sweep_file.unlink()
    assert report_at_end(directory) is None


def _fail(*args: Any, **options: Any) -> None:
    raise ArithmeticError("no picture today")


def test_a_search_with_limits_may_have_ended_before_its_trials(tmp_path: Path) -> None:
    changes = {"search": {"trials": 8, "minutes": 10}}
    directory, study = begun(tmp_path, trials=8, changes=changes)
    finish(study, 0.8)
    assert "1 of at most 8 trials ended." in page_of(write_report(directory))
    study.say_over("10 minutes are over (search.minutes)")
    assert "The search ended after 1 of 8 trials: 10 minutes are over (search.minutes)." in page_of(
        write_report(directory)
    )


def test_advice_on_more_trials_stands_in_the_report(tmp_path: Path) -> None:
    directory, study = begun(tmp_path, trials=12)
    for place in range(12):
        number = study.ask().number
        score = 0.8 + 0.001 * place
        cases = {case: {"organ": score + 0.01 * ((place * n) % 3 - 1)} for n, case in enumerate(CASES)}
        study.report(number, 1000, evaluation(score, 1000, cases=cases), {})
        study.finish(number, "full budget")
    files = write_report(directory)
    gain = json.loads(files.json.read_text())["gain"]
    assert (gain["trials"], gain["error_of"]) == (12, "cases")
    verdict = "**More trials may pay:**" if gain["bound"] >= gain["error"] else "**Stopping is reasonable:**"
    line = next(line for line in page_of(files).splitlines() if line.startswith(verdict))
    assert f"{gain['bound']:.4f} Dice, and the standard error over the cases is {gain['error']:.4f}." in line


def test_files_hold_what_the_study_holds(tmp_path: Path) -> None:
    directory, study = begun(tmp_path)
    play(study, 16)
    files = write_report(directory)
    trials = pd.read_csv(files.trials)
    assert list(trials["number"]) == list(range(16))
    assert trials["score"][0] == study.trials()[0].intermediate_values[1000]
    curves = pd.read_csv(files.curves)
    assert len(curves) == sum(len(trial.intermediate_values) for trial in study.trials())
    assert len(pd.read_csv(files.cases)) == 16 * len(CASES) * 2
    data = json.loads(files.json.read_text())
    assert data["schema"] == 1
    assert data["standings"][0] == data["best"]["trial"]
    assert data["trials"][0]["learning_rate"] == DEFAULT["learning_rate"]
    assert sum(data["importance"]["shares"].values()) == pytest.approx(1)
    for picture in (files.learning_curves, files.importance):
        assert picture is not None
        assert imread(picture).shape[1] == 1800
    assert not list(directory.root.rglob("*.tmp"))


def test_names_and_errors_can_not_break_the_page(tmp_path: Path) -> None:
    names = {"train": ["a"], "validation": list(CASES), "test": []}
    environment = {
        "dataset": {"name": "He|art\n# <script>alert(1)</script> [x](http://y) *b* `c`", "content_hash": "00"}
    }
    directory, study = begun(tmp_path, environment=environment, split=names)
    number = study.ask().number
    cases = {"case|1 <b>": {"Left | *atrium*": 0.7, "_wall_": 0.5}, "case_2": {"Left | *atrium*": 0.9, "_wall_": 0.8}}
    study.report(number, 1000, evaluation(0.72, 1000, cases=cases), {})
    study.finish(number, "full budget")
    study.finish(study.ask().number, "error", error="ValueError: a | b\n| c | <i>d</i> __e__")
    page = page_of(write_report(directory))
    html = MarkdownIt("commonmark").enable("table").render(page)
    for tag in ("<script", "<i>", "<b>", "<em>", "<code>c", 'href="http'):
        assert tag not in html, tag
    assert "He|art # &lt;script&gt;alert(1)&lt;/script&gt; [x](http://y) *b* `c`: 1 training, " in html
    assert "<td>Left | *atrium*</td>" in html
    assert "<td>_wall_</td>" in html
    assert "(case|1 &lt;b&gt;)" in html
    assert "<td>| c | &lt;i&gt;d&lt;/i&gt; __e__</td>" in html


def test_commands_name_the_directory_as_a_shell_needs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my runs").mkdir()
    directory, study = begun(tmp_path / "my runs", split={"train": ["a"], "validation": ["b"], "test": []})
    put_model(directory, "sweep", finish(study, 0.8))
    monkeypatch.chdir(tmp_path)
    page = page_of(write_report(directory))
    assert "voxtune train 'my runs/heart/best/config.yaml'\n" in page
    assert (
        "voxtune evaluate 'my runs/heart/best/model.pt' '/data/Heart scans' "
        "--cases 'my runs/heart/split.json' --part validation\n" in page
    )
    assert "voxtune resume 'my runs/heart'\n" in page
    assert "voxtune train 'my runs/heart' --folds all --top 3\n" in page
    assert "cross_validation.md" not in page
    write_text(directory.folds / "cross_validation.md", "# Folds")
    assert "[folds/cross_validation.md](../folds/cross_validation.md)" in page_of(write_report(directory))


def test_a_sweep_without_early_stopping_is_drawn_with_its_rungs(tmp_path: Path) -> None:
    directory, study = begun(tmp_path, trials=2)
    play(study, 2, rungs=SuccessiveHalving((1000,), 3))
    assert write_report(directory).learning_curves is not None


def test_says_what_devices_were_held_and_what_they_cost(tmp_path: Path) -> None:
    directory, study = begun(tmp_path, trials=2)
    study.optuna.set_user_attr("devices_per_trial", {"GPU": 0.5})
    for place, pid in enumerate((7, 8)):
        number = study.ask().number
        stint = stint_on(pid=pid, began=1000.0 + 900 * place, lasted=2700)
        study.report(number, 1000, evaluation(0.8, 1000), stint=stint)
        study.finish(number, "full budget")
    files = write_report(directory, price=3)
    # Two slots for 45 minutes each, and the first one idle for 15 while the second ran on.
    line = (
        "2 slots of 0.5 GPU each held 0.875 GPU-hours, idle times included; the same search again takes about as many, "
    )
    assert line + "which cost 2.62 at a price of 3 a GPU-hour." in page_of(files)
    assert files.html is not None
    assert "<dt>GPU-hours</dt><dd><strong>0.875</strong>" in files.html.read_text()
    spent = json.loads(files.json.read_text())["spent"]
    assert (spent["device"], spent["per_trial"], spent["slots"]) == ("GPU", 0.5, 2)
    assert spent["device_hours"] == pytest.approx(0.875)
    assert "price" not in page_of(write_report(directory))


def test_hours_are_of_slots_where_the_share_of_a_gpu_is_not_known(tmp_path: Path) -> None:
    changes = {"resources": {"gpus_per_trial": "auto"}}
    directory, study = begun(tmp_path, trials=1, changes=changes)
    number = study.ask().number
    study.report(number, 1000, evaluation(0.8, 1000), stint=stint_on(lasted=3600))
    study.finish(number, "full budget")
    assert "1 slot held 1 slot-hours, idle times included" in page_of(write_report(directory, price=3))
