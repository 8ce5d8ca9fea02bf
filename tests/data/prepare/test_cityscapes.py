"""Cityscapes' train ids, equal to those of cityscapesScripts, from folders, polygons and archives."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from cityscapesscripts.helpers.annotation import Annotation
from cityscapesscripts.helpers.labels import id2label, labels
from cityscapesscripts.preparation.json2labelImg import createLabelImage
from paddleseg.datasets import Cityscapes

from paddleseg_ext.data.datasets import SegmentationFolder, class_names
from paddleseg_ext.data.prepare.cityscapes import prepare_cityscapes
from paddleseg_ext.data.prepare.cityscapes_ids import TRAIN_IDS, from_label_ids, from_polygons
from paddleseg_ext.errors import UserError
from tests.data.prepare.trees import contents, photo, save

HEIGHT, WIDTH = 48, 64


def polygons(path: Path, seed: int = 0, count: int = 40) -> Path:
    """Random polygons of all classes; some groups, some deleted, some partly outside."""
    generator = np.random.default_rng(seed)
    names = [label.name for label in labels] + ["cargroup", "persongroup", "polegroup"]
    shapes = []
    for number in range(count):
        points = generator.integers(-5, WIDTH + 5, (generator.integers(3, 9), 2)).tolist()
        if number % 3 == 0:
            points = (np.array(points) + 0.5).tolist()
        shape = {"label": names[number % len(names)], "polygon": points}
        shapes.append({**shape, "deleted": 1} if number % 7 == 6 else shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"imgHeight": HEIGHT, "imgWidth": WIDTH, "objects": shapes}))
    return path


def tree(root: Path, kind: str = "ids") -> Path:
    """Four training images, two of val, one of test, with label ids or polygons."""
    for split, city, count in (("train", "aachen", 2), ("train", "bochum", 2), ("val", "ulm", 2), ("test", "x", 1)):
        for number in range(count):
            base = f"{city}_{number:06d}_000019"
            photo(root / "leftImg8bit" / split / city / f"{base}_leftImg8bit.png", HEIGHT, WIDTH)
            folder = root / "gtFine" / split / city
            if kind == "ids":
                ids = np.random.default_rng(number).integers(0, 34, (HEIGHT, WIDTH))
                save(folder / f"{base}_gtFine_labelIds.png", ids)
            else:
                polygons(folder / f"{base}_gtFine_polygons.json", number)
    return root


def written(root: Path) -> list[Path]:
    return sorted(root.rglob("*_labelTrainIds.png"))


def test_the_table_is_that_of_the_scripts() -> None:
    official = {label.name: None if label.trainId == 255 else label.trainId for label in labels if label.id >= 0}
    assert TRAIN_IDS == official
    assert list(TRAIN_IDS) == [id2label[number].name for number in range(34)]


def test_every_label_id(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", np.arange(34).reshape(2, 17))
    assert from_label_ids(path).ravel().tolist() == [id2label[number].trainId for number in range(34)]


@pytest.mark.parametrize("seed", range(8))
def test_polygons_are_drawn_as_by_the_scripts(tmp_path: Path, seed: int) -> None:
    path = polygons(tmp_path / "a_polygons.json", seed)
    annotation = Annotation()
    annotation.fromJsonFile(str(path))
    expected = np.array(createLabelImage(annotation, "trainIds"))
    assert len(np.unique(expected)) > 5
    assert np.array_equal(from_polygons(path), expected)


@pytest.mark.parametrize("kind", ["ids", "polygons"])
def test_labels_stand_beside_the_others_for_paddleseg(tmp_path: Path, kind: str) -> None:
    before = contents(tree(tmp_path, kind))
    report = prepare_cityscapes(tmp_path)
    after = contents(tmp_path)
    assert all(after[name] == content for name, content in before.items())
    assert len(after) - len(before) == len(written(tmp_path)) == 7
    dataset = Cityscapes([], str(tmp_path), "val")
    assert len(dataset) == 2 and dataset[0]["label"].shape == (1, HEIGHT, WIDTH)
    assert [line for line in report.warnings if "leftImg8bit/train: 4 files, the published data set has 2975" in line]
    assert len(report.warnings) == 3 and "7 labels" in report.lines[0]


def test_another_folder_leaves_the_source_alone(tmp_path: Path) -> None:
    source = tree(tmp_path / "source")
    before = contents(source)
    prepare_cityscapes(source, tmp_path / "out", num_workers=2)
    assert contents(source) == before and len(written(tmp_path / "out")) == 7
    dataset = SegmentationFolder([], str(tmp_path / "out"), "val")
    assert len(dataset) == 2 and class_names(dataset)[0] == "road" and dataset.num_classes == 19
    image, label = map(Path, dataset.file_list[0])
    ids = source / "gtFine" / "val" / "ulm" / label.name.replace("labelTrainIds", "labelIds")
    assert np.array_equal(dataset[0]["label"][0], from_label_ids(ids)) and source in image.resolve().parents


def test_whole_labels_are_kept(tmp_path: Path) -> None:
    prepare_cityscapes(tree(tmp_path))
    kept, damaged, wrong, missing = written(tmp_path)[:4]
    before, inode = contents(tmp_path), kept.stat().st_ino
    damaged.write_bytes(damaged.read_bytes()[:-30])
    save(wrong, np.full((HEIGHT, WIDTH), 33))
    missing.unlink()
    prepare_cityscapes(tmp_path)
    assert contents(tmp_path) == before and kept.stat().st_ino == inode


@pytest.mark.parametrize("output", [None, "out"])
def test_archives(tmp_path: Path, output: str | None) -> None:
    tree(tmp_path / "tree")
    root = tmp_path / "root"
    root.mkdir()
    for name in ("leftImg8bit", "gtFine"):
        with zipfile.ZipFile(root / f"{name}_trainvaltest.zip", "w") as archive:
            archive.writestr("README", "read me")
            archive.writestr("license.txt", "license")
            for path in sorted((tmp_path / "tree" / name).rglob("*.png")):
                archive.write(path, path.relative_to(tmp_path / "tree"))
    target = root if output is None else tmp_path / output
    for _ in range(2):  # the second goes on with what is there
        prepare_cityscapes(root, None if output is None else target)
        assert len(written(target)) == 7
    assert not (target / "README").exists()
    assert output is None or len(list(root.iterdir())) == 2


def test_a_missing_label_is_named(tmp_path: Path) -> None:
    tree(tmp_path)
    next((tmp_path / "gtFine" / "val").rglob("*_labelIds.png")).unlink()
    with pytest.raises(UserError, match=r"ulm_00000\d_000019_leftImg8bit\.png: there is neither .*labelIds.* nor"):
        prepare_cityscapes(tmp_path)
    assert not written(tmp_path)


def test_test_needs_no_labels(tmp_path: Path) -> None:
    tree(tmp_path)
    next((tmp_path / "gtFine" / "test").rglob("*_labelIds.png")).unlink()
    prepare_cityscapes(tmp_path)
    assert len(written(tmp_path)) == 6


@pytest.mark.parametrize(
    "content, message",
    [
        ("{", "does not describe polygons"),
        ("[]", "does not describe polygons"),
        ('{"imgHeight": 4, "imgWidth": 0, "objects": []}', "does not describe polygons"),
        ('{"imgHeight": 4, "imgWidth": 4, "objects": [{"label": "cat", "polygon": []}]}', "'cat' is no class"),
        ('{"imgHeight": 4, "imgWidth": 4, "objects": [{"label": "car", "polygon": [[0, 1]]}]}', "does not describe"),
        ('{"imgHeight": 4, "imgWidth": 4, "objects": [{"label": "car", "polygon": "abc"}]}', "does not describe"),
        ('{"imgHeight": 999999, "imgWidth": 999999, "objects": []}', "million pixels"),
    ],
)
def test_damaged_polygons(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "a_polygons.json"
    path.write_text(content)
    with pytest.raises(UserError, match=message):
        from_polygons(path)


def test_values_that_are_no_label_ids(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.png: it has the value 34, and label ids are 0…33"):
        from_label_ids(save(tmp_path / "a.png", [[0, 34]]))


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"neither a folder leftImg8bit nor an archive leftImg8bit_trainvaltest\.zip"):
        prepare_cityscapes(tmp_path)
