"""Where a sweep runs: on a Ray of its own, on one that runs already, or on three hosts that share no /tmp.

Each place starts what it needs when it is first used and ends that, and only that, at the end.
"""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

import hosts as namespaces
from hosts import Host

QUICK_TO_MISS_A_HOST = {
    "RAY_health_check_initial_delay_ms": "0",
    "RAY_health_check_period_ms": "2000",
    "RAY_health_check_timeout_ms": "4000",
    "RAY_health_check_failure_threshold": "5",
    # A host that is cut off notices by these, of minutes by default, that its head is gone, and ends its trial.
    "RAY_grpc_client_keepalive_time_ms": "10000",
    "RAY_grpc_client_keepalive_timeout_ms": "10000",
}
TOKEN = "4c1d0e9ab27f5836" * 4
PATH = os.pathsep.join(map(str, (Path(__file__).parents[2], Path(__file__).parents[1])))
STORE = 100_000_000
"""Bytes of an object store: small, so that it can be filled."""

RAY_STARTS = 6

RAY = f"""
import sys, ray
ray.init(address="local", num_cpus=2, object_store_memory={STORE}, include_dashboard=False, log_to_driver=False)
print(ray.get_runtime_context().gcs_address, flush=True)
sys.stdin.read()
"""


@dataclass
class Place:
    """This machine, with a Ray of the sweep's own."""

    name: str = "own Ray"
    address: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    """What drivers have there besides what this process has."""

    def enter(self) -> None:
        """Make it ready."""

    def close(self) -> None: ...

    def restore(self) -> None:
        """Have it as it was before a fault."""

    def command(self, folder: Path, *arguments: object) -> list[str]:
        return [*map(str, arguments)]

    def seen(self, folder: Path) -> Path:
        """Where this process sees the sweep's working folder."""
        return folder

    def write(self, folder: Path, name: str, text: str) -> None:
        (folder / name).write_text(text)

    def process(self, node: str, pid: int) -> psutil.Process | None:
        """A process of a trial, as it told of itself; None if it is gone."""
        with contextlib.suppress(psutil.NoSuchProcess):
            found = psutil.Process(pid)
            return found if found.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD) else None
        return None


@dataclass
class Joined(Place):
    """This machine, with a Ray that serves one sweep after another."""

    name: str = "running Ray"
    _process: "subprocess.Popen[str] | None" = None

    def enter(self) -> None:
        """Raises RuntimeError where Ray, which gives itself 30 s to start, does not in several tries."""
        for _ in range(RAY_STARTS):
            if self._process is not None and self._process.poll() is None:
                return
            self._start()
        raise RuntimeError("Ray does not start on this machine")

    def _start(self) -> None:
        environment = {**os.environ, "PYTHONPATH": PATH}
        command = [sys.executable, "-c", RAY]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen(command, text=True, env=environment, **pipes)
        assert self._process.stdout
        address = self._process.stdout.readline().strip()
        self.address = ("--address", address)
        if not address:
            self._process.wait()

    def close(self) -> None:
        if self._process:
            assert self._process.stdin
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
            self._process.wait(timeout=300)
            self._process = None


@dataclass
class Hosts(Place):
    """Three hosts with a core each, joined by a switch; the driver is on the first, the head of their Ray."""

    name: str = "three hosts"
    address: tuple[str, ...] = ("--address", "auto")
    up: list[Host] = field(default_factory=list)
    _stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def enter(self) -> None:
        if not self.up:
            token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}
            self.environment = {**token, **QUICK_TO_MISS_A_HOST, "HOME": str(namespaces.HOME)}
            made = namespaces.hosts(["alpha", "beta", "gamma"], PYTHONPATH=PATH, **token, **QUICK_TO_MISS_A_HOST)
            self.up = self._stack.enter_context(made)
            self._stack.enter_context(namespaces.ray_on(self.up))

    def close(self) -> None:
        self.up = []
        self._stack.close()

    def restore(self) -> None:
        """Ray on every host: one that was cut off or killed has to be started again; where it does not start, all."""
        head = self.up[0]
        for host in self.up[1:]:
            host.put_back()
            if not self._raylets(host):
                address = f"{head.address}:6379"
                common = ["--num-cpus", 1, "--object-store-memory", STORE, "--block", "--disable-usage-stats"]
                start = [sys.executable, "-m", "ray.scripts.scripts", "start", *common]
                quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
                host.start(*start, "--node-ip-address", host.address, "--address", address, **quiet)
        try:
            namespaces._wait(head, f"{head.address}:6379", nodes=3)
        except pytest.fail.Exception:
            self.close()

    def raylet_of(self, host: Host) -> psutil.Process:
        return next(iter(self._raylets(host)))

    def _raylets(self, host: Host) -> list[psutil.Process]:
        return [process for process in self._processes(host) if process.name() == "raylet"]

    def command(self, folder: Path, *arguments: object) -> list[str]:
        enter = self.up[0].command("env", f"--chdir={folder}", *arguments)
        return enter

    def seen(self, folder: Path) -> Path:
        return self.up[0].path(folder)

    def write(self, folder: Path, name: str, text: str) -> None:
        self.up[0].write(folder / name, text)

    def process(self, node: str, pid: int) -> psutil.Process | None:
        host = next(host for host in self.up if host.name == node)
        for process in self._processes(host):
            with contextlib.suppress(OSError, psutil.NoSuchProcess):
                lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
                inner = next(line for line in lines if line.startswith("NSpid:")).split()[-1]
                if int(inner) == pid and process.status() != psutil.STATUS_ZOMBIE:
                    return process
        return None

    @staticmethod
    def _processes(host: Host) -> Iterator[psutil.Process]:
        """All processes of a host, also those that its first one did not start: `nsenter` brought them in."""
        space = Path(f"/proc/{host._pid}/ns/pid").readlink()
        for process in psutil.process_iter():
            with contextlib.suppress(OSError, psutil.NoSuchProcess):
                if Path(f"/proc/{process.pid}/ns/pid").readlink() == space:
                    yield process


def until(condition: Callable[[], object], *, seconds: float, every: float = 0.1, what: str) -> None:
    """Wait for a condition that is looked at so often. Raises TimeoutError that says `what` is the matter."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(what)
        time.sleep(every)
