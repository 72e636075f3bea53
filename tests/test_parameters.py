import math
import re

import optuna
import pytest

from search_spaces.errors import SpaceError
from search_spaces.parameters import Choice, Fixed, Float, Int


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Float(low=1.0, high=1.0), "low 1.0 must be below high 1.0"),
        (lambda: Float(low=2, high=1), "low 2.0 must be below high 1.0"),
        (lambda: Float(low=0, high=1, log=True), "a log scale needs low above 0, got 0.0"),
        (lambda: Float(low=0, high=1, step=0), "step must be above 0, got 0.0"),
        (
            lambda: Float(low=0, high=1, step=0.3),
            "steps of 0.3 from low 0.0 do not meet high 1.0; the last one below is 0.9",
        ),
        (lambda: Float(low=0.1, high=1, log=True, step=0.1), "log and step 0.1 exclude one another"),
        (lambda: Float(low="1e-4", high=1), "low '1e-4' is not a finite number"),
        (lambda: Float(low=0, high=math.inf), "high inf is not a finite number"),
        (lambda: Float(low=0, high=10**400), "is not a finite number"),
        (lambda: Int(low=0, high=10**400, step=3), "steps of 3 from low 0 do not meet high 1000"),
        (lambda: Float(low=False, high=1), "low False is not a finite number"),
        (lambda: Float(low=0, high=1, log="yes"), "log must be true or false, got 'yes'"),
        (lambda: Int(low=1.0, high=2), "low 1.0 is not a whole number"),
        (lambda: Int(low=8, high=20, step=8), "steps of 8 from low 8 do not meet high 20; the last one below is 16"),
        (lambda: Int(low=8, high=16, step=-4), "step must be above 0, got -4"),
        (lambda: Int(low=0, high=16, log=True), "a log scale needs low above 0, got 0"),
        (lambda: Int(low=4, high=16, log=True, step=4), "log and step 4 exclude one another"),
        (lambda: Choice(values=(2,)), "choice needs at least two values, got [2]; a value alone fixes it"),
        (lambda: Choice(values="ab"), "choice needs a list of values, got 'ab'"),
        (lambda: Choice(values=(2, 4, 2)), "choice holds 2 twice"),
        (lambda: Choice(values=(1, True)), "choice holds True twice"),
        (lambda: Choice(values=("40x56x40", [40, 56, 40])), "choice holds '40x56x40' twice"),
        (lambda: Choice(values=("a", None)), "null is not a value: expected text, a number, true or false"),
        (lambda: Choice(values=(0.0, math.nan)), "nan is not a finite number"),
        (lambda: Fixed(value=[2, 4]), "[2, 4] is neither a value nor a size of three whole numbers; to search among"),
        (lambda: Fixed(value={"a": 1}), "{'a': 1} is not a value"),
    ],
)
def test_a_parameter_that_breaks_a_rule_is_not_built(build, message):
    with pytest.raises(SpaceError) as error:
        build()
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("parameter", "good", "bad", "message"),
    [
        (Float(low=1e-4, high=1e-2, log=True), [1e-4, 1e-2, 0.005], 0.02, "x: 0.02 is above the upper bound 0.01"),
        (Float(low=1e-4, high=1e-2), [0.005], 1e-5, "x: 1e-05 is below the lower bound 0.0001"),
        (Float(low=0, high=1), [0, 1, 0.5], math.nan, "x: nan is not a number"),
        (Float(low=0, high=1), [0], True, "x: True is not a number"),
        (Float(low=0, high=1), [0], 10**400, f"x: 1{'0' * 59} is not a number"),
        (Float(low=0, high=1), [0], "0.5", "x: '0.5' is not a number"),
        (
            Float(low=0, high=0.5, step=0.1),
            [0, 0.1 + 0.2, 0.5],
            0.25,
            "x: 0.25 is not 0 plus a multiple of the step 0.1",
        ),
        (Int(low=8, high=32, step=8), [8, 24, 32], 20, "x: 20 is not 8 plus a multiple of the step 8"),
        (Int(low=8, high=32), [8, 9, 32], 33, "x: 33 is above the upper bound 32"),
        (Int(low=0, high=1), [0, 1], True, "x: True is not a whole number"),
        (Int(low=0, high=1), [0, 1], 1.0, "x: 1.0 is not a whole number"),
        (Choice(values=(2, 4)), [2, 4], 3, "x: 3 is not one of 2, 4"),
        (Choice(values=(0, 2)), [0, 2], False, "x: False is not one of 0, 2"),
        (Choice(values=("adam", "sgd")), ["adam"], "Adam", "x: 'Adam' is not one of 'adam', 'sgd'"),
        (Fixed(value="adamw"), ["adamw"], "sgd", "x: 'sgd' given, but the space fixes it to 'adamw'"),
        (Fixed(value=1), [1, 1.0], True, "x: True given, but the space fixes it to 1"),
    ],
)
def test_validate_says_which_value_broke_which_rule(parameter, good, bad, message):
    for value in good:
        parameter.validate("x", value)
    with pytest.raises(SpaceError) as error:
        parameter.validate("x", bad)
    assert str(error.value) == message


