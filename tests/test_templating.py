"""Filling a template: values within lines, texts on lines of their own."""

from pathlib import Path

import pytest
import yaml

from cluster import templating
from cluster.templating import commented, fill


@pytest.fixture
def template(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(templating, "TEMPLATES", tmp_path)
    return tmp_path / "t.yaml"


def test_values_within_a_line_and_texts_on_their_own(template: Path) -> None:
    template.write_text(
        "${notes}\nname: ${name}\nfiles:\n  a: |\n    ${text}\n  ${nothing}\nsize: {gib: ${gib}, $HOME: 1}\n"
    )
    filled = fill(
        "t.yaml",
        {
            "notes": commented("one\ntwo"),
            "name": 'a: "b" ü',
            "text": "x: ${name}\n\n  y\n",
            "nothing": "",
            "gib": [1, 2.5, None],
        },
    )
    assert filled.startswith("# one\n# two\nname: ")
    assert yaml.safe_load(filled) == {
        "name": 'a: "b" ü',
        "files": {"a": "x: ${name}\n\n  y\n"},  # what looks like a name in a value is none
        "size": {"gib": [1, 2.5, None], "$HOME": 1},
    }


@pytest.mark.parametrize("values", [{}, {"a": 1, "b": 2}])
def test_names_and_values_must_be_the_same(template: Path, values: dict[str, int]) -> None:
    template.write_text("x: ${a}\n")
    with pytest.raises(AssertionError, match=r"t\.yaml: \{'[ab]'\} named there or given here alone"):
        fill("t.yaml", values)
