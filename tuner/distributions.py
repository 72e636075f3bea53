"""The parameters of a search space as Optuna samples them."""

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from search_spaces.parameters import Choice, Fixed, Float, Int, Parameter
from search_spaces.space import SearchSpace


def distributions_of(space: SearchSpace) -> dict[str, BaseDistribution]:
    """Of each searched parameter, by name."""
    return {name: _distribution(parameter) for name, parameter in space.searched.items()}


def _distribution(parameter: Parameter) -> BaseDistribution:
    match parameter:
        case Float(low=low, high=high, log=log, step=step):
            return FloatDistribution(low, high, log=log, step=step)
        case Int(low=low, high=high, log=log, step=step):
            return IntDistribution(low, high, log=log, step=step or 1)
        case Choice(values=values):
            return CategoricalDistribution(values)
        case Fixed():
            raise AssertionError("a fixed value is not searched")
    raise AssertionError(parameter)
