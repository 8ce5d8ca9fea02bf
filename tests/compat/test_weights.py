"""PaddleSeg's networks and scripts read weights through this package: no code in a file runs."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import paddle
import pytest
from paddle import nn
from paddleseg.models.backbones.vision_transformer import VisionTransformer
from paddleseg.utils import utils

from paddleseg_ext import UserError

pytestmark = pytest.mark.usefixtures("inside")


def attack(folder: Path) -> Path:
    class Attack:
        def __reduce__(self) -> tuple:
            return Path.touch, (folder / "ran",)

    path = folder / "attack.pdparams"
    path.write_bytes(pickle.dumps({"weight": Attack()}))
    return path


def test_a_backbone_that_reads_its_file_once_more(tmp_path: Path) -> None:
    sizes = {"patch_size": 16, "embed_dim": 8, "depth": 1, "num_heads": 2}
    path = tmp_path / "model.pdparams"
    path.write_bytes(pickle.dumps({}))
    small = VisionTransformer(img_size=32, **sizes, pretrained=str(path))
    paddle.save(small.state_dict(), str(path))
    large = VisionTransformer(img_size=64, **sizes, pretrained=str(path))
    assert large.pos_embed.shape == [1, 17, 8]
    np.testing.assert_array_equal(large.cls_token.numpy(), small.cls_token.numpy())
    np.testing.assert_allclose(large.pos_embed.numpy()[:, 0], small.pos_embed.numpy()[:, 0])
    with pytest.raises(UserError, match="refers to"):
        VisionTransformer(img_size=32, **sizes, pretrained=str(attack(tmp_path)))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("load", [utils.load_pretrained_model, utils.load_entire_model])
def test_the_functions_of_its_scripts(load: object, tmp_path: Path) -> None:
    net, path = nn.Linear(2, 3), tmp_path / "model.pdparams"
    paddle.save({"weight": paddle.ones([2, 3]), "bias": paddle.ones([7])}, str(path))
    before = net.bias.numpy()
    load(net, str(path))
    np.testing.assert_array_equal(net.weight.numpy(), np.ones([2, 3]))
    np.testing.assert_array_equal(net.bias.numpy(), before)  # of another shape
    with pytest.raises(UserError, match="refers to"):
        load(net, str(attack(tmp_path)))
    assert not (tmp_path / "ran").exists()


def test_its_own_checkpoints_are_resumed_from(tmp_path: Path) -> None:
    net = nn.Linear(2, 3)
    optimizer = paddle.optimizer.Momentum(0.1, parameters=net.parameters())
    net(paddle.ones([1, 2])).sum().backward()
    optimizer.step()
    folder = tmp_path / "iter_7"
    paddle.save(net.state_dict(), str(folder / "model.pdparams"))
    paddle.save(optimizer.state_dict(), str(folder / "model.pdopt"))
    other = nn.Linear(2, 3)
    again = paddle.optimizer.Momentum(0.1, parameters=other.parameters())
    assert utils.resume(other, again, str(folder)) == 7
    np.testing.assert_array_equal(other.weight.numpy(), net.weight.numpy())
