"""A Ray head of a test's own, as an administrator starts one: `ray start`, a token, a dashboard on loopback."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

from services import free_port

START_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class RayHead:
    """A running head."""

    url: str
    """Of its dashboard."""

    port: int
    """By which nodes and drivers join it."""

    token_file: Path
    folder: Path
    """Its temporary files and logs."""

    @property
    def token(self) -> str:
        return self.token_file.read_text()


@contextmanager
def ray_head(
    *, cpus: int = 2, variables: Mapping[str, str] | None = None, options: Sequence[str] = ()
) -> Iterator[RayHead]:
    """While the block runs a head with so many CPUs is up; afterwards all its processes are gone.

    `variables` and `options` are more of `ray start`.

    It is found by its ports and folder alone, so that other Rays on this machine are none of its concern.
    """
    # Ray's sockets lie in the folder, and a socket's path may have some 100 characters: not under pytest's.
    folder = Path(tempfile.mkdtemp(prefix="head-"))
    token_file = folder / "token"
    token_file.touch(mode=0o600)
    token_file.write_text(secrets.token_hex(32))
    dashboard, port = free_port(), free_port()
    ports = ("dashboard-agent-listen-port", "ray-client-server-port")
    command = [
        *(f"{Path(sys.executable).parent / 'ray'} start --head --block --disable-usage-stats").split(),
        *(f"--include-dashboard true --dashboard-host 127.0.0.1 --dashboard-port {dashboard}").split(),
        *(f"--node-ip-address 127.0.0.1 --num-cpus {cpus} --num-gpus 0 --temp-dir {folder / 'ray'}").split(),
        *["--min-worker-port", "0", "--max-worker-port", "0", "--object-store-memory", "200000000"],
        *("--port", str(port), *options),
        *(argument for name in ports for argument in (f"--{name}", str(free_port()))),
    ]
    environment = {
        **{name: value for name, value in os.environ.items() if name not in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS")},
        # A job's `python3` is that of the PATH with which Ray was started, as in an activated environment.
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token_file),
        **(variables or {}),
    }
    head = RayHead(url=f"http://127.0.0.1:{dashboard}", port=port, token_file=token_file, folder=folder)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=folder, start_new_session=True)
        try:
            _wait_for(head, process)
            yield head
            assert process.poll() is None, f"the head died: {(folder / 'log').read_text()[-3000:]}"
        finally:
            process.send_signal(signal.SIGTERM)  # `ray start --block` then ends what it started
            try:
                process.wait(timeout=30)
            finally:
                _kill_what_is_left(folder)
                shutil.rmtree(folder, ignore_errors=True)


def _wait_for(head: RayHead, process: subprocess.Popen[bytes]) -> None:
    """Wait until jobs can be submitted."""
    request = Request(f"{head.url}/api/jobs/", headers={"Authorization": f"Bearer {head.token}"})
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            urlopen(request, timeout=5).close()
        except (URLError, OSError):
            time.sleep(0.2)
        else:
            return
    raise RuntimeError(f"the Ray head did not start: {(head.folder / 'log').read_text()[-3000:]}")


def _kill_what_is_left(folder: Path) -> None:
    """End processes of this head that outlived it, known by its folder in their command line or environment."""
    needle = str(folder).encode()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            ours = needle in (process / "cmdline").read_bytes() or needle in (process / "environ").read_bytes()
            if ours and int(process.name) != os.getpid():
                os.kill(int(process.name), signal.SIGKILL)
        except OSError:  # gone meanwhile, or another user's
            continue
