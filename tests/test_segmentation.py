import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from make_volumes import write_blobs, write_volumes

from trainables.errors import NonFiniteLossError, SettingError
from trainables.graphed_step import GraphedStep
from trainables.inference import segment
from trainables.model_file import load_model
from trainables.precision import resolve_precision
from trainables.protocol import Budget, Evaluation
from trainables.segmentation import SegmentationRun, check_parameters
from trainables.targets import Targets
from trainables.volumes import Volumes
from trainables.work import training_step_flops

SMALL = {"width": 4, "levels": 3, "patch_size": "16x24x16", "batch_size": 2}
PATCH_VOXELS = 16 * 24 * 16
TARGETS = Targets(names=("front", "back"), members=((1,), (2,)), regions=False)


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Volumes:
    return write_blobs(tmp_path_factory.mktemp("segmentation") / "volumes")


def start(
    volumes: Volumes,
    *,
    unit: str = "steps",
    maximum: float = 12,
    seed: int = 0,
    device: str = "cpu",
    formats: dict[str, Any] | None = None,
    **settings: Any,
) -> SegmentationRun:
    return SegmentationRun(
        SMALL | settings,
        data={
            "volumes": str(volumes.folder),
            "train": volumes.names[:4],
            "validation": volumes.names[4:],
            "threads": 1,
            "formats": formats or {},
        },
        budget=Budget(unit=unit, maximum=maximum),  # type: ignore[arg-type]
        seed=seed,
        device=device,
    )


def without_times(evaluation: Evaluation) -> Evaluation:
    facts = {
        key: value for key, value in evaluation.facts.items() if not key.endswith("_seconds") and key != "peak_gib"
    }
    return dataclasses.replace(evaluation, training_seconds=0.0, evaluation_seconds=0.0, facts=facts)


def test_it_learns(volumes: Volumes) -> None:
    run = start(volumes, maximum=80, learning_rate=0.02)

    first, last = run.advance(3), run.advance(80)

    assert last.score > 0.8
    assert last.score > first.score + 0.2
    assert last.metrics["loss"] < first.metrics["loss"]


def test_an_evaluation_says_what_was_used_and_found(volumes: Volumes) -> None:
    run = start(volumes)
    evaluation = run.advance(12)

    assert (evaluation.steps, evaluation.budget_used, run.used) == (12, 12, 12)
    assert set(evaluation.cases) == {"case_005", "case_006"}
    table = np.array([[case["class1"], case["class2"]] for case in evaluation.cases.values()])
    assert evaluation.metrics["dice_class1"] == pytest.approx(table[:, 0].mean())
    assert evaluation.metrics["dice_class2"] == pytest.approx(table[:, 1].mean())
    assert evaluation.score == pytest.approx(table.mean())
    assert evaluation.facts["voxels"] == 12 * 2 * PATCH_VOXELS
    assert evaluation.facts["precision"] == "fp32"
    assert evaluation.facts["device"] == "cpu"
    assert 0.1 < evaluation.facts["peak_gib"] < 8
    assert 0 < evaluation.facts["data_seconds"] < evaluation.training_seconds
    assert evaluation.evaluation_seconds > 0


@pytest.mark.parametrize("settings", [{}, {"dropout": 0.2, "weight_averaging": 0.0, "noise": 0.2, "flips": "x"}])
def test_rungs_and_interruptions_change_nothing(volumes: Volumes, tmp_path: Path, settings: dict[str, Any]) -> None:
    straight = without_times(start(volumes, **settings).advance(12))

    run = start(volumes, **settings)
    run.advance(2)
    run.advance(7)
    torch.save(run.state_dict(), tmp_path / "state.pt")
    stepwise = without_times(run.advance(12))
    resumed = start(volumes, **settings)
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))

    assert without_times(resumed.advance(12)) == stepwise
    assert stepwise.cases == straight.cases
    assert stepwise.score == straight.score


def test_auto_is_what_was_measured_and_a_users_choice_is_obeyed(volumes: Volumes) -> None:
    layouts = {"bf16": "contiguous", "fp32": "channels_last"}
    measured = {"cpu": {"precision": "bf16", "memory_format": layouts}, "NVIDIA H100": {"precision": "fp16"}}

    def trained_in(**settings: Any) -> tuple[str, str]:
        facts = start(volumes, maximum=1, formats=measured, **settings).advance(1).facts
        return facts["precision"], facts["memory_format"]

    assert trained_in() == ("bf16", "contiguous")
    assert trained_in(precision="fp32") == ("fp32", "channels_last")
    assert trained_in(memory_format="channels_last") == ("bf16", "channels_last")


def test_where_devices_differ_the_estimate_is_of_what_takes_the_most(volumes: Volumes) -> None:
    def estimate(*precisions: str) -> float:
        formats = {f"device {number}": {"precision": name} for number, name in enumerate(precisions)}
        data = {"volumes": str(volumes.folder), "validation": [], "formats": formats}
        return SegmentationRun.estimate_memory({**SMALL, "patch_size": 64}, data=data, device="cuda")

    assert estimate("fp16") == estimate()
    assert estimate("fp32", "fp16") == estimate("fp32") > estimate("fp16")


@pytest.mark.parametrize("settings", [{"micro_batch": 1}, {"activation_checkpointing": True}], ids=str)
def test_ways_to_save_memory_learn_too(volumes: Volumes, settings: dict[str, Any]) -> None:
    assert start(volumes, maximum=80, learning_rate=0.02, **settings).advance(80).score > 0.75


