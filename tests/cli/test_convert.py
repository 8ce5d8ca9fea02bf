"""`paddleseg-ext convert` from a published file to weights that the other commands take."""

from __future__ import annotations

import json
import pickle
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import paddle
import pytest
import yaml
from paddleseg import models
from safetensors.numpy import load_file

from paddleseg_ext import build_model, load_weights
from paddleseg_ext.checkpoint.load import read_weights
from paddleseg_ext.cli.commands.convert import _untrained
from paddleseg_ext.cli.main import main
from paddleseg_ext.errors import UserError
from tests.importers import test_originals

ROOT = Path(__file__).parents[2]
DATA = Path(__file__).parents[1] / "data" / "importers"
LEGACY, ZIP = DATA / "mmseg_0x_legacy.pth", DATA / "mmseg_1x_zip.pth"
MODEL = {
    "type": "EncoderDecoder",
    "num_classes": 3,
    "backbone": {
        "type": "ResNet18_v1c",
        "output_stride": 8,
        "base_channels": 1,
        "stem_channels": 2,
        "pretrained": "https://example.invalid/never-fetched.pdparams",
    },
    "decode_head": {"type": "PSPHead", "channels": 4},
    "auxiliary_heads": [{"type": "FCNHead", "in_index": 2, "channels": 2}],
}


def write_config(folder: Path, **changes: object) -> Path:
    content = {
        "batch_size": 2,
        "iters": 10,
        "train_dataset": {"type": "Dataset", "dataset_root": "nowhere", "transforms": []},
        "optimizer": {"type": "SGD"},
        "lr_scheduler": {"type": "PolynomialDecay", "learning_rate": 0.1},
        "loss": {"types": [{"type": "CrossEntropyLoss"}], "coef": [1, 0.4]},
        "model": {**MODEL, **changes},
    }
    content["train_dataset"]["num_classes"] = content["model"]["num_classes"]
    path = folder / "config.yml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def convert(folder: Path, source: str, checkpoint: Path, *more: str, output: str = "out/model.pdparams") -> int:
    config = str(folder / "config.yml")
    return main(["convert", source, str(checkpoint), "--config", config, "--output", str(folder / output), *more])


def image(height: int, width: int) -> paddle.Tensor:
    return paddle.to_tensor(2 * np.sin(0.37 * np.arange(3 * height * width)).reshape(1, 3, height, width), "float32")


@pytest.mark.parametrize("output", ["out/model.pdparams", "model.safetensors"])
@pytest.mark.parametrize("checkpoint", [LEGACY, ZIP], ids=["0x_legacy", "1x_zip"])
def test_mmseg(tmp_path: Path, checkpoint: Path, output: str, capsys: pytest.CaptureFixture) -> None:
    config = write_config(tmp_path)
    assert convert(tmp_path, "mmseg", checkpoint, output=output) == 0
    assert "step counters of BatchNorm" in capsys.readouterr().out
    model = build_model(config, opts=["model.backbone.pretrained=None"])
    model.eval()
    load_weights(model, tmp_path / output)
    with paddle.no_grad():
        logits = model(image(65, 97))[0].numpy()
    expected = np.load(DATA / "mmseg_checkpoint_logits.npy")
    assert np.abs(logits - expected).max() <= 1e-4 * np.abs(expected).max()

    record = json.loads((tmp_path / output).with_suffix(".json").read_text(encoding="utf-8"))
    assert record["classes"] == ["road", "sky", "car"] and record["iteration"] == 80000
    assert record["palette"][0] == [128, 64, 128] and record["source"] == "mmseg"
    assert record["left_out"] and all(name.endswith("num_batches_tracked") for name in record["left_out"])


