"""The schema that editors check a sweep file by: it takes what the reader takes, and refuses what that refuses."""

from typing import Any

import jsonschema
import pytest
from make_sweep import TOY_SWEEP

from search_spaces.errors import SpaceError
from search_spaces.presets import preset_file, preset_names
from search_spaces.space import parse_space
from search_spaces.yaml_file import read_yaml
from tuner.editor_schema import editor_schema


@pytest.fixture(scope="module")
def checker() -> jsonschema.Draft202012Validator:
    schema = editor_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("preset", preset_names())
def test_ready_made_spaces_are_taken(preset: str, checker: jsonschema.Draft202012Validator) -> None:
    checker.validate({**TOY_SWEEP, "space": read_yaml(preset_file(preset))})


@pytest.mark.parametrize(
    ("form", "fits"),
    [
        ({"float": [0, 1], "step": 0.5}, True),
        ({"int": [8, 64], "log": True}, True),
        ({"choice": [32, "40x56x40", [48, 48, 32]]}, True),
        ({"float": [0, 1, 2]}, False),
        ({"int": [0.5, 2]}, False),
        ({"choice": ["dice"]}, False),
        ({"float": [0, 1], "choice": [1, 2]}, False),
        ({"float": [0, 1], "logs": True}, False),
        ({"uniform": [0, 1]}, False),
        (None, False),
    ],
)
def test_a_parameter_is_taken_as_the_reader_takes_it(
    form: Any, fits: bool, checker: jsonschema.Draft202012Validator
) -> None:
    space = {"learning_rate": {"float": [1e-4, 1e-2]}, "dropout": form}
    assert checker.is_valid({**TOY_SWEEP, "space": space}) is fits
    if fits:
        parse_space(space)
    else:
        with pytest.raises(SpaceError):
            parse_space(space)


def test_settings_are_explained_and_others_are_taken(checker: jsonschema.Draft202012Validator) -> None:
    training = checker.schema["properties"]["training"]["properties"]
    assert training["batch_size"]["description"] == "Patches in a step. Default: 2."
    checker.validate({**TOY_SWEEP, "training": {"my_own": 1}})


def test_an_unknown_key_is_refused(checker: jsonschema.Draft202012Validator) -> None:
    assert not checker.is_valid({**TOY_SWEEP, "serach": {}})
