"""The way from a file's voxels to the network's voxels, and back.

file (any orientation) ── orient ──► RAS ── crop ──► non-empty box ── resample ──► network's voxels
                       ◄── orient ── RAS ◄── pad ───                ◄── `trainables.merging` ──
"""

from dataclasses import dataclass, replace
from typing import Self

import nibabel as nib
import numpy as np

from trainables.resampling import Shape, Spacing, image_orders, resample_image, resample_label, resampled_shape

Box = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
"""First voxel and end along each axis."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """All that is needed to lay an array of one file on the network's voxels, and to lay a label back."""

    file_shape: Shape
    """Voxels of the file along its own axes."""

    axes: tuple[int, int, int]
    """Which axis of the file runs nearest to left-right, posterior-anterior and inferior-superior."""

    flipped: tuple[bool, bool, bool]
    """Whether that axis runs to the left, the back or down, and so must be turned round."""

    spacing: Spacing
    """mm between the file's voxels along the RAS axes."""

    box: Box
    """What is kept, along the RAS axes."""

    target_spacing: Spacing
    """mm between the network's voxels, up to the rounding of `shape` to whole voxels."""

    @classmethod
    def of(cls, file_shape: Shape, affine: np.ndarray, *, target_spacing: Spacing) -> Self:
        """The grid of a whole file, nothing cut off. `affine` (4, 4) maps voxels to mm in RAS+, as NIfTI has it.

        An oblique file is not rotated: each of its axes counts as the patient's axis that it is nearest to.
        """
        orientation = nib.orientations.io_orientation(affine)
        sizes = nib.affines.voxel_sizes(affine)
        x, y, z = (int(np.flatnonzero(orientation[:, 0] == axis)[0]) for axis in range(3))
        return cls(
            file_shape=file_shape,
            axes=(x, y, z),
            flipped=(bool(orientation[x, 1] < 0), bool(orientation[y, 1] < 0), bool(orientation[z, 1] < 0)),
            spacing=(float(sizes[x]), float(sizes[y]), float(sizes[z])),
            box=((0, file_shape[x]), (0, file_shape[y]), (0, file_shape[z])),
            target_spacing=target_spacing,
        )

    def cropped_to_content(self, oriented: np.ndarray) -> Self:
        """This grid with the box cut down to where `oriented` (C, X, Y, Z), a whole image along the RAS axes, is not 0.

        A voxel counts as empty when it is exactly 0 in every channel; an image that is empty all over keeps its box.
        """
        filled: np.ndarray = np.any(oriented, axis=0)
        if not filled.any():
            return self
        x, y, z = (_ends(np.any(filled, axis=others)) for others in ((1, 2), (0, 2), (0, 1)))
        return replace(self, box=(x, y, z))

    @property
    def cropped_shape(self) -> Shape:
        """Voxels along the RAS axes after the crop, before resampling."""
        (x, x_end), (y, y_end), (z, z_end) = self.box
        return x_end - x, y_end - y, z_end - z

    @property
    def shape(self) -> Shape:
        """The network's voxels along the RAS axes."""
        return resampled_shape(self.cropped_shape, self.spacing, self.target_spacing)

    def orient(self, array: np.ndarray) -> np.ndarray:
        """A view of `array` (..., X, Y, Z), in the file's axes, along the RAS axes."""
        lead = array.ndim - 3
        return self._turn(array.transpose(*range(lead), *(lead + axis for axis in self.axes)))

    def orient_back(self, array: np.ndarray) -> np.ndarray:
        """A view of `array` (X, Y, Z), along the RAS axes, in the file's axes."""
        return self._turn(array).transpose(np.argsort(self.axes))

    def _turn(self, array: np.ndarray) -> np.ndarray:
        x, y, z = (slice(None, None, -1 if flip else 1) for flip in self.flipped)
        return array[..., x, y, z]

    def crop(self, array: np.ndarray) -> np.ndarray:
        """A view of the box of `array` (..., X, Y, Z), which lies along the RAS axes."""
        x, y, z = (slice(*ends) for ends in self.box)
        return array[..., x, y, z]

    def resample_image(self, image: np.ndarray) -> np.ndarray:
        """A cropped `image` (C, X, Y, Z) float32 on the network's voxels."""
        return resample_image(image, self.shape, image_orders(self.spacing, self.target_spacing))

    def resample_label(self, label: np.ndarray) -> np.ndarray:
        """A cropped, encoded `label` (X, Y, Z) uint8 on the network's voxels."""
        return resample_label(label, self.shape)

    def restore(self, label: np.ndarray) -> np.ndarray:
        """An encoded `label` (X, Y, Z) uint8 of the box, on all of the file's voxels along its own axes.

        Exactly: what was cut off is background.
        """
        assert label.shape == self.cropped_shape, f"label {label.shape}, box {self.cropped_shape}"
        oriented = np.zeros([self.file_shape[axis] for axis in self.axes], np.uint8)
        self.crop(oriented)[...] = label
        return np.ascontiguousarray(self.orient_back(oriented))


def _ends(filled: np.ndarray) -> tuple[int, int]:
    where = np.flatnonzero(filled)
    return int(where[0]), int(where[-1]) + 1
