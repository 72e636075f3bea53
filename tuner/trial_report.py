"""What a slot's process tells the driver of the trial that it runs."""

from dataclasses import dataclass, field
from typing import Any

from trainables.protocol import Evaluation
from tuner.cells import short


@dataclass(frozen=True, kw_only=True)
class TrialReport:
    """An evaluation at a step, or how the trial failed."""

    number: int
    step: int
    evaluation: Evaluation | None
    stint: dict[str, Any] = field(default_factory=dict)
    """Where and how the trial's time went since this process took it up, see `StintClock.so_far`."""

    facts: dict[str, Any] = field(default_factory=dict)
    log: str = ""
    """What the process wrote since the trial's last report, see `tuner.trial_log`."""

    failure: str | None = None
    """One line: type and message of the error that ended the trial."""

    traceback: str | None = None
    out_of_memory: bool = False
    unfit: bool = False
    """Whether the process could run no other trial either."""

    def told(self, *, of: int) -> str:
        """As the trial's log has it; `of` is the step of the full budget."""
        evaluation = self.evaluation
        if evaluation is None:
            return f"failed: {self.traceback or self.failure}"
        metrics = ", ".join(f"{name} {short(value)}" for name, value in evaluation.metrics.items())
        return (
            f"at {self.step / of:.0%} of the budget: Dice {evaluation.score:.4f}, {metrics}; so far "
            f"{evaluation.training_seconds:.1f} s of training, {evaluation.evaluation_seconds:.1f} s of evaluation"
        )
