"""Dice on a log scale of the error 1 - Dice: from 0.80 to 0.90 is as far as from 0.60 to 0.80.

Good trials differ by a hundredth where bad ones differ by tenths.
"""

import math
from dataclasses import dataclass

import pandas as pd

HIGHEST_DICE = 0.999
FEWEST_TICKS = 3
DICE_TICKS = (0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.825, 0.85, 0.875, 0.9, 0.92, 0.94, 0.95, 0.96, 0.97, 0.98, 0.99)


@dataclass(frozen=True)
class DiceScale:
    """What an axis shows of it."""

    low: float
    """The axis' ends, as Dice."""

    high: float
    ticks: tuple[float, ...]


def dice_scale(scores: pd.Series) -> DiceScale | None:
    """The scale that shows all of `scores`; None where they can't be Dice and belong on a linear scale."""
    if scores.empty or not scores.between(0, HIGHEST_DICE).all():
        return None
    low, high = 1 - (1 - float(scores.min())) * 1.08, 1 - (1 - float(scores.max())) * 0.92
    ticks = tuple(tick for tick in DICE_TICKS if low <= tick <= high)
    return DiceScale(low, high, ticks if len(ticks) >= FEWEST_TICKS else _even_ticks(low, high))


def _even_ticks(low: float, high: float) -> tuple[float, ...]:
    """For scores that hardly differ: multiples of 1, 2 or 5 times a power of ten, FEWEST_TICKS of them or more."""
    power = 10.0 ** math.floor(math.log10(high - low))
    step = next(power * part for part in (1, 0.5, 0.2, 0.1) if (high - low) / (power * part) >= FEWEST_TICKS)
    return tuple(round(place * step, 9) for place in range(math.ceil(max(low, 0) / step), math.floor(high / step) + 1))
