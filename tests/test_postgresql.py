"""A real PostgreSQL server as a study's storage, with several drivers at once."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import optuna
import pytest
from faults.server import Server
from make_sweep import evaluation, open_study
from optuna.trial import TrialState

from tuner import drivers, patient_storage
from tuner.drivers import _now, dead_drivers, registered
from tuner.errors import StudyError
from tuner.storage import open_storage, stored_studies

pytestmark = pytest.mark.service

NO_JOURNAL = Path("/nowhere/study.journal")


@pytest.fixture
def database(postgresql) -> str:
    return postgresql.new_database()


def study_of(url: str) -> optuna.Study:
    return optuna.create_study(
        storage=open_storage(url, NO_JOURNAL, owner=True), study_name="s", direction="maximize", load_if_exists=True
    )


def start(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *arguments], stdout=subprocess.PIPE, text=True, cwd="/"
    )


def test_study_is_kept_and_read_by_another_process(database):
    study = study_of(database)
    trial = study.ask()
    trial.report(0.25, 111)
    trial.report(0.5, 1000)
    study.tell(trial, state=TrialState.PRUNED)
    (read,) = optuna.load_study(study_name="s", storage=open_storage(database, NO_JOURNAL)).get_trials()
    assert read.state == TrialState.PRUNED
    assert read.intermediate_values == {111: 0.25, 1000: 0.5}


def test_reader_of_an_empty_database_makes_no_tables(database):
    with pytest.raises(StudyError, match=r"voxtune:\*\*\*@127.* holds no study: no trial was begun yet"):
        open_storage(database, NO_JOURNAL)
    with pytest.raises(StudyError, match="holds no study"):
        open_storage(database, NO_JOURNAL)


def test_studies_of_an_empty_database_are_none(database):
    assert stored_studies(database) == []
    study_of(database)
    assert stored_studies(database) == ["s"]


def test_wrong_password_is_told_without_showing_it(postgresql):
    with pytest.raises(StudyError, match=r"storage: postgresql://voxtune:\*\*\*@.* refused user 'voxtune'") as caught:
        open_storage(postgresql.url(password="wrong-secret"), NO_JOURNAL, owner=True)
    assert "wrong-secret" not in str(caught.value)


def test_unknown_database_is_named(postgresql):
    with pytest.raises(StudyError, match=r'database "nowhere" does not exist; check host, port and database name'):
        open_storage(postgresql.url("nowhere"), NO_JOURNAL, owner=True)


@pytest.mark.slow
def test_drivers_that_begin_together_on_an_empty_database(database):
    code = """
        import sys
        from pathlib import Path
        import optuna
        from tuner.storage import open_storage
        sys.stdin.readline()
        storage = open_storage(sys.argv[1], Path("x"), owner=True)
        optuna.create_study(storage=storage, study_name="s", load_if_exists=True)
        print("ready")
    """
    started = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code), database],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(4)
    ]  # fmt: skip
    time.sleep(3)  # all have imported what they need and wait
    for process in started:
        process.stdin.write("\n")
        process.stdin.flush()
    ends = [process.communicate(timeout=60) for process in started]
    assert [out for out, _ in ends] == ["ready\n"] * 4, ends
    assert stored_studies(database) == ["s"]


CLAIM = """
    import os, sys, threading
    from pathlib import Path
    import optuna
    from optuna.trial import TrialState
    from tuner.storage import open_storage
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.load_study(study_name="s", storage=open_storage(sys.argv[1], Path("x"), owner=True))
    def work():
        while study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            trial = study.ask()
            if trial.number < 40:
                os.write(1, b"%d\\n" % trial.number)  # print would write number and line end apart, a thread between
                trial.report(0.5, 1000)
            study.tell(trial, 0.5)
    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
