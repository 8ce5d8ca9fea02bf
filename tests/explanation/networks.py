"""Small networks with every head, and what they explain about a picture."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import paddle

from paddleseg_ext import EncoderDecoder, heads
from paddleseg_ext.evaluation.task import Task
from paddleseg_ext.explanation import View
from paddleseg_ext.explanation.geometry import Geometry, grid
from paddleseg_ext.inference import Segmentor
from tests.conftest import TinyBackbone
from tests.export.test_fuse_bn import with_statistics

NAMES = ["sky", "road", "a tree", "行人 <b>"]
COLORS = np.array([[1, 2, 3], [250, 0, 9], [0, 99, 0], [60, 60, 220]], np.uint8)
HEADS: dict[str, Callable[..., Any]] = {
    "ASPPHead": partial(heads.ASPPHead, channels=8, dilations=[2, 3]),
    "CCHead": partial(heads.CCHead, channels=16),
    "DMHead": partial(heads.DMHead, channels=8, filter_sizes=(1, 2, 3)),
    "DeepLabV3PlusHead": partial(heads.DeepLabV3PlusHead, channels=8, low_channels=6, dilations=[2, 3]),
    "EncHead": partial(heads.EncHead, channels=8, num_codes=5, laterals=(-2,)),
    "FCNHead": partial(heads.FCNHead, channels=8),
    "FastFCNHead": partial(
        heads.FastFCNHead, jpu_channels=6, head=partial(heads.EncHead, channels=8, num_codes=5, bottleneck_kernel=1)
    ),
    "PSPHead": partial(heads.PSPHead, channels=8, bin_sizes=(1, 2, 3)),
}


def network(name: str, **options: Any) -> EncoderDecoder:
    """A network whose weights and statistics are random, and whose attention counts."""
    stride = 32 if name == "FastFCNHead" else 8
    made = EncoderDecoder(len(NAMES), TinyBackbone(stride), partial(HEADS[name], **options))
    for parameter_name, parameter in made.named_parameters():
        if parameter_name.endswith("gamma"):
            parameter.set_value(paddle.full([1], 0.7))
        if "query" in parameter_name:  # else one pixel has all of the attention
            parameter.set_value(1e-4 * parameter)
    with_statistics(made)
    made.eval()
    return made


def picture(height: int = 45, width: int = 61) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def segmentor(made: paddle.nn.Layer, transforms: Any = ()) -> Segmentor:
    return Segmentor(made, Task(NAMES, COLORS, transforms), device="cpu")


def view_of(head: paddle.nn.Layer, feats: list[paddle.Tensor], size: tuple[int, int] = (40, 56)) -> View:
    """A head alone at work on maps, as an explainer sees it."""
    head.eval()
    geometry = Geometry(size, [], size, 1, grid(size, 3, 2), False)
    return View(lambda: head(feats), geometry, NAMES, np.zeros((6, len(NAMES))), np.zeros(size, int), [0])
