"""A phantom of MSD Task01: a brain tumour's edema, non-enhancing and enhancing parts in four MRI contrasts.

No contrast shows it alone: ventricles and sulci are as bright as edema in T2w, old lesions without a tumour in FLAIR,
vessels as bright as the enhancing rim in t1gd. As in MSD the skull is stripped and the background zero.
"""

import numpy as np

from trainables.phantom_shapes import Canvas, Room, cut, ellipsoid, join, rician, rotation, tube, turned

LABELS = {1: "edema", 2: "non-enhancing tumor", 3: "enhancing tumour"}
MODALITIES = ("FLAIR", "T1w", "t1gd", "T2w")

# Signal in FLAIR, T1w, t1gd, T2w, relative to the brightest tissue of each.
FLUID = (0.15, 0.2, 0.2, 0.95)
GREY = (0.56, 0.48, 0.52, 0.55)
WHITE = (0.42, 0.68, 0.7, 0.38)
VESSEL = (0.3, 0.35, 0.92, 0.25)
OLD_LESION = (0.72, 0.5, 0.52, 0.7)
EDEMA = (0.72, 0.5, 0.52, 0.7)
CORE = (0.62, 0.36, 0.4, 0.78)
RIM = (0.66, 0.45, 0.95, 0.64)


def make_brain(room: Room) -> tuple[np.ndarray, np.ndarray]:
    """One case: image (4, X, Y, Z) int16, zero outside the brain, and label (X, Y, Z) uint8. Axes are R, A, S."""
    rng = room.rng
    points = room.points(centre=rng.uniform(-3, 3, 3)) / room.vary(0.98, 0.07)
    points = turned(points, rotation(rng.uniform(-8, 8, 3)))
    points = room.warp(points, by=2.5, detail=45)

    brain = _brain(room, points)
    ventricles = _ventricles(room, points)
    folds = np.exp(-((room.field(14) / 0.35) ** 2))  # ridges where a field crosses zero, which are sheets in space
    cortex = brain + 3.5 + 8 * folds
    side = rng.choice((-1, 1))
    core, rim, edema = _tumour(room, points, side, cortex, ventricles)
    label = np.select([rim < 0, core < 0, edema < 0], [3, 2, 1]).astype(np.uint8)

    layers = [
        (brain, FLUID),
        (brain + 0.5 + 7 * folds**4, GREY),
        (cortex, WHITE),
        (_deep_grey(room, points), GREY),
        (np.maximum(np.abs(points[0]) - 1, -25 - brain), FLUID),  # between the hemispheres
        (np.maximum(_old_lesions(room, points, -side, ventricles), brain + 2), OLD_LESION),
        (ventricles, FLUID),
        (_vessels(room, points, brain), VESSEL),
        (edema, EDEMA),
        (core, CORE),
        (rim, RIM),
    ]
    shades = [tissue + rng.uniform(-0.06, 0.06, 4) for _, tissue in layers]
    texture = room.field(6)
    image = np.empty((4, *room.shape), dtype=np.int16)
    for channel in range(4):
        canvas = Canvas(room, 0)
        for (solid, _), shade in zip(layers, shades, strict=True):
            canvas.paint(solid, shade[channel])
        signal = canvas.blurred() * (1 + 0.06 * texture + 0.04 * room.field(8)) * np.exp(0.16 * room.field(80))
        signal = rician(rng, signal, room.vary(0.045, 0.015)) * room.vary(500, 200)
        # Non-zero voxels tell the stripped brain from what surrounds it, so none of its own may be zero.
        image[channel] = np.where(brain < 0, np.maximum(np.rint(signal), 1), 0)
    return image, label


def _brain(room: Room, points: np.ndarray) -> np.ndarray:
    cerebrum = ellipsoid(points, (0, 0, 0), np.array([65, 82, 58]) * room.rng.uniform(0.95, 1.05, 3))
    cerebrum = cut(cerebrum, ellipsoid(points, (0, 20, -72), (60, 75, 30)), blend=12)
    cerebellum = ellipsoid(points, (0, -44, -42), (48, 30, 23))
    stem = tube(points, [(0, -10, -20), (0, -18, -60)], [13, 10])
    return join(join(cerebrum, cerebellum, blend=4), stem, blend=6) + room.field(18)


