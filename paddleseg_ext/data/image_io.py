"""Images and videos as files: finding, reading and writing them."""

from __future__ import annotations

import math
import os
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from paddleseg_ext.compat.environment import PIXELS_VARIABLE, max_pixels
from paddleseg_ext.data.image_decoding import decode, from_range, to_8_bits
from paddleseg_ext.data.text_lines import read_lines
from paddleseg_ext.errors import UserError, reason

MAX_PIXELS = max_pixels()
IMAGES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".npy"}
VIDEOS = {".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v"}
PNG: dict[str, Any] = {"format": "PNG", "compress_level": 1}  # a quarter of the time, 6 % larger
LISTS = {".txt", ".lst", ".csv"}


@dataclass(frozen=True)
class Source:
    """An input file.

    Attributes:
        path: Where it lies.
        target: Relative path of its results, which keeps the folder structure, ends in .png and is unlike any other's.
    """

    path: Path
    target: Path


def find_images(path: str | Path) -> list[Source]:
    """The images that `path` stands for, in alphabetical order or that of the list.

    Args:
        path: An image; a folder, searched to any depth; or a text file with an image in the first column of each
            line, relative to the file's folder.

    Raises:
        UserError: Nothing is there, or it is of another kind.
    """
    path = Path(path)
    if path.is_dir():
        root = path
        files = sorted(file for file in path.rglob("*") if file.suffix.lower() in IMAGES and not _hidden(file, path))
    elif not path.is_file():
        raise UserError(f"{path}: there is no such image, folder or list")
    elif path.suffix.lower() in IMAGES:
        root, files = path.parent, [path]
    elif path.suffix.lower() in LISTS:
        root, files = path.parent, _read_list(path)
    else:
        known = ", ".join(sorted(IMAGES | VIDEOS | LISTS))
        raise UserError(f"{path}: neither an image nor a list nor a video; known endings are {known}")
    if not files:
        raise UserError(f"{path}: there are no images in it")
    return _with_targets(files, root)


def is_video(path: str | Path) -> bool:
    """Whether the file's ending is that of a video."""
    return Path(path).suffix.lower() in VIDEOS


def image_size(path: str | Path) -> tuple[int, int]:
    """Width and height of an image, from the head of its file.

    Raises:
        UserError: It cannot be read.
    """
    try:
        if Path(path).suffix == ".npy":
            height, width, *_ = np.load(path, mmap_mode="r", allow_pickle=False).shape
            return width, height
        with open_image(path) as image:
            return image.size
    except UserError:
        raise
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"{path}: the image file cannot be read as a picture ({reason(error)})") from error


def open_image(path: str | Path) -> Image.Image:
    """An image file opened by Pillow, its size checked and its pixels not yet read.

    Raises:
        UserError: It is no regular file, or has more pixels than `MAX_PIXELS`.
        OSError, SyntaxError, ValueError: Pillow cannot open it.
    """
    if not Path(path).is_file():  # a pipe would be waited for
        raise UserError(f"{path}: there is no such file")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        Image.MAX_IMAGE_PIXELS = None  # what follows is the limit here
        image = Image.open(path)
    check_pixels(path, image.size)
    return image


def check_pixels(path: str | Path, size: Sequence[int]) -> None:
    """Refuse a file that would take more memory than anybody can mean.

    Raises:
        UserError: Its width and height make more than `MAX_PIXELS`.
    """
    if math.prod(size) > MAX_PIXELS:
        raise UserError(
            f"{path}: it has {math.prod(size) / 1e6:.0f} million pixels, more than {MAX_PIXELS / 1e6:.0f}; if that is "
            f"meant, set {PIXELS_VARIABLE} to a higher number"
        )


