"""Whole networks beside PaddleSeg's own, backbone included: time, memory, operations."""

from __future__ import annotations

import argparse
from functools import partial
from itertools import product
from pathlib import Path

import paddle
from paddleseg.cvlibs import manager

from benchmarks.heads import (
    Result,
    add_common_arguments,
    both_modes,
    check_common_arguments,
    height_and_width,
    mean_rows,
)
from benchmarks.networks import SPECS
from benchmarks.tables import Row, log
from paddleseg_ext.errors import UserError

BACKBONES = ("ResNet50_vd", "ResNet101_vd", "MobileNetV3_large_x1_0")  # both sides can be built on them
LEFT_OUT = {  # on other backbones than ResNets
    "CCHead": "PaddleSeg's CCNet has 512 channels behind an attention of a quarter of the map's; ours has one number",
    "DMHead": "PaddleSeg's DMNet upsamples by 8, whatever the backbone's stride",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which networks, and on which images."""
    names = list(SPECS)
    parser.add_argument("--names", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--backbone", choices=BACKBONES, default=BACKBONES[0], help="PaddleSeg's, from random weights")
    formats = {"choices": ("NCHW", "NHWC"), "default": ["NCHW"]}
    text = "layouts of our network's backbone, measured one after the other; PaddleSeg's is in NCHW, and so are heads"
    parser.add_argument("--data_format", nargs="+", **formats, help=text)
    parser.add_argument("--sizes", nargs="+", default=["256x512"], metavar="HxW", help="of the images")
    add_common_arguments(parser)


def run(args: argparse.Namespace) -> list[Row]:
    """Measure, draw the bars and return a row for each network, size and mode, and for the mean of them."""
    check_common_arguments(args)
    sizes = [height_and_width("--sizes", text) for text in args.sizes]
    resnet = args.backbone.startswith("ResNet")  # MobileNetV3 has one output stride, 32, and one layout
    if "NHWC" in args.data_format and not resnet:
        raise UserError(f"--data_format NHWC: {args.backbone} computes in NCHW only; ResNet50_vd has both")
    names = [name for name in args.names if resnet or name not in LEFT_OUT]
    for name in set(args.names) - set(names):
        log(f"{name} is left out: {LEFT_OUT[name]}")
    if not names:
        raise UserError(f"--names {' '.join(args.names)}: nothing that can be built on {args.backbone}")
    rows: list[Row] = []
    for size, data_format in product(sizes, args.data_format):
        results: list[Result] = []
        layout = "" if data_format == "NCHW" else f", {data_format}"
        for name in names:
            log(f"{name}{layout} over {args.backbone} at {size[0]}×{size[1]}")
            spec = SPECS[name]
            make = manager.BACKBONES[args.backbone]
            if resnet:
                make = partial(make, output_stride=spec.output_stride)
            nets = spec.over(make, make if data_format == "NCHW" else partial(make, data_format=data_format))
            image = paddle.randn([args.batch_size, 3, *size])
            results += both_modes(name + layout, nets, image, [], size, args.rounds, args.amp, args.autotune)
        rows += [result.row() for result in results]
        rows += [{**row, "case": f"{row['case']}{layout}"} for row in mean_rows(results)]
    rows = [{"image" if key == "map" else key: value for key, value in row.items()} for row in rows]
    from benchmarks.chart import bars  # brings matplotlib

    bars(rows, Path(args.output) / f"{args.name}.png")
    return rows
