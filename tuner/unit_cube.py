"""Parameters as points of the unit cube, where a model can measure how far apart two configurations are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

Array = np.ndarray


@dataclass(frozen=True, kw_only=True)
class _Number:
    """A float or an int on a line from 0 to 1, its logarithm if it is searched so.

    A number on a grid owns half a step on both sides, so that its ends are drawn as often as what lies between.
    """

    low: float
    high: float
    log: bool
    step: float | None

    def to_unit(self, values: Array) -> Array:
        start, end = self._ends()
        return ((np.log(values) if self.log else values) - start) / (end - start)

    def from_unit(self, unit: Array) -> Array:
        start, end = self._ends()
        values = start + unit * (end - start)
        values = np.exp(values) if self.log else values
        if self.step is not None:
            values = self.low + np.rint((values - self.low) / self.step) * self.step
        return np.clip(values, self.low, self.high)

    def _ends(self) -> tuple[float, float]:
        margin = (self.step or 0.0) / 2
        start, end = self.low - margin, self.high + margin
        return (float(np.log(start)), float(np.log(end))) if self.log else (start, end)


class UnitCube:
    """Configurations of a search space as rows of numbers, one a parameter.

    A float or an int lies between 0 and 1; of a choice stands the index of its value.
    """

    def __init__(self, space: Mapping[str, BaseDistribution]) -> None:
        self._space = {name: space[name] for name in sorted(space)}
        self._numbers: dict[int, _Number] = {}
        self._choices: dict[int, int] = {}
        for index, distribution in enumerate(self._space.values()):
            match distribution:
                case FloatDistribution() | IntDistribution():
                    self._numbers[index] = _Number(
                        low=distribution.low, high=distribution.high, log=distribution.log, step=distribution.step
                    )
                case CategoricalDistribution(choices=choices):
                    self._choices[index] = len(choices)
                case _:
                    raise AssertionError(distribution)
        widths = [self._choices.get(index, 1) for index in range(len(self._space))]
        self.parameter_of_column = np.repeat(np.arange(len(self._space)), widths)
        """Which parameter each column of `columns` belongs to."""

    def points(self, configurations: Sequence[Mapping[str, Any]]) -> Array:
        """The configurations' rows, shape (configurations, parameters)."""
        rows = np.empty((len(configurations), len(self._space)))
        for index, (name, distribution) in enumerate(self._space.items()):
            rows[:, index] = [distribution.to_internal_repr(parameters[name]) for parameters in configurations]
            if index in self._numbers:
                rows[:, index] = self._numbers[index].to_unit(rows[:, index])
        return rows

    def parameters(self, point: Array) -> dict[str, Any]:
        """The configuration of a row that `draw` or `near` gave."""
        values = np.array(point, float)
        for index, number in self._numbers.items():
            values[index] = number.from_unit(values[index])
        named = zip(self._space.items(), values, strict=True)
        return {name: distribution.to_external_repr(float(value)) for (name, distribution), value in named}

    def draw(self, rng: np.random.Generator, count: int) -> Array:
        """Random configurations, shape (count, parameters)."""
        points = rng.random((count, len(self._space)))
        for index, values in self._choices.items():
            points[:, index] = np.floor(points[:, index] * values)
        return self._on_grid(points)

    def near(self, rng: np.random.Generator, points: Array) -> Array:
        """Each point with about half of its parameters changed: numbers by a normal step of 0.03, 0.1 or 0.25 of
        their range, the same size for all of a point's; choices to any of their values.
        """
        sizes = rng.choice([0.03, 0.1, 0.25], size=(len(points), 1))
        changed = rng.random(points.shape) < 0.5
        moved = points + rng.normal(size=points.shape) * sizes
        moved = np.abs(moved)  # what leaves the range is reflected into it
        moved = np.clip(np.where(moved > 1, 2 - moved, moved), 0, 1)
        for index, values in self._choices.items():
            moved[:, index] = rng.integers(values, size=len(points))
        return self._on_grid(np.where(changed, moved, points))

    def columns(self, points: Array) -> Array:
        """Points with each choice spread over a column a value, so that two different values are at distance 1."""
        parts = []
        for index in range(len(self._space)):
            column = points[:, index : index + 1]
            if index in self._choices:
                column = (column == np.arange(self._choices[index])) * np.sqrt(0.5)
            parts.append(column)
        return np.hstack(parts)

    def _on_grid(self, points: Array) -> Array:
        for index, number in self._numbers.items():
            if number.step is not None:
                points[:, index] = number.to_unit(number.from_unit(points[:, index]))
        return points
