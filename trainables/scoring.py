"""Scores models on cases whose labels are known, in each case's own grid."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from trainables.case_files import read_case
from trainables.dataset import Case, Dataset
from trainables.dice import dice_score
from trainables.errors import DatasetError, PredictionError, TrainableError
from trainables.image_rules import check_order
from trainables.memory_errors import is_out_of_memory
from trainables.model_file import Model
from trainables.predictor import Predictor
from trainables.surface import SurfaceScore, check_tolerance, surface_scores
from trainables.targets import Targets


@dataclass(frozen=True, kw_only=True)
class CaseScore:
    """How well one class or region of one case was found."""

    case: str
    target: str
    dice: float
    """0 to 1, in the voxels of the case's own file; `trainables.dice` says what an absent class scores."""

    surface: SurfaceScore | None = None
    """Where surfaces were compared."""


def evaluate_dataset(
    models: Sequence[Model],
    dataset: Dataset,
    names: Iterable[str] | None = None,
    *,
    device: str | None = None,
    flips: str = "",
    tolerance: float | None = None,
    progress: Callable[[int, int], None] = lambda done, of: None,
    on_failure: Callable[[str], None] | None = None,
) -> list[CaseScore]:
    """Scores of `models`, one or an ensemble, on the cases `names` (default: all) of `dataset`, by case and target.

    What is scored is what `predict_files` would write, voxel by voxel of the case's own file.

    Args:
        flips: as in `Predictor`.
        tolerance: mm by which surfaces may differ in `surface_scores`; None leaves surfaces out.
        on_failure: told what is wrong with a case that can't be scored, which is left out; by default it is raised.

    Raises DatasetError for an unknown case, a file that breaks a rule, other channels than the model's, or labels that
    the data set lacks; PredictionError where memory does not hold a case; SettingError for device, flips or tolerance.
    """
    known = {case.name: case for case in dataset.cases}
    names = list(known if names is None else names)
    if unknown := [name for name in names if name not in known]:
        raise DatasetError(f"{dataset.source}: has no case {unknown[0]!r}")
    model = models[0]
    if len(dataset.modalities) != len(model.modalities):
        raise DatasetError(
            f"{dataset.source}: declares {len(dataset.modalities)} channels ({', '.join(dataset.modalities)}), "
            f"the model was trained on {len(model.modalities)} ({', '.join(model.modalities)})"
        )
    check_order(dataset.source, dataset.modalities, model.modalities)
    _check_labels(dataset, model.targets)
    if tolerance is not None:
        check_tolerance(tolerance)
    predictor = Predictor(models, device=device, flips=flips)
    rows: list[CaseScore] = []
    for done, name in enumerate(names, start=1):
        try:
            rows += _score(predictor, dataset, known[name], tolerance)
        except (TrainableError, PredictionError) as error:
            if on_failure is None:
                raise
            on_failure(str(error))
        progress(done, len(names))
    return rows


def _score(predictor: Predictor, dataset: Dataset, case: Case, tolerance: float | None) -> list[CaseScore]:
    targets = predictor.targets
    try:
        read = read_case(dataset, case)
        found = targets.encode(predictor.label(read.image, read.affine))
        truth = targets.encode(read.label)
        dice = dice_score(found, truth, targets)
        surfaces = {} if tolerance is None else surface_scores(found, truth, targets, read.affine, tolerance=tolerance)
    except Exception as error:
        if is_out_of_memory(error):
            raise PredictionError(f"{case.image}: does not fit into memory") from error
        raise
    return [
        CaseScore(case=case.name, target=target, dice=score, surface=surfaces.get(target))
        for target, score in dice.items()
    ]


def _check_labels(dataset: Dataset, targets: Targets) -> None:
    for target, values in zip(targets.names, targets.members, strict=True):
        if dataset.labels and (missing := [value for value in values if value not in dataset.labels]):
            raise DatasetError(f"{dataset.source}: declares no label {missing[0]}, which makes the model's {target}")
