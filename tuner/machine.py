"""What this machine gives to a process: cores, memory, files and devices, as kernel and torch say it.

Each probe here answers one question and judges nothing; `doctor` does.
"""

import fcntl
import os
import resource
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from trainables.control_groups import kernel_file, memory_groups, own_groups
from trainables.known_faults import cudnn_version
from trainables.machine_memory import machine_memory

GIB = 2**30

_GPU_FILES = tuple(map(Path, ("/proc/driver/nvidia/version", "/dev/nvidiactl", "/dev/dxg", "/dev/kfd")))
"""One of these is there where a driver of NVIDIA, Windows (for Linux inside it) or AMD is."""


def core_limit() -> float | None:
    """Cores' worth of time that the control groups leave to this process; None without a limit."""
    limits = []
    for group in own_groups("cpu"):
        quota, period = kernel_file(group / "cpu.max", "max 1").split()
        if quota == "max":  # none, or version 1
            quota, period = (
                kernel_file(group / "cpu.cfs_quota_us", "-1"),
                kernel_file(group / "cpu.cfs_period_us", "100000"),
            )
        if quota.isdigit():
            limits.append(int(quota) / int(period))
    return min(limits, default=None)


def usable_cores() -> int:
    """Cores that this process may keep busy: those it may run on, within the limits of its control group and of the
    Slurm job that it is part of, which Slurm need not enforce; at least 1."""
    here = len(os.sched_getaffinity(0))
    limits = (core_limit(), os.environ.get("SLURM_CPUS_ON_NODE"))
    return max(1, min([here, *(int(limit) for limit in limits if limit is not None)]))


def memory_gib() -> float:
    """The machine's memory, or the control groups' limit where that is lower."""
    return machine_memory() / GIB


def available_memory_gib() -> float:
    """Memory that a new process can have without any being swapped out."""
    lines = kernel_file(Path("/proc/meminfo"), "").splitlines()
    available = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    return max(0, min([available, *(limit - used for limit, used in memory_groups())])) / GIB


def shared_memory_gib() -> float | None:
    """Free space of `/dev/shm`, where Ray's object store lies; None where there is none."""
    folder = Path("/dev/shm")
    return shutil.disk_usage(folder).free / GIB if folder.is_dir() else None


def open_file_limit() -> int:
    """How many files a process may open once it raised its own limit, as Ray does."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def disk_gib(folder: Path) -> tuple[float, float]:
    """Free space and size of the disk on which `folder` is, or would be made."""
    usage = shutil.disk_usage(_existing(folder))
    return usage.free / GIB, usage.total / GIB


def why_not_writable(folder: Path) -> str | None:
    """Try to write and to lock a file where `folder` is, or would be made; the system's reason if that fails."""
    try:
        with tempfile.TemporaryFile(dir=_existing(folder)) as file:
            file.write(b"voxtune")
            file.flush()
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.strerror or str(error)
    return None


@dataclass(frozen=True, kw_only=True)
class CudaDevice:
    """One GPU that torch can use."""

    name: str
    memory_gib: float
    free_gib: float
    capability: tuple[int, int]
    kernels: bool
    """Whether this build of torch holds code for it."""


def cuda_count() -> int:
    """How many GPUs torch sees; takes no memory of any."""
    if not any(path.exists() for path in _GPU_FILES):
        return 0  # spares importing torch
    import torch

    return torch.cuda.device_count()


def cuda_devices() -> tuple[CudaDevice, ...]:
    """The GPUs that torch sees."""
    if not (count := cuda_count()):
        return ()
    import torch

    devices = []
    for index in range(count):
        free, total = torch.cuda.mem_get_info(index)
        capability = torch.cuda.get_device_capability(index)
        devices.append(
            CudaDevice(
                name=torch.cuda.get_device_name(index),
                memory_gib=total / GIB,
                free_gib=free / GIB,
                capability=capability,
                kernels=_has_kernels(torch.cuda.get_arch_list(), capability),
            )
        )
    return tuple(devices)


def nvidia_driver() -> str | None:
    """Version of the loaded NVIDIA driver; None without one."""
    text = kernel_file(Path("/proc/driver/nvidia/version"), "")
    return next((word for word in text.split() if word[:1].isdigit() and "." in word), None)


@dataclass(frozen=True, kw_only=True)
class TorchBuild:
    """Which torch this is."""

    version: str
    cuda: str | None
    """The CUDA version that it was built for; None: a build for CPUs."""

    cudnn: tuple[int, int, int] | None


def torch_build() -> TorchBuild:
    """Versions of torch and of what came with it."""
    import torch

    number = torch.backends.cudnn.version() if torch.version.cuda else None
    return TorchBuild(version=torch.__version__, cuda=torch.version.cuda, cudnn=cudnn_version(number))


def bf16_slowdown() -> float:
    """How many times as long a 3D convolution takes in bfloat16 as in float32 on this CPU, forward and backward."""
    import torch

    convolution = torch.nn.Conv3d(16, 16, 3, padding=1)
    image = torch.ones(1, 16, 24, 24, 24)

    def seconds(*, bf16: bool) -> float:
        times = []
        for _ in range(3):
            begin = time.perf_counter()
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                convolution(image).sum().backward()
            times.append(time.perf_counter() - begin)
        return min(times)

    return seconds(bf16=True) / seconds(bf16=False)


def _has_kernels(architectures: list[str], capability: tuple[int, int]) -> bool:
    """Whether code for `architectures` (`sm_90`, `compute_90`) runs on a device of this compute capability.

    Binary code (`sm`) runs on later devices of the same major version, intermediate code (`compute`) on all later ones.
    """
    for architecture in architectures:
        kind, _, digits = architecture.partition("_")
        digits = digits.rstrip("af")
        built = int(digits[:-1]), int(digits[-1])
        if built <= capability and (kind == "compute" or built[0] == capability[0]):
            return True
    return False


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    folder = folder.absolute()
    return next(path for path in (folder, *folder.parents) if path.exists())
