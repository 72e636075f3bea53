"""A phantom of MSD Task02: the left atrium in MRI.

Every chamber and great vessel holds blood as bright as the atrium's, and thin walls keep them apart: the atrium is
known by its place and shape. Its label takes in the appendage and the first centimetre of the pulmonary veins.
"""

import numpy as np

from trainables.phantom_shapes import Canvas, Room, cut, ellipsoid, join, rician, rotation, tube, turned

LABELS = {1: "left atrium"}
MODALITIES = ("MRI",)

VEIN_REACH = 10.0
"""mm of the veins, from the atrium's body on, that count as atrium."""

# Signal relative to blood's, before coil sensitivity.
AIR, LUNG, WALL, MUSCLE, BONE, FAT, BLOOD = 0.02, 0.1, 0.42, 0.38, 0.3, 0.6, 0.85


def make_heart(room: Room) -> tuple[np.ndarray, np.ndarray]:
    """One case: image (1, X, Y, Z) int16 and label (X, Y, Z) uint8. Axes are R, A, S; the atrium is near the middle."""
    rng = room.rng
    points = room.points(centre=rng.uniform(-10, 10, 3)) / room.vary(1.0, 0.15)
    points = turned(points, rotation(rng.uniform(-12, 12, 3)))
    points = room.warp(points, by=4, detail=45)

    body, veins = _atrium(room, points)
    chambers = _chambers(room, points)
    vessels = _vessels(points, room)

    canvas = Canvas(room, AIR)
    canvas.paint(ellipsoid(points, (0, 25, 0), (150, 108, 400)), room.vary(FAT, 0.1))
    canvas.paint(ellipsoid(points, (0, 25, 0), (140, 98, 400)), room.vary(MUSCLE, 0.06))
    canvas.paint(ellipsoid(points, (0, 30, 0), (132, 88, 400)), LUNG + 0.04 * room.field(7))
    canvas.paint(tube(points, [(0, -62, -90), (0, -62, 90)], [19, 19]), BONE + 0.05 * room.field(12))
    liver = ellipsoid(points, room.near((50, 20, -100), 8), (95, 85, 55))
    canvas.paint(np.maximum(liver, ellipsoid(points, (0, 30, 0), (128, 84, 400))), room.vary(0.5, 0.1))
    heart = join(body, np.minimum.reduce([*chambers, *vessels]), blend=12)
    canvas.paint(heart - room.vary(6, 2) - 2 * room.field(20), room.vary(FAT, 0.1))
    canvas.paint(heart - 2.5, room.vary(WALL, 0.05))
    canvas.paint(chambers[0] - 9, room.vary(WALL, 0.05))  # the left ventricle's wall is the thick one
    for blood in (*chambers, *vessels, veins):
        # The wall towards the atrium stays.
        canvas.paint(cut(blood, body - 2.0) if blood is not veins else blood, room.vary(BLOOD, 0.12))
    atrium = join(body, np.maximum(veins, body - VEIN_REACH))
    canvas.paint(atrium, room.vary(BLOOD, 0.12))

    image = canvas.blurred() * (1 + 0.05 * room.field(9)) * np.exp(0.22 * room.field(90))
    image = rician(rng, image, room.vary(0.06, 0.02)) * room.vary(600, 250)
    return np.rint(image)[None].astype(np.int16), (atrium < 0).astype(np.uint8)


def _atrium(room: Room, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The atrium's body with its appendage, and its veins, which go on into the lungs."""
    rng = room.rng
    radii = np.array([31, 20, 25]) * rng.uniform(0.82, 1.2, 3)
    body = ellipsoid(points, (0, 0, 0), radii, angles=rng.uniform(-15, 15, 3))
    for _ in range(3):
        lobe = room.near((0, 0, 0), 1) + rng.uniform(-0.6, 0.6, 3) * radii
        body = join(body, ellipsoid(points, lobe, rng.uniform(9, 15, 3)), blend=8)
    tip = room.near((-44, 24, 12), 6)
    appendage = tube(points, [(-18, 6, 6), (-32, 16, 10), tip], [9, room.vary(7, 2), 4])
    body = join(body, appendage, blend=6) + 1.3 * room.field(14)

    veins = None
    for side in (-1, 1):
        for up in (-1, 1) if rng.random() < 0.8 else (-1, 0, 1):
            start = (side * 16, -4, up * 9)
            middle = room.near((side * 40, -14, up * 17), 5)
            end = room.near((side * 75, -22, up * 32), 10)
            vein = tube(points, [start, middle, end], [room.vary(8, 1.5), room.vary(6, 1), 4])
            veins = vein if veins is None else join(veins, vein, blend=3)
    assert veins is not None
    return body, veins


def _chambers(room: Room, points: np.ndarray) -> list[np.ndarray]:
    """Left ventricle, right ventricle, right atrium."""
    places = [
        ((-38, 36, -22), (21, 22, 36), (25, -35, 0)),
        ((8, 52, -22), (30, 18, 30), (0, -15, 20)),
        ((44, 18, -6), (19, 22, 27), (0, 0, 0)),
    ]
    return [
        ellipsoid(points, room.near(centre, 5), np.array(radii) * room.rng.uniform(0.85, 1.15, 3), angles=angles)
        + 1.2 * room.field(16)
        for centre, radii, angles in places
    ]


def _vessels(points: np.ndarray, room: Room) -> list[np.ndarray]:
    """Ascending aorta, pulmonary trunk, superior caval vein, descending aorta."""
    paths = [
        ([(-6, 28, -5), (6, 30, 30), (2, 22, 85)], 14),
        ([(-4, 46, -5), (-16, 38, 28), (-14, 6, 42), (-60, -10, 48)], 11),
        ([(38, 12, 5), (34, 10, 85)], 9),
        ([(-26, -40, -90), (-22, -38, 0), (-20, -36, 90)], 11),
    ]
    return [
        tube(points, [room.near(point, 4) for point in path], [room.vary(radius, 1.5)] * len(path))
        for path, radius in paths
    ]
