"""optuna-dashboard opens each storage while it is a sweep's, and shows the curves of stopped trials."""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from make_sweep import open_study, play
from optuna.trial import TrialState
from services import free_port

from tuner.storage import open_storage

pytestmark = pytest.mark.service


@pytest.fixture(params=["journal", "sqlite", "postgresql"])
def place(request, tmp_path) -> tuple[str | None, Path]:
    """A storage's URL, and the journal that stands for None."""
    if request.param == "postgresql":
        url = request.getfixturevalue("postgresql").new_database()
    else:
        url = f"sqlite:///{tmp_path}/study.db" if request.param == "sqlite" else None
    return url, tmp_path / "study.journal"


@contextmanager
def dashboard(storage: str) -> Iterator[str]:
    """optuna-dashboard over a storage, as docs/storage.md says to open it. Yields its address."""
    port = free_port()
    program = Path(sys.executable).with_name("optuna-dashboard")
    command = [program, storage, "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        address = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"{address}/api/meta", timeout=5).close()
            except urllib.error.URLError:
                assert process.poll() is None, process.stdout.read()
                assert time.monotonic() < deadline, "optuna-dashboard does not answer"
                time.sleep(0.2)
            else:
                break
        yield address
    finally:
        process.kill()
        process.communicate()


def ask(address: str):
    with urllib.request.urlopen(address, timeout=20) as answer:
        return json.load(answer)


@pytest.mark.slow
def test_dashboard_shows_the_curves_of_stopped_trials(place):
    url, journal = place
    study = open_study(open_storage(url, journal, owner=True))
    play(study, 8)
    with dashboard(url or str(journal)) as address:
        (summary,) = ask(f"{address}/api/studies")["study_summaries"]
        assert summary["study_name"] == "sweep"
        shown = ask(f"{address}/api/studies/{summary['study_id']}")["trials"]
    curves = {
        trial["number"]: {value["step"]: value["value"] for value in trial["intermediate_values"]} for trial in shown
    }
    assert curves == {trial.number: trial.intermediate_values for trial in study.trials()}
    stopped = {trial["number"] for trial in shown if trial["state"] == "Pruned"}
    assert stopped == {trial.number for trial in study.trials(TrialState.PRUNED)}
    assert stopped
    assert all(curves[number] for number in stopped)
