"""What a sweep of a data set could be on this machine: what is searched, from where on, with which budget."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, prod
from typing import Any

from search_spaces.presets import load_preset
from trainables.dataset import Dataset
from trainables.fingerprint import Fingerprint
from trainables.preprocessing import PreprocessingPlan
from trainables.resampling import Shape, resampled_shape
from trainables.segmentation_config import patch_text
from trainables.split import Split
from trainables.targets import Targets
from tuner.calibration import (
    CONFIGURATIONS,
    CPU_VOXELS,
    Rate,
    TimeJob,
    measure_rates,
    random_configurations,
    trial_cost,
)
from tuner.config import DatasetConfig
from tuner.durations import about
from tuner.errors import SweepConfigError
from tuner.expectation import SweepShape, TrialCost, fitting_maximum, least_seconds, likely_seconds
from tuner.patch_plan import PatchSize, fitting_levels, fitting_voxels, plan_batches, plan_patches
from tuner.recipe import CPU, GPU, Recipe
from tuner.slots import Slots

ENOUGH_STEPS = 650
"""The first trial's patch is the largest that leaves it so many steps: a small network learns a small organ in them."""

FEW_STEPS = 250
"""The largest patch that is searched leaves so many, unless it would have to be smaller than SMALL_PATCH for it; and so
does the largest batch, with the first trial's patch."""

LEAST_STEPS = 50
"""With fewer at the full budget there is nothing to compare; the first rung has a ninth of them."""

SMALL_PATCH = {"cpu": 32**3, "cuda": 96**3}
"""Voxels. A sweep takes longer than is usual rather than to look at the data through a smaller window."""

FOREGROUND_FRACTION = 0.5
"""Share of the patches centred on a target where a patch shows little of a volume: with all of them, networks label
what they never saw (0.82 against 0.87 after a minute on phantom hearts). Where a patch holds LARGE_SHARE of the median
volume it shows enough of the rest, and the setting keeps its default."""

LARGE_SHARE = 0.25

MINUTES = {"cpu": 10.0, "cuda": 60.0}


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A data set as a sweep would see it."""

    dataset: Dataset
    config: DatasetConfig
    split: Split
    fingerprint: Fingerprint
    """Of all cases."""

    seen: Fingerprint
    """Of the cases that train and validate."""

    plan: PreprocessingPlan
    targets: Targets

    @property
    def median_shape(self) -> Shape:
        """Voxels of the preprocessed volumes."""
        return self.seen.median_shape(self.plan.spacing)

    @property
    def validation_shapes(self) -> list[Shape]:
        cases = self.seen.subset(self.split.validation).cases
        return [resampled_shape(case.cropped_shape, case.spacing, self.plan.spacing) for case in cases]


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """The parts of a sweep file that depend on data and machine together."""

    preset: str
    """The name of the preset that the space comes from, or nothing."""

    training: Mapping[str, Any]
    space: Mapping[str, Any]
    default: Mapping[str, Any]
    largest_patch: PatchSize
    maximum: float
    """The full budget in voxels, rounded to three digits."""

    steps: int
    """How many the first trial makes of it."""

    seconds: float
    """What the search likely takes at most."""

    confirm_seconds: float
    """What the trainings after the search take, each like the first trial's."""

    cost: TrialCost
    """Of the first trial."""

    batch_gib: float
    """What the largest batch takes, by the estimate of `patch_plan`."""


