"""Data sets that PaddleSeg lacks; importing them registers them in PaddleSeg's `manager.DATASETS`."""

from paddleseg_ext.data.classes import class_names, palette
from paddleseg_ext.data.datasets.camvid import CamVid
from paddleseg_ext.data.datasets.segmentation_folder import SegmentationFolder
from paddleseg_ext.data.datasets.street_scenes import StreetScenes

__all__ = ["CamVid", "SegmentationFolder", "StreetScenes", "class_names", "palette"]
