"""A Gaussian process over configurations and the budget that they were trained with.

Kernel: Matern 5/2 over the parameters, a length scale each, times an exponential over the logarithm of the budget. Its
hyperparameters are those of greatest posterior probability: marginal likelihood (Rasmussen and Williams, "Gaussian
Processes for Machine Learning", 2006, eq. 5.8 and 5.9), the signal's variance at its best value in closed form, times
log-normal priors. Written in NumPy since a search asks for thousands of predictions from few points: scikit-learn's has
no kernel over a part of the columns, no priors, and takes several times as long.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize

Array = np.ndarray

LENGTH_SCALE, LENGTH_SCALE_SPREAD = math.log(0.6), 1.0
"""Prior of a parameter's length scale (1: its range), mean and standard deviation of the logarithm."""

BUDGET_SCALE, BUDGET_SCALE_SPREAD = math.log(5.4), 1.0
"""Prior of the length scale over ln(full budget / budget): scores correlate from rung to rung."""

NOISE, NOISE_SPREAD = math.log(1e-2), 1.5
"""Prior of the noise's variance over the signal's."""


@dataclass(frozen=True)
class Inputs:
    """Where a process is observed or asked.

    `columns` (n, c) are the parameters, several columns of which may belong to one: `parameter_of_column` (c,) says to
    which. `budgets` (n,) are ln(full budget / budget), 0 at the full one.
    """

    columns: Array
    parameter_of_column: Array
    budgets: Array

    def __len__(self) -> int:
        return len(self.budgets)

    def __getitem__(self, rows: Array | slice) -> "Inputs":
        return Inputs(self.columns[rows], self.parameter_of_column, self.budgets[rows])

    def followed_by(self, others: "Inputs") -> "Inputs":
        columns = np.vstack([self.columns, others.columns])
        return Inputs(columns, self.parameter_of_column, np.concatenate([self.budgets, others.budgets]))


@dataclass(frozen=True)
class Hyperparameters:
    """All as logarithms: `scales` (parameters,), then scalars."""

    scales: Array
    budget_scale: float
    noise: float


def fit(inputs: Inputs, values: Array, *, iterations: int = 20) -> Hyperparameters:
    """The hyperparameters of greatest posterior probability, by L-BFGS from the prior's; no values leave them there."""
    d = int(inputs.parameter_of_column[-1]) + 1
    squares = np.zeros((d, len(inputs), len(inputs)))
    for column, parameter in zip(inputs.columns.T, inputs.parameter_of_column, strict=True):
        squares[parameter] += (column[:, None] - column) ** 2
    steps = np.abs(inputs.budgets[:, None] - inputs.budgets)
    mean = np.concatenate([np.full(d, LENGTH_SCALE), [BUDGET_SCALE, NOISE]])
    spread = np.concatenate([np.full(d, LENGTH_SCALE_SPREAD), [BUDGET_SCALE_SPREAD, NOISE_SPREAD]])
    n = len(values)
    if n == 0:
        return Hyperparameters(mean[:d], BUDGET_SCALE, NOISE)

    def loss(theta: Array) -> tuple[float, Array]:
        """The negative logarithm of the posterior probability but for a constant, and its gradient."""
        inverse = np.exp(-2 * theta[:d])
        root = np.sqrt(5 * np.tensordot(inverse, squares, 1))
        decay = np.exp(-root)
        over_parameters = (1 + root + root**2 / 3) * decay
        rate = math.exp(-theta[d])
        over_budgets = np.exp(-rate * steps)
        kernel = over_parameters * over_budgets
        noise = math.exp(theta[d + 1])
        try:
            factor = cholesky(kernel + noise * np.eye(n), lower=True, check_finite=False)
        except LinAlgError:
            return 1e6, np.zeros_like(theta)
        precision = cho_solve((factor, True), np.eye(n), check_finite=False)
        weights = precision @ values
        variance = values @ weights / n + 1e-9
        off = (theta - mean) / spread
        negative_log = n / 2 * math.log(variance) + np.log(np.diag(factor)).sum() + off @ off / 2
        by_kernel = (precision - np.outer(weights, weights) / variance) / 2
        by_squares = by_kernel * over_budgets * (5 / 3) * (1 + root) * decay
        gradient = np.concatenate(
            [
                np.einsum("kij,ij->k", squares, by_squares) * inverse,
                [(by_kernel * kernel * steps).sum() * rate, np.trace(by_kernel) * noise],
            ]
        )
        return negative_log, gradient + off / spread

    bounds = [(-3.5, 3.0)] * d + [(-1.0, 4.0), (math.log(1e-5), math.log(0.3))]
    found = minimize(loss, mean, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": iterations}).x
    return Hyperparameters(found[:d], float(found[d]), float(found[d + 1]))


class GaussianProcess:
    """The posterior given observed `values` (n,), which should have mean 0."""

    def __init__(
        self,
        hyperparameters: Hyperparameters,
        inputs: Inputs,
        values: Array,
        *,
        variance: float | None = None,
    ) -> None:
        """
        Args:
            variance: of the signal; estimated from the values by default.
        """
        self._hyperparameters = hyperparameters
        self._inputs = inputs
        self._values = values
        covariance = self._kernel(inputs, inputs)
        covariance[np.diag_indices(len(inputs))] += math.exp(hyperparameters.noise)
        self._factor = cholesky(covariance, lower=True, check_finite=False)
        self._weights = cho_solve((self._factor, True), values, check_finite=False)
        self.variance = float(values @ self._weights) / len(values) if variance is None else variance

    def predict(self, inputs: Inputs) -> tuple[Array, Array]:
        """Mean and standard deviation at each of the inputs, without the noise."""
        kernel = self._kernel(inputs, self._inputs)
        explained = solve_triangular(self._factor, kernel.T, lower=True, check_finite=False)
        left = np.maximum(self.variance * (1 - (explained**2).sum(0)), 1e-10)
        return kernel @ self._weights, np.sqrt(left)

    def believing(self, inputs: Inputs) -> "GaussianProcess":
        """The process as if its own prediction had been observed there ("kriging believer", Ginsbourger et al. 2010):
        nothing is left to learn at those inputs, and what is expected of them stays.
        """
        return GaussianProcess(
            self._hyperparameters,
            self._inputs.followed_by(inputs),
            np.concatenate([self._values, self.predict(inputs)[0]]),
            variance=self.variance,
        )

    def _kernel(self, first: Inputs, second: Inputs) -> Array:
        weights = np.exp(-self._hyperparameters.scales)[first.parameter_of_column]
        rate = math.exp(-self._hyperparameters.budget_scale)
        others = second.columns * weights

        def block(inputs: Inputs) -> Array:
            own = inputs.columns * weights
            squares = (own**2).sum(1)[:, None] + (others**2).sum(1) - 2 * own @ others.T
            root = np.sqrt(5 * np.maximum(squares, 0))
            decay = np.exp(-root - rate * np.abs(inputs.budgets[:, None] - second.budgets))
            return (1 + root + root**2 / 3) * decay

        # In blocks of rows that stay in a processor's cache: half the time of the whole at once.
        return np.vstack([block(first[row : row + 100]) for row in range(0, len(first), 100)])
