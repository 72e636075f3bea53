"""Several processes train one network as one does: with gloo on this machine's cores."""

import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing as processes
from make_volumes import write_blobs
from torch import nn

from trainables.errors import SettingError
from trainables.protocol import Budget, Evaluation
from trainables.segmentation import SegmentationRun
from trainables.segmentation_config import SegmentationConfig
from trainables.workers import ExchangeClock, SharedBatchNorm, Workers, free_address, leave, meet

pytestmark = pytest.mark.slow

TRAINING = {"width": 4, "levels": 2, "patch_size": 16, "precision": "fp32", "memory_format": "contiguous"}


def together(count: int, work: Callable[..., Any], *arguments: Any) -> list[Any]:
    """What `work(workers, *arguments)` returns in each of `count` processes that have met."""
    address = free_address("127.0.0.1")
    with tempfile.TemporaryDirectory() as folder:
        processes.spawn(_one, args=(count, address, folder, work, arguments), nprocs=count)
        return [torch.load(Path(folder) / str(rank), weights_only=False) for rank in range(count)]


def _one(rank: int, count: int, address: str, folder: str, work: Callable[..., Any], arguments: Any) -> None:
    torch.set_num_threads(1)
    workers = Workers(rank=rank, count=count)
    meet(workers, address=address, device="cpu")
    torch.save(work(workers, *arguments), Path(folder) / str(rank))
    leave()


def run(workers: Workers, volumes: Path, settings: dict[str, Any], seed: int = 0) -> tuple[Evaluation, dict[str, Any]]:
    parameters = {**TRAINING, **settings}
    names = [f"case_{number:03d}" for number in range(1, 7)]
    data = {"volumes": str(volumes), "train": names[:3], "validation": names[3:], "threads": 1}
    data["workers"] = {"rank": workers.rank, "count": workers.count}
    training = SegmentationRun(parameters, data=data, budget=Budget(unit="steps", maximum=12), seed=seed, device="cpu")
    training.advance(4)
    evaluation = training.advance(12)
    return evaluation, {name: value.tolist() for name, value in training._network.state_dict().items()}


def normalise(workers: Workers, whole: torch.Tensor, weights: torch.Tensor) -> dict[str, list[Any]]:
    layer = SharedBatchNorm(3)
    own = whole[workers.part(len(whole)).start : workers.part(len(whole)).stop].clone().requires_grad_()
    own_weights = weights[workers.part(len(whole)).start : workers.part(len(whole)).stop]
    found = layer(own)
    (found * own_weights).sum().backward()
    workers.add_up(layer.parameters(), torch.zeros(()))
    assert own.grad is not None
    assert layer.weight.grad is not None
    return {
        "output": found.tolist(),
        "input gradient": own.grad.tolist(),
        "weight gradient": layer.weight.grad.tolist(),
        "mean": layer.running_mean.tolist(),
        "variance": layer.running_var.tolist(),
    }


def test_batch_norm_over_two_workers_is_that_of_the_whole_batch() -> None:
    generator = torch.Generator().manual_seed(0)
    whole = torch.randn(3, 3, 4, 5, 6, generator=generator) * 2 + 30
    weights = torch.randn(whole.shape, generator=generator)
    reference = nn.BatchNorm3d(3)
    expected_input = whole.clone().requires_grad_()
    expected = reference(expected_input)
    (expected * weights).sum().backward()

    first, second = together(2, normalise, whole, weights)  # a patch, and two
    close = {"atol": 2e-4, "rtol": 1e-4}
    torch.testing.assert_close(torch.tensor(first["output"] + second["output"]), expected.detach(), **close)
    found = torch.tensor(first["input gradient"] + second["input gradient"])
    torch.testing.assert_close(found, expected_input.grad, **close)
    for one in (first, second):
        torch.testing.assert_close(torch.tensor(one["weight gradient"]), reference.weight.grad, **close)
        torch.testing.assert_close(torch.tensor(one["mean"]), reference.running_mean, **close)
        torch.testing.assert_close(torch.tensor(one["variance"]), reference.running_var, **close)


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_blobs(tmp_path_factory.mktemp("workers") / "volumes").folder


@pytest.mark.parametrize("settings", [{"batch_size": 3}, {"batch_size": 2, "normalisation": "instance"}], ids=str)
def test_two_workers_keep_one_network(volumes: Path, settings: dict[str, Any]) -> None:
    (first, network), (second, other) = together(2, run, volumes, settings)
    assert network == other
    assert first.cases == second.cases
    assert list(first.cases) == ["case_004", "case_005", "case_006"]
    assert (first.score, first.metrics, first.budget_used) == (second.score, second.metrics, second.budget_used)
    assert first.facts["voxels"] == 12 * settings["batch_size"] * 16**3
    assert 0 < first.facts["exchange_seconds"] < first.training_seconds


def test_a_batch_for_each_worker(volumes: Path) -> None:
    (evaluation, _), _ = together(2, run, volumes, {"batch_size": 2, "batch_per_worker": True})
    assert evaluation.facts["voxels"] == 12 * 4 * 16**3
    asked = SegmentationConfig(batch_size=2, batch_per_worker=True, learning_rate=0.1, learning_rate_scaling="sqrt")
    assert asked.for_workers(4).learning_rate == pytest.approx(0.2)
    assert asked.for_workers(4).batch_size == 8
    assert asked.for_workers(1) == asked
    with pytest.raises(SettingError, match="batch_size: must be at least 3, one patch for each worker, got 2"):
        SegmentationConfig(batch_size=2).for_workers(3)


def test_who_works_alone_adds_up_with_nobody(volumes: Path) -> None:
    evaluation, _ = run(Workers(), volumes, {"batch_size": 2})
    assert evaluation.facts["exchange_seconds"] == 0


def test_on_a_gpu_the_device_s_own_time_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """With events that say what they were told, in place of a device."""
    times = iter((10.0, 12.5, 20.0, 20.5))

    class Event:
        def __init__(self, *, enable_timing: bool) -> None:
            assert enable_timing
            self.done = False

        def record(self) -> None:
            self.milliseconds = next(times)

        def synchronize(self) -> None:
            self.done = True

        def elapsed_time(self, other: "Event") -> float:
            assert other.done
            return other.milliseconds - self.milliseconds

    monkeypatch.setattr(torch.cuda, "Event", Event)
    clock = ExchangeClock()
    for _ in range(2):
        with clock.measured(torch.device("cuda")):
            pass
    assert clock.seconds() == pytest.approx(0.003)
    assert clock.seconds() == pytest.approx(0.003)  # each is counted once


def test_the_loss_is_that_of_the_whole_batch(volumes: Path) -> None:
    """With the same patches: one worker's, drawn in parts, would differ in their augmentation."""
    still = {"batch_size": 2, "tilt": 0.0, "zoom": 0.0, "intensity_scale": 0.0, "intensity_shift": 0.0, "noise": 0.0}
    settings = {**still, "normalisation": "instance", "loss": "dice_ce", "weight_averaging": 0.0, "learning_rate": 1e-6}
    ((two, _), _), (one, _) = together(2, run, volumes, settings), run(Workers(), volumes, settings)
    assert math.isclose(two.metrics["loss"], one.metrics["loss"], rel_tol=0.05)  # Dice sums over half a batch each
