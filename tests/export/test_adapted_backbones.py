"""Networks that pad their pictures, or make maps of the last one, are exported with free sizes as others are."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import paddle
import pytest
from paddle import nn
from paddleseg.cvlibs import manager

from paddleseg_ext import EncoderDecoder
from paddleseg_ext.export.exporter import Export
from paddleseg_ext.export.runtimes import open_runner
from paddleseg_ext.heads import DeepLabV3PlusHead, FCNHead
from tests.backbones.test_maps import Patches
from tests.export.test_exporter import FORMATS
from tests.export.test_fuse_bn import with_statistics


def check(net: nn.Layer, folder: Path, formats: tuple[str, ...] = FORMATS) -> None:
    report = Export(formats=formats, output_op="none").write(net, folder)
    assert report["verification"]["difference"] <= 1e-4
    images = np.random.default_rng(1).normal(size=(2, 3, 51, 70)).astype(np.float32)
    with paddle.no_grad():
        expected = net(paddle.to_tensor(images))[0].numpy()
    assert expected.shape == (2, 5, 51, 70)
    for backend in formats:
        found = open_runner(folder, backend)(images)
        assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("head", [FCNHead, pytest.param(DeepLabV3PlusHead, marks=pytest.mark.slow)])
def test_tokens_padding_and_pyramid(head: type, tmp_path: Path) -> None:
    net = EncoderDecoder(5, Patches(), partial(head, channels=8))
    assert net.maps.multiple == 16 and (net.pyramid is not None) is (head is DeepLabV3PlusHead)
    check(with_statistics(net), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["Lite_HRNet_18", "HRNet_W18_Small_V1"])
def test_paddlesegs_backbones(backbone: str, tmp_path: Path) -> None:
    net = EncoderDecoder(5, manager.BACKBONES.components_dict[backbone](), partial(DeepLabV3PlusHead, channels=8))
    check(with_statistics(net), tmp_path, ("paddle",))
