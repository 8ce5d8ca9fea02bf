"""What the branches of pyramid pooling and of atrous pyramid pooling contribute."""

from __future__ import annotations

from paddle import nn

from paddleseg_ext.explanation.contributions import Branches, energy_and_contribution, logit_contributions
from paddleseg_ext.explanation.findings import Finding, Section
from paddleseg_ext.explanation.registry import register_explainer
from paddleseg_ext.explanation.view import View
from paddleseg_ext.heads.aspp import ASPPHead
from paddleseg_ext.heads.deeplabv3plus import DeepLabV3PlusHead
from paddleseg_ext.heads.psp import PSPHead
from paddleseg_ext.layers.conv import ConvNormAct, SeparableConv


@register_explainer(PSPHead)
def explain_pyramid(head: PSPHead, view: View) -> list[Section]:
    """The backbone's map beside the grids of each size."""
    (calls,) = view.watch(head.bottleneck)
    x, grids = calls[0].inputs
    names = [f"{k}×{k} grid" for k in head.pyramid.bin_sizes]
    branches = Branches.of_grids(head.bottleneck, [("backbone's map", x)], list(zip(names, grids)))
    return [
        Section(
            "Pyramid pooling",
            "Means over grids of the image are concatenated with the backbone's map and go through one convolution.",
            [
                *energy_and_contribution(view, branches, "the bottleneck's map"),
                *logit_contributions(view, branches, head.classifier),
            ],
            "Zhao et al., PSPNet, CVPR 2017, Sec. 3.2",
        )
    ]


@register_explainer(ASPPHead)
def explain_aspp(head: ASPPHead, view: View) -> list[Section]:
    """The branches of ASPP, which the classifier follows."""
    branches = _aspp(head, view)
    more = logit_contributions(view, branches, head.classifier)
    return [_aspp_section(view, branches, more)]


@register_explainer(DeepLabV3PlusHead)
def explain_decoder(head: DeepLabV3PlusHead, view: View) -> list[Section]:
    """The branches of ASPP, then its result beside the low-level map in the decoder."""
    first = head.decoder[0]
    # A depthwise convolution acts within channels, so that what it gives still belongs to one branch.
    layer = first.pointwise if isinstance(first, SeparableConv) else first
    assert isinstance(layer, ConvNormAct)
    (calls,) = view.watch(layer.conv)
    widths = [head.channels, layer.conv.weight.shape[1] - head.channels]
    decoder = Branches.of_stack(layer, calls[0].inputs[0], ["ASPP", "low-level map"], widths)
    return [
        _aspp_section(view, _aspp(head, view), []),
        Section(
            "Decoder",
            "The context of ASPP, upsampled, meets a fine map from early in the backbone.",
            energy_and_contribution(view, decoder, "the decoder's first map"),
            "Chen et al., DeepLabV3+, ECCV 2018, Sec. 3.1",
        ),
    ]


def _aspp(head: ASPPHead, view: View) -> Branches:
    aspp = head.aspp
    (calls,) = view.watch(aspp.project)
    local, (pooled,) = calls[0].inputs
    names = ["1×1", *(f"3×3, rate {_rate(conv)}" for conv in aspp.atrous)]
    width = pooled.shape[1]
    maps = [local[:, i * width : (i + 1) * width] for i in range(len(names))]
    return Branches.of_grids(aspp.project, list(zip(names, maps)), [("image pooling", pooled)])


def _rate(layer: nn.Layer) -> int:
    return (layer.depthwise if isinstance(layer, SeparableConv) else layer).conv.rate


def _aspp_section(view: View, branches: Branches, more: list[Finding]) -> Section:
    return Section(
        "Atrous spatial pyramid pooling",
        "Convolutions of several rates and the mean of the image look at the same map; one convolution projects them.",
        [*energy_and_contribution(view, branches, "the projected map"), *more],
        "Chen et al., DeepLabV3, 2017, Sec. 3.3",
    )
