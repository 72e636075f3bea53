"""A guard: where it stands, what its absence looks like, and which tests see that."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Cut:
    """A text of a file, found there once, and what stands in its place where the guard is gone."""

    file: str
    guard: str
    without: str

    def check(self, root: Path) -> None:
        """Raises LookupError unless the file under `root` holds the text once: the code has moved on."""
        found = (root / self.file).read_text(encoding="utf-8").count(self.guard)
        if found != 1:
            raise LookupError(f"{self.file}: holds {self.guard!r} {found} times, once is needed")

    def make(self, root: Path) -> None:
        """Take the guard out of the tree at `root`."""
        file = root / self.file
        file.write_text(file.read_text(encoding="utf-8").replace(self.guard, self.without), encoding="utf-8")


def never(file: str, condition: str) -> Cut:
    """A condition under which something is refused, which then is never met."""
    return Cut(file, f"if {condition}:", "if False:")


@dataclass(frozen=True)
class Guard:
    """What is held off, by what, and the tests by pytest's ids that must fail without it."""

    danger: str
    cuts: tuple[Cut, ...]
    """Several: each holds it off alone, and all are taken out together."""

    tests: tuple[str, ...]
    with_ray: bool = False
    """Whether the tests start Ray, which takes more memory than others are given."""

    note: str = ""


def held(danger: str, *cuts: Cut, by: tuple[str, ...] | str, with_ray: bool = False, note: str = "") -> Guard:
    """A guard whose tests are named like `test_files.py::test_a_private_file_is_its_owners_alone`, one or several."""
    tests = (by,) if isinstance(by, str) else by
    return Guard(danger, cuts, tuple(f"tests/{test}" for test in tests), with_ray, note)
