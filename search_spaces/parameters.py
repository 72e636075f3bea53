"""The four kinds of parameter: a float or an int between inclusive bounds, a choice of values, a fixed value.

Each checks itself when built, says whether a value is one of its own, and gives it in its own spelling. Their rules are
those of Optuna's distributions, with one addition: bounds that a step does not meet are refused here, where Optuna
moves them silently.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeGuard

from search_spaces.errors import SpaceError

Scalar = str | int | float | bool

STEP_TOLERANCE = 1e-8
"""Part of a step by which a float may miss the grid: 0.1 + 0.2 is still 0.3."""

MOST_CHOICES = 1000
"""Each is compared with all others, and tried before a sweep starts."""

MOST_STEPS = 10**15
"""Values of a float's grid: a float has no more digits than that."""

SIZE_LABEL = re.compile(r"[1-9][0-9]{0,8}(x[1-9][0-9]{0,8}){2}")


@dataclass(frozen=True, kw_only=True)
class Float:
    """A real number, `low <= value <= high`."""

    low: float
    high: float
    log: bool = False
    """Search the logarithm: 1e-4 to 1e-3 is as wide as 1e-3 to 1e-2."""

    step: float | None = None
    """Distance of the grid `low, low + step, ..., high`; None for any number between the bounds."""

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            object.__setattr__(self, name, float(_number(name, getattr(self, name))))
        if self.step is not None:
            object.__setattr__(self, "step", float(_number("step", self.step)))
        _check_range(self.low, self.high, log=self.log, step=self.step)
        if self.log and self.step is not None:
            raise SpaceError(f"log and step {self.step:g} exclude one another; leave one out")

    def validate(self, name: str, value: Any) -> None:
        if not _is_finite(value):
            raise SpaceError(f"{name}: {value!r:.60} is not a number")
        _check_inside(name, value, self.low, self.high)
        if self.step is not None:
            steps = (value - self.low) / self.step
            if abs(steps - round(steps)) > STEP_TOLERANCE:
                raise SpaceError(f"{name}: {value!r} is not {self.low:g} plus a multiple of the step {self.step:g}")

    def canonical(self, value: Any) -> Any:
        return value

    def size(self) -> int | None:
        return None if self.step is None else round((self.high - self.low) / self.step) + 1

    def grid(self) -> list[float]:
        """All values, ascending; only where there is a step. As they are written: in binary 3 * 0.1 is above 0.3."""
        assert self.step is not None, "without a step there is no end of values"
        first, distance = _exact(self.low), _exact(self.step)
        return [float(first + index * distance) for index in range(self.size() or 0)]

    def to_yaml(self) -> dict[str, Any]:
        form: dict[str, Any] = {"float": [self.low, self.high]}
        if self.log:
            form["log"] = True
        if self.step is not None:
            form["step"] = self.step
        return form


