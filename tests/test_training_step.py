"""Steps in each precision, in parts, and replayed, against plain loops of torch."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trainables.errors import TrainingError
from trainables.graphed_step import GraphedStep
from trainables.losses import SegmentationLoss
from trainables.networks import NetworkConfig, build_network, level_strides
from trainables.optimisation import build_optimizer
from trainables.precision import Precision, resolve_precision
from trainables.training_step import LEAST_SCALE, TrainingStep

CPU = torch.device("cpu")
FP32 = resolve_precision("fp32", CPU)


def network(normalisation: str = "instance") -> nn.Module:
    torch.manual_seed(0)
    config = NetworkConfig(
        architecture="compact_unet",
        in_channels=1,
        out_channels=3,
        width=4,
        levels=3,
        strides=level_strides(3, (1, 1, 1)),
        normalisation=normalisation,
    )
    return build_network(config)


def batch(seed: int, size: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(size, 1, 16, 16, 16, generator=generator)
    label = torch.randint(0, 3, (size, 16, 16, 16), generator=generator, dtype=torch.uint8)
    return image, label


def make_step(model: nn.Module, precision: Precision = FP32, **options: Any) -> TrainingStep:
    optimizer = build_optimizer(model.parameters(), optimizer=options.pop("optimizer", "adamw"))
    return TrainingStep(model, optimizer, SegmentationLoss("dice_ce", False), precision, **options)


def weights(model: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def gradients(model: nn.Module) -> Tensor:
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None])


def test_steps_are_those_of_a_plain_loop() -> None:
    model, plain = network(), network()
    step = make_step(model, gradient_clip=0.5)
    optimizer = torch.optim.AdamW(plain.parameters(), lr=1e-3, betas=(0.9, 0.999), weight_decay=0.0)
    loss_of = SegmentationLoss("dice_ce", False)

    for number, rate in enumerate((1e-3, 2e-3, 5e-4)):
        image, label = batch(number)
        loss = step(image, label, learning_rate=rate)
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        expected = loss_of(plain(image), label)
        expected.backward()
        torch.nn.utils.clip_grad_norm_(plain.parameters(), 0.5)
        optimizer.step()
        assert loss == pytest.approx(expected.item(), rel=1e-6)
        assert not loss.requires_grad

    assert torch.allclose(weights(model), weights(plain), atol=1e-6)


@pytest.mark.parametrize(("size", "micro_batch"), [(4, 1), (4, 2), (4, 3), (3, 2), (2, 8)])
def test_a_batch_in_parts_has_the_gradient_of_the_whole(size: int, micro_batch: int) -> None:
    """Of cross entropy, a mean over voxels; each part's Dice has sums of its own."""
    whole, parted = network(), network()
    image, label = batch(0, size)
    label[:] = 0  # no voxel of a target: its Dice is then nearly constant
    make_step(whole, optimizer="sgd")(image, label, learning_rate=1e-3)
    seen: list[int] = []
    parted.register_forward_pre_hook(lambda module, args: seen.append(len(args[0])))
    make_step(parted, optimizer="sgd", micro_batch=micro_batch)(image, label, learning_rate=1e-3)

    assert sum(seen) == size
    assert max(seen) == min(size, micro_batch)
    difference = (gradients(parted) - gradients(whole)).norm() / gradients(whole).norm()
    assert difference < 0.02


def test_bf16_gradients_agree_with_fp32() -> None:
    """To a tenth of the gradient's length: bf16 keeps 8 bits, and a step has some twenty layers each way."""
    full, half = network("batch"), network("batch")
    image, label = batch(0)
    loss = make_step(full)(image, label, learning_rate=0.0)
    rounded = make_step(half, resolve_precision("bf16", CPU))(image, label, learning_rate=0.0)

    assert rounded.dtype == torch.float32
    assert rounded == pytest.approx(loss.item(), rel=0.01)
    assert rounded != loss
    assert (gradients(half) - gradients(full)).norm() / gradients(full).norm() < 0.1


def fp16_on_cpu() -> Precision:
    """As on a GPU, but that convolutions stay in fp32: scaling is the same arithmetic on every device."""
    precision = Precision(name="fp16", device=CPU)
    object.__setattr__(precision, "autocast", lambda: torch.autocast("cpu", enabled=False))
    return precision


def test_scaling_the_loss_changes_no_step() -> None:
    scaled, plain = network(), network()
    steps = make_step(scaled, fp16_on_cpu()), make_step(plain)
    for number in range(3):
        for step in steps:
            step(*batch(number), learning_rate=1e-3)

    assert torch.allclose(weights(scaled), weights(plain), atol=1e-6)
    assert steps[0].skipped() == 0


def test_a_step_that_overflows_is_skipped_and_counted() -> None:
    model = network()
    step = make_step(model, fp16_on_cpu())
    image, label = batch(0)
    step(image, label, learning_rate=1e-3)
    before = weights(model)

    step(image * float("inf"), label, learning_rate=1e-3)

    assert torch.equal(weights(model), before)
    assert step.skipped() == 1
    step.check_scale()  # 32,768 is fine

    step(image, label, learning_rate=1e-3)
    assert not torch.equal(weights(model), before)
    assert step.skipped() == 1