"""


@pytest.mark.slow
def test_waiting_trials_are_claimed_once_by_processes_and_their_threads(database):
    study = study_of(database)
    for _ in range(40):
        study.enqueue_trial({})
    started = [start(CLAIM, database) for _ in range(2)]
    claimed = [int(line) for process in started for line in process.communicate(timeout=120)[0].split()]
    assert Counter(claimed) == dict.fromkeys(range(40), 1)
    assert [process.returncode for process in started] == [0, 0]
    trials = [trial for trial in study.get_trials() if trial.number < 40]
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}


DRIVE = """
    import sys, time
    from pathlib import Path
    import optuna
    from tuner.drivers import registered
    from tuner.storage import open_storage
    study = optuna.load_study(study_name="s", storage=open_storage(sys.argv[1], Path("x"), owner=True))
    with registered(study, sys.argv[2]):
        print("at work", flush=True)
        time.sleep(60)
"""


def test_driver_is_dead_at_once_when_its_process_is_killed(database):
    study = study_of(database)
    with registered(study, "this"):
        process = start(DRIVE, database, "other")
        assert process.stdout.readline() == "at work\n"
        assert dead_drivers(study) == set()
        os.kill(process.pid, signal.SIGKILL)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, though its parent has not noticed yet
        assert dead_drivers(study) == {"other"}
        process.communicate()
        assert dead_drivers(study) == {"other"}
    assert dead_drivers(study) == {"this", "other"}


def test_driver_on_another_host_is_dead_90_seconds_after_its_beat(database):
    study = study_of(database)
    with registered(study, "here"):
        known = study.user_attrs["driver:here"]
        now = known["beat"]
        assert abs(now - time.time()) < 5  # the server's clock is this machine's
        for name, age in {"fresh": 80, "old": 100}.items():
            study.set_user_attr(f"driver:{name}", {**known, "host": "node-7", "beat": now - age})
        assert dead_drivers(study) == {"old"}


def test_driver_renews_its_beat(database, monkeypatch):
    monkeypatch.setattr(drivers, "BEAT_SECONDS", 0.2)
    study = study_of(database)
    with registered(study, "this"):
        first = study.user_attrs["driver:this"]["beat"]
        deadline = time.monotonic() + 20
        while study.user_attrs["driver:this"]["beat"] < first + 0.3:
            assert time.monotonic() < deadline, "no other beat came"
            time.sleep(0.05)


@pytest.fixture
def own_server():
    """A server that may be stopped."""
    with tempfile.TemporaryDirectory(prefix="voxtune-pg-") as folder:
        Path(folder).chmod(0o755)
        server = Server.start(Path(folder) / "server")
        yield server
        server.end()


def test_a_driver_waits_for_a_server_that_is_restarted(own_server):
    study = open_study(open_storage(own_server.url, NO_JOURNAL, owner=True))
    number = study.ask().number
    own_server.stop()
    back = threading.Timer(3.0, own_server.begin)
    back.start()
    study.report(number, 111, evaluation(0.5, 111))
    back.join()
    study.plan(3)
    assert _now(study.optuna) == pytest.approx(time.time(), abs=60)
    assert study.trials()[number].intermediate_values == {111: 0.5}
    assert len(study.trials()) == 3


def test_a_server_that_stays_away_is_named_and_then_not_waited_for(own_server, monkeypatch):
    monkeypatch.setattr(patient_storage, "PATIENCE", 2.0)
    study = open_study(open_storage(own_server.url, NO_JOURNAL, owner=True))
    number = study.ask().number
    own_server.stop()
    with pytest.raises(StudyError) as error:
        study.report(number, 111, evaluation(0.5, 111))
    assert re.match(
        r"storage: postgresql://voxtune:\*\*\*@127.0.0.1:\d+/postgres could not be reached", str(error.value)
    )
    assert "check that the server runs, then go on by `voxtune resume`" in str(error.value)
    monkeypatch.setattr(patient_storage, "PATIENCE", 60.0)
    began = time.monotonic()
    with pytest.raises(StudyError):
        study.release([number])
    assert time.monotonic() - began < 30
