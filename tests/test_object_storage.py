"""States and models of trials in a bucket, by the protocol of S3 spoken by a server on this machine."""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from services import free_port

from cluster.connect import connect
from cluster.errors import ClusterError
from tuner.config import SweepConfig
from tuner.directory import SweepDirectory
from tuner.object_storage import ObjectStorage, check_writable
from tuner.sweep import resume_sweep, run_sweep

pytestmark = [pytest.mark.ray, pytest.mark.slow]

SERVER = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=int(sys.argv[1]))
server.start()
print("ready", flush=True)
sys.stdin.read()
"""
ACCESS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_EC2_METADATA_DISABLED": "true"}


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """The URI of an empty bucket."""
    os.environ.update(ACCESS)  # before Ray's workers come up, which inherit it
    port = free_port()
    command = [sys.executable, "-c", SERVER, str(port)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        assert "ready\n" in iter(process.stdout.readline, "")
        request = urllib.request.Request(f"http://127.0.0.1:{port}/voxtune", method="PUT")
        urllib.request.urlopen(request).close()
        yield f"s3://voxtune/sweeps?region=us-east-1&scheme=http&endpoint_override=127.0.0.1:{port}"
        process.kill()


def sweep(uri: str) -> SweepConfig:
    return SweepConfig.model_validate(
        {
            "name": "bucket",
            "trainable": "trainables.toy:ToyRun",
            "checkpoints": uri,
            "space": {"learning_rate": {"float": [1e-4, 1e-2], "log": True}},
            "budget": {"unit": "steps", "maximum": 900},
            "search": {"trials": 4, "sampler": "random"},
            "confirm": {"top": 0},
        }
    )


def test_files_in_a_bucket(bucket: str) -> None:
    files = ObjectStorage(bucket, "heart")
    assert files.names() == []
    files.put("trial/attempt_1/state.pt", lambda path: path.write_bytes(b"1" * 100_000))
    files.put("trial/attempt_1/state.pt", lambda path: path.write_bytes(b"2" * 100_000))
    assert files.names("trial") == ["trial/attempt_1/state.pt"]
    with files.fetched("trial/attempt_1/state.pt") as path:
        assert path.read_bytes() == b"2" * 100_000
    files.remove("trial")
    assert files.names() == []
    with pytest.raises(FileNotFoundError), files.fetched("trial/attempt_1/state.pt"):
        pass


def test_a_sweep_keeps_its_states_in_a_bucket(bucket: str, tmp_path: Path) -> None:
    results = run_sweep(sweep(bucket), runs=tmp_path)
    assert set(results.trials["state"]) <= {"COMPLETE", "PRUNED"}
    directory = SweepDirectory(tmp_path / "bucket")
    assert not list(directory.checkpoints.iterdir())
    assert [trial.user_attrs.get("not_saved") for trial in results.sweep_trials] == [None] * 4
    assert ACCESS["AWS_SECRET_ACCESS_KEY"] not in json.dumps(json.loads(directory.environment_file.read_text()))
    assert len(resume_sweep(directory, trials=5).trials) == 5


def test_a_bucket_that_is_not_there(bucket: str, tmp_path: Path) -> None:
    elsewhere = bucket.replace("s3://voxtune/", "s3://another/")
    with connect() as cluster, pytest.raises(ClusterError, match=r"checkpoints: node .* can't write to s3://another/"):
        check_writable(ObjectStorage(elsewhere, "heart"), cluster.nodes)
