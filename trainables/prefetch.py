"""Prepares the next training batch while the device works on the current one."""

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from torch import Tensor

from trainables.patches import PatchSampler

Batch = tuple[Tensor, Tensor]


class PrefetchingSampler:
    """Gives the batches of a sampler, which a background thread draws one ahead.

    The same batches in the same order: a batch depends on its number only. The state counts the batches that were
    taken, so that one drawn ahead is drawn again after a resume.
    """

    def __init__(self, sampler: PatchSampler) -> None:
        self._sampler = sampler
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="next batch")
        self._next: Future[Batch] | None = None
        self._taken = 0

    def draw(self) -> Batch:
        """The next batch; see PatchSampler. What went wrong while it was drawn is raised here."""
        batch = (self._next or self._thread.submit(self._sampler.draw)).result()
        self._taken += 1
        self._next = self._thread.submit(self._sampler.draw)
        return batch

    def state_dict(self) -> dict[str, Any]:
        return {"drawn": self._taken}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if self._next is not None:
            self._next.exception()  # waits: the thread must not draw while the sampler is set back
            self._next = None
        self._sampler.load_state_dict(state)
        self._taken = state["drawn"]
