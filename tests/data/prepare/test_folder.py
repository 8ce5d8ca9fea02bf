"""Images and labels in two folders: what is checked, written, kept and refused."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from paddleseg_ext.data.datasets import SegmentationFolder, class_names
from paddleseg_ext.data.prepare.folder import prepare_folder
from paddleseg_ext.errors import UserError
from tests.data.prepare.trees import contents, photo, pixels, save

COUNT = 10


def make(root: Path, values: list[int], count: int = COUNT, channels: int = 3) -> tuple[Path, Path, Path]:
    """Folders of images, labels and results."""
    for number in range(count):
        photo(root / "images" / f"街 {number}.png", channels=channels)
        ids = np.resize(np.array(values, np.uint8), (4, 6))
        save(root / "labels" / f"街 {number}.png", ids)
    return root / "images", root / "labels", root / "output"


def test_lists_classes_and_configuration(tmp_path: Path) -> None:
    folders = make(tmp_path, [0, 1, 2, 255])
    before = contents(tmp_path)
    report = prepare_folder(*folders, share=0.8)
    output = folders[2]
    assert {name: text for name, text in contents(tmp_path).items() if not name.startswith("output")} == before
    train, val = ((output / f"{mode}.txt").read_text("utf-8").splitlines() for mode in ("train", "val"))
    assert len(train) == 8 and len(val) == 2 and not set(train) & set(val)
    assert train[0].count("\t") == 1 and train[0].startswith("../images/街 ")
    assert [line.split()[-1] for line in (output / "labels.txt").read_text().splitlines()] == ["0", "1", "2"]
    assert "8 samples for training and 2 for validation, 3 classes" in report.lines[0] and not report.warnings
    for mode, count in (("train", 8), ("val", 2)):
        dataset = SegmentationFolder([], str(output), mode)
        assert len(dataset) == count and dataset[0]["img"].shape == (3, 4, 6)


def test_a_second_run_changes_nothing_and_keeps_what_was_edited(tmp_path: Path) -> None:
    folders = make(tmp_path, [0, 1])
    prepare_folder(*folders)
    (folders[2] / "labels.txt").write_text("sky\nroad\n")
    (folders[2] / "config.yml").write_text("batch_size: 1\n")
    before = contents(tmp_path)
    prepare_folder(*folders)
    assert contents(tmp_path) == before


def test_another_run_does_not_mix_with_the_first(tmp_path: Path) -> None:
    folders = make(tmp_path, [0, 1])
    prepare_folder(*folders)
    with pytest.raises(UserError, match=r"prepared with other settings \(classes\)"):
        prepare_folder(*folders, classes=["a", "b"])


def test_files_of_somebody_else_are_not_replaced(tmp_path: Path) -> None:
    folders = make(tmp_path, [0, 1])
    folders[2].mkdir()
    (folders[2] / "train.txt").write_text("mine")
    with pytest.raises(UserError, match=r"train\.txt is there and was not written by prepare"):
        prepare_folder(*folders)
    assert (folders[2] / "train.txt").read_text() == "mine"


def test_processes_give_the_same(tmp_path: Path) -> None:
    folders = make(tmp_path, [0, 1])
    prepare_folder(*folders)
    before = contents(folders[2])
    prepare_folder(*folders, num_workers=2)
    assert contents(folders[2]) == before


def test_binary_masks_stop_and_become_two_classes_when_asked(tmp_path: Path) -> None:
    folders = make(tmp_path, [0, 255, 255])
    with pytest.raises(UserError, match="the only values are 0 and 255.*`binary` makes it class 1"):
        prepare_folder(*folders)
    assert not folders[2].exists()
    before = contents(tmp_path)
    prepare_folder(*folders, binary=True)
    after = contents(tmp_path)
    assert all(after[name] == content for name, content in before.items())
    written = sorted((folders[2] / "labels").glob("*.png"))
    assert len(written) == COUNT
    for path in written:
        assert np.array_equal(pixels(path), pixels(folders[1] / path.name) // 255)
    dataset = SegmentationFolder([], str(folders[2]))
    assert class_names(dataset) == ["background", "foreground"] and dataset[0]["label"].max() == 1


def test_whole_labels_are_kept_and_damaged_or_outdated_ones_made_anew(tmp_path: Path) -> None:
    folders = make(tmp_path, [0, 255])
    prepare_folder(*folders, binary=True)
    kept, damaged, outdated = sorted((folders[2] / "labels").glob("*.png"))[:3]
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:-20])
    source = folders[1] / outdated.name
    save(source, np.full((4, 6), 255))
    later = outdated.stat().st_mtime_ns + 10**9
    os.utime(source, ns=(later, later))
    inode = kept.stat().st_ino
    prepare_folder(*folders, binary=True)
    assert kept.stat().st_ino == inode and damaged.read_bytes() == whole and pixels(outdated).min() == 1


def test_binary_is_for_binary_masks(tmp_path: Path) -> None:
    folders = make(tmp_path, [0, 7, 255])
    with pytest.raises(UserError, match=r"`binary` is for labels of 0 and 255, and this one has 7"):
        prepare_folder(*folders, binary=True)


def test_sizes_that_differ_are_named_all_before_anything_is_written(tmp_path: Path) -> None:
    folders = make(tmp_path, [0, 1])
    for number in range(7):
        save(folders[1] / f"街 {number}.png", np.zeros((6, 4)))
    with pytest.raises(UserError, match=r"7 files cannot be used: .*街 0\.png is 4x6, but its image .* is 6x4.*; …$"):
        prepare_folder(*folders)
    assert not folders[2].exists()


@pytest.mark.parametrize("values", [[0, 38, 75], [0, 128], [3], [0]])
def test_shades_of_gray_are_no_ids(tmp_path: Path, values: list[int]) -> None:
    with pytest.raises(UserError, match="do not look like class ids"):
        prepare_folder(*make(tmp_path, values))


def test_classes_that_are_given(tmp_path: Path) -> None:
    folders = make(tmp_path, [0, 1, 9])
    with pytest.raises(UserError, match=r"10 files cannot be used: .*label values 9 are not allowed"):
        prepare_folder(*folders, classes=["a", "b", "c"])
    report = prepare_folder(*folders, classes=12)
    assert "no label has the classes class 2, class 3" in report.warnings[0]


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda root: (root / "labels" / "街 3.png").unlink(), "1 image is without a label there"),
        (lambda root: (root / "images" / "街 3.png").write_bytes(b"no"), r"街 3\.png: .*cannot be read as a picture"),
        (lambda root: cut(root / "images" / "街 3.png"), r"街 3\.png: the image file is damaged"),
        (lambda root: cut(root / "labels" / "街 3.png"), r"街 3\.png: the label file cannot be read"),
        (lambda root: photo(root / "labels" / "街 3.png"), "it has colors"),
    ],
)
def test_unusable_files_are_named(tmp_path: Path, change, message: str) -> None:
    folders = make(tmp_path, [0, 1])
    change(tmp_path)
    with pytest.raises(UserError, match=message):
        prepare_folder(*folders, num_workers=2)
    assert not folders[2].exists()


def cut(path: Path) -> None:
    """A picture large enough to be damaged in the middle."""
    noise = np.random.default_rng(0).integers(0, 2, (64, 64))
    Image.fromarray(noise.astype(np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:-200])


def test_labels_without_an_image_are_told(tmp_path: Path) -> None:
    folders = make(tmp_path, [0, 1])
    save(folders[1] / "extra.png", np.zeros((4, 6)))
    save(folders[1] / ".hidden" / "other.png", np.zeros((4, 6)))
    assert "1 label is without an image" in prepare_folder(*folders).warnings[0]


def test_an_output_that_cannot_be_written(tmp_path: Path) -> None:
    folders = make(tmp_path, [0, 1])
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file.*cannot be written"):
        prepare_folder(*folders[:2], tmp_path / "file")
