"""Shared by all tests: a backbone of a few thousand weights, and reproducible random numbers."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np
import paddle
import pytest
from paddle import nn

import paddleseg_ext  # noqa: F401
from paddleseg_ext.export import formats
from paddleseg_ext.training.validation import Validator
from tests.converting import Converters
from tests.inside import inside  # noqa: F401


class TinyBackbone(nn.Layer):
    """Four stages as a ResNet has them: strides 4, 8, then 8, 16 or 32 as ``output_stride`` says."""

    feat_channels = [8, 12, 16, 24]

    def __init__(self, output_stride: int = 8) -> None:
        super().__init__()
        strides = {8: (4, 2, 1, 1), 16: (4, 2, 2, 1), 32: (4, 2, 2, 2)}[output_stride]
        widths = [3, *self.feat_channels]
        self.stages = nn.LayerList(
            [nn.Conv2D(a, b, 3, stride=s, padding=1) for a, b, s in zip(widths[:-1], widths[1:], strides)]
        )

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        feats = []
        for stage in self.stages:
            x = nn.functional.relu(stage(x))
            feats.append(x)
        return feats


@pytest.fixture(autouse=True)
def _seed() -> None:
    paddle.seed(0)
    np.random.seed(0)


@pytest.fixture(autouse=True)
def _logger() -> None:
    """Commands run within tests, and within fixtures of modules, set up the package's logger; a test starts without."""
    logger = logging.getLogger("paddleseg_ext")
    logger.handlers.clear()
    logger.propagate = True
    logger.setLevel(logging.NOTSET)


@pytest.fixture(scope="session", autouse=True)
def _converters() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(formats, "subprocess", Converters())
        yield


@pytest.fixture(autouse=True)
def _without_curves(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing them takes most of the time of a small training that evaluates."""
    if not request.node.get_closest_marker("curves"):
        monkeypatch.setattr(Validator, "_draw", lambda *_: None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not (paddle.is_compiled_with_cuda() and paddle.device.cuda.device_count()):
        for item in items:
            if "gpu" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="needs a GPU"))
