"""benchmarks/against_stock.py: what follows from the logs of searches, on logs made up here."""

import argparse
import sys
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from against_stock import same_search, split_of
from stock.events import EventLog, TrialLog, read_events
from stock.expert import rungs
from stock.table import SIDES, table
from stock.timelines import TrialTimes, in_slots, ours_timeline, stock_timeline

from search_spaces.space import parse_space
from trainables.layouts import read_dataset
from tuner.api import Results, SweepConfig
from tuner.preparation import split_dataset
from tuner.rungs import rung_steps

SPENT = {"training": 6.0, "data": 1.0, "evaluation": 2.0, "checkpoint": 0.5}


def events() -> list[dict[str, Any]]:
    """Four trials in two slots, from 1000 on: Ray took 4 s to start."""

    def trial(name: str, began: float, first_step: float, *reports: tuple[float, float]) -> list[dict[str, Any]]:
        return [
            {"time": began, "event": "begins", "trial": name},
            {"time": first_step, "event": "first step", "trial": name},
            *({"time": at, "event": "report", "trial": name, "dice": dice, "seconds": SPENT} for at, dice in reports),
        ]

    lines = [
        {"time": 1010.0, "event": "ray up", "seconds": 4.0},
        *trial("a", 1020.0, 1022.0, (1027.0, 0.5), (1032.0, 0.7)),
        *trial("b", 1021.0, 1022.0, (1032.0, 0.6), (1042.0, 0.83)),
        *trial("c", 1037.0, 1039.0, (1049.0, 0.85)),
        *trial("d", 1045.0, 1047.5, (1057.5, 0.84)),
        {"time": 1060.0, "event": "ended"},
    ]
    return sorted(lines, key=lambda line: line["time"])


def test_trials_take_the_slot_that_has_been_free_for_longest():
    timeline = stock_timeline(events(), launched=1000.0, slots=2)
    assert [trial.slot for trial in timeline.trials] == [0, 1, 0, 1]


def test_turnaround_runs_from_the_last_line_of_a_trial_to_the_first_step_of_the_next():
    timeline = stock_timeline(events(), launched=1000.0, slots=2)
    assert sorted(timeline.turnarounds()) == [5.5, 7.0]


def test_shares_are_those_of_the_slots_time_until_the_last_trial_was_handed_out():
    timeline = stock_timeline(events(), launched=1000.0, slots=2)
    # From 1020 until b ended at 1042; of c, which stepped from 1039 to 1049, three tenths lie before that.
    assert timeline.handed_out() == 1042.0
    shares = timeline.shares()
    assert shares["training"] == pytest.approx(6.0 * 2.3 / (2 * 22))
    assert shares["evaluation"] == pytest.approx(2.0 * 2.3 / (2 * 22))
    summary = timeline.summary(dice=0.84)
    assert summary["training and evaluation"] == pytest.approx(9.0 * 2.3 / 44)
    assert summary["start and waiting"] == pytest.approx(1 - 9.5 * 2.3 / 44)
    assert summary["tail"] == 15.5


def test_time_to_a_dice_counts_from_the_command_without_the_start_of_ray():
    timeline = stock_timeline(events(), launched=1000.0, slots=2)
    assert timeline.seconds_to(0.84) == 45.0
    assert timeline.seconds_to(0.7) == 28.0
    assert timeline.seconds_to(0.9) is None


def test_a_dice_that_no_trial_reached_counts_as_the_whole_search():
    summary = stock_timeline(events(), launched=1000.0, slots=2).summary(dice=0.9)
    assert summary["reached"] == 0.0
    assert summary["seconds to dice"] == summary["seconds"] == 53.5


def test_more_trials_at_once_than_slots_are_refused():
    times = [TrialTimes(slot=0, began=0.0, first_step=1.0, ended=5.0, seconds={}, dice=[]) for _ in range(3)]
    with pytest.raises(ValueError, match="more than 2 trials ran at once"):
        in_slots(times, slots=2)


def test_a_trial_that_never_reported_is_no_result():
    with pytest.raises(ValueError, match="trial e never reported"):
        stock_timeline(
            [*events(), {"time": 1050.0, "event": "begins", "trial": "e"}],
            launched=1000.0,
            slots=2,
        )


