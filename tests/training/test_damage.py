"""A checkpoint that was damaged is told by file and field, and the newest whole one is offered."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from paddleseg_ext.checkpoint.save import ARRAYS, RECORD, WEIGHTS, load_checkpoint
from paddleseg_ext.errors import UserError
from tests.tiny_run import assert_same

OFFER = "; the newest whole checkpoint before it is .*iter_4$"
VELOCITY = "optimizer/velocity_0/mask.weight"


@pytest.fixture
def run(make, tmp_path: Path) -> Path:
    make("run", iters=8, save_interval=4, ema=True).run()
    return tmp_path / "run"


def change_record(path: Path, **changes: object) -> None:
    record = json.loads((path / RECORD).read_text())
    for name, value in changes.items():
        if value is None:
            del record[name]
        else:
            record[name] = value
    (path / RECORD).write_text(json.dumps(record))


def change_arrays(path: Path, change: Callable[[dict[str, np.ndarray]], object]) -> None:
    arrays = load_file(path / ARRAYS)
    change(arrays)
    save_file(arrays, path / ARRAYS)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        *[({name: None}, f"training.json is damaged: {name} is missing") for name in ("iteration", "seed", "scaler")],
        ({"iteration": "8"}, "iteration is '8', not a whole number"),
        ({"position": -1}, "position is -1, not a whole number of at least 0"),
        ({"seed": True}, "seed is True, not a whole number"),
        ({"stale": [1] * 99}, r"stale is \[1, 1.*, not a whole number"),
        ({"evaluated": 1}, "evaluated is 1, not true or false"),
        ({"best": {"metric": "miou", "score": 0.5}}, "best.iteration is missing"),
        ({"best": {"metric": "miou", "score": "high", "iteration": 4}}, "best.score is 'high', not a number"),
        ({"schedule": [3]}, "schedule is .*, not a section"),
        ({"arrays": 99}, r"training.safetensors is damaged: it has 16 arrays, and 99 were written"),
    ],
)
def test_fields_of_the_record(make, run: Path, changes: dict, told: str) -> None:
    change_record(run / "iter_8", **changes)
    with pytest.raises(UserError, match=f"iter_8: .*{told}.*{OFFER}"):
        make("run", resume=run / "iter_8", ema=True)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda arrays: arrays.pop(VELOCITY), "it has 15 arrays, and 16 were written"),
        (
            lambda arrays: arrays.update({VELOCITY: np.zeros([2, 2], "float32")}),
            r"has the shape \[2, 2\], and its weight",
        ),
        (
            lambda arrays: arrays.update({"ema/mask.bias": np.zeros([4], "float32")}),
            r"ema/mask.bias has the shape \[4\]",
        ),
        (lambda arrays: arrays.update({VELOCITY: arrays[VELOCITY].astype("int64")}), "holds int64"),
        (lambda arrays: arrays.update({"optimizer/x/y": arrays.pop(VELOCITY)}), "optimizer/x/y belongs to no weight"),
    ],
)
def test_arrays_of_the_state(make, run: Path, change: Callable, told: str) -> None:
    change_arrays(run / "iter_8", change)
    with pytest.raises(UserError, match=f"{told}.*{OFFER}"):
        make("run", resume=run / "iter_8", ema=True)


@pytest.mark.parametrize("name", [WEIGHTS, ARRAYS, RECORD])
def test_files_cut_short(make, run: Path, name: str) -> None:
    content = (run / "iter_8" / name).read_bytes()
    for other in (run / "iter_8").glob("model.*"):  # whichever of them is read
        if name == WEIGHTS:
            other.write_bytes(other.read_bytes()[: len(content) // 2])
    (run / "iter_8" / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=OFFER):
        make("run", resume="auto", ema=True)


def test_without_a_whole_one_none_is_offered(make, run: Path) -> None:
    change_record(run / "iter_4", seed=None)
    change_record(run / "iter_8", seed=None)
    with pytest.raises(UserError, match="seed is missing$"):
        make("run", resume=run / "iter_8", ema=True)


def test_values_of_the_schedule(make, run: Path) -> None:
    schedule = json.loads((run / "iter_8" / RECORD).read_text())["schedule"]
    change_record(run / "iter_8", schedule={**schedule, "last_epoch": "eight"})
    with pytest.raises(UserError, match="schedule.last_epoch is 'eight', not as"):
        make("run", resume=run / "iter_8", ema=True)
    change_record(run / "iter_8", schedule={})
    with pytest.raises(UserError, match="schedule.last_epoch is missing"):
        make("run", resume=run / "iter_8", ema=True)


@pytest.mark.parametrize("way", ["no file", "no arrays"])
def test_no_optimizer_state_is_refused_unless_asked_for(make, tmp_path: Path, way: str, caplog) -> None:
    from paddleseg_ext.training.trainer import Trainer

    make("run", iters=10).run()
    path = tmp_path / "run" / "iter_10"
    if way == "no file":
        (path / ARRAYS).unlink()
    else:
        save_file({}, path / ARRAYS)
        record = json.loads((path / RECORD).read_text())
        (path / RECORD).write_text(json.dumps({key: value for key, value in record.items() if key != "arrays"}))
    with pytest.raises(
        UserError, match="has no training.safetensors|has no optimizer state: Momentum.*`resume_anyway`"
    ):
        make("run", resume=path)
    trainer: Trainer = make("fresh")
    trainer.restore(path, anyway=True)
    assert "has no optimizer state: Momentum would start with none" in caplog.text


def test_checkpoints_of_earlier_versions_go_on(make, tmp_path: Path) -> None:
    for name in ("new", "old"):
        make(name, iters=10).run()
    change_record(tmp_path / "old" / "iter_10", arrays=None, meter=None)
    for name in ("new", "old"):
        make(name, resume=tmp_path / name / "iter_10").run()
    a, b = (load_checkpoint(tmp_path / name / "iter_20") for name in ("new", "old"))
    assert_same(a.weights, b.weights)
    assert_same(a.arrays, b.arrays)


def test_damaged_lines_of_the_metrics_are_left_out_and_kept(make, tmp_path: Path, caplog) -> None:
    make("run", iters=10, log_iters=1).run()
    metrics = tmp_path / "run" / "metrics.jsonl"
    lines = metrics.read_bytes().splitlines()
    lines[2:6] = [b"\xff\xfe{", b"[1]", b'{"iter": "six", "loss": 1}', b'{"iter": 6, "loss": "low"}']
    lines[6:8] = [b'{"iter": 7, "loss": 1, "losses": [1]}', b'{"iter": 8, "miou": 0.5, "classes": {"road": 0.5}}']
    metrics.write_bytes(b"\n".join(lines) + b"\n")
    before = metrics.read_bytes()
    make("run", log_iters=1, resume=tmp_path / "run" / "iter_10").run()
    found = [json.loads(line)["iter"] for line in metrics.read_text().splitlines()]
    assert found == [1, 2, *range(9, 21)]
    assert "not a record in line 3, 4, 5, 6, 7, …" in caplog.text
    assert (tmp_path / "run" / "metrics_damaged.jsonl").read_bytes() == before


def test_a_last_line_cut_short_is_left_out(make, tmp_path: Path) -> None:
    make("run", iters=10, log_iters=5).run()
    metrics = tmp_path / "run" / "metrics.jsonl"
    with open(metrics, "a") as file:
        file.write('{"iter": 11, "lo')
    make("run", log_iters=5, resume=tmp_path / "run" / "iter_10").run()
    assert [json.loads(line)["iter"] for line in metrics.read_text().splitlines()] == [5, 10, 15, 20]
    assert sorted(name for name in os.listdir(tmp_path / "run") if "metrics" in name) == ["metrics.jsonl"]
