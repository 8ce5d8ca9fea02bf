"""Backbones that PaddleSeg lacks; importing them registers them in its component manager."""

from paddleseg_ext.backbones.efficientnet_lite import EfficientNet_lite0, EfficientNetLite
from paddleseg_ext.backbones.resnet_v1c import ResNet18_v1c, ResNet34_v1c, ResNet50_v1c, ResNet101_v1c, ResNetV1c

__all__ = [
    "EfficientNetLite",
    "EfficientNet_lite0",
    "ResNet18_v1c",
    "ResNet34_v1c",
    "ResNet50_v1c",
    "ResNet101_v1c",
    "ResNetV1c",
]
