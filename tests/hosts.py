"""Several hosts on this machine: each with its own network address, processes, name, home and temporary files.

They are namespaces of the kernel, joined by a switch. What lies elsewhere on the disk, such as an installed voxtune,
they all see, as hosts on which the same was installed.
"""

import contextlib
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from services import missing, own_tmp

HOME = Path("/tmp")
"""Of each host its own, and empty: the one folder that is not shared."""

SET_UP = f"""
set -e
{own_tmp()}
hostname "$1"
ip link set lo up
echo ready
exec sleep infinity
"""


@dataclass
class Host:
    """A host that is up."""

    name: str
    address: str
    switch: str
    """The namespace of the switch, and the port there has this host's name."""

    init: subprocess.Popen[str]
    environment: Mapping[str, str] = field(default_factory=dict)

    def command(self, *arguments: object) -> list[str]:
        """The command line that runs `arguments` there."""
        enter = ["nsenter", "--target", str(self._pid), "--mount", "--uts", "--net", "--pid", f"--wdns={HOME}"]
        return [*enter, *map(str, arguments)]

    def run(self, *arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
        """Run a command there, to its end."""
        return subprocess.run(self.command(*arguments), env=self._env(), capture_output=True, text=True, **options)

    def start(self, *arguments: object, **options: object) -> subprocess.Popen[str]:
        """Start a command there, which ends with the host at the latest."""
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.Popen(self.command(*arguments), env=self._env(), text=True, **{**pipes, **options})

    def write(self, path: Path, text: str) -> None:
        """Put a text file on the host's own disk."""
        self.run("mkdir", "-p", path.parent, check=True)
        self.run("tee", path, input=text, check=True)

    def path(self, there: Path) -> Path:
        """Where this machine sees a file of the host."""
        return Path(f"/proc/{self._pid}/root{there}")

    def cut_off(self) -> None:
        """Pull the plug of its network."""
        _ip("-n", self.switch, "link", "set", self.name, "down")

    def put_back(self) -> None:
        _ip("-n", self.switch, "link", "set", self.name, "up")

    def end(self) -> None:
        """All its processes."""
        self.init.kill()
        self.init.wait()

    @property
    def _pid(self) -> int:
        """The host's first process as this machine numbers it: the child of the `unshare` that we started."""
        children = Path(f"/proc/{self.init.pid}/task/{self.init.pid}/children").read_text()
        return int(children.split()[0])

    def _env(self) -> dict[str, str]:
        # Ray's niceness is no setting of a cluster: without it (conftest.py) a host's workers give way to other tests.
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("RAY_") or name == "RAY_worker_niceness"
        }
        return {**kept, "HOME": str(HOME), "PATH": f"{Path(sys.executable).parent}:{kept['PATH']}", **self.environment}


@contextlib.contextmanager
def hosts(names: Sequence[str], **environment: str) -> Iterator[list[Host]]:
    """Hosts of these names, up while the block runs. Skips the test where we have no right to make any."""
    if os.geteuid() != 0 or subprocess.run(["ip", "netns", "list"], capture_output=True).returncode:
        missing("hosts in network namespaces need root and iproute2")
    mark = secrets.token_hex(3)
    switch = f"switch-{mark}"
    up: list[Host] = []
    spaces = [switch]
    try:
        _ip("netns", "add", switch)
        _ip("-n", switch, "link", "add", "br0", "type", "bridge")
        _ip("-n", switch, "link", "set", "br0", "up")
        for number, name in enumerate(names, 1):
            space = f"{name}-{mark}"
            _ip("netns", "add", space)
            spaces.append(space)
            _ip("link", "add", "eth0", "netns", space, "type", "veth", "peer", "name", name, "netns", switch)
            _ip("-n", switch, "link", "set", name, "master", "br0", "up")
            address = f"10.87.0.{number}"
            _ip("-n", space, "address", "add", f"{address}/24", "dev", "eth0")
            _ip("-n", space, "link", "set", "eth0", "up")
            unshare = ["unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"]
            process = subprocess.Popen(
                ["nsenter", f"--net=/run/netns/{space}", *unshare, "bash", "-c", SET_UP, "bash", name],
                stdout=subprocess.PIPE,
                text=True,
            )
            up.append(Host(name, address, switch, process, environment))
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        yield up
    finally:
        for host in up:
            host.end()
        for space in spaces:
            subprocess.run(["ip", "netns", "delete", space], check=False)


@contextlib.contextmanager
def ray_on(machines: Sequence[Host], *, cpus: int = 1) -> Iterator[str]:
    """A Ray cluster over these hosts as long as they are up, the first of them its head. Gives the head's HOST:PORT."""
    head, *workers = machines
    address = f"{head.address}:6379"
    common = ["--num-cpus", cpus, "--object-store-memory", 100_000_000, "--block", "--disable-usage-stats"]
    start = [sys.executable, "-m", "ray.scripts.scripts", "start", *common, "--node-ip-address"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    processes = [head.start(*start, head.address, "--head", "--port", 6379, **quiet)]
    _wait(head, address, nodes=1)
    processes += [host.start(*start, host.address, "--address", address, **quiet) for host in workers]
    _wait(head, address, nodes=len(machines))
    yield address
    for process in processes:  # what it started there ends with the hosts
        process.kill()
        process.wait()


NODES = """
import sys, ray
ray.init(address=sys.argv[1], log_to_driver=False)
sys.exit(sum(node["Alive"] for node in ray.nodes()) < int(sys.argv[2]))
"""


def _wait(head: Host, address: str, *, nodes: int) -> None:
    end = time.monotonic() + 90
    while (asked := head.run(sys.executable, "-c", NODES, address, nodes)).returncode:
        if time.monotonic() > end:
            pytest.fail(f"the cluster did not come up: {asked.stderr[-2000:]}")


def _ip(*arguments: object) -> None:
    subprocess.run(["ip", *map(str, arguments)], check=True, capture_output=True, text=True)
