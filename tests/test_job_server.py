"""Finding a cluster's dashboard: what answers, what it asks for, and what is said when it is not as it should be."""

import socket
import time
from pathlib import Path

import pytest
from fake_dashboard import OURS, dashboard
from services import free_port

from cluster.errors import ClusterError
from cluster.job_server import find_job_server


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder, and none of Ray's variables."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def refusal(address: str) -> str:
    with pytest.raises(ClusterError) as raised:
        find_job_server(address)
    return str(raised.value)


def test_a_dashboard_that_lets_anybody_in_gets_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "secret")
    with dashboard() as url:
        found = find_job_server(f"{url}/")
    assert (found.url, found.token) == (url, None)


def test_one_that_asks_for_a_token_gets_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "secret")
    with dashboard(token="secret") as url:
        found = find_job_server(url)
    assert found.token is not None
    assert found.token.secret == "secret"
    assert "secret" not in repr(found)


def test_no_token_and_a_wrong_one(home: Path) -> None:
    with dashboard(token="secret") as url:
        assert refusal(url) == (
            f"{url} asks for a token, and there is none here: put the cluster's into ~/.ray/auth_token, or name the "
            "file that holds it in RAY_AUTH_TOKEN_PATH"
        )
        file = home / ".ray" / "auth_token"
        file.parent.mkdir()
        file.write_text("another")
        assert refusal(url) == (
            f"{url} refuses the token of {file}: it is another cluster's; get this one's by `ray get-auth-token` on "
            "its head"
        )


def test_another_ray() -> None:
    with dashboard(ray="2.9.3") as url:
        ours = ".".join(OURS.split(".")[:2])
        assert refusal(url) == (
            f"the cluster at {url} runs Ray 2.9.3, and this voxtune needs Ray {ours}: start the cluster with "
            f'`pip install "ray[default,tune]=={OURS}"` on every node'
        )


@pytest.mark.parametrize(("ray", "status", "shown"), [(None, 200, ""), (OURS, 404, " (HTTP status 404)")])
def test_something_that_is_no_dashboard(ray: str | None, status: int, shown: str) -> None:
    with dashboard(ray=ray, status=status) as url:
        assert refusal(url) == f"what answers at {url} is no Ray dashboard{shown}; check host and port"


def test_nothing_answers() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    said = refusal(url)
    assert said.startswith(f"no Ray dashboard answers at {url}: [Errno 111] Connection refused. Is the cluster up?")
    assert said.endswith("`ssh -N -L 8265:localhost:8265 HEAD`, and use http://localhost:8265")


def test_something_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.job_server.PATIENCE_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        begin = time.monotonic()
        assert refusal(url).startswith(f"no Ray dashboard answers at {url}: timed out")
        assert time.monotonic() - begin < 5


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("head:8265", "got 'head:8265' (`voxtune run` takes HOST:PORT)"),
        ("auto", "got 'auto' (`voxtune run` takes HOST:PORT)"),
        ("ray://head:10001", "got 'ray://head:10001'"),
        ("http://", "got 'http://'"),
        ("http://head:99999", "got 'http://head:99999': Port out of range 0-65535"),
        ("http://head:8265/?a=b", "got 'http://head:8265/?a=b'"),
    ],
)
def test_an_address_that_is_no_dashboard_s(address: str, said: str) -> None:
    wanted = "--address: expected the address of a Ray dashboard, http://HOST:8265; "
    assert refusal(address) == wanted + said


def test_an_address_with_a_password_is_not_repeated() -> None:
    said = refusal("http://me:secret@head:8265")
    assert "it must hold no user or password" in said
    assert "secret" not in said
