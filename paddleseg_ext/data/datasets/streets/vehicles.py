"""Cars and buses as boxes in perspective, and the hood of the ego vehicle."""

from __future__ import annotations

import cv2

from paddleseg_ext.data.datasets.streets.canvas import IGNORE, Canvas, clipped, shaded
from paddleseg_ext.data.datasets.streets.rng import Rng
from paddleseg_ext.data.datasets.streets.street import BUS, CAR

# Green as trees, gray as the road, red as brick, so that colors are ambiguous.
PAINTS = (
    (66, 88, 58),
    (118, 118, 118),
    (206, 204, 200),
    (38, 39, 42),
    (142, 46, 42),
    (52, 72, 112),
    (150, 142, 124),
    (88, 96, 100),
    (176, 172, 164),
    (104, 84, 66),
)
BUS_PAINTS = ((196, 168, 66), (168, 60, 52), (206, 204, 200), (80, 120, 132), (110, 124, 84))
GLASS = (46, 52, 58)
TIRE = (30, 30, 31)


def paint_car(canvas: Canvas, x: float, z: float, along: bool, receding: bool, rng: Rng) -> None:
    """Paint a car centered at x whose nearest face lies at depth z.

    Args:
        canvas: Canvas to paint on.
        x: Its center, in meters to the right of the street's axis.
        z: Depth of its nearest face, in meters.
        along: Whether it is parallel to the street, else perpendicular.
        receding: Whether its rear faces the camera (red lamps), else its front (white lamps).
        rng: Random numbers for size, shape and color.
    """
    paint = rng.jitter(rng.choice(PAINTS), 18)
    length, width, waist = rng.uniform(3.7, 4.7), rng.uniform(1.65, 1.85), rng.uniform(0.85, 0.95)
    roof = waist + (rng.uniform(0.5, 0.62) if rng.bernoulli(0.75) else rng.uniform(0.8, 1.1))
    x_half, z_long = (width / 2, length) if along else (length / 2, width)
    left, right, far = x - x_half, x + x_half, z + z_long
    _paint_box(canvas, (left, right), (0.28, waist), (z, far), paint, CAR)
    # The cabin: shorter than the car at both ends.
    inset_x, inset_z = (0.12, z_long * 0.16) if along else (x_half * 0.38, 0.12)
    cabin_x, cabin_z = (left + inset_x, right - inset_x), (z + inset_z, far - inset_z)
    _paint_cabin(canvas, (left, right), (z + inset_z * 0.4, far), cabin_x, cabin_z, waist, roof, paint)
    _paint_wheels(canvas, (left, right), (z, far), along, CAR)
    if along:
        lamp = (150, 34, 32) if receding else (226, 224, 206)
        for place in (left + 0.22, right - 0.22):
            canvas.rectangle(place, z, 0.3, waist - 0.28, waist - 0.12, lamp, CAR)
        canvas.rectangle(x, z, 0.5, 0.45, 0.57, (196, 194, 186), CAR)


def paint_bus(canvas: Canvas, x: float, z: float, along: bool, rng: Rng) -> None:
    """Paint a bus centered at x whose nearest face lies at depth z.

    Args:
        canvas: Canvas to paint on.
        x: Its center, in meters to the right of the street's axis.
        z: Depth of its nearest face, in meters.
        along: Whether it is parallel to the street, else perpendicular.
        rng: Random numbers for size and color.
    """
    paint = rng.jitter(rng.choice(BUS_PAINTS), 16)
    length, width, height = rng.uniform(9, 12), 2.5, rng.uniform(2.9, 3.3)
    x_half, z_long = (width / 2, length) if along else (length / 2, width)
    left, right, far = x - x_half, x + x_half, z + z_long
    _paint_box(canvas, (left, right), (0.35, height), (z, far), paint, BUS)
    glass = rng.jitter(GLASS, 10)
    panes = 1 if along else 7
    step = (right - left - 0.3) / panes
    for pane in range(panes):
        start = left + 0.2 + pane * step
        canvas.face(_upright(start, start + step - 0.1, 1.3, 2.5, z), glass)
    side = left if left > 0 else right if right < 0 else None
    if side is not None and along:
        for pane in range(6):
            start = z + 0.4 + pane * (length - 0.6) / 6
            end = start + (length - 0.6) / 6 - 0.15
            canvas.face([(side, 1.3, start), (side, 1.3, end), (side, 2.4, end), (side, 2.4, start)], glass)
    _paint_wheels(canvas, (left, right), (z, far), along, BUS)
    if along:
        canvas.face(_upright(x - 0.7, x + 0.7, 2.6, 2.85, z), (36, 34, 30))


