"""The interactive charts of played sweeps: what they show, what they leave out, how large they are."""

import itertools
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import optuna
import plotly.graph_objects as go
import pytest
from make_sweep import DEFAULT, RUNGS, SPACE, TOY_SWEEP, evaluation, made_up_score, open_study, play, stint_on

from search_spaces.space import parse_space
from tuner.charts import charts_of
from tuner.config import SweepConfig
from tuner.importance import Importance
from tuner.results import Results
from tuner.rungs import FULL_BUDGET
from tuner.study import DEFAULT_ORIGIN, StopReason, SweepStudy

CONFIG = SweepConfig.model_validate({**TOY_SWEEP, "budget": {"maximum": 1e9}})
ALL = ["curves", "parallel", "time_front", "memory_front", "batch_patch", "timeline", "utilisation"]
IMPORTANCE = Importance(
    shares={"learning_rate": 0.7, "loss": 0.2, "patch_size": 0.1},
    chance={"learning_rate": 0.4, "loss": 0.3, "patch_size": 1.2},
    trials=20,
    best=5,
)


def drawn(study: SweepStudy, importance: Importance | None = None) -> dict[str, go.Figure]:
    return charts_of(CONFIG, Results.from_studies(study.optuna), importance)


def traces(figure: go.Figure) -> dict[str, Any]:
    return {trace.name: trace for trace in figure.data}


def run(
    study: SweepStudy,
    *scores: float,
    reason: StopReason | None = "full budget",
    error: str | None = None,
    origin: str = "",
    **parameters: Any,
) -> int:
    """A trial that scored so at the rungs, from the first on, or at the full budget alone, and ended."""
    study.enqueue(parameters, origin=origin)
    number = study.ask().number
    steps = (FULL_BUDGET,) if len(scores) == 1 and reason == "full budget" else RUNGS
    for step, score in zip(steps, scores, strict=False):
        stint = stint_on(began=1000.0 + 60 * number)
        study.report(number, step, evaluation(score, step), stint=stint)
    if reason:
        study.finish(number, reason, error=error)
    return number


@pytest.fixture(scope="module")
def played() -> dict[str, go.Figure]:
    study = open_study()
    study.enqueue(DEFAULT, origin=DEFAULT_ORIGIN)
    play(study, 20)
    return drawn(study, IMPORTANCE)


def test_all_charts_of_a_sweep(played: dict[str, go.Figure]) -> None:
    assert sorted(played) == sorted([*ALL, "importance"])
    for figure in played.values():
        assert figure.layout.meta["caption"].endswith(".")
        assert figure.layout.height
        assert figure.layout.width is None
        assert figure.layout.paper_bgcolor == "rgba(0,0,0,0)"
        assert len(figure.to_json(validate=True)) < 40_000


def test_curves_have_a_gap_between_trials_and_stand_out_where_they_should() -> None:
    study = open_study()
    run(study, 0.5, 0.7, 0.8, origin=DEFAULT_ORIGIN, **DEFAULT)
    best = run(study, 0.6, 0.75, 0.9, learning_rate=0.00512)
    run(study, 0.55, 0.7, 0.85)
    run(study, 0.4, reason="stopped at rung")
    run(study, 0.5, 0.6, reason="stopped at rung")
    run(study, 0.45, reason="error", error="Traceback\n  line\nValueError: loss is nan")
    curves = traces(drawn(study)["curves"])
    assert list(curves) == [
        "not at the full budget",
        "other trials at the full budget",
        "default: trial 0",
        "best: trial 1",
    ]
    stopped = curves["not at the full budget"]
    assert stopped.x == (0.111, None, 0.111, 0.333, None, 0.111)
    assert stopped.y == pytest.approx((0.6, None, 0.5, 0.4, None, 0.55))  # 1 - Dice, on a log scale
    assert stopped.customdata[2][:2] == [4, 0.5]
    assert stopped.customdata[2][2] == ""
    assert stopped.customdata[3][2].endswith("<br>stopped at a rung")
    assert stopped.customdata[5][2].endswith("<br>failed: ValueError: loss is nan")
    assert curves[f"best: trial {best}"].customdata[2][2].startswith("<br>learning_rate 0.00512<br>batch_size ")
    axes = drawn(study)["curves"].layout
    assert axes.xaxis.ticktext == ("11%<br>6 trials", "33%<br>4 trials", "100%<br>3 trials")
    assert dict(zip(axes.yaxis.ticktext, axes.yaxis.tickvals, strict=True))["0.8"] == pytest.approx(0.2)
    assert axes.yaxis.range[0] > axes.yaxis.range[1]


