"""What a sweep needs of the machine: cores, memory, files, disks and devices."""

import os
from collections.abc import Iterator
from pathlib import Path

from tuner import machine
from tuner.check import Check, note, ok, problem
from tuner.environment import processor
from tuner.machine import CudaDevice

GIB_PER_TRIAL = 1.5
"""What a trial's process takes with small volumes: torch, MONAI and Ray alone are about 1 GiB."""

RAY_FULL = 0.95
"""Share of the memory in use from which Ray ends processes, and of the disk from which it stores nothing more."""

SHARED_GIB = 0.5
OPEN_FILES = 4096
"""Below this Ray warns of connection errors."""

CACHE_GIB = (1.0, 10.0)
"""Free disk below which a sweep hardly fits, and below which a large one may not."""


def check_cores() -> Check:
    """Whether all cores that programs see may be used."""
    usable, present = machine.usable_cores(), os.cpu_count() or 1
    if usable == present:
        return ok("cores", f"{usable}, {processor()}")
    limit = machine.core_limit()
    quota = f" and its control group leaves it the time of {limit:g}" if limit is not None else ""
    return note(
        "cores",
        f"{usable} of {present}: this process may run on {len(os.sched_getaffinity(0))}{quota}",
        "sweeps here use no more than that: for more, raise the limit of the container, the batch job or taskset",
    )


def check_memory() -> Check:
    """Whether the memory suffices for a trial on every core, and is free."""
    total, free = machine.memory_gib(), machine.available_memory_gib()
    found = f"{total:.1f} GiB, {free:.1f} GiB of it free"
    if free < (1 - RAY_FULL) * total + GIB_PER_TRIAL:
        return problem("memory", found, f"end other programs: Ray ends trials when {RAY_FULL:.0%} are in use")
    fitting = int(free / GIB_PER_TRIAL)
    if fitting < machine.usable_cores():
        return note("memory", found, f"enough for about {fitting} trials at once: set resources.trials_at_once")
    return ok("memory", found)


def check_shared_memory() -> Check:
    """Whether Ray's object store has its place."""
    free = machine.shared_memory_gib()
    if free is not None and free >= SHARED_GIB:
        return ok("/dev/shm", f"{free:.1f} GiB free")
    return problem(
        "/dev/shm",
        "missing" if free is None else f"{free * 1024:.0f} MiB free; Ray's object store should have {SHARED_GIB:g} GiB",
        "remove what lies in it, or give the container more: docker run --shm-size=2g",
    )


def check_open_files() -> Check:
    """Whether Ray may open its files and sockets."""
    limit = machine.open_file_limit()
    if limit >= OPEN_FILES:
        return ok("open files", f"{limit} allowed")
    return problem(
        "open files",
        f"{limit} allowed; Ray needs {OPEN_FILES}",
        "raise the hard limit (ulimit -Hn) in /etc/security/limits.conf or the container's settings",
    )


def check_folder(name: str, folder: Path) -> Check:
    """Whether a folder that sweeps write to can be written and locked, and has room."""
    reason = machine.why_not_writable(folder)
    if reason is not None:
        advice = "choose a folder of your own on a disk with file locks"
        return problem(name, f"{folder}: can't write and lock a file there: {reason}", advice)
    free, _ = machine.disk_gib(folder)
    found = f"{folder}: {free:.1f} GiB free"
    least, enough = CACHE_GIB
    if free < least:
        return problem(name, found, "free some space, or choose a folder on another disk")
    if free < enough:
        return note(name, found, "enough for small data sets only: voxtune says before a sweep what it will write")
    return ok(name, found)


def check_temporary_disk() -> Check:
    """Whether Ray's files under the temporary folder have room."""
    folder = Path(os.environ.get("RAY_TMPDIR", "/tmp"))
    free, size = machine.disk_gib(folder)
    used = 1 - free / size
    found = f"{folder}: {used:.0%} of the disk used"
    if used < RAY_FULL:
        return ok("Ray's files", found)
    return problem(
        "Ray's files",
        f"{found}; from {RAY_FULL:.0%} on Ray stores nothing more",
        "free some space, or set RAY_TMPDIR to a folder on another disk",
    )


def check_devices() -> Iterator[Check]:
    """The GPUs, or why one that the machine has is not seen."""
    devices, driver = machine.cuda_devices(), machine.nvidia_driver()
    build = machine.torch_build()
    if not devices and driver:
        why = f"is built for CUDA {build.cuda}" if build.cuda else "is a build for CPUs"
        yield problem(
            "GPU",
            f"NVIDIA driver {driver} is loaded, but torch sees no device: torch {build.version} {why}",
            "install a build of torch for a CUDA version that the driver supports (nvidia-smi shows it), and see that "
            "CUDA_VISIBLE_DEVICES hides none",
        )
    elif not devices:
        yield note("GPU", "none; trials run on the CPU", "fine for volumes of some 50 voxels an axis")
    for index, device in enumerate(devices):
        name = f"GPU {index}"
        found = f"{device.name}, {device.memory_gib:.1f} GiB, driver {driver or 'unknown'}, {precisions(device)}"
        if not device.kernels:
            yield problem(
                name, found, f"torch {build.version} has no code for it: install a build for its architecture"
            )
        elif device.free_gib < 0.9 * device.memory_gib:
            yield note(name, found, f"only {device.free_gib:.1f} GiB are free: see what else runs on it (nvidia-smi)")
        else:
            yield ok(name, found)


def precisions(device: CudaDevice) -> str:
    """What its matrix units compute in, by compute capability (CUDA C++ Programming Guide, table of features)."""
    if device.capability >= (8, 0):
        return "fp16, bf16 and tf32"
    if device.capability >= (7, 0):
        return "fp16, but not bf16 or tf32"
    return "fp32 only: half precision saves memory, not time"


def check_half_precision() -> Check:
    """What bfloat16 costs where trials run on the CPU."""
    name = "bf16 on the CPU"
    if machine.cuda_devices():
        return ok(name, "not measured: trials run on the GPU")
    slowdown = machine.bf16_slowdown()
    if slowdown <= 1:
        return ok(name, f"a 3D convolution is {1 / slowdown:.1f} times as fast as in fp32")
    found = f"a 3D convolution takes {slowdown:.1f} times as long as in fp32"
    return note(name, found, "leave precision at auto or fp32")
