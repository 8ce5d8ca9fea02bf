"""Preparing a training sample beside PaddleSeg's transforms: the same pixels for the same draws, images per second."""

from __future__ import annotations

import argparse
import random
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from paddleseg.datasets import Dataset
from paddleseg.transforms import Normalize, RandomHorizontalFlip, RandomPaddingCrop, ResizeStepScaling, functional

from benchmarks.evaluation import CLASSES, write_images
from benchmarks.tables import Row, add_rounds_argument, log
from paddleseg_ext.cli.common import whole
from paddleseg_ext.data.transforms import ScaleCropFlip
from paddleseg_ext.inspection.analysis.timing import interleaved_timing

TOLERANCE = 1e-5  # of the normalized image; its labels must be equal
SCALES = (0.5, 2.0, 0.25)
COLORS = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}

Sampler = Callable[[int], dict]


class StockNormalize(Normalize):
    """`Normalize` as PaddleSeg computes it."""

    def __call__(self, data: dict) -> dict:
        data["img"] = functional.normalize(data["img"], self.mean, self.std)
        return data


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Sizes and numbers."""
    parser.add_argument(
        "--size", nargs=2, type=whole(1, 1 << 14), default=[1024, 2048], metavar=("H", "W"), help="of the images"
    )
    parser.add_argument(
        "--crop_size", nargs=2, type=whole(1, 1 << 14), default=[1024, 512], metavar=("W", "H"), help="of a sample"
    )
    parser.add_argument("--images", type=whole(1, 1000), default=8, help="in a round")
    add_rounds_argument(parser, text="timed rounds of each side, in turns")


def run(args: argparse.Namespace) -> list[Row]:
    """Measure; a row for the transforms alone and one with reading and decoding the files.

    Raises:
        ArithmeticError: the two sides do not give the same pixels.
    """
    ours = [ScaleCropFlip(args.crop_size, *SCALES), Normalize(**COLORS)]
    theirs = [
        ResizeStepScaling(*SCALES),
        RandomPaddingCrop(args.crop_size),
        RandomHorizontalFlip(),
        StockNormalize(**COLORS),
    ]
    with tempfile.TemporaryDirectory() as folder:
        write_images(Path(folder), args.images, *args.size)
        sides = [Dataset("train", folder, side, CLASSES, train_path=f"{folder}/val.txt") for side in (ours, theirs)]
        decoded = [_decoded(*sides[0].file_list[i]) for i in range(args.images)]
        cases: dict[str, list[Sampler]] = {
            "transforms": [partial(_transformed, side, decoded) for side in (ours, theirs)],
            "reading, decoding and transforms": [side.__getitem__ for side in sides],
        }
        return [_compare(name, *samplers, args) for name, samplers in cases.items()]


def _decoded(image: str, label: str) -> dict:
    """What PaddleSeg hands to the first transform."""
    picture = cv2.cvtColor(cv2.imread(image).astype(np.float32), cv2.COLOR_BGR2RGB)
    return {"img": picture, "label": cv2.imread(label, cv2.IMREAD_GRAYSCALE), "gt_fields": ["label"]}


def _transformed(transforms: list, samples: list[dict], index: int) -> dict:
    data = dict(samples[index])
    for transform in transforms:
        data = transform(data)
    return data


def _seeded(sampler: Sampler, index: int) -> dict:
    random.seed(index)
    np.random.seed(index)
    return sampler(index)


def _compare(name: str, ours: Sampler, theirs: Sampler, args: argparse.Namespace) -> Row:
    log(name)
    difference = 0.0
    for i in range(args.images):
        found, expected = (_seeded(side, i) for side in (ours, theirs))
        if not np.array_equal(found["label"], expected["label"]):
            raise ArithmeticError(f"{name}: the labels of image {i} differ, so no time means anything")
        difference = max(difference, float(np.abs(found["img"] - expected["img"]).max()))
    if not difference <= TOLERANCE:
        raise ArithmeticError(f"{name}: the pixels differ by {difference:.1e}, so no time means anything")

    def all_images(side: Sampler) -> None:
        for i in range(args.images):
            _seeded(side, i)

    timings = interleaved_timing(partial(all_images, ours), partial(all_images, theirs), rounds=args.rounds)
    return {
        "case": name,
        "image": f"{args.size[0]}x{args.size[1]}",
        "sample": f"{args.crop_size[1]}x{args.crop_size[0]}",
        "ours_images_per_s": round(args.images / timings[0].median, 1),
        "paddleseg_images_per_s": round(args.images / timings[1].median, 1),
        "speedup": round(timings[1].median / timings[0].median, 2),
        "spread": round(max(timing.spread for timing in timings), 2),
        "difference": f"{difference:.1e}",
    }
