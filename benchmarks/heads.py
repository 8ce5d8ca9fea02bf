"""Our heads and layers beside PaddleSeg's own, and heads beside PyTorch's, on the same feature maps."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import paddle
from paddle import nn

from benchmarks import estimate
from benchmarks.networks import LAYERS, PADDLESEGS, SPECS, feature_maps, layers
from benchmarks.peers import (
    PADDLESEG,
    add_peers_argument,
    chosen_peers,
    even,
    open_pytorch,
    side_by_side,
    with_means,
)
from benchmarks.steps import RUNS, Compared, check_equal, set_mode
from benchmarks.tables import Row, add_rounds_argument, log
from paddleseg_ext.cli.common import MOST_IMAGES, whole
from paddleseg_ext.compat.paddle import exact_float32
from paddleseg_ext.errors import UserError
from paddleseg_ext.inspection.analysis.memory import MIB, peak_allocation
from paddleseg_ext.inspection.analysis.operations import count_macs
from paddleseg_ext.inspection.analysis.timing import interleaved_timing
from paddleseg_ext.runtime.device import search_kernels


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to compare, and on which maps."""
    names = [*SPECS, *LAYERS]
    parser.add_argument("--names", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--maps", nargs="+", default=["64x128"], metavar="HxW", help="sizes of the stride-8 map")
    add_common_arguments(parser)
    parser.set_defaults(batch_size=None)
    parser.add_argument(
        "--estimate",
        nargs="+",
        metavar="CARD",
        help=f"instead of measuring: least time on {' or '.join(estimate.CARDS)}, from recorded operations; "
        f"{estimate.BATCH} images unless --batch_size says otherwise",
    )


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """How many images, how often and in which precision; shared with whole networks."""
    parser.add_argument("--batch_size", type=whole(1, MOST_IMAGES), default=1, help="images")
    add_rounds_argument(parser)
    add_peers_argument(parser)
    parser.add_argument("--amp", action="store_true", help="mixed precision (O1); on a GPU only")
    text = "have Paddle search for the fastest algorithms, of both sides, before anything is timed; on a GPU only"
    parser.add_argument("--autotune", action="store_true", help=text)


def check_common_arguments(args: argparse.Namespace) -> None:
    """Refuse mixed precision on a CPU, where Paddle computes nothing faster with it.

    Raises:
        UserError: It was asked for.
    """
    if args.amp and not paddle.get_device().startswith("gpu"):
        raise UserError("--amp: mixed precision is measured on a GPU; the device here is a CPU")
    if args.autotune and not paddle.get_device().startswith("gpu"):
        log("--autotune has no effect here: only on a GPU has Paddle algorithms to choose from")


def run(args: argparse.Namespace) -> list[Row]:
    """Measure, draw the bars and return a row for each name, map and mode, and for the mean of the heads."""
    if args.batch_size is None:
        args.batch_size = estimate.BATCH if args.estimate else 1
    check_common_arguments(args)
    sizes = [height_and_width("--maps", text) for text in args.maps]
    rows: list[Row] = []
    if args.estimate:
        for size in sizes:
            rows += estimate.rows(args.names, size, args.batch_size, args.estimate)
        return rows
    peers = chosen_peers(args)
    with open_pytorch(args, peers) as pytorch:
        for size in sizes:
            lines: list[Row] = []
            for name in args.names:
                log(f"{name} at {size[0]}×{size[1]}")
                sides: list[list[Row]] = []
                if PADDLESEG in peers:
                    compare_one = compare_layer if name in LAYERS else compare
                    results = compare_one(name, size, args.batch_size, args.rounds, args.amp, args.autotune)
                    sides.append([result.row() for result in results])
                if pytorch and name in SPECS:
                    feats = feature_maps(size, args.batch_size, SPECS[name].strides)
                    sides.append([result.row() for result in pytorch.compare_head(name, feats, size, args.rounds)])
                lines += side_by_side(*sides)
            rows += with_means(lines, SPECS)
    rows = even(rows)
    from benchmarks.chart import bars  # brings matplotlib

    bars(rows, Path(args.output) / f"{args.name}.png")
    return rows


def height_and_width(option: str, text: str) -> tuple[int, int]:
    """Two numbers of a size written HxW.

    Raises:
        UserError: it is written otherwise.
    """
    parts = text.split("x")
    if len(parts) != 2 or not all(part.isdigit() and int(part) > 0 for part in parts):
        raise UserError(f"{option} {text}: a size is written HxW, e.g. 64x128")
    return int(parts[0]), int(parts[1])


@dataclass
class Result(Compared):
    """Figures of one case in one mode; ratios are PaddleSeg's over ours."""

    memory: tuple[int, int]
    products: tuple[int, int]
    parameters: tuple[int, int]

    def row(self) -> dict[str, object]:
        """One line of a table; times in milliseconds, memory in MiB beyond weights and inputs."""
        return {
            **self.cells(),
            "ours_ms": round(1e3 * self.ours.median, 1),
            "paddleseg_ms": round(1e3 * self.theirs.median, 1),
            "speedup": round(self.theirs.median / self.ours.median, 2),
            "spread": round(max(self.ours.spread, self.theirs.spread), 2),
            "ours_mib": round(self.memory[0] / MIB, 1),
            "paddleseg_mib": round(self.memory[1] / MIB, 1),
            "memory_ratio": round(self.memory[0] / self.memory[1], 3),
            "ours_gmac": round(self.products[0] / 1e9, 2),
            "paddleseg_gmac": round(self.products[1] / 1e9, 2),
            "ours_mparams": round(self.parameters[0] / 1e6, 3),
            "paddleseg_mparams": round(self.parameters[1] / 1e6, 3),
            "difference": f"{self.difference:.1e}",
        }


def compare(
    name: str, size: tuple[int, int], batch: int, rounds: int, amp: bool = False, autotune: bool = False
) -> Iterator[Result]:
    """A head in evaluation and in training.

    Raises:
        ArithmeticError: the two do not give the same mask.
    """
    spec = SPECS[name]
    feats = feature_maps(size, batch, spec.strides)
    ours, theirs = spec.build(feats)
    image = paddle.zeros([batch, 3, 8 * size[0], 8 * size[1]])
    yield from both_modes(name, (ours, theirs), image, feats, size, rounds, amp, autotune)


def compare_layer(
    name: str, size: tuple[int, int], batch: int, rounds: int, amp: bool = False, autotune: bool = False
) -> Iterator[Result]:
    """A layer alone; otherwise as `compare`."""
    ours, theirs, channels = layers(name)
    x = paddle.randn([batch, channels, *size])
    yield from both_modes(name, (ours, theirs), x, [x], size, rounds, amp, autotune)


def both_modes(
    name: str,
    nets: tuple[nn.Layer, nn.Layer],
    given: paddle.Tensor,
    inputs: Sequence[paddle.Tensor],
    size: tuple[int, int],
    rounds: int,
    amp: bool = False,
    autotune: bool = False,
) -> Iterator[Result]:
    """Our network and PaddleSeg's in evaluation and in training.

    Args:
        name: Of the case.
        nets: Ours first.
        given: What they are called with.
        inputs: What a training step takes gradients of, besides the weights.
        size: For the table.
        rounds: Timed calls of each.
        amp: Time in mixed precision; outputs are compared in float32.
        autotune: Have Paddle search for the fastest algorithms first.

    Raises:
        ArithmeticError: the two do not give the same output.
    """
    for net in nets:
        net.eval()
    with paddle.no_grad(), exact_float32():
        difference = check_equal(name, *(net(given) for net in nets))

    def forward(net: nn.Layer) -> Any:
        with paddle.amp.auto_cast(enable=amp, custom_white_list=None if net is nets[0] else PADDLESEGS):
            return net(given)

    for mode in ("evaluation", "training"):
        for net in nets:
            set_mode(mode, net, inputs)
        runs = [partial(RUNS[mode], forward, net, inputs) for net in nets]
        for run in runs if autotune else ():  # each within a search of its own, which lasts a few backward passes
            if search_kernels():
                run()
        timings = interleaved_timing(*runs, rounds=rounds)
        memory = tuple(peak_allocation(run) for run in runs)
        products = []
        for net in nets:
            with paddle.no_grad(), count_macs() as counts:
                forward(net)
            products.append(sum(counts))
        parameters = tuple(sum(p.size for p in net.parameters() if not p.stop_gradient) for net in nets)
        yield Result(name, mode, size, given.shape[0], *timings, difference, memory, tuple(products), parameters)
