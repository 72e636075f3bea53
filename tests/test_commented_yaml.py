"""Comments beside YAML change nothing of what it says."""

from typing import Any

import pytest
import yaml

from tuner.commented_yaml import commented_yaml

HOSTILE: dict[str, Any] = {
    "hash": "a # b",
    "only a hash": "#",
    "colon": "key: value",
    "lines": "first\n# second\n\nthird\n",
    "spaces": "  leading, trailing  ",
    "long": "word " * 60,
    "list": [1, [2, "# three"], {"four": 5}],
    "empty list": [],
    "empty mapping": {},
    "none": None,
    "yes": True,
    "text that looks like a number": "1e-3",
    "number": 1e-3,
    "infinite": float("inf"),
    "ümlaut ✓": "– ✓ 脳",
    "nul\0and bell\a": "\0\a",
    "#key": {"#inner": "x"},
}


@pytest.mark.parametrize("comment", ["", "plain", "two\nlines: [", "bell \a, nul \0 and # another", "'\"}]>|"])
def test_the_content_stays(comment: str) -> None:
    content = {**HOSTILE, "parameters": HOSTILE}
    comments = {(name,): comment for name in content} | {("parameters", name): comment for name in HOSTILE}
    assert yaml.safe_load(commented_yaml(content, comments)) == content


def test_each_key_has_its_comment() -> None:
    content = {"dataset": {"path": "/data"}, "parameters": {"a": 1, "rate": 0.5, "text": "x\ny"}, "seed": 3}
    comments = {
        ("dataset",): "of the file",
        ("parameters", "a"): "searched",
        ("parameters", "rate"): "fixed\nhere",
        ("parameters", "text"): "long",
        ("no", "such"): "key",
    }
    assert commented_yaml(content, comments) == (
        "dataset:  # of the file\n"
        "  path: /data\n"
        "parameters:\n"
        "  a: 1       # searched\n"
        "  rate: 0.5  # fixed here\n"
        "  # long\n"
        "  text: 'x\n"
        "\n"
        "    y'\n"
        "seed: 3\n"
    )
