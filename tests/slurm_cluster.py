"""A real Slurm for tests: a controller on this machine, and nodes in namespaces of their own; gone when the tests end.

A node has its own address, process table, host name, /tmp and /dev/shm, as if it were a machine. It shares this one's
file system otherwise, as the nodes of a cluster share a file server.
"""

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import textwrap
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from services import free_port, own_tmp

PROGRAMS = ("sbatch", "slurmctld", "slurmd", "munged", "ip", "unshare", "nsenter")

CONF = """\
ClusterName=voxtune
SlurmctldHost={host}({network}.1)
SlurmctldPort={port}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdSpoolDir={folder}/%n
SlurmdPidFile={folder}/%n.pid
SlurmdLogFile={folder}/%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
{nodes}
PartitionName=main Nodes=ALL Default=YES
PartitionName=first Nodes=n1
"""

NODE = """\
set -e
hostname {name}
mount --make-rprivate /
{own_tmp}
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mount --bind {folder}/hosts /etc/hosts
slurmd -D -N {name} &
wait
"""


def missing_program() -> str | None:
    """What of a Slurm on this machine is not installed."""
    search = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    return next((program for program in PROGRAMS if shutil.which(program, path=search) is None), None)


@dataclass(frozen=True, kw_only=True)
class SlurmNode:
    """One of its nodes."""

    name: str
    init: int
    """The process 1 of its namespaces, as this machine counts."""

    def run(self, *command: str) -> str:
        """What a command prints there."""
        inside = ["nsenter", "--target", str(self.init), "--mount", "--net", "--pid", "--uts"]
        return subprocess.run([*inside, *command], check=True, capture_output=True, text=True).stdout


