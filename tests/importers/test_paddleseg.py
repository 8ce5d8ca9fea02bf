"""Networks of PaddleSeg and of this package give the same logits with the same weights."""

from __future__ import annotations

from functools import partial
from typing import Any, Callable

import numpy as np
import paddle
import pytest
from paddle import nn
from paddleseg import models

from paddleseg_ext import EncoderDecoder, UserError
from paddleseg_ext.heads import CCHead, DeepLabV3PlusHead, DMHead, EncHead, FastFCNHead, FCNHead, PSPHead
from paddleseg_ext.importers.fit import PADDLESEG, fit
from paddleseg_ext.importers.paddleseg import convert, names
from tests.conftest import TinyBackbone

CLASSES, WIDTH = 5, 16
TOLERANCE = 1e-4  # of the largest logit
LATERAL = {"mid_channels": WIDTH, "num_codes": 8, "add_lateral": True}


class Backbone(TinyBackbone):
    """Backbone with its own list of channels, which PaddleSeg's FastFCN modifies, and a last map as CCNet needs it."""

    def __init__(self, last: int = 24) -> None:
        self.feat_channels = [8, 12, 16, last]
        super().__init__()


def encoding(**keywords: Any) -> Callable:
    return partial(EncHead, channels=WIDTH, num_codes=8, **keywords)


# Network: arguments of PaddleSeg's class, head of this package, channels of the auxiliary head.
CASES: dict[str, tuple[dict, Callable, int | None]] = {
    "DeepLabV3P": (
        {"aspp_ratios": (1, 12, 24, 36)},
        partial(DeepLabV3PlusHead, dw_act=False, branch_order="pool_last", dropout_mode="element"),
        None,
    ),
    "PSPNet": (
        {"pp_out_channels": WIDTH},
        partial(PSPHead, channels=WIDTH, pool_channels=6, bin_sizes=(6, 3, 2, 1)),
        4,
    ),
    "DMNet": ({"mid_channels": WIDTH, "fusion": True}, partial(DMHead, channels=WIDTH, fusion=True), WIDTH),
    "ENCNet": (LATERAL, encoding(laterals=(-3, -2)), WIDTH),
    "FastFCN": (
        LATERAL,
        partial(
            FastFCNHead,
            head=encoding(laterals=(0, 1), bottleneck_kernel=1, align_corners=False),
            jpu_channels=WIDTH,
            align_corners=True,
        ),
        WIDTH,
    ),
    "CCNet": ({"recurrence": 2}, partial(CCHead, channels=512, attention_channels=16, out_act="relu"), 512),
}
TAKES_ALIGN_CORNERS = ("DeepLabV3P", "PSPNet", "CCNet")
FIXED_ALIGN_CORNERS = {"DMNet": True, "ENCNet": False, "FastFCN": False}


def randomize(model: nn.Layer) -> None:
    """Set biases, BatchNorm statistics and γ as after training; their initial values have no effect."""
    generator = np.random.default_rng(0)
    for name, value in model.state_dict().items():
        if name.endswith("_variance") or value.ndim == 1 and name.endswith("weight"):
            value.set_value(generator.uniform(0.5, 1.5, value.shape).astype("float32"))
        elif name.endswith(("bias", "_mean")):
            value.set_value(generator.normal(0, 0.3, value.shape).astype("float32"))
        elif name.endswith("gamma"):
            value.set_value(np.full(value.shape, 0.7, "float32"))
        elif name.endswith("encoding.0.scale"):
            value.set_value(generator.uniform(-0.05, 0, value.shape).astype("float32"))


def stock(network: str, align_corners: bool = False) -> nn.Layer:
    keywords = dict(CASES[network][0])
    if network in TAKES_ALIGN_CORNERS:
        keywords["align_corners"] = align_corners
    model = getattr(models, network)(CLASSES, Backbone(64 if network == "CCNet" else 24), **keywords)
    randomize(model)
    model.eval()
    return model


def ours(network: str, align_corners: bool = False, **changes: Any) -> EncoderDecoder:
    _, head, width = CASES[network]
    aux = [] if width is None else [partial(FCNHead, in_index=2, channels=width)]
    backbone = Backbone(64 if network == "CCNet" else 24)
    align_corners = FIXED_ALIGN_CORNERS.get(network, align_corners)
    model = EncoderDecoder(CLASSES, backbone, partial(head, **changes), aux, align_corners)
    model.eval()
    return model


def state(model: nn.Layer) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in model.state_dict().items()}


def error(reference: nn.Layer, model: nn.Layer, size: tuple[int, int]) -> float:
    """Largest difference of the logits, relative to the largest of them."""
    x = paddle.randn([1, 3, *size])
    with paddle.no_grad():
        expected, logits = reference(x)[0].numpy(), model(x)[0].numpy()
    assert expected.shape == logits.shape
    return np.abs(logits - expected).max() / np.abs(expected).max()


