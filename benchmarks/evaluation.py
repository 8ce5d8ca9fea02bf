"""Metric, sliding windows and whole evaluation against PaddleSeg's, repaired where it needs to be."""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
import paddle
from paddle import nn
from paddleseg.core import evaluate as stock_evaluate
from paddleseg.core import infer as stock_infer
from paddleseg.cvlibs import manager
from paddleseg.datasets import Dataset
from paddleseg.transforms import Normalize
from paddleseg.utils.metrics import calculate_area

from benchmarks.tables import Row, add_rounds_argument, log
from paddleseg_ext.cli.common import whole
from paddleseg_ext.errors import UserError
from paddleseg_ext.evaluation.evaluate import evaluate
from paddleseg_ext.evaluation.metrics import ConfusionMatrix
from paddleseg_ext.evaluation.predictor import Predictor, evaluating
from paddleseg_ext.evaluation.sliding_window import window_starts
from paddleseg_ext.inspection.analysis.timing import interleaved_timing
from paddleseg_ext.runtime.device import peak_memory

CLASSES = 19


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what can be made smaller for a quick look."""
    parser.add_argument("--model", default="FastSCNN", help="a light network of PaddleSeg, by its registered name")
    parser.add_argument(
        "--size", nargs=2, type=whole(1, 1 << 14), default=[1024, 2048], metavar=("H", "W"), help="of the images"
    )
    parser.add_argument(
        "--crop_size", nargs=2, type=whole(1, 1 << 14), default=[1024, 512], metavar=("W", "H"), help="of the windows"
    )
    parser.add_argument(
        "--stride", nargs=2, type=whole(1, 1 << 14), default=[768, 384], metavar=("W", "H"), help="of the windows"
    )
    parser.add_argument("--window_batch", type=whole(1), help="windows at once; default: that of the evaluation")
    parser.add_argument("--images", type=whole(1, 1000), default=4, help="of the whole evaluation")
    add_rounds_argument(parser, "--repeats", "of everything, in turns")


def run(args: argparse.Namespace) -> list[Row]:
    """Measure; each row names what was compared, both times, their ratio and its goal."""
    if args.model not in manager.MODELS.components_dict:
        raise UserError(f"--model {args.model}: PaddleSeg has no such network")
    height, width = args.size
    rows = [_metric(CLASSES, height, width, args.repeats), _metric(150, height // 2, width // 3, args.repeats)]
    rows += _windows(args)
    return rows + _whole(args)


def _row(what: str, ours: float, peer: float, unit: str, ratio: str, goal: str) -> Row:
    return {
        "what": what,
        "ours": f"{ours:.4g} {unit}",
        "peer": f"{peer:.4g} {unit}",
        "ratio": ratio,
        "goal": goal,
    }


def _metric(classes: int, height: int, width: int, repeats: int) -> Row:
    log(f"metric, {classes} classes at {height}×{width}")
    label, pred = _regions(0, classes, height, width)[None], _regions(1, classes, height, width)[None]
    pred[pred == 255] = 0
    # each as its own evaluation hands them over
    stock_pred, stock_label = paddle.to_tensor(pred.astype(np.int32)), paddle.to_tensor(label.astype(np.int64))
    our_pred, our_label = (pred, label) if paddle.get_device() == "cpu" else (stock_pred, stock_label)
    matrix = ConfusionMatrix(classes)
    ours, stock = interleaved_timing(
        lambda: matrix.update(our_pred, our_label),
        lambda: [area.numpy() for area in calculate_area(stock_pred, stock_label, classes)],
        rounds=repeats,
    )
    ratio = f"{stock.median / ours.median:.0f}× faster"
    what = f"metric of an image, {height}×{width}, {classes} classes; peer: PaddleSeg's calculate_area"
    return _row(what, 1e3 * ours.median, 1e3 * stock.median, "ms", ratio, "≥ 50× faster")


def _model(name: str) -> nn.Layer:
    paddle.seed(0)
    return manager.MODELS[name](num_classes=CLASSES)


def _windows(args: argparse.Namespace) -> list[Row]:
    (height, width), (crop_w, crop_h), (stride_w, stride_h) = args.size, args.crop_size, args.stride
    log(f"windows of {crop_w}×{crop_h} over {width}×{height}")
    model, image = _model(args.model), paddle.rand([1, 3, height, width])
    predictor = Predictor(is_slide=True, crop_size=args.crop_size, stride=args.stride, window_batch=args.window_batch)
    lefts, tops = window_starts(width, crop_w, stride_w), window_starts(height, crop_h, stride_h)
    number = len(lefts) * len(tops)
    batch = predictor.windows_at_once(image)
    cuts = [paddle.rand([min(batch, number - i), 3, crop_h, crop_w]) for i in range(0, number, batch)]
    settings = {"is_slide": True, "crop_size": args.crop_size, "stride": args.stride}

    def ours() -> None:
        predictor.predict(model, image, [[]])

    with evaluating(model):
        total, network = interleaved_timing(ours, lambda: [model(cut) for cut in cuts], rounds=args.repeats)
        theirs = partial(stock_infer.inference, model, image, [], **settings)
        again, stock = interleaved_timing(ours, theirs, rounds=args.repeats)
    what = f"an image in {number} windows, {args.model}, {height}×{width}, {CLASSES} classes; peer: "
    over = f"{100 * (total.median / network.median - 1):.1f} % more"
    faster = f"{stock.median / again.median:.2f}× faster"
    return [
        _row(f"{what}the network alone", total.median, network.median, "s", over, "≤ 15 % more"),
        _row(f"{what}PaddleSeg's inference", again.median, stock.median, "s", faster, ""),
    ]


def _whole(args: argparse.Namespace) -> list[Row]:
    """Each side in processes of its own, since peak memory is that of a process."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        write_images(Path(folder), args.images, *args.size)
        for how, settings in (
            ("whole images", {}),
            ("windows", {"is_slide": True, "crop_size": args.crop_size, "stride": args.stride}),
        ):
            log(f"evaluation of {args.images} images, {how}")
            seconds: dict[str, list[float]] = {"ours": [], "stock": []}
            memory, iou = {}, {}
            for _ in range(args.repeats):
                for side in seconds:
                    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                        task = (_evaluate_side, side, args.model, folder, settings, paddle.get_device())
                        run = pool.submit(*task).result()
                    seconds[side].append(run[0])
                    memory[side], iou[side] = max(run[1], memory.get(side, 0.0)), run[2]
            if not np.allclose(iou["ours"], iou["stock"], rtol=0, atol=1e-4):
                raise AssertionError(f"the evaluations disagree: {iou}")
            what = f"evaluation of {args.images} images by {how}, {args.model}, {args.size[0]}×{args.size[1]}"
            ours, stock = median(seconds["ours"]), median(seconds["stock"])
            rows.append(_row(f"{what}: time", ours, stock, "s", f"{stock / ours:.2f}× faster", "≥ 2× faster"))
            share = f"{100 * memory['ours'] / memory['stock']:.0f} %"
            rows.append(_row(f"{what}: peak memory", memory["ours"], memory["stock"], "MiB", share, "≤ 100 %"))
    return rows


