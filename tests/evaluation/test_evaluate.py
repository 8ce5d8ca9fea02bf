"""Evaluation of a data set: by batches, by windows, by several processes; and what goes wrong."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import paddle
import pytest
from paddle import nn
from paddleseg.datasets import Dataset
from paddleseg.models.losses import CrossEntropyLoss
from paddleseg.transforms import Normalize, Padding, Resize

from paddleseg_ext.data.eval_loader import plan
from paddleseg_ext.errors import UserError
from paddleseg_ext.evaluation.evaluate import evaluate
from paddleseg_ext.runtime import arrays
from paddleseg_ext.training.losses import mask_loss
from tests.processes import launch_two

CLASSES = 4
SIZES = [(20, 30), (33, 17), (20, 30), (30, 20), (33, 17), (20, 30), (41, 40)]


class Colors(nn.Layer):
    """Scores by the brightness of a channel, pixel by pixel, so that every way to cut an image agrees."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2D(3, CLASSES, 1)
        self.batches: list[int] = []
        with paddle.no_grad():
            self.conv.weight.set_value(np.random.default_rng(1).normal(size=(CLASSES, 3, 1, 1)).astype("float32"))

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        self.batches.append(len(x))
        return [self.conv(x)]


def write_data(root: Path) -> None:
    rng = np.random.default_rng(0)
    lines = []
    for i, (height, width) in enumerate(SIZES):
        label = rng.integers(0, 3, (height, width)).astype(np.uint8)  # class 3 is never true
        label[: i + 1] = 255
        cv2.imwrite(str(root / f"{i}.jpg.png"), rng.integers(0, 256, (height, width, 3), np.uint8))
        cv2.imwrite(str(root / f"{i}_label.png"), label)
        lines.append(f"{i}.jpg.png {i}_label.png\n")
    (root / "val.txt").write_text("".join(lines), encoding="utf-8")


