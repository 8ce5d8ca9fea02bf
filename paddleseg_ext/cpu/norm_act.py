"""BatchNorm in evaluation with the ReLU after it, in place: y = max(s·x + t, 0) with s = γ / √(σ² + ε), t = β − s·μ.

Paddle reads and writes the map once for each of the two, on one core, into new memory. Here a piece of it that fits
into the processor's cache is scaled, shifted and cut at once, pieces on all cores. Scaling the convolution's weight
instead would leave the shift to be added, in the same time, and would have to be noticed whenever the weight changes.
"""

from __future__ import annotations

import numpy as np
import paddle
from paddle import nn

from paddleseg_ext.compat.paddle import batch_norm_state, threads
from paddleseg_ext.cpu.conditions import float32_on_cpu
from paddleseg_ext.cpu.pool import spread
from paddleseg_ext.runtime.arrays import to_array

SMALLEST_MAP = 8192  # pixels of a map; below this, on one core, Paddle's own operations are faster
PIECE = 2**16  # numbers


def accepts(x: paddle.Tensor, norm: nn.Layer) -> bool:
    """Whether the map (N, C, H, W) is in float32 on the CPU, in one piece of memory, and large enough."""
    large = x.shape[2] * x.shape[3] * threads() >= SMALLEST_MAP
    return large and x.is_contiguous() and float32_on_cpu(x, batch_norm_state(norm)[0])


def run(x: paddle.Tensor, norm: nn.Layer, limits: tuple[float, ...] = ()) -> None:
    """Normalize a contiguous map in place.

    Args:
        x: (N, C, H, W)
        norm: BatchNorm that uses its running statistics.
        limits: ``(0,)`` for ReLU, ``(0, 6)`` for ReLU6.
    """
    batch, channels, height, width = x.shape
    scale, shift = _affine(norm)
    maps = to_array(x).reshape(batch, channels, height * width)
    step = max(1, PIECE // (height * width))

    def normalize(part: slice) -> None:
        for n in range(batch):
            for first in range(part.start, part.stop, step):
                some = slice(first, min(first + step, part.stop))
                piece = maps[n, some]
                np.multiply(piece, scale[some], out=piece)
                np.add(piece, shift[some], out=piece)
                if limits:
                    np.maximum(piece, np.float32(limits[0]), out=piece)
                if len(limits) > 1:
                    np.minimum(piece, np.float32(limits[1]), out=piece)

    spread(normalize, channels, maps.size)


def _affine(norm: nn.Layer) -> tuple[np.ndarray, np.ndarray]:
    """Scale and shift of each channel, (C, 1)."""
    mean, variance, epsilon, _ = batch_norm_state(norm)
    scale = 1 / np.sqrt(to_array(variance) + np.float32(epsilon))
    if norm.weight is not None:
        scale *= to_array(norm.weight)
    shift = -scale * to_array(mean)
    if norm.bias is not None:
        shift += to_array(norm.bias)
    return scale[:, None], shift[:, None]
