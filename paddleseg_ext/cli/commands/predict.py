"""Predict pictures: class ids, colors and overlays of images or of a video, and files for test servers."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from paddleseg_ext.api import with_classes_of
from paddleseg_ext.builder import Builder, load_config
from paddleseg_ext.cli.common import add_config_arguments, number, output_folder, whole
from paddleseg_ext.cli.model_args import add_applying_arguments, model_of, predictor_settings
from paddleseg_ext.data.image_io import (
    Source,
    Video,
    find_images,
    is_video,
    save_image,
    save_pred,
    to_rgb,
)
from paddleseg_ext.errors import UserError
from paddleseg_ext.evaluation.submission import BENCHMARKS, Submission
from paddleseg_ext.evaluation.task import Task
from paddleseg_ext.export.exported_model import exported_task
from paddleseg_ext.inference import Segmentor
from paddleseg_ext.runtime import distributed
from paddleseg_ext.runtime.device import set_device
from paddleseg_ext.runtime.overlap import ahead, alongside, behind
from paddleseg_ext.visualization.draw import (
    OPACITY,
    add_legend,
    color,
    legend_table,
    occurring,
    overlay,
    save_color,
)
from paddleseg_ext.visualization.notebook import LabelMap

KINDS = ("ids", "color", "overlay")  # folders below --save_dir
LEGEND = "legend.png"  # beside them
Predict = Callable[[Iterable[np.ndarray]], Generator[LabelMap, None, None]]  # images as read, BGR


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments, under PaddleSeg's names where it has them."""
    add_config_arguments(parser, required=False)
    add_applying_arguments(parser, "aug_pred")
    parser.add_argument("--image_path", required=True, help="image, folder, list of images (.txt) or video")
    parser.add_argument(
        "--save_dir",
        type=output_folder,
        default="output/result",
        help=f"results go to its folders ids, color and overlay, the classes' colors to {LEGEND}",
    )
    parser.add_argument(
        "--opacity",
        type=number(at_least=0, at_most=1),
        default=OPACITY,
        help=f"of the colors in overlays, 0…1; default {OPACITY}",
    )
    parser.add_argument("--legend", action="store_true", help="also put a legend under each overlay")
    parser.add_argument(
        "--custom_color", nargs="+", type=whole(0, 255), help="red green blue of the first classes, in order"
    )
    parser.add_argument("--submission", choices=list(BENCHMARKS), help="also write what the test server wants, zipped")
    parser.add_argument(
        "--submission_count", type=whole(1), help="number of images of the submission, if not the official"
    )


def run(args: argparse.Namespace) -> int:
    """Predict everything under ``--image_path``.

    Raises:
        UserError: An argument is not allowed or has no effect, or as `Segmentor.predict`.
    """
    builder, task = _task_of(args)
    settings = predictor_settings(args, task.test_config)
    save_dir, video = Path(args.save_dir), is_video(args.image_path)
    sources = [] if video else find_images(args.image_path)
    _refuse_overwriting([source.path for source in sources], [source.target for source in sources], save_dir)
    names, colors = task.classes, _custom(task.palette, args.custom_color)
    submission = None
    if args.submission_count and not args.submission:
        raise UserError("--submission_count: without --submission there is no effect; add it or leave it out")
    if args.submission:
        if video:
            raise UserError("--submission: it takes images, not a video")
        folder = save_dir / f"submission_{args.submission}"
        images = [source.path for source in sources]
        submission = Submission(BENCHMARKS[args.submission], images, len(names), folder, args.submission_count)
    if video and task.channels not in (1, 3):
        raise UserError(f"{args.image_path}: a video has 3 channels, and val_dataset.img_channels is {task.channels}")
    model = Segmentor(model_of(args, builder, task.transforms), replace(task, test_config=settings), device=args.device)

    look = _Look(colors, names, args.opacity, args.legend)
    if video:
        _predict_video(Path(args.image_path), save_dir, model.each_label_map, look, task.channels)
        return 0
    distributed.init()
    rank, world_size = distributed.rank(), distributed.world_size()
    mine = sources[rank::world_size]
    bar = tqdm(total=len(mine), unit="image", disable=True if rank > 0 else None, leave=False)
    images_ahead = ahead((source, task.read(source.path)) for source in mine)
    with bar, behind() as later, closing(alongside(images_ahead, model.each_label_map)) as predicted:
        for source, image, pred in predicted:
            later(_save, source, save_dir, image, pred, look)
            if submission:
                later(submission.write, source.path, pred)
            bar.update()
    distributed.barrier()
    if rank == 0:
        look.save_legend(save_dir)
        print(f"{len(sources)} images: {', '.join(str(save_dir / name) for name in (*KINDS, LEGEND))}")
        if submission:
            print(f"submission: {submission.pack(save_dir / f'submission_{args.submission}.zip')}")
    return 0