def test_confirmed_trials_stand_out() -> None:
    storage = optuna.storages.InMemoryStorage()
    study, confirm = open_study(storage), open_study(storage, name="confirm", space=parse_space(SPACE))
    for score in (0.8, 0.81, 0.82):
        run(study, score)
    for number, score in ((2, 0.79), (1, 0.80)):
        confirm.enqueue({}, of=number, seed=1)
        repeated = confirm.ask().number
        confirm.report(repeated, FULL_BUDGET, evaluation(score, FULL_BUDGET), stint=stint_on(began=9e3))
        confirm.finish(repeated, "full budget")
    figures = charts_of(CONFIG, Results.from_studies(study.optuna, confirm.optuna), None)
    assert list(traces(figures["curves"])) == [
        "other trials at the full budget",
        "trained again with other seeds",
        "best: trial 1",
    ]
    assert traces(figures["timeline"])["trained again with another seed"].customdata[0][0] == "confirm trial 0"
    assert figures["utilisation"].data[0].y == ("search", "confirm")


def test_importance_marks_what_chance_reaches(played: dict[str, go.Figure]) -> None:
    bars = traces(played["importance"])
    assert bars["more than chance"].y == ("learning_rate",)
    assert bars["may be chance"].y == ("loss", "patch_size")
    assert bars["may be chance"].customdata == ("by chance up to 30%", "by chance even 100%")
    marks = bars["reached by chance 1 time in 20"]
    assert dict(zip(marks.y, marks.x, strict=True)) == {"learning_rate": 0.4, "loss": 0.3}
    assert played["importance"].layout.yaxis.categoryarray == ("patch_size", "loss", "learning_rate")


def test_parallel_coordinates_colour_full_budgets_alone() -> None:
    study = open_study()
    run(study, 0.80, learning_rate=1e-3, loss="dice", patch_size=32)
    run(study, 0.84, learning_rate=1e-2, loss="dice_ce", patch_size=32)
    run(study, 0.95, reason="stopped at rung", learning_rate=1e-4)
    run(study, 0.5, reason="out of memory")
    figure = drawn(study)["parallel"]
    (lines,) = figure.data
    assert lines.line.color == pytest.approx((0.84, 0.80, lines.line.cmin), abs=1e-6)
    assert lines.line.cmin < 0.80
    assert lines.line.colorscale[0][1] == lines.line.colorscale[1][1]  # one grey for all that ended early
    axes = {axis.label: axis for axis in lines.dimensions}
    assert list(axes) == ["learning_rate", "batch_size", "patch_size", "loss", "budget", "Dice there"]
    assert axes["learning_rate"]["values"] == pytest.approx((-2, -3, -4))
    assert axes["learning_rate"].ticktext == ("0.0001", "0.001", "0.01")
    assert axes["loss"].ticktext == ("dice", "dice_ce")
    assert axes["loss"]["values"][:2] == (1, 0)
    assert axes["budget"].ticktext == ("0.11", "full")
    assert "2 in colour that reached the full budget, and in grey 1" in figure.layout.meta["caption"]


