"""`on_end:` tells a real web server how a sweep ended, and nothing that goes wrong with it matters to the sweep."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from make_sweep import TOY_SWEEP, open_study, play, sweep_directory
from services import free_port

from tuner import on_end
from tuner.config import SweepConfig
from tuner.directory import SweepDirectory
from tuner.drive import Drive
from tuner.errors import SweepFailed, SweepInterrupted
from tuner.on_end import told_at_end
from tuner.storage import open_storage
from tuner.sweep import resume_sweep, run_sweep


class Server:
    """Listens on 127.0.0.1 and keeps what it is sent; `answers` are its status codes, 200 once they are used up."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.posts: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.answers: list[int] = []
        self.answers_after = 0.0
        kept = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                kept.paths.append(self.path)
                kept.posts.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                kept.headers.append(dict(self.headers))
                time.sleep(kept.answers_after)
                self.send_response(kept.answers.pop(0) if kept.answers else 200)
                self.send_header("Location", "/elsewhere")
                self.end_headers()

            do_GET = do_POST  # noqa: N815

            def log_message(self, *arguments: object) -> None: ...

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/hook/secret"


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.http.serve_forever, daemon=True)
    thread.start()
    yield server
    server.http.shutdown()
    server.http.server_close()


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_end, "PAUSES", (0.01, 0.01))


@pytest.fixture
def directory(tmp_path: Path) -> SweepDirectory:
    """A sweep of six trials, one of which failed and one of which was interrupted."""
    directory = sweep_directory(tmp_path / "heart", trials=6)
    study = open_study(open_storage(None, directory.journal, owner=True))
    play(study, 4)
    study.finish(study.ask().number, "error", error="a bug")
    study.ask()
    study.release([5])
    return directory


@contextmanager
def ending(url: str | None, directory: SweepDirectory) -> Iterator[list[str]]:
    told: list[str] = []
    with told_at_end(url, directory, tell=told.append):
        yield told


def log_of(directory: SweepDirectory) -> str:
    return directory.log_file.read_text() if directory.log_file.is_file() else ""