@dataclass(frozen=True, kw_only=True)
class Timetable:
    """Says what trials with given patch sizes take, from rates that were measured."""

    subject: Subject
    sweep: SweepShape
    rates: list[Rate]
    """The first trial's, then others'."""

    def costs(self, patches: Sequence[PatchSize], default: PatchSize) -> list[TrialCost]:
        """Of the first trial, with the patch size `default`, then of others with each of `patches`."""

        def cost(rate: Rate, patch: PatchSize) -> TrialCost:
            return trial_cost(rate, patch, spacing=self.subject.plan.spacing, validation=self.subject.validation_shapes)

        return [cost(self.rates[0], default), *(cost(rate, patch) for rate in self.rates for patch in patches)]

    def maximum(self, patches: Sequence[PatchSize], default: PatchSize, seconds: float) -> float:
        return fitting_maximum(self.sweep, self.costs(patches, default), seconds)

    def seconds(self, patches: Sequence[PatchSize], default: PatchSize, maximum: float) -> float:
        return likely_seconds(self.sweep, self.costs(patches, default), maximum)


def sweep_shape(trials: int, slots: Slots) -> SweepShape:
    return SweepShape(trials=trials, slots=min(slots.count, trials))


def check_minutes(minutes: float, shape: SweepShape) -> None:
    """Raises SweepConfigError where `minutes` are too short for any training, which need not be timed to know."""
    least = least_seconds(shape)
    if 60 * minutes < least:
        raise SweepConfigError(
            f"minutes: {minutes:g} is too short for {shape.trials} trials on this machine: to start, and to record "
            f"them, takes {about(least)} without any training; give more minutes or fewer trials"
        )


def propose(
    subject: Subject,
    slots: Slots,
    *,
    trials: int,
    minutes: float | None,
    preset: str | None = None,
    time_job: TimeJob,
    confirmed: int,
) -> Proposal:
    """Plan patches and batches, time some training, and choose the budget with which the search takes `minutes`.

    Without `minutes` it is 10 on a CPU and 60 on GPUs, or more where that would leave the first trial fewer than
    FEW_STEPS steps. The space is that of `preset`, if one is named. `confirmed` trainings follow the search. Raises
    SpaceError for an unknown preset, SweepConfigError where it does not fit the data set or `minutes` are too short.
    """
    recipe, spacing = GPU if slots.gpus else CPU, subject.plan.spacing
    if preset is not None:
        recipe = recipe.with_preset(preset, load_preset(preset), median_shape=subject.median_shape, spacing=spacing)
    levels = fitting_levels(subject.median_shape, spacing, most=recipe.levels)
    training = {**({} if "levels" in recipe.space else {"levels": levels}), **recipe.training}
    most_voxels = fitting_voxels(slots.memory_gib, width=recipe.most_width, half=slots.device == "cuda")

    def patches_up_to(voxels: float) -> list[PatchSize]:
        """Those of the preset, or planned ones; the smallest where none is small enough."""
        if recipe.patches:
            return [patch for patch in recipe.patches if prod(patch) <= voxels] or [recipe.patches[-1]]
        return plan_patches(subject.median_shape, spacing, levels=levels, most_voxels=voxels)

    fitting = most_voxels / recipe.batch_size
    timed = patches_up_to(fitting if slots.gpus else min(fitting, CPU_VOXELS / recipe.batch_size))
    timetable = Timetable(
        subject=subject,
        sweep=sweep_shape(trials, slots),
        rates=_measure(subject, slots, recipe, training, timed, time_job),
    )

    patches, default, maximum = _affordable(timetable, slots, recipe, patches_up_to, fitting, minutes)
    batches = list(recipe.batches) or plan_batches(
        fitting=most_voxels / prod(patches[0]), useful=maximum / (FEW_STEPS * prod(default))
    )
    cost = timetable.costs(patches, default)[0]
    sizes: dict[str, tuple[Sequence[Any], Any]] = {
        "batch_size": (batches, recipe.batch_size),
        "patch_size": ([patch_text(patch) for patch in patches], patch_text(default)),
    }
    searched = {key: size for key, size in sizes.items() if len(size[0]) > 1}
    fixed = {key: value for key, (_, value) in sizes.items() if key not in searched}
    if prod(default) < LARGE_SHARE * prod(subject.median_shape):
        training = {"foreground_fraction": FOREGROUND_FRACTION, **training}
    return Proposal(
        preset=recipe.preset,
        training={**training, **fixed},
        space={**recipe.space, **{key: {"choice": choices} for key, (choices, _) in searched.items()}},
        default={**recipe.default, **{key: value for key, (_, value) in searched.items()}},
        largest_patch=patches[0],
        maximum=maximum,
        steps=int(maximum / (recipe.batch_size * prod(default))),
        seconds=timetable.seconds(patches, default, maximum),
        confirm_seconds=_confirm_seconds(cost, maximum, slots, confirmed),
        cost=cost,
        batch_gib=batches[-1] * prod(patches[0]) / most_voxels * slots.memory_gib,
    )