def imported(reference: nn.Layer, model: nn.Layer) -> nn.Layer:
    weights = fit(convert(state(reference)), model, PADDLESEG)
    model.set_state_dict({name: paddle.to_tensor(value) for name, value in weights.items()})
    return model


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("network", CASES)
def test_same_logits(network: str, align_corners: bool) -> None:
    if align_corners and network in FIXED_ALIGN_CORNERS:
        pytest.skip(f"PaddleSeg's {network} has no such argument")
    reference = stock(network, align_corners)
    model = imported(reference, ours(network, align_corners))
    # PaddleSeg's DMNet upsamples its map by 8 instead of to the image's size.
    size = (128, 160) if network == "DMNet" else (129, 161)
    assert error(reference, model, size) <= TOLERANCE


def test_same_logits_on_paddlesegs_backbone() -> None:
    """Biases in a backbone are not folded."""
    reference = models.ENCNet(CLASSES, models.ResNet18_vd(output_stride=8), **LATERAL)
    randomize(reference)
    aux = partial(FCNHead, in_index=2, channels=WIDTH)
    model = EncoderDecoder(CLASSES, models.ResNet18_vd(output_stride=8), CASES["ENCNet"][1], [aux])
    reference.eval()
    model.eval()
    assert error(reference, imported(reference, model), (65, 97)) <= TOLERANCE


@pytest.mark.parametrize("network", CASES)
def test_training_outputs_are_the_same(network: str) -> None:
    """Auxiliary heads and SE logits too; batch statistics, but no dropout."""
    reference, model = stock(network), ours(network)
    imported(reference, model)
    for net in (reference, model):
        for layer in net.sublayers(include_self=True):
            layer.training = not isinstance(layer, (nn.Dropout, nn.Dropout2D))
    x = paddle.randn([2, 3, 32, 48])
    expected = {tuple(out.shape): out for out in reference(x)[1:]}
    for out in model(x)[1:]:
        target = expected[tuple(out.shape)].numpy()
        assert np.abs(out.numpy() - target).max() <= TOLERANCE * np.abs(target).max()


@pytest.mark.parametrize("network", CASES)
def test_every_name_is_mapped(network: str) -> None:
    source, target = state(stock(network)), ours(network).state_dict()
    assert set(names(source).values()) == set(target) == set(convert(source, network))
    assert all(name.endswith("_conv.bias") for name in set(source) - set(names(source)))


@pytest.mark.parametrize(
    "network, change",
    [
        ("DeepLabV3P", {"branch_order": "pool_first"}),
        ("PSPNet", {"bin_sizes": (1, 2, 3, 6)}),
        ("FastFCN", {"branch_order": "shallow_first"}),
    ],
)
def test_channels_are_in_the_models_order(network: str, change: dict) -> None:
    reference = stock(network)
    model = imported(reference, ours(network, **change))
    assert error(reference, model, (65, 97)) <= TOLERANCE
    model.set_state_dict({name: paddle.to_tensor(value) for name, value in convert(state(reference)).items()})
    assert error(reference, model, (65, 97)) > TOLERANCE


@pytest.mark.parametrize(
    "network, change, message",
    [
        ("PSPNet", {"pool_channels": 8}, r"pyramid\.branches\.0\.conv\.weight .* change pool_channels"),
        (
            "CCNet",
            {"attention_channels": None},
            r"before\.conv\.weight .* change attention_channels of model\.decode_head to 16",
        ),
        ("ENCNet", {"laterals": ()}, r"lacks 15 weights .* \(decode_head\.laterals\.0\.conv\.weight, .*"),
    ],
)
def test_mismatches_are_named_with_their_setting(network: str, change: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        fit(convert(state(stock(network))), ours(network, **change), PADDLESEG)


@pytest.mark.parametrize(
    "network, change, message",
    [
        ("DeepLabV3P", {"dw_act": True}, "ReLU in the model but Identity .* set `dw_act: false`"),
        ("CCNet", {"act": "relu"}, r"before\.act is ReLU in the model but LeakyReLU .* set `act: leaky_relu`"),
        ("CCNet", {"out_act": None}, r"fuse\.act is LeakyReLU in the model but ReLU .* set `out_act: relu`"),
    ],
)
def test_another_activation_is_named_without_weights(network: str, change: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        fit({}, ours(network, **change), PADDLESEG)


def test_unknown_networks_are_named() -> None:
    with pytest.raises(UserError, match="No importer for PaddleSeg's 'PSPNett'; did you mean 'PSPNet'"):
        convert({}, "PSPNett")
    with pytest.raises(UserError, match=r"not the weights of a network of PaddleSeg .* begin with backbone, layer"):
        convert({"backbone.a": np.ones(1), "layer.b": np.ones(1)})
