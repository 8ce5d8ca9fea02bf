"""The name that `Normalize` had here before PaddleSeg's own was as fast (`paddleseg_ext.compat.normalize`)."""

from __future__ import annotations

from paddleseg.transforms import Normalize

from paddleseg_ext.registry import register_transform


@register_transform
class FastNormalize(Normalize):
    """PaddleSeg's `Normalize`, for configurations that say so; exports write ``Normalize``."""
