"""Names and layout of the weights that the papers' own repositories save.

Official code consulted: hszhao/semseg (PSPNet), speedinghzl/CCNet, wuhuikai/FastFCN and zhanghang1989/PyTorch-Encoding
(EncNet, and PSPNet). All of them upsample with ``align_corners`` and have a stem of 128 channels, which no weight or
only its shape shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from paddleseg_ext.errors import UserError
from paddleseg_ext.importers.fit import Rules, recognize, rename, unknown_network
from paddleseg_ext.importers.mmseg import COUNTER, NORM, TRANSPOSED

IN_PLACE_EPSILON = 1e-5  # InPlaceABN scales by |weight| + ε (mapillary/inplace_abn, src/inplace_abn.cpp)


def _block(source: str, target: str, conv: int = 0) -> Rules:
    """Rules of a Sequential's convolution, at an index, and the norm behind it."""
    return [(rf"^{source}\.{conv}\.", rf"{target}.conv."), (rf"^{source}\.{conv + 1}\.", rf"{target}.norm.")]


def _auxiliary(source: str, classifier: int) -> Rules:
    return [
        *_block(source, "auxiliary_heads.0.convs.0"),
        (rf"^{source}\.{classifier}\.", "auxiliary_heads.0.classifier."),
    ]


# "@" is the decode head, the inner one behind a JPU.
SEMSEG: Rules = [
    (r"^layer0\.", "backbone.stem."),
    (r"^layer([1-4])\.", r"backbone.layer\1."),
    *_block(r"ppm\.features\.(\d+)", r"@pyramid.branches.\1", 1),
    *_block("cls", "@bottleneck"),
    (r"^cls\.4\.", "@classifier."),
    *_auxiliary("aux", 4),
]
CCNET: Rules = [
    (r"^conv([123])\.", lambda m: f"backbone.stem.{3 * int(m[1]) - 3}."),
    (r"^bn([123])\.", lambda m: f"backbone.stem.{3 * int(m[1]) - 2}."),
    (r"^layer([1-4])\.", r"backbone.layer\1."),
    *_block(r"head\.conva", "@before"),
    (r"^head\.cca\.(query|key|value)_conv\.", r"@attention.\1."),
    (r"^head\.cca\.gamma$", "@attention.gamma"),
    *_block(r"head\.convb", "@after"),
    *_block(r"head\.bottleneck", "@fuse"),
    (r"^head\.bottleneck\.3\.", "@classifier."),
    *_auxiliary("dsn", 3),
]
# PyTorch-Encoding's names, which FastFCN has too.
ENCODING: Rules = [
    (r"^pretrained\.conv1\.(\d)", r"backbone.stem.\1"),
    (r"^pretrained\.bn1\.", "backbone.stem.7."),
    (r"^pretrained\.layer", "backbone.layer"),
    *_auxiliary(r"auxlayer\.conv5", 4),
]
JPU: Rules = [
    *(rule for i in (3, 4, 5) for rule in _block(rf"jpu\.conv{i}", f"decode_head.jpu.laterals.{i - 3}")),
    (r"^jpu\.dilation(\d)\.0\.conv1\.", lambda m: f"decode_head.jpu.dilated.{int(m[1]) - 1}.depthwise.conv."),
    (r"^jpu\.dilation(\d)\.0\.bn\.", lambda m: f"decode_head.jpu.dilated.{int(m[1]) - 1}.depthwise.norm."),
    (r"^jpu\.dilation(\d)\.0\.pointwise\.", lambda m: f"decode_head.jpu.dilated.{int(m[1]) - 1}.pointwise.conv."),
    (r"^jpu\.dilation(\d)\.1\.", lambda m: f"decode_head.jpu.dilated.{int(m[1]) - 1}.pointwise.norm."),
]
ENC: Rules = [
    *ENCODING,
    *_block(r"head\.conv5", "@bottleneck"),
    *_block(r"head\.connect\.(\d)", r"@laterals.\1"),
    *_block(r"head\.fusion", "@fusion"),
    *_block(r"head\.encmodule\.encoding", "@encoding.project"),
    (r"^head\.encmodule\.encoding\.3\.", "@encoding.encoding."),
    (r"^head\.encmodule\.encoding\.4\.", "@encoding.norm."),
    (r"^head\.encmodule\.fc\.0\.", "@encoding.gate."),
    (r"^head\.encmodule\.selayer\.", "@se."),
    (r"^head\.conv6\.1\.", "@classifier."),
]
PSP: Rules = [
    *ENCODING,
    *(rule for i in (1, 2, 3, 4) for rule in _block(rf"head\.conv5\.0\.conv{i}", f"@pyramid.branches.{i - 1}")),
    *_block(r"head\.conv5", "@bottleneck", 1),
    (r"^head\.conv5\.5\.", "@classifier."),
]


