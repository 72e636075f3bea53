"""The study of parallelism: what is run, what its searches say, what is modelled from them, and the command."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from command_line import Ended, run_voxtune
from make_sweep import TOY_SWEEP

from tuner import parallelism
from tuner.config import SweepConfig
from tuner.errors import SweepInterrupted
from tuner.parallelism import Search, TrialFound, Way, all_ways, sweep_for
from tuner.parallelism_command import share_of_batch
from tuner.parallelism_model import Timings, bound_of, model
from tuner.parallelism_report import read_searches, write_searches
from tuner.parallelism_result import Outcome, answer, outcomes, table_of
from tuner.rungs import SuccessiveHalving, rung_steps
from tuner.section import validated
from tuner.sweep import run_sweep

STEPS = rung_steps(1 / 9, 3)
RUNGS = SuccessiveHalving(STEPS, 3)
Voxtune = Callable[..., Ended]
ONE = Way(devices=1, group=1, early_stopping=False)
TWO = Way(devices=2, group=2, early_stopping=False)


@pytest.fixture
def voxtune(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Voxtune:
    return partial(run_voxtune, monkeypatch=monkeypatch, capsys=capsys)


def config(**changes: Any) -> SweepConfig:
    return validated(SweepConfig, {**TOY_SWEEP, **changes}, source="sweep.yaml")


def trial(number: int, seconds: tuple[float, ...] = (2.0, 3.0, 5.0), **changes: Any) -> TrialFound:
    return replace(
        TrialFound(
            number=number,
            parameters={"batch_size": 4},
            steps=STEPS[: len(seconds)],
            seconds=seconds,
            scores=(0.5, 0.6, 0.7)[: len(seconds)],
            training=sum(seconds) - 1.0,
            data=0.5,
            exchange=0.0,
            evaluation=1.0,
            optimizer_steps=90,
            formats={},
        ),
        **changes,
    )


def search(way: Way, *trials: TrialFound, seconds: float, **changes: Any) -> Search:
    found = Search(
        way=way,
        repetition=0,
        trials=trials,
        start_seconds=9.0,
        seconds=seconds,
        tail_seconds=0.0,
        driver_seconds=0.0,
    )
    return replace(found, **changes)


def halves(parameters: Mapping[str, Any], group: int) -> tuple[float, float]:
    return 1 / group, 1.0


def test_the_ways_of_some_devices() -> None:
    without = [(way.devices, way.group) for way in all_ways([2, 4]) if not way.early_stopping]
    assert without == [(2, 1), (2, 2), (4, 1), (4, 2), (4, 4)]
    assert len(all_ways([2, 4])) == 10
    # Three devices can't be dealt into twos.
    assert [(way.devices, way.group) for way in all_ways([2, 3]) if way.early_stopping] == [
        (2, 1),
        (2, 2),
        (3, 1),
        (3, 3),
    ]
    with pytest.raises(ValueError, match="3 devices can't be dealt into groups of 2"):
        Way(devices=3, group=2, early_stopping=True)


def test_a_way_is_a_sweep_that_leaves_the_user_s_own_alone() -> None:
    mine = config(storage="sqlite:///mine.db", on_end="https://example.com/hook", confirm={"top": 3})
    way = Way(devices=6, group=2, early_stopping=True)
    theirs = sweep_for(mine, way, trials=12, name="6x2")
    assert (theirs.resources.workers_per_trial, theirs.resources.trials_at_once) == (2, 3)
    assert (theirs.storage, theirs.on_end, theirs.confirm.top) == (None, None, 0)
    assert (theirs.search.sampler, theirs.search.trials, theirs.search.stop_early) == ("random", 12, True)
    assert theirs.space == mine.space


def test_where_the_devices_time_went_adds_up() -> None:
    # Two slots of 12 s: one trained 10 s, 2 of them in exchange; the other 6 s, and then waited 4 s.
    found = search(
        Way(devices=4, group=2, early_stopping=False),
        trial(0, exchange=2.0),
        trial(1, (1.0, 2.0, 3.0)),
        seconds=12.0,
        tail_seconds=4.0,
    )
    shares = found.shares
    assert shares["exchange"] == pytest.approx(2 / 24)
    assert shares["data"] == pytest.approx(1 / 24)
    assert shares["evaluation"] == pytest.approx(2 / 24)
    assert shares["training"] == pytest.approx((9 + 5 - 1 - 2) / 24)
    assert shares["tail"] == pytest.approx(4 / 24)
    assert shares["between"] == pytest.approx(1 - 20 / 24)
    assert found.utilisation == pytest.approx(14 / 24)
    assert found.observed.durations == (10.0, 6.0)
    assert found.observed.answers == 8
    assert found.observed.bound == 10.0


def test_the_bound_knows_what_was_trained_on_one_device() -> None:
    alone = search(ONE, trial(0), trial(1), seconds=21.0)
    # The second trial was stopped at its first rung, and took longer than on one device alone.
    stopped = search(TWO, trial(0, (4.0, 6.0, 10.0)), trial(1, (4.0,)), seconds=30.0)
    timings = Timings.of([alone, stopped], halves)
    assert bound_of(timings, stopped) == pytest.approx(10 / 2 + 2 / 2)
    assert bound_of(timings, alone) == pytest.approx(20)


def test_trials_on_more_devices_than_were_measured() -> None:
    # On one device 8 s of training: 2 s that each step takes whatever its share, 6 s that shrink with it; on two
    # 2 + 3, and 1 s of exchange. Evaluation takes 1 s on one.
    alone = trial(0, (3.0, 3.0, 3.0), training=8.0)
    together = trial(0, (2.2, 2.2, 2.2), training=6.0, exchange=1.0, evaluation=0.5)
    timings = Timings.of([search(ONE, alone, seconds=9.0), search(TWO, together, seconds=6.6)], halves)
    four = timings.on(Way(devices=4, group=4, early_stopping=False))[0]
    # A ring of four moves (3/4) / (1/2) as much as one of two.
    assert sum(four.seconds) == pytest.approx(2 + 6 / 4 + 1.5 + 0.25)
    assert four.seconds[0] == pytest.approx(four.seconds[2])
    assert sum(timings.on(Way(devices=8, group=2, early_stopping=True))[0].seconds) == pytest.approx(6.6)
    nothing_known = Timings.of([search(ONE, alone, seconds=9.0)], halves)
    assert sum(nothing_known.on(TWO)[0].seconds) == pytest.approx(9 / 2)


def test_a_batch_for_each_worker_makes_fewer_steps(tmp_path: Path) -> None:
    segmentation = {"trainable": "trainables.segmentation:SegmentationRun", "dataset": {"path": str(tmp_path)}}
    same = config(**segmentation, space={"batch_size": {"choice": [2, 3]}})
    assert share_of_batch(same)({"batch_size": 3}, 2) == (2 / 3, 1.0)
    budget = {"unit": "voxels", "maximum": 1e6}
    more = config(
        **segmentation, space={"width": {"choice": [4, 8]}}, training={"batch_size": 2, "batch_per_worker": True}
    )
    assert share_of_batch(more)({"batch_size": 2}, 4) == (1.0, 1.0)  # its budget is in steps
    assert share_of_batch(more.changed({"budget": budget}))({"batch_size": 2}, 4) == (1.0, 0.25)


def measured() -> list[Search]:
    """Six trials of 10 s with 1 s between them; on two devices side by side, and together, which takes them 7 s."""
    trials = [trial(number) for number in range(6)]
    pairs = [
        trial(number, (1.4, 2.1, 3.5), training=6.5, exchange=2.0, evaluation=0.5, scores=(0.4, 0.5, 0.65))
        for number in range(6)
    ]
    apart = Way(devices=2, group=1, early_stopping=False)
    found = [
        search(ONE, *trials, seconds=66.0),
        search(apart, *trials, seconds=33.0),
        search(TWO, *pairs, seconds=48.0),
    ]
    return found + [replace(one, way=replace(one.way, early_stopping=True)) for one in found]


def test_the_outcomes() -> None:
    found = outcomes(measured(), all_ways([1, 2, 4]), share=halves, rungs=RUNGS)
    by_way = {one.way: one for one in found}
    apart = by_way[Way(devices=2, group=1, early_stopping=False)]
    assert (apart.measured, apart.speed_up, apart.efficiency) == (True, 2.0, 1.0)
    assert apart.bound_speed_up == pytest.approx(66 / 30)
    assert apart.modelled_seconds == pytest.approx(33)
    assert apart.model_error == pytest.approx(0)
    together = by_way[TWO]
    assert together.speed_up == pytest.approx(66 / 48)
    assert together.model_error == pytest.approx(0)
    four = by_way[Way(devices=4, group=1, early_stopping=False)]
    assert not four.measured
    assert four.seconds == pytest.approx(22)  # six trials on four: two rounds of 10 + 1 s
    assert four.utilisation == pytest.approx(60 / 88)
    assert four.shares is None
    table = table_of(found)
    assert list(table["devices"]) == [1, 2, 2, 4, 4, 4] * 2
    assert table["share_exchange"].iloc[2] == pytest.approx(6 * 2.0 / 48)
    assert table["model_error"].isna().sum() == 6


def test_early_stopping_is_modelled_by_the_sweep_s_own_rule() -> None:
    timings = Timings.of(measured(), halves)
    found, bound = model(timings, Way(devices=1, group=1, early_stopping=True), rungs=RUNGS)
    everything, _ = model(timings, ONE, rungs=RUNGS)
    # All score alike, so that none has a better one before it: nobody is stopped.
    assert found.seconds == everything.seconds
    assert bound == 60


def test_the_answer_in_words() -> None:
    rows = outcomes(measured(), all_ways([1, 2]), share=halves, rungs=RUNGS)
    assert answer(rows, trials=6, early_stopping=False) == (
        "With 2 devices and 6 trials give each trial one device: 2.0 times as fast as one device, against 1.4 when all "
        "train one trial after another. 2.2 would be possible without any overhead. Mean Dice of the trials trained to "
        "the end: 0.700 on one device each, 0.650 on 2 together."
    )
    further = outcomes(measured(), all_ways([1, 2, 4]), share=halves, rungs=RUNGS)
    assert answer(further, trials=6, early_stopping=True).startswith(
        "With 4 devices and 6 trials give each trial one device: 3.0 times (modelled) as fast as one device, against"
    )
    small = [way for way in all_ways([1, 2, 4]) if way.group < 4]  # a batch of two patches
    assert answer(outcomes(measured(), small, share=halves, rungs=RUNGS), trials=6, early_stopping=True) == (
        "With 4 devices and 6 trials give each trial one device: 3.0 times (modelled) as fast as one device, against "
        "2.8 when each trial has 2. 3.3 would be possible without any overhead."
    )
    faster: list[Outcome] = [replace(one, speed_up=9.0) if one.way.group == 2 else one for one in rows]
    assert "let all devices train one trial after another: 9.0 times" in answer(faster, trials=6, early_stopping=False)


def test_what_was_measured_is_read_again(tmp_path: Path) -> None:
    terms = {"sweep": {"name": "toy"}, "trials": 6}
    write_searches(tmp_path, terms, measured())
    assert read_searches(tmp_path) == (terms, measured())
    assert json.loads((tmp_path / "searches.json").read_text())["searches"][0] == json.loads(
        json.dumps(asdict(measured()[0]))
    )


def test_what_can_t_be_studied(tmp_path: Path, voxtune: Voxtune) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(json.dumps({**TOY_SWEEP, "resources": {"gpus_per_trial": 0.5}}))
    ended = voxtune("study", "parallelism", file, "-o", tmp_path / "out")
    assert ended.code == 2
    assert "resources.gpus_per_trial: the study compares whole devices, got 0.5; say 1" in ended.err
    ended = voxtune("study", "parallelism", file, "--devices", "1,two")
    assert ended.code == 2
    assert "--devices: must be whole numbers above 0 with commas between, got '1,two'" in ended.err
    file.write_text(json.dumps(TOY_SWEEP))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    ended = voxtune("study", "parallelism", file, "-o", tmp_path / "other")
    assert ended.code == 2
    assert "exists and holds no searches.json of such a study; nothing was measured" in ended.err
    write_searches(tmp_path / "other", {"trials": 3}, [])
    ended = voxtune("study", "parallelism", file, "-o", tmp_path / "other")
    assert "holds a study of another sweep file or another number of trials" in ended.err


@pytest.mark.ray
@pytest.mark.slow
def test_a_study_of_toys(tmp_path: Path, voxtune: Voxtune, running_ray: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a running Ray: both ways on two cores, the same trials in each, four devices modelled.

    It is broken off in the last search and goes on with that.
    """
    file, output = tmp_path / "sweep.yaml", tmp_path / "study"
    toys = {**TOY_SWEEP, "training": {"seconds_per_rung": 0.1}}
    file.write_text(json.dumps(toys))
    arguments = ["study", "parallelism", file, "--devices", "1,2,4", "--trials", "3", "-o", output]
    arguments += ["--address", running_ray]
    names: list[str] = []

    def broken_off(config: SweepConfig, **options: Any) -> Any:
        names.append(config.name)
        if len(names) == 6:
            raise SweepInterrupted("Stopped.")
        return run_sweep(config, **options)

    monkeypatch.setattr(parallelism, "run_sweep", broken_off)
    assert voxtune(*arguments).code == 130
    before = read_searches(output)[1]
    assert len(before) == 5
    ended = voxtune(*arguments)
    assert ended.code == 0, ended.err
    assert "2 devices, 2 a trial, with early stopping, search 6 of 6" in ended.out
    assert len(names) == 7
    searches = read_searches(output)[1]
    assert searches[:5] == before
    assert len(searches) == 6
    configurations = {tuple(sorted((one.number, str(one.parameters)) for one in found.trials)) for found in searches}
    assert len(configurations) == 1
    for found in searches:
        assert sum(found.shares.values()) == pytest.approx(1)
        assert min(found.shares.values()) > -0.01
        assert len(found.trials) == 3
        assert found.seconds > 0.1
    assert not (output / "sweeps").exists()
    content = json.loads((output / "study.json").read_text())
    assert [way["measured"] for way in content["ways"]] == [True, True, True, False, False, False] * 2
    page = (output / "study.md").read_text()
    assert "With 4 devices and 3 trials give each trial one device" in page
    assert (output / "speed_up.png").stat().st_size > 10_000
