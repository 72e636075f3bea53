from pathlib import Path

import pytest

from tuner.errors import OutputError
from tuner.files import check_output


def test_what_can_be_written(tmp_path: Path) -> None:
    check_output(tmp_path / "new.csv")
    check_output(tmp_path / "deep" / "er" / "new.csv")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("mine.csv", "{}/mine.csv exists already: nothing was written; choose another --output"),
        (
            "mine.csv/dice.csv",
            "{0}/mine.csv/dice.csv can't be written: {0}/mine.csv is a file; choose another --output",
        ),
    ],
)
def test_what_can_not(tmp_path: Path, output: str, message: str) -> None:
    (tmp_path / "mine.csv").write_text("mine")
    with pytest.raises(OutputError) as error:
        check_output(tmp_path / output)
    assert str(error.value) == message.format(tmp_path)
    assert (tmp_path / "mine.csv").read_text() == "mine"


def test_a_folder_that_is_not_writable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuner.files.os.access", lambda *_: False)  # the superuser may write everywhere
    with pytest.raises(OutputError, match=r"dice.csv can't be written: .* is not writable; choose another --output"):
        check_output(tmp_path / "new" / "dice.csv")
