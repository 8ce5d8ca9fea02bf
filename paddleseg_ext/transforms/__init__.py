"""Transforms of training samples that PaddleSeg lacks; importing the package registers them."""

from paddleseg_ext.transforms.scale_crop_flip import ScaleCropFlip

__all__ = ["ScaleCropFlip"]
