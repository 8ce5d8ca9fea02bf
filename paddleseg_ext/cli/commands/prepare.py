"""Check a data set, yours or a published one, and turn it into what training reads; the source is never changed."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

from paddleseg_ext.cli.common import (
    add_backbone_argument,
    add_classes_argument,
    given_classes,
    number,
    output_folder,
    whole,
)
from paddleseg_ext.config.arguments import LARGEST_MAP
from paddleseg_ext.config.own_data import Start, small_network
from paddleseg_ext.config.values import MOST_READERS
from paddleseg_ext.data.prepare.ade20k import prepare_ade20k
from paddleseg_ext.data.prepare.cityscapes import prepare_cityscapes
from paddleseg_ext.data.prepare.coco import prepare_coco
from paddleseg_ext.data.prepare.colors import prepare_colors
from paddleseg_ext.data.prepare.folder import prepare_folder
from paddleseg_ext.data.prepare.labelme import prepare_labelme
from paddleseg_ext.data.prepare.outputs import CONFIG
from paddleseg_ext.data.prepare.voc import prepare_voc
from paddleseg_ext.data.prepare.work import Prepared, Report, default_workers, write_text
from paddleseg_ext.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add a subcommand for each source, with the arguments that all of them share."""
    sources = parser.add_subparsers(dest="source", metavar="SOURCE", required=True)
    for name, (text, add, _) in SOURCES.items():
        source = sources.add_parser(name, help=text, description=text)
        add(source)
        source.add_argument("--num_workers", type=whole(0, MOST_READERS), default=default_workers(), help="processes")


def run(args: argparse.Namespace) -> int:
    """Prepare, and print what was done and what looks wrong.

    Raises:
        UserError: ``--backbone`` has no effect, or the source is not in its layout.
    """
    if getattr(args, "backbone", None) and args.output is None:
        raise UserError("`backbone`: without `output` no configuration is written; add it or leave it out")
    start = Start.of(getattr(args, "backbone", None))  # which is refused before long work begins
    report = SOURCES[args.source][2](args)
    if report.prepared is not None:
        report.lines += _configure(report.prepared, start)
    for line in report.lines:
        print(line)
    for warning in report.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return 0


def _configure(prepared: Prepared, start: Start) -> list[str]:
    """Write a configuration if there is none, and say what it is and how to train it."""
    path = prepared.root / CONFIG
    if path.exists():
        lines = [f"{path} was there and is kept as it is"]
    else:
        write_text(path, small_network(prepared, start))
        lines = [f"{path}: {start.text}"]
    return [*lines, f"train with: paddleseg-ext train --config {shlex.quote(str(path))} --do_eval"]


def _add_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--images", required=True, type=Path, metavar="DIR", help="folder of the images")
    parser.add_argument(
        "--labels", required=True, type=Path, metavar="DIR", help="folder of their labels, by the same names"
    )
    _add_splitting(parser)
    add_classes_argument(parser)
    parser.add_argument("--binary", action="store_true", help="labels are 0 and 255: write new ones, 255 is class 1")


def _add_output(parser: argparse.ArgumentParser, required: bool = True) -> None:
    parser.add_argument("--output", required=required, type=_output, metavar="DIR", help="folder of what is written")


def _output(text: str) -> Path:
    return Path(output_folder(text))


def _add_splitting(parser: argparse.ArgumentParser) -> None:
    _add_output(parser)
    parser.add_argument(
        "--split", type=number(above=0, below=1), default=0.9, help="share of training, between 0 and 1"
    )
    parser.add_argument("--stratify", action="store_true", help="share out each class alike")
    parser.add_argument("--seed", type=whole(0), default=0, help="of the split")
    _add_network(parser)


def _add_network(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--crop_size", type=whole(1, LARGEST_MAP), nargs=2, metavar=("W", "H"), help="in training; default: the images'"
    )
    add_backbone_argument(parser)


def _add_root(parser: argparse.ArgumentParser, text: str, required: bool = True) -> None:
    """A data set that has its own layout; `required` is the output."""
    parser.add_argument("root", type=Path, help=text)
    _add_output(parser, required)
    add_backbone_argument(parser)


def _splitting(args: argparse.Namespace) -> dict:
    return {"share": args.split, "stratify": args.stratify, "seed": args.seed, "crop": args.crop_size}


def _run_folder(args: argparse.Namespace) -> Report:
    return prepare_folder(
        args.images,
        args.labels,
        args.output,
        **_splitting(args),
        classes=given_classes(args.classes),
        binary=args.binary,
        num_workers=args.num_workers,
    )


def _add_cityscapes(parser: argparse.ArgumentParser) -> None:
    _add_root(parser, "folder with leftImg8bit and gtFine, or with their zip files", required=False)


def _run_cityscapes(args: argparse.Namespace) -> Report:
    return prepare_cityscapes(args.root, args.output, args.num_workers)


def _add_ade20k(parser: argparse.ArgumentParser) -> None:
    _add_root(parser, "folder with ADEChallengeData2016, or with its zip file", required=False)


def _run_ade20k(args: argparse.Namespace) -> Report:
    return prepare_ade20k(args.root, args.output, args.num_workers)


def _add_voc(parser: argparse.ArgumentParser) -> None:
    _add_root(parser, "folder with VOCdevkit/VOC2012")


def _run_voc(args: argparse.Namespace) -> Report:
    return prepare_voc(args.root, args.output, args.num_workers)


def _add_coco(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("json", type=Path, help="file with images, annotations and categories")
    parser.add_argument("--images", required=True, type=Path, metavar="DIR", help="folder of the images")
    _add_splitting(parser)


def _run_coco(args: argparse.Namespace) -> Report:
    return prepare_coco(args.json, args.images, args.output, **_splitting(args), num_workers=args.num_workers)


def _add_labelme(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="folder of JSON files and images")
    _add_splitting(parser)
    add_classes_argument(parser)


def _run_labelme(args: argparse.Namespace) -> Report:
    return prepare_labelme(
        args.folder, args.output, **_splitting(args), classes=given_classes(args.classes), num_workers=args.num_workers
    )


def _add_colors(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--labels", required=True, type=Path, metavar="DIR", help="folder of the masks")
    _add_output(parser)
    parser.add_argument(
        "--table", type=Path, metavar="FILE", help="lines of `red green blue name`; else one is proposed"
    )
    parser.add_argument("--ignore_unknown", action="store_true", help="ignore pixels in colors that it lacks")


def _run_colors(args: argparse.Namespace) -> Report:
    return prepare_colors(args.labels, args.output, args.table, args.ignore_unknown, args.num_workers)


# Name: (help, what adds its arguments, what prepares)
SOURCES: dict[str, tuple[str, Callable[[argparse.ArgumentParser], None], Callable[[argparse.Namespace], Report]]] = {
    "folder": ("images and labels of class ids in two folders", _add_folder, _run_folder),
    "cityscapes": ("Cityscapes: write the labels of train ids", _add_cityscapes, _run_cityscapes),
    "ade20k": ("ADE20K: verify the benchmark's folder", _add_ade20k, _run_ade20k),
    "voc": ("PASCAL VOC 2012: write lists and a configuration", _add_voc, _run_voc),
    "coco": ("polygons and run lengths in a JSON file of COCO's form", _add_coco, _run_coco),
    "labelme": ("drawings of labelme", _add_labelme, _run_labelme),
    "colors": ("masks in colors: write masks of class ids", _add_colors, _run_colors),
}
