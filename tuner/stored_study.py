"""Reads a study as it is stored, and believes nothing in it that breaks a rule: it may come from anyone.

What voxtune writes into a study is listed here by type (`TrialAttributes`, `StudyAttributes`); other names are free, as
a trainable of one's own may tell facts of its own. All that reads a study may then count on it.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any, Literal

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from search_spaces.errors import SpaceError
from search_spaces.parameters import Choice
from search_spaces.space import SearchSpace, parse_space
from tuner.config import Objective
from tuner.errors import StudyError, SweepInterrupted, UserError
from tuner.rungs import FULL_BUDGET
from tuner.storage import FOLDS

Finite = Annotated[float, Field(allow_inf_nan=False)]
Seconds = Annotated[Finite, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]
Scores = dict[str, dict[str, float]]
"""Dice by case and class."""


class _Record(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow")


class EvaluationRecord(_Record):
    """What `SweepStudy.report` writes of an evaluation; its metrics stand beside, one number each."""

    step: Annotated[int, Field(ge=1, le=FULL_BUDGET)]
    score: Finite
    budget_used: Finite
    steps: Count
    training_seconds: Seconds
    evaluation_seconds: Seconds


class StintRecord(_Record):
    """See `tuner.stint`."""

    node: str
    pid: int
    began: Finite
    first_step: Finite | None
    ended: Finite
    start: Finite
    advance: Finite
    checkpoint: Finite


class TrialAttributes(_Record):
    """The user attributes of a trial; any may be missing."""

    seed: Count = 0
    attempt: Count = 0
    lost: Count = 0
    timed_out: Count = 0
    driver: str | None = None
    origin: str | None = None
    of: Count = 0
    stop_reason: str = ""
    feasible: bool = True
    error: str = ""
    evaluations: Annotated[list[EvaluationRecord], Field(min_length=1)] = []
    cases: Scores = {}
    stints: list[StintRecord] = []
    parameters: Count | None = None
    estimated_gib: Finite | None = None
    memory_limit_gib: Finite | None = None
    peak_gib: Finite | None = None
    data_seconds: Finite | None = None
    skipped_steps: Count | None = None
    precision: str | None = None
    memory_format: str | None = None
    device: str | None = None


class StudyAttributes(_Record):
    """The user attributes of a study; any may be missing."""

    space: dict[str, Any] = {}
    objectives: Annotated[list[Objective], Field(min_length=1)] = ["dice"]
    test: dict[str, Scores] = {}
    over: str | None = None
    devices_per_trial: dict[Literal["GPU", "core"], Finite] = {}
    searched_seconds: Seconds = 0.0
    configurations: dict[str, dict[str, Any]] = {}
    trainable: str = ""
    budget: dict[str, Any] = {}
    dataset: dict[str, Any] | None = None


class FoldsAttributes(StudyAttributes):
    """The same of `voxtune train --folds`, whose models are scored together and apart."""

    test: dict[str, dict[str, Scores]] = {}  # type: ignore[assignment]
    """By configuration and model: `ensemble`, `fold 0`..."""


def load_study(storage: BaseStorage, name: str, *, where: object) -> optuna.Study | None:
    """The study `name`, all of which keeps the rules; None where the storage, called `where` in errors, has none.

    Raises StudyError, naming trial, attribute, rule and value.
    """
    with readable(where):
        if name not in optuna.get_all_study_names(storage):
            return None
        study = optuna.load_study(study_name=name, storage=storage)
        check_study(study, where=where)
        return study


@contextmanager
def readable(where: object) -> Iterator[None]:
    """What Optuna and the database's driver raise in the block, where a stored value is not what they wrote.

    They have no error in common for that. Raises StudyError.
    """
    try:
        yield
    except (UserError, SweepInterrupted):
        raise
    except Exception as error:
        told = " ".join(f"{type(error).__name__}: {error}".split())
        raise StudyError(f"{where}: holds what Optuna {optuna.__version__} can't read: {told:.300}") from error


def check_study(study: optuna.Study, *, where: object) -> None:
    """Raises StudyError unless the study's attributes and all its trials are as voxtune writes them."""
    place = f"{where}: study {study.study_name!r}"
    attributes = study.user_attrs
    is_of_folds = study.study_name.rpartition("/")[2] == FOLDS
    _check_attributes(FoldsAttributes if is_of_folds else StudyAttributes, attributes, place)
    objectives = attributes.get("objectives", ["dice"])
    if len(set(objectives)) < len(objectives) or len(objectives) != len(study.directions):
        raise StudyError(f"{place}: objectives {objectives} do not fit its {len(study.directions)} directions")
    try:
        space = parse_space(attributes["space"]) if "space" in attributes else None
    except SpaceError as error:
        raise StudyError(f"{place}: {error}") from None
    for number, trial in enumerate(study.get_trials(deepcopy=False)):
        _check_trial(trial, number, space, len(objectives), f"{place}: trial {number}")


def _check_trial(trial: FrozenTrial, number: int, space: SearchSpace | None, objectives: int, place: str) -> None:
    if trial.number != number:
        raise StudyError(f"{place}: its number is {trial.number}, and trials are numbered from 0 without a gap")
    _check_attributes(TrialAttributes, trial.user_attrs, place)
    for evaluation in trial.user_attrs.get("evaluations", []):
        for name, value in evaluation.items():
            if not isinstance(value, int | float):
                raise StudyError(f"{place}: {name} of an evaluation must be a number, got {value!r:.80}")
    for name, value in trial.params.items():
        _check_parameter(space, name, value, place)
    for step, score in trial.intermediate_values.items():
        if not (1 <= step <= FULL_BUDGET and math.isfinite(score)):
            raise StudyError(
                f"{place}: scores are finite, at 1 to {FULL_BUDGET} thousandths of the budget; got {score} at {step}"
            )
    if trial.state.is_finished() and space and trial.params.keys() != space.searched.keys():
        raise StudyError(f"{place}: is {trial.state.name}, and has no value for some of {', '.join(space.searched)}")
    if trial.state.is_finished() and (trial.datetime_start is None or trial.datetime_complete is None):
        raise StudyError(f"{place}: is {trial.state.name}, and lacks the time at which it began or ended")
    if trial.state == TrialState.COMPLETE and (
        FULL_BUDGET not in trial.intermediate_values
        or len(trial.values) != objectives
        or "evaluations" not in trial.user_attrs
    ):
        raise StudyError(f"{place}: is COMPLETE, and lacks its scores at the full budget")


def _check_parameter(space: SearchSpace | None, name: str, value: Any, place: str) -> None:
    """A value's bounds are the storage's matter, which has the distribution; its name and type are ours."""
    parameter = space.searched.get(name) if space else None
    if parameter is None:
        raise StudyError(f"{place}: has a value for {name!r:.80}, which the study does not search")
    if isinstance(parameter, Choice):
        try:
            parameter.validate(name, value)
        except SpaceError as error:
            raise StudyError(f"{place}: {error}") from None
    elif isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise StudyError(f"{place}: {name} must be a number, got {value!r:.80}")


def _check_attributes(kind: type[_Record], attributes: Mapping[str, Any], place: str) -> None:
    try:
        kind.model_validate(attributes)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise StudyError(f"{place}: attribute {where}: {_rule(first)}") from None


def _rule(problem: Mapping[str, Any]) -> str:
    if problem["type"] == "missing":
        return "is missing"
    rule = problem["msg"].removeprefix("Input ").replace("valid integer", "whole number").replace("valid ", "")
    return f"{rule}, got {problem['input']!r:.80}"
