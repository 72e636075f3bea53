"""The Gaussian process over parameters and budget."""

import numpy as np
import pytest
from sklearn.gaussian_process.kernels import Matern

from tuner.gaussian_process import GaussianProcess, Hyperparameters, Inputs, fit

ONE_EACH = np.arange(3)
RNG = np.random.default_rng(0)
SEEN = Inputs(RNG.random((12, 3)), ONE_EACH, RNG.choice([0.0, 1.1, 2.2], 12))
VALUES = RNG.normal(size=12)
ASKED = Inputs(RNG.random((5, 3)), ONE_EACH, RNG.choice([0.0, 1.1], 5))
SCALES = np.array([0.3, 0.8, 2.0])
TWICE = np.array([0, 1, 2, 2])
"""The third parameter has two columns."""

GIVEN = Hyperparameters(np.log(SCALES), budget_scale=np.log(1.7), noise=np.log(0.02))


def kernel(first: Inputs, second: Inputs) -> np.ndarray:
    """The same, from scikit-learn's parts."""
    over_parameters = Matern(SCALES, nu=2.5)(first.columns, second.columns)
    return over_parameters * Matern(1.7, nu=0.5)(first.budgets[:, None], second.budgets[:, None])


def test_posterior_is_that_of_the_textbook():
    covariance = kernel(SEEN, SEEN) + 0.02 * np.eye(12)
    variance = VALUES @ np.linalg.solve(covariance, VALUES) / 12
    across = kernel(ASKED, SEEN)
    mean, deviation = GaussianProcess(GIVEN, SEEN, VALUES).predict(ASKED)
    assert mean == pytest.approx(across @ np.linalg.solve(covariance, VALUES))
    left = 1 - np.einsum("ij,ji->i", across, np.linalg.solve(covariance, across.T))
    assert deviation == pytest.approx(np.sqrt(variance * left))


def test_columns_of_one_parameter_share_its_length_scale():
    columns = np.hstack([SEEN.columns, SEEN.columns[:, 2:]])
    shared = GaussianProcess(GIVEN, Inputs(columns, TWICE, SEEN.budgets), VALUES)
    spread = SEEN.columns * [1, 1, np.sqrt(2)]
    single = GaussianProcess(GIVEN, Inputs(spread, ONE_EACH, SEEN.budgets), VALUES)
    asked = Inputs(np.hstack([ASKED.columns, ASKED.columns[:, 2:]]), TWICE, ASKED.budgets)
    alike = Inputs(ASKED.columns * [1, 1, np.sqrt(2)], ONE_EACH, ASKED.budgets)
    assert shared.predict(asked)[0] == pytest.approx(single.predict(alike)[0])


def test_believing_keeps_what_is_expected_and_leaves_little_to_learn():
    process = GaussianProcess(GIVEN, SEEN, VALUES)
    mean, deviation = process.predict(ASKED)
    after, left = process.believing(ASKED).predict(ASKED)
    assert after == pytest.approx(mean, abs=0.1)
    assert (left < 0.5 * deviation).all()


def test_fit_finds_which_parameter_matters_and_how_budgets_correlate():
    rng = np.random.default_rng(1)
    columns, budgets = rng.random((60, 3)), rng.choice([0.0, 2.2], 60)
    values = np.sin(8 * columns[:, 1])
    same = fit(Inputs(columns, ONE_EACH, budgets), values - values.mean())
    assert same.scales[1] + 1.5 < min(same.scales[0], same.scales[2])
    opposite = np.where(budgets > 0, np.sin(8 * columns[:, 0]), values)  # a low budget says nothing of the full one
    other = fit(Inputs(columns, ONE_EACH, budgets), opposite - opposite.mean())
    assert other.budget_scale + 1.5 < same.budget_scale


def test_fit_ends_at_a_maximum_of_the_posterior_probability():
    """Checked with the likelihood written out anew: every step away from the end makes it less probable."""
    rng = np.random.default_rng(2)
    inputs = Inputs(rng.random((30, 2)), np.arange(2), rng.choice([0.0, 1.1], 30))
    values = np.cos(5 * inputs.columns[:, 0]) + 0.3 * inputs.columns[:, 1] + 0.2 * rng.normal(size=30)
    values -= values.mean()

    def probability(theta: np.ndarray) -> float:
        over_parameters = Matern(np.exp(theta[:2]), nu=2.5)(inputs.columns)
        over_budgets = Matern(np.exp(theta[2]), nu=0.5)(inputs.budgets[:, None])
        covariance = over_parameters * over_budgets + np.exp(theta[3]) * np.eye(30)
        variance = values @ np.linalg.solve(covariance, values) / 30
        off = (theta - np.log([0.6, 0.6, 5.4, 0.01])) / [1, 1, 1, 1.5]
        return -15 * np.log(variance) - np.linalg.slogdet(covariance)[1] / 2 - off @ off / 2

    found = fit(inputs, values, iterations=200)
    end = np.array([*found.scales, found.budget_scale, found.noise])
    for index in range(4):
        for step in (-0.1, 0.1):
            assert probability(end + step * np.eye(4)[index]) < probability(end)