def test_parallel_coordinates_of_many_parameters_show_the_most_important() -> None:
    names = [f"p{place}" for place in range(12)]
    study = open_study(space=parse_space({name: {"float": [0, 1]} for name in names}))
    run(study, 0.8)
    shares = dict.fromkeys(reversed(names), 1 / 12)
    found = Importance(shares=shares, chance=shares, trials=20, best=5)
    figure = drawn(study, found)["parallel"]
    assert [axis.label for axis in figure.data[0].dimensions][:-2] == names[4:]
    assert "Of 12 parameters the 8 most important are shown." in figure.layout.meta["caption"]


def test_parallel_coordinates_mark_each_of_few_values_and_lay_out_no_more() -> None:
    study = open_study(space=parse_space({"few": {"int": [2, 6], "step": 2}, "many": {"int": [0, 10**15]}}))
    run(study, 0.8)
    few, many, *_ = drawn(study)["parallel"].data[0].dimensions
    assert (few.tickvals, few.ticktext) == ((2, 4, 6), ("2", "4", "6"))
    assert many.range == (0, 10**15)
    assert many.tickvals is None


def test_front_runs_through_full_budgets_alone() -> None:
    study = open_study()
    for score, seconds, gib in ((0.80, 100, 2.0), (0.82, 300, 4.0), (0.79, 200, 1.0)):
        number = study.ask().number
        study.report(
            number, FULL_BUDGET, replace(evaluation(score, FULL_BUDGET), training_seconds=seconds), {"peak_gib": gib}
        )
        study.finish(number, "full budget")
    number = study.ask().number  # stopped, cheap and better: of a lower budget
    study.report(number, 111, replace(evaluation(0.85, 111), training_seconds=10))
    study.finish(number, "stopped at rung")
    figures = drawn(study)
    time, memory = (traces(figures[name]) for name in ("time_front", "memory_front"))
    assert time["on the Pareto front"].x == pytest.approx((100 / 60, 5), rel=1e-4)
    assert [told[:3] for told in time["on the Pareto front"].customdata] == [[0, 0.80, 1], [1, 0.82, 1]]
    assert [told[0] for told in time["reached the full budget"].customdata] == [2]
    assert [told[0] for told in time["not at the full budget"].customdata] == [3]
    assert time["on the Pareto front"].hovertemplate.count("training time %{x:.4~g} min") == 1
    assert memory["on the Pareto front"].x == (1, 2, 4)
    assert figures["memory_front"].layout.xaxis.title.text == "peak memory (GiB)"


def test_front_leaves_out_what_ended_early_far_below() -> None:
    study = open_study()
    run(study, 0.90)
    run(study, 0.80)
    run(study, 0.55, reason="stopped at rung")
    run(study, 0.45, reason="stopped at rung")
    figure = drawn(study)["time_front"]
    assert [told[0] for told in traces(figure)["not at the full budget"].customdata] == [2]
    assert "Left out: 1 that ended early" in figure.layout.meta["caption"]


def test_of_several_objectives_the_front_over_all_is_ringed() -> None:
    study = SweepStudy.open(
        optuna.storages.InMemoryStorage(),
        "sweep",
        parse_space(SPACE),
        objectives=("dice", "training_seconds", "peak_gib"),
    )
    for score, seconds, gib in ((0.80, 100, 2.0), (0.79, 200, 1.0), (0.70, 300, 3.0)):
        number = study.ask().number
        study.report(
            number, FULL_BUDGET, replace(evaluation(score, FULL_BUDGET), training_seconds=seconds), {"peak_gib": gib}
        )
        study.finish(number, "full budget")
    time = traces(drawn(study)["time_front"])
    assert [told[0] for told in time["on the Pareto front"].customdata] == [0]
    assert [told[0] for told in time["on the front of all objectives"].customdata] == [0, 1]