def _evaluate_side(
    side: str, model_name: str, folder: str, settings: dict[str, Any], device: str
) -> tuple[float, float, np.ndarray]:
    """In a fresh process: seconds, peak memory in MiB, and the IoU of each class with 0 for absent ones."""
    paddle.set_device(device)
    model, data = _model(model_name), partial(_data, folder)
    # PaddleSeg's evaluation returns mIoU, accuracy, IoU by class, …
    evaluation = (
        (lambda d: np.nan_to_num(evaluate(model, d, progress=False, **settings).class_iou))
        if side == "ours"
        else (lambda d: stock_evaluate(model, d, print_detail=False, **settings)[2])
    )
    evaluation(data(1))  # warms up
    start = time.perf_counter()
    iou = evaluation(data())
    seconds = time.perf_counter() - start
    return seconds, peak_memory() / 2**20, iou


def _regions(seed: int, classes: int, height: int, width: int) -> np.ndarray:
    """Labels in regions as real ones are, some of them ignored; noise would mislead branch prediction and PNG."""
    coarse = np.random.default_rng(seed).integers(0, classes + 1, (24, 48), np.uint8)
    label = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_NEAREST)
    label[label == classes] = 255
    return label


def write_images(folder: Path, count: int, height: int, width: int) -> None:
    """Pictures with grain and labels in regions, and the list ``val.txt`` of them."""
    for i in range(count):
        rng = np.random.default_rng(i)
        coarse = rng.integers(0, 256, (9, 17, 3), np.uint8)
        picture = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        grain = rng.integers(0, 8, picture.shape, np.uint8)
        cv2.imwrite(str(folder / f"{i}.png"), cv2.add(picture, grain))
        cv2.imwrite(str(folder / f"{i}_label.png"), _regions(i, CLASSES, height, width))
    lines = [f"{i}.png {i}_label.png\n" for i in range(count)]
    (folder / "val.txt").write_text("".join(lines), encoding="utf-8")


def _data(folder: str, count: int | None = None) -> Dataset:
    dataset = Dataset("val", folder, [Normalize()], CLASSES, val_path=f"{folder}/val.txt")
    dataset.file_list = dataset.file_list[:count]
    return dataset
