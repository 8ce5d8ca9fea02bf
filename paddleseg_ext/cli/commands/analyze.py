"""Tell what a network costs: parameters, multiply-adds, activations and memory of each layer, and time, at any size."""

from __future__ import annotations

import argparse
from pathlib import Path

from paddleseg_ext.checkpoint.atomic import write_json
from paddleseg_ext.cli.common import MOST_IMAGES, MOST_ROUNDS, add_config_arguments, output_file, whole
from paddleseg_ext.config.arguments import LARGEST_MAP
from paddleseg_ext.config.load import load_config
from paddleseg_ext.inspection.analysis.analyze import ROUNDS, analyze_config
from paddleseg_ext.inspection.analysis.table import text
from paddleseg_ext.runtime.amp import TYPES
from paddleseg_ext.runtime.device import set_device

DEPTH = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_config_arguments(parser)
    parser.add_argument(
        "--size",
        nargs=2,
        type=whole(1, LARGEST_MAP),
        action="append",
        metavar=("W", "H"),
        help="of the images; several times for several sizes; default: the crop size of the training",
    )
    parser.add_argument(
        "--batch_size", type=whole(1, MOST_IMAGES), help="images; default: 1, with --training the configuration's"
    )
    parser.add_argument(
        "--training", action="store_true", help="a training step on random images, instead of evaluation"
    )
    parser.add_argument("--rounds", type=whole(1, MOST_ROUNDS), default=ROUNDS, help=f"timed passes; default: {ROUNDS}")
    parser.add_argument(
        "--depth", type=whole(0), default=DEPTH, help=f"levels of layers in the table; default: {DEPTH}"
    )
    parser.add_argument(
        "--precision", choices=list(TYPES), default="fp32", help="fp16 or bf16: mixed precision on a GPU"
    )
    parser.add_argument("--model_path", help="trained weights; without them the network's are random, as fast")
    parser.add_argument("--json", type=output_file, metavar="FILE", help="write all layers and figures to this file")


def run(args: argparse.Namespace) -> int:
    """Analyze, print the table and write the file."""
    config = load_config(args.config, opts=args.opts)
    set_device(args.device)
    found = analyze_config(
        config,
        [(width, height) for width, height in args.size or ()],
        args.batch_size,
        args.rounds,
        args.precision,
        args.training,
        args.model_path,
    )
    print(text(found, args.depth))
    if args.json:
        Path(args.json).parent.mkdir(parents=True, exist_ok=True)
        write_json(Path(args.json), {"config": args.config, **found.to_dict()})
    return 0