def _ventricles(room: Room, points: np.ndarray) -> np.ndarray:
    """Two horns that bow around the deep grey matter, and the third ventricle between."""
    width = room.vary(5, 1.5)
    solid = tube(points, [(0, 8, -8), (0, -10, -4)], [2.5, 2.5])
    for side in (-1, 1):
        path = [(side * 14, 34, 8), (side * 8, 12, 14), (side * 14, -20, 14), (side * 25, -34, 0), (side * 28, -8, -22)]
        horn = tube(points, [room.near(point, 2) for point in path], [width, width, width + 1, width, 2])
        solid = join(solid, horn, blend=2)
    return solid + 0.8 * room.field(12)


def _deep_grey(room: Room, points: np.ndarray) -> np.ndarray:
    """Thalami and the nuclei beside them."""
    solids = []
    for side in (-1, 1):
        solids.append(ellipsoid(points, room.near((side * 11, -8, 2), 1), (8, 13, 9)))
        solids.append(ellipsoid(points, room.near((side * 24, 8, 0), 1), (7, 17, 10)))
    return np.minimum.reduce(solids) + 0.8 * room.field(12)


def _vessels(room: Room, points: np.ndarray, brain: np.ndarray) -> np.ndarray:
    """The sagittal sinus, and vessels over the surface and into the depth."""
    sinus = np.maximum(np.abs(points[0]) - 3, np.abs(brain + 3) - 2.5)
    solids = [np.maximum(sinus, 10 - points[2])]
    for _ in range(10):
        side = room.rng.choice((-1, 1))
        path = [room.near((side * 30, 0, 0), 38) for _ in range(3)]
        solids.append(tube(points, path, [2.2, 1.8, 1.4]))
    return np.maximum(np.minimum.reduce(solids), brain + 1)


def _old_lesions(room: Room, points: np.ndarray, side: int, ventricles: np.ndarray) -> np.ndarray:
    """Bright in FLAIR, but no tumour: caps on the ventricles, spots in the white matter, an infarct."""
    rng = room.rng
    caps = np.maximum(ventricles - room.vary(5, 2) - 2 * room.field(15), 24 - np.abs(points[1]))
    spots = [
        ellipsoid(points, room.near((rng.choice((-1, 1)) * 28, 0, 16), 22), rng.uniform(3, 8, 3))
        for _ in range(rng.integers(2, 7))
    ]
    place = (side * rng.uniform(25, 48), rng.uniform(-45, 45), rng.uniform(0, 35))
    infarct = ellipsoid(points, place, rng.uniform(9, 16, 3), angles=rng.uniform(-60, 60, 3)) + 3 * room.field(14)
    return np.minimum.reduce([caps, *spots, infarct])


def _tumour(
    room: Room, points: np.ndarray, side: int, cortex: np.ndarray, ventricles: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The core, the enhancing rim in it, and the edema around, which keeps to the white matter."""
    rng = room.rng
    centre = (side * rng.uniform(20, 42), rng.uniform(-45, 45), rng.uniform(-10, 30))
    size = rng.uniform(11, 19)
    ball = ellipsoid(points, centre, size * rng.uniform(0.75, 1.25, 3), angles=rng.uniform(-60, 60, 3))
    ball = ball + 0.16 * size * room.field(10)
    beside = room.near(centre, size)
    lobe = ellipsoid(points, beside, size * rng.uniform(0.5, 0.9, 3)) + room.field(10)
    reach = rng.uniform(5, 13)
    edema = join(ball, lobe, blend=8) - reach - 0.45 * reach * room.field(18)

    thickness = room.vary(4.5, 1) + 1.2 * room.field(9)
    within = np.maximum(cortex - 3, 1 - ventricles)
    core = np.maximum(join(ball, lobe, blend=5), within)
    rim = np.maximum.reduce([ball, -(ball + thickness), within])
    return core, rim, np.maximum.reduce([edema, cortex, -ventricles])