def test_the_seed_decides(volumes: Volumes) -> None:
    torch.manual_seed(5)
    first = start(volumes).advance(4)
    torch.manual_seed(6)
    again, other = start(volumes).advance(4), start(volumes, seed=1).advance(4)

    assert again.metrics == first.metrics
    assert other.metrics["loss"] != first.metrics["loss"]


def test_a_snapshot_is_not_changed_by_further_training(volumes: Volumes) -> None:
    run = start(volumes)
    run.advance(2)
    before = run.state_dict()
    kept = {name: tensor.clone() for name, tensor in before["network"].items()}

    run.advance(4)

    assert all(torch.equal(tensor, kept[name]) for name, tensor in before["network"].items())


def test_voxels_are_counted_with_batch_and_padding(volumes: Volumes) -> None:
    per_step = 2 * PATCH_VOXELS
    run = start(volumes, unit="voxels", maximum=10 * per_step)

    assert run.advance(3 * per_step).steps == 3
    evaluation = run.advance(3 * per_step + 1)
    assert (evaluation.steps, evaluation.budget_used) == (4, 4 * per_step)
    assert run.advance(10 * per_step).steps == 10


def test_flops_are_those_of_the_network(volumes: Volumes) -> None:
    run = start(volumes, unit="flops", maximum=1e12)

    evaluation = run.advance(1.0)

    model_flops = training_step_flops(run.network_config, (16, 24, 16), 2)
    assert evaluation.steps == 1
    assert evaluation.budget_used == model_flops > 1e6


def test_seconds_are_those_of_training(volumes: Volumes) -> None:
    evaluation = start(volumes, unit="seconds", maximum=1.0).advance(0.3)

    assert 0.3 <= evaluation.budget_used < 1.0
    assert evaluation.budget_used == evaluation.training_seconds
    assert evaluation.steps >= 1


def test_a_loss_that_is_not_finite_stops_the_run_at_its_step(volumes: Volumes) -> None:
    run = start(volumes, optimizer="sgd", learning_rate=1e30, normalisation="none", warmup=0.0)

    with pytest.raises(NonFiniteLossError) as error:
        run.advance(12)

    assert str(error.value) == (
        "the loss became nan by step 2, after 2 of 12 steps of training; try a lower learning_rate"
    )


def test_the_saved_model_is_what_was_evaluated(volumes: Volumes, tmp_path: Path) -> None:
    run = start(volumes, maximum=40)
    evaluation = run.advance(40)

    run.save_model(tmp_path / "model.pt")
    model = load_model(tmp_path / "model.pt")

    assert model.plan == volumes.plan
    assert model.targets == volumes.targets
    assert model.training["learning_rate"] == 6e-3
    for name, scores in evaluation.cases.items():
        volume = volumes[name]
        (predicted,) = segment(
            model.build(),
            [volume.image],
            window=(20, 24, 20),  # the volume of 20 x 24 x 18, padded to 4 s
            targets=model.targets,
            device="cpu",
            precision=resolve_precision("fp32", "cpu"),
        )
        for value, target in ((1, "class1"), (2, "class2")):
            p, t = predicted == value, volume.label == value
            assert scores[target] == pytest.approx(2 * (p & t).sum() / (p.sum() + t.sum()), abs=1e-9)


def test_regions_that_overlap_are_learned_and_scored(volumes: Volumes, tmp_path: Path) -> None:
    masks = np.array([0, 0b01, 0b11], np.uint8)  # region 1 is the whole blob, region 2 its second half
    cases = {name: (np.array(volumes[name].image), masks[volumes[name].label]) for name in volumes.names}
    nested = write_volumes(tmp_path / "nested", cases, regions=True)

    evaluation = start(nested, maximum=80, learning_rate=0.02).advance(80)

    assert evaluation.metrics["dice_class1"] > 0.85
    assert evaluation.metrics["dice_class2"] > 0.7


def test_check_parameters_lets_good_ones_pass() -> None:
    check_parameters(SMALL, spacing=(1.0, 1.0, 1.0), channels=1, targets=TARGETS)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            {"levels": 4, "patch_size": 44},
            "patch_size: 44 is not a multiple of 8 (the network halves x, y, z 3 times); use 40 or 48",
        ),
        ({"learning_rat": 1e-3}, "learning_rat: not a setting of a segmentation run; did you mean learning_rate?"),
    ],
)
def test_check_parameters_says_what_is_wrong(settings: dict[str, Any], expected: str) -> None:
    with pytest.raises(SettingError) as error:
        check_parameters(settings, spacing=(1.0, 1.0, 1.0), channels=1, targets=TARGETS)
    assert str(error.value) == expected


def test_fp16_is_refused_on_a_cpu(volumes: Volumes) -> None:
    with pytest.raises(SettingError, match="precision: fp16 needs a CUDA GPU"):
        start(volumes, precision="fp16")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_a_gpu_learns_by_replayed_steps(volumes: Volumes, precision: str) -> None:
    run = start(volumes, maximum=150, learning_rate=0.02, precision=precision, device="cuda")
    assert run.advance(150).score > 0.8
    assert isinstance(run._train_by, GraphedStep)
    assert run._train_by.failure is None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_notices_a_loss_that_is_no_number(volumes: Volumes) -> None:
    run = start(volumes, maximum=2000, learning_rate=1e30, precision="fp32", device="cuda")
    with pytest.raises(NonFiniteLossError):
        run.advance(2000)
    assert run._steps < 2000
