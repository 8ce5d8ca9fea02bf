"""What a backbone gives, found out by running it once, in the form that heads take."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import paddle
import paddle.nn.functional as F
from paddle import nn

from paddleseg_ext.compat.paddle import plain_batch_norm
from paddleseg_ext.errors import reason

TRIED = (33, 97)  # height and width of the picture: odd at every stride, and wide enough for pools over the last map
LARGER = (225, 289)  # the same, for what needs more than a few pixels
MULTIPLES = (2, 4, 8, 16, 32, 64)
LIST, MAPPING, TENSOR, TOKENS = "list", "mapping", "tensor", "tokens"
logger = logging.getLogger(__name__)


class NoMaps(ValueError):
    """A backbone gives nothing that heads can take; the message goes on after the backbone's name."""


@dataclass(frozen=True)
class Maps:
    """Form and sizes of what a backbone gives.

    Attributes:
        channels: Channels of each map, as the backbone orders them: finest first.
        strides: Pixels of the picture per pixel of each map, along either side.
        multiple: Height and width have to be multiples of it, in pixels; 1 for any size.
        form: ``list`` of maps (or a tuple), ``mapping`` of them, one ``tensor``, or ``tokens``, a vision transformer's
            pair of the blocks' (N, H·W, C) and the shape of the map.
    """

    channels: tuple[int, ...]
    strides: tuple[int, ...]
    multiple: int
    form: str

    @classmethod
    def of(cls, backbone: nn.Layer) -> Maps:
        """Run a backbone on a small picture, without gradients or lasting effects, and see what it gives.

        Where that is not what it declares as ``feat_channels``, what it gives counts. On a CPU, which has no kernel for
        `nn.SyncBatchNorm`, its layers of that kind become `nn.BatchNorm2D` with the same weights.

        Args:
            backbone: Of PaddleSeg or alike.

        Raises:
            NoMaps: It gives no feature maps, or cannot be run at any size.
        """
        if paddle.get_device() == "cpu":
            without_sync(backbone)
        with undisturbed(backbone):
            raw, size, multiple = _run(backbone)
        form = _form(raw)
        maps = as_list(raw, form)
        weight = _first_weight(backbone)
        patch = weight.shape[-1:] if form == TOKENS and weight is not None else []  # the kernel that embeds patches
        strides = tuple(_stride(size, found.shape[2:], patch) for found in maps)
        if form in (TENSOR, TOKENS) and multiple == 1:  # those of PaddleSeg leave a rest of the picture out
            whole = [-(-side // strides[-1]) for side in size]
            multiple = 1 if whole == list(maps[-1].shape[2:]) else strides[-1]
        channels = tuple(found.shape[1] for found in maps)
        declared = tuple(getattr(backbone, "feat_channels", None) or ())
        if declared and declared == channels[: len(declared)]:
            return cls(channels[: len(declared)], strides[: len(declared)], multiple, form)
        if declared:
            logger.info(
                f"{type(backbone).__name__} declares maps of {', '.join(map(str, declared))} channels but gives "
                f"{', '.join(map(str, channels))}; the heads take what it gives"
            )
        return cls(channels, strides, multiple, form)

    def pad(self, x: paddle.Tensor, size: Sequence[Any]) -> paddle.Tensor:
        """The picture with zeros below and at the right, so that each side is a multiple of `multiple`.

        Args:
            x: The picture.
            size: H and W: integers, or scalar tensors while a graph is traced.

        Shape:
            - x: (N, C, H, W)
            - output: (N, C, ⌈H/m⌉·m, ⌈W/m⌉·m), m = ``multiple``
        """
        if paddle.in_dynamic_mode():
            height, width = (-side % self.multiple for side in size)
            return F.pad(x, [0, width, 0, height]) if height or width else x
        for axis, side in zip((2, 3), size):  # in ONNX, padding by tensors leaves memory as it was
            position = paddle.arange((side + self.multiple - 1) // self.multiple * self.multiple, dtype="int32")
            last = (side - 1).astype("int32")
            inside = (position <= last).astype(x.dtype).reshape([-1, 1] if axis == 2 else [-1])
            x = paddle.gather(x, paddle.minimum(position, last), axis=axis) * inside
        return x


def features(backbone: nn.Layer, x: paddle.Tensor) -> Any:
    """What a backbone gives for pictures (N, C, H, W); maps of one with channels last are turned to (N, C, H, W)."""
    if getattr(backbone, "data_format", "NCHW") != "NHWC":
        return backbone(x)
    return [feat.transpose([0, 3, 1, 2]) for feat in backbone(x.transpose([0, 2, 3, 1]))]


def as_list(raw: Any, form: str) -> Sequence[paddle.Tensor]:
    """What a backbone gives as maps (N, Cᵢ, Hᵢ, Wᵢ), from one of the forms that `Maps.form` has."""
    if form == MAPPING:
        return list(raw.values())
    if form == TENSOR:
        return [raw]
    if form == TOKENS:
        tokens, shape = raw[0][-1], raw[1]  # (N, H·W, C)
        return [tokens.transpose([0, 2, 1]).reshape([0, tokens.shape[2], shape[2], shape[3]])]
    return raw


def without_sync(model: nn.Layer) -> None:
    """Replace each `nn.SyncBatchNorm` by `nn.BatchNorm2D` with the same weights and statistics."""
    for parent in model.sublayers(include_self=True):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.SyncBatchNorm):
                setattr(parent, name, plain_batch_norm(layer))


@contextmanager
def undisturbed(model: nn.Layer) -> Iterator[None]:
    """Within the block a model is in evaluation and has no gradients; its modes and random numbers are kept."""
    modes = [(layer, layer.training) for layer in model.sublayers(include_self=True)]
    random = paddle.get_rng_state()
    model.eval()
    try:
        with paddle.no_grad():
            yield
    finally:
        for layer, training in modes:
            layer.training = training
        paddle.set_rng_state(random)


def _run(backbone: nn.Layer) -> tuple[Any, Sequence[int], int]:
    """What the backbone gives for a picture, its size, and the least multiple to which that had to be padded."""
    weight = _first_weight(backbone)
    channels = 3 if weight is None else weight.shape[1]
    dtype: Any = "float32" if weight is None else weight.dtype
    last: BaseException | None = None
    padded = (([-(-side // multiple) * multiple for side in TRIED], multiple) for multiple in MULTIPLES)
    for size, multiple in [(TRIED, 1), (LARGER, 1), *padded]:
        try:
            return features(backbone, paddle.zeros([1, channels, *size], dtype)), size, multiple
        except (Exception, SystemExit) as error:  # a foreign network fails in any way
            last = error
    assert last is not None
    raise NoMaps(f"cannot be run on pictures of {channels} channels ({reason(last)})") from last


def _first_weight(backbone: nn.Layer) -> Any:
    """Weight of the first convolution (out, in, kernel, kernel), if there is one."""
    return next((p for p in backbone.parameters() if p.ndim == 4), None)


def _form(raw: Any) -> str:
    """Form of what a backbone gave.

    Raises:
        NoMaps: Of none of the known forms.
    """
    if isinstance(raw, Mapping) and _all_maps(list(raw.values())):
        return MAPPING
    if isinstance(raw, paddle.Tensor) and raw.ndim == 4:
        return TENSOR
    if isinstance(raw, (list, tuple)):
        if _all_maps(raw):
            return LIST
        blocks = raw[0] if len(raw) == 2 and isinstance(raw[0], (list, tuple)) else []
        if blocks and blocks[-1].ndim == 3 and len(raw[1]) == 4:  # a tensor, of PaddleSeg's develop head a list
            return TOKENS
    raise NoMaps("gives no feature maps (N, C, H, W)")


def _all_maps(found: Sequence[Any]) -> bool:
    return bool(found) and all(isinstance(item, paddle.Tensor) and item.ndim == 4 for item in found)


def _stride(size: Sequence[int], found: Sequence[int], likely: Sequence[int] = ()) -> int:
    """The stride that makes maps of the found size of a picture, a likely one or a power of two."""
    for stride in (*likely, *(2**i for i in range(8))):
        if [-(-side // stride) for side in size] == list(found) or [side // stride for side in size] == list(found):
            return stride
    return max(1, round(size[1] / found[1]))
