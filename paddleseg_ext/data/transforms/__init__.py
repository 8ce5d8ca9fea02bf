"""Transforms of samples that PaddleSeg lacks or is slow at; importing the package registers them."""

from paddleseg_ext.data.transforms.normalize import FastNormalize
from paddleseg_ext.data.transforms.photometric import PhotoMetricDistortion
from paddleseg_ext.data.transforms.scale_crop_flip import ScaleCropFlip

__all__ = ["FastNormalize", "PhotoMetricDistortion", "ScaleCropFlip"]
