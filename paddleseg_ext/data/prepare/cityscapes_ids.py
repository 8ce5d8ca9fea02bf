"""Cityscapes' classes: from label ids, or from polygons, to the 19 train ids.

Source of the numbers: cityscapesScripts, helpers/labels.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from paddleseg_ext.data.image_io import check_pixels
from paddleseg_ext.data.label_io import read_label
from paddleseg_ext.data.prepare.polygons import points_of
from paddleseg_ext.errors import UserError, reason

VOID = 255
# In the order of the label ids, from 0; None is not evaluated.
TRAIN_IDS: dict[str, int | None] = {
    **{"unlabeled": None, "ego vehicle": None, "rectification border": None, "out of roi": None, "static": None},
    **{"dynamic": None, "ground": None, "road": 0, "sidewalk": 1, "parking": None, "rail track": None, "building": 2},
    **{"wall": 3, "fence": 4, "guard rail": None, "bridge": None, "tunnel": None, "pole": 5, "polegroup": None},
    **{"traffic light": 6, "traffic sign": 7, "vegetation": 8, "terrain": 9, "sky": 10, "person": 11, "rider": 12},
    **{"car": 13, "truck": 14, "bus": 15, "caravan": None, "trailer": None, "train": 16, "motorcycle": 17},
    **{"bicycle": 18},
}
LOOKUP = np.array([VOID if train is None else train for train in TRAIN_IDS.values()], np.uint8)
NOT_DRAWN = "license plate"  # its label id is negative
GROUP = "group"  # ends the name of several objects in one polygon


def from_label_ids(path: Path) -> np.ndarray:
    """The train ids of a ``*_labelIds.png``: (H, W) uint8.

    Raises:
        UserError: The file cannot be read, or has values that are no label ids.
    """
    ids = read_label(path)
    wrong = ids[(ids < 0) | (ids >= len(LOOKUP))]
    if wrong.size:
        raise UserError(f"{path}: it has the value {wrong[0]}, and label ids are 0…{len(LOOKUP) - 1}")
    return LOOKUP[ids]


def from_polygons(path: Path) -> np.ndarray:
    """The train ids that a ``*_polygons.json`` describes, later polygons over earlier ones: (H, W) uint8.

    Raises:
        UserError: The file cannot be read, is no such description, or names an unknown class.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
        size = (content["imgWidth"], content["imgHeight"])
        if not all(isinstance(side, int) and side > 0 for side in size):
            raise ValueError(f"its size is {size}")
        check_pixels(path, size)
        picture = Image.new("L", size, VOID)
        pen = ImageDraw.Draw(picture)
        for shape in content["objects"]:
            value = _value(path, shape)
            if value is not None:
                pen.polygon(points_of(shape["polygon"]), fill=value)
    except UserError:
        raise
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{path}: it does not describe polygons of Cityscapes ({reason(error)})") from error
    return np.asarray(picture)


def _value(path: Path, shape: dict[str, Any]) -> int | None:
    """What to draw an object in, or None if it is not drawn."""
    name = shape["label"]
    if shape.get("deleted"):
        return None
    if name not in TRAIN_IDS and name != NOT_DRAWN and name.endswith(GROUP):
        name = name[: -len(GROUP)]
    if name == NOT_DRAWN:
        return None
    if name not in TRAIN_IDS:
        raise UserError(f"{path}: '{shape['label']}' is no class of Cityscapes")
    train = TRAIN_IDS[name]
    return VOID if train is None else train
