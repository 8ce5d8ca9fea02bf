"""What the commands that apply a trained network share: its weights, and how it is applied to an image."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from paddle import nn

from paddleseg_ext.builder import Builder
from paddleseg_ext.checkpoint.download import local_file
from paddleseg_ext.cli.common import number, whole
from paddleseg_ext.config.arguments import LARGEST_MAP
from paddleseg_ext.errors import UserError
from paddleseg_ext.evaluation.provenance import Weights
from paddleseg_ext.evaluation.task import AUGMENTED, SLIDING, merged_settings
from paddleseg_ext.export.exported_model import ExportedModel, exported_weights
from paddleseg_ext.export.runtimes import BACKENDS
from paddleseg_ext.runtime.amp import TYPES


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


def predictor_settings(args: argparse.Namespace, test_config: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `Predictor`: those of `test_config`, replaced by the flags that are given.

    Raises:
        UserError: A value is not allowed, or a flag is given that has no effect without another.
    """
    given = {key: getattr(args, key) for key in ("aug_eval", "is_slide", *AUGMENTED, *SLIDING, "precision")}
    return merged_settings(test_config, {key: value for key, value in given.items() if value is not False})


def load_model(builder: Builder, model_path: str | None) -> nn.Layer:
    """The configuration's network with trained weights.

    Args:
        builder: Of the configuration; the pretrained weights that it names for the start of a training are not fetched.
        model_path: The weights; None for those of `model.pretrained`.

    Raises:
        UserError: There are no weights, or they do not fit.
    """
    if model_path is None and not builder.config.dic["model"].get("pretrained"):
        raise UserError("--model_path: give the trained weights, e.g. output/best_model/model.pdparams")
    return builder.model if model_path is None else builder.model_with(model_path)


def model_of(args: argparse.Namespace, builder: Builder | None, transforms: Sequence[Any]) -> nn.Layer:
    """The network that ``--exported`` or ``--model_path`` names.

    Args:
        args: Of `add_applying_arguments`.
        builder: Of the configuration, which ``--exported`` can do without.
        transforms: What prepares the images.

    Raises:
        UserError: As `load_model` and `ExportedModel`; or flags that exclude each other.
    """
    if args.exported is None:
        if args.backend:
            raise UserError("--backend: without --exported there is no effect; add it or leave it out")
        assert builder is not None  # only --exported does without
        return load_model(builder, args.model_path)
    if args.model_path:
        raise UserError("--exported and --model_path: give one of them")
    if args.precision not in (None, "fp32"):
        raise UserError(f"--precision {args.precision}: an exported network keeps the precision it was exported in")
    return ExportedModel(args.exported, args.backend, transforms)


def weights_of(args: argparse.Namespace, builder: Builder) -> Weights:
    """Which weights `load_model` or `model_of` took.

    Args:
        args: Of `add_applying_arguments`, or with ``model_path`` alone.
        builder: Of the configuration.
    """
    if getattr(args, "exported", None) is not None:
        return exported_weights(args.exported)
    if args.model_path is not None:
        return Weights.of(args.model_path)
    source = builder.config.dic["model"]["pretrained"]
    return replace(Weights.of(local_file(source, "model.pretrained")), path=source)
