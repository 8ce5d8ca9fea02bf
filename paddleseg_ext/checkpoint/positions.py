"""Positions of a vision transformer that was trained on pictures of another size."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import paddle
from paddle import nn


def fit_positions(weights: Mapping[str, np.ndarray], model: nn.Layer) -> dict[str, np.ndarray]:
    """Resize positions of a square of patches to the model's, as PaddleSeg's constructors do.

    Args:
        weights: State dict of a file: ``pos_embed`` (1, 1 + n², C), that of the class token first.
        model: Layers of it that have ``pos_embed`` (1, 1 + ``pos_h`` · ``pos_w``, C) know how to resize one to it.

    Returns:
        The weights, of which positions of another number of patches are replaced.
    """
    fitted = dict(weights)
    for prefix, layer in model.named_sublayers(include_self=True):
        name = f"{prefix}.pos_embed" if prefix else "pos_embed"
        if not hasattr(layer, "resize_pos_embed") or name not in weights:
            continue
        found, own = weights[name], layer.pos_embed
        side = math.isqrt(max(found.shape[1] - 1, 0)) if found.ndim == 3 else 0
        if side and found.shape[1] != own.shape[1] and found.shape[1] == side**2 + 1 and found.shape[2] == own.shape[2]:
            with paddle.no_grad():
                resized = layer.resize_pos_embed(
                    paddle.to_tensor(found.astype("float32")), (side, side), (layer.pos_h, layer.pos_w)
                )
            fitted[name] = resized.numpy()
    return fitted
