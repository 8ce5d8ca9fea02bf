"""Lets PaddleSeg's networks and scripts read and fetch weights through this package.

PaddleSeg reads them with `paddle.load`, which runs what a pickle names, and fetches what an address names with a
downloader that unpacks archives wherever their members say. Both stand in `paddleseg.utils.utils`; two backbones read
their file once more to resize an embedding.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import paddle
import paddleseg.utils
from paddleseg.models.backbones import cae, vision_transformer
from paddleseg.utils import utils

ReadWeights = Callable[[str], dict[str, Any]]
LocalFile = Callable[[str, str], str]
OPTIMIZER = ".pdopt"  # of PaddleSeg's own checkpoints, which its scripts resume from; it holds more than arrays


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
        module.paddle = _Reading(read)


class _Reading:
    """Paddle but for `load`."""

    def __init__(self, read: ReadWeights) -> None:
        self._read = read

    def load(self, path: Any, **configs: Any) -> Any:
        return paddle.load(path, **configs) if str(path).endswith(OPTIMIZER) else self._read(path)

    def __getattr__(self, name: str) -> Any:
        return getattr(paddle, name)
