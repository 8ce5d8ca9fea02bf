"""`init`: a configuration to edit, alone and on own data, that trains; what is there stays; mistakes in a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from paddleseg_ext import load_config
from paddleseg_ext.cli.main import main
from tests.data.prepare.trees import contents
from tests.tiny_run import write_samples

NAMED = "deeplabv3plus_efficientnet_lite0_os16_camvid_240x180_1150"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a folder of data and its classes."""
    (tmp_path / "我的").mkdir()
    write_samples(tmp_path / "我的")
    (tmp_path / "我的" / "val.txt").write_text("image0.png label0.png\n")
    (tmp_path / "我的" / "labels.txt").write_text("gray\nred\nblue\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_configuration_of_the_package(root: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["init", "quickstart/pspnet"]) == 0
    assert "train with: paddleseg-ext train --config pspnet.yml" in capsys.readouterr().out
    assert load_config("pspnet.yml").dic == load_config("quickstart/pspnet").dic
    before = contents(root)
    assert main(["init", "quickstart/pspnet"]) == 2
    assert (
        capsys.readouterr().err == "error: pspnet.yml is there; --force replaces it, and --output names another file\n"
    )
    assert contents(root) == before
    assert main(["init", "quickstart/ccnet", "--force", "--output", "pspnet.yml"]) == 0
    assert load_config("pspnet.yml").dic["model"]["decode_head"]["type"] == "CCHead"
    assert main(["init", "pspnet.yml", "--output", "new/again.yml"]) == 0  # a file of one's own
    assert load_config("new/again.yml").dic == load_config("pspnet.yml").dic


def test_own_data_train(root: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["init", "--own_data", "我的", "--backbone", "ResNet18_vd"]) == 0
    captured = capsys.readouterr()
    assert "我的.yml: a small PSPNet on ResNet18_vd from random weights, as asked for" in captured.out
    assert "as asked for" in (root / "我的.yml").read_text("utf-8").splitlines()[0] and not captured.err
    run = ["--iters", "2", "--save_interval", "2", "--do_eval", "--device", "cpu", "--save_dir", "run"]
    assert main(["train", "--config", "我的.yml", *run]) == 0
    assert (root / "run" / "best_model").is_dir()


def test_own_data_under_a_known_network(root: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["init", NAMED, "--own_data", "我的", "--output", "x.yml"]) == 0
    assert "where images have 32×32 pixels" in capsys.readouterr().out
    config, known = load_config("x.yml").dic, load_config(NAMED).dic
    assert config["train_dataset"]["classes"] == ["gray", "red", "blue"] and config["model"]["num_classes"] == 3
    assert config["val_dataset"]["transforms"][0] == {**known["val_dataset"]["transforms"][0], "keep_ratio": True}
    assert config["train_dataset"]["transforms"] == known["train_dataset"]["transforms"]
    for section in ("optimizer", "lr_scheduler", "train", "iters"):
        assert config[section] == known[section]
    assert config["model"]["decode_head"] == known["model"]["decode_head"]


def test_a_folder_without_lists_and_classes(root: Path, capsys: pytest.CaptureFixture) -> None:
    data = root / "plain"
    for kind in ("image", "label"):
        (data / f"{kind}s").mkdir(parents=True)
        for number in range(6):
            (root / "我的" / f"{kind}{number}.png").rename(data / f"{kind}s" / f"{number}.png")
    assert main(["init", "--own_data", "plain"]) == 2
    assert capsys.readouterr().err.startswith("error: SegmentationFolder: the classes stand neither in ")
    (root / "names.txt").write_text("1 2 3 gray\n4 5 6 red\n7 8 9 blue\n")
    assert main(["init", "--own_data", "plain", "--classes", "names.txt", "--backbone", "ResNet18_vd"]) == 0
    assert "warning: plain: training and validation have the same images" in capsys.readouterr().err
    section = load_config("plain.yml").dic["train_dataset"]
    assert section["classes"] == ["gray", "red", "blue"] and section["palette"][1] == [4, 5, 6]


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        ([], "name: give a configuration (paddleseg-ext list configs), or --own_data, or both"),
        (
            ["pspnte"],
            "pspnte: there is no such file, and no configuration of that name comes with the package; did you",
        ),
        (["--own_data", "nowhere"], "SegmentationFolder: the classes stand neither in "),
        (["--own_data", "nowhere", "--classes", "2"], "SegmentationFolder: there is no folder "),
        (["pspnet", "--classes", "2"], "--classes: without --own_data there is no effect"),
        (["pspnet", "--backbone", "ResNet18_vd"], "--backbone: it is of the network that is made for own data"),
        (
            ["pspnet", "--own_data", "我的", "--crop_size", "8", "8"],
            "--crop_size: it is of the network that is made for",
        ),
        (["pspnet", "--output", "我的"], "--output: 我的: it is a folder, not a file"),
        (["pspnet", "--output", "pspnet.txt"], "--output pspnet.txt: its name must end in .yml or .yaml"),
        (["我的/labels.txt"], "我的/labels.txt: it holds str, not keys and values"),
    ],
)
def test_mistakes_are_told(root: Path, arguments: list[str], sentence: str, capsys: pytest.CaptureFixture) -> None:
    before = contents(root)
    assert main(["init", *arguments]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"error: {sentence}") and err.count("\n") == 1
    assert contents(root) == before
