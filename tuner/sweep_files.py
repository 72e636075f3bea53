"""The small JSON files of a sweep's directory, which may come from anyone: what is read of them is of its type."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tuner.directory import SweepDirectory
from tuner.errors import SweepDirectoryError

Finite = Annotated[float, Field(allow_inf_nan=False)]


class _Content(BaseModel):
    """Keys that are not named here are read by nobody, or as text alone."""

    model_config = ConfigDict(strict=True, extra="allow", protected_namespaces=())


class Split(_Content):
    """`split.json`: names of cases."""

    train: list[str]
    validation: list[str]
    test: list[str]


class _Extremes(_Content):
    lowest: list[Finite]
    highest: list[Finite]
    median: list[Finite] = []


class _Data(_Content):
    name: str = ""
    modalities: list[str] = []
    spacing: _Extremes | None = None
    shape: _Extremes | None = None
    label_shares: dict[str, Finite] = {}
    prepared_spacing: list[Finite] = []
    normalisation: list[str] = []
    content_hash: str = ""


class _Device(_Content):
    name: str
    memory_gib: Finite


class _Format(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    precision: Literal["fp32", "tf32", "bf16", "fp16"]
    memory_format: str
    step_seconds: Finite | None = None
    gradient_error: float | None = None
    failure: str | None = None


class _PrecisionCheck(_Content):
    device: str
    patch_size: list[int]
    batch_size: int
    rows: list[_Format]
    fault: str | None = None


class Environment(_Content):
    """`environment.json`, see `tuner.environment`."""

    libraries: dict[str, str | None] = {}
    devices: list[_Device] = []
    command: str | list[str] = ""
    precision_checks: list[_PrecisionCheck] = []
    dataset: _Data = _Data()


class _Case(_Content):
    case: str
    dice: float
    classes: dict[str, float]
    picture: str = ""


class BestCases(_Content):
    """`best/cases.json`, see `tuner.best_cases`."""

    run: str
    part: str
    rows: str
    cases: list[_Case]


def read_split(directory: SweepDirectory) -> dict[str, Any]:
    """What `split.json` holds; empty where there is none. Raises SweepDirectoryError."""
    return _read(directory.split_file, Split)


def read_environment(directory: SweepDirectory) -> dict[str, Any]:
    """What `environment.json` holds; empty where there is none. Raises SweepDirectoryError."""
    return _read(directory.environment_file, Environment)


def read_best_cases(directory: SweepDirectory) -> dict[str, Any]:
    """What `best/cases.json` holds; empty where there is none. Raises SweepDirectoryError."""
    return _read(directory.best_cases, BestCases)


def _read(file: Path, kind: type[BaseModel]) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        kind.model_validate(content)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise SweepDirectoryError(f"{file}: can't be read: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"]))
        rule = first["msg"].removeprefix("Input ")
        raise SweepDirectoryError(f"{file}: {f'{key}: ' if key else ''}{rule}, got {first['input']!r:.80}") from None
    except (ValueError, RecursionError) as error:
        raise SweepDirectoryError(f"{file}: not valid JSON: {error}") from None
    return content
