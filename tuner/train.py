"""Trains one configuration outside Ray: a sweep's best one again, or one written by hand."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from search_spaces.yaml_file import read_yaml
from trainables.errors import TrainingError
from trainables.protocol import Evaluation, TrainingRun
from tuner.config import (
    SEGMENTATION,
    BudgetConfig,
    DatasetConfig,
    PreprocessingConfig,
    Section,
    absolute_path,
    cache_folder,
    validated,
)
from tuner.config_errors import naming
from tuner.files import check_output, replace_file
from tuner.importing import code_note, import_named
from tuner.preparation import Prepared, prepare
from tuner.rungs import FULL_BUDGET, rung_steps
from tuner.section import ImportString, LenientPath
from tuner.training_view import watching_training
from tuner.view import View


class TrainConfig(Section):
    """One configuration to train."""

    dataset: DatasetConfig | None = None
    """Needed by segmentation runs."""

    preprocessing: PreprocessingConfig = PreprocessingConfig()
    trainable: ImportString = SEGMENTATION
    """Import string `module:Class` of the training run. It names code that will be run: use only your own files."""

    parameters: dict[str, Any] = Field(min_length=1)
    """Training parameters, each with one value."""

    budget: BudgetConfig
    seed: int = Field(0, ge=0)
    threads: int = Field(1, ge=1)
    """CPU threads. The same number gives the same Dice on the same processor."""

    device: Literal["cpu", "cuda"] | None = None
    """What it is trained on; by default the GPU if there is one. Another kind of device gives another Dice."""

    cache: LenientPath | None = None
    """Folder of preprocessed volumes, as in a sweep file."""

    @model_validator(mode="after")
    def _data_for_a_segmentation(self) -> "TrainConfig":
        if self.trainable == SEGMENTATION and self.dataset is None:
            raise ValueError("dataset is needed to train a segmentation")
        return self

    @classmethod
    def read(cls, path: Path) -> "TrainConfig":
        """Read a configuration file. Raises SweepConfigError naming file, key, rule and value."""
        config = validated(cls, read_yaml(path), source=path)
        base = path.parent
        return config.model_copy(
            update={
                "dataset": config.dataset and config.dataset.resolved(base),
                "cache": config.cache and absolute_path(config.cache, base),
            }
        )


def train_config(
    path: Path, output: Path, *, device: str | None = None, threads: int | None = None, view: View | None = None
) -> Evaluation:
    """Train the configuration in the file `path` to its full budget; model and scores are written to `output`.

    It is evaluated where a sweep would judge it, which leaves the result as it is.

    Args:
        device: `cpu`, `cuda` or e.g. `cuda:1` instead of the file's.
        threads: CPU threads instead of the file's.
        view: where progress is shown; nowhere by default.

    Raises a UserError or TrainableError before training starts, OutputError if `output` holds a model or scores;
    TrainingError where training can't go on.
    """
    view = view or View(quiet=True)
    config = TrainConfig.read(path)
    model, scores = output / "model.pt", output / "scores.json"
    for file in (model, scores):
        check_output(file)
    if note := code_note(path, config.trainable):
        view.note(note)
    build = import_named(config.trainable, key=f"{path}: trainable", kind=TrainingRun)

    from trainables.device import choose_device  # torch takes seconds: not before the file is known to be right
    from trainables.memory_errors import is_out_of_memory

    chosen = choose_device(device or config.device)
    prepared = prepare_config(config, path, str(chosen), view)
    data = prepared.training_data(threads=threads or config.threads) if prepared else {}
    budget = config.budget.full
    try:
        with naming(path, "parameters."):
            run = build(config.parameters, data=data, budget=budget, seed=config.seed, device=str(chosen))
        with watching_training(view.console, run, budget) as tell:
            for step in rung_steps(config.budget.first_share, config.budget.reduction):
                evaluation = run.advance(step / FULL_BUDGET * budget.maximum)
                tell(evaluation)
    except Exception as error:
        if is_out_of_memory(error):
            raise TrainingError(
                f"it does not fit in the memory of {chosen}: {error}; a smaller batch_size or patch_size takes less"
            ) from error
        raise
    if hasattr(run, "save_model"):
        run.save_model(model)
    content = {"dice": evaluation.score, "cases": _plain(evaluation.cases), **evaluation.metrics}
    replace_file(scores, lambda file: file.write_text(json.dumps(content, indent=1)))
    return evaluation


def prepare_config(config: TrainConfig, path: Path, device: str, view: View) -> Prepared | None:
    """The data set, made ready, and the parameters tried on it; None for a training run that needs none.

    Raises as `prepare` does; what the parameters break names `path`, the file they stand in.
    """
    if config.dataset is None:
        return None

    def check(plan: Any, targets: Any) -> None:
        if config.trainable == SEGMENTATION:
            from trainables.segmentation import check_parameters

            with naming(path, "parameters."):
                check_parameters(config.parameters, spacing=plan.spacing, channels=plan.channels, targets=targets)

    if config.trainable == SEGMENTATION:  # what no data set allows is told before the data are looked at
        from trainables.precision import resolve_precision
        from trainables.segmentation_config import SegmentationConfig

        with naming(path, "parameters."):
            SegmentationConfig.from_mapping(config.parameters)
            resolve_precision(config.parameters.get("precision", "auto"), device)

    with view.preparing():
        return prepare(
            config.dataset,
            config.preprocessing,
            cache=cache_folder(config.cache),
            check=check,
            progress=view.progress,
            tell=view.note,
            source=path,
        )


def _plain(cases: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    return {case: dict(scores) for case, scores in cases.items()}
