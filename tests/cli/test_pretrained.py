"""Weights to start from: loaded whatever the constructor does, never fetched where others are about to be loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
import requests
from paddle import nn
from paddleseg.cvlibs import manager

from paddleseg_ext import Builder, build_model, load_config
from paddleseg_ext.checkpoint.positions import fit_positions
from paddleseg_ext.cli.main import main
from tests.tiny_run import CLASSES, write_config, write_samples

ADDRESS = "https://example.invalid/weights/model.pdparams"
TRANSFORMER = {
    "type": "VisionTransformer",
    "img_size": 32,
    "patch_size": 8,
    "embed_dim": 16,
    "depth": 2,
    "num_heads": 2,
}


@manager.BACKBONES.add_component
class NeedsWeights(nn.Layer):
    """A backbone whose constructor cannot do without weights, and loads them itself."""

    embed_dim = 16

    def __init__(self, pretrained: str | None, in_channels: int = 3) -> None:
        super().__init__()
        self.pretrained = pretrained
        self.embed = nn.Conv2D(in_channels, self.embed_dim, 8, stride=8)

    def forward(self, x: paddle.Tensor) -> Any:
        x = self.embed(x)
        return [x.flatten(2).transpose([0, 2, 1])], paddle.shape(x)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_samples(tmp_path)


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Addresses that something tried to fetch."""
    addresses: list[str] = []

    def send(self: requests.Session, request: requests.PreparedRequest, **_: object) -> None:
        addresses.append(request.url)
        raise requests.ConnectionError("no network")

    monkeypatch.setattr(requests.Session, "send", send)
    return addresses


def segmenter(**backbone: object) -> dict:
    return {"type": "LinearSegmenter", "num_classes": CLASSES, "backbone": {**TRANSFORMER, **backbone}}


def train(config: Path, *arguments: str) -> int:
    folder = str(config.parent / "out")
    return main(["train", "--config", str(config), "--iters", "2", "--save_dir", folder, "--seed", "1", *arguments])


def save(layer: nn.Layer, path: Path) -> str:
    paddle.save(layer.state_dict(), str(path))
    return str(path)


def test_paddlesegs_segmenter_trains_from_local_weights_of_other_pictures(
    root: Path, capsys: pytest.CaptureFixture, fetched: list[str]
) -> None:
    trained = manager.BACKBONES.components_dict["VisionTransformer"](
        **{key: value for key, value in TRANSFORMER.items() if key != "type"} | {"img_size": 48}
    )
    weights = save(trained, root / "vit.pdparams")
    config = write_config(
        root, model=segmenter(pretrained=weights), loss={"types": [{"type": "CrossEntropyLoss"}], "coef": [1]}
    )
    backbone = build_model(config).backbone
    np.testing.assert_array_equal(backbone.blocks[1].mlp.fc1.weight, trained.blocks[1].mlp.fc1.weight)
    expected = trained.resize_pos_embed(trained.pos_embed, (6, 6), (4, 4))
    np.testing.assert_allclose(backbone.pos_embed.numpy(), expected.numpy(), rtol=1e-6)
    assert train(config, "--do_eval") == 0
    out = capsys.readouterr().out
    assert "tensors loaded" in out and "missing" not in out and "mismatched" not in out
    assert (root / "out" / "iter_2" / "model.pdparams").is_file()
    assert fetched == []


@pytest.mark.slow
def test_paddlesegs_segmenter_on_vit_small_trains_from_local_weights(root: Path) -> None:
    weights = save(manager.BACKBONES.components_dict["ViT_small_patch16_224"](), root / "vit.pdparams")
    model = {
        "type": "LinearSegmenter",
        "num_classes": CLASSES,
        "backbone": {"type": "ViT_small_patch16_224", "img_size": 64, "pretrained": weights},
    }
    config = write_config(root, model=model, loss={"types": [{"type": "CrossEntropyLoss"}], "coef": [1]})
    assert train(config, "--do_eval") == 0
    assert (root / "out" / "iter_2" / "model.pdparams").is_file()


@pytest.mark.parametrize("kind", ["VisionTransformer", "CAE"])
def test_transformers_are_built_without_weights(kind: str, root: Path) -> None:
    config = write_config(root, model=segmenter(type=kind, pretrained=None))
    assert build_model(config).backbone.pretrained is None


