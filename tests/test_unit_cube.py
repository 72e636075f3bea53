"""Parameters as points of the unit cube."""

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from tuner.unit_cube import UnitCube

SPACE = {
    "rate": FloatDistribution(1e-4, 1e-2, log=True),
    "dropout": FloatDistribution(0.0, 0.5),
    "fraction": FloatDistribution(0.1, 0.7, step=0.2),
    "width": IntDistribution(8, 32, step=8),
    "batch": IntDistribution(1, 64, log=True),
    "loss": CategoricalDistribution(["dice", "ce", "both"]),
}
CUBE = UnitCube(SPACE)  # its columns are in the order of the names: batch, dropout, fraction, loss, rate, width


def test_a_point_gives_back_its_parameters():
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(50):
        parameters = study.ask(SPACE).params
        assert CUBE.parameters(*CUBE.points([parameters])) == pytest.approx(parameters)


def test_a_point_lies_where_its_values_do():
    middle = {"rate": 1e-3, "dropout": 0.125, "fraction": 0.1, "width": 32, "batch": 8, "loss": "both"}
    batch = np.log(8 / 0.5) / np.log(64.5 / 0.5)  # a whole number owns half of the way to the next
    assert CUBE.points([middle])[0] == pytest.approx([batch, 0.25, 1 / 8, 2, 0.5, 7 / 8])


@pytest.mark.parametrize("name", ["draw", "near"])
def test_candidates_are_legal_and_on_the_grid(name):
    rng = np.random.default_rng(0)
    points = CUBE.draw(rng, 300)
    if name == "near":
        points = CUBE.near(rng, points)
    for point in points:
        parameters = CUBE.parameters(point)
        for parameter, distribution in SPACE.items():
            assert distribution._contains(distribution.to_internal_repr(parameters[parameter])), parameters
        assert CUBE.points([parameters])[0] == pytest.approx(point)


def test_each_value_of_a_grid_is_drawn_equally_often():
    drawn = [CUBE.parameters(point) for point in CUBE.draw(np.random.default_rng(0), 4000)]
    assert [sum(one["width"] == width for one in drawn) for width in (8, 16, 24, 32)] == pytest.approx(
        [1000] * 4, rel=0.1
    )
    assert [sum(one["loss"] == loss for one in drawn) for loss in ("dice", "ce", "both")] == pytest.approx(
        [4000 / 3] * 3, rel=0.1
    )


def test_near_keeps_about_half_of_the_parameters():
    rng = np.random.default_rng(0)
    points = CUBE.draw(rng, 500)
    kept = (CUBE.near(rng, points) == points).mean(0)
    assert kept[1] == pytest.approx(0.5, abs=0.1)  # dropout, any number
    assert kept[3] == pytest.approx(0.5 + 0.5 / 3, abs=0.1)  # loss, which may draw its own value again


def test_two_different_choices_are_at_distance_one():
    one, other = CUBE.draw(np.random.default_rng(0), 1), CUBE.draw(np.random.default_rng(0), 1)
    other[0, 3] = (one[0, 3] + 1) % 3
    assert np.linalg.norm(CUBE.columns(one) - CUBE.columns(other)) == pytest.approx(1)
    assert list(CUBE.parameter_of_column) == [0, 1, 2, 3, 3, 3, 4, 5]
