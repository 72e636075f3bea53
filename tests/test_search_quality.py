"""benchmarks/search_quality.py: its virtual clock and its arithmetic, on curves made up here."""

import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

pytest.importorskip("onnxruntime", reason="only the benchmark needs it")
sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from virtual.clock import Decision, Report, VirtualTrial, rung_reports, simulate
from virtual.lcbench import SPACE, Curve
from virtual.regret import Search, best_scores, compare, mean_regret, time_to
from virtual.rivals import METHODS


class Planned:
    """Hands out given trials in order and answers reports as told."""

    def __init__(self, trials: list[VirtualTrial], answers: dict[tuple[str, int], Decision] | None = None) -> None:
        self._trials = trials
        self._answers = answers or {}
        self.paused: list[VirtualTrial] = []
        self.heard: list[tuple[str, int]] = []

    def next_trial(self) -> VirtualTrial | None:
        return self._trials.pop(0) if self._trials else None

    def on_report(self, trial: VirtualTrial, report: Report) -> Decision:
        self.heard.append((trial.trial_id, report.step))
        answer: Decision = self._answers.get((trial.trial_id, report.step), "CONTINUE")
        if answer == "PAUSE":
            self._trials.append(trial)
        return answer


def trial(name: str, *reports: tuple[float, float]) -> VirtualTrial:
    return VirtualTrial(name, {}, [Report(step, *pair) for step, pair in enumerate(reports, start=1)])


def test_two_workers_share_three_trials_and_the_incumbent_only_improves() -> None:
    method = Planned([trial("a", (3, 10), (6, 40)), trial("b", (2, 20), (4, 15)), trial("c", (1, 30), (9, 99))])
    history = simulate(method, workers=2, seconds=10)
    # b frees its worker at 4, so c reports at 5 and would report again at 13, after the end.
    assert method.heard == [("b", 1), ("a", 1), ("b", 2), ("c", 1), ("a", 2)]
    assert history.improvements == [(2, 20), (5, 30), (6, 40)]
    assert (history.trials, history.full) == (3, 2)


def test_a_stopped_trial_frees_its_worker_at_once() -> None:
    method = Planned([trial("a", (3, 10), (60, 40)), trial("b", (2, 20))], {("a", 1): "STOP"})
    assert simulate(method, workers=1, seconds=10).improvements == [(3, 10), (5, 20)]


def test_a_paused_trial_goes_on_where_it_was() -> None:
    method = Planned([trial("a", (3, 10), (7, 40)), trial("b", (2, 20))], {("a", 1): "PAUSE"})
    history = simulate(method, workers=1, seconds=10)
    assert history.improvements == [(3, 10), (5, 20), (9, 40)]  # 7 - 3 = 4 more seconds after b
    assert history.trials == 2


def test_rungs_end_with_the_epoch_in_which_the_budget_is_used() -> None:
    curve = Curve(seconds=np.array([4.0, 8.0, 12.0]), scores=np.array([50.0, 60.0, 55.0]))
    reports = rung_reports(curve, (250, 500, 1000), lambda curve: curve.seconds, full=10.0)
    assert reports == [Report(250, 4.0, 50.0), Report(500, 8.0, 60.0), Report(1000, 12.0, 55.0)]


def test_a_trial_with_no_epochs_left_reports_its_last() -> None:
    curve = Curve(seconds=np.array([1.0, 2.0]), scores=np.array([50.0, 60.0]))
    reports = rung_reports(curve, (250, 1000), lambda curve: curve.seconds, full=10.0)
    assert reports == [Report(250, 2.0, 60.0), Report(1000, 2.0, 60.0)]


def searched(method: str, *improvements: tuple[float, float], task: str = "t", seed: int = 0) -> Search:
    return Search(
        task=task, seed=seed, workers=8, method=method, seconds=100.0, random_best=80.0, improvements=improvements
    )


def test_regret_is_a_mean_over_seeds_from_the_best_known() -> None:
    seeds = [searched("ours", (10, 50), (20, 90)), searched("ours", (30, 70), seed=1)]
    assert best_scores(seeds) == {"t": 90}
    assert mean_regret(seeds, 90.0, 20.0) == (0 + 90) / 2
    assert mean_regret(seeds, 90.0, 100.0) == (0 + 20) / 2
    assert time_to(seeds, 90.0, 10.0) == 30
    assert time_to(seeds, 90.0, 9.0) is None


def test_ratio_of_times_counts_a_level_never_reached_as_twice_the_search() -> None:
    quick = ([searched("ours", (10, 70), (15, 75))], [searched("stock", (40, 70))], 80.0)
    never = ([searched("ours", (5, 60))], [searched("stock", (50, 70))], 80.0)
    ratio = compare([quick, never])
    assert ratio.geometric_mean == pytest.approx(math.sqrt((10 / 40) * (200 / 50)))
    assert ratio.of_whole == pytest.approx(math.sqrt((10 / 100) * (200 / 100)))
    assert (ratio.never, ratio.behind, ratio.tasks) == (1, 1, 2)


class MadeUpTask:
    """Accuracy depends on the momentum alone, best at 0.5; every training takes 52 s."""

    mean_seconds = 52.0

    def curve(self, parameters: Mapping[str, Any]) -> Curve:
        assert parameters.keys() == SPACE.keys()
        final = 100 - 100 * abs(parameters["momentum"] - 0.5)
        return Curve(seconds=np.arange(1.0, 53), scores=final * np.linspace(0.5, 1, 52))


@pytest.mark.parametrize("name", sorted(METHODS.keys() - {"TuneBOHB"}))  # its libraries are not installed for tests
def test_each_method_searches(name: str) -> None:
    history = simulate(METHODS[name](cast(Any, MadeUpTask()), 0, 2), workers=2, seconds=4 * 52)
    if name == "random + FIFO":
        assert (history.full, history.trials) == (8, 10)  # one more is begun on each worker as the time ends
    else:
        assert 12 < history.trials < 8 * 27  # most are stopped early, at 1/27 of a training at the earliest
    assert history.improvements[-1][1] > 70
