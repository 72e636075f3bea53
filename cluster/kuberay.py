"""A sweep as a KubeRay RayJob, for `kubectl apply`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version

import yaml

from cluster.errors import ClusterError
from cluster.jobs import ENVIRONMENT
from cluster.sweep_job import NAME, RUNS, SWEEP, VERSION
from cluster.templating import commented, fill
from cluster.trial_size import TrialSize

LONGEST_NAME = 47
"""KubeRay appends to a RayJob's name, and a service's name may have 63 characters."""

SPOT_TAINTS = ("cloud.google.com/gke-spot", "kubernetes.azure.com/scalesetpriority")
"""Of nodes that their cloud may take away: Google's and Azure's. Amazon's have none of their own."""


@dataclass(frozen=True, kw_only=True)
class KubeRayJob:
    """What the template needs to know."""

    sweep: str
    """The sweep's name."""

    files: Mapping[str, str]
    """`sweep.yaml` and, where there is one, the groups file beside it."""

    image: str
    """With Ray in our version, voxtune and its libraries."""

    size: TrialSize
    workers: int
    """At most so many pods run trials."""

    worker_cpus: int
    worker_memory_gib: int
    volume: str = "voxtune"
    """Name of the claim."""

    volume_gib: int = 100
    storage_class: str | None = None
    node_selector: Mapping[str, str] = field(default_factory=dict)
    spot: bool = False
    """Whether workers may run on nodes that can be taken away."""

    def __post_init__(self) -> None:
        if self.size.cpus > self.worker_cpus:
            raise ClusterError(
                f"--worker-cpus: a trial takes {self.size.cpus:g} CPU (resources.cpus_per_trial), and a worker would "
                f"have {self.worker_cpus}"
            )
        if not re.fullmatch("[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", self.volume):
            raise ClusterError(f"--volume: a claim's name has lower-case letters, digits and '-'; got {self.volume!r}")

    @property
    def name(self) -> str:
        """The sweep's name as Kubernetes takes one."""
        plain = re.sub("[^a-z0-9]+", "-", self.sweep.lower())
        return f"voxtune-{plain}"[:LONGEST_NAME].rstrip("-")

    def render(self) -> str:
        """The manifest: a claim, the sweep file, the job."""
        files = dict(self.files)
        gpus = {"nvidia.com/gpu": self.size.devices} if self.size.devices else {}
        return fill(
            "kuberay.yaml",
            {
                "notes": commented(self.size.described()),
                "name": self.name,
                "volume": self.volume,
                "volume_size": f"{self.volume_gib}Gi",
                "storage_class": _block({"storageClassName": self.storage_class} if self.storage_class else {}),
                "sweep": files.pop("sweep.yaml"),
                "groups": "".join(f"{file}: |\n{_indented(text)}" for file, text in files.items()),
                "entrypoint": "voxtune run /etc/voxtune/sweep.yaml --address auto --runs /data/runs --continue",
                "metadata": _block(
                    {NAME: self.sweep, SWEEP: self.sweep, RUNS: "/data/runs", VERSION: version("voxtune")}
                ),
                "environment": _block(ENVIRONMENT),
                "ray": version("ray"),
                "image": self.image,
                "head_cpus": "4",
                "head_memory": "16Gi",
                "max_workers": self.workers,
                "placement": self._placement(),
                "worker_resources": {
                    "cpu": str(self.worker_cpus),
                    "memory": f"{self.worker_memory_gib}Gi",
                    **gpus,
                },
            },
        )

    def _placement(self) -> str:
        """On which nodes workers may run; nodes with GPUs are mostly tainted, so that nothing else takes them."""
        keys = (["nvidia.com/gpu"] if self.size.devices else []) + [*(SPOT_TAINTS if self.spot else ())]
        wanted: dict[str, object] = {"nodeSelector": dict(self.node_selector)} if self.node_selector else {}
        if keys:
            wanted["tolerations"] = [{"key": key, "operator": "Exists"} for key in keys]
        return _block(wanted)


def _block(content: Mapping[str, object]) -> str:
    """As YAML in several lines."""
    return yaml.safe_dump(dict(content), sort_keys=False) if content else ""


def _indented(text: str) -> str:
    return "".join(f"  {line}\n" for line in text.splitlines())
