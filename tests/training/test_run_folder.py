"""Whatever happens to a run's folder: nothing is lost, and one sentence says what to do."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import resource
from pathlib import Path

import numpy as np
import paddle
import pytest

from paddleseg_ext.checkpoint import save
from paddleseg_ext.checkpoint.load import read_weights
from paddleseg_ext.checkpoint.run import lock, refusals
from paddleseg_ext.compat.paddle import lr_scheduler
from paddleseg_ext.errors import UserError
from tests.tiny_run import assert_same, weights

EVERY_FOUR = {"save_interval": 4, "log_iters": 2, "do_eval": True}


def iterations(path: Path) -> list[int]:
    return [json.loads(line)["iter"] for line in path.read_text().splitlines()]


def test_resuming_from_an_earlier_one_keeps_the_later_ones(make, tmp_path: Path, caplog) -> None:
    run = tmp_path / "run"
    make("run", keep_checkpoint_max=3, **EVERY_FOUR).run()
    before = weights(run / "iter_20")
    result = make("run", keep_checkpoint_max=1, iters=18, resume=run / "iter_12", **EVERY_FOUR).run()
    assert result.checkpoint == run / "iter_18" == save.latest_checkpoint(run) == (run / "last").resolve()
    assert [path.name for path in save.list_checkpoints(run)] == ["iter_12", "iter_18"]  # and what it started from
    assert_same(before, weights(run / "iter_20_before_resume_from_12"))
    assert (run / "iter_16_before_resume_from_12").is_dir()
    assert iterations(run / "metrics_before_resume_from_12.jsonl")[-1] == 20
    assert max(iterations(run / "metrics.jsonl")) == 18
    best = json.loads((run / "best_model" / "best.json").read_text())
    assert best == result.best
    assert_same(weights(run / "iter_12"), weights(run / "iter_12"))


def test_the_best_model_of_later_iterations_is_kept_aside(make, tmp_path: Path) -> None:
    run = tmp_path / "run"
    make("run", save_interval=4, do_eval=True).run()
    state = json.loads((run / "best_model" / "best.json").read_text())
    (run / "best_model" / "best.json").write_text(json.dumps({**state, "iteration": 20}))
    result = make("run", iters=16, save_interval=4, do_eval=True, resume=run / "iter_12").run()
    assert (run / "best_model_before_resume_from_12" / "model.pdparams").is_file()
    assert result.best["iteration"] == 16  # the scores before it have no weights any more
    assert_same(weights(run / "iter_16"), read_weights(run / "best_model" / "model.safetensors"))


def test_a_checkpoint_of_elsewhere_does_not_mix_with_those_of_a_folder(make, tmp_path: Path) -> None:
    make("one", iters=10).run()
    make("two", iters=10).run()
    with pytest.raises(UserError, match=r"two holds checkpoints of an earlier run \(iter_10\)"):
        make("two", resume=tmp_path / "one" / "iter_10").run()
    result = make("three", resume=tmp_path / "one" / "iter_10").run()
    assert result.checkpoint == tmp_path / "three" / "iter_20"


def test_an_unfinished_evaluation_writes_nothing_into_another_folder(make, tmp_path: Path) -> None:
    make("one", iters=10).run()
    record = tmp_path / "one" / "iter_10" / save.RECORD
    record.write_text(json.dumps({**json.loads(record.read_text()), "evaluated": False}))
    before = record.read_bytes()
    make("two", iters=10, do_eval=True, resume=tmp_path / "one" / "iter_10").run()
    assert record.read_bytes() == before and (tmp_path / "two" / "best_model").is_dir()


@pytest.mark.parametrize("link", [True, False])
def test_the_last_one_is_the_checkpoint_that_it_stands_for(make, tmp_path: Path, monkeypatch, link: bool) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no links here")

    if not link:
        monkeypatch.setattr(os, "symlink", refuse)
    make("run", iters=10).run()
    make("run", resume=tmp_path / "run" / "last").run()
    assert [path.name for path in save.list_checkpoints(tmp_path / "run")] == ["iter_10", "iter_20"]
    assert not list((tmp_path / "run").glob("*before*"))


def test_a_folder_in_use_is_refused_before_and_while_training(make, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(lock, "PATIENCE", 0.0)
    early = make("run", iters=2)
    (tmp_path / "run").mkdir()
    with open(tmp_path / "run" / lock.LOCK, "a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for start in (lambda: make("run"), early.run):
            with pytest.raises(UserError, match="is in use by another training"):
                start()
    early.run()


def test_weights_that_are_not_finite_are_neither_saved_nor_the_best(make, tmp_path: Path) -> None:
    trainer = make("run", save_interval=1, do_eval=True)
    schedule = lr_scheduler(trainer.optimizer)
    schedule.base_lr = schedule.last_lr = 1e39  # a configuration may refuse it; others do the same more slowly
    sentence = r"not finite after iteration 1, so not saved: \w+\.\w+.*; learning rate 1e\+39, images .*image\d\.png"
    with pytest.raises(UserError, match=sentence):
        trainer.run()
    assert not save.list_checkpoints(tmp_path / "run") and not (tmp_path / "run" / "best_model").exists()


def test_statistics_that_are_not_finite_stop_the_run_at_the_newest_whole_one(make, before_step, tmp_path: Path) -> None:
    trainer = make("run", do_eval=True)

    def spoil(_: list[dict]) -> None:
        if trainer.state.iteration == 15:  # the loss of training does not look at them
            trainer.model.norm._mean.set_value(paddle.full([8], float("nan")))

    before_step(spoil)
    with pytest.raises(UserError, match=r"after iteration 20.*: norm\._mean; .*newest checkpoint is .*iter_10"):
        trainer.run()
    assert [path.name for path in save.list_checkpoints(tmp_path / "run")] == ["iter_10"]


def test_averages_that_are_not_finite_are_not_saved(make, before_step) -> None:
    trainer = make("run", ema=True)

    def spoil(_: list[dict]) -> None:
        if trainer.state.iteration == 5:
            trainer.ema._averages["mask.bias"].set_value(paddle.full([3], float("inf")))

    before_step(spoil)
    with pytest.raises(UserError, match="after iteration 10, so not saved: ema/mask.bias"):
        trainer.run()


def test_a_limit_on_files_is_told_and_the_run_goes_on_afterwards(make, before_step, tmp_path: Path) -> None:
    options = {"log_iters": 1, "ema": True}
    make("straight", **options).run()
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    trainer = make("run", **options)

    def limit(_: list[dict]) -> None:
        if trainer.state.iteration == 15:
            resource.setrlimit(resource.RLIMIT_FSIZE, (2000, usual[1]))

    before_step(limit)
    sentence = (
        r"checkpoint of iteration 20 cannot be written \(File too large\); raise .*ulimit -f.*iter_10 by `resume`"
    )
    try:
        with pytest.raises(UserError, match=sentence):
            trainer.run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert [path.name for path in save.list_checkpoints(tmp_path / "run")] == ["iter_10"]
    assert not list((tmp_path / "run").glob(".*~"))
    make("run", resume=tmp_path / "run" / "iter_10", **options).run()
    a, b = (save.load_checkpoint(tmp_path / name / "iter_20") for name in ("straight", "run"))
    assert_same(a.weights, b.weights)
    assert_same(a.arrays, b.arrays)
    assert iterations(tmp_path / "run" / "metrics.jsonl") == list(range(1, 21))


def test_a_limit_that_no_checkpoint_fits_is_told_before_the_first_iteration(make, tmp_path: Path) -> None:
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    trainer = make("run")
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, usual[1]))
    try:
        with pytest.raises(UserError, match=r"the weights take .* MiB, and files may have .*ulimit -f"):
            trainer.run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert trainer.state.iteration == 0


def test_a_disk_without_room_for_a_checkpoint_is_told_first(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="takes at least .* MiB, and the disk has room for"):
        refusals.check_room(tmp_path, 2**60)


@pytest.mark.parametrize(
    ("what", "number"),
    [
        ("checkpoint", errno.ENOSPC),
        ("checkpoint", errno.EROFS),
        ("best model", errno.EDQUOT),
    ],
)
def test_refusals_keep_what_is_there(make, tmp_path: Path, monkeypatch, what: str, number: int) -> None:
    make("run", iters=10, do_eval=True).run()
    best = (tmp_path / "run" / "best_model" / "best.json").read_bytes()
    trainer = make("run", do_eval=True, resume=tmp_path / "run" / "iter_10")
    trainer.state.best["score"] = 0.0
    write = save.save_weights

    def refuse(arrays: dict[str, np.ndarray], path: Path) -> None:
        write(arrays, path)
        if ("best_model" in str(path)) == (what == "best model"):
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(save, "save_weights", refuse)
    with pytest.raises(UserError, match=rf"the {what}.* cannot be written \({os.strerror(number)}\); .* `resume` auto"):
        trainer.run()
    kept = [path.name for path in save.list_checkpoints(tmp_path / "run")]
    assert kept == (["iter_10"] if what == "checkpoint" else ["iter_10", "iter_20"])
    assert (tmp_path / "run" / "best_model" / "best.json").read_bytes() == best
    monkeypatch.undo()
    result = make("run", do_eval=True, resume=save.latest_checkpoint(tmp_path / "run")).run()
    assert result.iteration == 20 and result.checkpoint.name == "iter_20"


@pytest.mark.curves
def test_a_curve_that_cannot_be_written_ends_no_run(make, tmp_path: Path, monkeypatch, caplog) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("paddleseg_ext.training.validation.plot_history", refuse)
    assert make("run", do_eval=True).run().iteration == 20
    assert "curve.png cannot be written (No space left on device)" in caplog.text
