"""What one case is like: its size, its intensities, its classes and the hash of its files."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from trainables.case_files import read_case
from trainables.dataset import Case, Dataset
from trainables.errors import DatasetError
from trainables.grid import Grid
from trainables.intensity import Intensity
from trainables.resampling import Shape, Spacing


@dataclass(frozen=True, kw_only=True)
class CaseFingerprint:
    """Facts of one case. Axes are the patient's: left-right, posterior-anterior, inferior-superior (RAS)."""

    name: str
    shape: Shape
    """Voxels of the whole image."""

    cropped_shape: Shape
    """Voxels of the box in which some channel is not exactly 0."""

    spacing: Spacing
    """mm between voxels."""

    minimum: tuple[float, ...]
    maximum: tuple[float, ...]
    """Over the whole image, one a channel."""

    foreground: tuple[Intensity, ...]
    """Of the voxels with a label other than 0, one a channel; empty where the case has none."""

    label_voxels: Mapping[int, int]
    """How many voxels have each label of the data set, the background included."""

    content_hash: str
    """SHA-256 over the bytes of the image's files and the label file, hex."""

    @property
    def channels(self) -> int:
        return len(self.minimum)

    @property
    def flat_channels(self) -> tuple[int, ...]:
        """Those that are the same in every voxel, counted from 0."""
        return tuple(index for index, low in enumerate(self.minimum) if low == self.maximum[index])

    def to_mapping(self) -> dict[str, Any]:
        """Plain types, for JSON."""
        return asdict(self) | {"label_voxels": {str(label): count for label, count in self.label_voxels.items()}}

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Self:
        """What `to_mapping` gave, also after JSON. Raises KeyError, TypeError or ValueError for anything else."""
        plain: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in mapping.items()
        }
        plain["foreground"] = tuple(
            Intensity(**part | {"quantiles": tuple(part["quantiles"])}) for part in plain["foreground"]
        )
        plain["label_voxels"] = {int(label): count for label, count in plain["label_voxels"].items()}
        return cls(**plain)


def measure_case(dataset: Dataset, case: Case) -> CaseFingerprint:
    """Read a case, check it, and say what it is like.

    Raises DatasetError as `read_case` does, and where every channel is the same in every voxel.
    """
    read = read_case(dataset, case)
    x, y, z = read.label.shape
    grid = Grid.of((x, y, z), read.affine, target_spacing=(1, 1, 1))  # nothing is resampled here
    # Transposed, arrays lie in memory in the order in which numpy walks them: files have x running fastest.
    mask = read.label.T > 0
    measured = CaseFingerprint(
        name=case.name,
        shape=grid.cropped_shape,
        cropped_shape=grid.cropped_to_content(grid.orient(read.image)).cropped_shape,
        spacing=grid.spacing,
        minimum=tuple(float(channel.min()) for channel in read.image),
        maximum=tuple(float(channel.max()) for channel in read.image),
        foreground=tuple(Intensity.of(channel.T[mask]) for channel in read.image) if mask.any() else (),
        label_voxels=read.label_voxels,
        content_hash=read.content_hash,
    )
    if len(measured.flat_channels) == measured.channels:
        raise DatasetError(f"{case.image}: every voxel is {read.image.flat[0]:g}; there is nothing to learn from")
    return measured