def test_a_size_becomes_a_label_that_survives_a_study_s_storage():
    assert Choice(values=(32, [40, 56, 40])).values == (32, "40x56x40")
    assert Fixed(value=(16, 16, 8)).value == "16x16x8"


@pytest.mark.parametrize(
    ("parameter", "count"),
    [
        (Float(low=0, high=1), None),
        (Float(low=0, high=0.3, step=0.1), 4),
        (Int(low=8, high=32, step=8), 4),
        (Int(low=1, high=10, log=True), 10),
        (Choice(values=("a", "b", "c")), 3),
        (Fixed(value=1), 1),
    ],
)
def test_size_counts_the_values(parameter, count):
    assert parameter.size() == count


def test_what_optuna_draws_from_the_same_rules_is_valid():
    parameters = {
        "log": Float(low=1e-5, high=1e-1, log=True),
        "grid": Float(low=0.1, high=0.7, step=0.2),
        "int": Int(low=3, high=24, step=7),
        "wide": Int(low=1, high=100, log=True),
    }

    def objective(trial):
        for name, p in parameters.items():
            suggest = trial.suggest_float if isinstance(p, Float) else trial.suggest_int
            p.validate(name, suggest(name, p.low, p.high, step=p.step, log=p.log))
        return 0.0

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1)).optimize(objective, n_trials=50)


@pytest.mark.parametrize("spelling", [[40, 56, 40], (40, 56, 40), "40x56x40"])
def test_a_size_is_one_choice_in_each_spelling(spelling):
    choice = Choice(values=(32, "40x56x40"))
    choice.validate("patch_size", spelling)
    assert choice.canonical(spelling) == "40x56x40"
    assert choice.canonical([32, 32, 32]) == 32
    assert Choice(values=("32x32x32", 48)).canonical(32) == "32x32x32"


@pytest.mark.parametrize("other", [[40, 40, 56], "40x56", [True, 56, 40], "040x56x40", [0, 0, 0], True, 1.5])
def test_another_size_is_another_choice(other):
    with pytest.raises(SpaceError, match=r"patch_size: .* is not one of 1, '40x56x40'"):
        Choice(values=(1, "40x56x40")).validate("patch_size", other)


def test_a_size_given_twice_in_other_spellings_is_refused():
    with pytest.raises(SpaceError, match="choice holds '32x32x32' twice"):
        Choice(values=(32, [32, 32, 32]))


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (
            lambda: Float(low=0, high=1e300, step=1e-300),
            "step 1e-300 makes more than 1e+15 values from low 0.0 to high",
        ),
        (lambda: Float(low=-1e308, high=1e308, step=0.1), "step 0.1 makes more than 1e+15 values"),
        (lambda: Choice(values=tuple(range(1001))), "choice holds 1001 values; at most 1000 can be searched"),
    ],
)
def test_what_would_take_for_ever_is_refused(make, told):
    with pytest.raises(SpaceError, match=re.escape(told)):
        make()
