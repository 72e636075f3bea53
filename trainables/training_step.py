"""One step of training: forward, loss, way back and optimizer, in a precision.

Nothing in a step makes the host wait for the device, so that the host is always some steps ahead; what it wants to know
(losses, skipped steps) is added up on the device and read at the end of a rung.
"""

from collections import deque
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from trainables.errors import TrainingError
from trainables.losses import SegmentationLoss
from trainables.precision import Precision
from trainables.workers import Workers

LEAST_SCALE = 1.0
"""Of the loss in fp16. It begins at 65,536 and is halved at each step whose gradients overflow: below this those of an
unscaled loss do, and nothing is learned any more."""


class TrainingStep:
    """Trains `network` by one batch a call.

    In fp16 the loss is scaled, and a step whose gradients overflow changes no weight: it is counted, and the scale
    halved. With `micro_batch` a batch goes through the network in parts of so many patches, whose gradients are added
    up: memory for one part suffices. Batch norm and the sums of the Dice then see a part at a time.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        loss: SegmentationLoss,
        precision: Precision,
        *,
        gradient_clip: float = 0.0,
        micro_batch: int = 0,
        workers: Workers | None = None,
        whole_batch: int | None = None,
    ) -> None:
        """
        Args:
            gradient_clip: the gradient's largest norm, 0 for none.
            micro_batch: 0 for the whole batch at once.
            workers: who trains together, each by a part of every batch.
            whole_batch: patches of the parts together; by default a call's batch is all.
        """
        self._network = network
        self._optimizer = optimizer
        self._loss = loss
        self._precision = precision
        self._gradient_clip = gradient_clip
        self._micro_batch = micro_batch
        self._workers = workers or Workers()
        self._whole_batch = whole_batch
        self._scaler = precision.grad_scaler()
        self._skipped = torch.zeros((), dtype=torch.int64, device=precision.device)

    def __call__(self, image: Tensor, label: Tensor, *, learning_rate: float) -> Tensor:
        """Train by `image` (B, C, X, Y, Z) and `label` (B, X, Y, Z). Returns the loss, in fp32 on the device."""
        self.set_learning_rate(learning_rate)
        return self.run(image, label)

    def set_learning_rate(self, learning_rate: float) -> None:
        """Of the steps to come. A captured graph reads it where it lies on the device."""
        for group in self._optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(learning_rate)
            else:
                group["lr"] = learning_rate

    def run(self, image: Tensor, label: Tensor) -> Tensor:
        """The step at the learning rate that is set: the same calls on the device whatever the values are."""
        self._optimizer.zero_grad(set_to_none=True)
        part = self._micro_batch or len(image)
        whole = self._whole_batch or len(image)
        losses = [
            self.backward(self.loss(self.forward(images), labels) * (len(images) / whole))
            for images, labels in zip(image.split(part), label.split(part), strict=True)
        ]
        loss = self._workers.add_up(self._network.parameters(), torch.stack(losses).sum())
        self.update()
        return loss

    def forward(self, image: Tensor) -> Tensor | list[Tensor]:
        """The network's logits, its convolutions in the step's precision."""
        with self._precision.autocast():
            logits: Tensor | list[Tensor] = self._network(image)
        return logits

    def loss(self, logits: Tensor | list[Tensor], label: Tensor) -> Tensor:
        """In fp32 whatever the logits are in."""
        return self._loss(logits, label)

    def backward(self, loss: Tensor) -> Tensor:
        """Add the gradients of `loss` to the parameters'. Returns it, detached."""
        self._scaler.scale(loss).backward()
        return loss.detach()

    def update(self) -> None:
        """The optimizer's part."""
        if self._gradient_clip:
            self._scaler.unscale_(self._optimizer)
            torch.nn.utils.clip_grad_norm_(self._network.parameters(), self._gradient_clip, foreach=True)
        self._scaler.step(self._optimizer)
        if not self._scaler.is_enabled():
            return
        scale = self._scaler._get_scale_async()  # on the device; `get_scale` would wait for it
        assert scale is not None
        before = scale.clone()
        self._scaler.update()
        self._skipped += scale < before

    def begin_again(self) -> None:
        """Forget a step that was broken off half-way: the scaler would take it for one under way."""
        state = self._scaler.state_dict()
        self._scaler = self._precision.grad_scaler()
        self._scaler.load_state_dict(state)

    def skipped(self) -> int:
        """Steps so far whose gradients overflowed in fp16. Waits for the device."""
        return int(self._skipped)

    def check_scale(self) -> None:
        """Raises TrainingError where fp16 overflows at any scale. Waits for the device."""
        if self._scaler.is_enabled() and (scale := self._scaler.get_scale()) < LEAST_SCALE:
            raise TrainingError(
                f"fp16: gradients overflowed at {self.skipped()} steps, which brought the scale of the loss down to "
                f"{scale:g}; try precision bf16 or fp32, or a lower learning_rate"
            )

    def state_dict(self) -> dict[str, Any]:
        return {
            "optimizer": self._optimizer.state_dict(),
            "scaler": self._scaler.state_dict(),
            "skipped_steps": self._skipped,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        # The settings are ours: a state comes from the host, where a learning rate must not lie.
        ours = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": state["optimizer"]["state"], "param_groups": ours})
        self._scaler.load_state_dict(state["scaler"])
        self._skipped.fill_(int(state.get("skipped_steps", 0)))  # states of earlier versions lack it


class HostLead:
    """Keeps the host from running far ahead of a GPU, where it has to know how long the GPU takes."""

    STEPS = 2

    def __init__(self) -> None:
        self._done: deque[torch.cuda.Event] = deque()

    def wait(self, device: torch.device) -> None:
        """After each step: returns when all but the last STEPS are done."""
        if device.type != "cuda":
            return
        event = torch.cuda.Event()
        event.record()
        self._done.append(event)
        if len(self._done) > self.STEPS:
            self._done.popleft().synchronize()