@dataclass(frozen=True, kw_only=True)
class Slurm:
    """A running Slurm."""

    folder: Path
    """Its own, which all nodes see at the same place, with a folder `shared` in it."""

    nodes: tuple[SlurmNode, ...]

    @property
    def environment(self) -> dict[str, str]:
        """What makes Slurm's commands ask this one."""
        return {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def run(self, *command: str) -> str:
        """What one of Slurm's commands prints."""
        environment = {**os.environ, **self.environment}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
        return done.stdout

    def job(self, number: int) -> dict[str, str]:
        """What Slurm knows of a job."""
        shown = self.run("scontrol", "show", "job", "--oneliner", str(number))
        return dict(word.split("=", 1) for word in shown.split() if "=" in word)


@contextmanager
def slurm_cluster(nodes: int = 2, *, cpus: int = 2) -> Iterator[Slurm]:
    """A Slurm with so many nodes, `n1` and so on, that have so many cores each."""
    with ExitStack() as at_end:
        # Not in /tmp, which a node does not share.
        folder = Path(tempfile.mkdtemp(prefix="vt-slurm-", dir="/var/tmp"))
        at_end.callback(shutil.rmtree, folder, ignore_errors=True)
        names = [f"n{number}" for number in range(1, nodes + 1)]
        network = _bridge(at_end)
        _write_configuration(folder, names, network=network, cpus=cpus)
        _start_munge(folder, at_end)
        environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
        with (folder / "output").open("wb") as output:
            controller = subprocess.Popen(
                ["slurmctld", "-D"], cwd=folder, env=environment, stdout=output, stderr=output
            )
            at_end.callback(_end, controller)
            started = tuple(
                _start_node(name, f"{network}.{10 + number}", folder, environment, output, at_end)
                for number, name in enumerate(names, 1)
            )
        slurm = Slurm(folder=folder, nodes=started)
        _wait_for_nodes(slurm, names)
        yield slurm


def _bridge(at_end: ExitStack) -> str:
    """Make a bridge that is a network for the nodes; returns the first three numbers of its addresses."""
    used = _ip("-4", "-o", "address")
    network = next(f"10.213.{number}" for number in range(1, 255) if f"10.213.{number}." not in used)
    name = _bridge_name()
    _ip("link", "add", name, "type", "bridge")
    at_end.callback(_ip, "link", "delete", name)
    _ip("address", "add", f"{network}.1/24", "dev", name)
    _ip("link", "set", name, "up")
    return network


def _bridge_name() -> str:
    return f"vts{os.getpid()}"


def _write_configuration(folder: Path, names: Sequence[str], *, network: str, cpus: int) -> None:
    (folder / "shared").mkdir()
    (folder / "state").mkdir()
    lines, hosts = [], ["127.0.0.1 localhost"]
    for number, name in enumerate(names, 1):
        (folder / name).mkdir()
        lines.append(f"NodeName={name} NodeAddr={network}.{10 + number} CPUs={cpus} State=UNKNOWN")
        hosts.append(f"{network}.{10 + number} {name}")
    host = os.uname().nodename
    hosts.append(f"{network}.1 {host}")
    (folder / "hosts").write_text("\n".join(hosts) + "\n")
    nodes = "\n".join(lines)
    conf = CONF.format(host=host, network=network, port=free_port(), folder=folder, nodes=nodes)
    (folder / "slurm.conf").write_text(conf)


def _start_munge(folder: Path, at_end: ExitStack) -> None:
    """By munge the daemons and commands know who it is that speaks to them."""
    key = folder / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(secrets.token_bytes(128))
    files = {"key-file": key, "socket": folder / "munge.socket", "pid-file": folder / "munge.pid"}
    files |= {"log-file": folder / "munge.log", "seed-file": folder / "munge.seed"}
    options = [f"--{name}={file}" for name, file in files.items()]
    process = subprocess.Popen(["munged", "--foreground", "--force", *options], stderr=subprocess.DEVNULL)
    at_end.callback(_end, process)
    for _ in range(100):
        if (folder / "munge.socket").exists():
            return
        time.sleep(0.1)
    raise RuntimeError(f"munged did not start: {(folder / 'munge.log').read_text()}")


def _start_node(
    name: str, address: str, folder: Path, environment: dict[str, str], output: object, at_end: ExitStack
) -> SlurmNode:
    """Start a node's slurmd in namespaces of its own."""
    space = f"{_bridge_name()}{name}"
    _ip("netns", "add", space)
    at_end.callback(_ip, "netns", "delete", space)
    outside = f"{_bridge_name()}.{name[1:]}"
    _ip("link", "add", outside, "type", "veth", "peer", "name", "eth0", "netns", space)
    _ip("link", "set", outside, "master", _bridge_name(), "up")
    _ip("-n", space, "address", "add", f"{address}/24", "dev", "eth0")
    for device in ("lo", "eth0"):
        _ip("-n", space, "link", "set", device, "up")
    own = ["unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"]
    script = textwrap.dedent(NODE).format(name=name, folder=folder, own_tmp=own_tmp())
    command = ["nsenter", f"--net=/run/netns/{space}", *own, "bash", "-c", script]
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output)
    at_end.callback(_kill, process)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    for _ in range(100):
        if found := children.read_text().split():
            return SlurmNode(name=name, init=int(found[0]))
        time.sleep(0.05)
    raise RuntimeError(f"node {name} did not start: {(folder / 'output').read_text()}")


def _wait_for_nodes(slurm: Slurm, names: Sequence[str]) -> None:
    for _ in range(300):
        try:
            states = slurm.run("sinfo", "--noheader", "--Node", "--partition=main", "--format=%T").split()
        except RuntimeError:  # the controller does not answer yet
            states = []
        if states == ["idle"] * len(names):
            return
        time.sleep(0.1)
    raise RuntimeError(f"Slurm's nodes are {states}: {(slurm.folder / 'output').read_text()[-3000:]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process in order; by force if that does not help."""
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a node at once: with the first process of its namespaces all others end."""
    process.kill()
    process.wait()


def _ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    with slurm_cluster() as shown:
        print(f"SLURM_CONF={shown.environment['SLURM_CONF']}", flush=True)
        with suppress(KeyboardInterrupt):
            signal.pause()
