"""A phantom of MSD Task09: the spleen in abdominal CT, in Hounsfield units and slices of 5 mm.

Liver, kidney, stomach, pancreas, bowel and muscle come within the noise of the spleen's density and touch it: the
spleen is known by its place below the left ribs and by its crescent shape.
"""

from collections.abc import Iterator

import numpy as np
from scipy import ndimage

from trainables.phantom_shapes import Canvas, Room, cut, ellipsoid, join, rotation, tube, turned

LABELS = {1: "spleen"}
MODALITIES = ("CT",)

# Hounsfield units, in the portal venous phase.
AIR, LUNG, FAT, MUSCLE, BONE, MARROW = -1000, -850, -100, 55, 480, 190
BOWEL, PANCREAS, LIVER, SPLEEN, VESSEL, KIDNEY = 60, 85, 105, 112, 145, 160


def make_spleen(room: Room) -> tuple[np.ndarray, np.ndarray]:
    """One case: image (1, X, Y, Z) int16 and label (X, Y, Z) uint8. Axes are R, A, S."""
    rng = room.rng
    points = room.points(centre=room.near((-42, 0, 0), 8)) / room.vary(1.0, 0.12)
    points = turned(points, rotation(rng.uniform(-8, 8, 3)))
    points = room.warp(points, by=4, detail=60)

    body = ellipsoid(points, (0, 5, 0), (room.vary(158, 8), room.vary(112, 8), 900)) + 2 * room.field(70)
    cavity = body + room.vary(22, 5)
    left_dome = _dome(points, room.near((-78, -2, -25), 6), (80, 98, room.vary(68, 10)))
    right_dome = _dome(points, room.near((75, 2, -20), 6), (88, 98, room.vary(75, 10)))
    spleen = np.maximum.reduce([_spleen(room, points), cavity + 3, left_dome + 3])

    canvas = Canvas(room, AIR)
    canvas.paint(body, FAT + 8 * room.field(15))
    canvas.paint(cavity - 11, MUSCLE + 8 * room.field(8))
    canvas.paint(_ribs(room, points, cavity), BONE)
    canvas.paint(cavity, FAT + 12 * room.field(10))
    under = np.maximum(np.minimum(left_dome, right_dome) + 3, cavity + 2)
    for organ, density in _neighbours(room, points):
        canvas.paint(np.maximum(cut(organ, spleen - 1), under), density)
    canvas.paint(spleen, room.vary(SPLEEN, 18) + 5 * room.field(10))
    middle = ellipsoid(points, (0, 10, 0), (room.vary(52, 8), 120, 900))
    canvas.paint(np.maximum.reduce([cavity + 2, -left_dome, -right_dome, -middle, -25 - points[2]]), LUNG)
    _paint_spine(room, points, canvas)

    noise = ndimage.gaussian_filter(rng.normal(size=room.shape), (0.6, 0.6, 0.3))
    image = canvas.blurred(0.45) + room.vary(20, 6) * noise / noise.std()
    return np.rint(np.clip(image, -1024, 3071))[None].astype(np.int16), (spleen < 0).astype(np.uint8)


def _spleen(room: Room, points: np.ndarray) -> np.ndarray:
    """A crescent: an ellipsoid, hollowed from the middle by what lies there, with a notch."""
    rng = room.rng
    centre = room.near((-100, -30, 0), 6)
    radii = np.array([33, 50, 46]) * rng.uniform(0.85, 1.15, 3)
    whole = ellipsoid(points, centre, radii, angles=rng.uniform(-25, 25, 3))
    hollow = ellipsoid(points, centre + np.array((room.vary(36, 6), room.vary(10, 8), 0)), (26, 38, 60))
    notch = ellipsoid(points, centre + np.array((0, 46, room.vary(10, 20))), (18, 14, 9))
    return cut(cut(whole, hollow, blend=10), notch, blend=5) + 1.6 * room.field(16)