def read_image(path: str | Path, channels: int = 3, image_range: Sequence[float] | None = None) -> np.ndarray:
    """An image as OpenCV gives it: (H, W, 3) BGR, for one channel (H, W), otherwise (H, W, channels); uint8.

    The orientation that the EXIF data tell is applied. Pictures of 16 bits are scaled to 8, those of floats if
    `image_range` tells from where to where.

    Args:
        path: Any format that OpenCV reads, WebP, or ``.npy`` with two or three axes, uint8.
        channels: 1, 3, or the number of bands or gray pages of a TIFF, or of an array.
        image_range: The values that become 0 and 255, for pictures of more than 8 bits; by default 0 and 65535.

    Raises:
        UserError: It is no picture, is cut short, has another number of bands, values outside `image_range`, or 16 bits
            that do not fill their range.
    """
    path = Path(path)
    if not path.is_file():  # a pipe would be waited for
        raise UserError(f"{path}: the image file does not exist")
    image = decode(path, channels)
    if image.ndim not in (2, 3):
        raise UserError(f"{path}: it has {image.ndim} axes, and an image has two, or three with its bands")
    bands = 1 if image.ndim == 2 else image.shape[2]
    if bands != channels:
        raise UserError(f"{path}: it has {bands} bands, and img_channels is {channels}")
    if channels == 1:
        image = image.reshape(image.shape[:2])
    if image_range is not None:
        return from_range(image, path, image_range)
    return image if image.dtype == np.uint8 else to_8_bits(image, path)


def to_rgb(image: np.ndarray) -> np.ndarray:
    """What `read_image` gives as (H, W, 3) RGB to look at: of other bands than three the first three, or the first."""
    bands = image[..., None] if image.ndim == 2 else image
    return np.ascontiguousarray(bands[..., 2::-1] if bands.shape[2] >= 3 else np.repeat(bands[..., :1], 3, axis=2))


class Video:
    """Frames of a video, to be iterated once.

    Attributes:
        frames_per_second: Of the file, or 25 where it does not say.
        length: Number of frames that the file claims, 0 where it does not say.

    Raises:
        UserError: The file is missing or no video.
    """

    def __init__(self, path: str | Path) -> None:
        self._capture = cv2.VideoCapture(str(path))
        if not Path(path).is_file() or not self._capture.isOpened():
            raise UserError(f"{path}: the file cannot be read as a video")
        self.frames_per_second = self._capture.get(cv2.CAP_PROP_FPS) or 25.0
        self.length = max(0, int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))

    def __iter__(self) -> Iterator[np.ndarray]:
        """(H, W, 3) uint8 BGR."""
        while True:
            there, frame = self._capture.read()
            if not there:
                self._capture.release()
                return
            yield frame


def save_image(path: str | Path, image: np.ndarray) -> None:
    """Write an image as a PNG file, making its folder."""
    make_folder_of(path)
    Image.fromarray(np.ascontiguousarray(image)).save(path, **PNG)


def save_pred(path: str | Path, pred: np.ndarray) -> None:
    """Write (H, W) class ids as a gray PNG file of 8 bits, or of 16 where an id exceeds 255."""
    wide = pred.dtype.itemsize > 1 and int(pred.max(initial=0)) > 255
    save_image(path, pred.astype(np.uint16 if wide else np.uint8))


def make_folder_of(path: str | Path) -> None:
    """Make the folder that a file is to be written in."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)


def _read_list(path: Path) -> list[Path]:
    """The first column of each line, or the whole line where that is a file's name with spaces."""
    lines = [line for _, line in read_lines(path, "the list")]
    names = [line if (path.parent / line).is_file() else re.split(r"[\s,]+", line)[0] for line in lines]
    files = [path.parent / name for name in dict.fromkeys(names)]  # each once
    absent = [file for file in files if not file.is_file()]
    if absent:
        raise UserError(
            f"{path}: {len(absent)} of its {len(files)} images {'do' if len(absent) > 1 else 'does'} not exist, "
            f"the first is {absent[0]}"
        )
    return files


def _with_targets(files: list[Path], root: Path) -> list[Source]:
    targets = [_below(file, root) for file in files]
    shared = Counter(target.with_suffix(".png") for target in targets)
    sources = []
    for file, target in zip(files, targets):
        # of a.jpg and a.png, which would both become a.png, the results are a.jpg.png and a.png.png
        alone = shared[target.with_suffix(".png")] == 1
        sources.append(Source(file, target.with_suffix(".png") if alone else target.with_name(target.name + ".png")))
    return sources


def _below(file: Path, root: Path) -> Path:
    """The file's path below `root`; of one that a list names elsewhere, the whole path."""
    file, root = Path(os.path.abspath(file)), Path(os.path.abspath(root))  # symbolic links stay
    return file.relative_to(root) if root in file.parents else file.relative_to(file.anchor)


def _hidden(file: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(root).parts)
