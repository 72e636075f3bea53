"""From a sweep file to a job: what travels, the command, and what is refused because the cluster could not use it."""

import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.errors import ClusterError
from cluster.sweep_job import Order, SweepJob
from search_spaces.errors import SpaceError
from tuner.config import SweepConfig
from tuner.directory import SweepDirectory
from tuner.errors import SweepConfigError
from tuner.submission import order_to_resume, order_to_run
from tuner.sweep import _with_own_groups

TOY = {
    "name": "toy",
    "trainable": "trainables.toy:ToyRun",
    "space": {"learning_rate": {"float": [1e-5, 1e-1], "log": True}},
    "budget": {"unit": "steps", "maximum": 900},
}
BLOBS = {
    "name": "blobs",
    "dataset": {"path": "/data/Blobs"},
    "space": {"learning_rate": {"float": [1e-5, 1e-1], "log": True}},
    "budget": {"maximum": 1e6},
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The one that travels."""
    return tmp_path_factory.mktemp("travels")


def order(here: Path, folder: Path, content: dict[str, Any], **options: Any) -> Order:
    (here / "sweep.yaml").write_text(yaml.safe_dump(content))
    return order_to_run(folder, Path("sweep.yaml"), **{"runs": "/results", **options})


def job(**changes: Any) -> SweepJob:
    known: dict[str, Any] = {
        "id": "toy-20261122-031200",
        "sweep": "toy",
        "state": "STOPPED",
        "message": "",
        "started": None,
        "ended": None,
        "exit_code": None,
        "runs": "/results",
        "code": (),
    }
    return SweepJob(**{**known, **changes})


def test_the_command_runs_there_and_goes_on_where_it_was_begun(here: Path, folder: Path) -> None:
    made = order(here, folder, TOY, runs="~/my runs", trials=5, confirm=False, earlier=["old", "the first"])
    assert made.entrypoint == (
        "exec python3 -m tuner.in_cluster run sweep.yaml --address auto --continue --trials 5 --no-confirm "
        "--from old --from 'the first' --runs ~/'my runs'"
    )
    assert (made.sweep, made.runs, made.code, made.folder) == ("toy", "~/my runs", (), folder)


@pytest.mark.parametrize(
    ("runs", "meant"), [("~/a b", "{home}/a b"), ("/a $b", "/a $b"), ("s3://bucket/a;b", "s3://bucket/a;b")]
)
def test_the_cluster_s_shell_reads_the_folder_as_it_is_meant(here: Path, folder: Path, runs: str, meant: str) -> None:
    made = order(here, folder, TOY, runs=runs)
    told = shlex.split(made.entrypoint, posix=True)
    assert told[-2] == "--runs"
    after = made.entrypoint.partition("--runs ")[2]
    shown = subprocess.run(["sh", "-c", f"printf %s {after}"], env={"HOME": str(here)}, capture_output=True, text=True)
    assert shown.stdout == meant.format(home=here)


def test_what_travels_is_enough_to_run(here: Path, folder: Path) -> None:
    (here / "private.txt").write_text("not for the cluster")
    order(here, folder, TOY, name="other")
    assert sorted(path.name for path in folder.iterdir() if not path.name.endswith(".dist-info")) == [
        "cluster",
        "search_spaces",
        "sweep.yaml",
        "trainables",
        "tuner",
    ]
    assert not list(folder.rglob("__pycache__"))
    assert SweepConfig.read(folder / "sweep.yaml").name == "other"
    done = subprocess.run(
        # Isolated from the environment in which voxtune is installed, but for its libraries.
        [sys.executable, "-c", "import tuner, trainables; print(tuner.__file__, trainables.__file__)"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [str(folder / name / "__init__.py") for name in ("tuner", "trainables")]
    (metadata,) = folder.glob("voxtune-*.dist-info")
    assert f"Version: {metadata.stem.partition('-')[2]}\n" in (metadata / "METADATA").read_text()


def test_a_groups_file_that_is_here_travels(here: Path, folder: Path) -> None:
    (here / "pairs.csv").write_text("case,group\na,1\n")
    dataset = {"path": "/data/Blobs", "groups_file": "pairs.csv"}
    order(here, folder, {**BLOBS, "dataset": dataset})
    config = SweepConfig.read(folder / "sweep.yaml")
    assert config.dataset is not None
    assert config.dataset.groups_file == folder / "groups.csv"
    assert (folder / "groups.csv").read_text() == "case,group\na,1\n"


def test_a_groups_file_that_is_no_text_is_named(here: Path, folder: Path) -> None:
    (here / "pairs.csv").write_bytes(b"case,group\n\xff,1\n")
    dataset = {"path": "/data/Blobs", "groups_file": "pairs.csv"}
    with pytest.raises(SweepConfigError, match=rf"dataset\.groups_file: {here}/pairs\.csv can't be read: "):
        order(here, folder, {**BLOBS, "dataset": dataset})


def test_a_groups_file_is_kept_where_the_sweep_is(here: Path) -> None:
    travelled = here / "job" / "groups.csv"
    travelled.parent.mkdir()
    travelled.write_text("case,group\na,1\n")
    config = SweepConfig.model_validate({**BLOBS, "dataset": {"path": "/data/Blobs", "groups_file": str(travelled)}})
    directory = SweepDirectory.create(here / "runs" / "blobs")
    kept = _with_own_groups(config, directory)
    travelled.unlink()  # as Ray does when a job has ended
    assert kept.dataset is not None
    assert kept.dataset.groups_file == directory.groups_file
    assert directory.groups_file.read_text() == "case,group\na,1\n"
    without = SweepConfig.model_validate(BLOBS)
    assert _with_own_groups(without, directory) is without


def test_data_says_where_the_data_set_lies_there(here: Path, folder: Path) -> None:
    order(here, folder, {**BLOBS, "dataset": {"path": "Blobs", "folds": 3}}, data="/scratch/Blobs")
    config = SweepConfig.read(folder / "sweep.yaml")
    assert config.dataset is not None
    assert (config.dataset.path, config.dataset.folds) == (Path("/scratch/Blobs"), 3)


def test_a_home_there_is_no_home_here(here: Path, folder: Path) -> None:
    order(here, folder, {**BLOBS, "dataset": {"path": "~/Blobs"}})
    assert yaml.safe_load((folder / "sweep.yaml").read_text())["dataset"]["path"] == "~/Blobs"


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        (
            {"dataset": {"path": "Blobs"}},
            {},
            "sweep.yaml: dataset.path: must be an absolute path on the cluster's machines, where this file's folder is "
            "unknown; got 'Blobs'; or say by --data where it lies there",
        ),
        ({"cache": "cache"}, {}, "sweep.yaml: cache: must be an absolute path on the cluster's machines, where"),
        (
            {"dataset": {"path": "/data/Blobs", "groups_file": "pairs.csv"}},
            {},
            "sweep.yaml: dataset.groups_file: must be an absolute path",
        ),
        ({}, {"data": "Blobs"}, "--data: must be an absolute path on the cluster, or begin with ~/; got 'Blobs'"),
        ({}, {"runs": "runs"}, "--runs: must be an absolute path on the cluster, or begin with ~/; got 'runs'"),
        (
            {"on_end": "https://hooks.example.org/secret"},
            {},
            "sweep.yaml: on_end stands there in plain text, which a job must not carry; write ${NAME} in its place",
        ),
        (
            {"storage": "postgresql://me:secret@host/studies"},
            {},
            "sweep.yaml: storage holds a password, which a job must not carry; write ${NAME} in its place, and set "
            "that variable where the cluster's head is started",
        ),
        (
            {"trainable": "nowhere_to_be_found:Run"},
            {},
            "sweep.yaml: trainable: nowhere_to_be_found:Run: no module nowhere_to_be_found in the current folder",
        ),
        ({}, {"code": [Path("gone.py")]}, "--code: gone.py can't be copied: No such file or directory"),
        ({"space": {}}, {}, "sweep.yaml: space"),
    ],
)
def test_what_a_cluster_could_not_use_is_refused(
    here: Path, folder: Path, changes: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises((ClusterError, SweepConfigError, SpaceError), match=f"^{re.escape(message)}") as raised:
        order(here, folder, {**BLOBS, **changes}, **options)
    assert "secret" not in str(raised.value)


def test_a_cluster_helps_with_another_s_sweep(here: Path, folder: Path) -> None:
    made = order(here, folder, {**TOY, "storage": "postgresql://me:${PGPASSWORD}@db.example/voxtune"}, join=True)
    assert made.entrypoint == ("exec python3 -m tuner.in_cluster run sweep.yaml --address auto --join --runs /results")


@pytest.mark.parametrize("storage", [None, "sqlite:////data/studies.db"])
def test_what_takes_one_driver_can_not_be_joined(here: Path, folder: Path, storage: str | None) -> None:
    message = "sweep.yaml: --join: the file names no `storage`, a database that several drivers share"
    with pytest.raises(SweepConfigError, match=f"^{re.escape(message)}$"):
        order(here, folder, {**TOY, "storage": storage}, join=True)


def test_data_for_a_sweep_without_any(here: Path, folder: Path) -> None:
    with pytest.raises(ClusterError, match="--data: the sweep toy has no data set"):
        order(here, folder, TOY, data="/data")


def test_the_user_s_own_modules_travel(here: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "my_run.py").write_text("import my_layers\n")
    (here / "my_layers").mkdir()
    (here / "my_layers" / "__init__.py").touch()
    (here / "my_sampler").mkdir()
    (here / "my_sampler" / "__init__.py").touch()
    (here / "unrelated.py").touch()
    content = {**TOY, "trainable": "my_run:Run", "search": {"sampler": "my_sampler.best:Sampler"}}
    made = order(here, folder, content, code=[Path("my_layers")])
    assert made.code == ("my_run.py", "my_sampler", "my_layers")
    assert (folder / "my_run.py").read_text() == "import my_layers\n"
    assert (folder / "my_layers" / "__init__.py").is_file()
    assert not (folder / "unrelated.py").exists()
    importlib.invalidate_caches()


def test_code_must_not_stand_in_another_s_place(here: Path, folder: Path) -> None:
    (here / "tuner").mkdir()
    with pytest.raises(ClusterError, match="--code: tuner has the name of a file that travels with every job; rename"):
        order(here, folder, TOY, code=[Path("tuner")])


def test_resuming_takes_the_same_code_along(here: Path, folder: Path) -> None:
    (here / "my_run.py").write_text("x = 1\n")
    made = order_to_resume(folder, job(code=("my_run.py",)), ["--trials", "20"])
    assert made.entrypoint == ("exec python3 -m tuner.in_cluster resume toy --address auto --trials 20 --runs /results")
    assert (made.sweep, made.runs, made.code) == ("toy", "/results", ("my_run.py",))
    assert (folder / "my_run.py").read_text() == "x = 1\n"
    assert not (folder / "sweep.yaml").exists()


def test_resuming_where_the_code_is_not(here: Path, folder: Path) -> None:
    message = (
        "the job toy-20261122-031200 took my_run.py along, which is not in the current folder; go to where it lies, or "
        "submit the sweep file again"
    )
    with pytest.raises(ClusterError, match=f"^{re.escape(message)}$"):
        order_to_resume(folder, job(code=("my_run.py",)), [])
