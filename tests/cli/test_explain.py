"""`paddleseg-ext explain`: the page it writes, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import cv2
import paddle
import pytest

import paddleseg_ext
from paddleseg_ext.builder import Builder, load_config
from paddleseg_ext.cli.main import main
from paddleseg_ext.errors import UserError
from tests.tiny_run import CLASSES, write_config, write_samples


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("explain")
    write_samples(root, 2)
    config = write_config(root)
    paddle.save(Builder(load_config(config)).model.state_dict(), str(root / "model.pdparams"))
    weights = [
        "--config",
        str(config),
        "--model_path",
        str(root / "model.pdparams"),
        "--save_dir",
        str(root / "export"),
    ]
    assert main(["export", *weights, "--no_verify", "--device", "cpu"]) == 0
    (root / "broken.png").write_bytes(b"nothing")
    return root


def explain(root: Path, *arguments: str, image: str = "image0.png", weights: str = "model.pdparams") -> int:
    flags = ["--config", str(root / "config.yml"), "--model_path", str(root / weights), "--device", "cpu"]
    return main(["explain", *flags, "--image_path", str(root / image), "--save_dir", str(root / "out"), *arguments])


def test_a_page_and_pictures(root: Path, capsys: pytest.CaptureFixture) -> None:
    pixels = ["--pixel", "3", "4", "9", "9", "--pixel", "31", "31"]
    assert explain(root, *pixels, "--classes", "class 1", "2", "--pictures") == 0
    assert str(root / "out" / "index.html") in capsys.readouterr().out
    pictures = root / "out" / "pictures"
    fields = pictures / "effective_receptive_field" / "gradient"
    assert sorted(path.name for path in fields.iterdir()) == ["x31_y31", "x3_y4", "x9_y9"]
    classes = pictures / "class_activation" / "grad_cam_on_the_classifier_s_input"
    assert sorted(path.name for path in classes.iterdir()) == ["1_class_1", "2_class_2"]
    assert cv2.imread(str(next(fields.rglob("*.png")))).shape == (32, 32, 3)


@pytest.mark.parametrize(
    "arguments, told",
    [
        (["--pixel", "32", "0"], "--pixel: 32 0 lies outside the image of 32×32; x is 0…31, y is 0…31"),
        (["--pixel", "1", "2", "3"], "--pixel 1 2 3: each pixel is two numbers, x and y"),
        (["--pixel", "-1", "2"], "--pixel"),
        (["--pixel", "1", "2", "--grid", "2", "2"], "--grid: with --pixel there is no effect"),
        (["--grid", "99", "99"], "--grid: 99 99 is not allowed; it is columns and rows, at most 400 pixels"),
        (["--classes", "clas 1"], "--classes: 'clas 1' is no class of the network; did you mean 'class 1'"),
        (["--classes", str(CLASSES)], "--classes: '3' is no class of the network; they are class 0, class 1, class 2"),
    ],
)
def test_mistakes_are_told(root: Path, arguments: list[str], told: str, capsys: pytest.CaptureFixture) -> None:
    assert explain(root, *arguments) == 2
    err = capsys.readouterr().err
    assert told in err and err.count("\n") == 1


@pytest.mark.parametrize(
    "files, told",
    [
        ({"weights": "export"}, "export: an exported network has no layers to look into"),
        ({"weights": "none.pdparams"}, "none.pdparams"),
        ({"image": "none.png"}, "none.png: there is no such image, folder or list"),
        ({"image": "broken.png"}, "broken.png: the image file cannot be read as a picture"),
        ({"image": "."}, "images; give one of them"),
    ],
)
def test_files_that_do_not_fit(root: Path, files: dict, told: str, capsys: pytest.CaptureFixture) -> None:
    assert explain(root, **files) == 2
    err = capsys.readouterr().err
    assert told in err and err.count("\n") == 1


def test_an_export_in_python(root: Path) -> None:
    model = paddleseg_ext.load(root / "export", device="cpu")
    with pytest.raises(UserError, match="export: an exported network has no layers to look into"):
        model.explain(root / "image0.png")