def _task_of(args: argparse.Namespace) -> tuple[Builder | None, Task]:
    """What the network was trained for, and the builder of its configuration unless an export stands alone."""
    if args.config is not None:
        builder = Builder(load_config(args.config, opts=args.opts))
        set_device(args.device)
        return builder, with_classes_of(args.model_path, builder.task)
    if args.exported is None:
        raise UserError("--config: give the YAML file, or by --exported a folder that `export` wrote")
    if args.opts:
        raise UserError("--opts: without --config there is no effect; add it or leave it out")
    set_device(args.device)
    return None, exported_task(args.exported)


@dataclass(frozen=True)
class _Look:
    """How predictions are painted.

    Attributes:
        colors: (K, 3) uint8 RGB.
        names: Of the classes.
        opacity: Of the colors over an image.
        legend: Whether overlays have a legend.
    """

    colors: np.ndarray
    names: Sequence[str]
    opacity: float
    legend: bool

    def overlay(self, rgb: np.ndarray, pred: np.ndarray, all_classes: bool = False) -> np.ndarray:
        """The colors over an image, above the legend of the classes that occur, or of all."""
        laid = overlay(rgb, pred, self.colors, self.opacity)
        if not self.legend:
            return laid
        classes = range(len(self.names)) if all_classes else occurring(pred, self.colors)
        return add_legend(laid, classes, self.colors, self.names)

    def save_legend(self, save_dir: Path) -> None:
        """Write the picture of all classes."""
        save_image(save_dir / LEGEND, legend_table(self.colors, self.names))


def _save(source: Source, save_dir: Path, image: np.ndarray, pred: np.ndarray, look: _Look) -> None:
    save_pred(save_dir / "ids" / source.target, pred)
    save_color(save_dir / "color" / source.target, pred, look.colors)
    save_image(save_dir / "overlay" / source.target, look.overlay(to_rgb(image), pred))


def _predict_video(path: Path, save_dir: Path, predict: Predict, look: _Look, channels: int) -> None:
    """Color and overlay become videos, ids a folder of PNG files, since video compression would alter them."""
    video, writers = Video(path), {}
    targets = {kind: save_dir / kind / f"{path.stem}.mp4" for kind in KINDS[1:]}
    for target in targets.values():
        if target.resolve() == path.resolve():
            raise UserError(f"--save_dir {save_dir}: {target} would overwrite the input; choose another folder")
        target.parent.mkdir(parents=True, exist_ok=True)
    number = 0

    def save(number: int, frame: np.ndarray, pred: np.ndarray) -> None:
        save_pred(save_dir / "ids" / path.stem / f"{number:06d}.png", pred)
        # with a legend of all classes, so that the frames have one size
        painted = color(pred, look.colors), look.overlay(frame[..., ::-1], pred, all_classes=True)
        for target, picture in zip(targets.values(), painted):
            if target not in writers:
                codec, size = cv2.VideoWriter_fourcc(*"mp4v"), picture.shape[1::-1]
                writers[target] = cv2.VideoWriter(str(target), codec, video.frames_per_second, size)
            writers[target].write(np.ascontiguousarray(picture[..., ::-1]))

    def predict_frames(frames: Iterable[np.ndarray]) -> Generator[LabelMap, None, None]:
        return predict(frames if channels == 3 else (cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) for frame in frames))

    try:
        bar = tqdm(total=video.length or None, unit="frame", leave=False, disable=None)
        with bar, behind() as later, closing(alongside(enumerate(ahead(video), 1), predict_frames)) as predicted:
            for number, frame, pred in predicted:
                later(save, number, frame, pred)
                bar.update()
    finally:
        for writer in writers.values():
            writer.release()
    if not number:
        raise UserError(f"{path}: the video has no frames")
    look.save_legend(save_dir)
    written = [save_dir / "ids" / path.stem, *targets.values(), save_dir / LEGEND]
    print(f"{number} frames: {', '.join(map(str, written))}")


def _refuse_overwriting(inputs: list[Path], targets: list[Path], save_dir: Path) -> None:
    given = {path.resolve() for path in inputs}
    for path in (save_dir / LEGEND, *(save_dir / kind / target for kind in KINDS for target in targets)):
        if path.resolve() in given:
            raise UserError(f"--save_dir {save_dir}: {path} is an input; choose another folder")


def _custom(colors: np.ndarray, custom: list[int] | None) -> np.ndarray:
    if not custom:
        return colors
    if len(custom) % 3 or len(custom) > colors.size or not all(0 <= value < 256 for value in custom):
        raise UserError(
            f"--custom_color: {len(custom)} values; it takes three of 0…255 for each of at most {len(colors)} classes"
        )
    colors = colors.copy()
    colors.reshape(-1)[: len(custom)] = custom
    return colors
