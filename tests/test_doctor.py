"""Each check of the doctor, on a healthy machine and on one that is not."""

import io
import os
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tuner import checks_machine, checks_software, machine
from tuner.check import Check
from tuner.doctor import diagnose, doctor_table

GPU = machine.CudaDevice(name="H100", memory_gib=80, free_gib=79, capability=(9, 0), kernels=True)
CUDA_TORCH = machine.TorchBuild(version="2.13.0+cu130", cuda="13.0", cudnn=(9, 20, 0))


def assume(monkeypatch: pytest.MonkeyPatch, **probes: Any) -> None:
    """Let the probes of `machine` find these values."""
    for name, value in probes.items():
        monkeypatch.setattr(machine, name, lambda *_, value=value: value)


def only(checks: list[Check]) -> Check:
    (check,) = checks
    return check


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Versions of libraries by name; others are not installed. voxtune declares needs of its own."""
    versions = {"ray": "2.60.0", "torch": "2.13.0+cpu"}

    def version(name: str) -> str:
        if name not in versions:
            raise metadata.PackageNotFoundError(name)
        return versions[name]

    class Package:
        metadata = {"Requires-Python": ">=3.11"}  # noqa: RUF012
        requires = ["ray[default,tune]<2.61,>=2.60", "torch>=2.9", "pytest; extra == 'dev'"]  # noqa: RUF012

    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.setattr(metadata, "distribution", lambda name: Package)
    return versions


def test_python_too_old(installed: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert checks_software.check_python().status == "ok"
    monkeypatch.setattr(checks_software, "python_version", lambda: "3.10.4")
    check = checks_software.check_python()
    assert (check.status, check.found) == ("problem", "3.10.4; voxtune needs >=3.11")


def test_libraries_in_range(installed: dict[str, str]) -> None:
    check = only(list(checks_software.check_libraries()))
    assert (check.status, check.found) == ("ok", "ray 2.60.0, torch 2.13.0+cpu")


def test_libraries_of_wrong_version_and_missing(installed: dict[str, str]) -> None:
    installed["ray"] = "2.58.1"
    del installed["torch"]
    ray, torch = checks_software.check_libraries()
    assert (ray.name, ray.status, ray.found) == ("ray", "problem", "2.58.1; voxtune needs <2.61,>=2.60")
    assert ray.advice == 'pip install "ray<2.61,>=2.60" -c constraints.txt'
    assert (torch.name, torch.status, torch.found) == ("torch", "problem", "not installed; voxtune needs >=2.9")


def test_nightly_builds_are_in_range(installed: dict[str, str]) -> None:
    installed["torch"] = "2.14.0.dev20261101+cu130"
    assert only(list(checks_software.check_libraries())).status == "ok"


def test_libraries_unknown_when_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    assert only(list(checks_software.check_libraries())).status == "note"
    assert checks_software.check_python().status == "ok"


def test_cores_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))
    assume(monkeypatch, usable_cores=16, core_limit=None)
    assert checks_machine.check_cores().status == "ok"
    assume(monkeypatch, usable_cores=2, core_limit=2.5)
    check = checks_machine.check_cores()
    assert check.status == "note"
    assert check.found == "2 of 16: this process may run on 16 and its control group leaves it the time of 2.5"


@pytest.mark.parametrize(
    ("total", "free", "status"), [(16, 12, "ok"), (16, 5, "note"), (16, 2.2, "problem"), (2, 1.5, "problem")]
)
def test_memory(total: float, free: float, status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assume(monkeypatch, memory_gib=total, available_memory_gib=free, usable_cores=4)
    assert checks_machine.check_memory().status == status


def test_memory_says_how_many_trials_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    assume(monkeypatch, memory_gib=16, available_memory_gib=5, usable_cores=4)
    assert "about 3 trials at once" in checks_machine.check_memory().advice


@pytest.mark.parametrize(
    ("free", "status", "found"),
    [
        (8.0, "ok", "8.0 GiB free"),
        (1 / 16, "problem", "64 MiB free; Ray's object store should have 0.5 GiB"),
        (None, "problem", "missing"),
    ],
)
def test_shared_memory(free: float | None, status: str, found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assume(monkeypatch, shared_memory_gib=free)
    check = checks_machine.check_shared_memory()
    assert (check.status, check.found) == (status, found)


def test_open_files(monkeypatch: pytest.MonkeyPatch) -> None:
    assume(monkeypatch, open_file_limit=1024)
    check = checks_machine.check_open_files()
    assert (check.status, check.found) == ("problem", "1024 allowed; Ray needs 4096")
    assume(monkeypatch, open_file_limit=65536)
    assert checks_machine.check_open_files().status == "ok"


def test_folder_that_can_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assume(monkeypatch, why_not_writable="Read-only file system")
    check = checks_machine.check_folder("cache", tmp_path)
    assert (check.name, check.status) == ("cache", "problem")
    assert check.found == f"{tmp_path}: can't write and lock a file there: Read-only file system"


@pytest.mark.parametrize(("free", "status"), [(100, "ok"), (5, "note"), (0.5, "problem")])
def test_folder_on_a_full_disk(free: float, status: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assume(monkeypatch, disk_gib=(free, 200))
    check = checks_machine.check_folder("runs", tmp_path)
    assert (check.status, check.found) == (status, f"{tmp_path}: {free:.1f} GiB free")


def test_temporary_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_TMPDIR", "/scratch")
    assume(monkeypatch, disk_gib=(3, 100))
    check = checks_machine.check_temporary_disk()
    assert (check.status, check.found[:32]) == ("problem", "/scratch: 97% of the disk used; ")
    assume(monkeypatch, disk_gib=(30, 100))
    assert checks_machine.check_temporary_disk().status == "ok"


def test_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assume(monkeypatch, cuda_devices=(), nvidia_driver=None)
    assert only(list(checks_machine.check_devices())).status == "note"


def test_gpu_that_a_cpu_build_of_torch_does_not_see(monkeypatch: pytest.MonkeyPatch) -> None:
    build = machine.TorchBuild(version="2.13.0+cpu", cuda=None, cudnn=None)
    assume(monkeypatch, cuda_devices=(), nvidia_driver="550.54.15", torch_build=build)
    check = only(list(checks_machine.check_devices()))
    assert check.status == "problem"
    assert check.found.endswith("torch sees no device: torch 2.13.0+cpu is a build for CPUs")


@pytest.mark.parametrize(
    ("changes", "status", "text"),
    [
        ({}, "ok", "fp16, bf16 and tf32"),
        ({"capability": (7, 5)}, "ok", "fp16, but not bf16 or tf32"),
        ({"capability": (6, 1)}, "ok", "fp32 only"),
        ({"free_gib": 40.0}, "note", "only 40.0 GiB are free"),
        ({"kernels": False}, "problem", "has no code for it"),
    ],
)
def test_gpu(changes: dict[str, Any], status: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    device = machine.CudaDevice(**{**vars(GPU), **changes})
    assume(monkeypatch, cuda_devices=(device,), nvidia_driver="580.1", torch_build=CUDA_TORCH)
    check = only(list(checks_machine.check_devices()))
    assert (check.name, check.status) == ("GPU 0", status)
    assert text in check.found + check.advice


@pytest.mark.parametrize(
    ("version", "cudnn", "problem"),
    [
        ("2.13.0+cu130", (9, 20, 0), None),
        ("2.8.0+cu128", (9, 10, 2), "wrong results"),
        ("2.9.0+cu130", (9, 13, 0), "four times slower"),
        ("2.9.0+cu130", (9, 15, 1), "four times slower"),
        ("2.9.1+cu130", (9, 13, 0), "four times slower"),
        ("2.9.1+cu130", (9, 15, 1), None),
        ("2.13.0+cpu", None, None),
    ],
)
def test_versions_with_bad_convolutions(
    version: str, cudnn: tuple[int, int, int] | None, problem: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assume(monkeypatch, torch_build=machine.TorchBuild(version=version, cuda=cudnn and "13.0", cudnn=cudnn))
    check = checks_software.check_convolutions()
    assert check.status == ("problem" if problem else "ok")
    assert (problem or version) in check.found


def test_bf16_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assume(monkeypatch, cuda_devices=(), bf16_slowdown=13.0)
    check = checks_machine.check_half_precision()
    assert (check.status, check.found) == ("note", "a 3D convolution takes 13.0 times as long as in fp32")
    assume(monkeypatch, bf16_slowdown=0.5)
    assert checks_machine.check_half_precision().found == "a 3D convolution is 2.0 times as fast as in fp32"


def test_modules_in_the_current_folder_that_hide_ours(tmp_path: Path) -> None:
    assert checks_software.check_shadowing(tmp_path).status == "ok"
    (tmp_path / "cluster").mkdir()  # notes on a cluster, no Python package
    assert checks_software.check_shadowing(tmp_path).status == "ok"
    (tmp_path / "cluster" / "__init__.py").touch()
    (tmp_path / "tuner.py").touch()
    check = checks_software.check_shadowing(tmp_path)
    assert check.status == "problem"
    assert check.found.endswith(f"{tmp_path}/tuner.py, {tmp_path}/cluster/__init__.py")


def test_our_own_folder_hides_nothing() -> None:
    assert checks_software.check_shadowing(Path(machine.__file__).parents[1]).status == "ok"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_token_switched_off(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    check = checks_software.check_token()
    assert check.status == "problem"
    assert check.found.startswith("RAY_AUTH_MODE is disabled: ")


def test_token_not_there_yet(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check = checks_software.check_token()
    assert (check.status, check.found) == ("ok", f"none yet; Ray will write {home}/.ray/auth_token")
    assume(monkeypatch, why_not_writable="Permission denied")
    check = checks_software.check_token()
    assert (check.status, check.found.rpartition(": ")[2]) == ("problem", "Permission denied")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "made up by a test")
    assert checks_software.check_token().found == "taken from RAY_AUTH_TOKEN"


def test_token_that_others_can_read(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = home / ".ray" / "auth_token"
    token.parent.mkdir()
    token.touch()
    monkeypatch.setattr(checks_software, "_others_can_read", lambda file: True)
    check = checks_software.check_token()
    assert (check.status, check.advice) == ("note", f"chmod 600 {token}")
    monkeypatch.setattr(checks_software, "_others_can_read", lambda file: False)
    assert checks_software.check_token().status == "ok"


def test_others_can_read_a_file_only_along_open_folders(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "token"
    file.parent.mkdir()
    file.touch()
    file.chmod(0o644)
    file.parent.chmod(0o700)
    assert not checks_software._others_can_read(file)
    assert checks_software._others_can_read(Path("/etc/passwd"))


@pytest.mark.ray
@pytest.mark.slow
def test_ray_starts_here() -> None:
    check = checks_software.check_ray()
    assert check.status == "ok", check
    assert "a worker imported voxtune" in check.found


def test_ray_that_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(cores: int) -> None:
        raise RuntimeError("no port is free")

    monkeypatch.setattr(checks_software, "connect", fail)
    check = checks_software.check_ray()
    assert (check.status, check.found) == ("problem", "does not work here: RuntimeError: no port is free")


def test_all_checks_in_a_table(tmp_path: Path) -> None:
    checks = diagnose(cache=tmp_path / "cache", runs=tmp_path / "runs", folder=tmp_path)
    assert [check.name for check in checks][:1] == ["Python"]
    assert all(check.advice for check in checks if check.status != "ok")
    assert not (tmp_path / "cache").exists()
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(doctor_table([*checks, Check(name="[red]", status="problem", found="[/x] left as is", advice="do")]))
    text = console.export_text()
    assert all(check.name in text for check in checks)
    assert "[red]" in text
    assert "[/x] left as is" in text