def test_a_finished_sweep_is_told_with_its_best_trial(
    server: Server, directory: SweepDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([100.0, 100.3])
    monkeypatch.setattr(on_end, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    with ending(server.url, directory) as told:
        assert server.posts == []
    best = open_study(open_storage(None, directory.journal, owner=True)).ranking()[0]
    (post,) = server.posts
    assert post == {
        "text": f"Sweep heart finished: 6 trials in 0.3 s, best Dice {best.value:.4f} (trial {best.number})",
        "seconds": 0.3,
        "sweep": "heart",
        "ended": "finished",
        "error": None,
        "best": {
            "trial": best.number,
            "parameters": {**best.params, "optimizer": "adamw"},
            "dice": best.value,
        },
        "trials": {"complete": 2, "pruned": 2, "fail": 1, "interrupted": 1},
        "host": socket.gethostname(),
        "folder": str(directory.root),
    }
    assert server.headers[0]["Content-Type"] == "application/json"
    assert told == []
    assert log_of(directory) == ""


@pytest.mark.parametrize(
    ("error", "ended", "why"),
    [
        (SweepInterrupted("Stopped."), "interrupted", None),
        (KeyboardInterrupt(), "interrupted", None),
        (SweepFailed("no trial gave a result\nand more"), "failed", "no trial gave a result"),
        (AssertionError(), "failed", "AssertionError"),
        (OSError(28, "No space left on device"), "failed", "[Errno 28] No space left on device"),
    ],
)
def test_one_that_failed_or_was_interrupted_is_told_too_and_ends_as_it_would(
    server: Server, directory: SweepDirectory, error: BaseException, ended: str, why: str | None
) -> None:
    with pytest.raises(type(error)) as raised, ending(server.url, directory):
        raise error
    assert raised.value is error
    (post,) = server.posts
    assert (post["ended"], post["error"]) == (ended, why)
    assert post["text"].startswith(f"Sweep heart {ended}: 6 trials in ")
    assert post["text"].endswith(f": {why}" if why else ")")


def test_a_sweep_without_a_study_is_told_without_a_best(server: Server, tmp_path: Path) -> None:
    directory = sweep_directory(tmp_path / "heart")
    with pytest.raises(SweepFailed), ending(server.url, directory):
        raise SweepFailed("Ray did not start")
    (post,) = server.posts
    assert post["best"] is None
    assert set(post["trials"].values()) == {0}


def test_it_is_tried_three_times(server: Server, directory: SweepDirectory) -> None:
    server.answers = [500, 503]
    with ending(server.url, directory) as told:
        pass
    assert len(server.posts) == 3
    assert told == []


def test_who_does_not_want_to_know_is_a_warning_without_the_secret(server: Server, directory: SweepDirectory) -> None:
    server.answers = [404, 302, 500]
    with ending(server.url, directory) as told:
        pass
    assert server.paths == ["/hook/secret"] * 3  # the redirect was not followed
    host = server.url.split("/")[2]
    warning = f"on_end: {host} was not told how the sweep ended: it answered 500 Internal Server Error, 3 times"
    assert told == [f"Warning: {warning}"]
    assert warning in log_of(directory)
    assert "secret" not in log_of(directory)


def test_nobody_there_is_a_warning(directory: SweepDirectory) -> None:
    host = f"127.0.0.1:{free_port()}"
    with pytest.raises(SweepFailed), ending(f"http://{host}/secret", directory) as told:
        raise SweepFailed("no trial gave a result")
    assert told == [f"Warning: on_end: {host} was not told how the sweep ended: Connection refused, 3 times"]


def test_what_is_no_web_server_is_a_warning(directory: SweepDirectory) -> None:
    with socket.socket() as silly:
        silly.bind(("127.0.0.1", 0))
        silly.listen()

        def answer() -> None:
            for _ in range(3):
                connection, _ = silly.accept()
                connection.recv(65536)
                connection.sendall(b"220 mail.example ESMTP\r\n")
                connection.close()

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        with ending(f"http://127.0.0.1:{silly.getsockname()[1]}/", directory) as told:
            pass
        thread.join(5)
    assert told[0].endswith("was not told how the sweep ended: BadStatusLine, 3 times")


def test_who_does_not_answer_is_not_waited_for(
    server: Server, directory: SweepDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_end, "ANSWER_SECONDS", 0.2)
    server.answers_after = 60
    began = time.monotonic()
    with ending(server.url, directory) as told:
        pass
    assert time.monotonic() - began < 30
    assert "no answer within 0.2 s, 3 times" in told[0]


def test_of_an_interrupted_sweep_it_is_tried_once_since_the_batch_system_kills_soon(
    server: Server, directory: SweepDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_end, "INTERRUPTED_SECONDS", 0.2)
    server.answers = [500]
    with pytest.raises(SweepInterrupted), ending(server.url, directory) as told:
        raise SweepInterrupted("Stopped.")
    server.answers_after = 60
    began = time.monotonic()
    with pytest.raises(SweepInterrupted), ending(server.url, directory) as told_too:
        raise SweepInterrupted("Stopped.")
    assert time.monotonic() - began < 30
    assert len(server.posts) == 2
    assert told[0].endswith("was not told how the sweep ended: it answered 500 Internal Server Error")
    assert told_too[0].endswith("was not told how the sweep ended: no answer within 0.2 s")


def test_ctrl_c_while_it_is_told_does_not_change_how_the_sweep_ended(
    directory: SweepDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(on_end, "_sent", interrupt)
    with ending("http://127.0.0.1/", directory) as told:
        pass
    assert told == ["Warning: on_end: 127.0.0.1 was not told how the sweep ended: interrupted"]


def test_run_and_resume_tell_and_one_that_helps_does_not(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(drive: Drive, **options: object) -> None:
        assert (drive.directory.root / "owner.json").is_file()
        drive.began = True
        raise SweepInterrupted("Stopped.")

    monkeypatch.setattr(Drive, "run", stop)
    monkeypatch.setattr("tuner.sweep._check_name", lambda *arguments, **options: None)
    config = SweepConfig.model_validate({**TOY_SWEEP, "on_end": server.url})
    endings: list[Callable[[], object]] = [
        lambda: run_sweep(config, runs=tmp_path),
        lambda: resume_sweep(SweepDirectory(tmp_path / "toy")),
        lambda: run_sweep(config, runs=tmp_path / "elsewhere", join=True),
    ]
    told = []
    for end in endings:
        with pytest.raises(SweepInterrupted):
            end()
        told.append([post["ended"] for post in server.posts])
    assert told == [["interrupted"], ["interrupted"] * 2, ["interrupted"] * 2]


@pytest.mark.ray
@pytest.mark.slow
def test_a_sweep_of_toys_tells_and_leaves_no_secret(
    server: Server, tmp_path: Path, running_ray: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOXTUNE_HOOK", server.url)
    config = SweepConfig.model_validate({**TOY_SWEEP, "on_end": "${VOXTUNE_HOOK}", "resources": {"trials_at_once": 1}})
    results = run_sweep(config, runs=tmp_path, address=running_ray)
    (post,) = server.posts
    assert results.best is not None
    assert (post["ended"], post["best"]["trial"]) == ("finished", results.best.number)
    assert post["best"]["dice"] == results.best.score
    assert post["trials"] == {"complete": len(results.trials), "pruned": 0, "fail": 0, "interrupted": 0}
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and b"secret" in path.read_bytes()]
