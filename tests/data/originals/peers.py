"""The papers' networks, built by their repositories' own code without their compiled operators."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import torch
from torch import nn

Net = nn.Module
WIDTH = 1  # the networks have 1/WIDTH of their channels


@dataclass
class Case:
    """A network of a repository.

    Attributes:
        name: Name of its file.
        source: Argument of ``paddleseg-ext convert``.
        build: From a number of classes to the network.
        auxiliary: From the network to its auxiliary head.
        saved: From the network to what the repository's training script saves.
        third_stage: From network and picture to the map that the auxiliary head takes.
        odd: Height and width must be 8n + 1.
        bgr: It takes blue first.
        has_se: Its second output are SE logits.
    """

    name: str
    source: str
    build: Callable[[int], Net]
    auxiliary: Callable[[Net], Net]
    saved: Callable[[Net], dict[str, Any]]
    third_stage: Callable[[Net, torch.Tensor], torch.Tensor] = lambda net, x: x
    odd: bool = False
    bgr: bool = False
    has_se: bool = False


class InPlaceABN(nn.Module):
    """The layer of mapillary/inplace_abn in evaluation: it scales by |weight| + eps."""

    def __init__(self, num_features: int, activation: str = "leaky_relu", affine: bool = True) -> None:
        super().__init__()
        self.activation, self.eps = activation, 1e-5
        count = scaled(num_features)
        self.weight, self.bias = nn.Parameter(torch.ones(count)), nn.Parameter(torch.zeros(count))
        self.register_buffer("running_mean", torch.zeros(count))
        self.register_buffer("running_var", torch.ones(count))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean, variance, weight, bias = (
            value.reshape(1, -1, 1, 1) for value in (self.running_mean, self.running_var, self.weight, self.bias)
        )
        x = (x - mean) * (weight.abs() + self.eps) / torch.sqrt(variance + self.eps) + bias
        return nn.functional.leaky_relu(x, 0.01) if self.activation == "leaky_relu" else x


def in_place(net: Net) -> bool:
    """Whether the network's norms are InPlaceABN."""
    return any(isinstance(layer, InPlaceABN) for layer in net.modules())


def scaled(channels: int) -> int:
    """Channels of a narrow network; numbers of classes, codes and colors stay."""
    return channels // WIDTH if channels >= 64 else channels


def narrow(factor: int) -> None:
    """Let PyTorch's layers divide their channels, as the repositories' widths are not arguments."""
    global WIDTH
    WIDTH = factor
    _divide(nn.Conv2d, 2)
    _divide(nn.Linear, 2)
    _divide(nn.modules.batchnorm._NormBase, 1)


def _divide(kind: type, count: int) -> None:
    """Let a constructor divide the channels among its arguments: the first ones, and by name."""
    original = kind.__init__

    def init(self: Any, *arguments: Any, **keywords: Any) -> None:
        for key in {"in_channels", "out_channels", "groups"} & set(keywords):
            keywords[key] = scaled(keywords[key])
        original(self, *map(scaled, arguments[:count]), *arguments[count:], **keywords)

    kind.__init__ = init


def with_prefix(net: Net) -> dict[str, torch.Tensor]:
    """The state dict of a network in DistributedDataParallel."""
    return {f"module.{name}": value for name, value in net.state_dict().items()}


def semseg(checkouts: Path) -> Iterator[Case]:
    sys.path.insert(0, str(checkouts / "semseg"))
    from model.pspnet import PSPNet

    yield Case(
        "semseg",
        "semseg",
        lambda classes: PSPNet(layers=50, classes=classes, zoom_factor=8, pretrained=False),
        lambda net: net.aux,
        lambda net: {"epoch": 100, "state_dict": with_prefix(net), "optimizer": {"state": {}, "param_groups": []}},
        lambda net, x: net.layer3(net.layer2(net.layer1(net.layer0(x)))),
        odd=True,
    )


