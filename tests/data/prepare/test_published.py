"""ADE20K and PASCAL VOC in miniature, under their official names."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from paddleseg.datasets import ADE20K

from paddleseg_ext.data.datasets import SegmentationFolder, class_names, palette
from paddleseg_ext.data.prepare.ade20k import prepare_ade20k
from paddleseg_ext.data.prepare.voc import prepare_voc
from paddleseg_ext.errors import UserError
from tests.data.prepare.trees import contents, photo, save


def ade(root: Path) -> Path:
    """Three training pictures and two of validation, with all values from 0 to 150."""
    for split, short, count in (("training", "train", 3), ("validation", "val", 2)):
        for number in range(1, count + 1):
            name = f"ADE_{short}_{number:08d}"
            photo(root / "ADEChallengeData2016" / "images" / split / f"{name}.jpg", 8, 19)
            label = np.resize(np.arange(151), (8, 19))
            save(root / "ADEChallengeData2016" / "annotations" / split / f"{name}.png", label)
    return root


def test_ade20k_is_verified_and_read_by_paddleseg(tmp_path: Path) -> None:
    before = contents(ade(tmp_path))
    report = prepare_ade20k(tmp_path, num_workers=2)
    assert contents(tmp_path) == before
    assert "values 0…150: 0 is ignored, and PaddleSeg's ADE20K subtracts one" in report.lines[-1]
    assert "images/training: 3 files, the published data set has 20210" in report.warnings
    folder = tmp_path / "ADEChallengeData2016"
    assert prepare_ade20k(folder).lines == report.lines
    dataset = ADE20K([], str(folder), "val")
    assert dataset[0]["label"].max() == 255 and sorted(np.unique(dataset[0]["label"]))[-2] == 149


@pytest.mark.parametrize("output", [None, "out"])
def test_ade20k_as_an_archive(tmp_path: Path, output: str | None) -> None:
    ade(tmp_path / "tree")
    (tmp_path / "root").mkdir()
    with zipfile.ZipFile(tmp_path / "root" / "ADEChallengeData2016.zip", "w") as archive:
        for path in sorted((tmp_path / "tree").rglob("*.*")):
            archive.write(path, path.relative_to(tmp_path / "tree"))
    target = None if output is None else tmp_path / output
    for _ in range(2):
        report = prepare_ade20k(tmp_path / "root", target)
    assert str((target or tmp_path / "root") / "ADEChallengeData2016") in report.lines[-1]


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda f: (f / "annotations/training/ADE_train_00000002.png").unlink(), "1 image is without an annotation"),
        (
            lambda f: save(f / "annotations/training/ADE_train_00000002.png", np.full((8, 19), 151)),
            r"00002\.png: it has the value 151, and annotations have 0…150",
        ),
        (
            lambda f: save(f / "annotations/validation/ADE_val_00000001.png", np.zeros((19, 8))),
            "is 8x19, but its image",
        ),
        (
            lambda f: [photo(f / "images/training/x.jpg"), save(f / "annotations/training/x.png", np.zeros((4, 6)))],
            r"1 image is not named ADE_train_.*x\.jpg",
        ),
        (lambda f: (f / "images").rename(f / "pictures"), "neither a folder ADEChallengeData2016"),
    ],
)
def test_faults_of_ade20k(tmp_path: Path, change, message: str) -> None:
    change(ade(tmp_path) / "ADEChallengeData2016")
    with pytest.raises(UserError, match=message):
        prepare_ade20k(tmp_path)


def voc(root: Path) -> Path:
    """Three pictures of the training list and one of val; the labels have palettes."""
    folder = root / "VOCdevkit" / "VOC2012"
    (folder / "ImageSets" / "Segmentation").mkdir(parents=True)
    for split, names in (("train", ["2007_000032", "2007_000039", "2007_000063"]), ("val", ["2007_000033"])):
        (folder / "ImageSets" / "Segmentation" / f"{split}.txt").write_text("".join(f"{name}\n" for name in names))
        for name in names:
            photo(folder / "JPEGImages" / f"{name}.jpg", 4, 6)
            ids = np.append(np.arange(21), [255, 255, 0]).reshape(4, 6)
            save(folder / "SegmentationClass" / f"{name}.png", ids, [value % 256 for value in range(7, 775)])
    return root


def test_voc_gets_lists_and_a_configuration(tmp_path: Path) -> None:
    before = contents(voc(tmp_path / "source"))
    for root in ("source", "source/VOCdevkit", "source/VOCdevkit/VOC2012"):
        report = prepare_voc(tmp_path / root, tmp_path / "out")
    assert contents(tmp_path / "source") == before
    assert "3 samples for training and 1 for validation, 21 classes" in report.lines[0]
    assert any("train.txt: 3 files, the published data set has 1464" in warning for warning in report.warnings)
    dataset = SegmentationFolder([], str(tmp_path / "out"), "train")
    assert dataset[0]["label"].ravel().tolist() == [*range(21), 255, 255, 0]
    assert class_names(dataset)[:2] == ["background", "aeroplane"] and palette(dataset)[1].tolist() == [128, 0, 0]


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda f: (f / "JPEGImages/2007_000039.jpg").unlink(), r"train\.txt: line 2 names .*2007_000039\.jpg"),
        (lambda f: (f / "ImageSets/Segmentation/val.txt").write_text("../../x\n"), "line 1, .* is not the name"),
        (lambda f: (f / "ImageSets/Segmentation/val.txt").write_text(""), "the list is empty"),
        (
            lambda f: save(f / "SegmentationClass/2007_000033.png", np.full((4, 6), 21)),
            "label values 21 are not allowed",
        ),
        (lambda f: (f / "ImageSets").rename(f / "Sets"), "there is no folder VOCdevkit/VOC2012"),
    ],
)
def test_faults_of_voc(tmp_path: Path, change, message: str) -> None:
    change(voc(tmp_path) / "VOCdevkit" / "VOC2012")
    with pytest.raises(UserError, match=message):
        prepare_voc(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