def data(root: Path, *transforms: object) -> Dataset:
    return Dataset("val", str(root), [*transforms, Normalize()], CLASSES, val_path=str(root / "val.txt"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_data(tmp_path)
    return tmp_path


def _by_hand(model: nn.Layer, dataset: Dataset) -> np.ndarray:
    matrix = np.zeros((CLASSES, CLASSES), np.int64)
    for i in range(len(dataset)):
        sample = dataset[i]
        ids = model(paddle.to_tensor(sample["img"][None]))[0].numpy()[0].argmax(0)
        label = sample["label"][0]
        np.add.at(matrix, (label[label != 255], ids[label != 255]), 1)
    return matrix


@pytest.mark.parametrize("on_host", [True, False])
@pytest.mark.parametrize("batch_size, num_workers", [(1, 0), (2, 2), (8, 0), (8, 2)])
@pytest.mark.parametrize("windows", [{}, {"is_slide": True, "crop_size": (16, 16), "stride": (11, 13)}])
def test_every_way_gives_the_counts_of_a_plain_loop(
    root, batch_size, num_workers, windows, on_host, monkeypatch
) -> None:
    if not on_host:  # as on other devices
        monkeypatch.setattr(arrays, "on_host", lambda tensor: False)
    model, dataset = Colors(), data(root)
    expected = _by_hand(model, dataset)
    model.batches.clear()
    loading = {"batch_size": batch_size, "num_workers": num_workers}
    result = evaluate(model, dataset, boundary=True, progress=False, **loading, **windows)
    np.testing.assert_array_equal(result.matrix.counts, expected)
    if not windows:
        assert sorted(model.batches) == {1: [1] * 7, 2: [1, 1, 1, 2, 2], 8: [1, 1, 2, 3]}[batch_size]
    names = ["a", "b", "c", "d"]
    assert result.miou == pytest.approx(np.nanmean(result.class_iou)) and result.images == len(SIZES)
    assert json.loads(json.dumps(result.to_dict(names)))["miou"] == result.miou
    assert "a " in result.table(names)


def test_image_scores_are_those_of_each_image_alone(root: Path) -> None:
    model, dataset = Colors(), data(root)
    result = evaluate(model, dataset, batch_size=2, progress=False)
    for i, pair in enumerate(list(dataset.file_list)):
        dataset.file_list = [pair]
        assert evaluate(model, dataset, progress=False).miou == result.image_miou[i]


@pytest.mark.parametrize("transform", [Resize((24, 36)), Padding((50, 60))])
def test_the_truth_is_compared_at_its_own_size(root: Path, transform: object) -> None:
    model, dataset = Colors(), data(root, transform)
    result = evaluate(model, dataset, batch_size=8, progress=False)
    assert model.batches == [3, 2, 1, 1] or sorted(model.batches) == [1, 1, 2, 3]
    labeled = sum((h - i - 1) * w for i, (h, w) in enumerate(SIZES))
    assert result.matrix.counts.sum() == labeled
    if isinstance(transform, Padding):
        np.testing.assert_array_equal(result.matrix.counts, _by_hand(model, data(root)))


def test_images_of_several_sizes_may_come_out_of_one_size(root: Path) -> None:
    class Growing:
        """Makes the sizes that the files' heads tell worthless."""

        def __call__(self, sample: dict) -> dict:
            if sample["img"].shape[0] == 20 and sample["img"].mean() > 127.5:
                sample["trans_info"].append(("padding", sample["img"].shape[:2]))
                sample["img"] = np.pad(sample["img"], ((0, 4), (0, 0), (0, 0)))
            return sample

    model = Colors()
    result = evaluate(model, data(root, Growing()), batch_size=8, progress=False)
    assert model.batches != [3, 2, 1, 1] and sum(model.batches) == 7
    np.testing.assert_array_equal(result.matrix.counts, _by_hand(model, data(root)))


def test_the_model_keeps_its_mode_and_the_loop_needs_no_gradient(root: Path) -> None:
    model = nn.Sequential(Colors(), nn.Identity())
    model.train()
    evaluate(model, data(root), progress=False)
    assert model.training and model[0].training


@pytest.mark.parametrize("transform", [[], [Padding((50, 60))]])
def test_the_loss_is_that_of_a_plain_loop(root: Path, transform: list) -> None:
    model, plain = Colors(), data(root)
    losses = {"types": [CrossEntropyLoss()], "coef": [0.5]}
    expected = []
    for sample in (plain[i] for i in range(len(plain))):
        label = paddle.to_tensor(sample["label"]).astype("int64").reshape([1, *sample["img"].shape[1:]])
        expected.append(0.5 * float(losses["types"][0](model(paddle.to_tensor(sample["img"][None]))[0], label)))
    model.batches.clear()
    loading = {"batch_size": 2, "progress": False, "loss": mask_loss(model, losses)}
    result = evaluate(model, data(root, *transform), **loading)
    assert result.to_dict()["val_loss"] == pytest.approx(np.mean(expected), rel=1e-5)
    assert sum(model.batches) == len(SIZES)  # no second forward pass
    windows = {"is_slide": True, "crop_size": (16, 16), "stride": (11, 13)}
    for how in (windows, {"aug_eval": True, "flip_horizontal": True}):
        assert evaluate(model, data(root), **loading, **how).loss is None
    assert "val_loss" not in evaluate(model, data(root), progress=False).to_dict()


def test_a_loss_that_fails_is_left_out(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Picky(nn.Layer):
        def forward(self, scores: paddle.Tensor, label: paddle.Tensor) -> paddle.Tensor:
            raise KeyError("embedding")

    model = Colors()
    result = evaluate(model, data(root), progress=False, loss=mask_loss(model, {"types": [Picky()], "coef": [1]}))
    assert result.to_dict()["val_loss"] is None and result.miou > 0
    assert caplog.text.count("no validation loss: Picky: KeyError: missing key 'embedding'") == 1


def test_boundary_iou_is_reported(root: Path) -> None:
    result = evaluate(Colors(), data(root), boundary=True, progress=False)
    names = ["a", "b", "c", "d"]
    assert "boundary" in result.table(names)
    assert result.to_dict(names)["classes"]["a"]["boundary_iou"] == pytest.approx(result.boundary[0])


def test_each_process_has_its_share(root: Path) -> None:
    for batch_size in (1, 2, 3):
        for ranks in (1, 2, 3, 9):
            shares = [plan(data(root), batch_size, rank, ranks) for rank in range(ranks)]
            assert sorted(i for share in shares for batch in share for i in batch) == list(range(len(SIZES)))


SCRIPT = """
import json, sys
from pathlib import Path
import paddleseg_ext  # before Paddle, as in the command line's own modules
from paddle import distributed
from tests.evaluation.test_evaluate import Colors, data, evaluate

root, model = Path(sys.argv[1]), Colors()
result = evaluate(model, data(root), batch_size=2, boundary=True, progress=False)
record = {
    "ranks": distributed.get_world_size(),
    "seen": sum(model.batches),
    "counts": result.matrix.counts.tolist(),
    "image_miou": result.image_miou.tolist(),
    "boundary": result.boundary.tolist(),
    "confused": [result.confused.pixels.tolist(), result.confused.images.tolist()],
}
Path(root, f"rank{distributed.get_rank()}.json").write_text(json.dumps(record))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="gloo")
def test_two_processes_give_the_result_of_one(root: Path) -> None:
    script = root / "two.py"
    script.write_text(SCRIPT, encoding="utf-8")
    done = launch_two(script, root)
    assert done.returncode == 0, done.stdout + done.stderr
    first, second = (json.loads((root / f"rank{rank}.json").read_text()) for rank in range(2))
    assert first.pop("ranks") == second.pop("ranks") == 2
    shares = first.pop("seen"), second.pop("seen")
    assert sum(shares) == len(SIZES) and min(shares) > 0
    alone = evaluate(Colors(), data(root), boundary=True, progress=False)
    assert first == second
    assert first["counts"] == alone.matrix.counts.tolist()
    np.testing.assert_array_equal(first["image_miou"], alone.image_miou)
    np.testing.assert_array_equal(first["boundary"], alone.boundary)
    pixels, images = first["confused"]
    np.testing.assert_array_equal(pixels, alone.confused.pixels)
    np.testing.assert_array_equal(np.where(pixels, images, 0), np.where(pixels, alone.confused.images, 0))


def _break_image(root: Path) -> str:
    (root / "3.jpg.png").write_bytes(b"no picture")
    return r"3\.jpg\.png"


def _remove_label(root: Path) -> str:
    (root / "2_label.png").unlink()
    return r"2_label\.png"


def _cut_label(root: Path) -> str:
    cv2.imwrite(str(root / "4_label.png"), np.zeros((30, 17), np.uint8))
    return r"4_label\.png is 17x30, but its image .* is 17x33"


def _color_label(root: Path) -> str:
    cv2.imwrite(str(root / "5_label.png"), np.zeros((20, 30, 3), np.uint8))
    return r"5_label\.png: it has colors"


def _wrong_class(root: Path) -> str:
    cv2.imwrite(str(root / "6_label.png"), np.full((41, 40), 4, np.uint8))
    return r"6_label\.png: label values 4 are not allowed"


@pytest.mark.parametrize("damage", [_break_image, _remove_label, _cut_label, _color_label, _wrong_class])
@pytest.mark.parametrize("num_workers", [0, 1])
def test_bad_files_are_named(root: Path, damage: Callable[[Path], str], num_workers: int) -> None:
    dataset = data(root)
    message = damage(root)
    with pytest.raises(UserError, match=message):
        evaluate(Colors(), dataset, batch_size=2, num_workers=num_workers, progress=False)


def test_a_killed_worker_is_reported(root: Path) -> None:
    class Deadly(Dataset):
        def __getitem__(self, index: int) -> dict:
            os.kill(os.getpid(), signal.SIGKILL)
            return {}

    dataset = data(root)
    dataset.__class__ = Deadly
    with pytest.raises(UserError, match="killed by SIGKILL: probably for want of memory; lower `num_workers`"):
        evaluate(Colors(), dataset, num_workers=2, progress=False)


def test_an_empty_set_and_a_foreign_model_are_refused(root: Path) -> None:
    dataset = data(root)
    dataset.num_classes = 3
    with pytest.raises(UserError, match="class id 3.*num_classes"):
        evaluate(Colors(), dataset, progress=False)
    dataset.file_list = []
    with pytest.raises(UserError, match="no images"):
        evaluate(Colors(), dataset, progress=False)
