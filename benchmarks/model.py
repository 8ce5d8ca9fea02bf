"""Whole networks beside PaddleSeg's own and PyTorch's, backbone included: time, memory, operations."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path

import paddle
from paddle import nn
from paddleseg.cvlibs import manager

from benchmarks.heads import add_common_arguments, both_modes, check_common_arguments, height_and_width
from benchmarks.networks import SPECS
from benchmarks.peers import PADDLESEG, chosen_peers, even, open_pytorch, side_by_side, with_means
from benchmarks.pytorch.networks import DEPTHS
from benchmarks.tables import Row, log
from paddleseg_ext.errors import UserError

MOBILE = "MobileNetV3_large_x1_0"
BACKBONES = (*DEPTHS, MOBILE)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which networks, and on which images."""
    names = list(SPECS)
    parser.add_argument("--names", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names))
    text = "PaddleSeg's, from random weights, one after the other; beside PyTorch the ResNets alone"
    parser.add_argument("--backbone", nargs="+", choices=BACKBONES, default=[*BACKBONES[:1]], help=text)
    formats = {"choices": ("NCHW", "NHWC"), "default": ["NCHW"]}
    text = "layouts of our network's backbone, measured one after the other; PaddleSeg's is in NCHW, and so are heads"
    parser.add_argument("--data_format", nargs="+", **formats, help=text)
    parser.add_argument("--sizes", nargs="+", default=["256x512"], metavar="HxW", help="of the images")
    add_common_arguments(parser)


def run(args: argparse.Namespace) -> list[Row]:
    """Measure, draw the bars and return a row for each network, size and mode, and for the mean of them."""
    check_common_arguments(args)
    sizes = [height_and_width("--sizes", text) for text in args.sizes]
    if MOBILE in args.backbone and args.data_format != ["NCHW"]:
        raise UserError(f"`data_format` {' '.join(args.data_format)}: PaddleSeg's {MOBILE} has NCHW alone")
    rows: list[Row] = []
    peers = chosen_peers(args)
    with open_pytorch(args, peers) as pytorch:
        for size, backbone, data_format in product(sizes, args.backbone, args.data_format):
            lines: list[Row] = []
            layout = "" if data_format == "NCHW" else f", {data_format}"
            for name in args.names:
                log(f"{name}{layout} over {backbone} at {size[0]}×{size[1]}")
                theirs = maker(backbone, SPECS[name].output_stride)
                ours = partial(theirs, data_format=data_format) if backbone in DEPTHS else theirs
                image = paddle.randn([args.batch_size, 3, *size])
                sides: list[list[Row]] = []
                if PADDLESEG in peers:
                    nets = SPECS[name].over(theirs, ours)
                    results = both_modes(name, nets, image, [], size, args.rounds, args.amp, args.autotune)
                    sides.append([result.row() for result in results])
                    del nets  # frees their memory
                if pytorch and backbone in DEPTHS:
                    results = pytorch.compare_network(name, backbone, ours, image, args.rounds)
                    sides.append([result.row() for result in results])
                lines += side_by_side(*sides)
            for row in with_means(lines, SPECS):
                names = {"case": f"{row['case']}{layout}", "backbone": backbone}
                rows.append({**names, **row, **names})
    rows = even(rows)
    rows = [{"image" if key == "map" else key: value for key, value in row.items()} for row in rows]
    from benchmarks.chart import bars  # brings matplotlib

    bars(rows, Path(args.output) / f"{args.name}.png")
    return rows


def maker(backbone: str, output_stride: int) -> Callable[..., nn.Layer]:
    """Of a backbone in `BACKBONES`, whose last map has a stride of 8 or 32."""
    if backbone == MOBILE:
        return manager.BACKBONES[f"{MOBILE}_os8" if output_stride == 8 else MOBILE]
    return partial(manager.BACKBONES[backbone], output_stride=output_stride)
