"""Classes that a configuration file names, and names that are none."""

import sys
from pathlib import Path

import pytest
from optuna.samplers import BaseSampler, RandomSampler

from trainables.protocol import TrainingRun
from trainables.toy import ToyRun
from tuner.errors import SweepConfigError
from tuner.importing import code_note, import_named

METHODS = "must be a class with the methods advance, state_dict and load_state_dict; "

HALF_A_RUN = """
class Half:
    load_state_dict = None

    def advance(self, budget): ...

    def state_dict(self): ...
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a module `mine_for_import` in the current folder, which is not on Python's path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [entry for entry in sys.path if entry])
    monkeypatch.delitem(sys.modules, "mine_for_import", raising=False)
    return tmp_path / "mine_for_import.py"


def test_code_that_is_neither_ours_nor_optunas_is_told() -> None:
    assert code_note("a.yaml", "trainables.toy:ToyRun", None, "gp", "optuna.samplers:RandomSampler") is None
    assert code_note("a.yaml", "mine.runs:Mine", "mine:Sampler") == (
        "a.yaml names code, which is run: mine.runs:Mine, mine:Sampler"
    )


def test_our_own() -> None:
    assert import_named("trainables.toy:ToyRun", key="trainable", kind=TrainingRun) is ToyRun


def test_a_subclass() -> None:
    assert import_named("optuna.samplers:RandomSampler", key="search.sampler", kind=BaseSampler) is RandomSampler


def test_a_module_in_the_current_folder(mine: Path) -> None:
    mine.write_text("from trainables.toy import ToyRun\n\nclass Mine(ToyRun): pass\n")
    assert issubclass(import_named("mine_for_import:Mine", key="trainable", kind=TrainingRun), ToyRun)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("no.such:Run", "no.such:Run can't be imported: No module named 'no'"),
        ("trainables.toy:Toy", "trainables.toy:Toy can't be imported: module 'trainables.toy' has no attribute 'Toy'"),
        (".toy:Run", ".toy:Run can't be imported: TypeError: "),
        ("trainables.toy:math", f"{METHODS}trainables.toy:math is no class: <module 'math'"),
        ("trainables.protocol:Budget", f"{METHODS}trainables.protocol:Budget is none"),
    ],
)
def test_names_of_no_run(text: str, told: str) -> None:
    with pytest.raises(SweepConfigError) as error:
        import_named(text, key="sweep.yaml: trainable", kind=TrainingRun)
    assert str(error.value).startswith(f"sweep.yaml: trainable: {told}")


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("table = {}\ntable['width']\n", "can't be imported: KeyError: 'width' (mine_for_import.py, line 2)"),
        ("import no_such\n", "can't be imported: No module named 'no_such' (mine_for_import.py, line 1)"),
        ("class Half\n", "can't be imported: SyntaxError: expected ':' (mine_for_import.py, line 1)"),
        ("raise SystemExit(3)\n", "can't be imported: SystemExit: 3 (mine_for_import.py, line 1)"),
        ("\0", "can't be imported: "),
        (HALF_A_RUN, "is none"),
    ],
)
def test_modules_of_ones_own_that_are_wrong(mine: Path, code: str, told: str) -> None:
    mine.write_text(code)
    with pytest.raises(SweepConfigError) as error:
        import_named("mine_for_import:Half", key="trainable", kind=TrainingRun)
    assert f"mine_for_import:Half {told}" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("math:pi", "math:pi is no class: 3.14"),
        ("trainables.toy:ToyRun", "trainables.toy:ToyRun is none"),
    ],
)
def test_names_of_no_sampler(text: str, told: str) -> None:
    with pytest.raises(SweepConfigError) as error:
        import_named(text, key="sweep.yaml: search.sampler", kind=BaseSampler)
    assert str(error.value).startswith(f"sweep.yaml: search.sampler: must be a subclass of BaseSampler; {told}")