def test_batch_by_patch_says_how_good_how_often_and_what_did_not_fit() -> None:
    study = open_study()
    run(study, 0.80, batch_size=2, patch_size=32)
    run(study, 0.84, batch_size=2, patch_size=32)
    run(study, 0.70, reason="stopped at rung", batch_size=4, patch_size=32)
    run(study, reason="turned away", batch_size=4, patch_size="40x56x40")
    run(study, reason="out of memory", batch_size=4, patch_size="40x56x40")
    figure = drawn(study)["batch_patch"]
    background, colours = figure.data
    assert colours.z[0][0] == 0.84
    assert colours.z[1][0] is None
    assert [list(row) for row in background.z] == [[0, None], [0, 1]]
    texts = {(note.x, note.y): note.text for note in figure.layout.annotations}
    assert texts == {
        (0, 0): "<b>0.840</b><br>2 trials",
        (1, 0): "–",
        (0, 1): "<b>0.700</b><br><i>at 0.11</i><br>1 trial",
        (1, 1): "✕ 2",
    }
    told = next(note.hovertext for note in figure.layout.annotations if (note.x, note.y) == (1, 1))
    assert told.splitlines() == [
        "batch_size 4, patch_size 40x56x40<br>1 turned away by the memory estimate<br>1 ran out of memory"
    ]


def test_timeline_has_a_bar_a_stretch_by_how_its_trial_ended() -> None:
    study = open_study()
    run(study, 0.8)
    run(study, 0.5, reason="stopped at rung")
    run(study, 0.5, reason="error", error="no")
    bars = traces(drawn(study)["timeline"])
    assert list(bars) == ["reached the full budget", "stopped at a rung", "failed"]
    assert bars["stopped at a rung"].base == (60,)
    assert bars["stopped at a rung"].x == (50,)
    assert bars["failed"].customdata == (["trial 2", "50 s"],)
    assert bars["failed"].marker.pattern.shape == "x"  # not by colour alone


def test_utilisation_adds_up_to_the_slots_time() -> None:
    study = open_study()
    number = study.ask().number
    found = replace(evaluation(0.5, FULL_BUDGET), training_seconds=30, evaluation_seconds=8, facts={"data_seconds": 6})
    study.report(number, FULL_BUDGET, found, stint=stint_on(lasted=50))
    study.finish(number, "full budget")
    bars = traces(drawn(study)["utilisation"])
    shares = {name: bar.x[0] for name, bar in bars.items()}
    assert shares == pytest.approx(
        {"training": 0.48, "drawing batches": 0.12, "evaluation": 0.16, "start": 0.02, "checkpoint": 0.01}
        | {"waiting": 0.17, "lost": 0.04}
    )
    assert bars["training"].customdata == ("24 s",)


def test_nothing_to_show() -> None:
    study = open_study()
    study.plan(4)
    assert drawn(study) == {}
    study.ask()
    assert drawn(study) == {}


def test_all_failed_before_their_first_evaluation() -> None:
    study = open_study()
    for began in (0.0, 30.0):
        number = study.ask().number
        study.finish(number, "error", error="ValueError: no", stint=stint_on(began=began, lasted=20))
    assert sorted(drawn(study)) == ["timeline", "utilisation"]


@pytest.mark.parametrize("reason", ["stopped at rung", None])
def test_one_trial_that_did_not_finish(reason: StopReason | None) -> None:
    study = open_study()
    run(study, 0.5, reason=reason)
    figures = drawn(study)
    assert sorted(figures) == sorted(ALL)
    assert "No trial has reached the full budget" in figures["time_front"].layout.meta["caption"]
    assert "0 in colour" in figures["parallel"].layout.meta["caption"]


@pytest.mark.parametrize("score", [0.0, 1.0, -3.5, 250.0])
def test_scores_that_are_no_dice_stand_on_a_linear_scale(score: float) -> None:
    study = open_study()
    run(study, score)
    run(study, score / 2)
    figures = drawn(study)
    assert sorted(figures) == sorted(ALL)
    log = figures["curves"].layout.yaxis.type == "log"
    assert log == (score == 0.0)
    for figure in figures.values():
        json.loads(figure.to_json(), parse_constant=lambda name: pytest.fail(name))


