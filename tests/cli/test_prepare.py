"""`prepare`: every source from the command line, and mistakes in one sentence with the flags' names."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from paddleseg_ext import load_config
from paddleseg_ext.cli import main
from paddleseg_ext.cli.commands import prepare
from tests.data.prepare.trees import contents, photo, save


def call(*arguments: object) -> int:
    return main.main(["prepare", *map(str, arguments), "--num_workers", "0"])


@pytest.fixture
def folders(tmp_path: Path) -> list[object]:
    """Images brighter on the right, where class 1 is; the arguments for them."""
    for number in range(6):
        image = np.full((40, 40, 3), 40)
        image[:, 20:] = 200
        save(tmp_path / "images" / f"{number}.png", image)
        save(tmp_path / "labels" / f"{number}.png", (image[..., 0] > 100).astype(np.uint8))
    return folders_of(tmp_path)


def folders_of(root: Path) -> list[object]:
    return ["folder", "--images", root / "images", "--labels", root / "labels", "--output", root / "out"]


def test_what_is_prepared_trains_and_is_evaluated_as_it_is(
    folders: list, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert call(*folders, "--split", "0.7", "--stratify", "--seed", "1", "--classes", "dark", "bright") == 0
    out = capsys.readouterr().out
    assert "4 samples for training and 2 for validation, 2 classes, color images" in out
    assert f"train with: paddleseg-ext train --config {tmp_path / 'out' / 'config.yml'}" in out
    config = ["--config", str(tmp_path / "out" / "config.yml"), "--device", "cpu"]
    run = ["--save_dir", str(tmp_path / "run"), "--iters", "2", "--save_interval", "2"]
    assert main.main(["train", *config, *run]) == 0
    weights = next((tmp_path / "run").rglob("model.pdparams"))
    capsys.readouterr()
    assert main.main(["val", *config, "--model_path", str(weights), "--json", str(tmp_path / "numbers.json")]) == 0
    assert "bright" in capsys.readouterr().out
    assert "dark" in (tmp_path / "numbers.json").read_text()


def test_warnings_do_not_fail(folders: list, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    save(tmp_path / "labels" / "extra.png", np.zeros((4, 4)))
    assert call(*folders, "--classes", "3") == 0
    err = capsys.readouterr().err
    assert "warning: 1 label is without an image" in err and "warning: no label has the class class 2" in err


def test_a_file_of_classes(folders: list, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("1 2 3 dark\n4 5 6 bright\n")
    assert call(*folders, "--classes", tmp_path / "names.txt") == 0
    assert (tmp_path / "out" / "labels.txt").read_text() == "1 2 3 dark\n4 5 6 bright\n"


@pytest.mark.parametrize(
    "flags, sentence",
    [
        (["--split", "1.5"], "error: --split: 1.5 is not allowed; it is a number, above 0, below 1"),
        (["--seed", "-1"], "error: --seed: -1 is not allowed"),
        (["--crop_size", "0", "4"], "error: --crop_size: 0 is not allowed; it is a whole number, at least 1"),
        (["--num_workers", "-1"], "error: --num_workers: -1 is not allowed"),
        (["--classes", "no.txt"], "error: no.txt: the file of classes does not exist"),
        (["--classes", "only"], "label values 1 are not allowed"),
        (["--binary"], "error: "),
        (["--images", "nowhere"], "error: --images: there is no folder nowhere"),
        (["--labels", "IMAGES"], "error: --images and --labels are one folder"),
        (["--output", "IMAGES/x"], "is in --images"),
    ],
)
def test_mistakes_are_told(
    folders: list, tmp_path: Path, flags: list[str], sentence: str, capsys: pytest.CaptureFixture
) -> None:
    before = contents(tmp_path)
    arguments = [str(flag).replace("IMAGES", str(tmp_path / "images")) for flag in flags]
    assert main.main(["prepare", *map(str, folders), *arguments]) == 2
    err = capsys.readouterr().err
    assert sentence in err and err.count("\n") == 1 and "Traceback" not in err
    assert contents(tmp_path) == before


def test_binary_masks(folders: list, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for number in range(6):
        save(tmp_path / "labels" / f"{number}.png", np.resize([0, 255], (40, 40)))
    assert call(*folders) == 2
    assert "--binary makes it class 1" in capsys.readouterr().err
    assert call(*folders, "--binary") == 0
    assert len(list((tmp_path / "out" / "labels").glob("*.png"))) == 6


def test_colors_propose_a_table_and_exit_with_2(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    save(tmp_path / "masks" / "a.png", np.resize([255, 0, 0, 0, 0, 255], (4, 6, 3)))
    arguments = ["colors", "--labels", tmp_path / "masks", "--output", tmp_path / "out"]
    assert call(*arguments) == 2
    table = tmp_path / "out" / "table.txt"
    assert f"run this again with --table {table}" in capsys.readouterr().err
    assert call(*arguments, "--table", table) == 0
    assert "go on with: paddleseg-ext prepare folder" in capsys.readouterr().out


def test_published_data_sets(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for name in ("cityscapes", "ade20k"):
        assert call(name, tmp_path) == 2
    assert call("voc", tmp_path, "--output", tmp_path / "out") == 2
    assert capsys.readouterr().err.count("error: ") == 3
    for split in ("train", "val"):
        photo(tmp_path / "leftImg8bit" / split / "x" / "x_000000_000019_leftImg8bit.png")
        save(tmp_path / "gtFine" / split / "x" / "x_000000_000019_gtFine_labelIds.png", np.full((4, 6), 7))
    assert call("cityscapes", tmp_path) == 0
    captured = capsys.readouterr()
    assert "2 labels of train ids" in captured.out and "warning: leftImg8bit/train: 1 files" in captured.err
    assert call("cityscapes", tmp_path, "--backbone", "ResNet18_vd") == 2
    assert "--backbone: without --output no configuration" in capsys.readouterr().err
    assert call("cityscapes", tmp_path, "--backbone", "ResNet18_vd", "--output", tmp_path / "out") == 0
    assert f"{tmp_path / 'out' / 'config.yml'}: a small PSPNet" in capsys.readouterr().out
    assert load_config(tmp_path / "out" / "config.yml").dic["model"]["num_classes"] == 19


def test_coco_and_labelme(tmp_path: Path) -> None:
    polygon = [1, 1, 4, 1, 4, 3]
    shapes = [{"label": "cat", "points": np.reshape(polygon, (3, 2)).tolist(), "shape_type": "polygon"}]
    for number in range(2):
        photo(tmp_path / "images" / f"{number}.png")
        content = {"imagePath": f"{number}.png", "imageHeight": 4, "imageWidth": 6, "shapes": shapes}
        (tmp_path / "images" / f"{number}.json").write_text(json.dumps(content))
    images = [{"id": n, "file_name": f"{n}.png", "height": 4, "width": 6} for n in range(2)]
    annotations = [{"id": 1, "image_id": 0, "category_id": 1, "segmentation": [polygon]}]
    path = tmp_path / "instances.json"
    path.write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "cat"}]})
    )
    assert call("coco", path, "--images", tmp_path / "images", "--output", tmp_path / "a") == 0
    assert call("labelme", tmp_path / "images", "--output", tmp_path / "b", "--classes", "cat") == 0
    for name in "ab":
        assert (tmp_path / name / "labels.txt").read_text().split("\n")[1].endswith("cat")
        assert (tmp_path / name / "config.yml").is_file()
    assert (tmp_path / "a" / "labels" / "0.png").read_bytes() == (tmp_path / "b" / "labels" / "0.png").read_bytes()


@pytest.mark.parametrize("source", list(prepare.SOURCES))
def test_every_source_has_help(source: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as exit_:
        main.main(["prepare", source, "--help"])
    assert exit_.value.code == 0 and "--num_workers" in capsys.readouterr().out


def test_an_interrupted_run_goes_on(folders: list, tmp_path: Path) -> None:
    for number in range(6):
        save(tmp_path / "labels" / f"{number}.png", np.resize([0, 255], (40, 40)))
    assert call(*folders, "--binary") == 0
    whole = contents(tmp_path / "out")
    for name in ("train.txt", "val.txt", "labels.txt", "config.yml", "labels/3.png"):
        (tmp_path / "out" / name).unlink()
    assert call(*folders, "--binary") == 0
    assert contents(tmp_path / "out") == whole
