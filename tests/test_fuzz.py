"""Inputs that are nearly right, by the means of benchmarks/fuzz.py: a few of each kind, and that findings are found."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from fuzzing import guard
from fuzzing.guard import Finding, Subject, place_of, tried
from fuzzing.subjects import SUBJECTS

from trainables.errors import DatasetError
from trainables.split import split_cases


@pytest.mark.parametrize("name", SUBJECTS)
def test_what_is_not_taken_is_refused_with_an_error_for_users(name: str, tmp_path: Path) -> None:
    subject = SUBJECTS[name]

    @settings(
        max_examples=subject.examples,
        phases=[Phase.generate],  # to make a failing input smaller may take long
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(subject.inputs())
    def all_of(given: object) -> None:
        tried(subject, given, tmp_path)

    subject.warm_up(tmp_path)
    assert tried(subject, subject.good(), tmp_path)
    all_of()


def subject_that(use: Callable[[object, Path], object]) -> Subject:
    return Subject(name="it", inputs=st.none, use=use, good=lambda: None, examples=1)


def test_a_refusal_is_no_finding(tmp_path: Path) -> None:
    def refuse(given: object, folder: Path) -> None:
        raise DatasetError("dataset.json: must be another")

    assert not tried(subject_that(refuse), None, tmp_path)


def never_end(given: object, folder: Path) -> None:
    try:
        while True:
            pass
    except Exception:
        return


def wait(given: object, folder: Path) -> None:
    time.sleep(60)


def fill_the_memory(given: object, folder: Path) -> None:
    np.ones(guard.MEMORY // 6)  # of eight bytes


def write_elsewhere(given: object, folder: Path) -> None:
    (folder.parent / "elsewhere").write_text("x")


def rename_elsewhere(given: object, folder: Path) -> None:
    (folder / "x").touch()
    (folder / "x").rename(folder / ".." / "x")


def run_a_program(given: object, folder: Path) -> None:
    subprocess.run(["true"], check=False)


def say_nothing(given: object, folder: Path) -> None:
    raise DatasetError("")


@pytest.mark.parametrize(
    ("use", "told"),
    [
        (never_end, "takes more than 0.2 s, or waits for more than 120"),
        (wait, "takes more than 10 s, or waits for more than 0.2"),
        (fill_the_memory, "took 0.1 GiB of memory"),
        (write_elsewhere, "open of .*/elsewhere, which is not in its folder"),
        (rename_elsewhere, "os.rename of .*/x, which is not in its folder"),
        (run_a_program, "subprocess.Popen of 'true'"),
        (say_nothing, "refused by a DatasetError that says nothing"),
    ],
)
def test_a_finding_is_found(
    use: Callable[[object, Path], object], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if use in (never_end, wait):
        monkeypatch.setattr(guard, "SECONDS" if use is never_end else "WAITING", 0.2)
    monkeypatch.setattr(guard, "MEMORY", 2**26)
    with pytest.raises(Finding, match=told):
        tried(subject_that(use), None, tmp_path)
    assert not (tmp_path / "elsewhere").exists()


def test_a_finding_is_named_by_the_line_of_ours_where_it_rose(tmp_path: Path) -> None:
    with pytest.raises(Finding, match="AttributeError") as caught:
        tried(subject_that(lambda given, folder: split_cases(given)), None, tmp_path)
    assert place_of(caught.value).startswith("AttributeError at trainables/split.py:")
