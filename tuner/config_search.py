"""The sweep file's part about the search: for how long, how and on what configurations are tried and compared."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from trainables.protocol import Budget, BudgetUnit
from tuner.section import ImportString, Section


class BudgetConfig(Section):
    unit: BudgetUnit = "voxels"
    """`voxels` seen in training, `flops`, `seconds` of training, or optimizer `steps`."""

    maximum: float = Field(gt=0)
    """What a trial uses that is never stopped."""

    first_rung: float | None = Field(None, gt=0)
    """The lowest budget at which trials are compared; two reductions below the maximum by default."""

    reduction: float = Field(3.0, ge=1.01)
    """Each rung's budget is this many times the one below, and this share of the trials reaches it."""

    @model_validator(mode="after")
    def _first_below_maximum(self) -> "BudgetConfig":
        if self.first_rung is not None and self.first_rung > self.maximum:
            raise ValueError(f"first_rung {self.first_rung:g} is above maximum {self.maximum:g}")
        return self

    @property
    def first_share(self) -> float:
        return self.reduction**-2 if self.first_rung is None else self.first_rung / self.maximum

    @property
    def full(self) -> Budget:
        return Budget(unit=self.unit, maximum=self.maximum)


Objective = Literal["dice", "training_seconds", "peak_gib"]
"""What a trial is judged by: Dice is to be high, seconds of training and peak device memory low."""


class SearchConfig(Section):
    trials: int | None = Field(16, ge=1)
    """At most so many configurations are trained; null if `minutes` or `device_hours` ends the search."""

    minutes: float | None = Field(None, gt=0)
    """After so long, in minutes of wall-clock time over all the drivers that went on with the search, no trial begins,
    and none goes past its next rung."""

    device_hours: float | None = Field(None, gt=0)
    """At most so much training and evaluation, summed over all trials: hours times each trial's share of GPUs, or its
    CPU cores where it has none."""

    terminate: bool = False
    """Whether the search ends when Optuna's terminator expects that little can still be gained."""

    sampler: Literal["gp", "tpe", "random", "quasi-random", "grid"] | ImportString | None = None
    """`gp`: a multi-fidelity Gaussian process, which learns from every rung; `tpe`: Optuna's tree-structured Parzen
    estimator; `random` and `quasi-random` (Sobol) draws; `grid`: every combination once; `module:Class`: another Optuna
    sampler (it names code that is run). By default `gp`, or `tpe` where there are several objectives."""

    sampler_options: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments of the sampler's class, its seed excepted."""

    startup_trials: int | None = Field(None, ge=0)
    """Random draws before the sampler starts to learn; by default two a slot and at least 12 for `gp`, four a slot for
    the others, but not more than half of the trials."""

    seed: int = Field(0, ge=0)
    """Seed of the sampler and of every trial's training."""

    objectives: tuple[Objective, ...] = Field(("dice",), strict=False, min_length=1)
    """What is searched for: Dice alone, or Dice against `training_seconds` or `peak_gib` or both, a Pareto front."""

    stop_early: bool = True
    """Whether trials are stopped at rungs (ASHA); false: each trial uses the full budget."""

    turned_away: int = Field(200, ge=0)
    """At most so many configurations may be turned away before they start, because they can't fit in memory."""

    keep_models: int = Field(10, ge=1)
    """Of so many of the best trials the models are kept, and of the default configuration's."""

    @property
    def endless(self) -> bool:
        """Whether no number of trials ends the search, but a limit alone. A grid ends by itself."""
        return self.trials is None and self.sampler != "grid"

    @model_validator(mode="after")
    def _consistent(self) -> "SearchConfig":
        if self.trials is None and self.minutes is None and self.device_hours is None:
            raise ValueError("trials: null needs minutes or device_hours, or the search would never end")
        if "seed" in self.sampler_options:
            raise ValueError("sampler_options: seed stands under search itself")
        if self.sampler in ("random", "grid") and self.sampler_options:
            raise ValueError(
                f"sampler_options: the sampler {self.sampler} has none; got {', '.join(self.sampler_options)}"
            )
        if "dice" not in self.objectives or len(set(self.objectives)) < len(self.objectives):
            raise ValueError(
                f"objectives must name dice, and each only once; got {', '.join(self.objectives) or 'none'}"
            )
        if len(self.objectives) > 1 and self.sampler == "gp":
            raise ValueError(
                f"sampler: gp learns from one score, and objectives asks for {len(self.objectives)} "
                f"({', '.join(self.objectives)}); take tpe, or leave sampler out"
            )
        if len(self.objectives) > 1 and self.stop_early:
            raise ValueError(
                "stop_early must be false where there are several objectives: ASHA stops trials by comparing one "
                f"number, and objectives asks for {len(self.objectives)} ({', '.join(self.objectives)})"
            )
        return self


class ResourcesConfig(Section):
    cpus_per_trial: float = Field(1, gt=0)
    """CPU cores (and threads) of one trial."""

    gpus_per_trial: float | Literal["auto"] = Field(0.0)
    """GPUs of one trial. A fraction lets several share one; auto: the smallest that every configuration fits in."""

    gpu_type: str | None = Field(None, min_length=1)
    """Only GPUs of this type, as Ray names them: `A100`, `H100`, `V100`... (`ray status -v` lists a cluster's)."""

    workers_per_trial: int = Field(1, ge=1)
    """How many processes train one trial together, each by its part of every batch, with the CPUs and GPUs above."""

    trials_at_once: int | None = Field(None, ge=1)
    """A cap; by default as many as the cluster's resources hold."""

    trial_timeout: Annotated[float, Field(gt=0)] | Literal["auto"] | None = "auto"
    """Minutes without a sign of life after which a trial's process is ended: the trial goes on in another one, and has
    failed when that falls silent too. Signs are reports, and what a run tells of its `progress`, as segmentation runs
    do at each step and each window. auto: 30, and a run that tells no progress may take any time as long as its process
    answers; null: no limit."""

    memory_limit_gib: float | None = Field(None, gt=0)
    """GiB that one trial may take on its device, if less than its share of what the device has."""

    memory_estimate: bool = True
    """Whether configurations whose estimated peak memory does not fit are turned away before they start."""

    @model_validator(mode="after")
    def _a_gpu_for_each_worker(self) -> "ResourcesConfig":
        gpus = self.gpus_per_trial
        if self.workers_per_trial > 1 and gpus != "auto" and 0 < gpus < 1:
            raise ValueError(
                f"workers_per_trial: {self.workers_per_trial} workers need a GPU each; gpus_per_trial is {gpus:g}"
            )
        return self

    @model_validator(mode="after")
    def _type_of_gpus(self) -> "ResourcesConfig":
        if self.gpu_type and not self.gpus_per_trial:
            raise ValueError(f"gpu_type: {self.gpu_type}, but gpus_per_trial is 0")
        return self

    @field_validator("gpus_per_trial")
    @classmethod
    def _fraction_or_whole(cls, gpus: float | str) -> float | str:
        if isinstance(gpus, str):
            return gpus
        if gpus < 0:
            raise ValueError("must be 0 or more")
        if gpus > 1 and gpus != int(gpus):
            raise ValueError("above 1 it must be a whole number")
        return gpus


class ConfirmConfig(Section):
    top: int = Field(3, ge=0)
    """How many of the best configurations are trained again before one is called best; 0: none."""

    seeds: int = Field(2, ge=1)
    """With how many other seeds each."""