def _affordable(
    timetable: Timetable,
    slots: Slots,
    recipe: Recipe,
    patches_up_to: Callable[[float], list[PatchSize]],
    fitting: float,
    minutes: float | None,
) -> tuple[list[PatchSize], PatchSize, float]:
    """The patch sizes to search, the first trial's, and the full budget in voxels, rounded to three digits.

    Memory holds a batch of patches with `fitting` voxels each.
    """
    seconds = 60 * (minutes or MINUTES[slots.device])
    smallest = 0 if minutes else SMALL_PATCH[slots.device]
    batch = recipe.batch_size

    patches = list(recipe.patches) or patches_up_to(fitting)
    while not recipe.patches and timetable.maximum(patches, patches[0], seconds) < FEW_STEPS * batch * prod(patches[0]):
        smaller = patches_up_to(0.9 * prod(patches[0]))
        if not smallest <= prod(smaller[0]) < prod(patches[0]):
            break
        patches = smaller

    # A preset may search what this memory does not hold, but not begin with it.
    held = [patch for patch in patches if prod(patch) <= fitting] or patches[-1:]
    large = [patch for patch in held if prod(patch) >= smallest] or held[:1]
    maximum = timetable.maximum(patches, large[0], seconds)
    default = next((patch for patch in large if maximum >= ENOUGH_STEPS * batch * prod(patch)), large[-1])
    maximum = timetable.maximum(patches, default, seconds)
    least = (LEAST_STEPS if minutes else FEW_STEPS) * batch * prod(default)
    if maximum < least and minutes:
        needed = about(timetable.seconds(patches, default, least))
        raise SweepConfigError(
            f"minutes: {minutes:g} is too short for {timetable.sweep.trials} trials on this machine: if the full "
            f"budget is {LEAST_STEPS} steps, they take about {needed}, evaluations of "
            f"{len(timetable.subject.split.validation)} cases included; give more minutes or fewer trials"
        )
    return patches, default, float(f"{max(maximum, least):.2e}")


def _confirm_seconds(cost: TrialCost, maximum: float, slots: Slots, confirmed: int) -> float:
    """What as many trainings like the first trial take that go all the way, each with three evaluations."""
    rounds = ceil(confirmed / slots.count)
    return rounds * (maximum * cost.seconds_per_unit + 3 * cost.evaluation_seconds)


def _measure(
    subject: Subject,
    slots: Slots,
    recipe: Recipe,
    training: Mapping[str, Any],
    patches: list[PatchSize],
    time_job: TimeJob,
) -> list[Rate]:
    """Rates of the first trial and of random others, with patches that do not take long to time."""
    # Larger than a patch where the data are, so that windows and their blending are timed too.
    x, y, z = (min(whole, part + part // 2) for whole, part in zip(subject.median_shape, patches[0], strict=True))
    base = {**training, **recipe.default, "batch_size": recipe.batch_size, "patch_size": patch_text(patches[0])}
    variants = {
        **recipe.space,
        **({"patch_size": {"choice": list(map(patch_text, patches))}} if len(patches) > 1 else {}),
    }
    return measure_rates(
        random_configurations(variants, base, CONFIGURATIONS),
        shape=(x, y, z),
        plan=subject.plan,
        targets=subject.targets,
        device=slots.device,
        threads=slots.cpus,
        time_job=time_job,
    )