@dataclass(frozen=True)
class Network:
    """A network of a repository.

    Attributes:
        rules: Regular expression of its names → name in this package.
        head: Class of the decode head here; of the inner head behind a JPU.
        contract_dilation: As in `ResNetV1c`.
        in_place_norm: Its norms are InPlaceABN.
        bgr: Its images have blue first.
    """

    rules: Rules
    head: str
    contract_dilation: bool = True
    in_place_norm: bool = False
    bgr: bool = False


NETWORKS = {
    "PSPNet of semseg": Network(SEMSEG, "PSPHead", contract_dilation=False),
    "CCNet": Network(CCNET, "CCHead", contract_dilation=False, in_place_norm=True, bgr=True),
    "EncNet": Network(ENC, "EncHead"),
    "PSPNet": Network(PSP, "PSPHead"),
}
PATTERNS = {
    "PSPNet of semseg": r"^ppm\.features\.",
    "CCNet": r"^head\.cca\.query_conv\.",
    "EncNet": r"^head\.encmodule\.",
    "PSPNet": r"^head\.conv5\.0\.conv1\.",
}
"""Pattern of a name that identifies the network."""
UNKNOWN_PARTS = {r"^jpu\.jum": "JPU_X", r"^head\.aspp\.": "DeepLabV3's head with a convolution behind the ASPP"}


IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass(frozen=True)
class Original:
    """An importer, with the functions of `mmseg` and `paddleseg`.

    Args:
        title: The repository.
        networks: Names in `NETWORKS` of those that it saves.
        colors: Mean and deviation that it normalizes images of 0 to 1 with, red first.
    """

    title: str
    networks: tuple[str, ...]
    colors: tuple[Sequence[float], Sequence[float]] = IMAGENET

    def network(self, source: Iterable[str]) -> str:
        """Name in `NETWORKS` of the network that has these weights.

        Raises:
            UserError: it is not one that can be imported.
        """
        source = list(source)
        if part := recognize(source, {text: pattern for pattern, text in UNKNOWN_PARTS.items()}):
            raise UserError(f"The file has {part}, which has no counterpart in this package; it cannot be imported.")
        found = recognize(source, {name: PATTERNS[name] for name in self.networks})
        if found is None:
            raise unknown_network(source, self.networks, self.title)
        return found

    def names(self, source: Iterable[str]) -> dict[str, str]:
        """Map the repository's names to those of this package, in the same order; others are unchanged.

        Without BatchNorm's step counters, the backbone's classifier of ImageNet and what `folded_names` has.

        Raises:
            UserError: as `network`.
        """
        source = list(source)
        head = "decode_head.head." if has_jpu(source) else "decode_head."
        rules = [*NETWORKS[self.network(source)].rules, *JPU, (r"^@", head), *NORM]
        dropped = self.folded_names(source)
        kept = (name for name in source if not name.endswith(COUNTER) and not name.startswith("pretrained.fc."))
        return {name: rename(name, rules) for name in kept if name not in dropped}

    def heads(self, source: Iterable[str]) -> list[str]:
        """Class of the decode head in this package, and of the inner one behind a JPU.

        Raises:
            UserError: as `network`.
        """
        source = list(source)
        return [*(["FastFCNHead"] if has_jpu(source) else []), NETWORKS[self.network(source)].head]

    def folded_names(self, source: Iterable[str]) -> set[str]:
        """Names of weights that are folded into others: the bias in front of the norm in CCNet's auxiliary head."""
        return {"dsn.0.bias"} & set(source)

    def convert(self, state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Convert weights, for the head variants of ``configs/_base_/models/{pspnet,ccnet,fastfcn,encnet}.yml``.

        Raises:
            UserError: as `network`.
        """
        network = NETWORKS[self.network(state)]
        return {target: _convert(name, target, state, network) for name, target in self.names(state).items()}


def has_jpu(names: Iterable[str]) -> bool:
    """Whether the network has FastFCN's JPU."""
    return any(name.startswith("jpu.") for name in names)


def _convert(name: str, target: str, state: Mapping[str, np.ndarray], network: Network) -> np.ndarray:
    value = state[name]
    if network.in_place_norm and value.ndim == 1 and target.endswith(".weight"):
        return np.abs(value) + IN_PLACE_EPSILON
    if name == "dsn.1.running_mean" and "dsn.0.bias" in state:
        return value - state["dsn.0.bias"]
    if network.bgr and target == "backbone.stem.0.weight":
        return value[:, ::-1]
    if TRANSPOSED.search(target):
        return value.T
    return value.reshape(1) if value.ndim == 0 else value


ORIGINALS = {
    "semseg": Original("hszhao/semseg", ("PSPNet of semseg",)),
    "ccnet": Original("speedinghzl/CCNet", ("CCNet",), ((0.48109, 0.45752, 0.40787), (1 / 255, 1 / 255, 1 / 255))),
    "fastfcn": Original("wuhuikai/FastFCN", ("EncNet", "PSPNet")),
    "encoding": Original("zhanghang1989/PyTorch-Encoding", ("EncNet", "PSPNet")),
}
