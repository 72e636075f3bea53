"""benchmarks/scaling.py: recorded trials replayed on a real Ray, and the model fitted to that."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import scaling
from replay import ReplayRun

from trainables.protocol import Budget, TrainingRun

CURVES = [
    [
        {"step": step, "seconds": 0.1 * part, "score": height * part / (1 + part)}
        for step, part in ((111, 1), (333, 2), (1000, 6))
    ]
    for height in (0.5, 0.9, 0.3, 0.8, 0.7, 0.6)
]


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    file = tmp_path / "recorded.json"
    file.write_text(json.dumps({"trials": CURVES}))
    return file


def test_a_trial_waits_and_scores_as_recorded(recording: Path) -> None:
    parameters = {"recording": str(recording), "scale": 0.01, "trial": 1}

    def start() -> TrainingRun:
        return ReplayRun(parameters, data={}, budget=Budget(unit="steps", maximum=1000), seed=0, device="cpu")

    run = start()
    found = [run.advance(step) for step in (111, 333)]
    assert [one.score for one in found] == pytest.approx([0.45, 0.6])
    assert [one.training_seconds for one in found] == pytest.approx([0.001, 0.003])
    again = start()
    again.load_state_dict(run.state_dict())
    assert again.advance(1000).training_seconds == pytest.approx(0.009)


def test_a_recording_is_of_the_seconds_from_rung_to_rung() -> None:
    evaluations = [
        {"step": 111, "training_seconds": 2.0, "evaluation_seconds": 1.0, "score": 0.3},
        {"step": 333, "training_seconds": 6.0, "evaluation_seconds": 2.0, "score": 0.5},
    ]
    assert scaling.rungs_of(evaluations) == [
        {"step": 111, "seconds": 3.0, "score": 0.3},
        {"step": 333, "seconds": 5.0, "score": 0.5},
    ]


@pytest.mark.ray
@pytest.mark.slow
def test_a_search_over_recorded_trials(recording: Path, tmp_path: Path) -> None:
    found = scaling.search(recording, 2, 1.0, len(CURVES))
    assert (found["slots"], found["opened"]) == (2, 2)
    assert sorted(found["trials"]) == list(range(6))
    full = 0.9
    assert found["durations"][found["trials"].index(1)] == pytest.approx(full)  # the best is never stopped
    assert min(found["durations"]) == pytest.approx(0.1)
    assert found["bound"] <= found["seconds"] < found["bound"] + 10
    assert found["reports"] == sum({0.1: 1, 0.3: 2, full: 3}[round(seconds, 3)] for seconds in found["durations"])
    assert found["driver_seconds"] > 0

    file = tmp_path / "scaling.json"
    environment = {"cores": 2}
    file.write_text(
        json.dumps(
            {
                "recording": "recorded.json",
                "searches": [found],
                "trials": CURVES,
                "scale": 1.0,
                "environment": environment,
            }
        )
    )
    scaling.model(file, 0.1)
    page = (tmp_path / "scaling.md").read_text()
    assert f"| 2 | {found['seconds']:.1f} s | {found['bound']:.1f} s |" in page
    assert "| 1024 | 4092 | every trial to the end | " in page
    assert (tmp_path / "scaling.png").stat().st_size > 10_000
