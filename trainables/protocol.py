"""What a training run is: the three methods that anything tunable offers, and what it gives back.

A run knows nothing of Ray or Optuna. The tuner builds one from an import string (`module:Class`) by calling

    Class(parameters, data=..., budget=..., seed=..., device=...)

and drives it from rung to rung with `advance`. `data` says where the data lie (`SegmentationRun` lists its keys), and
`memory_limit_gib` where the sweep file sets one. Four things are used where a class has them:

    used: float                       training so far in the budget's unit, read while `advance` trains: `voxtune train`
                                      moves its bar by it
    progress: object                  anything that changes as long as the run gets on, read by another thread: a
                                      trial whose progress stands still is ended (resources.trial_timeout)
    save_model(path: Path) -> None    writes what was last evaluated, after each evaluation; the best run's file becomes
                                      the sweep's best/model.pt
    estimate_memory(parameters, *, data, device) -> float
                                      a static method: the peak GiB of a run with these arguments; a configuration that
                                      needs more than a trial has is turned away before it starts
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

BudgetUnit = Literal["voxels", "flops", "seconds", "steps"]


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How much training a run may use in all; learning-rate schedules stretch over it."""

    unit: BudgetUnit
    """`voxels` seen in training (batch x patch voxels, padding included, channels not), `flops` of the network's
    counted work, `seconds` of training, or optimizer `steps`."""

    maximum: float
    """The full budget, in `unit`."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What one call of `advance` found. Amounts count from the start of the run, not from the last call."""

    score: float
    """What the search maximises: for segmentation the mean foreground Dice over the validation cases, 0 to 1."""

    budget_used: float
    """Training done so far, in the budget's unit."""

    steps: int
    training_seconds: float
    evaluation_seconds: float
    metrics: Mapping[str, float] = field(default_factory=dict)
    """More numbers worth a column: training `loss`, `dice_<class>`."""

    cases: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Score per validation case and class, e.g. `{"hippocampus_001": {"Anterior": 0.88, "Posterior": 0.85}}`."""

    picture: bytes | None = None
    """Something to look at, JPEG or PNG: for segmentation planes of one case with the label and with what was found."""

    facts: Mapping[str, Any] = field(default_factory=dict)
    """What a report wants to know of the run: voxels, data_seconds (the part of training_seconds in which it drew
    batches or waited for them), exchange_seconds (that in which it added up with other workers), peak_gib, parameters,
    precision, device."""


@runtime_checkable
class TrainingRun(Protocol):
    """Something that can be tuned."""

    def advance(self, budget: float) -> Evaluation:
        """Train until `budget` (in the unit of the run's Budget) is used in all, evaluate once, say what came out.

        Raises TrainingError when training can't go on.
        """
        ...

    def state_dict(self) -> dict[str, Any]:
        """All that is needed to go on: tensors, numbers, strings and containers of them only."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up where `state_dict` was called: the same calls of `advance` then give the same Evaluations."""
        ...
