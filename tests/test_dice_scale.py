"""The log scale of the error that Dice is drawn on."""

import pandas as pd
import pytest

from tuner.dice_scale import dice_scale


def test_scale_shows_all_scores_with_ticks_between_its_ends() -> None:
    scale = dice_scale(pd.Series([0.42, 0.83, 0.9]))
    assert scale is not None
    assert scale.low < 0.42 < 0.9 < scale.high
    assert scale.ticks == (0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.825, 0.85, 0.875, 0.9)


@pytest.mark.parametrize("scores", [[0.871], [0.9001, 0.9002], [0.0], [0.99899]])
def test_scores_that_hardly_differ_have_ticks_too(scores: list[float]) -> None:
    scale = dice_scale(pd.Series(scores))
    assert scale is not None
    assert 2 <= len(scale.ticks) <= 12
    assert all(max(scale.low, 0) <= tick <= scale.high for tick in scale.ticks)


@pytest.mark.parametrize("scores", [[], [0.5, 1.2], [-0.1], [0.9995]])
def test_what_can_be_no_dice_has_no_scale(scores: list[float]) -> None:
    assert dice_scale(pd.Series(scores, dtype=float)) is None
