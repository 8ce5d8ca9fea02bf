"""A backbone, a decode head and auxiliary heads as one PaddleSeg model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import paddle
from paddle import nn

from paddleseg_ext.backbones.maps import LIST, Maps, NoMaps, as_list, features
from paddleseg_ext.checkpoint.load import load_weights
from paddleseg_ext.heads.base import Head, HeadFactory, MissingMap, build_head
from paddleseg_ext.layers.functional import Size, as_float32, network_outputs
from paddleseg_ext.layers.pyramid import STRIDES, NoPyramid, SimplePyramid
from paddleseg_ext.layers.resample import resize, spatial_size
from paddleseg_ext.registry import register_model


@register_model
class EncoderDecoder(nn.Layer):
    """Any PaddleSeg backbone under any head of this package.

    A backbone that was built with ``data_format="NHWC"``, as PaddleSeg's ResNet_vd can be, sees the image and gives its
    maps with channels last; heads compute with channels first, as everything else. Weights are the same for both.

    In YAML the heads are ``type:`` dictionaries. In Python they are classes or partials:
    ``EncoderDecoder(19, ResNet50_vd(output_stride=8), partial(DMHead, channels=512))``.

    The backbone is run once, on a small picture, to learn its maps, whatever it declares. Where a head asks for a map
    that it does not give, all heads take those of a `SimplePyramid`, strides 4, 8, 16 and 32.

    Args:
        num_classes: Number of classes.
        backbone: A backbone of PaddleSeg or alike: it returns feature maps, finest first, or a vision transformer's
            tokens.
        decode_head: The head whose mask is the prediction.
        auxiliary_heads: Heads for further losses on their mask; they run in training only.
        align_corners: As in ``F.interpolate``; also the heads' unless they set their own.
        pretrained: Weights of the whole model to start from; what does not fit is listed and skipped.

    Attributes:
        maps: What the backbone gives.
        pyramid: The `SimplePyramid` between backbone and heads, or None.

    Shape:
        - x: (N, 3, H, W), any H and W
        - output in training: list in the order of ``output_names``; masks are (N, num_classes, H, W)
        - output in evaluation: list of the decode head's mask alone

    Raises:
        ValueError: the backbone gives no maps, a head is not one, or as the heads say.
    """

    def __init__(
        self,
        num_classes: int,
        backbone: nn.Layer,
        decode_head: HeadFactory,
        auxiliary_heads: Sequence[HeadFactory] = (),
        align_corners: bool = False,
        pretrained: str | None = None,
    ) -> None:
        super().__init__()
        for name, head in [("decode_head", decode_head), *(("auxiliary_heads", head) for head in auxiliary_heads)]:
            if not callable(head) or isinstance(head, nn.Layer):
                raise ValueError(f"EncoderDecoder: {name} must be a head such as {{type: PSPHead}}, not {head!r}.")
        self.align_corners = align_corners
        self.maps = _maps(backbone, decode_head)
        self.backbone = backbone
        build = partial(_build, [decode_head, *auxiliary_heads], num_classes, align_corners)
        self.pyramid, (self.decode_head, *auxiliary) = _heads(
            _name(decode_head), type(backbone).__name__, self.maps, build
        )
        self.auxiliary_heads = nn.LayerList(auxiliary)
        self.output_names = list(self.decode_head.output_names) + [f"aux{i}" for i in range(len(self.auxiliary_heads))]
        if pretrained:
            load_weights(self, pretrained, complete=False)

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        if options or len(inputs) != 1:
            return super().__call__(*inputs, **options)
        return network_outputs(super().__call__, self, inputs[0])

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        size = spatial_size(x)
        if self.maps.multiple == 1:
            return self._resized(self._outputs(x), size)
        x = self.maps.pad(x, size)
        outputs = self._resized(self._outputs(x), spatial_size(x))
        return [out[:, :, : size[0], : size[1]] if out.ndim == 4 else out for out in outputs]

    def _outputs(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        feats = features(self.backbone, x)
        if self.maps.form != LIST:
            feats = as_list(feats, self.maps.form)
        if self.pyramid is not None:
            feats = self.pyramid(feats)
        outputs = self.decode_head(feats)
        if not self.training:
            return [outputs[0]]
        return outputs + [head(feats)[0] for head in self.auxiliary_heads]

    def _resized(self, outputs: list[paddle.Tensor], size: tuple[Size, Size]) -> list[paddle.Tensor]:
        return [resize(as_float32(out), size, self.align_corners) if out.ndim == 4 else out for out in outputs]


def _maps(backbone: nn.Layer, decode_head: HeadFactory) -> Maps:
    """The maps of a backbone, or a sentence that tells which head cannot be put on it, why, and what can be done."""
    try:
        return Maps.of(backbone)
    except NoMaps as error:
        raise ValueError(
            f"EncoderDecoder: {_name(decode_head)} cannot be put on {type(backbone).__name__}, which {error}; take a "
            "backbone that returns feature maps, such as ResNet50_vd, or one of `paddleseg-ext list combos`."
        ) from error


def _name(head: HeadFactory) -> str:
    return getattr(head, "func", head).__name__


def _build(
    factories: Sequence[HeadFactory], num_classes: int, align_corners: bool, channels: Sequence[int]
) -> list[Head]:
    return [build_head(factory, channels, num_classes, align_corners) for factory in factories]


def _heads(
    head: str, name: str, maps: Maps, build: Callable[[Sequence[int]], list[Head]]
) -> tuple[SimplePyramid | None, list[Head]]:
    """The heads on the backbone's own maps, or on a pyramid's where a head has no use for those."""
    missing = None
    try:
        heads = build(maps.channels)
    except MissingMap as error:
        missing = error
    if missing is None and all(head.suits(maps.strides) for head in heads):
        return None, heads
    if missing is not None and len(maps.channels) >= len(STRIDES):
        raise missing
    try:
        pyramid = SimplePyramid(maps.channels, maps.strides)
        return pyramid, build(pyramid.feat_channels)
    except MissingMap as error:
        raise missing or error from error
    except NoPyramid as error:
        raise ValueError(
            f"EncoderDecoder: {head} needs other maps than {name} gives, and {error}; take a head of one map, such as "
            "PSPHead, or another backbone, such as ResNet50_vd."
        ) from error
