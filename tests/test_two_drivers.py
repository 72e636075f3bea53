"""Two drivers, each with its own Ray and directory, on one study in PostgreSQL."""

import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import optuna
import pytest
import yaml
from meeting import DRIVER, PLACE
from optuna.trial import TrialState

from tuner.storage import open_storage, stored_studies

TRIALS = 24

SWEEP = {
    "name": "shared",
    "trainable": "meeting:MeetingRun",
    "training": {"seconds_per_rung": 0.5, "patch_size": 16},
    "space": {"learning_rate": {"float": [1e-4, 1e-1], "log": True}},
    "budget": {"maximum": 270, "unit": "steps"},
    "search": {"trials": TRIALS},
    "confirm": {"top": 0},
    "resources": {"trials_at_once": 2},
}


def drive(file: Path, name: str, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tuner.cli", "run", str(file), "--runs", str(file.parent / name), *options]
    packages = os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")]))
    env = {**os.environ, "PYTHONPATH": packages, PLACE: str(file.parent / "meeting"), DRIVER: name}
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.ray
@pytest.mark.service
@pytest.mark.slow
def test_two_drivers_share_a_study(postgresql, tmp_path):
    url = postgresql.new_database()
    file = tmp_path / "sweep.yaml"
    file.write_text(yaml.safe_dump({**SWEEP, "storage": url}))
    (tmp_path / "meeting").mkdir()
    drivers = [drive(file, "first")]
    try:
        deadline = time.monotonic() + 240
        while "shared/sweep" not in stored_studies(url):
            assert drivers[0].poll() is None, drivers[0].communicate()[0]
            assert time.monotonic() < deadline, "the first driver does not begin"
            time.sleep(0.2)
        drivers.append(drive(file, "second", "--join"))
        outputs = [driver.communicate(timeout=480)[0] for driver in drivers]
    finally:
        for driver in drivers:
            driver.kill()
    assert [driver.returncode for driver in drivers] == [0, 0], "\n".join(outputs)
    trials = optuna.load_study(study_name="shared/sweep", storage=open_storage(url, tmp_path)).get_trials()
    assert len(trials) == TRIALS
    assert {trial.state for trial in trials} <= {TrialState.COMPLETE, TrialState.PRUNED}
    assert not [trial.number for trial in trials if "error" in trial.user_attrs]
    for trial in trials:  # run once, by one driver
        steps = [evaluation["step"] for evaluation in trial.user_attrs["evaluations"]]
        assert steps == sorted(set(steps)) == sorted(trial.intermediate_values)
    assert len({tuple(trial.params.items()) for trial in trials}) == TRIALS
    shares = Counter(trial.user_attrs["driver"] for trial in trials)
    assert len(shares) == 2, "the second driver found nothing to do"
    assert min(shares.values()) >= 5
