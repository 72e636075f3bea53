"""What a device takes beside tensors: workspace of its libraries, gaps between tensors, and what comes before both."""

from dataclasses import dataclass

from trainables.memory_trace import Held


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """Fitted for a kind of device; see WORKSPACES."""

    baseline_gib: float
    """What a process holds that has trained the smallest network: libraries, and on a GPU its context."""

    share: float
    """Of what a step holds, what comes on top of it."""

    def bytes_for(self, held: Held) -> float:
        """For a step that holds `held`."""
        return self.share * held.total


WORKSPACES = {
    "cpu": Workspace(baseline_gib=0.52, share=0.15),
    "cuda": Workspace(baseline_gib=0.5, share=0.1),
}
"""By type of device. Of a CPU: torch 2.13 with oneDNN 3.12 and glibc's allocator. Of a GPU: not measured, assumed."""
