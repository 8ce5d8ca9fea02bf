"""Explain what a network attends to in an image: one page with sliders over pixels."""

from __future__ import annotations

import argparse

from paddleseg_ext.api import with_classes_of
from paddleseg_ext.builder import Builder, load_config
from paddleseg_ext.cli.common import add_config_arguments, output_folder, whole
from paddleseg_ext.cli.model_args import load_model
from paddleseg_ext.config.arguments import LARGEST_MAP
from paddleseg_ext.data.image_io import find_images
from paddleseg_ext.errors import UserError
from paddleseg_ext.explanation.explain import CLASSES, GRID
from paddleseg_ext.inference import Segmentor, refuse_export
from paddleseg_ext.runtime.device import set_device


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_config_arguments(parser)
    parser.add_argument("--model_path", help="trained weights: .pdparams, .safetensors or a folder with one")
    parser.add_argument("--image_path", required=True, help="the image")
    parser.add_argument("--save_dir", type=output_folder, default="output/explanation", help="index.html goes there")
    parser.add_argument(
        "--pixel",
        dest="pixels",
        nargs="+",
        action="append",
        type=whole(0, LARGEST_MAP),
        metavar=("X", "Y"),
        help="pixels of the image that are asked about: x and y, several in a row or by several such flags",
    )
    parser.add_argument(
        "--grid",
        nargs=2,
        type=whole(1, LARGEST_MAP),
        metavar=("COLUMNS", "ROWS"),
        help=f"without --pixel: pixels in a grid; default {GRID[0]} {GRID[1]}",
    )
    parser.add_argument(
        "--classes", nargs="+", help=f"names or ids for class activation; default: the {CLASSES} most predicted"
    )
    parser.add_argument("--pictures", action="store_true", help="also write each map as a PNG file")


def run(args: argparse.Namespace) -> int:
    """Write the page.

    Raises:
        UserError: Two arguments exclude each other, a pixel is not two numbers, or as `Segmentor.explain`.
    """
    if args.grid and args.pixels:
        raise UserError("--grid: with --pixel there is no effect; leave one of them out")
    pixels = None
    if args.pixels:
        if odd := next((numbers for numbers in args.pixels if len(numbers) % 2), None):
            raise UserError(f"--pixel {' '.join(map(str, odd))}: each pixel is two numbers, x and y")
        pixels = [numbers[i : i + 2] for numbers in args.pixels for i in range(0, len(numbers), 2)]
    images = find_images(args.image_path)
    if len(images) != 1:
        raise UserError(f"--image_path {args.image_path}: it holds {len(images)} images; give one of them")
    if args.model_path:
        refuse_export(args.model_path)
    builder = Builder(load_config(args.config, opts=args.opts))
    set_device(args.device)
    task = with_classes_of(args.model_path, builder.task)
    model = Segmentor(load_model(builder, args.model_path), task, device=args.device)
    found = model.explain(images[0].path, pixels, classes=args.classes, grid=args.grid or GRID)
    print(f"{found.title}: {found.save(args.save_dir, pictures=args.pictures)}")
    return 0
