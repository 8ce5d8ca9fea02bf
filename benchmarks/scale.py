"""Growth of time and memory with the pixels: of each head over its maps, and of sliding windows over a picture."""

from __future__ import annotations

import argparse
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddleseg.cvlibs import manager

from benchmarks.heads import height_and_width
from benchmarks.networks import CLASSES, SPECS, FixedFeatures, feature_maps
from benchmarks.pytorch.networks import ours
from benchmarks.steps import RUNS, set_mode
from benchmarks.tables import Row, add_rounds_argument, log, write_table
from paddleseg_ext.cli.common import MOST_IMAGES, whole
from paddleseg_ext.compat.paddle import threads
from paddleseg_ext.errors import UserError
from paddleseg_ext.evaluation.predictor import Predictor, evaluating
from paddleseg_ext.inspection.analysis.memory import MIB, peak_allocation
from paddleseg_ext.inspection.analysis.timing import Timing, interleaved_timing

WINDOWS = "windows"
NETWORK = "FastSCNN"  # under the windows: a light one of PaddleSeg
CROP, STRIDE = (512, 256), (384, 192)  # width, height
# Height for each megapixel, three strides so that windows are as many for each; and width, that of strips of logits.
PICTURE = (576, 1792)
SLACK = 0.1  # of exponents: what a small map gains from caches, a large one lacks


@dataclass(frozen=True)
class Formula:
    """What time or memory is expected to be proportional to."""

    text: str
    of: Callable[[int, int], float]


AREA = Formula("H·W", lambda height, width: height * width)
CRISS_CROSS = Formula("H·W·(H+W)", lambda height, width: height * width * (height + width))
STRIP = Formula("W", lambda height, width: width)


def formulas(case: str) -> dict[str, Formula]:
    """Of time and memory."""
    if case == WINDOWS:
        return {"time": AREA, "memory": STRIP}
    return dict.fromkeys(("time", "memory"), CRISS_CROSS if case == "CCHead" else AREA)