def ccnet(checkouts: Path) -> Iterator[Case]:
    abn = types.ModuleType("inplace_abn")
    abn.InPlaceABN = abn.InPlaceABNSync = InPlaceABN
    sys.modules["inplace_abn"] = abn
    torch.Tensor.cuda = lambda self, *_, **__: self  # the attention's mask is built on a GPU
    sys.path.insert(0, str(checkouts / "CCNet"))
    from networks.ccnet import Seg_Model

    yield Case(
        "ccnet",
        "ccnet",
        lambda classes: Seg_Model(classes, recurrence=2),
        lambda net: net.dsn,
        lambda net: net.state_dict(),
        odd=True,
        bgr=True,
    )


def without_download(function: Callable[..., Net]) -> Callable[..., Net]:
    """A backbone's constructor that leaves its pretrained weights."""
    return lambda pretrained=False, **keywords: function(False, **keywords)


def saved_with_state(net: Net) -> dict[str, Any]:
    return {"epoch": 1, "state_dict": net.state_dict(), "optimizer": {"state": {}}, "best_pred": 0.5}


def divide_encoding(kind: type) -> None:
    original = kind.__init__
    kind.__init__ = lambda self, D, K: original(self, scaled(D), K)


def fastfcn(checkouts: Path) -> Iterator[Case]:
    sys.path.insert(0, str(checkouts / "FastFCN"))
    import encoding
    from encoding.models.encnet import EncNet
    from encoding.models.psp import PSP

    divide_encoding(encoding.nn.Encoding)
    encoding.dilated.resnet50 = without_download(encoding.dilated.resnet50)
    options = {"jpu": "JPU", "lateral": False, "norm_layer": encoding.nn.BatchNorm}
    for name, kind in {"fastfcn_enc": EncNet, "fastfcn_psp": PSP}.items():
        yield Case(
            name,
            "fastfcn",
            lambda classes, kind=kind: kind(classes, "resnet50", **options),
            lambda net: net.auxlayer,
            saved_with_state,
            has_se=kind is EncNet,
        )


def encoding(checkouts: Path) -> Iterator[Case]:
    cpu, version = types.ModuleType("encoding.cpu"), types.ModuleType("encoding.version")
    # The compiled operators, by their formulas; X: (B, N, D), C: (K, D), A: (B, N, K).
    cpu.scaled_l2_forward = lambda X, C, S: S * (X.unsqueeze(2) - C).square().sum(3)
    cpu.aggregate_forward = lambda A, X, C: (A.unsqueeze(3) * (X.unsqueeze(2) - C)).sum(1)
    version.__version__ = "0"
    sys.modules.update({"encoding.cpu": cpu, "encoding.version": version})
    for name in ("torchvision", "torchvision.transforms"):  # for pictures only
        sys.modules[name] = MagicMock()
    sys.path.insert(0, str(checkouts / "PyTorch-Encoding"))
    package = types.ModuleType("encoding")  # without its data sets, which need further packages
    package.__path__ = [str(checkouts / "PyTorch-Encoding" / "encoding")]
    package.cpu = cpu
    sys.modules["encoding"] = package
    from encoding.models.sseg import base, encnet, psp
    from encoding.nn import Encoding, SyncBatchNorm

    divide_encoding(Encoding)
    base.resnet50s = without_download(base.resnet50s)
    kinds = {
        "encoding_enc": (encnet.EncNet, {"lateral": False}),
        "encoding_enc_lateral": (encnet.EncNet, {"lateral": True}),
        "encoding_psp": (psp.PSP, {}),
    }
    for name, (kind, options) in kinds.items():
        yield Case(
            name,
            "encoding",
            lambda classes, kind=kind, options=options: kind(classes, "resnet50s", norm_layer=SyncBatchNorm, **options),
            lambda net: net.auxlayer,
            saved_with_state,
            has_se=kind is encnet.EncNet,
        )


SOURCES = {"semseg": semseg, "ccnet": ccnet, "fastfcn": fastfcn, "encoding": encoding}
