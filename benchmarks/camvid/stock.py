"""PaddleSeg's DMNet where the backbone's stride is not 8."""

from __future__ import annotations

import paddle
import paddle.nn.functional as F
from paddleseg.models import DMNet

from paddleseg_ext.layers.resample import spatial_size
from paddleseg_ext.registry import register_model


@register_model
class DMNetOfAnyStride(DMNet):
    """PaddleSeg's DMNet, whose outputs are resized to the picture instead of by 8.

    Its constructor, layers and alignment (corners) are PaddleSeg's; only the size that it resizes to is not. As it is,
    it has outputs of another size than the labels wherever the stride is not 8 or the picture's sides are no multiples.

    Shape:
        - x: (N, 3, H, W)
        - output in training: mask and auxiliary logits, (N, num_classes, H, W) each; in evaluation the mask's alone
    """

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        feats = self.backbone(x)
        last = feats[-1]
        joined = paddle.concat([last, *(module(last) for module in self.dcm_modules)], axis=1)
        outputs = [self.cls(self.bottleneck(joined))]
        if self.training:
            outputs.append(self.fcn_head(feats[2]))
        size = spatial_size(x)
        return [F.interpolate(out, size, mode="bilinear", align_corners=True) for out in outputs]
