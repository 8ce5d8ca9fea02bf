"""Bilinear resizing on the CPU by OpenCV, for whatever network is being applied.

Paddle's own kernel takes about seven times as long and, in a light network, more time than all convolutions: the
scores of every class are enlarged to the image's size. A network calls it as ``F.interpolate``, PaddleSeg's too, so for
the length of an evaluation that name leads here; what OpenCV does not do the same way goes on to Paddle.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np
import paddle
from paddle.nn import functional as F

from paddleseg_ext.cpu.memory import eager_on_cpu
from paddleseg_ext.evaluation.score_maps import to_array, to_tensor


@contextmanager
def resizing_by_opencv() -> Iterator[None]:
    """Within the block, ``F.interpolate`` resizes float32 maps on the CPU bilinearly with OpenCV.

    Results differ from Paddle's by rounding only. Gradients do not pass, so this is for `paddle.no_grad()`.
    """
    original = F.interpolate

    def interpolate(
        x: paddle.Tensor,
        size: Sequence[int] | paddle.Tensor | None = None,
        scale_factor: Any = None,
        mode: str = "nearest",
        align_corners: bool = False,
        *rest: Any,
        **options: Any,
    ) -> paddle.Tensor:
        plain = mode.lower() == "bilinear" and not align_corners and scale_factor is None and not rest
        if plain and size is not None and not set(options) - {"name"} and x.ndim == 4 and eager_on_cpu(x):
            height, width = (int(length) for length in size)
            if min(height, width) > 1:  # the only pixel of an axis is the middle in OpenCV and the first in Paddle
                return _resize(x, height, width)
        return original(x, size, scale_factor, mode, align_corners, *rest, **options)

    with patch.object(F, "interpolate", interpolate):
        yield


def _resize(x: paddle.Tensor, height: int, width: int) -> paddle.Tensor:
    maps = to_array(x)  # (N, C, h, w)
    out = np.empty((*maps.shape[:2], height, width), np.float32)
    for source, target in zip(maps.reshape(-1, *maps.shape[2:]), out.reshape(-1, height, width)):
        cv2.resize(source, (width, height), dst=target, interpolation=cv2.INTER_LINEAR)
    return to_tensor(out)
