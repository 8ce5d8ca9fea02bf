"""VisualDL and TensorBoard, read back as their own programs read them."""

from __future__ import annotations

import builtins
import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from visualdl import LogReader

from paddleseg_ext.errors import UserError
from paddleseg_ext.training.reporting.boards import Boards
from paddleseg_ext.training.reporting.metric_logger import MetricLogger

TRAINING = {"iter": 10, "loss": 2.0, "lr": 0.1, "seconds": 1.5, "reader_seconds": 0.5, "losses": {"mask": 1.5}}
IMAGE = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
Points = dict[str, list[tuple[int, float]]]


def tensorboard(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0}).Reload()


def tensorboard_scalars(folder: Path) -> Points:
    board = tensorboard(folder)
    return {tag: [(point.step, point.value) for point in board.Scalars(tag)] for tag in board.Tags()["scalars"]}


def visualdl_scalars(folder: Path) -> Points:
    """Of the newest file in a folder, which is all that VisualDL shows."""
    reader = LogReader(str(folder))
    file = reader.logs(update=True)[str(folder)]
    reader = LogReader(file_path=str(folder / file))
    return {
        tag: [(point.id, point.value) for point in reader.get_data("scalar", tag)]
        for tag in reader.get_tags()["scalar"]
    }


def evaluation(iteration: int, **iou: float | None) -> dict:
    classes = {name: {"iou": value} for name, value in iou.items()}
    return {"iter": iteration, "miou": 0.5, "accuracy": 0.75, "val_loss": 1.25, "classes": classes}


def write(folder: Path) -> MetricLogger:
    metrics = MetricLogger(folder, use_vdl=True, use_tensorboard=True)
    with metrics.opened():
        metrics.training({**TRAINING, "epoch": 1, "samples_per_second": 1.0, "memory_gib": 0.0}, 20)
        metrics.evaluation(evaluation(10, road=0.25, 天空=0.5, **{"5% a/b": 0.125, "5__a b": 0.75, "absent": None}))
        metrics.image(10, "Evaluate/image_0", IMAGE)
    return metrics


def test_both_show_the_same_under_the_tags_of_paddleseg(tmp_path: Path) -> None:
    write(tmp_path)
    expected = {
        **{"Train/loss": 2.0, "Train/lr": 0.1, "Train/batch_cost": 1.5, "Train/reader_cost": 0.5},
        **{"Train/loss_mask": 1.5, "Evaluate/mIoU": 0.5, "Evaluate/Acc": 0.75, "Evaluate/loss": 1.25},
        **{"Evaluate/IoU/road": 0.25, "Evaluate/IoU/天空": 0.5},
        **{"Evaluate/IoU/5__a_b": 0.125, "Evaluate/IoU/5__a_b_": 0.75},
    }
    for found in (tensorboard_scalars(tmp_path), visualdl_scalars(tmp_path)):
        assert found.keys() == expected.keys()
        for tag, value in expected.items():
            assert found[tag] == [(10, pytest.approx(value))], tag
    (picture,) = tensorboard(tmp_path).Images("Evaluate/image_0")
    assert (picture.step, picture.height, picture.width) == (10, 4, 5)


def test_nothing_is_written_unasked(tmp_path: Path) -> None:
    with MetricLogger(tmp_path).opened():
        pass
    assert {path.name for path in tmp_path.iterdir()} == {"metrics.jsonl", "train.log"}


def test_a_run_that_goes_on_shows_each_point_once(make, tmp_path: Path) -> None:
    """Resumed before its end, as after a kill: what came behind the checkpoint is trained and told again."""
    options = {"use_vdl": True, "use_tensorboard": True, "log_iters": 5, "do_eval": True}
    run = tmp_path / "run"
    make("run", **options).run()
    make("run", resume=run / "iter_10", **options).run()
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [(line["iter"], line.get("resumed")) for line in lines if "loss" in line] == [
        *((5, None), (10, None), (15, 10), (20, None))
    ]
    for found in (tensorboard_scalars(run), visualdl_scalars(run)):
        for key, tag in {"loss": "Train/loss", "lr": "Train/lr", "miou": "Evaluate/mIoU"}.items():
            told = [(line["iter"], pytest.approx(line[key], rel=1e-6)) for line in lines if key in line]
            assert found[tag] == told, tag
        classes = [tag for tag in found if tag.startswith("Evaluate/IoU/")]
        assert len(classes) == 3 and all([step for step, _ in found[tag]] == [10, 20] for tag in classes)
    assert [picture.step for picture in tensorboard(run).Images("Evaluate/image_0")] == [10, 20]


def test_an_evaluation_that_was_cut_short_is_told_once(tmp_path: Path) -> None:
    write(tmp_path)
    metrics = MetricLogger(tmp_path, use_vdl=True, use_tensorboard=True)
    with metrics.opened(10, evaluated=False):
        metrics.evaluation({**evaluation(10, road=0.5), "miou": 0.625})
    for found in (tensorboard_scalars(tmp_path), visualdl_scalars(tmp_path)):
        assert found["Train/loss"] == [(10, 2.0)] and found["Evaluate/mIoU"] == [(10, 0.625)]
        assert found["Evaluate/IoU/road"] == [(10, 0.5)]


@pytest.mark.parametrize(("flag", "package"), [("use_vdl", "visualdl"), ("use_tensorboard", "tensorboardX")])
def test_a_board_that_is_not_installed_is_told(flag: str, package: str, tmp_path: Path, monkeypatch) -> None:
    importing = builtins.__import__

    def lacking(name: str, *args: object, **kwargs: object) -> object:
        if name.split(".")[0] == package:
            raise ImportError(f"No module named '{package}'")
        return importing(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", lacking)
    with pytest.raises(UserError, match=rf"`{flag}`: .* cannot be imported .*; pip install {package}"):
        with MetricLogger(tmp_path, **{flag: True}).opened():
            pass


def test_a_full_disk_ends_the_board_and_not_the_run(tmp_path: Path, monkeypatch, caplog) -> None:
    boards = Boards(tmp_path, use_vdl=False, use_tensorboard=True)

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("tensorboardX.event_file_writer.EventsWriter.flush", refuse)
    for _ in range(30):
        boards.record(TRAINING)
        boards.image(10, "Evaluate/image_0", IMAGE)
    boards.close()
    assert caplog.text.count("TensorBoard is written no more") == 1


def test_a_history_of_another_version_is_shown_as_far_as_it_goes(tmp_path: Path) -> None:
    boards = Boards(tmp_path, use_vdl=True, use_tensorboard=True, first=0, history=[{"iter": 5, "loss": 1.0}])
    boards.close()
    for found in (tensorboard_scalars(tmp_path), visualdl_scalars(tmp_path)):
        assert found == {"Train/loss": [(5, 1.0)]}
