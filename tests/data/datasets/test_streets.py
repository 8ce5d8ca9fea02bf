"""The renderer of street scenes and the data set on disk."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from paddleseg.cvlibs import manager
from paddleseg.datasets import Cityscapes

from paddleseg_ext.data.datasets import StreetScenes
from paddleseg_ext.data.datasets.streets import DRAWN, render, writer
from paddleseg_ext.data.datasets.streets.canvas import Canvas
from paddleseg_ext.data.datasets.streets.rng import Rng
from paddleseg_ext.data.datasets.streets.street import place_camera
from paddleseg_ext.errors import UserError

COUNTS = {"train_images": 3, "val_images": 2}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "streets"
    StreetScenes([], str(folder), **COUNTS)
    return folder


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_an_image_depends_on_split_and_index_alone():
    image, label = render("train", 3)
    again, label_again = render("train", 3)
    assert image.shape == (128, 256, 3) and image.dtype == np.uint8
    assert label.shape == (128, 256) and label.dtype == np.uint8
    assert np.array_equal(image, again) and np.array_equal(label, label_again)
    assert not np.array_equal(image, render("train", 4)[0])
    assert not np.array_equal(image, render("val", 3)[0])


def test_another_process_writes_the_same_bytes(root, tmp_path):
    script = (
        "from pathlib import Path; from paddleseg_ext.data.datasets.streets import writer; "
        "writer.ensure(Path('streets'), {'train': 3, 'val': 2})"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, cwd=tmp_path)
    assert files(tmp_path / "streets") == files(root)


def test_every_drawn_class_occurs_in_both_splits_and_no_other_does():
    for split in ("train", "val"):
        found = set()
        for index in range(12):
            found |= set(np.unique(render(split, index)[1]).tolist())
        assert found == set(DRAWN) | {255}


def test_no_class_fills_the_data_set_and_little_is_ignored():
    labels = np.concatenate([render("train", index)[1].ravel() for index in range(8)])
    shares = np.bincount(labels, minlength=256) / labels.size
    assert shares[:19].max() < 0.5
    assert 0.005 < shares[255] < 0.15


def test_color_alone_does_not_tell_the_classes_apart():
    """The most frequent class of each of 4096 colors, learned on other images, gives a low mIoU."""
    counts = np.zeros((4096, 19), np.int64)
    for index in range(16):
        colors, label = _coarse_colors("train", index)
        np.add.at(counts, (colors, label), 1)
    pred = counts.argmax(axis=1)
    confusion = np.zeros((19, 19), np.int64)
    for index in range(8):
        colors, label = _coarse_colors("val", index)
        np.add.at(confusion, (label, pred[colors]), 1)
    intersection = np.diag(confusion)
    union = confusion.sum(0) + confusion.sum(1) - intersection
    assert (intersection[list(DRAWN)] / union[list(DRAWN)]).mean() < 0.3


def _coarse_colors(split, index):
    image, label = render(split, index)
    red, green, blue = np.moveaxis(image.astype(np.int64) >> 4, -1, 0)
    return (red * 256 + green * 16 + blue)[label != 255], label[label != 255]


def test_stock_cityscapes_reads_it(root):
    for mode, count in (("train", 3), ("val", 2)):
        stock = Cityscapes([], str(root), mode)
        ours = StreetScenes([], str(root), mode, **COUNTS)
        assert len(stock) == len(ours) == count
        assert stock.file_list == ours.file_list
    image_path, label_path = stock.file_list[1]
    assert image_path.endswith("leftImg8bit/val/southbank/southbank_000001_000019_leftImg8bit.png")
    assert label_path.endswith("gtFine/val/southbank/southbank_000001_000019_gtFine_labelTrainIds.png")
    sample = stock[1]
    image, label = render("val", 1)
    assert np.array_equal(sample["img"], image.transpose(2, 0, 1).astype("float32"))
    assert np.array_equal(np.squeeze(sample["label"]), label)


def test_paddleseg_builds_it_by_name(root):
    assert manager.DATASETS["StreetScenes"] is StreetScenes
    assert (StreetScenes.NUM_CLASSES, StreetScenes.IGNORE_INDEX, StreetScenes.IMG_CHANNELS) == (19, 255, 3)
    assert StreetScenes.CLASSES[13] == "car" and tuple(StreetScenes.PALETTE[13]) == (0, 0, 142)


def test_the_second_use_draws_nothing(root, monkeypatch):
    monkeypatch.setattr(writer, "render", lambda *args: pytest.fail("drawn again"))
    assert len(StreetScenes([], str(root), "train", **COUNTS)) == 3


def test_concurrent_processes_draw_once(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        writer, "render", lambda split, index, *size: drawn.append(split) or render(split, index, *size)
    )
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(StreetScenes, [], str(tmp_path / "streets"), "train", **COUNTS) for _ in range(2)]
        assert [len(job.result()) for job in jobs] == [3, 3]
    assert sorted(drawn) == ["train"] * 3 + ["val"] * 2


def test_an_interruption_leaves_no_incomplete_data_set(tmp_path, monkeypatch, root):
    folder = tmp_path / "streets"

    def interrupted(split, index, *size):
        if split == "val":
            raise KeyboardInterrupt
        return render(split, index, *size)

    with monkeypatch.context() as patch:
        patch.setattr(writer, "render", interrupted)
        with pytest.raises(KeyboardInterrupt):
            StreetScenes([], str(folder), **COUNTS)
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []
    (tmp_path / ".streets.partial" / "gtFine").mkdir(parents=True)  # what a killed process leaves
    StreetScenes([], str(folder), **COUNTS)
    assert files(folder) == files(root)
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == [folder]


def test_an_empty_folder_is_filled(tmp_path):
    assert len(StreetScenes([], str(tmp_path), "val", train_images=1, val_images=1)) == 1


def test_a_folder_with_other_files_is_not_changed(tmp_path):
    (tmp_path / "other.txt").write_text("text")
    with pytest.raises(UserError, match="something else than street scenes"):
        StreetScenes([], str(tmp_path), **COUNTS)
    assert [path.name for path in tmp_path.iterdir()] == ["other.txt"]


def test_a_set_of_another_version_is_named(root):
    marker = json.loads((root / writer.MARKER).read_text())
    assert marker == {"version": writer.VERSION, "width": 256, "height": 128, "train": 3, "val": 2}
    with pytest.raises(UserError, match="other street scenes.*delete the folder"):
        StreetScenes([], str(root), train_images=4, val_images=2)


def test_a_folder_that_cannot_be_written_is_a_user_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write .* to dataset_root"):
        StreetScenes([], str(tmp_path / "file" / "streets"), **COUNTS)


def test_a_full_disk_is_a_user_error(tmp_path, monkeypatch):
    def full(path, pixels):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writer, "_save", full)
    with pytest.raises(UserError, match="No space left"):
        StreetScenes([], str(tmp_path / "streets"), **COUNTS)
    assert not (tmp_path / "streets").exists()


@pytest.mark.parametrize("wrong", [{"mode": "test"}, {"train_images": 0}])
def test_wrong_arguments_are_a_user_error(tmp_path, wrong):
    with pytest.raises(UserError, match="StreetScenes: "):
        StreetScenes([], str(tmp_path / "streets"), **wrong)


def test_reduced_label_takes_the_majority_and_ignores_ties():
    canvas = Canvas(place_camera(Rng(0), 10, 2))
    canvas.label[:] = [[1, 1, 1, 1, 1, 2, 1, 2, 1, 2], [1, 1, 1, 2, 1, 2, 3, 1, 3, 4]]
    assert canvas.reduced_label().tolist() == [[1, 1, 255, 1, 255]]


def test_rng_is_the_raw_stream_of_pcg64():
    """NumPy guarantees the raw stream across versions; these numbers are computed from it."""
    words = np.random.PCG64(np.random.SeedSequence((1, 2))).random_raw(1024).tolist()
    rng = Rng(1, 2)
    assert [rng.uniform() for _ in range(3)] == [(word >> 11) / 2**53 for word in words[:-4:-1]]
    assert all(1 <= Rng(seed).integer(1, 3) <= 3 for seed in range(50))
    assert {Rng(seed).choice("abc") for seed in range(50)} == set("abc")
    assert Rng(7).uint8(3, 5).shape == (3, 5)


def test_labels_agree_with_the_image():
    """Sky is on average above the road."""
    _, label = render("train", 0)
    rows = np.arange(label.shape[0])[:, None] + np.zeros(label.shape)
    assert rows[label == 10].mean() < rows[label == 0].mean()


@pytest.mark.skipif(not cv2.__version__.startswith("4.5."), reason="another OpenCV may round a pixel differently")
def test_pixels_are_the_published_ones():
    """Raise writer.VERSION and change this digest whenever the rendered pixels change."""
    digest = hashlib.sha256()
    for split, index in (("train", 0), ("val", 59)):
        for pixels in render(split, index):
            digest.update(pixels.tobytes())
    assert (writer.VERSION, digest.hexdigest()[:16]) == (1, "14e2a04d9eec3706")


@pytest.mark.skipif(
    not Path("/proc/self").exists(), reason="needs Linux's /proc, where not even root can create a file"
)
def test_a_folder_where_no_file_can_be_created_does_not_hang():
    with pytest.raises(UserError, match="cannot write the images to dataset_root /proc/streets"):
        StreetScenes([], "/proc/streets", **COUNTS)