@dataclass(frozen=True, kw_only=True)
class Int:
    """A whole number, `low <= value <= high`."""

    low: int
    high: int
    log: bool = False
    """Search the logarithm: 8 to 16 is as wide as 16 to 32."""

    step: int = 1
    """Distance of the grid `low, low + step, ..., high`."""

    def __post_init__(self) -> None:
        for name in ("low", "high", "step"):
            if not _is_int(getattr(self, name)):
                raise SpaceError(f"{name} {getattr(self, name)!r} is not a whole number")
        _check_range(self.low, self.high, log=self.log, step=self.step)
        if self.log and self.step != 1:
            raise SpaceError(f"log and step {self.step} exclude one another; leave one out")

    def validate(self, name: str, value: Any) -> None:
        if not _is_int(value):
            raise SpaceError(f"{name}: {value!r} is not a whole number")
        _check_inside(name, value, self.low, self.high)
        if (value - self.low) % self.step:
            raise SpaceError(f"{name}: {value} is not {self.low} plus a multiple of the step {self.step}")

    def canonical(self, value: Any) -> Any:
        return value

    def size(self) -> int | None:
        return (self.high - self.low) // self.step + 1

    def grid(self) -> list[int]:
        """All values, ascending."""
        return list(range(self.low, self.high + 1, self.step))

    def to_yaml(self) -> dict[str, Any]:
        form: dict[str, Any] = {"int": [self.low, self.high]}
        if self.log:
            form["log"] = True
        if self.step != 1:
            form["step"] = self.step
        return form


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One of several values without an order. A size `[40, 56, 40]` becomes the label `40x56x40`."""

    values: tuple[Scalar, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.values, Sequence) or isinstance(self.values, str):
            raise SpaceError(f"choice needs a list of values, got {self.values!r}")
        object.__setattr__(self, "values", tuple(as_scalar(value) for value in self.values))
        if len(self.values) > MOST_CHOICES:
            raise SpaceError(f"choice holds {len(self.values)} values; at most {MOST_CHOICES} can be searched")
        if len(self.values) < 2:
            raise SpaceError(f"choice needs at least two values, got {list(self.values)}; a value alone fixes it")
        for index, value in enumerate(self.values):
            # Equality, not identity of type: 1, 1.0 and True are one and the same choice to Optuna.
            if any(value == other or _same(value, other) for other in self.values[:index]):
                raise SpaceError(f"choice holds {value!r} twice (1, 1.0 and true count as equal, and 32 and 32x32x32)")

    def validate(self, name: str, value: Any) -> None:
        if not any(_same(value, own) for own in self.values):
            raise SpaceError(f"{name}: {value!r} is not one of {', '.join(map(repr, self.values))}")

    def canonical(self, value: Any) -> Scalar:
        """The choice that `value` is another spelling of."""
        return next(own for own in self.values if _same(value, own))

    def size(self) -> int | None:
        return len(self.values)

    def to_yaml(self) -> dict[str, Any]:
        return {"choice": list(self.values)}


@dataclass(frozen=True, kw_only=True)
class Fixed:
    """One value that the search leaves alone."""

    value: Scalar

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", as_scalar(self.value))

    def validate(self, name: str, value: Any) -> None:
        if not _same(value, self.value):
            raise SpaceError(f"{name}: {value!r} given, but the space fixes it to {self.value!r}")

    def canonical(self, value: Any) -> Scalar:
        return self.value

    def size(self) -> int | None:
        return 1

    def to_yaml(self) -> Scalar:
        return self.value


Parameter = Float | Int | Choice | Fixed


def as_scalar(value: Any) -> Scalar:
    """`value` itself if it is a string, a finite number or a bool; a size of three whole numbers as its label.

    Studies keep text and numbers only: a tuple would come back from their storage as a list, equal to none of the
    choices.
    """
    if isinstance(value, str | bool) or _is_int(value):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise SpaceError(f"{value} is not a finite number")
        return value
    if isinstance(value, list | tuple):
        if size := _as_size(value):
            return "x".join(map(str, size))
        raise SpaceError(
            f"{list(value)} is neither a value nor a size of three whole numbers; "
            f"to search among its values write {{choice: [...]}}"
        )
    shown = "null" if value is None else repr(value)
    raise SpaceError(f"{shown} is not a value: expected text, a number, true or false")


def _is_int(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_finite(value: Any) -> TypeGuard[int | float]:
    """Whether it is a number that a float can hold."""
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # a whole number of more than 308 digits
        return False


def _same(a: Any, b: Scalar) -> bool:
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    return bool(a == b) or (_as_size(a) == _as_size(b) is not None)


def _as_size(value: Any) -> tuple[int, ...] | None:
    """Three whole numbers above 0, from any spelling: `[40, 56, 40]`, `40x56x40`, or 40 for a cube."""
    if isinstance(value, str) and SIZE_LABEL.fullmatch(value):
        return tuple(map(int, value.split("x")))
    sides = [value] * 3 if _is_int(value) else value
    if isinstance(sides, list | tuple) and len(sides) == 3 and all(_is_int(side) and side > 0 for side in sides):
        return tuple(sides)
    return None


def _number(name: str, value: Any) -> int | float:
    if not _is_finite(value):
        raise SpaceError(f"{name} {value!r:.60} is not a finite number")
    return value


def _check_range(low: float, high: float, *, log: bool, step: float | None) -> None:
    if not isinstance(log, bool):
        raise SpaceError(f"log must be true or false, got {log!r}")
    if low >= high:
        raise SpaceError(f"low {low!r} must be below high {high!r}")
    if log and low <= 0:
        raise SpaceError(f"a log scale needs low above 0, got {low!r}")
    if step is None:
        return
    if step <= 0:
        raise SpaceError(f"step must be above 0, got {step!r}")
    if isinstance(step, float) and (high - low) / step > MOST_STEPS:
        raise SpaceError(f"step {step!r} makes more than {MOST_STEPS:.0e} values from low {low!r} to high {high!r}")
    first, last, distance = map(_exact, (low, high, step))
    if (last - first) % distance:
        reached = first + (last - first) // distance * distance
        raise SpaceError(
            f"steps of {step!r} from low {low!r} do not meet high {high!r}; the last one below is {reached}"
        )


def _exact(number: float) -> Any:
    """A float as the decimal that is written: in binary (0.3 - 0.1) / 0.1 falls short of 2."""
    return Decimal(repr(number)) if isinstance(number, float) else number


def _check_inside(name: str, value: float, low: float, high: float) -> None:
    if value < low:
        raise SpaceError(f"{name}: {value!r} is below the lower bound {low!r}")
    if value > high:
        raise SpaceError(f"{name}: {value!r} is above the upper bound {high!r}")
