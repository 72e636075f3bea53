"""Trains one configuration outside Ray: a sweep's best one again, or one written by hand."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from search_spaces.yaml_file import read_yaml
from trainables.protocol import Evaluation
from tuner.config import (
    BudgetConfig,
    DatasetConfig,
    PreprocessingConfig,
    Section,
    absolute_path,
    cache_folder,
    validated,
)
from tuner.errors import SweepDirectoryError
from tuner.files import replace_file
from tuner.preparation import prepare
from tuner.view import View


class TrainConfig(Section):
    """One configuration to train."""

    dataset: DatasetConfig
    preprocessing: PreprocessingConfig = PreprocessingConfig()
    parameters: dict[str, Any] = Field(min_length=1)
    """Training parameters, each with one value."""

    budget: BudgetConfig
    seed: int = Field(0, ge=0)
    threads: int = Field(1, ge=1)
    """CPU threads. The same number gives the same Dice on the same processor."""

    cache: Path | None = None
    """Folder of preprocessed volumes, as in a sweep file."""

    @classmethod
    def read(cls, path: Path) -> "TrainConfig":
        """Read a configuration file. Raises SweepConfigError naming file, key, rule and value."""
        config = validated(cls, read_yaml(path), source=path)
        base = path.parent
        return config.model_copy(
            update={
                "dataset": config.dataset.resolved(base),
                "cache": config.cache and absolute_path(config.cache, base),
            }
        )


def train_config(
    path: Path, output: Path, *, device: str | None = None, threads: int | None = None, view: View | None = None
) -> Evaluation:
    """Train the configuration in the file `path` to its full budget; model and scores are written to `output`.

    Args:
        device: `cpu` or `cuda`; by default the GPU if there is one.
        threads: CPU threads instead of the file's.

    Raises a UserError or TrainableError before training starts; SweepDirectoryError if `output` holds a model.
    """
    view = view or View(quiet=True)
    config = TrainConfig.read(path)
    model = output / "model.pt"
    if model.exists():
        raise SweepDirectoryError(f"{model} exists already: nothing was touched; choose another --output")

    import torch  # takes seconds: not before the file is known to be right

    from trainables.segmentation import SegmentationRun, check_parameters

    def check(plan: Any, targets: Any) -> None:
        check_parameters(config.parameters, spacing=plan.spacing, channels=len(plan.normalisation), targets=targets)

    with view.preparing():
        prepared = prepare(
            config.dataset,
            config.preprocessing,
            cache=cache_folder(config.cache),
            check=check,
            progress=view.progress,
            tell=view.note,
        )
    run = SegmentationRun(
        config.parameters,
        data=prepared.training_data(threads=threads or config.threads),
        budget=config.budget.full,
        seed=config.seed,
        device=device or ("cuda" if torch.cuda.is_available() else "cpu"),
    )
    evaluation = run.advance(config.budget.maximum)
    run.save_model(model)
    scores = {"dice": evaluation.score, "cases": _plain(evaluation.cases), **evaluation.metrics}
    replace_file(output / "scores.json", lambda file: file.write_text(json.dumps(scores, indent=1)))
    return evaluation


def _plain(cases: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    return {case: dict(scores) for case, scores in cases.items()}
