"""What the kernel and torch say, on made-up control groups and devices."""

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from trainables import control_groups
from trainables.machine_memory import past_memory
from tuner import machine

Lay = Callable[[dict[str, str]], None]


@pytest.fixture
def lay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lay:
    """Puts files in the place of /proc/self/cgroup (`own`) and of those below /sys/fs/cgroup."""
    monkeypatch.setattr(control_groups, "_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(control_groups, "_OWN_CGROUPS", tmp_path / "own")

    def write(files: dict[str, str]) -> None:
        for name, text in files.items():
            path = tmp_path / name if name == "own" else tmp_path / "cgroup" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text + "\n")

    return write


def test_core_limit_of_version_2_is_the_lowest_on_the_way_up(lay: Lay) -> None:
    lay(
        {
            "own": "0::/batch/job",
            "cpu.max": "max 100000",
            "batch/cpu.max": "150000 100000",
            "batch/job/cpu.max": "max 1",
        }
    )
    assert machine.core_limit() == 1.5


def test_core_limit_of_version_1(lay: Lay) -> None:
    lay(
        {
            "own": "3:cpu,cpuacct:/docker/abc\n0::/",
            "cpu/docker/abc/cpu.cfs_quota_us": "250000",
            "cpu/docker/abc/cpu.cfs_period_us": "100000",
            "cpu/cpu.cfs_quota_us": "-1",
        }
    )
    assert machine.core_limit() == 2.5


def test_core_limit_inside_a_container_that_shows_its_hosts_path(lay: Lay) -> None:
    lay({"own": "0::/kubepods/pod1", "cpu.max": "400000 100000"})
    assert machine.core_limit() == 4


def test_no_limit(lay: Lay) -> None:
    lay({"own": "0::/", "cpu.max": "max 100000", "memory.max": "max"})
    assert machine.core_limit() is None
    assert machine.memory_gib() == pytest.approx(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30)


def test_usable_cores_keep_within_the_limit(lay: Lay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    assert machine.usable_cores() == 8
    lay({"own": "0::/", "cpu.max": "350000 100000"})
    assert machine.usable_cores() == 3
    lay({"own": "0::/", "cpu.max": "50000 100000"})
    assert machine.usable_cores() == 1


def test_memory_keeps_within_the_limit(lay: Lay) -> None:
    lay({"own": "0::/job", "job/memory.max": str(2**27), "job/memory.current": str(2**26)})
    assert machine.memory_gib() == 0.125
    assert machine.available_memory_gib() == 0.0625
    assert past_memory(2**27) is None
    assert past_memory(2**28) == "0.2 GiB of memory, and this machine has 0.1"


def test_memory_limit_of_version_1_ignores_its_way_to_say_none(lay: Lay) -> None:
    files = {"own": "4:memory:/job", "memory/memory.limit_in_bytes": "9223372036854771712"}
    lay({**files, "memory/job/memory.limit_in_bytes": str(2**28), "memory/job/memory.usage_in_bytes": str(2**28)})
    assert machine.memory_gib() == 0.25
    assert machine.available_memory_gib() == 0


def test_why_not_writable(tmp_path: Path) -> None:
    assert machine.why_not_writable(tmp_path / "runs" / "later") is None
    assert not (tmp_path / "runs").exists()
    assert machine.why_not_writable(Path("/proc/1/runs")) is not None


def test_disk_of_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    assert machine.disk_gib(tmp_path / "a" / "b")[1] == machine.disk_gib(tmp_path)[1] > 0


@pytest.mark.parametrize(
    ("architectures", "capability", "runs"),
    [
        (["sm_80", "sm_90"], (9, 0), True),
        (["sm_80"], (8, 9), True),
        (["sm_86"], (8, 0), False),
        (["sm_80"], (9, 0), False),
        (["sm_80", "compute_80"], (9, 0), True),
        (["sm_75", "sm_120"], (12, 0), True),
        (["sm_90a"], (9, 0), True),
        ([], (9, 0), False),
    ],
)
def test_which_builds_hold_code_for_a_device(architectures: list[str], capability: tuple[int, int], runs: bool) -> None:
    assert machine._has_kernels(architectures, capability) == runs


def test_cuda_devices_as_torch_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = SimpleNamespace(
        device_count=lambda: 1,
        mem_get_info=lambda index: (60 * 2**30, 80 * 2**30),
        get_device_capability=lambda index: (9, 0),
        get_device_name=lambda index: "GPU of a test",
        get_arch_list=lambda: ["sm_90"],
    )
    monkeypatch.setattr(torch, "cuda", fake)
    monkeypatch.setattr(machine, "_GPU_FILES", (Path("/dev/made-up"),))
    assert machine.cuda_devices() == ()
    monkeypatch.setattr(machine, "_GPU_FILES", (Path("/dev/null"),))
    assert machine.cuda_devices() == (
        machine.CudaDevice(name="GPU of a test", memory_gib=80, free_gib=60, capability=(9, 0), kernels=True),
    )


@pytest.mark.parametrize(("number", "version"), [(91002, (9, 10, 2)), (8902, (8, 9, 2)), (92100, (9, 21, 0))])
def test_cudnn_version(number: int, version: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: number)
    assert machine.torch_build().cudnn == version


def test_nvidia_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024\nGCC version: 12.3"
    monkeypatch.setattr(machine, "kernel_file", lambda path, default: text if "nvidia" in str(path) else default)
    assert machine.nvidia_driver() == "550.54.15"


def test_bf16_is_timed() -> None:
    assert 0.05 < machine.bf16_slowdown() < 500
