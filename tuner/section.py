"""What the parts of a configuration file have in common: how they are typed, checked and explained."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from tuner.config_errors import explain
from tuner.errors import SweepConfigError

SectionT = TypeVar("SectionT", bound="Section")


def _without_nul(path: Path) -> Path:
    if "\0" in str(path):
        raise ValueError("must hold no NUL, which ends a path")
    return path


LenientPath = Annotated[Path, Field(strict=False), AfterValidator(_without_nul)]
"""A path, which a file gives as text."""

ImportString = Annotated[
    str,
    Field(pattern=r"^[\w.]+:\w+$", json_schema_extra={"patternErrorMessage": "an import string module:Class"}),
]

SweepName = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$",
        json_schema_extra={
            "patternErrorMessage": "up to 100 letters, digits, '.', '_' and '-', the first a letter or digit"
        },
    ),
]


class Section(BaseModel):
    """A part of a configuration file: unknown keys are errors, values are of the type that is asked for (no `"12"` or
    `true` for 12; a whole number will do for a number), nothing changes later."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


def validated(model: type[SectionT], content: Mapping[str, Any], *, source: Path | str) -> SectionT:
    """Build `model` from a file's content. Raises SweepConfigError naming `source`, key, rule and value."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        lines = explain(error, model.model_json_schema(), content)
        raise SweepConfigError("\n".join(f"{source}: {line}" for line in lines)) from None


def absolute_path(path: Path, base: Path) -> Path:
    """`path` without `~` and `..`; a relative one counts from `base`."""
    home = os.path.expanduser(path)  # noqa: PTH111 (`~name` of nobody stays as it is, where Path's raises)
    return Path(os.path.normpath(base.absolute() / home))
