"""The files that `voxtune cluster` writes.

Those for `ray up` are checked by Ray itself: prepared as it prepares them, against its schema. Of KubeRay no package
carries the schema, so that its manifest is checked against the field names and values of its API's documentation alone.
"""

import re
import subprocess
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import home_with_token, run_voxtune

from tuner.config import SweepConfig

SWEEP = {
    "name": "Hippo.campus_1",
    "dataset": {"path": "/data/Hippocampus", "folds": 3},
    "space": {"learning_rate": {"float": [1e-4, 1e-2], "log": True}},
    "budget": {"maximum": 1e9},
    "resources": {"cpus_per_trial": 2, "gpus_per_trial": 0.25},
}

Voxtune = Callable[..., str]


@pytest.fixture
def voxtune(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Voxtune:
    """Runs a command in a folder with sweep.yaml, at a home with a token. Returns what it wrote, or complained of."""
    home_with_token(tmp_path, "secret-of-the-cluster", monkeypatch)

    def run(*arguments: object, sweep: Mapping[str, Any] = SWEEP, code: int = 0) -> str:
        (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(dict(sweep)))
        ended = run_voxtune("cluster", *arguments, monkeypatch=monkeypatch, capsys=capsys)
        assert ended.code == code, ended.err
        assert "secret-of-the-cluster" not in ended.out + ended.err
        return ended.err if code else ended.out

    return run


def with_resources(**resources: object) -> dict[str, Any]:
    return {**SWEEP, "resources": resources}


AWS = ("aws", "sweep.yaml", "--region", "eu-central-1", "--efs", "fs-0123456789abcdef0")
ONPREM = ("onprem", "sweep.yaml", "--head", "10.0.0.1", "--worker", "10.0.0.2", "--ssh-user", "vox")
KUBERAY = ("kuberay", "sweep.yaml", "--image", "registry/voxtune:1")


def prepared(text: str) -> dict[str, Any]:
    """The file as `ray up` prepares it. Raises what Ray raises if it does not suit its schema."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = prepare_config(yaml.safe_load(text))
    validate_config(config)
    return config


def assert_shell(commands: list[str]) -> None:
    """Each can be read by the shell that Ray hands it to."""
    assert commands
    for command in commands:
        subprocess.run(["bash", "-n", "-c", command], check=True, capture_output=True)


def assert_safe(config: Mapping[str, Any]) -> None:
    """A token is asked for, on every node the same, and the dashboard is the head's alone."""
    (head,) = (command for command in config["head_start_ray_commands"] if "ray start" in command)
    (worker,) = (command for command in config["worker_start_ray_commands"] if "ray start" in command)
    assert "RAY_AUTH_MODE=token" in head
    assert "RAY_AUTH_MODE=token" in worker
    assert "--dashboard-host=127.0.0.1" in head
    assert "--autoscaling-config=~/ray_bootstrap_config.yaml" in head
    assert config["file_mounts"]["~/.ray/auth_token"] == str(Path.home() / ".ray" / "auth_token")


def test_aws(voxtune: Voxtune) -> None:
    config = prepared(voxtune(*AWS))
    assert config["provider"]["region"] == "eu-central-1"
    assert config["max_workers"] == 4
    head, trials = config["available_node_types"]["head"], config["available_node_types"]["trials"]
    assert head["resources"] == {"CPU": 0, "GPU": 0}
    # Four trials of 2 CPU share a GPU: 8 CPU beside it.
    assert trials["node_config"]["InstanceType"] == "g5.2xlarge"
    assert trials["resources"] == {"CPU": 8, "GPU": 1}
    assert trials["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert trials["max_workers"] == 4
    assert config["docker"]["image"].startswith(f"rayproject/ray:{version('ray')}-py3")
    assert config["docker"]["image"].endswith("-gpu")
    assert "fs-0123456789abcdef0.efs.eu-central-1.amazonaws.com:/ /data" in " ".join(config["initialization_commands"])
    assert f"'ray[default,tune]=={version('ray')}'" in config["setup_commands"][0]
    assert_safe(config)
    for stage in ("initialization", "head_setup", "worker_setup", "head_start_ray", "worker_start_ray"):
        assert_shell(config[f"{stage}_commands"])


@pytest.mark.parametrize(
    ("resources", "instance"),
    [
        ({"cpus_per_trial": 4}, "m6i.xlarge"),
        ({"cpus_per_trial": 5}, "m6i.2xlarge"),
        ({"cpus_per_trial": 4, "gpus_per_trial": 1}, "g5.2xlarge"),
        ({"cpus_per_trial": 4, "gpus_per_trial": 0.25}, "g5.4xlarge"),
        ({"cpus_per_trial": 1, "gpus_per_trial": "auto"}, "g5.2xlarge"),
        ({"cpus_per_trial": 8, "gpus_per_trial": 2}, "g5.12xlarge"),
        ({"cpus_per_trial": 8, "gpus_per_trial": 8}, "g5.48xlarge"),
    ],
)
def test_the_smallest_machine_on_aws_that_holds_a_trial(
    voxtune: Voxtune, resources: dict[str, Any], instance: str
) -> None:
    config = prepared(voxtune(*AWS, sweep=with_resources(**resources)))
    assert config["available_node_types"]["trials"]["node_config"]["InstanceType"] == instance
    assert config["docker"]["image"].endswith("-gpu" if "gpus_per_trial" in resources else "-cpu")


def test_aws_as_one_wants_it(voxtune: Voxtune) -> None:
    options = ("--worker", "p5.48xlarge", "--head", "m7i.2xlarge", "--no-spot", "--workers", 2, "--name", "mine")
    config = prepared(voxtune(*AWS, *options))
    head, trials = config["available_node_types"]["head"], config["available_node_types"]["trials"]
    assert head["node_config"]["InstanceType"] == "m7i.2xlarge"
    assert trials["node_config"]["InstanceType"] == "p5.48xlarge"
    assert trials["resources"] == {}
    assert "InstanceMarketOptions" not in trials["node_config"]
    assert (config["cluster_name"], config["max_workers"]) == ("mine", 2)


def test_onprem(voxtune: Voxtune) -> None:
    config = prepared(voxtune(*ONPREM, "--worker", "10.0.0.3", "--ssh-key", "/keys/lab"))
    assert (config["provider"]["head_ip"], config["provider"]["worker_ips"]) == ("10.0.0.1", ["10.0.0.2", "10.0.0.3"])
    assert config["auth"] == {"ssh_user": "vox", "ssh_private_key": "/keys/lab"}
    assert config["available_node_types"]["local.cluster.node"]["min_workers"] == 2
    assert_safe(config)
    assert "$RAY_HEAD_IP:6379" in config["worker_start_ray_commands"][-1]
    for stage in ("head_setup", "worker_setup", "head_start_ray", "worker_start_ray"):
        assert_shell(config[f"{stage}_commands"])


def test_onprem_s_commands_use_its_environment(voxtune: Voxtune, tmp_path: Path) -> None:
    config = prepared(voxtune(*ONPREM, "--venv", "/opt/vox"))
    make, enter, install = config["setup_commands"]
    assert make == "test -x /opt/vox/bin/python || python3 -m venv /opt/vox"
    for _ in range(2):  # entered once, however often `ray up` is run
        subprocess.run(["bash", "-c", enter], check=True)
    assert (tmp_path / ".bashrc").read_text() == "export PATH=/opt/vox/bin:$PATH\n"
    assert install.startswith("pip install --quiet ")


def test_onprem_works_around_what_ray_does_not_do(voxtune: Voxtune) -> None:
    config = prepared(voxtune(*ONPREM))
    head = config["head_start_ray_commands"][-1]
    # Ray's second autoscaler knows no `local` provider; `ray up` sets this variable before the command.
    assert "RAY_enable_autoscaler_v2=0 " in head
    # Without a way to the internet Ray would take 127.0.0.1 for the head's address.
    assert "--node-ip-address=10.0.0.1 " in head
    named = ("onprem", "sweep.yaml", "--head", "alpha", "--worker", "beta", "--ssh-user", "vox")
    assert "--node-ip-address" not in voxtune(*named)


FIELDS: Mapping[str, set[str]] = {
    "RayJob": {"apiVersion", "kind", "metadata", "spec"},
    "spec": {
        "entrypoint",
        "submissionMode",
        "backoffLimit",
        "shutdownAfterJobFinishes",
        "ttlSecondsAfterFinished",
        "metadata",
        "runtimeEnvYAML",
        "rayClusterSpec",
    },
    "rayClusterSpec": {
        "rayVersion",
        "authOptions",
        "enableInTreeAutoscaling",
        "autoscalerOptions",
        "headGroupSpec",
        "workerGroupSpecs",
    },
    "autoscalerOptions": {"version", "idleTimeoutSeconds"},
    "headGroupSpec": {"rayStartParams", "template"},
    "workerGroupSpecs": {"groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template"},
    "pod": {"containers", "volumes", "nodeSelector", "tolerations"},
    "container": {"name", "image", "resources", "env", "volumeMounts"},
}
"""Those of KubeRay's and Kubernetes' fields, by their documentation, that the manifest may use."""


def checked_manifest(text: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Claim, sweep file's ConfigMap and RayJob of a manifest in which every field is known and every name is one."""
    claim, files, job = yaml.safe_load_all(text)
    assert [document["kind"] for document in (claim, files, job)] == ["PersistentVolumeClaim", "ConfigMap", "RayJob"]
    assert (claim["apiVersion"], files["apiVersion"], job["apiVersion"]) == ("v1", "v1", "ray.io/v1")
    for document in (claim, files, job):
        name = document["metadata"]["name"]
        assert re.fullmatch("[a-z]([a-z0-9-]*[a-z0-9])?", name)
        assert len(name) <= 47
    spec = job["spec"]
    cluster = spec["rayClusterSpec"]
    (group,) = cluster["workerGroupSpecs"]
    assert job.keys() <= FIELDS["RayJob"]
    assert spec.keys() <= FIELDS["spec"]
    assert cluster.keys() <= FIELDS["rayClusterSpec"]
    assert cluster["autoscalerOptions"].keys() <= FIELDS["autoscalerOptions"]
    assert cluster["headGroupSpec"].keys() <= FIELDS["headGroupSpec"]
    assert group.keys() <= FIELDS["workerGroupSpecs"]
    assert spec["submissionMode"] in ("K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode")
    assert all(isinstance(value, str) for value in spec["metadata"].values())
    for part in (cluster["headGroupSpec"], group):
        assert all(isinstance(value, str) for value in part["rayStartParams"].values())
        pod = part["template"]["spec"]
        assert pod.keys() <= FIELDS["pod"]
        (container,) = pod["containers"]
        assert container.keys() <= FIELDS["container"]
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]}
        assert container["resources"]["requests"] == container["resources"]["limits"]
    return claim, files, job


def test_kuberay(voxtune: Voxtune) -> None:
    claim, files, job = checked_manifest(voxtune(*KUBERAY))
    spec = job["spec"]
    cluster = spec["rayClusterSpec"]
    assert cluster["rayVersion"] == version("ray")
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["enableInTreeAutoscaling"] is True
    assert cluster["headGroupSpec"]["rayStartParams"] == {"num-cpus": "0"}
    (group,) = cluster["workerGroupSpecs"]
    assert (group["minReplicas"], group["maxReplicas"]) == (0, 4)
    pod = group["template"]["spec"]
    # Four trials of 2 CPU share a GPU.
    assert pod["containers"][0]["resources"]["limits"] == {"cpu": "8", "memory": "32Gi", "nvidia.com/gpu": 1}
    assert pod["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists"}]
    assert pod["volumes"] == [{"name": "data", "persistentVolumeClaim": {"claimName": claim["metadata"]["name"]}}]
    assert claim["spec"]["resources"]["requests"]["storage"] == "100Gi"

    assert job["metadata"]["name"] == files["metadata"]["name"] == "voxtune-hippo-campus-1"
    assert spec["metadata"]["voxtune_sweep"] == "Hippo.campus_1"
    assert spec["backoffLimit"] > 0
    assert spec["shutdownAfterJobFinishes"] is True
    assert yaml.safe_load(spec["runtimeEnvYAML"])["env_vars"]["RAY_JOB_STOP_WAIT_TIME_S"] == "120"

    program, command, sweep, *options = spec["entrypoint"].split()
    assert (program, command, options) == (
        "voxtune",
        "run",
        ["--address", "auto", "--runs", "/data/runs", "--continue"],
    )
    head = cluster["headGroupSpec"]["template"]["spec"]
    mounts = {mount["mountPath"]: mount["name"] for mount in head["containers"][0]["volumeMounts"]}
    assert mounts[str(Path(sweep).parent)] == "sweep"
    assert {"name": "sweep", "configMap": {"name": files["metadata"]["name"]}} in head["volumes"]
    travelled = SweepConfig.model_validate(yaml.safe_load(files["data"][Path(sweep).name]))
    assert travelled == SweepConfig.model_validate(SWEEP)


