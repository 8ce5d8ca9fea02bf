"""Least time of heads on a GPU, ours beside PaddleSeg's: an ESTIMATE from recorded operations, never a measurement.

A forward pass in training mode runs here as mixed precision (bf16, O1) would have a GPU run it, and what each operator
computes and moves is written down; PaddleSeg's networks have the lists of PaddleSeg's own training. Then, on a card,

- an operator takes max(FLOP / peak, bytes / bandwidth, launch); views and the matrices that sizes decide take nothing;
- a cast before it takes max(bytes / bandwidth, launch);
- the peak is that of half precision for products in bf16, of TF32 for those in float32, and of plain float32 for
  depthwise convolutions and where TF32 is turned off;
- TF32 has the same operators, with twice the bytes of those in half precision and no casts;
- a training step takes three forward passes.

Left out: the host, which issues operators while the card computes, the backbone, fusing, and caches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import paddle

from benchmarks.amp_emulator import HALF, Operation, emulated
from benchmarks.networks import LAYERS, PADDLESEGS, SPECS, feature_maps, layers
from benchmarks.tables import Row, log
from paddleseg_ext.errors import UserError
from paddleseg_ext.inspection.analysis.memory import MIB
from paddleseg_ext.runtime.amp import auto_cast

BATCH = 2  # images, unless the user says otherwise: a GPU's share of Cityscapes recipes
TRAINING = 3  # forward passes that forward and backward take together
NOTE = (
    "ESTIMATE from recorded operations (benchmarks/estimate.py); nothing in this table was measured on a GPU, "
    "and the device below is where the operations were recorded"
)


@dataclass(frozen=True)
class Card:
    """What a card reaches in practice, which is less than its data sheet says.

    Attributes:
        half: FLOP per second of products in half precision.
        tf32: The same in TF32.
        float32: The same in plain float32, without tensor cores.
        bandwidth: Bytes per second of its memory.
        launch: Seconds that the shortest kernel takes.
    """

    half: float
    tf32: float
    float32: float
    bandwidth: float
    launch: float


CARDS = {
    "a100": Card(half=190e12, tf32=85e12, float32=14e12, bandwidth=1.35e12, launch=4e-6),
    "h100": Card(half=500e12, tf32=250e12, float32=40e12, bandwidth=2.5e12, launch=3e-6),
}


@dataclass(frozen=True)
class Bound:
    """Totals of a forward pass; seconds on one card in one precision."""

    flop: int
    bytes: int
    cast_bytes: int
    launches: int
    seconds: float


def rows(names: Sequence[str], size: tuple[int, int], batch: int, cards: Sequence[str]) -> Iterator[Row]:
    """A row for each name, card and precision.

    Args:
        names: Of `SPECS` or `LAYERS`.
        size: (height, width) of the stride-8 map.
        batch: Images.
        cards: Of `CARDS`.

    Raises:
        UserError: A card is none of those.
    """
    for card in cards:
        if card not in CARDS:
            raise UserError(f"`estimate` {card}: figures are known of {' and '.join(CARDS)}")
    for name in names:
        log(f"{name} at {size[0]}×{size[1]}, recorded for an estimate")
        both = record(name, size, batch)
        for card in cards:
            for precision in ("bf16", "tf32"):
                ours, theirs = (bound(operations, CARDS[card], precision) for operations in both)
                yield {
                    "case": name,
                    "kind": "ESTIMATE",
                    "card": card,
                    "precision": precision,
                    "batch": batch,
                    "map": f"{size[0]}x{size[1]}",
                    "ours_gflop": round(ours.flop / 1e9, 2),
                    "paddleseg_gflop": round(theirs.flop / 1e9, 2),
                    "ours_mib": round(ours.bytes / MIB, 1),
                    "paddleseg_mib": round(theirs.bytes / MIB, 1),
                    "ours_cast_mib": round(ours.cast_bytes / MIB, 1),
                    "paddleseg_cast_mib": round(theirs.cast_bytes / MIB, 1),
                    "ours_launches": ours.launches,
                    "paddleseg_launches": theirs.launches,
                    "ours_forward_ms": round(1e3 * ours.seconds, 2),
                    "paddleseg_forward_ms": round(1e3 * theirs.seconds, 2),
                    "ours_training_ms": round(1e3 * TRAINING * ours.seconds, 2),
                    "paddleseg_training_ms": round(1e3 * TRAINING * theirs.seconds, 2),
                    "ratio": round(theirs.seconds / ours.seconds, 2),
                }


def bound(operations: Sequence[Operation], card: Card, precision: str) -> Bound:
    """Add up what operations take at least.

    Args:
        operations: Recorded in bf16.
        card: On which.
        precision: ``bf16``, or ``tf32`` for the same network without mixed precision.
    """
    flop = moved = cast = launches = 0
    seconds = 0.0
    for operation in operations:
        half = operation.dtype in HALF
        casts = operation.casts if precision == "bf16" else []
        if operation.bytes:
            size = operation.bytes * (2 if half and precision == "tf32" else 1)
            if half and precision == "bf16" and operation.name != "depthwise_conv2d":
                peak = card.half
            else:
                peak = card.float32 if operation.exact or operation.name == "depthwise_conv2d" else card.tf32
            seconds += max(2 * operation.macs / peak, size / card.bandwidth, card.launch)
            flop, moved, launches = flop + 2 * operation.macs, moved + size, launches + 1
        seconds += sum(max(size / card.bandwidth, card.launch) for size in casts)
        cast, launches = cast + sum(casts), launches + len(casts)
    return Bound(flop, moved, cast, launches, seconds)


def record(name: str, size: tuple[int, int], batch: int) -> list[list[Operation]]:
    """Operations of a forward pass in training mode, ours first; the backbone's maps are in bf16, as it gives them."""
    if name in LAYERS:
        *nets, channels = layers(name)
        given = paddle.randn([batch, channels, *size])
    else:
        feats = feature_maps(size, batch, SPECS[name].strides)
        nets = list(SPECS[name].build(feats))
        given = paddle.zeros([batch, 3, 8 * size[0], 8 * size[1]])
    for net in nets:
        net.train()
    with paddle.no_grad():
        nets[0](given)  # keeps the matrices that sizes decide
    if name in LAYERS:
        given = given.astype("bfloat16")
    else:
        for net in nets:
            net.backbone.feats = [feat.astype("bfloat16") for feat in feats]
    logs = []
    with _tf32(), emulated() as emulator, paddle.no_grad():
        lists = auto_cast("bf16", "O1"), paddle.amp.auto_cast(custom_white_list=PADDLESEGS, dtype="bfloat16")
        for net, types in zip(nets, lists):
            with types:
                net(given)
            logs.append(list(emulator.log))
            emulator.log.clear()
    return logs


@contextmanager
def _tf32() -> Iterator[None]:
    """Paddle's switches as they stand on a GPU, so that a network can be seen to turn them off."""
    core = paddle.base.core
    names = [
        name for name in ("cublas", "cudnn") if hasattr(core, f"set_{name}_switch")
    ]  # Paddle 2.6 has none on a CPU
    before = {name: getattr(core, f"get_{name}_switch")() for name in names}
    try:
        for name in names:
            getattr(core, f"set_{name}_switch")(True)
        yield
    finally:
        for name, value in before.items():
            getattr(core, f"set_{name}_switch")(value)