def test_what_is_not_known_is_left_out() -> None:
    study = open_study(space=parse_space({"learning_rate": {"float": [1e-4, 1e-2], "log": True}}))
    number = study.ask().number
    study.report(number, 111, replace(evaluation(0.5, 111), facts={}))
    study.report(number, 333, replace(evaluation(float("nan"), 333), facts={}))
    assert sorted(drawn(study)) == ["curves"]
    assert drawn(study)["curves"].data[0].y == (0.5,)


HOSTILE = "<img src=x onerror=alert(1)>&%{x}"


def test_names_from_outside_are_no_markup() -> None:
    study = open_study(
        space=parse_space({**SPACE, "loss": {"choice": ["dice", HOSTILE]}, "patch_size": {"choice": [32, HOSTILE]}})
    )
    for began, reason in ((0.0, "error"), (0.0, "full budget")):
        study.enqueue({"loss": HOSTILE, "patch_size": HOSTILE})
        number = study.ask().number
        study.report(number, FULL_BUDGET, evaluation(0.8, FULL_BUDGET), stint=stint_on(HOSTILE, began=began))
        study.finish(number, reason, error=f"Traceback\n{HOSTILE}")
    study.report(study.ask().number, 111, evaluation(0.8, 111), stint=stint_on("other", began=0.0))
    figures = drawn(study)
    # Parallel coordinates' ticks are the one text that plotly sets as it is.
    assert {axis.label: axis.ticktext for axis in figures["parallel"].data[0].dimensions}["loss"][1] == "<img src=x …"
    for axis in figures["parallel"].data[0].dimensions:
        axis.ticktext = ()
    texts = [text for figure in figures.values() for text in strings(figure.to_plotly_json())]
    hostile = [text for text in texts if "img" in text]
    assert len(hostile) >= 8
    assert not any("<img" in text for text in texts)
    assert all("&lt;img" in text for text in hostile)
    assert not any("img" in text or "%{x}" in text.replace("%{x}:", "") for text in templates(figures))


def strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [text for part in value.values() for text in strings(part)]
    if isinstance(value, list | tuple):
        return [text for part in value for text in strings(part)]
    return []


def templates(figures: Mapping[str, go.Figure]) -> list[str]:
    return [
        trace.hovertemplate or ""
        for figure in figures.values()
        for trace in figure.data
        if hasattr(trace, "hovertemplate")
    ]


def test_a_thousand_trials_take_a_few_traces_and_little_room() -> None:
    study = open_study()
    trials = [
        optuna.trial.create_trial(
            state=optuna.trial.TrialState.COMPLETE,
            value=0.8,
            params=parameters,
            distributions=study._distributions,
            intermediate_values=dict(scores),
            user_attrs={
                "stop_reason": "full budget",
                "peak_gib": 1 + number / 1000,
                "stints": [stint_on(began=60.0 * number)],
                "evaluations": [
                    {"step": step, "score": score, "training_seconds": step / 7, "evaluation_seconds": 1.0}
                    for step, score in scores
                ],
            },
        )
        for number, parameters in enumerate(itertools.islice(itertools.cycle(_parameters()), 1000))
        if (scores := [(step, made_up_score(parameters, step, seed=number)) for step in (37, *RUNGS)])
    ]
    study.optuna.add_trials(trials)
    figures = drawn(study)
    assert sorted(figures) == sorted(ALL)
    assert max(len(figure.data) for figure in figures.values()) <= 8
    assert sum(len(figure.to_json()) for figure in figures.values()) < 1_500_000


def _parameters() -> list[dict[str, Any]]:
    rates = [1e-4 * 1.0123**place for place in range(370)]
    return [
        {"learning_rate": rate, "batch_size": 2 + 2 * (place % 2), "patch_size": 32, "loss": "dice"}
        for place, rate in enumerate(rates)
    ]
