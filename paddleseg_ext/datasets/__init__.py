"""Data sets that PaddleSeg lacks; importing this package registers them in PaddleSeg's `manager.DATASETS`."""

from .camvid import CamVid
from .classes import class_names, palette
from .street_scenes import StreetScenes

__all__ = ["CamVid", "StreetScenes", "class_names", "palette"]