def test_a_trials_log_tells_its_first_step_once_and_what_time_was_spent_on(tmp_path):
    file = tmp_path / "events.jsonl"
    EventLog(file).write("ray up", seconds=1.5)
    log = TrialLog(file, "a")
    for batch in log.loading([1, 2]):
        with log.spending("training"):
            assert batch
    with log.spending("evaluation"):
        pass
    log.report(0.5)
    written = read_events(file)
    assert [line["event"] for line in written] == ["ray up", "begins", "first step", "report"]
    assert written[-1]["seconds"].keys() == {"data", "training", "evaluation"}
    assert written[0]["seconds"] == 1.5


def our_trial(number: int, pid: int, began: float, ended: float) -> FrozenTrial:
    """It steps half a second after its begin and evaluates twice, the second time at its end."""
    seconds = {"start": 0.4, "advance": 9.0, "checkpoint": 0.1}
    amounts = [
        {"step": 333, "score": 0.7, "training_seconds": 3.0, "evaluation_seconds": 0.5},
        {"step": 1000, "score": 0.85, "training_seconds": 8.0, "evaluation_seconds": 1.0},
    ]
    trial = create_trial(
        state=TrialState.COMPLETE,
        value=0.85,
        params={"learning_rate": 1e-3},
        distributions={"learning_rate": FloatDistribution(1e-4, 1e-2)},
        user_attrs={
            "evaluations": amounts,
            "data_seconds": 0.25,
            "stints": [{"node": "n", "pid": pid, "began": began, "first_step": began + 0.5, "ended": ended, **seconds}],
        },
    )
    trial.number = number
    return trial


def test_ours_is_read_from_the_study():
    trials = (our_trial(0, 7, 1020.0, 1030.0), our_trial(1, 8, 1020.5, 1031.0), our_trial(2, 7, 1030.1, 1041.0))
    results = Results(space=parse_space({"learning_rate": {"float": [1e-4, 1e-2]}}), sweep_trials=trials)
    timeline = ours_timeline(results, events(), launched=1000.0, slots=2)
    assert [trial.slot for trial in timeline.trials] == [0, 1, 0]
    assert timeline.turnarounds() == [pytest.approx(0.6)]
    # The first trial ended at 1030 and trained and evaluated 5.5 s after its first report.
    assert timeline.seconds_to(0.7) == pytest.approx(1030.0 - 5.5 - 1000.0 - 4.0)
    assert timeline.trials[0].seconds == {"training": 7.75, "data": 0.25, "evaluation": 1.0, "checkpoint": 0.1}


@pytest.mark.parametrize(("epochs", "expected"), [(9, [1, 3, 9]), (3, [1, 3]), (4, [1, 3, 4])])
def test_the_expert_evaluates_where_asha_compares(epochs, expected):
    assert rungs(epochs) == expected


def test_ours_trains_on_as_many_voxels_as_stock_on_the_middle_patch(small_dataset):
    given = argparse.Namespace(epochs=9, trials=16, group=None)
    config = SweepConfig.model_validate(same_search(small_dataset, given, train_cases=160))
    assert config.budget.maximum == 9 * 160 * 24 * 40 * 24
    assert rung_steps(config.budget.first_share, config.budget.reduction) == (111, 333, 1000)


def test_the_split_is_the_sweeps(small_dataset):
    given = argparse.Namespace(epochs=9, trials=16, group="int(number) % 5")
    config = SweepConfig.model_validate(same_search(small_dataset, given, train_cases=4))
    assert config.dataset is not None
    assert split_of(small_dataset, given.group) == split_dataset(read_dataset(small_dataset), config.dataset)


def test_the_table_gives_medians_and_each_run():
    summary = stock_timeline(events(), launched=1000.0, slots=2).summary(dice=0.84)
    turnarounds = {"stock": (7.0, 9.0, 8.0), "ours": (0.2, 0.1, 0.3)}
    found = {
        side: [{**summary, "turnaround": seconds} for seconds in turnarounds.get(side, (1.0, 1.0, 1.0))]
        for side in SIDES
    }
    rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in table(found).splitlines()]
    assert rows[2][:3] == ["turnaround, s", "ours ≤ 0.3", "8.00 (7.00, 9.00, 8.00)"]
    assert rows[2][4] == "0.20 (0.20, 0.10, 0.30)"
    assert rows[3] == ["of stock's", "ours ≤ 0.050", "1.000", "0.125", "0.025", "0.125"]
