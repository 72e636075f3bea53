"""The optimizer, and how its learning rate changes over a run."""

from collections.abc import Iterable
from math import cos, pi
from typing import Any

import torch
from torch import nn

from trainables.errors import check_setting

OPTIMIZERS = ("adam", "adamw", "sgd")
SCHEDULES = ("constant", "cosine", "polynomial")
_POWER = 0.9  # of the polynomial schedule: DeepLab's, and nnU-Net's


def build_optimizer(
    parameters: Iterable[nn.Parameter],
    *,
    optimizer: str = "adam",
    learning_rate: float = 1e-3,
    beta2: float = 0.999,
    amsgrad: bool = False,
    weight_decay: float = 0.0,
    momentum: float = 0.99,
) -> torch.optim.Optimizer:
    """Adam, AdamW or SGD with Nesterov momentum, in torch's fastest implementation for the parameters' device.

    `weight_decay` is added to the gradient by adam and sgd, and taken off the weights by adamw. So that one search
    space can hold them all, beta2 and amsgrad are ignored by sgd, and momentum by the other two (their beta1 is 0.9).

    Raises SettingError naming the value that breaks a rule.
    """
    check_setting("optimizer", optimizer, f"one of {', '.join(OPTIMIZERS)}", optimizer in OPTIMIZERS)
    check_setting("learning_rate", learning_rate, "more than 0", learning_rate > 0)
    check_setting("beta2", beta2, "at least 0 and less than 1", 0 <= beta2 < 1)
    check_setting("weight_decay", weight_decay, "at least 0", weight_decay >= 0)
    # Nesterov's method is not defined without momentum.
    check_setting("momentum", momentum, "more than 0 and less than 1", 0 < momentum < 1)
    parameters = list(parameters)
    fused = all(p.device.type in ("cuda", "cpu") for p in parameters)
    on_gpu = all(p.device.type == "cuda" for p in parameters)
    # A CUDA graph reads the learning rate, and counts steps, where they lie on the device.
    rate: Any = torch.tensor(learning_rate, device=parameters[0].device) if on_gpu else learning_rate
    if optimizer == "sgd":
        sgd = torch.optim.SGD(
            parameters, lr=rate, momentum=momentum, nesterov=True, weight_decay=weight_decay, fused=fused
        )
        for parameter in parameters:
            # torch makes it in the first step, and leaves it as it lies in memory should fp16 overflow there.
            sgd.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        return sgd
    kind = torch.optim.Adam if optimizer == "adam" else torch.optim.AdamW
    return kind(
        parameters,
        lr=rate,
        betas=(0.9, beta2),
        amsgrad=amsgrad,
        weight_decay=weight_decay,
        fused=fused,
        capturable=on_gpu,
    )


def learning_rate_factor(schedule: str, progress: float, warmup: float = 0.0) -> float:
    """What the learning rate is multiplied by once `progress` of the budget (0 to 1) is used.

    It rises in a straight line over the first `warmup` of the budget. Then it stays (`constant`), or falls to 0 at the
    end along half a cosine (`cosine`) or as (1 - t) to the power of 0.9 (`polynomial`).

    Raises SettingError for an unknown schedule and for a `warmup` outside 0 to 1.
    """
    check_setting("schedule", schedule, f"one of {', '.join(SCHEDULES)}", schedule in SCHEDULES)
    check_setting("warmup", warmup, "at least 0 and less than 1", 0 <= warmup < 1)
    if progress < warmup:
        return progress / warmup
    rest = min((progress - warmup) / (1 - warmup), 1.0)
    if schedule == "cosine":
        return (1 + cos(pi * rest)) / 2
    return float((1 - rest) ** _POWER) if schedule == "polynomial" else 1.0
