"""Rendering of one street scene: layout, then painting from far to near."""

from __future__ import annotations

import numpy as np

from paddleseg_ext.data.datasets.streets.buildings import paint_skyline
from paddleseg_ext.data.datasets.streets.canvas import SUPERSAMPLING, Canvas
from paddleseg_ext.data.datasets.streets.ground import paint_ground
from paddleseg_ext.data.datasets.streets.layout import place_side_objects, place_traffic
from paddleseg_ext.data.datasets.streets.lighting import TIMES, cast_shadows, paint_sky, simulate_camera
from paddleseg_ext.data.datasets.streets.objects import SceneObjects
from paddleseg_ext.data.datasets.streets.rng import Rng
from paddleseg_ext.data.datasets.streets.street import place_camera, plan_street
from paddleseg_ext.data.datasets.streets.vehicles import paint_ego_vehicle

SPLIT_SEEDS = {"train": 0, "val": 1}


def render(split: str, index: int, width: int = 256, height: int = 128) -> tuple[np.ndarray, np.ndarray]:
    """Render image `index` of a split.

    Equal arguments give equal pixels on every processor: all random numbers come from PCG64's raw stream, and all
    arithmetic is exact (IEEE + − × ÷, OpenCV's integer drawing and fixed-point filters; no sin, exp or power). Another
    version of OpenCV may round a pixel differently (4.10: fewer than 2 in 100 000 pixel values, and no label).

    Args:
        split: `train` or `val`.
        index: Number of the image.
        width: Width in pixels.
        height: Height in pixels.

    Returns:
        The image (height, width, 3) uint8 RGB, and the label (height, width) uint8: Cityscapes trainIds, 255 = ignored.
    """
    rng = Rng(SPLIT_SEEDS[split], index)
    canvas = Canvas(place_camera(rng, SUPERSAMPLING * width, SUPERSAMPLING * height))
    street, lighting = plan_street(rng), rng.choice(TIMES)
    objects = SceneObjects(street, lighting, rng)
    for side in street.sides:
        place_side_objects(objects, side)
    place_traffic(objects)

    paint_sky(canvas, lighting, rng)
    paint_skyline(canvas, rng)
    paint_ground(canvas, street, rng)
    cast_shadows(canvas, objects.footprints, 0.45)
    cast_shadows(canvas, objects.shadows, lighting.sun)
    objects.paint(canvas)
    paint_ego_vehicle(canvas, rng)
    return simulate_camera(canvas, lighting, rng), canvas.reduced_label()
