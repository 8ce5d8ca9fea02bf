"""What a GPU computes otherwise than a CPU, imitated: float32 products of factors with 10 bits (TF32)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import paddle

from paddleseg_ext.layers import functional

SWITCHES = {"conv2d": "cudnn", "depthwise_conv2d": "cudnn", "matmul": "cublas", "bmm": "cublas", "linear": "cublas"}
DROPPED = 13  # of float32's 23 bits


@contextmanager
def tf32() -> Iterator[None]:
    """Within the block convolutions and matrix products compute as on a card from Ampere on.

    They do unless the switches of Paddle's core are off. Kernels for CPUs are left out.
    """
    ops, core, kernels = paddle._C_ops, paddle.base.core, dict(functional.KERNELS)
    originals = {name: getattr(ops, name) for name in SWITCHES if hasattr(ops, name)}
    before = {name: getattr(core, f"get_{name}_switch")() for name in ("cublas", "cudnn")}

    def rounding(name: str, switch: str) -> Callable[..., Any]:
        def call(*args: Any, **keywords: Any) -> Any:
            if not getattr(core, f"get_{switch}_switch")():
                return originals[name](*args, **keywords)
            return originals[name](*map(rounded, args), **{key: rounded(value) for key, value in keywords.items()})

        return call

    for name in before:
        getattr(core, f"set_{name}_switch")(True)
    for name in originals:
        setattr(ops, name, rounding(name, SWITCHES[name]))
    functional.KERNELS.clear()
    try:
        yield
    finally:
        functional.KERNELS.update(kernels)
        for name, original in originals.items():
            setattr(ops, name, original)
        for name, value in before.items():
            getattr(core, f"set_{name}_switch")(value)


def rounded(value: Any) -> Any:
    """A float32 tensor rounded to nearest even at 10 bits; its gradient passes as it is."""
    if not isinstance(value, paddle.Tensor) or value.dtype != paddle.float32:
        return value
    bits = value.numpy().view(np.uint32)
    half = ((bits >> DROPPED) & 1) + np.uint32((1 << (DROPPED - 1)) - 1)
    kept = paddle.to_tensor(((bits + half) >> DROPPED << DROPPED).view(np.float32))
    return kept if value.stop_gradient else value + (kept - value).detach()
