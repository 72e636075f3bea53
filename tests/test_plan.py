"""What a sweep will take on some devices: by costs given, by an earlier sweep's, and by those timed here."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from command_line import Ended, run_voxtune
from make_sweep import TOY_SWEEP

from tuner.config import SweepConfig
from tuner.directory import SweepDirectory
from tuner.errors import StudyError, SweepConfigError
from tuner.expectation import START_SECONDS, TrialCost
from tuner.number_list import whole_numbers
from tuner.plan import expected
from tuner.section import validated
from tuner.trial_costs import earlier_costs

Voxtune = Callable[..., Ended]
COST = TrialCost(seconds_per_unit=600.0, evaluation_seconds=0.0)


@pytest.fixture
def voxtune(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Voxtune:
    return partial(run_voxtune, monkeypatch=monkeypatch, capsys=capsys)


def config(**changes: Any) -> SweepConfig:
    search = {"trials": 16, "stop_early": False, **changes.pop("search", {})}
    return validated(SweepConfig, {**TOY_SWEEP, **changes, "search": search}, source="sweep.yaml")


def test_rounds_of_equal_trials_by_hand() -> None:
    found = expected(config(), [COST], 4)
    assert found.slots == 4
    assert found.seconds == pytest.approx(START_SECONDS + 4 * 600, abs=4)
    assert found.likely_seconds == pytest.approx(found.seconds)
    assert found.device_hours == pytest.approx(4 * found.seconds / 3600)
    assert found.busy == pytest.approx(1, abs=0.01)
    assert expected(config(), [COST], 32).busy == pytest.approx(0.49, abs=0.01)  # 16 of 32 have no trial


def test_confirming_the_best_comes_after_the_search() -> None:
    found = expected(config(confirm={"top": 3, "seeds": 2}), [COST], 4)
    assert found.confirm_seconds == 1200  # six trainings on four devices
    assert found.device_hours == pytest.approx(4 * (found.seconds + 1200) / 3600)


def test_what_a_trial_takes_of_the_devices() -> None:
    assert expected(config(resources={"gpus_per_trial": 0.5}), [COST], 4).slots == 8
    assert expected(config(resources={"gpus_per_trial": "auto"}), [COST], 4).slots == 4
    assert expected(config(resources={"workers_per_trial": 2, "gpus_per_trial": 1}), [COST], 4).slots == 2
    assert expected(config(resources={"trials_at_once": 3}), [COST], 4).slots == 3
    with pytest.raises(SweepConfigError, match="--devices: a trial takes 4, got 2"):
        expected(config(resources={"workers_per_trial": 4}), [COST], 2)


def test_a_search_is_not_longer_than_it_may_be() -> None:
    found = expected(config(search={"minutes": 10}), [COST], 1)
    assert (found.seconds, found.likely_seconds) == (600, 600)
    with pytest.raises(SweepConfigError, match=r"search\.trials: is null, so that the search takes"):
        expected(config(search={"trials": None, "minutes": 10}), [COST], 1)


def test_numbers_of_devices() -> None:
    assert whole_numbers("8, 1,8", option="--devices") == [1, 8]
    with pytest.raises(
        SweepConfigError, match="--devices: must be whole numbers above 0 with commas between, got '4;8'"
    ):
        whole_numbers("4;8", option="--devices")


@pytest.mark.ray
@pytest.mark.slow
def test_as_an_earlier_sweep_took(tmp_path: Path, voxtune: Voxtune) -> None:
    file = tmp_path / "sweep.yaml"
    toys = {**TOY_SWEEP, "training": {"seconds_per_rung": 0.2}}
    file.write_text(json.dumps(toys))
    assert voxtune("run", file, "--runs", tmp_path).code == 0
    ended = voxtune("plan", file, "--from", "toy", "--runs", tmp_path, "--devices", "1,2", "--price", "3600")
    assert ended.code == 0, ended.err
    assert "As 2 trials of toy took:" in ended.out
    _, header, one, two = ended.out.strip().splitlines()
    assert header.split()[-1] == "cost"
    assert [one.split()[0], two.split()[0]] == ["1", "2"]
    # Three rungs of 0.2 s: twice as large a budget takes twice as long.
    larger = validated(SweepConfig, {**toys, "budget": {"unit": "steps", "maximum": 180}}, source="sweep.yaml")
    costs = earlier_costs(larger, SweepDirectory(tmp_path / "toy"))
    assert len(costs) == 2
    assert all(cost.seconds_per_unit >= 1.19 for cost in costs)  # a sleep on a busy machine is longer
    same = earlier_costs(validated(SweepConfig, toys, source="sweep.yaml"), SweepDirectory(tmp_path / "toy"))
    assert [cost.seconds_per_unit for cost in costs] == pytest.approx([2 * cost.seconds_per_unit for cost in same])
    other = validated(SweepConfig, {**toys, "budget": {"unit": "seconds", "maximum": 9}}, source="sweep.yaml")
    with pytest.raises(StudyError, match="--from: its budget is in steps, the sweep file's in seconds"):
        earlier_costs(other, SweepDirectory(tmp_path / "toy"))


@pytest.mark.slow
def test_as_timed_here(tmp_path: Path, voxtune: Voxtune) -> None:
    file = tmp_path / "sweep.yaml"
    budget = {"unit": "seconds", "maximum": 3600}
    file.write_text(json.dumps({**TOY_SWEEP, "budget": budget, "search": {"trials": 4, "stop_early": False}}))
    ended = voxtune("plan", file, "--devices", "2", "--price", "2")
    assert ended.code == 0, ended.err
    cells = ended.out.strip().splitlines()[-1].split()
    assert cells[:4] == ["2", "2", "2", "hours"]  # two rounds of one
    assert float(cells[-1]) == pytest.approx(2 * 2 * 2.0, rel=0.01)
    file.write_text(json.dumps({**TOY_SWEEP, "budget": {"unit": "voxels", "maximum": 3600}}))
    ended = voxtune("plan", file)
    assert ended.code == 2
    assert "budget.unit: what a step of trainables.toy:ToyRun uses of voxels is not known" in ended.err


def test_gpus_can_t_be_timed_where_there_are_none(
    tmp_path: Path, voxtune: Voxtune, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuner.machine.cuda_devices", lambda: ())
    file = tmp_path / "sweep.yaml"
    file.write_text(json.dumps({**TOY_SWEEP, "resources": {"gpus_per_trial": 1}}))
    ended = voxtune("plan", file)
    assert ended.code == 2
    assert "resources.gpus_per_trial: this machine has no GPU to time trials on; plan on one that has" in ended.err