def test_a_scale_that_collapses_ends_the_run_and_says_what_to_try() -> None:
    step = make_step(network(), fp16_on_cpu())
    image, label = batch(0)
    for _ in range(17):  # 65,536 is 1 after 16 halvings
        step(image * float("nan"), label, learning_rate=1e-3)

    with pytest.raises(TrainingError) as error:
        step.check_scale()
    assert str(error.value) == (
        "fp16: gradients overflowed at 17 steps, which brought the scale of the loss down to 0.5; "
        "try precision bf16 or fp32, or a lower learning_rate"
    )
    assert LEAST_SCALE == 1


@pytest.mark.parametrize("precision", [FP32, fp16_on_cpu()], ids=["fp32", "fp16"])
def test_a_state_goes_on_where_it_was_taken(precision: Precision) -> None:
    straight = network()
    step = make_step(straight, precision)
    for number in range(2):
        step(*batch(number), learning_rate=1e-3)
    state, resumed = deepcopy(step.state_dict()), deepcopy(straight)
    step(*batch(2), learning_rate=5e-4)

    again = make_step(resumed, precision)
    again.load_state_dict(state)
    again(*batch(2), learning_rate=5e-4)

    assert torch.equal(weights(resumed), weights(straight))


class Recorder:
    """Stands for a CUDA graph: replays by doing the same work again, on the tensors that it was captured with.

    Capturing itself computes nothing: what it does to the weights is undone.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.captures = self.replays = 0

    def capture(self, work: Callable[[], None]) -> "Recorder":
        self.captures += 1
        self.work = work
        before = deepcopy(self.model.state_dict())
        work()
        self.model.load_state_dict(before)
        return self

    def replay(self) -> None:
        self.replays += 1
        self.work()


def test_replayed_steps_are_the_eager_ones() -> None:
    """With an optimizer without memory: the recorder undoes the capture's step of the weights only."""
    eager, graphed = network("none"), network("none")
    step = TrainingStep(eager, torch.optim.SGD(eager.parameters(), lr=0.1), SegmentationLoss("dice_ce", False), FP32)
    recorder = Recorder(graphed)
    optimizer = torch.optim.SGD(graphed.parameters(), lr=torch.tensor(0.1))
    replayed = GraphedStep(
        TrainingStep(graphed, optimizer, SegmentationLoss("dice_ce", False), FP32),
        capture=recorder.capture,
        warm_up=2,
    )

    for number in range(6):
        image, label = batch(number)
        expected = step(image, label, learning_rate=0.1 / (1 + number))
        found = replayed(image.clone(), label.clone(), learning_rate=0.1 / (1 + number))
        if number >= 2:
            continue  # the recorder's losses are those of its capture
        assert found == expected

    assert (recorder.captures, recorder.replays) == (1, 4)
    assert replayed.failure is None
    assert torch.allclose(weights(graphed), weights(eager), atol=1e-6)


@pytest.mark.parametrize(("said", "told"), [("no capture here\nmore", "no capture here"), ("", "RuntimeError")])
def test_where_capturing_fails_steps_go_on_as_they_are(said: str, told: str) -> None:
    model, plain = network(), network()
    attempts: list[int] = []

    def fails(work: Callable[[], None]) -> Any:
        attempts.append(1)
        model.requires_grad_(False)  # so that the step breaks off half-way
        with pytest.raises(RuntimeError):
            work()
        model.requires_grad_(True)
        raise RuntimeError(said)

    graphed, step = GraphedStep(make_step(model), capture=fails, warm_up=1), make_step(plain)
    for number in range(4):
        assert graphed(*batch(number), learning_rate=1e-3) == step(*batch(number), learning_rate=1e-3)

    assert attempts == [1]
    assert graphed.failure == told
    assert torch.equal(weights(model), weights(plain))


def test_a_step_that_overflows_first_leaves_sgd_a_clean_momentum() -> None:
    model, plain = network(), network()
    step = make_step(model, fp16_on_cpu(), optimizer="sgd")
    image, label = batch(0)
    step(image * float("inf"), label, learning_rate=1e-3)
    step(image, label, learning_rate=1e-3)
    make_step(plain, optimizer="sgd")(image, label, learning_rate=1e-3)

    assert step.skipped() == 1
    assert torch.allclose(weights(model), weights(plain), atol=1e-6)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("options", [{}, {"optimizer": "sgd"}, {"micro_batch": 2}, {"optimizer": "adam"}], ids=str)
@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_a_cuda_graph_trains_as_eager_steps_do(precision: str, options: dict[str, Any]) -> None:
    device = torch.device("cuda")
    models = [network("batch").to(device) for _ in range(2)]
    eager, inner = (
        make_step(model, resolve_precision(precision, device), gradient_clip=1.0, **options) for model in models
    )
    graphed = GraphedStep(inner)

    for number in range(12):
        image, label = (tensor.to(device) for tensor in batch(number))
        losses = [step(image, label, learning_rate=1e-3 / (1 + number)) for step in (eager, graphed)]
        assert losses[1].item() == pytest.approx(losses[0].item(), rel=1e-2)
        if number == 7:  # as at a rung, and as a resumed run begins
            graphed.release()
        if number == 9:
            graphed.load_state_dict(deepcopy(inner.state_dict()))

    assert graphed.failure is None
    difference = (weights(models[1]) - weights(models[0])).norm() / weights(models[0]).norm()
    assert difference < 1e-2
