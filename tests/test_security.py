"""What no one module keeps: that no file has code run which the user did not name. See docs/security.md."""

import ast
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command_line import Ended, run_voxtune
from make_sweep import TOY_SWEEP, evaluation, open_study, sweep_directory

from search_spaces.space import parse_space
from tuner.config import SweepConfig
from tuner.directory import SweepDirectory
from tuner.drive import Drive
from tuner.environment import describe_environment
from tuner.owner import own
from tuner.storage import open_storage
from tuner.study_server import StudyServer
from tuner.sweep import run_sweep
from tuner.warm_start import best_of_earlier

Voxtune = Callable[..., Ended]

PACKAGES = ("tuner", "trainables", "search_spaces", "cluster")

OF_RAY_TUNE = {"tuner/lost_trials.py: cloudpickle.load"}
"""What this process's own Ray Tune has just written: why a trial's process ended."""


def loads_objects(call: ast.Call) -> bool:
    """Whether a call can make Python objects of what stands in a file."""
    name = ast.unparse(call.func)
    given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
    match name.split("."):
        case ["torch", "load"]:
            return given.get("weights_only") != "True"
        case ["np" | "numpy", "load"]:
            return given.get("allow_pickle", "False") != "False"
        case [
            "pickle" | "cloudpickle" | "dill" | "joblib" | "marshal" | "shelve",
            "load" | "loads" | "open" | "Unpickler",
        ]:
            return True
        case ["pd" | "pandas", "read_pickle"] | ["yaml", "load" | "unsafe_load" | "full_load" | "load_all"]:
            return True
    return False


def found_in(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and loads_objects(node):
            yield ast.unparse(node.func)


def test_nothing_of_ours_makes_objects_of_files() -> None:
    root = Path(__file__).parents[1]
    files = [file for package in PACKAGES for file in (root / package).rglob("*.py")]
    texts = {file: text for file in files if re.search("load|pickle|shelve", text := file.read_text())}
    found = {f"{file.relative_to(root)}: {name}" for file, text in texts.items() for name in found_in(text)}
    assert found == OF_RAY_TUNE


@pytest.mark.parametrize(
    "code", ["torch.load(f)", "np.load(f, allow_pickle=True)", "pickle.loads(b)", "yaml.load(f, Loader)"]
)
def test_such_a_call_is_found(code: str) -> None:
    assert len(list(found_in(code))) == 1


@pytest.fixture
def voxtune(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Voxtune:
    """Runs a command in a folder with a module `strangers_code`, which leaves the file `ran` when it is imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", ["", *sys.path])
    code = "from pathlib import Path\nPath('ran').touch()\nraise ValueError('it ran')\n"
    (tmp_path / "strangers_code.py").write_text(code)
    return lambda *arguments: run_voxtune(*arguments, monkeypatch=monkeypatch, capsys=capsys)


@pytest.fixture
def strangers_run(tmp_path: Path) -> SweepDirectory:
    """A run whose sweep file names that module, with a trial that has finished."""
    named = {"trainable": "strangers_code:Run", "search": {"trials": 2, "sampler": "strangers_code:Sampler"}}
    directory = sweep_directory(tmp_path / "runs" / "heart", changes=named)
    study = open_study(open_storage(None, directory.journal, owner=True))
    number = study.ask().number
    study.report(number, 1000, evaluation(0.8, 1000))
    study.finish(number, "full budget")
    return directory


def test_to_look_at_a_run_has_none_of_its_code_run(voxtune: Voxtune, strangers_run: SweepDirectory) -> None:
    for command in ("status", "report"):
        assert voxtune(command, "heart").code == 0
    assert strangers_run.report_page.is_file()
    StudyServer(strangers_run, port=0)._server.server_close()
    best_of_earlier(strangers_run, parse_space({"learning_rate": {"float": [1e-5, 1e-1]}}))
    assert not Path("ran").exists()


def test_to_go_on_with_a_run_has_it_run_and_says_so(voxtune: Voxtune, strangers_run: SweepDirectory) -> None:
    ended = voxtune("resume", "heart")
    assert ended.out.replace("\n", "").endswith("names code, which is run: strangers_code:Run, strangers_code:Sampler")
    assert (ended.code, Path("ran").exists()) == (2, True)


@pytest.mark.parametrize("options", [[], ["--folds", "2"]])
def test_to_train_a_configuration_has_its_code_run_and_says_so(
    voxtune: Voxtune, small_dataset: Path, options: list[str]
) -> None:
    Path("config.yaml").write_text(
        "trainable: strangers_code:Run\nbudget: {unit: steps, maximum: 90}\nparameters: {learning_rate: 1e-3}\n"
        f"dataset: {{path: {small_dataset}}}\n"
    )
    ended = voxtune("train", "config.yaml", *options)
    assert ended.out == "config.yaml names code, which is run: strangers_code:Run\n"
    assert (ended.code, Path("ran").exists()) == (2, True)
    assert "config.yaml: trainable: strangers_code:Run can't be imported: ValueError: it ran" in ended.err


def test_nothing_of_the_environment_is_kept_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOXTUNE_HOOK", "https://chat.example/hunter2")
    with own(tmp_path):
        kept = (tmp_path / "owner.json").read_text() + json.dumps(describe_environment())
    assert "hunter2" not in kept


def test_a_sweep_file_with_a_password_is_for_its_owners_eyes_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PASSWORD", "hunter2")
    monkeypatch.setattr("tuner.sweep.stored_studies", lambda *_: [])
    monkeypatch.setattr(Drive, "run", lambda drive, **options: setattr(drive, "began", True))
    for name, password, mode in (("plain", "hunter2", 0o600), ("variable", "${PASSWORD}", 0o644)):
        storage = f"postgresql://me:{password}@db.example/studies"
        run_sweep(SweepConfig.model_validate({**TOY_SWEEP, "name": name, "storage": storage}), runs=tmp_path)
        assert (tmp_path / name / "sweep.yaml").stat().st_mode & 0o777 == mode
