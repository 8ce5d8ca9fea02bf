"""Write a whole configuration to edit: one that comes with the package, on your own data too, or one made for them."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from paddleseg_ext import __version__
from paddleseg_ext.cli.common import add_backbone_argument, add_classes_argument, given_classes, output_file, whole
from paddleseg_ext.config.arguments import LARGEST_MAP
from paddleseg_ext.config.editable import editable_yaml
from paddleseg_ext.config.files import read_files
from paddleseg_ext.config.load import load_config
from paddleseg_ext.config.own_data import Start, put_on, small_network
from paddleseg_ext.config.shipped import ENDINGS, config_path
from paddleseg_ext.data.prepare.survey import survey
from paddleseg_ext.data.prepare.work import Prepared, write_text
from paddleseg_ext.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("name", nargs="?", help="of `list configs`, or a YAML file; without it, a small network")
    parser.add_argument(
        "--own_data",
        metavar="DIR",
        help="your data: a folder that `prepare` wrote, or with folders images and labels, or with lists",
    )
    parser.add_argument("--output", type=output_file, metavar="FILE", help="default: NAME.yml in the current folder")
    parser.add_argument("--force", action="store_true", help="replace a file that is there")
    add_classes_argument(parser)
    parser.add_argument(
        "--crop_size", type=whole(1, LARGEST_MAP), nargs=2, metavar=("W", "H"), help="of the small network's training"
    )
    add_backbone_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Write the file, and say what it is and how to train it.

    Raises:
        UserError: The file is there already or its ending is unknown, an argument has no effect, or data are malformed.
    """
    _check(args)
    stem = config_path(args.name).stem if args.name else Path(args.own_data).resolve().name
    path = Path(args.output or f"{stem}.yml")
    if path.suffix not in ENDINGS:
        raise UserError(f"`output` {path}: its name must end in {' or '.join(ENDINGS)}")
    if path.exists() and not args.force:
        raise UserError(f"{path} is there; `force` replaces it, and `output` names another file")
    prepared = None
    if args.own_data:
        prepared, doubt = survey(Path(args.own_data), given_classes(args.classes), args.crop_size)
        if doubt:
            print(f"warning: {doubt}", file=sys.stderr)
    if args.name:
        text, told = _known(args.name, prepared)
    else:
        assert prepared is not None  # as `_check` saw to
        start = Start.of(args.backbone)
        text, told = small_network(prepared, start), start.text
    write_text(path, text)
    print(f"{path}: {told}")
    print(f"train with: paddleseg-ext train --config {shlex.quote(str(path))} --do_eval")
    return 0


def _check(args: argparse.Namespace) -> None:
    """Refuse arguments that do nothing.

    Raises:
        UserError: There are some.
    """
    if not args.name and not args.own_data:
        raise UserError("name: give a configuration (paddleseg-ext list configs), or `own_data`, or both")
    if args.classes and not args.own_data:
        raise UserError("`classes`: without `own_data` there is no effect; add it or leave it out")
    for flag in ("backbone", "crop_size"):
        if args.name and getattr(args, flag):
            raise UserError(f"`{flag}`: it is of the network that is made for own data; edit that of {args.name}")


def _known(name: str, prepared: Prepared | None) -> tuple[str, str]:
    """The text of a configuration that there is, and what it is, in words."""
    source = config_path(name)
    load_config(source)  # refuses what does not train anyway
    config = read_files(source).content
    written = f"written by paddleseg-ext {__version__}"
    if prepared is None:
        return editable_yaml(
            config, f"{source.stem} with all that its bases say, {written}."
        ), f"{name} with all that its bases say"
    width, height = prepared.size
    told = f"{name} on {prepared.root}, where images have {width}×{height} pixels; the sizes in it are as they were"
    return put_on(config, prepared, f"{source.stem} on own data of {width}×{height} pixels, {written}."), told
