"""Pictures of a report that matplotlib draws: learning curves, and which parameter matters."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from make_sweep import DEFAULT, RUNGS, evaluation, open_study, play
from matplotlib.figure import Figure

from tuner.importance import FEWEST_TRIALS, Importance, parameter_importance
from tuner.plots import importance_chart, learning_curves
from tuner.results import Results
from tuner.study import DEFAULT_ORIGIN


def played(trials: int, **options: Any) -> Results:
    study = open_study(**options)
    study.enqueue(DEFAULT, origin=DEFAULT_ORIGIN)
    play(study, trials)
    return Results.from_studies(study.optuna)


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in [*figure.axes[0].texts, *figure.texts]]


def test_learning_curves_name_best_and_default_and_count_the_rungs() -> None:
    results = played(64)
    figure = learning_curves(results, rungs=RUNGS, budget="1 G voxels")
    drawn = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in figure.axes[0].lines])
    assert np.isnan(drawn).sum() == 64  # a gap after each
    written = texts(figure)
    best = results.best
    assert best is not None
    assert f"{best.run.score:.3f}  trial {best.number}  best" in written
    assert any(text.endswith("trial 0  default") for text in written)
    assert "64 trials" in written
    labels = [text for text in figure.axes[0].texts if "  trial " in text.get_text()]
    assert len(labels) <= 7
    heights = sorted(text.get_position()[1] for text in labels)
    assert min(upper - lower for lower, upper in pairwise(heights)) > 0.04


def test_learning_curves_label_a_best_trial_that_was_stopped() -> None:
    study = open_study()
    number = study.ask().number
    study.report(number, 111, evaluation(0.55, 111), {})
    study.finish(number, "stopped at rung")
    figure = learning_curves(Results.from_studies(study.optuna), rungs=RUNGS, budget="1 G voxels")
    assert "0.550  trial 0  best" in texts(figure)
    assert "0 trials" in texts(figure)


@pytest.mark.parametrize("score", [-3.0, 0.0, 1.0, 250.0])
def test_learning_curves_draw_scores_that_are_no_dice(score: float) -> None:
    study = open_study()
    number = study.ask().number
    study.report(number, 1000, evaluation(score, 1000), {})
    study.finish(number, "full budget")
    learning_curves(Results.from_studies(study.optuna), rungs=RUNGS, budget="9 steps").canvas.draw()


def test_importance_finds_the_parameter_that_matters_and_doubts_the_others() -> None:
    importance = parameter_importance(played(64))
    assert importance is not None
    assert (importance.trials, importance.best) == (64, 6)
    assert next(iter(importance.shares)) == "learning_rate"
    assert sum(importance.shares.values()) == pytest.approx(1)
    assert "learning_rate" in importance.clear
    assert {"batch_size", "patch_size"}.isdisjoint(importance.clear)
    written = texts(importance_chart(importance))
    assert f"{importance.shares['learning_rate']:.0%}" in written


def test_importance_says_where_few_trials_prove_nothing() -> None:
    importance = Importance(shares={"a": 0.9, "b": 0.1}, chance={"a": 2.5, "b": 0.2}, trials=16, best=5)
    figure = importance_chart(importance)
    assert "90%; by chance even 100%" in texts(figure)
    assert "10%" in texts(figure)
    assert figure.axes[0].get_xlim()[1] < 1.1


def test_importance_needs_enough_trials() -> None:
    assert parameter_importance(played(FEWEST_TRIALS - 1)) is None
    importance = parameter_importance(played(FEWEST_TRIALS))
    assert importance is not None
    assert importance.best == 5


def test_importance_of_noise_is_not_called_clear() -> None:
    study = open_study()
    for place in range(40):
        number = study.ask().number
        study.report(number, 1000, evaluation(0.5 + (place * 17 % 40) / 1000, 1000), {})
        study.finish(number, "full budget")
    importance = parameter_importance(Results.from_studies(study.optuna))
    assert importance is not None
    assert len(importance.clear) <= 1
