"""Which settings of a sweep file no trial can have: each is tried before anything starts."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trainables.errors import SettingError
from trainables.preprocessing import PreprocessingPlan
from trainables.protocol import TrainingRun
from trainables.targets import Targets
from tuner.config import SEGMENTATION, SweepConfig
from tuner.config_errors import naming
from tuner.errors import SweepConfigError
from tuner.importing import import_named
from tuner.patch_plan import padded_patches


def check_trainable(config: SweepConfig) -> None:
    """Raises SweepConfigError unless `trainable` names a training run. A run of the user's own is imported for it."""
    if config.trainable != SEGMENTATION:
        import_named(config.trainable, key=f"{config.source}: trainable", kind=TrainingRun)


def check_settings(config: SweepConfig) -> None:
    """Try each setting that the search may propose, one at a time beside the default ones, as far as no data set
    allows it.

    Raises SweepConfigError naming the file, the parameter's key, and what is wrong with its name or value.
    """
    if config.trainable != SEGMENTATION:
        return
    from trainables.precision import resolve_precision  # torch takes seconds to import
    from trainables.segmentation_config import SegmentationConfig, check_name

    def check(parameters: Mapping[str, Any]) -> None:
        SegmentationConfig.from_mapping(parameters).for_workers(config.resources.workers_per_trial)
        if not config.resources.gpus_per_trial:
            resolve_precision(parameters.get("precision", "auto"), "cpu")

    for section, names in {"training": config.training, "space": config.space}.items():
        with naming(config.source, f"{section}."):
            for name in names:
                check_name(name)
    _try_each(config, check)


def check_space(config: SweepConfig, plan: PreprocessingPlan, targets: Targets) -> None:
    """Try each setting that the search may propose, one at a time beside the default ones, on what is trained on.

    Raises SweepConfigError as `check_settings` does, which has its say first.
    """
    check_settings(config)
    if config.trainable != SEGMENTATION:
        return
    from trainables.segmentation import check_parameters

    def check(parameters: Mapping[str, Any]) -> None:
        check_parameters(parameters, spacing=plan.spacing, channels=len(plan.normalisation), targets=targets)

    _try_each(config, check)


def _try_each(config: SweepConfig, check: Callable[[Mapping[str, Any]], None]) -> None:
    """Raises SweepConfigError where `check` raises SettingError: for the first configuration, or a value beside it."""
    base = config.search_space.first(config.default)
    try:
        check(base)
    except SettingError as error:
        raise SweepConfigError(f"{config.source}: {_section(config, error)}{error}") from None
    for name, values in config.search_space.extremes().items():
        for value in values:
            try:
                check({**base, name: value})
            except SettingError as error:
                own = str(error).startswith(f"{name}: ")
                beside = "" if own else f"{name}: {value} can't be trained beside the other parameters' defaults: "
                raise SweepConfigError(f"{config.source}: space.{beside}{error}") from None


def _section(config: SweepConfig, error: SettingError) -> str:
    """Where the sweep file gives the setting that `error` begins with; nowhere, if it is left at its own default."""
    name = str(error).partition(":")[0]
    for section in ("training", "default", "space"):
        if name in getattr(config, section):
            return f"{section}."
    return ""


def padding_notes(config: SweepConfig, largest: Sequence[int]) -> list[str]:
    """A warning for each patch size, searched or set, that no case comes near to filling.

    Args:
        largest: the most voxels along each axis that a case has once it is preprocessed.
    """
    if config.trainable != SEGMENTATION:
        return []
    from trainables.segmentation_config import parse_patch_size, patch_text

    given = {f"space.{name}": values for name, values in config.search_space.extremes().items()}
    given |= {f"training.{name}": [value] for name, value in config.training.items()}
    return [
        f"warning: {config.source}: {key}: {patch_text(patch)} is mostly padding: the largest case has "
        f"{patch_text(largest)} voxels once preprocessed"
        for key, values in given.items()
        if key.endswith(".patch_size")
        for patch in padded_patches(map(parse_patch_size, values), largest)
    ]
