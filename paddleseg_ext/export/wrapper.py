"""What goes into an exported graph around a network: colors before it, the wanted output behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Optional

import numpy as np
import paddle
from paddle import nn
from paddle.nn import functional as F
from paddleseg.transforms import Normalize

from paddleseg_ext.compat.normalize import affine
from paddleseg_ext.errors import UserError
from paddleseg_ext.runtime.arrays import on_host, to_array, to_tensor

OUTPUTS = ("argmax", "softmax", "none")
InputShape = tuple[Optional[int], int, Optional[int], Optional[int]]
"""(N, C, H, W) with None for what stays free, which the channels cannot."""


@dataclass(frozen=True)
class Colors:
    """Normalization of colors as x · factor + offset, x in 0 … 255.

    Attributes:
        factor: (C,) float32.
        offset: (C,) float32.
    """

    factor: np.ndarray
    offset: np.ndarray

    @classmethod
    def of(cls, transforms: Sequence[Any], channels: int = 3) -> Colors:
        """Those of the validation transforms, which end with them.

        Raises:
            UserError: The last transform is no normalization, or another one is.
        """
        count = sum(isinstance(transform, Normalize) for transform in transforms)
        if count != 1 or not isinstance(transforms[-1], Normalize):
            names = ", ".join(type(t).__name__ for t in transforms) or "nothing"
            raise UserError(
                f"`with_normalize`: val_dataset.transforms must end with their only Normalize; they are {names}"
            )
        return cls(*(np.broadcast_to(v, [channels]).astype(np.float32) for v in affine(transforms[-1])))

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """(N, H, W, C) uint8 to (N, C, H, W) float32."""
        return np.ascontiguousarray((images * self.factor + self.offset).transpose(0, 3, 1, 2))

    def undone(self, images: np.ndarray) -> np.ndarray:
        """(N, C, H, W) float32 to the (N, H, W, C) uint8 that it came from."""
        pictures = (images.transpose(0, 2, 3, 1) - self.offset) / self.factor
        return np.clip(np.rint(pictures), 0, 255).astype(np.uint8)

    def undone_tensor(self, images: paddle.Tensor) -> paddle.Tensor:
        """The same on the tensor's own device."""
        if on_host(images):
            return to_tensor(self.undone(to_array(images)))
        factor, offset = (paddle.to_tensor(values) for values in (self.factor, self.offset))
        pictures = (images.transpose([0, 2, 3, 1]) - offset) / factor
        return pictures.round().clip(0, 255).astype("uint8")


class Exportable(nn.Layer):
    """A network's mask and nothing else, as one tensor.

    Args:
        model: Gives a list with the mask's logits (N, K, H, W) first.
        output_op: ``argmax`` for class ids (int32), ``softmax`` for probabilities, ``none`` for logits.
        colors: Normalize inside.

    Shape:
        - x: (N, C, H, W) float32, or with ``colors`` (N, H, W, C) uint8, red first
        - output: (N, H, W) int32 with ``argmax``, otherwise (N, K, H, W) float32

    Raises:
        ValueError: ``output_op`` is none of these.
    """

    def __init__(self, model: nn.Layer, output_op: str, colors: Colors | None = None) -> None:
        super().__init__()
        if output_op not in OUTPUTS:
            raise ValueError(f"output_op={output_op!r} is not one of {', '.join(OUTPUTS)}.")
        self.model = model
        self.output_op = output_op
        self.has_colors = colors is not None
        if colors is not None:
            for name in ("factor", "offset"):
                values = paddle.to_tensor(getattr(colors, name)).reshape([1, -1, 1, 1])
                self.register_buffer(name, values)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        if self.has_colors:
            x = x.astype("float32").transpose([0, 3, 1, 2]) * self.factor + self.offset
        logits = self.model(x)[0]
        if self.output_op == "argmax":
            return paddle.argmax(logits, axis=1, dtype="int32")
        return F.softmax(logits, axis=1) if self.output_op == "softmax" else logits


def input_spec(shape: Sequence[int | None], with_colors: bool) -> paddle.static.InputSpec:
    """Of an `Exportable`; ``shape`` is (N, C, H, W) with None for what stays free."""
    count, channels, height, width = shape
    if with_colors:
        return paddle.static.InputSpec([count, height, width, channels], "uint8", "x")
    return paddle.static.InputSpec([count, channels, height, width], "float32", "x")
