"""Conditions under which NumPy and OpenCV may compute on tensors in place of Paddle."""

from __future__ import annotations

import paddle

from paddleseg_ext.compat.paddle import autocast_enabled
from paddleseg_ext.runtime.arrays import on_host


def float32_on_cpu(*tensors: paddle.Tensor) -> bool:
    """Whether all tensors are float32 in CPU memory and auto-cast is off."""
    return all(on_host(t) and t.dtype == paddle.float32 for t in tensors) and not autocast_enabled()


def needs_gradient(*tensors: paddle.Tensor) -> bool:
    """Whether that of one of them will be asked for."""
    return paddle.is_grad_enabled() and not all(tensor.stop_gradient for tensor in tensors)
