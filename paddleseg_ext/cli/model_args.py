"""What the commands that apply a trained network share: its weights, and how it is applied to an image."""

from __future__ import annotations

import argparse
from types import SimpleNamespace
from typing import Any

from paddle import nn
from paddleseg.cvlibs import Config

from paddleseg_ext.builder import Builder
from paddleseg_ext.checkpoint.load import load_weights
from paddleseg_ext.cli.common import number, whole
from paddleseg_ext.config.arguments import LARGEST_MAP
from paddleseg_ext.errors import UserError
from paddleseg_ext.evaluation.predictor import read_test_config
from paddleseg_ext.export.exported_model import ExportedModel
from paddleseg_ext.export.runtimes import BACKENDS
from paddleseg_ext.runtime.amp import TYPES

AUGMENTED = ("scales", "flip_horizontal", "flip_vertical")
SLIDING = ("crop_size", "stride", "window_batch")


def add_applying_arguments(parser: argparse.ArgumentParser, aug_flag: str) -> None:
    """Add ``--model_path`` and PaddleSeg's flags for scales, flips and windows.

    Args:
        parser: Of `val` or `predict`.
        aug_flag: PaddleSeg's name of the switch for scales and flips: ``aug_eval`` or ``aug_pred``.
    """
    parser.add_argument("--model_path", help="trained weights: .pdparams, .safetensors or a folder with one")
    parser.add_argument("--exported", metavar="DIR", help="instead of weights: a folder that `export` wrote")
    parser.add_argument("--backend", choices=list(BACKENDS), help="of --exported; default: paddle where it is there")
    parser.add_argument(
        f"--{aug_flag}", dest="aug_eval", action="store_true", help="average over --scales and flips of the image"
    )
    parser.add_argument(
        "--scales", nargs="+", type=number(above=0, at_most=16), help="factors of the size, e.g. 0.75 1.0 1.25"
    )
    parser.add_argument("--flip_horizontal", action="store_true", help="add the mirror image")
    parser.add_argument("--flip_vertical", action="store_true", help="add the image upside down")
    parser.add_argument("--is_slide", action="store_true", help="cut the image into windows")
    parser.add_argument("--crop_size", nargs=2, type=whole(1, LARGEST_MAP), metavar=("W", "H"), help="size of a window")
    parser.add_argument(
        "--stride", nargs=2, type=whole(1, LARGEST_MAP), metavar=("W", "H"), help="steps of the windows"
    )
    parser.add_argument("--window_batch", type=whole(1), help="windows that the network sees at once")
    parser.add_argument("--precision", choices=list(TYPES), help="fp16 or bf16: mixed precision on a GPU")


def predictor_settings(args: argparse.Namespace, config: Config, aug_flag: str) -> dict[str, Any]:
    """The arguments of `Predictor`: the configuration's `test_config`, replaced by the flags that are given.

    Raises:
        UserError: A value is not allowed, or a flag is given that has no effect without another.
    """
    given = {key: getattr(args, key) for key in ("aug_eval", "is_slide", *AUGMENTED, *SLIDING, "precision")}
    given = {key: value for key, value in given.items() if value not in (None, False)}
    settings = {**config.test_config, **given}
    for switch, flag, keys in (("aug_eval", aug_flag, AUGMENTED), ("is_slide", "is_slide", SLIDING)):
        idle = [f"--{key}" for key in keys if key in given]
        if idle and not settings.get(switch):
            raise UserError(f"{', '.join(idle)}: without --{flag} there is no effect; add it or leave them out")
    return read_test_config(settings)


def load_model(builder: Builder, model_path: str | None) -> nn.Layer:
    """The configuration's network with trained weights.

    Args:
        builder: Of the configuration; the pretrained weights that it names for the start of a training are not fetched.
        model_path: The weights; None for those of `model.pretrained`.

    Raises:
        UserError: There are no weights, or they do not fit.
    """
    config = builder.config.dic["model"]
    if model_path is None:
        if not config.get("pretrained"):
            raise UserError("--model_path: give the trained weights, e.g. output/best_model/model.pdparams")
        return builder.model
    builder.pretrained = False
    model = builder.model
    load_weights(model, model_path)
    return model


def model_of(args: argparse.Namespace, builder: Builder) -> nn.Layer:
    """The network that ``--exported`` or ``--model_path`` names.

    Raises:
        UserError: As `load_model` and `ExportedModel`; or flags that exclude each other.
    """
    if args.exported is None:
        if args.backend:
            raise UserError("--backend: without --exported there is no effect; add it or leave it out")
        return load_model(builder, args.model_path)
    if args.model_path:
        raise UserError("--exported and --model_path: give one of them")
    if args.precision not in (None, "fp32"):
        raise UserError(f"--precision {args.precision}: an exported network keeps the precision it was exported in")
    return ExportedModel(args.exported, args.backend, builder.val_transforms)


def class_source(builder: Builder) -> Any:
    """What `class_names` and `palette` take, without the data: the class, or a stand-in that knows `num_classes`."""
    dataset = builder.val_dataset_class
    if hasattr(dataset, "NUM_CLASSES"):
        return dataset
    return SimpleNamespace(num_classes=builder.config.val_dataset_cfg["num_classes"])
