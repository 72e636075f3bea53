"""`voxtune dashboard` shows a sweep in each storage, with the curves of stopped trials, and lets nobody change it."""

import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import Message
from http.client import HTTPConnection
from pathlib import Path
from threading import Thread
from urllib.error import HTTPError

import pytest
from command_line import Ended, home_with_token, run_voxtune
from fake_dashboard import dashboard as ray_dashboard
from make_sweep import open_study, play, sweep_directory
from optuna.artifacts import upload_artifact
from optuna.trial import TrialState

from tuner.announcement import announced
from tuner.artifacts import artifact_store, attach_best
from tuner.directory import SweepDirectory
from tuner.errors import StudyError, UserError
from tuner.owner import own
from tuner.storage import SWEEP, open_storage, stored_name
from tuner.study import SweepStudy
from tuner.study_server import StudyServer

Voxtune = Callable[..., Ended]


@pytest.fixture
def voxtune(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Voxtune:
    """Runs a command in the folder `tmp_path`, with the token `sesame` in its home."""
    home_with_token(tmp_path, "sesame", monkeypatch)
    return lambda *arguments: run_voxtune(*arguments, monkeypatch=monkeypatch, capsys=capsys)


@pytest.fixture
def directory(tmp_path: Path) -> SweepDirectory:
    return sweep_directory(tmp_path / "runs" / "heart")


def begun(directory: SweepDirectory, url: str | None = None) -> SweepStudy:
    study = open_study(open_storage(url, directory.journal, owner=True), name=stored_name(SWEEP, "heart", url))
    play(study, 8)
    return study


@contextmanager
def shown(directory: SweepDirectory) -> Iterator[str]:
    """`voxtune dashboard` as a process. Yields the address of the sweep's study; Ctrl-C ends it."""
    program = Path(sys.executable).with_name("voxtune")
    command = [program, "dashboard", directory.root, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            printed = [process.stdout.readline() for _ in range(3)]
            assert printed[0] == "Ray dashboard: no driver works on this sweep, or it has none yet\n", printed
            assert printed[2].endswith("Ctrl-C ends it.\n"), printed
            yield printed[1].removeprefix("optuna-dashboard: ").strip()
            process.send_signal(signal.SIGINT)
            assert (process.wait(timeout=20), process.stdout.read()) == (0, "")
        finally:
            process.kill()


@pytest.mark.slow
@pytest.mark.service
@pytest.mark.parametrize("storage", ["journal", "sqlite", "postgresql"])
def test_curves_of_stopped_trials(storage: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = {
        "journal": lambda: None,
        "sqlite": lambda: f"sqlite:///{tmp_path}/study.db",
        "postgresql": lambda: request.getfixturevalue("postgresql").new_database(),
    }[storage]()
    directory = sweep_directory(tmp_path / "heart", changes={"storage": url} if url else None)
    study = begun(directory, url)
    attach_best(directory, study.optuna)
    with shown(directory) as address:
        api = address.replace("/dashboard/", "/api/")
        with urllib.request.urlopen(api, timeout=20) as answer:
            trials = json.load(answer)["trials"]
        ((best, artifact),) = ((trial, found) for trial in trials for found in trial["artifacts"])
        assert best["number"] == study.ranking()[0].number
        assert artifact["filename"] == f"sweep_{best['number']:04d}_config.yaml"
        path = f"/artifacts/{address.rpartition('/')[2]}/{best['trial_id']}/{artifact['artifact_id']}"
        with urllib.request.urlopen(address.partition("/dashboard/")[0] + path, timeout=20) as answer:
            assert answer.read() == directory.best_config.read_bytes()
        for method in ("DELETE", "POST", "PUT"):
            with pytest.raises(HTTPError) as refused:
                urllib.request.urlopen(urllib.request.Request(api, method=method), timeout=20)
            assert refused.value.code == 403
    curves = {
        trial["number"]: {value["step"]: value["value"] for value in trial["intermediate_values"]} for trial in trials
    }
    assert curves == {trial.number: trial.intermediate_values for trial in study.trials()}
    stopped = {trial["number"] for trial in trials if trial["state"] == "Pruned"}
    assert stopped == {trial.number for trial in study.trials(TrialState.PRUNED)}
    assert stopped
    assert all(curves[number] for number in stopped)


@contextmanager
def served(directory: SweepDirectory) -> Iterator[str]:
    """A StudyServer in this process, by its address."""
    server = StudyServer(directory, port=0)
    thread = Thread(target=server._server.serve_forever)
    thread.start()
    try:
        yield server.url.partition("/dashboard/")[0]
    finally:
        server._server.shutdown()
        server._server.server_close()
        thread.join()


def test_it_listens_on_this_machine_alone(directory: SweepDirectory) -> None:
    open_study(open_storage(None, directory.journal, owner=True))
    server = StudyServer(directory, port=0)
    try:
        assert server._server.server_address[0] == "127.0.0.1"
    finally:
        server._server.server_close()


def test_artifacts_are_read_and_nothing_beside_them(directory: SweepDirectory, capfd: pytest.CaptureFixture) -> None:
    study = begun(directory)
    attach_best(directory, study.optuna)
    (file,) = directory.artifacts.iterdir()
    page = directory.root / "page.html"
    page.write_text("<script>alert(1)</script>")
    store = artifact_store(directory)
    html = upload_artifact(artifact_store=store, file_path=str(page), study_or_trial=study.optuna)
    (directory.artifacts / "abc").write_text("in the folder, but the study does not know it")

    def asked(path: str, method: str = "GET") -> tuple[int, Message]:
        connection = HTTPConnection(address.removeprefix("http://"), timeout=20)
        connection.request(method, path)  # as it is: urllib and browsers would take `..` out
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer.status, answer.headers

    with served(directory) as address:
        trial = study.ranking()[0]._trial_id
        known = f"/artifacts/0/{trial}/{file.name}"
        for path in (known, f"/artifacts/0/{file.name}", f"/artifacts/0/{html}"):
            status, headers = asked(path)
            assert status == 200
            assert headers["Content-Security-Policy"] == "sandbox"
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert "Access-Control-Allow-Origin" not in headers
        assert asked("/api/studies")[1]["Content-Security-Policy"] is None
        up = (
            "../sweep.yaml",
            "..%2fsweep.yaml",
            "%2e%2e/sweep.yaml",
            "..%5csweep.yaml",
            "%2fetc%2fpasswd",
            "/etc/passwd",
        )
        for folder in (f"/artifacts/0/{trial}", "/artifacts/0", "/artifacts"):
            for path in (*up, "abc", "", "..", ".", "00000000-0000-0000-0000-000000000000"):
                assert asked(f"{folder}/{path}")[0] == 404, path
        assert asked(f"/api{known}", "DELETE")[0] == 403
        assert asked("/api/artifacts/0", "POST")[0] == 403
        file.unlink()  # as if another driver had attached it, in its own directory
        assert asked(known)[0] == 404
    assert capfd.readouterr().err.count("Traceback") == 0


def test_port_that_is_taken(directory: SweepDirectory) -> None:
    begun(directory)
    first = StudyServer(directory, port=0)
    port = int(first.url.split(":")[2].split("/")[0])
    try:
        with pytest.raises(UserError, match=rf"^--port: {port} can't be listened on: Address already in use; choose"):
            StudyServer(directory, port=port)
    finally:
        first._server.server_close()


def test_sweep_that_was_not_begun(directory: SweepDirectory) -> None:
    with pytest.raises(StudyError, match="no trial was begun yet"):
        StudyServer(directory, port=0)
    open_storage(None, directory.journal, owner=True)
    with pytest.raises(StudyError, match=r"^sweep heart: no trial was begun yet$"):
        StudyServer(directory, port=0)


def test_without_optuna_dashboard(directory: SweepDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna_dashboard", None)
    with pytest.raises(UserError, match=r"^optuna-dashboard is not installed: pip install 'voxtune\[dashboard\]'$"):
        StudyServer(directory, port=0)


def test_neither_sweep_nor_cluster(voxtune: Voxtune) -> None:
    for arguments in ((), ("--grafana", "there")):
        ended = voxtune("dashboard", *arguments)
        assert (ended.code, ended.err) == (
            2,
            "error: name a sweep's RUN, or a cluster by --address http://HEAD:8265\n",
        )


def test_a_cluster_that_asks_for_a_token(voxtune: Voxtune, tmp_path: Path) -> None:
    with ray_dashboard(token="sesame") as url:
        ended = voxtune("dashboard", "--address", url)
    token = tmp_path / ".ray" / "auth_token"
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == (
        f"Ray dashboard: {url}\n"
        f"  It asks for a token, the one in {token}: paste what `ray get-auth-token` prints here.\n"
    )


def test_a_cluster_that_lets_anybody_in(voxtune: Voxtune) -> None:
    with ray_dashboard() as url:
        ended = voxtune("dashboard", "--address", url)
    assert ended.code == 0
    assert ended.out.startswith(f"Warning: {url} asks for no token")
    assert ended.out.endswith(f"\nRay dashboard: {url}\n")


def test_grafana_for_the_cluster_of_a_running_sweep(
    voxtune: Voxtune, directory: SweepDirectory, tmp_path: Path
) -> None:
    with ray_dashboard(token="sesame") as url:
        with own(directory.root), announced(directory, url):
            ended = voxtune("dashboard", "heart", "--grafana", "monitoring")
            assert (ended.code, ended.err) == (0, "")
            assert ended.out.startswith("Wrote monitoring. Start both where")
            assert f"{url}/api/prometheus/sd" in (tmp_path / "monitoring" / "prometheus.yml").read_text()
        ended = voxtune("dashboard", "heart", "--grafana", "other")
    assert ended.code == 2
    assert ended.err == (
        f"error: --grafana: no driver works on {directory.root}, so it has no cluster now; name one by --address\n"
    )
    assert not (tmp_path / "other").exists()


def test_a_driver_on_another_host(
    voxtune: Voxtune, directory: SweepDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StudyServer, "serve", lambda self: self._server.server_close())
    begun(directory)
    with own(directory.root), announced(directory, "http://127.0.0.1:8265"):
        owner = directory.root / "owner.json"
        ours = owner.read_text()
        owner.write_text(json.dumps({**json.loads(ours), "host": "node7"}))
        ended = voxtune("dashboard", "heart", "--port", 0)
        assert ended.code == 0
        assert ended.out.startswith(
            "Ray dashboard: http://127.0.0.1:8265 on node7; "
            "from here: ssh -N -L 8265:127.0.0.1:8265 node7, then http://localhost:8265\n"
        )
        ended = voxtune("dashboard", "heart", "--grafana", "monitoring")
        assert (ended.code, ended.err) == (
            2,
            "error: --grafana: the sweep's Ray dashboard is http://127.0.0.1:8265 on node7: run this there\n",
        )
        owner.write_text(ours)
    assert not directory.ray_file.exists()
