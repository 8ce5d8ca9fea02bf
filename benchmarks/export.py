"""Exported networks under Paddle Inference and ONNX Runtime beside the network itself."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddleseg.models import ResNet18_vd

from benchmarks.networks import CLASSES
from benchmarks.tables import Row, add_rounds_argument, log
from paddleseg_ext.cli.common import whole
from paddleseg_ext.evaluation.predictor import evaluating
from paddleseg_ext.export.exporter import Export
from paddleseg_ext.export.runtimes import BACKENDS, open_runner
from paddleseg_ext.heads import CCHead, DeepLabV3PlusHead, DMHead, EncHead, FastFCNHead, PSPHead
from paddleseg_ext.inspection.analysis.timing import interleaved_timing
from paddleseg_ext.segmentor import EncoderDecoder

NETWORKS: dict[str, tuple[Callable[..., Any], int]] = {  # head and the backbone's output stride
    "DeepLabV3PlusHead": (DeepLabV3PlusHead, 8),
    "PSPHead": (PSPHead, 8),
    "DMHead": (DMHead, 8),
    "EncHead": (EncHead, 8),
    "CCHead": (CCHead, 8),
    "FastFCNHead": (partial(FastFCNHead, head=EncHead), 32),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to export, and for which input."""
    names = list(NETWORKS)
    parser.add_argument("--names", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names))
    parser.add_argument(
        "--size", nargs=2, type=whole(1, 1 << 14), default=[256, 512], metavar=("H", "W"), help="of the image"
    )
    add_rounds_argument(parser)


def run(args: argparse.Namespace) -> list[Row]:
    """Export each network on a ResNet18_vd, verify it, and return a row with times and sizes."""
    return [_measure(name, args) for name in args.names]


def _measure(name: str, args: argparse.Namespace) -> Row:
    log(f"{name} at {args.size[0]}×{args.size[1]}")
    head, output_stride = NETWORKS[name]
    paddle.seed(0)
    model = EncoderDecoder(CLASSES, ResNet18_vd(output_stride=output_stride), head)
    images = np.random.default_rng(0).normal(size=(1, 3, *args.size)).astype(np.float32)
    tensor = paddle.to_tensor(images)
    model.eval()
    with tempfile.TemporaryDirectory() as folder:
        report = Export(formats=tuple(BACKENDS), output_op="none").write(model, folder)
        runners = {backend: open_runner(Path(folder), backend) for backend in BACKENDS}
        runs = {"eager": lambda: model(tensor), **{key: partial(runner, images) for key, runner in runners.items()}}
        with evaluating(model):
            timings = dict(zip(runs, interleaved_timing(*runs.values(), rounds=args.rounds)))
    median = {key: timing.median for key, timing in timings.items()}
    sizes = report["files"]
    return {
        "network": f"{name}, ResNet18_vd",
        "image": f"{args.size[0]}x{args.size[1]}",
        **{f"{key}_ms": round(1e3 * seconds, 1) for key, seconds in median.items()},
        **{f"{key}_speedup": round(median["eager"] / median[key], 2) for key in BACKENDS},
        "spread": round(max(timing.spread for timing in timings.values()), 2),
        "paddle_mb": round(sum(size for file, size in sizes.items() if not file.endswith(".onnx")) / 1e6, 1),
        "onnx_mb": round(sizes["model.onnx"] / 1e6, 1),
        "difference": f"{max(case['relative_difference'] for case in report['verified']):.1e}",
    }
