"""What a cluster that grows says of trials that it can never hold: a real head with Ray's autoscaler of today."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from ray.util import get_node_ip_address
from ray_head import RayHead, ray_head
from slow_nodes import HEAD, HEAD_TYPE, SlowNodes

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayHead]:
    """Of a cluster that may add two nodes of 4 CPUs each."""
    config = {
        "cluster_name": "growing",
        "provider": {"type": "external", "module": f"slow_nodes.{SlowNodes.__name__}"},
        "max_workers": 2,
        "idle_timeout_minutes": 5,
        "upscaling_speed": 20.0,
        **{key: {} for key in ("auth", "docker", "file_mounts")},
        **{key: [] for key in ("cluster_synced_files", "initialization_commands")},
        **{f"{when}setup_commands": [] for when in ("", "head_", "worker_")},
        **{f"{kind}_start_ray_commands": [] for kind in ("head", "worker")},
        "head_node_type": HEAD_TYPE,
        "available_node_types": {
            HEAD_TYPE: {"resources": {"CPU": 1}, "node_config": {}, "max_workers": 0},
            "worker": {"resources": {"CPU": 4}, "node_config": {}, "min_workers": 0, "max_workers": 2},
        },
    }
    file = tmp_path_factory.mktemp("growing") / "cluster.json"
    file.write_text(json.dumps(config))
    variables = {
        "RAY_enable_autoscaler_v2": "1",
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
        "RAY_CLOUD_INSTANCE_ID": HEAD,
        "RAY_NODE_TYPE_NAME": HEAD_TYPE,
        "PYTHONPATH": str(Path(__file__).parent),
    }
    with ray_head(cpus=1, variables=variables, options=["--autoscaling-config", str(file)]) as running:
        yield running


def started(head: RayHead, folder: Path, **resources: float) -> "subprocess.Popen[str]":
    """`voxtune run` of a toy sweep whose trials ask for this."""
    sweep = {
        "name": "toy",
        "trainable": "trainables.toy:ToyRun",
        "space": {"learning_rate": {"float": [1e-4, 1e-2]}},
        "budget": {"maximum": 1},
        "resources": resources,
    }
    (folder / "sweep.yaml").write_text(yaml.safe_dump(sweep))
    command = [sys.executable, "-m", "tuner.cli", "run", "sweep.yaml", "--address"]
    return subprocess.Popen(
        [*command, f"{get_node_ip_address()}:{head.port}"],
        cwd=folder,
        env={**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(head.token_file)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("resources", "told"),
    [
        ({"cpus_per_trial": 2, "gpus_per_trial": 1}, "2 CPU and 1 GPU"),
        ({"cpus_per_trial": 3, "workers_per_trial": 3}, "3 times 3 CPU"),
    ],
)
def test_what_no_node_type_can_hold_is_an_error(
    head: RayHead, tmp_path: Path, resources: dict[str, float], told: str
) -> None:
    with started(head, tmp_path, **resources) as process:
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 2
    assert errors == (
        f"error: resources: a trial asks for {told}, and no node type of the cluster's autoscaler can hold it; "
        "lower what a trial asks for, or give the cluster larger nodes, or more of them\n"
    )


def test_what_a_node_to_come_can_hold_is_waited_for(head: RayHead, tmp_path: Path) -> None:
    with started(head, tmp_path, cpus_per_trial=4) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("No node holds a trial yet (4 CPU and 0 GPU): trials wait for one"):
                break
        else:
            pytest.fail(process.stderr.read() if process.stderr else "")
        journal = tmp_path / "runs" / "toy" / "study.journal"
        while not journal.is_file():
            assert process.poll() is None
            time.sleep(0.001)
        process.terminate()
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
