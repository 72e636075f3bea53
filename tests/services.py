"""Real services for tests: a private PostgreSQL server and a running Ray, gone when the tests end."""

import os
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy

UNPRIVILEGED = "postgres"
"""Whom the server runs as if we are root, which PostgreSQL refuses; the Debian package makes this user."""


@dataclass(frozen=True, kw_only=True)
class PostgreSQL:
    """A server on 127.0.0.1 that asks for the password of its one user, `voxtune`."""

    port: int
    password: str

    def url(self, database: str = "postgres", *, password: str | None = None) -> str:
        return f"postgresql://voxtune:{password or self.password}@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """The URL of a new, empty database."""
        name = f"test_{secrets.token_hex(4)}"
        engine = sqlalchemy.create_engine(self.url(), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text(f"CREATE DATABASE {name}"))
        engine.dispose()
        return self.url(name)


RAY = """
    import sys
    import ray
    context = ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    print(context.address_info["address"], flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="session")
def running_ray() -> Iterator[str]:
    """The address of a Ray with two CPUs, for tests to which it is of no account who started it: a start takes 10 s.

    A Ray that is started here asks for a token, and `ray.init` lets the process that starts it know. One that connects
    does not find out by itself, and could no more after a start of its own: so this process is told beforehand.
    """
    from ray._private.authentication.authentication_token_setup import enable_token_auth_by_default

    enable_token_auth_by_default()
    command = [sys.executable, "-c", textwrap.dedent(RAY)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process.stdout.readline().strip()
        process.stdin.close()


@pytest.fixture(scope="module")
def connected(running_ray: str) -> Iterator[None]:
    """This process as a driver of that Ray."""
    import ray

    ray.init(address=running_ray, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """A running server. Skips where none is installed, unless VOXTUNE_REQUIRE_SERVICES or CI is set."""
    binaries = postgresql_binaries()
    if binaries is None:
        missing("PostgreSQL is not installed; `.ci/services` installs it on Debian")
        return
    folder = Path(tempfile.mkdtemp(prefix="voxtune-pg-"))
    server = PostgreSQL(port=free_port(), password=secrets.token_hex(8))
    try:
        process = start_postgresql(server, binaries, folder)
        try:
            yield server
        finally:
            process.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown: sessions are cut
            process.wait(timeout=20)
    finally:
        shutil.rmtree(folder)


def missing(reason: str) -> None:
    """Skip the test for want of a service; fail it where services are a must."""
    if os.environ.get("VOXTUNE_REQUIRE_SERVICES") or os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def own_tmp() -> str:
    """Shell commands by which a mount namespace has an empty /tmp, but for what there is of voxtune and Python."""
    kept = {Path(__file__).resolve().parents[1], Path(sys.prefix), Path(sys.base_prefix)}
    lines = ["new=$(mktemp -d -p /var/tmp)", "mount -t tmpfs -o mode=1777 tmpfs $new"]
    for path in sorted(path for path in kept if path.is_relative_to("/tmp")):
        there = f"$new/{shlex.quote(str(path.relative_to('/tmp')))}"
        lines += [f"mkdir -p {there}", f"mount --bind {shlex.quote(str(path))} {there}"]
    return "\n".join([*lines, "mount --move $new /tmp", "rmdir $new"])


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def postgresql_binaries() -> Path | None:
    """The folder of the newest server's programs."""
    known = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if known:
        return known[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


def start_postgresql(server: PostgreSQL, binaries: Path, folder: Path) -> subprocess.Popen[bytes]:
    """The server over the data in `folder`, which are made where there are none yet."""
    data = folder / "data"
    password = folder / "password"
    password.write_text(server.password)
    user = None
    if os.geteuid() == 0:
        user = UNPRIVILEGED
        shutil.chown(folder, user)
        shutil.chown(password, user)
    common = {"user": user, "extra_groups": [] if user else None, "cwd": folder}
    initdb = [binaries / "initdb", "-D", data, "-U", "voxtune", "-A", "scram-sha-256", "--pwfile", password]
    if not data.exists():
        subprocess.run([*initdb, "--no-sync"], check=True, capture_output=True, **common)
    log = (folder / "log").open("ab")
    options = {"listen_addresses": "127.0.0.1", "port": server.port, "unix_socket_directories": "", "fsync": "off"}
    arguments = [argument for name, value in options.items() for argument in ("-c", f"{name}={value}")]
    process = subprocess.Popen([binaries / "postgres", "-D", data, *arguments], stdout=log, stderr=log, **common)
    for _ in range(100):
        if process.poll() is not None:
            break
        try:
            sqlalchemy.create_engine(server.url()).connect().close()
        except sqlalchemy.exc.OperationalError:
            time.sleep(0.1)
        else:
            return process
    process.kill()
    raise RuntimeError(f"PostgreSQL did not start: {(folder / 'log').read_text()[-2000:]}")
