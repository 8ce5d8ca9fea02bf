"""One street scene: plan, then paint from far to near."""

from __future__ import annotations

import numpy as np

from paddleseg_ext.data.datasets.streets.buildings import paint_skyline
from paddleseg_ext.data.datasets.streets.canvas import SUPERSAMPLING, Canvas
from paddleseg_ext.data.datasets.streets.ground import paint_ground
from paddleseg_ext.data.datasets.streets.layout import furnish, send_traffic
from paddleseg_ext.data.datasets.streets.lighting import TIMES, cast_shadows, expose, paint_sky
from paddleseg_ext.data.datasets.streets.objects import Residents
from paddleseg_ext.data.datasets.streets.rng import Rng
from paddleseg_ext.data.datasets.streets.street import place_camera, plan_street
from paddleseg_ext.data.datasets.streets.vehicles import paint_bonnet

SPLIT_SEEDS = {"train": 0, "val": 1}


def render(split: str, index: int, width: int = 256, height: int = 128) -> tuple[np.ndarray, np.ndarray]:
    """Draw picture `index` of a split.

    Equal arguments give equal pixels on every processor: all choices come from PCG64's raw stream, and all arithmetic
    is exact (IEEE + − × ÷, OpenCV's integer drawing and fixed-point filters; no sin, exp or power). Another version of
    OpenCV may round a pixel differently (4.10: fewer than 2 in 100 000 pixel values, and no label).

    Args:
        split: `train` or `val`.
        index: Number of the picture.
        width: In pixels.
        height: Likewise.

    Returns:
        The image (height, width, 3) uint8 RGB, and the label (height, width) uint8: Cityscapes train ids, 255 ignored.
    """
    rng = Rng(SPLIT_SEEDS[split], index)
    canvas = Canvas(place_camera(rng, SUPERSAMPLING * width, SUPERSAMPLING * height))
    street, light = plan_street(rng), rng.of(TIMES)
    residents = Residents(street, light, rng)
    for side in street.sides:
        furnish(residents, side)
    send_traffic(residents)

    paint_sky(canvas, light, rng)
    paint_skyline(canvas, rng)
    paint_ground(canvas, street, rng)
    cast_shadows(canvas, residents.footprints, 0.45)
    cast_shadows(canvas, residents.shadows, light.sun)
    residents.paint(canvas)
    paint_bonnet(canvas, rng)
    return expose(canvas, light, rng), canvas.reduced_label()
