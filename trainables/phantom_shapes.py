"""What phantom anatomy is made of: smooth random fields, and solids that blend into one another.

A solid is an array (X, Y, Z) of roughly signed distances in mm to its surface, negative inside, so that a union is a
minimum, a layer around it a subtraction, and a voxel cut by the surface knows how much of it lies inside.
"""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

Point = Sequence[float] | np.ndarray
"""mm along x, y, z."""

_SPLINE_SD = (151 / 315) ** 1.5
"""Standard deviation of a sum of unit normals weighted by a 3D uniform cubic B-spline, averaged over its cell."""


class Room:
    """The box of space (mm) that a volume shows, with the random numbers that fill it.

    Fields are drawn at knots so many mm apart, not at voxels: the same seed gives the same anatomy at every spacing.
    """

    def __init__(self, rng: np.random.Generator, *, extent: Point, spacing: Point) -> None:
        self.rng = rng
        self.extent = tuple(extent)
        self.spacing = tuple(spacing)
        self._axes = [_centred(round(length / s), s) for length, s in zip(extent, spacing, strict=True)]
        x, y, z = self._axes
        self.shape = (len(x), len(y), len(z))

    def points(self, *, centre: Point = (0, 0, 0)) -> np.ndarray:
        """(3, X, Y, Z) float32: mm along x, y, z, where the middle of the room lies at `centre`."""
        axes = [axis + middle for axis, middle in zip(self._axes, centre, strict=True)]
        return np.stack(np.meshgrid(*axes, indexing="ij")).astype(np.float32)

    def field(self, detail: float) -> np.ndarray:
        """(X, Y, Z) float32: smooth noise of mean 0 and standard deviation 1 whose hills are some `detail` mm wide."""
        weights = [
            _spline_weights(axis, length / 2, detail) for axis, length in zip(self._axes, self.extent, strict=True)
        ]
        knots = self.rng.standard_normal([w.shape[1] for w in weights])
        for w in weights:
            knots = np.tensordot(knots, w, axes=(0, 1))  # takes the first axis away and appends its voxels
        return (knots / _SPLINE_SD).astype(np.float32)

    def warp(self, points: np.ndarray, *, by: float, detail: float) -> np.ndarray:
        """`points` moved at random by `by` mm (standard deviation along each axis), smoothly over `detail` mm."""
        return points + by * np.stack([self.field(detail) for _ in range(3)])

    def vary(self, value: float, by: float) -> float:
        """A number uniform within `by` of `value`."""
        return value + self.rng.uniform(-by, by)

    def near(self, point: Point, by: float) -> np.ndarray:
        """A point uniform within `by` mm of `point` along each axis."""
        return np.asarray(point, dtype=float) + self.rng.uniform(-by, by, 3)


def rotation(angles: Point) -> np.ndarray:
    """(3, 3): turns about x, then y, then z by `angles` in degrees."""
    matrix = np.eye(3)
    for axis, angle in enumerate(np.radians(angles)):
        turn = np.eye(3)
        i, j = (axis + 1) % 3, (axis + 2) % 3
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    return matrix


def turned(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return np.tensordot(matrix.astype(np.float32), points, axes=1)


def ellipsoid(points: np.ndarray, centre: Point, radii: Point, *, angles: Point = (0, 0, 0)) -> np.ndarray:
    """The solid within `radii` (mm) of `centre`; distances are to first order, exact at the surface."""
    local = points - _column(centre)
    if any(angles):
        local = turned(local, rotation(angles).T)
    scaled = local / _column(radii)
    length = np.sqrt((scaled**2).sum(axis=0)) + 1e-6
    slope = np.sqrt(((scaled / _column(radii)) ** 2).sum(axis=0)) + 1e-6
    return length * (length - 1) / slope


def tube(points: np.ndarray, path: Sequence[Point], radii: Sequence[float]) -> np.ndarray:
    """The solid along straight pieces between the points of `path`, its radius (mm) changing from point to point."""
    solid = None
    for start, end, r0, r1 in zip(path[:-1], path[1:], radii[:-1], radii[1:], strict=True):
        along = np.asarray(end, dtype=np.float32) - np.asarray(start, dtype=np.float32)
        local = points - _column(start)
        t = np.clip(np.tensordot(along, local, axes=1) / (along @ along), 0, 1)
        piece = np.sqrt(((local - t * _column(along)) ** 2).sum(axis=0)) - (r0 + t * (r1 - r0))
        solid = piece if solid is None else np.minimum(solid, piece)
    assert solid is not None
    return solid


def join(a: np.ndarray, b: np.ndarray, *, blend: float = 0.01) -> np.ndarray:
    """The union of two solids, its crease filled over `blend` mm."""
    overlap = np.maximum(blend - np.abs(a - b), 0) / blend
    return np.minimum(a, b) - overlap**2 * blend / 4


def cut(a: np.ndarray, b: np.ndarray, *, blend: float = 0.01) -> np.ndarray:
    """Solid `a` without solid `b`, its edge rounded over `blend` mm."""
    return -join(-a, b, blend=blend)


class Canvas:
    """A volume (X, Y, Z) painted solid by solid, later ones over earlier ones."""

    def __init__(self, room: Room, value: float) -> None:
        self.image = np.full(room.shape, value, dtype=np.float32)
        # A boundary seen through voxels of this size is about as wide as they are.
        self._edge = float(np.prod(room.spacing) ** (1 / 3))

    def paint(self, solid: np.ndarray, value: float | np.ndarray) -> None:
        inside = np.clip(0.5 - solid / self._edge, 0, 1)
        self.image += inside * (value - self.image)

    def blurred(self, sigma: float = 0.5) -> np.ndarray:
        """The image through a scanner's point spread of `sigma` voxels."""
        return ndimage.gaussian_filter(self.image, sigma)


def rician(rng: np.random.Generator, image: np.ndarray, sigma: float) -> np.ndarray:
    """The magnitude of a complex MRI signal with normal noise of `sigma` in both parts (Gudbjartsson and Patz 1995)."""
    real = image + rng.normal(0, sigma, image.shape)
    imaginary = rng.normal(0, sigma, image.shape)
    return np.hypot(real, imaginary).astype(np.float32)


def _centred(count: int, step: float) -> np.ndarray:
    return (np.arange(count) - (count - 1) / 2) * step


def _spline_weights(axis: np.ndarray, reach: float, detail: float) -> np.ndarray:
    """(voxels, knots): weights of uniform cubic B-splines, `detail` mm apart and up to `reach` mm from the middle."""
    knots = np.ceil(reach / detail) + 2
    distance = np.abs(axis[:, None] / detail - np.arange(-knots, knots + 1))
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = np.maximum(2 - distance, 0) ** 3 / 6
    return np.where(distance < 1, near, far)


def _column(vector: Point) -> np.ndarray:
    return np.asarray(vector, dtype=np.float32)[:, None, None, None]