def _neighbours(room: Room, points: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray | float]]:
    """Solids with their densities, in the order of painting."""
    rng, near, vary = room.rng, room.near, room.vary

    liver = join(
        ellipsoid(points, near((88, 2, 0), 5), (76, 80, 90)),
        ellipsoid(points, near((5, 52, 16), 8), (vary(56, 14), 30, 36)),
        blend=15,
    )
    yield liver + 4 * room.field(30), vary(LIVER, 15) + 5 * room.field(10)

    kidney = ellipsoid(points, near((-58, -46, -32), 6), np.array([26, 24, 50]) * rng.uniform(0.9, 1.1, 3))
    yield kidney + room.field(14), vary(KIDNEY, 25)
    yield kidney + vary(8, 1), vary(KIDNEY - 35, 15)
    yield tube(points, [near((-40, -42, -34), 4), near((-56, -46, -34), 3)], [10, 5]), FAT

    yield tube(points, [near((20, 12, -12), 5), near((-35, 6, -8), 6), near((-80, -14, 0), 8)], [12, 10, 7]), PANCREAS
    yield tube(points, [(-5, -10, 0), near((-45, -8, 8), 6), near((-82, -22, 4), 6)], [4, 4, 3]), VESSEL

    for _ in range(8):
        loop = [near((-45, 35, -60), 40) for _ in range(3)]
        bowel = tube(points, loop, [vary(12, 2)] * 3) + room.field(12)
        yield bowel, vary(BOWEL, 20)
    colon = tube(
        points,
        [(-110, 10, -90), near((-112, 20, -45), 6), near((-92, 44, -15), 8), near((-40, 66, -40), 8)],
        [15, 17, 16, 15],
    )
    yield colon + 2 * room.field(14), BOWEL
    # Gas among the contents: bubbles wherever a field is high.
    yield np.maximum(colon + 4, 8 - 10 * room.field(18)), AIR

    centre = near((-50, 34, 16), 8)
    stomach = ellipsoid(
        points, centre, np.array([36, 38, 44]) * rng.uniform(0.75, 1.15, 3), angles=rng.uniform(-25, 25, 3)
    )
    stomach = stomach + 3 * room.field(25)
    yield stomach, vary(80, 15)
    yield stomach + vary(4, 1), vary(60, 60) + 6 * room.field(8)
    yield np.maximum(stomach + 4, centre[1] + vary(12, 10) - points[1]), AIR


def _paint_spine(room: Room, points: np.ndarray, canvas: Canvas) -> None:
    for side in (-1, 1):
        canvas.paint(tube(points, [(side * 34, -80, -90), (side * 34, -82, 90)], [22, 20]), MUSCLE)
    vertebrae = tube(points, [(0, -58, -90), (0, -60, 90)], [21, 20])
    discs = np.abs(_repeat(points[2] + room.vary(0, 15), 33)) - 4
    canvas.paint(join(vertebrae, ellipsoid(points, (0, -92, 0), (9, 22, 900))), BONE)
    canvas.paint(vertebrae + 4, MARROW + 40 * room.field(8))
    canvas.paint(np.maximum(vertebrae, discs), 90)
    canvas.paint(tube(points, [(0, -84, -90), (0, -86, 90)], [9, 9]), 25)
    canvas.paint(tube(points, [(-10, -28, -90), (-6, -26, 90)], [11, 11]), room.vary(VESSEL, 20))
    canvas.paint(tube(points, [(20, -22, -90), (22, -15, 90)], [12, 12]), room.vary(VESSEL - 15, 20))


def _ribs(room: Room, points: np.ndarray, cavity: np.ndarray) -> np.ndarray:
    """Bows within the wall, 28 mm apart, lower in front than behind."""
    height = _repeat(points[2] + 0.55 * points[1] + room.vary(0, 14), 28)
    return np.maximum(np.abs(cavity - 5) - 4, np.abs(height) - 5)


def _dome(points: np.ndarray, centre: np.ndarray, radii: tuple[float, float, float]) -> np.ndarray:
    """What lies below a half of the diaphragm: an ellipsoid above `centre`, a column below."""
    above = np.concatenate([points[:2], np.maximum(points[2:], centre[2])])
    return ellipsoid(above, centre, radii)


def _repeat(height: np.ndarray, period: float) -> np.ndarray:
    """The distance (mm, signed) to the nearest multiple of `period`."""
    return (height + period / 2) % period - period / 2