@dataclass(frozen=True)
class Point:
    """What one size takes; memory in bytes beyond weights and input."""

    case: str
    mode: str
    height: int
    width: int
    timing: Timing
    memory: int

    @property
    def pixels(self) -> int:
        """Of the map or the picture."""
        return self.height * self.width

    def value(self, what: str) -> float:
        """Seconds or bytes, for ``time`` or ``memory``."""
        return self.timing.median if what == "time" else max(self.memory, 1)

    def row(self) -> Row:
        """One line of a table."""
        return {
            "case": self.case,
            "mode": self.mode,
            "size": f"{self.height}x{self.width}",
            "pixels": self.pixels,
            "threads": threads(),
            "ms": round(1e3 * self.timing.median, 1),
            "spread": round(self.timing.spread, 2),
            "mib": round(self.memory / MIB, 2),
        }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to measure, and at which sizes."""
    names = [*SPECS, WINDOWS]
    parser.add_argument("--names", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names))
    sizes = [f"{side}x{side}" for side in (16, 32, 48, 64, 96, 128, 192)]
    parser.add_argument("--maps", nargs="+", default=sizes, metavar="HxW", help=f"of heads; default: {' '.join(sizes)}")
    parser.add_argument(
        "--megapixels",
        nargs="+",
        type=whole(1, 256),
        default=[1, 2, 4, 8, 16],
        metavar="N",
        help=f"of the pictures, N·{PICTURE[0]}×{PICTURE[1]}; default: 1 2 4 8 16; 64 takes a minute a round and 2 GB",
    )
    parser.add_argument("--batch_size", type=whole(1, MOST_IMAGES), default=1, help="images of heads")
    add_rounds_argument(parser, text="timed calls of each size")


def run(args: argparse.Namespace) -> list[Row]:
    """Measure, write the points, draw them, and return the exponents: a row for each case, mode, and time or memory.

    Raises:
        UserError: There is one size alone, of which nothing can be fitted.
    """
    maps = sorted({height_and_width("--maps", text) for text in args.maps}, key=lambda size: size[0] * size[1])
    megapixels = sorted(set(args.megapixels))
    if len(maps) < 2 or len(megapixels) < 2:
        raise UserError("--maps and --megapixels: growth is told from two sizes or more")
    points: list[Point] = []
    for name in args.names:
        for size in megapixels if name == WINDOWS else maps:
            log(f"{name} at {size} megapixels" if name == WINDOWS else f"{name} at {size[0]}×{size[1]}")
            points += measure_windows(size, args.rounds) if name == WINDOWS else measure_head(name, size, args)
    rows = list(exponents(points))
    for row in rows:
        log(verdict(row))
    write_table(args.output, f"{args.name}_points", [point.row() for point in points])
    from benchmarks.chart import growth  # brings matplotlib

    growth(points, rows, Path(args.output) / f"{args.name}.png")
    return rows


def measure_head(name: str, size: tuple[int, int], args: argparse.Namespace) -> Iterator[Point]:
    """A head, with its auxiliary head in training, in both modes."""
    feats = feature_maps(size, args.batch_size, SPECS[name].strides)
    net = ours(name, partial(FixedFeatures, feats))
    image = paddle.zeros([args.batch_size, 3, 8 * size[0], 8 * size[1]])
    for mode, step in RUNS.items():
        set_mode(mode, net, feats)
        call = partial(step, lambda net: net(image), net, feats)
        (timing,) = interleaved_timing(call, rounds=args.rounds)
        yield Point(name, mode, *size, timing, peak_allocation(call))


def measure_windows(megapixels: int, rounds: int) -> Iterator[Point]:
    """Sliding windows over a picture without a label; its class ids, a byte each, are not counted as memory."""
    height, width = megapixels * PICTURE[0], PICTURE[1]
    tile = np.random.default_rng(0).normal(size=(1, 3, *PICTURE)).astype(np.float32)
    picture = paddle.to_tensor(np.tile(tile, (1, 1, megapixels, 1)))
    paddle.seed(0)
    model = manager.MODELS[NETWORK](num_classes=CLASSES)
    predictor = Predictor(is_slide=True, crop_size=CROP, stride=STRIDE)
    with evaluating(model):
        call = partial(predictor.predict, model, picture, [[]])
        (timing,) = interleaved_timing(call, rounds=rounds)
        yield Point(WINDOWS, "evaluation", height, width, timing, peak_with_arrays(call) - height * width)


def peak_with_arrays(run: Callable[[], Any]) -> int:
    """Bytes that a call holds at most, in tensors as `peak_allocation` counts them and in NumPy's arrays."""
    tracemalloc.start()
    try:
        return peak_allocation(run) + tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def exponent(pixels: Sequence[float], values: Sequence[float]) -> float:
    """The slope of a line through the logarithms."""
    return float(np.polyfit(np.log(pixels), np.log(values), 1)[0])


def exponents(points: Sequence[Point]) -> Iterator[Row]:
    """What was fitted, a row for each case, mode, and time or memory.

    ``exponent`` is that of all sizes; ``at_the_end`` that of the larger half, where what does not grow weighs less.
    """
    for case, mode in dict.fromkeys((point.case, point.mode) for point in points):
        line = [point for point in points if (point.case, point.mode) == (case, mode)]
        pixels = [point.pixels for point in line]
        end = min(len(line) // 2, len(line) - 2)
        for what, formula in formulas(case).items():
            values = [point.value(what) for point in line]
            expected = exponent(pixels, [formula.of(point.height, point.width) for point in line])
            found, last = exponent(pixels, values), exponent(pixels[end:], values[end:])
            yield {
                "case": case,
                "mode": mode,
                "what": what,
                "sizes": f"{line[0].height}x{line[0].width} to {line[-1].height}x{line[-1].width}",
                "threads": threads(),
                "formula": formula.text,
                "formula_exponent": round(expected, 2) + 0.0,
                "exponent": round(found, 2),
                "at_the_end": round(last, 2),
                "faster": "FASTER" if max(found, last) > expected + SLACK else "no",
            }


def verdict(row: Row) -> str:
    """A sentence on a row of `exponents`."""
    told = f"{row['case']}, {row['mode']}: {row['what']} grows with pixels^{row['exponent']:.2f}"
    end = f"{row['at_the_end']:.2f} at the end"
    how = "FASTER than" if row["faster"] == "FASTER" else "no faster than"
    return f"{told} ({end}), {how} {row['formula']}, pixels^{row['formula_exponent']:.2f}"
