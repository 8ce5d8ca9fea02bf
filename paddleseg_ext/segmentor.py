"""A backbone, a decode head and auxiliary heads as one PaddleSeg model."""

from __future__ import annotations

from collections.abc import Sequence

import paddle
from paddle import nn

from paddleseg_ext.checkpoint.load import load_weights
from paddleseg_ext.heads.base import HeadFactory, build_head
from paddleseg_ext.layers.functional import as_float32
from paddleseg_ext.layers.resample import resize, spatial_size
from paddleseg_ext.registry import register_model


@register_model
class EncoderDecoder(nn.Layer):
    """Any PaddleSeg backbone under any head of this package.

    A backbone that was built with ``data_format="NHWC"``, as PaddleSeg's ResNet_vd can be, sees the image and gives its
    maps with channels last; heads compute with channels first, as everything else. Weights are the same for both.

    In YAML the heads are ``type:`` dictionaries. In Python they are classes or partials:
    ``EncoderDecoder(19, ResNet50_vd(output_stride=8), partial(DMHead, channels=512))``.

    Args:
        num_classes: Number of classes.
        backbone: A PaddleSeg backbone: returns a list of maps and has ``feat_channels``.
        decode_head: The head whose mask is the prediction.
        auxiliary_heads: Heads for further losses on their mask; they run in training only.
        align_corners: As in ``F.interpolate``; also the heads' unless they set their own.
        pretrained: Weights of the whole model to start from; what does not fit is listed and skipped.

    Shape:
        - x: (N, 3, H, W), any H and W that the backbone takes
        - output in training: list in the order of ``output_names``; masks are (N, num_classes, H, W)
        - output in evaluation: list of the decode head's mask alone

    Raises:
        ValueError: the backbone has no ``feat_channels``, a head is not one, or as the heads say.
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
        feat_channels = getattr(backbone, "feat_channels", None)
        if not feat_channels:
            raise ValueError(
                f"EncoderDecoder: the backbone {type(backbone).__name__} has no `feat_channels`, "
                "so its heads cannot be sized; use one of PaddleSeg's backbones that lists them."
            )
        for name, head in [("decode_head", decode_head), *(("auxiliary_heads", head) for head in auxiliary_heads)]:
            if not callable(head) or isinstance(head, nn.Layer):
                raise ValueError(f"EncoderDecoder: {name} must be a head such as {{type: PSPHead}}, not {head!r}.")
        self.align_corners = align_corners
        self.backbone = backbone
        self.decode_head = build_head(decode_head, feat_channels, num_classes, align_corners)
        self.auxiliary_heads = nn.LayerList(
            [build_head(head, feat_channels, num_classes, align_corners) for head in auxiliary_heads]
        )
        self.output_names = list(self.decode_head.output_names) + [f"aux{i}" for i in range(len(self.auxiliary_heads))]
        if pretrained:
            load_weights(self, pretrained, complete=False)

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        size = spatial_size(x)
        feats = self._features(x)
        outputs = self.decode_head(feats)
        if not self.training:
            return [resize(as_float32(outputs[0]), size, self.align_corners)]
        outputs = outputs + [head(feats)[0] for head in self.auxiliary_heads]
        return [resize(as_float32(out), size, self.align_corners) if out.ndim == 4 else out for out in outputs]

    def _features(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        """The backbone's maps, (N, C, H, W)."""
        if getattr(self.backbone, "data_format", "NCHW") != "NHWC":
            return self.backbone(x)
        return [feat.transpose([0, 3, 1, 2]) for feat in self.backbone(x.transpose([0, 2, 3, 1]))]