def test_auxiliary_head_that_the_configuration_lacks_is_listed(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    write_config(tmp_path, auxiliary_heads=[])
    assert convert(tmp_path, "mmseg", ZIP) == 0
    assert "left out: auxiliary_head.conv_seg.weight\n" in capsys.readouterr().out


def test_paddleseg(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    reference = models.ENCNet(3, models.ResNet18_vd(output_stride=8), num_codes=4, mid_channels=8)
    reference.eval()
    for name, value in reference.state_dict().items():
        if name.endswith(("_mean", "_conv.bias")):
            value.set_value(paddle.randn(value.shape) * 0.3)
    paddle.save(reference.state_dict(), str(tmp_path / "stock.pdparams"))
    write_config(
        tmp_path,
        backbone={"type": "ResNet18_vd", "output_stride": 8},
        decode_head={"type": "EncHead", "channels": 8, "num_codes": 4},
        auxiliary_heads=[{"type": "FCNHead", "in_index": 2, "channels": 8}],
    )
    assert convert(tmp_path, "paddleseg", tmp_path / "stock.pdparams", output="model.safetensors") == 0
    assert "left out" not in capsys.readouterr().out
    model = build_model(tmp_path / "config.yml")
    model.eval()
    model.set_state_dict({k: paddle.to_tensor(v) for k, v in load_file(tmp_path / "model.safetensors").items()})
    with paddle.no_grad():
        expected, logits = reference(image(65, 97))[0].numpy(), model(image(65, 97))[0].numpy()
    assert np.abs(logits - expected).max() <= 1e-4 * np.abs(expected).max()


def test_backbone_alone(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    whole = build_model(config, opts=["model.backbone.pretrained=None"])
    backbone = {name: value for name, value in whole.backbone.state_dict().items()}
    renamed = {
        name.replace("_mean", "running_mean").replace("_variance", "running_var"): x for name, x in backbone.items()
    }
    paddle.save({**renamed, "fc.weight": paddle.ones([2, 2])}, str(tmp_path / "imagenet.pdparams"))
    assert convert(tmp_path, "mmseg", tmp_path / "imagenet.pdparams", "--backbone") == 0
    fresh = build_model(config, opts=[f"model.backbone.pretrained={tmp_path / 'out/model.pdparams'}"])
    for name, value in fresh.backbone.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), backbone[name].numpy())


def checkpoint(folder: Path, content: dict) -> Path:
    path = folder / "file.pth"
    path.write_bytes(pickle.dumps(content, 2))
    return path


def test_a_papers_repository(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """CCNet's, with the repository's configuration; and what no weight shows: its colors."""
    state = test_originals.read("ccnet")[0]
    leaf = ROOT / "configs" / "ccnet" / "ccnet_resnet101_v1c_os8_cityscapes_769x769_60k_official.yml"
    narrow = "model.backbone.base_channels=2 model.backbone.stem_channels=4 model.decode_head.channels=16".split()
    narrow += ["model.num_classes=5"]
    narrow += ["model.auxiliary_heads=[{'type':'FCNHead','in_index':2,'channels':16,'act':'leaky_relu'}]"]
    arguments = ["convert", "ccnet", str(checkpoint(tmp_path, state)), "--config", str(leaf)]
    output = tmp_path / "ccnet.pdparams"
    assert main([*arguments, "--output", str(output), "--opts", *narrow]) == 0
    printed = capsys.readouterr().out
    assert printed == f"{output}: {len(state) - 1} tensors\n"  # a bias is folded
    assert json.loads(output.with_suffix(".json").read_text(encoding="utf-8"))["left_out"] == []
    write_config(
        tmp_path,
        num_classes=5,
        backbone={
            "type": "ResNet101_v1c",
            "base_channels": 2,
            "stem_channels": 4,
            "contract_dilation": False,
        },
        decode_head={"type": "CCHead", "channels": 16},
        auxiliary_heads=[],
        align_corners=True,
    )
    assert convert(tmp_path, "ccnet", tmp_path / "file.pth") == 0
    printed = capsys.readouterr().out
    assert "left out: dsn.0.weight\n" in printed
    assert re.search(r"warning: .*CCNet normalizes images with mean \[0\.48109, .* std \[0\.00392, ", printed)


def test_the_entry_that_was_taken_is_told(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    write_config(tmp_path)
    state = {f"module._orig_mod.{name}": value for name, value in read_weights(ZIP).items()}
    path = checkpoint(tmp_path, {"epoch": 3, "ema": state, "model": state})
    assert convert(tmp_path, "mmseg", path) == 0
    printed = capsys.readouterr().out
    assert "tensors from model\nweights in the file that were not taken (choose by --key): ema\n" in printed
    assert convert(tmp_path, "mmseg", path, "--key", "ema") == 0
    assert "tensors from ema\n" in capsys.readouterr().out
    assert json.loads((tmp_path / "out/model.json").read_text(encoding="utf-8"))["key"] == "ema"


@pytest.mark.parametrize(
    "change, arguments, message",
    [
        ({}, {"output": "model.pth"}, r"--output .*model\.pth: its name must end in \.pdparams or \.safetensors"),
        ({}, {"checkpoint": Path("none.pth")}, "none.pth is not a file"),
        ({"num_classes": 4}, {}, r"classifier\.weight is \[3, .* change model\.num_classes"),
        ({"align_corners": True}, {}, "trained with align_corners: false.* set model.align_corners: false"),
        ({"type": "PSPNet"}, {}, "model: PSPNet: unknown argument 'auxiliary_heads'"),
        ({}, {"source": "paddleseg"}, "not the weights of a network of PaddleSeg"),
        ({}, {"more": ["--backbone"], "source": "paddleseg"}, "--backbone: PaddleSeg's backbones"),
        ({}, {"more": ["--backbone"], "source": "ccnet"}, "--backbone: only mmseg's backbones"),
        (
            {},
            {"more": ["--key", "ema"]},
            r"entry 'ema' of --key does not exist; the file has at its top meta .*state_dict",
        ),
        ({"backbone": {"type": "ResNet18_v1c", "base_channels": 1}}, {}, r"stem_channels of model\.backbone to 2 in"),
        ({"decode_head": {"type": "CCHead", "channels": 8}}, {}, r"of PSPHead but the model is CCHead: change"),
        ({}, {"source": "semseg"}, r"hszhao/semseg that can be .* It looks like mmseg: give that in place of semseg"),
        ({}, {"more": ["--backbone"]}, r"no weights for \d+ of .* change model\.backbone"),
    ],
)
def test_mistakes_are_told_in_a_sentence(
    tmp_path: Path, change: dict, arguments: dict, message: str, capsys: pytest.CaptureFixture
) -> None:
    write_config(tmp_path, **change)
    arguments = {"source": "mmseg", "checkpoint": ZIP, "more": [], "output": "model.pdparams", **arguments}
    more = arguments.pop("more")
    assert convert(tmp_path, arguments["source"], arguments["checkpoint"], *more, output=arguments["output"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert re.search(message, error)
    assert not (tmp_path / arguments["output"]).exists()


def test_a_network_of_another_form_is_told() -> None:
    config: Any = SimpleNamespace(dic={"model": {"type": "PSPNet"}})
    with pytest.raises(UserError, match=r"x\.yml: its model is PSPNet, but only EncoderDecoder"):
        _untrained(config, "x.yml")