def test_kuberay_as_one_wants_it(voxtune: Voxtune, tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("case,group\na,1\n")
    options = ("--data", "/data/Spleen", "--workers", 9, "--worker-cpus", 12, "--worker-memory", 64, "--spot")
    volume = ("--volume", "shared", "--volume-size", 7, "--storage-class", "nfs")
    label = ("--node-label", "nvidia.com/gpu.product=NVIDIA-A100-SXM4-80GB")
    sweep = {**SWEEP, "dataset": {"path": "Spleen", "groups_file": "pairs.csv"}, "resources": {"cpus_per_trial": 3}}
    claim, files, job = checked_manifest(voxtune(*KUBERAY, *options, *volume, *label, sweep=sweep))
    (group,) = job["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    pod = group["template"]["spec"]
    assert group["maxReplicas"] == 9
    assert pod["containers"][0]["resources"]["limits"] == {"cpu": "12", "memory": "64Gi"}
    assert pod["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB"}
    assert [toleration["key"] for toleration in pod["tolerations"]] == [
        "cloud.google.com/gke-spot",
        "kubernetes.azure.com/scalesetpriority",
    ]
    assert claim["metadata"]["name"] == "shared"
    assert claim["spec"]["storageClassName"] == "nfs"
    assert claim["spec"]["resources"]["requests"]["storage"] == "7Gi"
    dataset = yaml.safe_load(files["data"]["sweep.yaml"])["dataset"]
    assert (dataset["path"], dataset["groups_file"]) == ("/data/Spleen", "groups.csv")
    assert files["data"]["groups.csv"] == "case,group\na,1\n"


def test_a_variable_s_name_stays_what_it_is(voxtune: Voxtune) -> None:
    url = "postgresql://me:${PASSWORD}@host/studies"
    _, files, _ = checked_manifest(voxtune(*KUBERAY, sweep={**SWEEP, "storage": url}))
    assert yaml.safe_load(files["data"]["sweep.yaml"])["storage"] == url


def test_it_is_written_to_a_file_but_over_none(voxtune: Voxtune, tmp_path: Path) -> None:
    shown = voxtune(*AWS)
    assert voxtune(*AWS, "-o", "aws.yaml") == "Wrote aws.yaml. Look it over, then: ray up aws.yaml\n"
    assert (tmp_path / "aws.yaml").read_text() == shown
    assert "aws.yaml exists already: nothing was written" in voxtune(*AWS, "-o", "aws.yaml", code=2)


@pytest.mark.parametrize(
    ("arguments", "sweep", "message"),
    [
        ((*AWS[:4], "--efs", "data"), SWEEP, "--efs: expected an EFS file system, fs-0123456789abcdef0; got 'data'"),
        (("aws", "sweep.yaml", "--region", "Frankfurt", *AWS[4:]), SWEEP, "--region: expected a region of AWS such as"),
        (
            AWS,
            with_resources(cpus_per_trial=500),
            "--worker: no machine known here has 500 CPU and 0 GPU, which a trial takes (resources)",
        ),
        ((*ONPREM, "--worker", "10.0.0.1"), SWEEP, "--worker: 10.0.0.1 is the head, where trials run too"),
        ((*ONPREM, "--venv", "my env"), SWEEP, "--venv: expected a path without spaces, absolute or under ~"),
        (
            (*KUBERAY, "--worker-cpus", 1),
            SWEEP,
            "--worker-cpus: a trial takes 2 CPU (resources.cpus_per_trial), and a worker would have 1",
        ),
        ((*KUBERAY, "--volume", "My data"), SWEEP, "--volume: a claim's name has lower-case letters, digits and '-'"),
        ((*KUBERAY, "--node-label", "gpu"), SWEEP, "--node-label: expected KEY=VALUE, got 'gpu'"),
        (KUBERAY, {**SWEEP, "dataset": {"path": "Blobs"}}, "dataset.path: must be an absolute path on the cluster's"),
    ],
)
def test_what_can_not_be(voxtune: Voxtune, arguments: tuple[object, ...], sweep: dict[str, Any], message: str) -> None:
    assert message in voxtune(*arguments, sweep=sweep, code=2)


def test_a_token_s_file_may_be_named_from_here(
    voxtune: Voxtune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lab_token").write_text("secret-of-the-cluster")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "lab_token")
    assert prepared(voxtune(*AWS))["file_mounts"]["~/.ray/auth_token"] == str(tmp_path / "lab_token")


def test_ray_up_needs_a_token_in_a_file(voxtune: Voxtune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".ray" / "auth_token").unlink()
    needs = "the cluster's token must lie in the file ~/.ray/auth_token, and"
    assert f"{needs} there is none; make one by `ray get-auth-token --generate`" in voxtune(*AWS, code=2)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "secret-of-the-cluster")
    assert f"{needs} RAY_AUTH_TOKEN alone holds one; make one" in voxtune(*ONPREM, code=2)