def test_positions_of_no_square_are_left_to_be_told() -> None:
    model = manager.BACKBONES.components_dict["VisionTransformer"](img_size=32, embed_dim=8, depth=1, num_heads=2)
    for shape in [(1, 7, 8), (1, 10, 6), (10, 8)]:
        weights = {"pos_embed": np.zeros(shape, "float32")}
        assert fit_positions(weights, model)["pos_embed"].shape == shape


def test_weights_that_cannot_be_fetched_are_told(root: Path, capsys: pytest.CaptureFixture, fetched: list[str]) -> None:
    assert train(write_config(root, model=segmenter(pretrained=ADDRESS))) == 2
    assert f"model.backbone.pretrained: {ADDRESS} cannot be downloaded" in capsys.readouterr().err
    assert fetched == [ADDRESS]


def test_nothing_is_fetched_where_other_weights_are_about_to_be_loaded(root: Path, fetched: list[str]) -> None:
    loss = {"types": [{"type": "CrossEntropyLoss"}], "coef": [1]}
    assert train(write_config(root, model=segmenter(), loss=loss), "--iters", "1", "--save_interval", "1") == 0
    weights = str(root / "out" / "iter_1" / "model.pdparams")
    config = write_config(root, model={**segmenter(pretrained=ADDRESS), "pretrained": ADDRESS}, loss=loss)
    assert train(config, "--resume", "auto", "--resume_anyway") == 0
    apply = ["--config", str(config), "--model_path", weights, "--device", "cpu"]
    assert main(["val", *apply]) == 0
    picture = ["--image_path", str(root / "image0.png"), "--save_dir", str(root / "predicted")]
    assert main(["predict", *apply, *picture]) == 0
    assert main(["export", *apply, "--no_verify", "--save_dir", str(root / "exported")]) == 0
    build_model(config, pretrained=False)
    assert fetched == []


def test_a_whole_networks_weights_spare_its_backbones(root: Path, fetched: list[str]) -> None:
    whole = build_model(write_config(root, model=segmenter()))
    file = save(whole, root / "whole.pdparams")
    config = write_config(root, model={**segmenter(pretrained=ADDRESS), "pretrained": file})
    again = build_model(config)
    assert fetched == []
    np.testing.assert_array_equal(again.head.head.weight, whole.head.head.weight)
    head_alone = {name: value for name, value in whole.state_dict().items() if not name.startswith("backbone.")}
    paddle.save(head_alone, file)
    local = save(whole.backbone, root / "backbone.pdparams")
    again = build_model(config, opts=[f"model.backbone.pretrained={local}"])
    np.testing.assert_array_equal(again.backbone.cls_token, whole.backbone.cls_token)
    np.testing.assert_array_equal(again.backbone.patch_embed.proj.weight, whole.backbone.patch_embed.proj.weight)


def test_constructors_that_need_weights_get_them(root: Path, fetched: list[str]) -> None:
    file = root / "backbone.pdparams"
    file.touch()
    model = {"type": "LinearSegmenter", "num_classes": CLASSES, "backbone": {"type": "NeedsWeights"}}
    config = write_config(root, model={**model, "backbone": {**model["backbone"], "pretrained": str(file)}})
    assert build_model(config).backbone.pretrained == str(file)
    config = write_config(root, model={**model, "backbone": {**model["backbone"], "pretrained": ADDRESS}})
    assert Builder(load_config(config), pretrained=False).model.backbone.pretrained is None
    assert build_model(write_config(root, model=model)).backbone.pretrained is None
    assert fetched == []


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["MobileNetV2_x0_25", "ShuffleNetV2_x0_25"])
def test_backbones_with_named_parameters_run_dry(backbone: str, root: Path) -> None:
    model = {
        "type": "EncoderDecoder",
        "num_classes": CLASSES,
        "backbone": {"type": backbone},
        "decode_head": {"type": "PSPHead", "channels": 8},
    }
    loss = {"types": [{"type": "CrossEntropyLoss"}], "coef": [1]}
    assert train(write_config(root, model=model, loss=loss), "--dry_run") == 0


def test_what_a_backbone_needs_is_told_with_the_head(root: Path, capsys: pytest.CaptureFixture) -> None:
    model = {
        "type": "EncoderDecoder",
        "num_classes": CLASSES,
        "backbone": {"type": "ViTAdapter"},
        "decode_head": {"type": "PSPHead"},
    }
    assert train(write_config(root, model=model)) == 2
    assert "PSPHead cannot be put on ViTAdapter, which needs interaction_indexes" in capsys.readouterr().err
