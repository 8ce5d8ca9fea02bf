"""Which trainings there are, in the order in which they make the table useful."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.clone import ROOT

VARIANTS = {  # one thing changed in our training of a network; what its configuration's first line says
    "deeplabv3plus": ["no_class_weights"],
    "ccnet": ["paddles_initialization", "recurrence_1"],
    "pspnet": ["category_max_ratio", "no_auxiliary", "accumulation", "ema"],
    "encnet": ["no_se"],
    "fastfcn": ["dilation"],  # last, as it takes longest
}
SIDES = {"ours": ROOT / "configs" / "camvid", "paddleseg": Path(__file__).parent / "configs"}
NETWORKS = {  # in the order of training; output stride of the backbone, and how many seeds
    "deeplabv3plus": (16, 2),
    "fastfcn": (32, 2),
    "pspnet": (16, 3),
    "ccnet": (16, 3),
    "encnet": (16, 3),
    "dmnet": (16, 2),
}


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        network: A name of `NETWORKS`.
        side: ``ours`` or ``paddleseg``.
        seed: Of the training.
        full: At 480×360 instead of 240×180.
        variant: A name of `VARIANTS` for the network, or none.
    """

    network: str
    side: str
    seed: int
    full: bool = False
    variant: str = ""

    @property
    def size(self) -> str:
        """Width and height of the pictures."""
        return "480x360" if self.full else "240x180"

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.network}_{self.variant or self.side}_{self.size}_seed{self.seed}"

    @property
    def config(self) -> Path:
        """Its configuration."""
        if self.variant:
            return SIDES["paddleseg"] / "ablation" / f"{self.network}_{self.variant}.yml"
        if self.side == "paddleseg":
            return SIDES[self.side] / f"{self.network}.yml"
        stride, _ = NETWORKS[self.network]
        iters = 1380 if self.full else 1150
        return SIDES[self.side] / f"{self.network}_efficientnet_lite0_os{stride}_camvid_{self.size}_{iters}.yml"


def plan() -> list[Run]:
    """Every training at 240×180: all networks with the first seed, then with the second, then with the third."""
    seeds = range(1, 1 + max(count for _, count in NETWORKS.values()))
    return [
        Run(network, side, seed)
        for seed in seeds
        for network, (_, count) in NETWORKS.items()
        if seed <= count
        for side in SIDES
    ]


def ablation() -> list[Run]:
    """Every variant with the seeds 1 and 2, which `plan` has of what it is compared with."""
    return [
        Run(network, "ours", seed, variant=variant)
        for network, variants in VARIANTS.items()
        for variant in variants
        for seed in (1, 2)
    ]
