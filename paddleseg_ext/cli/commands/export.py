"""Export a trained network to Paddle Inference and ONNX, for any batch and image size, and verify the result."""

from __future__ import annotations

import argparse
import copy
import logging
import sys
from dataclasses import asdict
from typing import Any

from paddleseg_ext.api import with_classes_of
from paddleseg_ext.builder import Builder, load_config
from paddleseg_ext.cli.common import add_config_arguments, output_folder, whole
from paddleseg_ext.cli.model_args import load_model, weights_of
from paddleseg_ext.data.classes import class_entries
from paddleseg_ext.errors import UserError
from paddleseg_ext.evaluation.task import Task
from paddleseg_ext.export.exporter import FORMATS, Export, VerificationError
from paddleseg_ext.export.formats import OPSETS
from paddleseg_ext.export.wrapper import OUTPUTS, Colors, InputShape
from paddleseg_ext.runtime.device import set_device

logger = logging.getLogger(__name__)
OPSET = 17  # default
WRONG_RESULT = 1  # exit status


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments, under PaddleSeg's names where it has them."""
    add_config_arguments(parser)
    parser.add_argument("--model_path", help="trained weights: .pdparams, .safetensors or a folder with one")
    parser.add_argument("--save_dir", type=output_folder, default="output/inference_model", help="folder for the files")
    parser.add_argument("--format", choices=list(FORMATS), default="paddle", help="Paddle Inference, ONNX or both")
    parser.add_argument(
        "--output_op",
        choices=OUTPUTS,
        help="class ids, probabilities or scores; default: argmax, or none where the configuration resizes images or "
        "tests with windows, scales or flips",
    )
    parser.add_argument(
        "--input_shape", nargs=4, type=int, metavar=("N", "C", "H", "W"), help="fix sizes of the input; -1 stays free"
    )
    opsets = f"{OPSETS[0]} to {OPSETS[-1]}"
    parser.add_argument(
        "--opset", type=whole(OPSETS[0], OPSETS[-1]), help=f"of the ONNX file, {opsets}; default: {OPSET}"
    )
    parser.add_argument(
        "--with_normalize", action="store_true", help="normalize colors inside: the input is uint8, NHWC, RGB"
    )
    parser.add_argument("--no_verify", action="store_true", help="leave the files without comparing them")


def run(args: argparse.Namespace) -> int:
    """Export, verify and tell what was written.

    Raises:
        UserError: An argument is not allowed or has no effect, or the network cannot be exported.
    """
    config = load_config(args.config, opts=args.opts)
    transforms = copy.deepcopy(config.val_dataset_cfg.get("transforms") or [])
    shape = _shape(args.input_shape, int(config.val_dataset_cfg.get("img_channels", 3)))
    if args.opset and "onnx" not in FORMATS[args.format]:
        raise UserError("--opset: without --format onnx or both there is no effect; add it or leave it out")
    set_device(args.device)
    builder = Builder(config)
    task = with_classes_of(args.model_path, builder.task)
    model = load_model(builder, args.model_path)
    export = Export(
        formats=FORMATS[args.format],
        output_op=args.output_op or _output_op(task),
        shape=shape,
        opset=args.opset or OPSET,
        colors=Colors.of(task.transforms, task.channels) if args.with_normalize else None,
        verify=not args.no_verify,
        transforms=transforms,
        about={
            "config": args.config,
            "model_path": args.model_path,
            "weights": asdict(weights_of(args, builder)),
            "classes": class_entries(task.classes, task.palette),
            "preprocessing": {"transforms": transforms, "image_range": task.image_range},
            "test_config": task.settings({}),
        },
    )
    model.eval()
    try:
        report = export.write(model, args.save_dir)
    except VerificationError as error:
        print(f"error: {error}", file=sys.stderr)
        return WRONG_RESULT
    for name, size in report["files"].items():
        print(f"{args.save_dir}/{name}: {size / 1e6:.1f} MB")
    print(_verified(report))
    return 0


def _output_op(task: Task) -> str:
    """What serves `predict --exported` and `load`; told where it is not the usual."""
    if not task.needs_scores():
        return "argmax"
    logger.info(
        "output_op none: the configuration resizes images or averages outputs, which needs scores; "
        "--output_op argmax exports class ids"
    )
    return "none"


def _verified(report: dict[str, Any]) -> str:
    figures = report["verification"]
    if figures is None:
        return "not verified"
    return (
        f"verified on {len(report['verified'])} inputs: scores differ by at most {figures['difference']:.1e} of the "
        f"largest, allowed are {figures['allowed_difference']:.1e} (the network's own change by "
        f"{figures['sensitivity']:.1e} with the last digit of the input); {100 * figures['equal_pixels']:.6g} % of the "
        "pixels have the same class"
    )


def _shape(given: list[int] | None, channels: int) -> InputShape:
    shape = given or [-1, channels, -1, -1]
    if shape[1] != channels or any(n < 1 and n != -1 for n in shape):
        raise UserError(
            f"--input_shape {' '.join(map(str, shape))}: N, H and W are at least 1, or -1 for any, and C is "
            f"{channels}, the channels of the data"
        )
    count, height, width = (None if n == -1 else n for n in (shape[0], *shape[2:]))
    return count, channels, height, width
