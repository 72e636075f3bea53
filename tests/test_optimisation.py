"""Optimizers against torch's plain ones, schedules against their formulas."""

from math import cos, nan, pi
from typing import Any

import pytest
import torch
from torch import nn

from trainables.errors import SettingError
from trainables.optimisation import build_optimizer, learning_rate_factor


def _train(optimizer: torch.optim.Optimizer, parameter: nn.Parameter) -> list[float]:
    """Ten steps down a bowl that is steeper one way."""
    for _ in range(10):
        optimizer.zero_grad()
        (parameter.square() * torch.tensor([1.0, 5.0])).sum().backward()
        optimizer.step()
    return parameter.detach().tolist()


def _start() -> nn.Parameter:
    return nn.Parameter(torch.tensor([1.0, -2.0]))


@pytest.mark.parametrize(
    ("settings", "plain", "options"),
    [
        ({}, torch.optim.Adam, {"lr": 1e-3}),
        (
            {"learning_rate": 0.1, "beta2": 0.9, "amsgrad": True, "weight_decay": 0.1},
            torch.optim.Adam,
            {"lr": 0.1, "betas": (0.9, 0.9), "amsgrad": True, "weight_decay": 0.1},
        ),
        (
            {"optimizer": "adamw", "learning_rate": 0.1, "weight_decay": 0.1},
            torch.optim.AdamW,
            {"lr": 0.1, "weight_decay": 0.1},
        ),
        (
            {"optimizer": "sgd", "learning_rate": 0.01, "momentum": 0.8, "weight_decay": 0.1},
            torch.optim.SGD,
            {"lr": 0.01, "momentum": 0.8, "nesterov": True, "weight_decay": 0.1},
        ),
    ],
)
def test_optimizers_step_as_torchs_plain_loops(
    settings: dict[str, Any], plain: type[torch.optim.Optimizer], options: dict[str, Any]
) -> None:
    ours, theirs = _start(), _start()
    found = _train(build_optimizer([ours], **settings), ours)
    expected = _train(plain([theirs], foreach=False, **options), theirs)  # type: ignore[call-arg]
    assert found == pytest.approx(expected, rel=1e-5)


def test_what_an_optimizer_has_no_use_for_changes_nothing() -> None:
    one, other = _start(), _start()
    with_betas = build_optimizer([one], optimizer="sgd", learning_rate=0.01, beta2=0.5, amsgrad=True)
    assert _train(with_betas, one) == _train(build_optimizer([other], optimizer="sgd", learning_rate=0.01), other)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"optimizer": "lion"}, "optimizer: must be one of adam, adamw, sgd, got 'lion'"),
        ({"learning_rate": 0.0}, "learning_rate: must be more than 0, got 0.0"),
        ({"learning_rate": nan}, "learning_rate: must be more than 0, got nan"),
        ({"beta2": 1.0}, "beta2: must be at least 0 and less than 1, got 1.0"),
        ({"weight_decay": -0.1}, "weight_decay: must be at least 0, got -0.1"),
        ({"momentum": 0.0}, "momentum: must be more than 0 and less than 1, got 0.0"),
    ],
)
def test_settings_that_break_a_rule(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError) as error:
        build_optimizer([_start()], **settings)
    assert str(error.value) == message


@pytest.mark.parametrize("progress", [0.0, 0.25, 0.5, 0.999, 1.0, 1.5])
def test_schedules_without_warmup(progress: float) -> None:
    done = min(progress, 1.0)
    assert learning_rate_factor("constant", progress) == 1
    assert learning_rate_factor("cosine", progress) == pytest.approx((1 + cos(pi * done)) / 2)
    assert learning_rate_factor("polynomial", progress) == pytest.approx((1 - done) ** 0.9)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "polynomial"])
def test_warmup_rises_to_one_and_the_schedule_fills_the_rest(schedule: str) -> None:
    rising = [learning_rate_factor(schedule, progress, warmup=0.2) for progress in (0.0, 0.05, 0.1, 0.2)]
    assert rising == pytest.approx([0.0, 0.25, 0.5, 1.0])
    halfway = learning_rate_factor(schedule, 0.6, warmup=0.2)
    assert halfway == pytest.approx(learning_rate_factor(schedule, 0.5))


def test_schedules_that_do_not_exist() -> None:
    with pytest.raises(SettingError) as error:
        learning_rate_factor("step", 0.5)
    assert str(error.value) == "schedule: must be one of constant, cosine, polynomial, got 'step'"
    with pytest.raises(SettingError) as error:
        learning_rate_factor("cosine", 0.5, warmup=1.0)
    assert str(error.value) == "warmup: must be at least 0 and less than 1, got 1.0"
