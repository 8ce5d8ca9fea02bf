"""Operations that add up in the same order each time, for `--deterministic`."""

from __future__ import annotations

from collections.abc import Sequence

import paddle

from paddleseg_ext.compat.paddle import exact_float32
from paddleseg_ext.layers.functional import KERNELS, in_type
from paddleseg_ext.layers.resample import interpolation_matrix

FLAGS = {
    "FLAGS_cudnn_deterministic": True,
    "FLAGS_cudnn_exhaustive_search": False,  # together with the one above Paddle refuses to convolve
    "FLAGS_embedding_deterministic": 1,
    "FLAGS_use_accuracy_compatible_kernel": True,  # since 3.3; interpolation adds in order with it from 3.4 on
}


class ResizeByMatrices:
    """Bilinear resizing as two matrix products, a kernel for `layers.functional.resize_bilinear`.

    The gradient of Paddle's own on a GPU is added up by atomic operations, in whatever order they come.
    """

    def accepts(self, x: paddle.Tensor, size: Sequence[int], align_corners: bool = False) -> bool:
        """Whether the map is on a GPU."""
        return x.place.is_gpu_place()

    def run(self, x: paddle.Tensor, size: Sequence[int], align_corners: bool = False) -> paddle.Tensor:
        """(N, C, h, w) to (N, C, *size), the same function as ``F.interpolate``."""
        sides = zip(x.shape[2:], size)
        down, across = (in_type(interpolation_matrix(old, int(new), align_corners), x.dtype) for old, new in sides)
        with exact_float32():
            return paddle.matmul(paddle.matmul(down, x), across, transpose_y=True)


def be_deterministic() -> None:
    """Have Paddle choose GPU operations that give the same sum each time; on the CPU they do anyway.

    Resizing by matrices reaches others' networks that call ``F.interpolate``, too, while they train (`interpolate_by`).
    """
    if not paddle.is_compiled_with_cuda():
        return
    for name, value in FLAGS.items():
        try:
            paddle.set_flags({name: value})
        except ValueError:  # a Paddle without it
            continue
    if paddle.get_device().startswith("gpu"):
        KERNELS["resize_bilinear"] = ResizeByMatrices()
