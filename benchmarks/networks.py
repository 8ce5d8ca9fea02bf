"""What is compared: our heads and layers, and PaddleSeg's of the same structure, with equal weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import paddle
from paddle import nn
from paddleseg import models as stock
from paddleseg.models import ccnet, dmnet, encnet

from paddleseg_ext.heads import CCHead, DeepLabV3PlusHead, DMHead, EncHead, FastFCNHead, FCNHead, PSPHead
from paddleseg_ext.importers.paddleseg import convert
from paddleseg_ext.layers.criss_cross import CrissCrossAttention
from paddleseg_ext.layers.dcm import MultiScaleDynamicConv
from paddleseg_ext.layers.encoding import Encoding
from paddleseg_ext.segmentor import EncoderDecoder

CHANNELS = (256, 512, 1024, 2048)  # of ResNet50's and ResNet101's stages
CLASSES = 19
PADDLESEGS = {"elementwise_add", "batch_norm", "sync_batch_norm"}  # what its training adds to Paddle's white list


class FixedFeatures(nn.Layer):
    """Stands for a backbone: returns the maps it was given, whatever the image."""

    def __init__(self, feats: Sequence[paddle.Tensor]) -> None:
        super().__init__()
        self.feat_channels = [f.shape[1] for f in feats]
        self.feats = list(feats)

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        return self.feats


@dataclass(frozen=True)
class Spec:
    """A head of ours and PaddleSeg's network of the same structure.

    Attributes:
        network: PaddleSeg's class, with its arguments bound but for classes and backbone.
        head: Ours, in PaddleSeg's variant, dropout included.
        auxiliary: PaddleSeg's network has an auxiliary head that cannot be left out, so ours has it too.
        align_corners: Of the last resizing.
        strides: Of the feature maps, relative to the first.
        quarter: Argument of our head that PaddleSeg derives: a quarter of the last map's channels.
    """

    network: Callable[..., nn.Layer]
    head: Callable[..., nn.Layer]
    auxiliary: bool = False
    align_corners: bool = False
    strides: tuple[int, ...] = (1, 2, 2, 2)
    quarter: str | None = None

    @property
    def output_stride(self) -> int:
        """Of the last feature map, relative to the image."""
        return 4 * self.strides[-1]

    def build(self, feats: Sequence[paddle.Tensor]) -> tuple[nn.Layer, nn.Layer]:
        """Both networks over the given maps, with equal weights."""
        return self.over(partial(FixedFeatures, feats))

    def over(
        self, backbone: Callable[[], nn.Layer], ours: Callable[[], nn.Layer] | None = None
    ) -> tuple[nn.Layer, nn.Layer]:
        """Both networks, each over a backbone of its own, with equal weights.

        Args:
            backbone: Makes a backbone.
            ours: Makes another for our network, of the same weights.
        """
        theirs = self.network(CLASSES, backbone())
        auxiliary = [partial(FCNHead, in_index=2, channels=512, **ELEMENT)] if self.auxiliary else []
        given = (ours or backbone)()
        derived = {self.quarter: given.feat_channels[-1] // 4} if self.quarter else {}
        ours = EncoderDecoder(CLASSES, given, partial(self.head, **derived), auxiliary, self.align_corners)
        name = type(theirs).__name__
        weights = convert({key: value.numpy() for key, value in theirs.state_dict().items()}, name)
        missing, unexpected = ours.set_state_dict({key: paddle.to_tensor(value) for key, value in weights.items()})
        if missing or unexpected:
            raise RuntimeError(f"{name}: {missing} not set, {unexpected} not used")
        return ours, theirs


ELEMENT = {"dropout": 0.1, "dropout_mode": "element"}
SPECS = {
    "DeepLabV3PlusHead": Spec(
        partial(stock.DeepLabV3P, aspp_ratios=(1, 12, 24, 36)),
        partial(DeepLabV3PlusHead, dw_act=False, branch_order="pool_last", dropout_mode="element"),
    ),
    "PSPHead": Spec(
        partial(stock.PSPNet, pp_out_channels=512, enable_auxiliary_loss=False),
        partial(PSPHead, bin_sizes=(6, 3, 2, 1), **ELEMENT),
        quarter="pool_channels",
    ),
    "DMHead": Spec(stock.DMNet, partial(DMHead, dropout=0), auxiliary=True, align_corners=True),
    "EncHead": Spec(stock.ENCNet, partial(EncHead, dropout=0), auxiliary=True),
    "CCHead": Spec(
        partial(stock.CCNet, recurrence=2, enable_auxiliary_loss=False),
        partial(CCHead, out_act="relu", dropout=0),
        quarter="attention_channels",
    ),
    "FastFCNHead": Spec(
        stock.FastFCN,
        partial(
            FastFCNHead,
            align_corners=True,
            head=partial(EncHead, bottleneck_kernel=1, align_corners=False, dropout=0),
        ),
        auxiliary=True,
        strides=(1, 2, 4, 8),
    ),
}


def feature_maps(size: tuple[int, int], batch: int, strides: Sequence[int]) -> list[paddle.Tensor]:
    """Maps of a ResNet50, the second of which has ``size`` (H, W): stride 8 of the image.

    Shape:
        - output: list of (batch, C, 2·H / strides[i], 2·W / strides[i])
    """
    height, width = (2 * s for s in size)
    return [paddle.randn([batch, c, -(-height // s), -(-width // s)]) for c, s in zip(CHANNELS, strides)]


LAYERS = ("Encoding", "CrissCrossAttention", "MultiScaleDynamicConv")


def layers(name: str) -> tuple[nn.Layer, nn.Layer, int]:
    """Our layer, PaddleSeg's and the channels of the map they read, for a name of `LAYERS`.

    ``Encoding`` has 512 channels and 32 codes, ``CrissCrossAttention`` 512 channels, and ``MultiScaleDynamicConv``
    reduces 2048 channels to 512 for k = 1, 3, 5 and 7.
    """
    if name == "Encoding":
        ours, theirs = Encoding(512, 32), encnet.Encoding(512, 32)
        theirs.set_state_dict(ours.state_dict())
        return ours, theirs, 512
    if name == "CrissCrossAttention":
        ours, theirs = CrissCrossAttention(512), ccnet.CrissCrossAttention(512)
        ours.gamma.set_value(paddle.to_tensor([0.5]))
        pairs = [("query", "q_conv"), ("key", "k_conv"), ("value", "v_conv")]
        for mine, other in pairs:
            for part in ("weight", "bias"):
                getattr(getattr(theirs, other), part).set_value(getattr(getattr(ours, mine), part))
        theirs.gamma.set_value(ours.gamma)
        return ours, theirs, 512
    sizes = (1, 3, 5, 7)
    theirs = _Parallel([dmnet.DCM(k, False, 2048, 512) for k in sizes])
    ours = MultiScaleDynamicConv(2048, 512, sizes)
    state = {f"dcm_modules.{key[7:]}": value.numpy() for key, value in theirs.state_dict().items()}
    prefix = "decode_head.dynamic."
    ours.set_state_dict({key[len(prefix) :]: paddle.to_tensor(v) for key, v in convert(state, "DMNet").items()})
    return ours, theirs, 2048


class _Parallel(nn.Layer):
    """Layers that read one map, their outputs in a list."""

    def __init__(self, layers: Sequence[nn.Layer]) -> None:
        super().__init__()
        self.layers = nn.LayerList(layers)

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        return [layer(x) for layer in self.layers]
