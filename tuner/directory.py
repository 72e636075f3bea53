"""Where everything of a sweep lies: the one place that knows the names of files in `runs/NAME/`."""

import shutil
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from tempfile import TemporaryFile

from tuner.errors import SweepDirectoryError
from tuner.files import TEMPORARY

CROSS_VALIDATION = "cross_validation.md"
SHOWN_SWEEPS = 5


@dataclass(frozen=True)
class SweepDirectory:
    """The files of one sweep.

    A directory is a sweep's once `sweep.yaml` stands in it; that file is written last when a sweep is set up.
    """

    root: Path

    @staticmethod
    def check_free(root: Path) -> None:
        """Raises SweepDirectoryError if something stands at `root` already, or nothing can be written there."""
        try:
            if root.exists() and (not root.is_dir() or any(root.iterdir())):
                raise SweepDirectoryError(
                    f"sweep directory {root} exists already: nothing in it was touched; "
                    f"choose another --name, or go on with it by `voxtune resume {root}`"
                )
            nearest = next(folder for folder in (root, *root.absolute().parents) if folder.exists())
            TemporaryFile(dir=nearest).close()
        except OSError as error:
            raise _unwritable(root, error) from error

    @classmethod
    def create(cls, root: Path) -> "SweepDirectory":
        """Make a new sweep's directory. Raises SweepDirectoryError as `check_free` does."""
        cls.check_free(root)
        directory = cls(root.absolute())
        try:
            directory.checkpoints.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unwritable(root, error) from error
        return directory

    @classmethod
    def find(cls, run: str, runs: Path = Path("runs")) -> "SweepDirectory":
        """The directory of RUN, a path or a name under `runs`. Raises SweepDirectoryError if it is no sweep's."""
        candidates = [Path(run), runs / run]
        for candidate in candidates:
            directory = cls(candidate.absolute())
            with suppress(OSError):  # a name that no file can have
                if directory.sweep_file.is_file():
                    return directory
        looked = " or ".join(str(candidate) for candidate in candidates)
        raise SweepDirectoryError(
            f"no sweep at {looked}: a sweep's directory holds a sweep.yaml{_others(candidates[0].name, runs)}"
        )

    def check_begun(self) -> None:
        """Raises SweepDirectoryError if there is a sweep file, but no run of it."""
        if not (self.environment_file.is_file() or self.journal.is_file()):
            begin = f"voxtune run {self.sweep_file}"
            raise SweepDirectoryError(f"{self.root} holds a sweep.yaml, but is no run of it; begin one by `{begin}`")

    @property
    def name(self) -> str:
        return self.root.name

    @property
    def sweep_file(self) -> Path:
        """The resolved sweep file, which can be run again."""
        return self.root / "sweep.yaml"

    @property
    def environment_file(self) -> Path:
        return self.root / "environment.json"

    @property
    def split_file(self) -> Path:
        """Which cases trained, validated and tested."""
        return self.root / "split.json"

    @property
    def groups_file(self) -> Path:
        """A copy of the `groups_file` that the sweep began with, where it has one."""
        return self.root / "groups.csv"

    @property
    def journal(self) -> Path:
        """The study's default storage."""
        return self.root / "study.journal"

    @property
    def log_file(self) -> Path:
        """Ray's and Optuna's messages, and ours, of every driver that worked on the sweep."""
        return self.root / "sweep.log"

    @property
    def ray_file(self) -> Path:
        """Where Ray's dashboard is, while a driver works on the sweep."""
        return self.root / "ray.json"

    @property
    def failure_file(self) -> Path:
        """Why the last driver could not go on, until another begins."""
        return self.root / "failed.txt"

    @property
    def ray_results(self) -> Path:
        """Ray Tune's own bookkeeping while a search runs; nothing of ours reads it."""
        return self.root / "ray"

    @property
    def checkpoints(self) -> Path:
        """Folder of the trials' states and models, where the sweep file names no other place."""
        return self.root / "checkpoints"

    def trial_log(self, study: str, number: int) -> Path:
        """What the processes of a trial wrote, and how it ended. `study`: `sweep`, `confirm` or `folds`."""
        return self.root / "logs" / f"{trial_name(study, number)}.txt"

    def trial_events(self, study: str, number: int) -> Path:
        """Folder of a trial's TensorBoard events."""
        return self.root / "tensorboard" / trial_name(study, number)

    def gib(self) -> float:
        """What the sweep takes on disk, in GiB; of files that are removed meanwhile nothing."""
        total = 0
        for path in self.root.rglob("*"):
            with suppress(FileNotFoundError):
                total += path.stat().st_size if path.is_file() else 0
        return total / 2**30

    def remove_torn_files(self) -> None:
        """Remove the files and folders that a killed process left half written."""
        for path in list(self.root.rglob(TEMPORARY)):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    @property
    def best_config(self) -> Path:
        return self.root / "best" / "config.yaml"

    @property
    def best_model(self) -> Path:
        return self.root / "best" / "model.pt"

    @property
    def best_cases(self) -> Path:
        """Which pictures of the best model's cases there are."""
        return self.root / "best" / "cases.json"

    @property
    def case_pictures(self) -> Path:
        """Folder of those pictures."""
        return self.root / "best" / "cases"

    @property
    def artifacts(self) -> Path:
        """Folder of what is attached to the study, for optuna-dashboard to show."""
        return self.root / "artifacts"

    @property
    def report(self) -> Path:
        return self.root / "report"

    @property
    def report_page(self) -> Path:
        """The report as one file for a browser."""
        return self.report / "report.html"

    @property
    def folds(self) -> Path:
        """What `voxtune train --folds` found of the sweep's best, and the ensemble."""
        return self.root / "folds"

    @property
    def folds_page(self) -> Path:
        """What it says for people."""
        return self.folds / CROSS_VALIDATION


def trial_name(study: str, number: int) -> str:
    """`sweep_0012`: how files of a trial are called."""
    return f"{study}_{number:04d}"


def _others(name: str, runs: Path) -> str:
    """The end of a message about an unknown sweep: the one that may be meant, or some that are there."""
    try:
        there = sorted(folder.name for folder in runs.iterdir() if SweepDirectory(folder).sweep_file.is_file())
    except OSError:
        return ""
    if close := get_close_matches(name, there, n=1):
        return f"; did you mean {close[0]}?"
    more = f" and {len(there) - SHOWN_SWEEPS} more" if len(there) > SHOWN_SWEEPS else ""
    return f"; in {runs} are {', '.join(there[:SHOWN_SWEEPS])}{more}" if there else ""


def _unwritable(root: Path, error: OSError) -> SweepDirectoryError:
    folder = Path(error.filename).parent
    return SweepDirectoryError(
        f"sweep directory {root} can't be made: {folder}: {error.strerror}; choose another folder by --runs"
    )
