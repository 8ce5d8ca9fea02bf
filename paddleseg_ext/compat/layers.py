"""What this package needs to know of Paddle's layers beyond their public interface; see `compat.paddle`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from paddle import nn


class ConvGeometry(NamedTuple):
    """What a convolution does, but for its weight.

    Attributes:
        kernel: Height and width.
        stride: Down and across.
        padding: As it was given.
        dilation: Down and across.
        groups: Of channels.
        plain: It takes maps (N, C, H, W) and pads them with zeros.
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: Any
    dilation: tuple[int, ...]
    groups: int
    plain: bool


def conv_geometry(conv: nn.Conv2D) -> ConvGeometry:
    """Geometry of a convolution."""
    return ConvGeometry(  # 2.6 to 3.3
        tuple(conv._kernel_size),
        tuple(conv._stride),
        conv._padding,
        tuple(conv._dilation),
        conv._groups,
        conv._data_format == "NCHW" and conv._padding_mode == "zeros",
    )


def has_hooks(layer: nn.Layer) -> bool:
    """Whether anything is to be called before or after a layer."""
    return bool(layer._forward_pre_hooks or layer._forward_post_hooks)  # 2.6 to 3.3


def is_paddles(layer: nn.Layer) -> bool:
    """Whether a layer computes as one of Paddle's own, whose calls may go on at a time.

    BatchNorms assign an attribute of theirs in each call (2.6 to 3.3), of the same value for all maps.
    """
    return type(layer).forward.__module__.startswith("paddle.nn.")


@contextmanager
def assignments(layers: Iterable[nn.Layer]) -> Iterator[list[str]]:
    """The names of attributes that are assigned to the layers within the block, by any thread."""
    watched = {id(layer) for layer in layers}
    names: list[str] = []
    original = nn.Layer.__setattr__

    def assign(layer: nn.Layer, name: str, value: Any) -> None:
        if id(layer) in watched:
            names.append(name)
        original(layer, name, value)

    setattr(nn.Layer, "__setattr__", assign)  # noqa: B010 - mypy takes no other form
    try:
        yield names
    finally:
        setattr(nn.Layer, "__setattr__", original)  # noqa: B010
