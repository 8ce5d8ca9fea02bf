"""Lets PaddleSeg read images, labels and weights through this package.

Its data sets read a label with ``np.asarray(Image.open(path))``, which gives uint16 for 16-bit files (Paddle makes them
bfloat16, and every id becomes 0) and colors for RGB ones, and an image with ``cv2.imread(path).astype(...)``, whose
failure is ``'NoneType' object has no attribute 'astype'``. In 2.8 as in the develop head both stand in `Compose`, and
the label's in ADE20K once more. EG1800 and SUPERVISELY read both with OpenCV, which makes gray values of palette
labels.

Its networks and scripts read weights with `paddle.load`, which runs what a pickle names, and fetch what an address
names with a downloader that unpacks archives wherever their members say. Both stand in `paddleseg.utils.utils`; two
backbones read their file once more to resize an embedding.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import paddle
import paddleseg.utils
from paddleseg.datasets import ade, eg1800, supervisely
from paddleseg.models.backbones import cae, vision_transformer
from paddleseg.transforms import Compose
from paddleseg.utils import utils

ReadImage = Callable[[str, int, Any], np.ndarray]
ReadLabel = Callable[[str], np.ndarray]
Check = Callable[[Any, np.ndarray, Any, np.ndarray], None]
ReadWeights = Callable[[str], dict[str, Any]]
LocalFile = Callable[[str, str], str]
OPTIMIZER = ".pdopt"  # of PaddleSeg's own checkpoints, which its scripts resume from; it holds more than arrays


def read_files_by(read_image: ReadImage, read_label: ReadLabel, check_pair: Check) -> None:
    """Replace how PaddleSeg's data sets read files; a second call replaces the first.

    Args:
        read_image: Of a path, the number of channels and the ``image_range`` that a `Compose` may have as an
            attribute: (H, W, 3) BGR or (H, W).
        read_label: Of a path: (H, W) class ids.
        check_pair: Of an image's path and pixels and its label's, before any transform; raises where they do not fit.
            Instead of a label's path it is None where the data set has read the label itself.
    """
    original = getattr(Compose.__call__, "original", Compose.__call__)

    def call(self: Compose, data: dict) -> dict:
        image, label = data.get("img"), data.get("label")
        if isinstance(image, str):
            data["img"] = read_image(image, self.img_channels, getattr(self, "image_range", None)).astype("float32")
        if isinstance(label, str):
            data["label"] = read_label(label)
        if isinstance(image, str) and isinstance(data.get("label"), np.ndarray):
            check_pair(image, data["img"], label if isinstance(label, str) else None, data["label"])
        return original(self, data)

    call.original = original  # type: ignore[attr-defined]
    Compose.__call__ = call
    ade.Image = SimpleNamespace(open=read_label)
    for module in (eg1800, supervisely):
        module.cv2 = _OpenCV(read_image, read_label)


class _OpenCV:
    """OpenCV but for `imread`; with the flag 0 those data sets read labels."""

    def __init__(self, read_image: ReadImage, read_label: ReadLabel) -> None:
        self._read_image, self._read_label = read_image, read_label

    def imread(self, path: str, flag: int = cv2.IMREAD_COLOR) -> np.ndarray:
        if flag == cv2.IMREAD_GRAYSCALE:
            return np.array(self._read_label(path))  # they write into it
        return self._read_image(path, 3, None)

    def __getattr__(self, name: str) -> Any:
        return getattr(cv2, name)


def read_weights_by(read: ReadWeights, local_file: LocalFile) -> None:
    """Replace how PaddleSeg reads and fetches weights; a second call replaces the first.

    Args:
        read: Of a path: arrays by name.
        local_file: Of an address and of what asks for it: the path of its file.
    """

    def download(address: str) -> str:
        return local_file(address, "pretrained")

    utils.download_pretrained_model = paddleseg.utils.download_pretrained_model = download
    for module in (utils, cae, vision_transformer):
        module.paddle = _Paddle(read)


class _Paddle:
    """Paddle but for `load`."""

    def __init__(self, read: ReadWeights) -> None:
        self._read = read

    def load(self, path: Any, **configs: Any) -> Any:
        return paddle.load(path, **configs) if str(path).endswith(OPTIMIZER) else self._read(path)

    def __getattr__(self, name: str) -> Any:
        return getattr(paddle, name)
