import math

import pytest

from search_spaces.errors import SpaceError, YamlFileError
from search_spaces.yaml_file import LARGEST_FILE, parse_yaml, read_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1E5", 1e5),
        ("-1.5e+3", -1500.0),
        (".5", 0.5),
        ("3.", 3.0),
        ("12", 12),
        ("010", 10),
        ("0x1F", 31),
        ("0o17", 15),
        ("-.inf", -math.inf),
        ("true", True),
        ("False", False),
        ("no", "no"),
        ("off", "off"),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("2026-11-21", "2026-11-21"),
        ("'1e-4'", "1e-4"),
        ('"true"', "true"),
        ("null", None),
        ("", None),
        ("none", "none"),
        ("[1, [2, a b]]", [1, [2, "a b"]]),
        ("{x: 1, 0: y}", {"x": 1, 0: "y"}),
        ("|\n  two\n  lines", "two\nlines"),
    ],
)
def test_scalars_follow_the_core_schema_of_yaml_1_2(text, value):
    read = parse_yaml(f"key: {text}")["key"]
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", "f.yaml, line 3: key a given twice, first in line 1"),
        ("a:\n  {b: 1, b: 1}", "f.yaml, line 2: key b given twice, first in line 2"),
        ("a: 1\nb: [1, 2", "f.yaml, line 2: expected ',' or ']'"),
        ("a: 1\n\tb: 2", "f.yaml, line 2: found character '\\t' that cannot start any token"),
        ("a: 1\nb: &x 2\nc: *x", "f.yaml, line 2: anchors and aliases (&name, *name) are not taken"),
        ("a: 1\nb: *x", "f.yaml, line 2: anchors and aliases"),
        (
            "a: !!python/object/apply:os.system [ls]",
            "f.yaml, line 1: tag tag:yaml.org,2002:python/object/apply:os.system",
        ),
        ("a: 1\n---\nb: 2", "f.yaml, line 2: expected a single document in the stream but found another document"),
        ("a: " + "[" * 100_000, "f.yaml, line 1: nested more than 20 levels deep"),
        (
            "a: " + "9" * 5000,
            "f.yaml, line 1: 9999999999999999999999999999999999999999 is past 9223372036854775807, the",
        ),
        ("a: -9223372036854775809", "f.yaml, line 1: -9223372036854775809 is past 9223372036854775807, the largest"),
        ("? [1, 2]\n: 3", "f.yaml, line 1: a key must be text or a number"),
        ("a: \x07", "f.yaml: unacceptable character #x0007"),
        ("# nothing", "f.yaml: empty; expected keys and values"),
        ("- 1", "f.yaml: expected keys and values, got list [1]"),
        ("sweep", "f.yaml: expected keys and values, got str 'sweep'"),
    ],
)
def test_what_is_not_a_plain_mapping_is_refused_with_its_line(text, message):
    with pytest.raises(YamlFileError) as error:
        parse_yaml(text, source="f.yaml")
    assert str(error.value).startswith(message)


def test_a_file_s_errors_name_the_file(tmp_path):
    path = tmp_path / "sweep.yaml"
    with pytest.raises(SpaceError) as error:
        read_yaml(path)
    assert str(error.value) == f"{path}: can't be read: No such file or directory"

    path.write_bytes(b"\xef\xbb\xbfname: h\xc3\xa9art\n")
    assert read_yaml(path) == {"name": "héart"}

    path.write_bytes(b"a: 1\nb: h\xe9art\n")
    with pytest.raises(YamlFileError) as error:
        read_yaml(path)
    assert str(error.value) == f"{path}, line 2: not UTF-8 text"

    path.write_bytes(b"#" * (LARGEST_FILE + 1))
    with pytest.raises(YamlFileError, match=f"larger than {LARGEST_FILE} bytes"):
        read_yaml(path)
