"""A training step as one CUDA graph: captured once, and then replayed.

A small network's step is some hundred launches, which take the host longer than the device needs for the work between
them.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from trainables.errors import first_line
from trainables.training_step import TrainingStep

WARM_UP = 3
"""Steps before a graph is captured: by then cuDNN has chosen and the optimizer has made its state."""


class Graph(Protocol):
    """What was captured."""

    def replay(self) -> None:
        """Do it again, with what then lies in the tensors that it was captured with."""


class GraphedStep:
    """A TrainingStep whose calls on the device are captured once and then launched together, step by step.

    Batches must have one shape. Where capturing fails the steps go on as they are.
    """

    def __init__(
        self,
        step: TrainingStep,
        *,
        capture: Callable[[Callable[[], None]], Graph] | None = None,
        warm_up: int = WARM_UP,
    ) -> None:
        """`capture` records what a function does on the device; by default as a CUDA graph."""
        self._step = step
        self._capture = capture or capture_cuda_graph
        self._steps_before = warm_up
        self._stream: torch.cuda.Stream | None = None
        self._replayed: tuple[Graph, Tensor, Tensor, Tensor] | None = None
        self.failure: str | None = None
        """Why there is no graph; None where there is one, or will be."""

    def __call__(self, image: Tensor, label: Tensor, *, learning_rate: float) -> Tensor:
        """As a TrainingStep."""
        if self._replayed is None and (self._steps_before > 0 or self.failure):
            self._steps_before -= 1
            return self._eager(image, label, learning_rate)
        self._step.set_learning_rate(learning_rate)
        if self._replayed is None:
            try:
                self._replayed = self._captured(image, label)
            except RuntimeError as error:
                self.failure = first_line(error)
                self._step.begin_again()
                return self._step.run(image, label)
        graph, static_image, static_label, loss = self._replayed
        static_image.copy_(image)
        static_label.copy_(label)
        graph.replay()
        return loss.clone()

    def _eager(self, image: Tensor, label: Tensor, learning_rate: float) -> Tensor:
        """A step as it is; on a GPU not on the default stream, whose work a capture must not depend on."""
        if image.device.type != "cuda":
            return self._step(image, label, learning_rate=learning_rate)
        main, self._stream = torch.cuda.current_stream(), self._stream or torch.cuda.Stream()
        self._stream.wait_stream(main)
        with torch.cuda.stream(self._stream):
            loss = self._step(image, label, learning_rate=learning_rate)
        main.wait_stream(self._stream)
        return loss

    def _captured(self, image: Tensor, label: Tensor) -> tuple[Graph, Tensor, Tensor, Tensor]:
        static_image, static_label = image.clone(), label.clone()
        losses: list[Tensor] = []
        graph = self._capture(lambda: losses.append(self._step.run(static_image, static_label)))
        return graph, static_image, static_label, losses[0]

    def release(self) -> None:
        """Give up what was captured, and the memory that a graph keeps for itself; the next step captures anew."""
        if self._replayed is not None:
            self._replayed = None
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Of the step. What was captured goes: it knows the tensors that are replaced."""
        self.release()
        self._steps_before = max(self._steps_before, 1)  # an optimizer makes its state in its first step
        self._step.load_state_dict(state)


def capture_cuda_graph(work: Callable[[], None]) -> Graph:
    """Record what `work` does on the current GPU as a CUDA graph; nothing is computed yet."""
    torch.cuda.synchronize()
    # A graph's memory is its own: what the steps before have freed would stay beside it.
    torch.cuda.empty_cache()
    graph = torch.cuda.CUDAGraph()
    before = torch.cuda.current_stream()
    try:
        # Another thread may be drawing the next batch meanwhile.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            work()
    finally:
        torch.cuda.set_stream(before)  # a capture that fails leaves its own
    return graph
