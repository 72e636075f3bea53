"""Trials of two processes each, on a real local Ray."""

from pathlib import Path
from typing import Any

import pytest
from make_data import write_dataset
from optuna.trial import TrialState
from pydantic import ValidationError

from cluster.connect import Cluster
from cluster.errors import ClusterError
from cluster.nodes import Node
from trainables.model_file import load_model
from tuner.config import SweepConfig
from tuner.directory import SweepDirectory
from tuner.report_best import for_one_worker
from tuner.sweep import run_sweep
from tuner.utilisation import stints

TWO = {"resources": {"workers_per_trial": 2}, "confirm": {"top": 0}}
TOY = {
    "trainable": "trainables.toy:ToyRun",
    "space": {"learning_rate": {"float": [1e-4, 1e-2], "log": True}, "batch_size": {"choice": [2, 4]}},
    "budget": {"unit": "steps", "maximum": 900},
    "search": {"trials": 4, "stop_early": False, "sampler": "random"},
}


def sweep(**content: Any) -> SweepConfig:
    return SweepConfig.model_validate({"name": "together", **TWO, **content})


@pytest.mark.ray
@pytest.mark.slow
def test_two_workers_train_a_trial_and_stay_for_the_next(tmp_path: Path, running_ray: str) -> None:
    dataset = write_dataset(tmp_path / "Blobs")
    config = sweep(
        dataset={"path": str(dataset)},
        training={"width": 4, "levels": 2, "patch_size": 16, "batch_size": 2, "precision": "fp32"},
        space={"learning_rate": {"float": [1e-3, 1e-2], "log": True}},
        budget={"unit": "voxels", "maximum": 18 * 2 * 16**3},
        search={"trials": 3, "stop_early": False, "sampler": "random"},
    )
    results = run_sweep(config, runs=tmp_path / "runs", address=running_ray)
    assert [trial.state for trial in results.sweep_trials] == [TrialState.COMPLETE] * 3
    assert len(set(stints(results.sweep_trials)["slot"])) == 1  # both places are taken by one trial
    for trial in results.sweep_trials:
        assert trial.user_attrs["voxels"] == 18 * 2 * 16**3
        assert trial.user_attrs["cases"].keys() == results.sweep_trials[0].user_attrs["cases"].keys()
    directory = SweepDirectory(tmp_path / "runs" / "together")
    assert load_model(directory.best_model).patch_size == (16, 16, 16)


@pytest.mark.ray
@pytest.mark.slow
def test_a_trial_that_fails_ends_for_all_its_workers(tmp_path: Path, running_ray: str) -> None:
    space = {"fail_at": {"choice": [0.2, 2.0]}, "fail_with": {"choice": ["nan", "kill"]}}
    config = sweep(**{**TOY, "space": space, "search": {**TOY["search"], "sampler": "grid"}})
    trials = run_sweep(config, runs=tmp_path, address=running_ray).trials.set_index(["fail_at", "fail_with"])
    assert trials["state"].to_dict() == {
        (0.2, "nan"): "FAIL",
        (0.2, "kill"): "FAIL",
        (2.0, "nan"): "COMPLETE",
        (2.0, "kill"): "COMPLETE",
    }
    assert "the loss became nan" in trials.loc[(0.2, "nan"), "error"]
    assert "the trial's process was lost" in trials.loc[(0.2, "kill"), "error"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({**TOY, "budget": {"unit": "seconds", "maximum": 9}}, "seconds differ from worker to worker"),
        (
            {**TOY, "resources": {"workers_per_trial": 2, "gpus_per_trial": 0.5}},
            "2 workers need a GPU each; gpus_per_trial is 0.5",
        ),
    ],
)
def test_what_workers_can_not_share(content: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        sweep(**content)


def test_the_best_configuration_trains_in_one_process() -> None:
    parameters = {"batch_size": 2, "batch_per_worker": True, "learning_rate": 0.01, "learning_rate_scaling": "linear"}
    assert for_one_worker({**parameters, "width": 8}, 4) == {"batch_size": 8, "learning_rate": 0.04, "width": 8}
    assert for_one_worker({"batch_size": 2}, 4) == {"batch_size": 2}
    assert for_one_worker(parameters, 1) == parameters


def test_workers_may_lie_on_several_nodes() -> None:
    nodes = tuple(Node(name=f"node{index}", cpus=3, gpus=1) for index in range(3))
    cluster = Cluster(dashboard=None, nodes=nodes)
    assert cluster.slots(cpus=1, gpus=1, workers=2) == 1
    assert cluster.slots(cpus=1, gpus=0, workers=4) == 2
    with pytest.raises(ClusterError) as raised:
        cluster.slots(cpus=1, gpus=1, workers=4)
    assert str(raised.value) == (
        "resources.workers_per_trial: a trial asks for 4 workers of 1 CPU and 1 GPU, but the cluster holds 3; "
        "lower it, or connect to a larger cluster by --address"
    )
