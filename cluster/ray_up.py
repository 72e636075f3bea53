"""Clusters that `ray up` starts: on AWS, or on a lab's machines by SSH."""

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from ipaddress import ip_address
from pathlib import Path
from sys import version_info

from cluster.errors import ClusterError
from cluster.requirements import pinned_requirements
from cluster.templating import commented, fill
from cluster.token import find_token
from cluster.trial_size import TrialSize

INSTANCES = {
    "m6i.xlarge": (4, 0),
    "m6i.2xlarge": (8, 0),
    "m6i.4xlarge": (16, 0),
    "m6i.8xlarge": (32, 0),
    "m6i.16xlarge": (64, 0),
    "g5.2xlarge": (8, 1),
    "g5.4xlarge": (16, 1),
    "g5.8xlarge": (32, 1),
    "g5.16xlarge": (64, 1),
    "g5.12xlarge": (48, 4),
    "g5.24xlarge": (96, 4),
    "g5.48xlarge": (192, 8),
}
"""Virtual cores and GPUs (NVIDIA A10G, 24 GiB) of machines on AWS, those with fewer GPUs first, the smaller first."""


@dataclass(frozen=True, kw_only=True)
class AwsCluster:
    """What the template needs to know."""

    name: str
    size: TrialSize
    region: str
    file_system: str
    """An EFS file system, `fs-0123456789abcdef0`, for data and results."""

    workers: int
    """At most so many machines run trials."""

    worker_type: str | None = None
    """An instance type; by default the smallest known one that holds a trial."""

    head_type: str = "m6i.xlarge"
    spot: bool = True
    """Whether workers are spot instances, cheaper and taken away at two minutes' notice."""

    def __post_init__(self) -> None:
        if not re.fullmatch("fs-[0-9a-f]{8,17}", self.file_system):
            raise ClusterError(f"--efs: expected an EFS file system, fs-0123456789abcdef0; got {self.file_system!r}")
        if not re.fullmatch("[a-z]{2}(-[a-z]+)+-[0-9]", self.region):
            raise ClusterError(f"--region: expected a region of AWS such as eu-central-1; got {self.region!r}")

    def render(self) -> str:
        """The file for `ray up`. Raises ClusterError if no known machine holds a trial."""
        worker = self.worker_type or self._smallest()
        cpus, gpus = INSTANCES.get(worker, (None, None))
        options = "nfsvers=4.1,rsize=1048576,wsize=1048576,hard,timeo=600,retrans=2,noresvport"
        host = f"{self.file_system}.efs.{self.region}.amazonaws.com"
        build = "gpu" if self.size.devices else "cpu"
        return fill(
            "aws.yaml",
            {
                "notes": commented(self.size.described()),
                "name": self.name,
                "max_workers": self.workers,
                "region": self.region,
                "image": f"rayproject/ray:{version('ray')}-py{version_info.major}{version_info.minor}-{build}",
                "head_type": self.head_type,
                "worker_type": worker,
                # Of a type that is not known here, `ray up` asks AWS.
                "worker_resources": {} if cpus is None else {"CPU": cpus, "GPU": gpus},
                "market": "InstanceMarketOptions: {MarketType: spot}" if self.spot else "",
                "token_file": _token_file(),
                "mount": f"mountpoint -q /data || sudo mount -t nfs4 -o {options} {host}:/ /data",
                "install": f"pip install --quiet {shlex.join(pinned_requirements())}",
            },
        )

    def _smallest(self) -> str:
        """The first instance type that holds a trial, or all trials that share a GPU."""
        for name, (cpus, gpus) in INSTANCES.items():
            if cpus >= self.size.machine_cpus and bool(gpus) == bool(self.size.devices) and gpus >= self.size.devices:
                return name
        raise ClusterError(
            f"--worker: no machine known here has {self.size.machine_cpus} CPU and {self.size.devices} GPU, which a "
            "trial takes (resources); name an instance type that has"
        )


@dataclass(frozen=True, kw_only=True)
class OnPremCluster:
    """What the template needs to know."""

    name: str
    size: TrialSize
    head: str
    """Address of the machine that runs the head, by which the others reach it."""

    workers: Sequence[str]
    """Addresses of the others."""

    ssh_user: str
    ssh_key: Path | None = None
    environment: str = "~/voxtune-venv"
    """Folder of the virtual environment on each machine, made where it is missing."""

    def __post_init__(self) -> None:
        if self.head in self.workers:
            raise ClusterError(f"--worker: {self.head} is the head, where trials run too; name it once")
        if not re.fullmatch("[~/][A-Za-z0-9_./-]*", self.environment):
            raise ClusterError(f"--venv: expected a path without spaces, absolute or under ~; got {self.environment!r}")

    def render(self) -> str:
        """The file for `ray up`."""
        programs = f"{self.environment}/bin"
        path = f"export PATH={programs}:$PATH"
        # Which of its addresses the others reach, Ray finds out by the internet alone, which a lab may not have.
        own = f"--node-ip-address={self.head} " if _is_number(self.head) else ""
        # The newer autoscaler, which `ray up` asks for, starts no worker of a lab's machines (ray#57153).
        start = "ulimit -n 65536; RAY_enable_autoscaler_v2=0 RAY_AUTH_MODE=token ray start"
        return fill(
            "onprem.yaml",
            {
                "notes": commented(self.size.described()),
                "name": self.name,
                "max_workers": len(self.workers),
                "head": self.head,
                "workers": list(self.workers),
                "ssh_user": self.ssh_user,
                "ssh_key": f"ssh_private_key: {json.dumps(str(self.ssh_key))}" if self.ssh_key else "",
                "token_file": _token_file(),
                "make_environment": f"test -x {programs}/python || python3 -m venv {self.environment}",
                "enter_environment": f"grep -qsF '{path}' ~/.bashrc || echo '{path}' >> ~/.bashrc",
                "install": f"pip install --quiet {shlex.join(pinned_requirements())}",
                "start_head": f"{start} --head --port=6379 {own}--dashboard-host=127.0.0.1 "
                "--autoscaling-config=~/ray_bootstrap_config.yaml",
                "start_worker": f"{start} --address=$RAY_HEAD_IP:6379",
            },
        )


def _is_number(address: str) -> bool:
    """Whether an address is one of the Internet Protocol's, and no name."""
    try:
        ip_address(address)
    except ValueError:
        return False
    return True


def _token_file() -> str:
    """The file on this machine that holds the token. Raises ClusterError if there is none."""
    token = find_token()
    if token is None or token.file is None:
        there = "RAY_AUTH_TOKEN alone holds one" if token else "there is none"
        raise ClusterError(
            f"the cluster's token must lie in the file ~/.ray/auth_token, and {there}; make one by "
            "`ray get-auth-token --generate`"
        )
    return str(token.file.absolute())
