import pickle

import pytest
import yaml

from search_spaces.errors import SpaceError
from search_spaces.parameters import Choice, Fixed, Float, Int
from search_spaces.space import SearchSpace, parse_fixed, parse_space
from search_spaces.yaml_file import parse_yaml

FORM = """
learning_rate: {float: [1e-4, 1e-2], log: true}
dropout: {float: [0, 0.4], step: 0.1}
width: {int: [8, 32], step: 8}
batch_size: {choice: [2, 4]}
patch_size: {choice: [32, [40, 56, 40]]}
optimizer: adamw
amsgrad: false
"""


@pytest.fixture
def space():
    return parse_space(parse_yaml(FORM))


def test_the_yaml_form_makes_the_parameters_in_its_order(space):
    assert list(space.items()) == [
        ("learning_rate", Float(low=1e-4, high=1e-2, log=True)),
        ("dropout", Float(low=0.0, high=0.4, step=0.1)),
        ("width", Int(low=8, high=32, step=8)),
        ("batch_size", Choice(values=(2, 4))),
        ("patch_size", Choice(values=(32, "40x56x40"))),
        ("optimizer", Fixed(value="adamw")),
        ("amsgrad", Fixed(value=False)),
    ]
    assert list(space.searched) == ["learning_rate", "dropout", "width", "batch_size", "patch_size"]
    assert space.fixed == {"optimizer": "adamw", "amsgrad": False}


def test_a_space_survives_its_yaml_form_as_text_and_a_pickle(space):
    text = yaml.safe_dump(space.to_mapping())
    assert dict(parse_space(parse_yaml(text))) == dict(space)
    assert pickle.loads(pickle.dumps(space)) == space


def test_a_space_keeps_its_own_parameters():
    parameters = {"a": Int(low=0, high=1)}
    space = SearchSpace(parameters)
    parameters["b"] = Fixed(value=1)
    space.searched.clear()
    assert list(space) == ["a"]
    with pytest.raises(TypeError):
        space["a"] = Fixed(value=1)


def test_size_is_the_product_unless_a_float_is_free(space):
    assert space.size() is None
    finite = {name: p for name, p in space.items() if name != "learning_rate"}
    assert SearchSpace(finite).size() == 5 * 4 * 2 * 2


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ("learning_rate: {float: [1e-2, 1e-4]}", "space.learning_rate: low 0.01 must be below high 0.0001"),
        ("learning_rate: {float: 1e-4}", "space.learning_rate: float needs its bounds as [low, high], got 0.0001"),
        ("width: {int: [8, 16, 32]}", "space.width: int needs its bounds as [low, high], got [8, 16, 32]"),
        ("width: {int: [8, 16], steps: 4}", "space.width: unknown steps: only log and step may stand beside int"),
        ("a: {choice: [1, 2], log: true}", "space.a: unknown log: nothing may stand beside choice"),
        ("a: {uniform: [1, 2]}", "space.a: expected one of float, int, choice, got uniform"),
        ("a: {float: [1, 2], int: [1, 2]}", "space.a: expected one of float, int, choice, got float, int"),
        ("a: {}", "space.a: expected one of float, int, choice, got no key"),
        ("batch_size: [2, 4]", "space.batch_size: [2, 4] is neither a value nor a size of three whole numbers; to"),
        ("a:", "space.a: null is not a value"),
        ("learning-rate: 1", "space: 'learning-rate' is not a parameter's name (letters, digits and underscores)"),
        ("1: 1", "space: 1 is not a parameter's name"),
        ("a: 1\nb: x", "space: nothing to search (all fixed: a, b); give at least one a float, int or choice"),
    ],
)
def test_a_form_that_breaks_a_rule_is_refused_under_its_key(form, message):
    with pytest.raises(SpaceError) as error:
        parse_space(parse_yaml(form))
    assert str(error.value).startswith(message)


def test_an_empty_space_is_refused():
    with pytest.raises(SpaceError, match="nothing to search \\(no parameters\\)"):
        parse_space({})
    with pytest.raises(SpaceError, match=r"search\.space: expected a mapping of names to parameters, got None"):
        parse_space(None, key="search.space")


def test_validate_holds_a_configuration_against_every_parameter(space):
    good = {
        "learning_rate": 1e-3,
        "dropout": 0.3,
        "width": 16,
        "batch_size": 4,
        "patch_size": "40x56x40",
        "optimizer": "adamw",
        "amsgrad": False,
    }
    space.validate(good)
    for change, message in [
        ({"width": 12}, "width: 12 is not 8 plus a multiple of the step 8"),
        ({"patch_size": 64}, "patch_size: 64 is not one of 32, '40x56x40'"),
        ({"optimizer": "sgd"}, "optimizer: 'sgd' given, but the space fixes it to 'adamw'"),
        ({"momentum": 0.9}, "the space has no parameter momentum; it has learning_rate, dropout"),
    ]:
        with pytest.raises(SpaceError) as error:
            space.validate(good | change)
        assert str(error.value).startswith(message)
    with pytest.raises(SpaceError, match="the configuration lacks width, amsgrad"):
        space.validate({name: value for name, value in good.items() if name not in ("width", "amsgrad")})


def test_canonical_writes_each_value_as_the_space_does():
    space = SearchSpace(
        {"patch_size": Choice(values=(32, [40, 56, 40])), "width": Int(low=8, high=16), "clip": Fixed(value=1.0)}
    )
    assert space.canonical({"patch_size": [40, 56, 40], "width": 9, "clip": 1}) == {
        "patch_size": "40x56x40",
        "width": 9,
        "clip": 1.0,
    }
    with pytest.raises(SpaceError, match="patch_size: 48 is not one of"):
        space.canonical({"patch_size": 48, "width": 9, "clip": 1})


def test_fixed_values_alone():
    assert parse_fixed({"levels": 3, "patch_size": [8, 8, 16]}, key="training") == {
        "levels": Fixed(value=3),
        "patch_size": Fixed(value="8x8x16"),
    }
    with pytest.raises(SpaceError, match=r"training\.levels: \{'choice': \[3, 4\]\} is not a value"):
        parse_fixed({"levels": {"choice": [3, 4]}}, key="training")


def test_the_first_configuration_is_the_default_where_it_names_a_parameter() -> None:
    space = parse_space({"rate": {"float": [1e-4, 1e-2], "log": True}, "batch": {"choice": [4, 2]}, "loss": "dice"})
    assert space.first({}) == {"rate": 1e-4, "batch": 4, "loss": "dice"}
    assert space.first({"rate": 1e-3}) == {"rate": 1e-3, "batch": 4, "loss": "dice"}


def test_extremes_are_all_choices_or_both_ends() -> None:
    space = parse_space({"rate": {"float": [1e-4, 1e-2]}, "width": {"int": [8, 32]}, "batch": {"choice": [4, 2, 8]}})
    assert space.extremes() == {"rate": [1e-4, 1e-2], "width": [8, 32], "batch": [4, 2, 8]}
