"""A small disk that can be filled, and a control group that bounds memory. Both need root, and are gone after a run."""

import errno
import secrets
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

FILLER = "filler"


@dataclass(frozen=True)
class Disk:
    """A tmpfs of its own."""

    root: Path

    @classmethod
    def make(cls, root: Path, *, mib: int) -> "Disk":
        root.mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", root], check=True)
        return cls(root)

    def fill(self) -> int:
        """Take all that is free. Returns how many bytes that were."""
        written = 0
        with (self.root / FILLER).open("ab", buffering=0) as file:
            for size in (2**20, 2**12):
                with suppress(OSError):
                    while True:
                        written += file.write(bytes(size))
        return written

    def free(self) -> None:
        (self.root / FILLER).unlink(missing_ok=True)

    def end(self) -> None:
        subprocess.run(["umount", "--lazy", self.root], check=True)


@dataclass(frozen=True)
class MemoryGroup:
    """A control group with a limit: the kernel ends a process of it that goes beyond."""

    folder: Path
    version: int

    @classmethod
    def make(cls, *, mib: int) -> "MemoryGroup":
        """Below the group of this process: version 1 of the kernel's interface where memory is under that, else 2."""
        lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
        name = f"voxtune-chaos-{secrets.token_hex(4)}"
        ours = next((path for _, controllers, path in lines if "memory" in controllers.split(",")), None)
        if ours is not None:
            group = cls(Path(f"/sys/fs/cgroup/memory{ours}") / name, 1)
            limit = "memory.limit_in_bytes"
        else:
            group = cls(Path(f"/sys/fs/cgroup{next(path for number, _, path in lines if number == '0')}") / name, 2)
            limit = "memory.max"
        group.folder.mkdir()
        (group.folder / limit).write_text(str(mib * 2**20))
        if group.version == 2:
            (group.folder / "memory.swap.max").write_text("0")
        return group

    def kills(self) -> int:
        """How many processes the kernel ended in it."""
        file = self.folder / ("memory.oom_control" if self.version == 1 else "memory.events")
        fields = dict(line.split() for line in file.read_text().splitlines())
        return int(fields["oom_kill"])

    def end(self) -> None:
        for _ in range(100):
            try:
                return self.folder.rmdir()
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise
                time.sleep(0.1)