def paint_ego_vehicle(canvas: Canvas, rng: Rng) -> None:
    """Paint the hood of the ego vehicle: ignored, as in Cityscapes."""
    if rng.bernoulli(0.35):
        return
    camera, paint = canvas.camera, rng.jitter(rng.choice(PAINTS))
    rise = int(camera.height * rng.uniform(0.05, 0.12))
    center = (int(camera.width * rng.uniform(0.45, 0.55)), camera.height + rise)
    for shrink, shade in ((0, 0.75), (3, 1.0), (8, 1.12)):
        axes = (int(camera.width * 0.55) - 4 * shrink, 2 * rise - shrink)
        cv2.ellipse(canvas.color, center, axes, 0, 180, 360, clipped(shaded(paint, shade)), -1)
        if shrink == 0:
            cv2.ellipse(canvas.label, center, axes, 0, 180, 360, IGNORE, -1)
            cv2.ellipse(canvas.depth, center, axes, 0, 180, 360, 1.0, -1)


def _paint_box(canvas: Canvas, x: tuple, y: tuple, z: tuple, paint: tuple, label: int) -> None:
    """Paint the visible faces of a box: top, the side toward the axis, and the end."""
    (left, right), (bottom, top), (near, far) = x, y, z
    canvas.face(
        [(left, top, near), (right, top, near), (right, top, far), (left, top, far)], shaded(paint, 1.12), label
    )
    side = left if left > 0 else right if right < 0 else None
    if side is not None:
        corners = [(side, bottom, near), (side, bottom, far), (side, top, far), (side, top, near)]
        canvas.face(corners, shaded(paint, 0.95), label)
    canvas.face(_upright(left, right, bottom, top, near), shaded(paint, 0.82), label)
    canvas.face(_upright(left, right, 0.12, bottom, near), TIRE, label)  # the shadow below the bumper


def _paint_cabin(
    canvas: Canvas, foot_x: tuple, foot_z: tuple, roof_x: tuple, roof_z: tuple, waist: float, roof: float, paint: tuple
) -> None:
    """Paint windows and roof: a box that narrows upward."""
    (left, right), (near, far) = foot_x, foot_z
    (roof_left, roof_right), (roof_near, roof_far) = roof_x, roof_z
    top = [
        (roof_left, roof, roof_near),
        (roof_right, roof, roof_near),
        (roof_right, roof, roof_far),
        (roof_left, roof, roof_far),
    ]
    canvas.face(top, shaded(paint, 1.08), CAR)
    foot, head = (left, roof_left) if left > 0 else (right, roof_right)
    if left > 0 or right < 0:
        corners = [(foot, waist, near), (foot, waist, far), (head, roof, roof_far), (head, roof, roof_near)]
        canvas.face(corners, paint, CAR)
        glass = [_between(corners[i], corners[(i + 2) % 4], 0.14) for i in range(4)]
        canvas.face(glass, GLASS)
    corners = [(left, waist, near), (right, waist, near), (roof_right, roof, roof_near), (roof_left, roof, roof_near)]
    canvas.face(corners, shaded(paint, 0.88), CAR)
    canvas.face([_between(corners[i], corners[(i + 2) % 4], 0.12) for i in range(4)], shaded(GLASS, 1.25))


def _paint_wheels(canvas: Canvas, x: tuple, z: tuple, along: bool, label: int) -> None:
    (left, right), (near, far) = x, z
    if not along:
        for place in (left + 0.75, right - 0.75):
            canvas.ellipse(place, 0.32, near, (0.32, 0.32), TIRE, label)
            canvas.ellipse(place, 0.32, near, (0.17, 0.17), (128, 128, 126))
        return
    for place in (left + 0.18, right - 0.18):
        canvas.face(_upright(place - 0.13, place + 0.13, 0, 0.4, near), TIRE, label)
    side = left if left > 0 else right if right < 0 else None
    if side is not None:
        for start in (near + 0.5, far - 1.1):
            end = start + 0.6
            canvas.face([(side, 0, start), (side, 0, end), (side, 0.6, end), (side, 0.6, start)], TIRE, label)


def _upright(left: float, right: float, bottom: float, top: float, z: float) -> list:
    return [(left, bottom, z), (right, bottom, z), (right, top, z), (left, top, z)]


def _between(a: tuple, b: tuple, t: float) -> tuple:
    return tuple(p + (q - p) * t for p, q in zip(a, b))
