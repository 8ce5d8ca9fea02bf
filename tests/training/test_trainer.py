"""The loop: it learns, it resumes bit for bit, it stops when it is told to, and it says what is wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import paddle
import pytest

from paddleseg_ext.checkpoint import save as checkpoint
from paddleseg_ext.checkpoint.load import read_weights
from paddleseg_ext.errors import UserError
from paddleseg_ext.training import state_dict
from paddleseg_ext.training.reporting.metric_logger import MetricLogger
from tests.tiny_run import assert_same, weights


def test_evaluations_take_a_batch(make, tmp_path: Path) -> None:
    """Of one image and of several: the same scores, and the training goes on alike."""
    scores = []
    for size in (1, 3):
        make(f"of_{size}", do_eval=True, val_batch_size=size).run()
        records = map(json.loads, (tmp_path / f"of_{size}" / "metrics.jsonl").read_text().splitlines())
        scores.append([(record["miou"], record["val_loss"]) for record in records if "miou" in record])
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-6)
    assert_same(weights(tmp_path / "of_1" / "iter_20"), weights(tmp_path / "of_3" / "iter_20"))


@pytest.mark.curves
def test_the_loss_falls_and_the_score_rises(make, tmp_path: Path) -> None:
    result = make("run", do_eval=True, iters=60, save_interval=20, log_iters=5).run()
    records = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    training = [record for record in records if "loss" in record]
    scores = [record["miou"] for record in records if "miou" in record]
    validation = [record["val_loss"] for record in records if "miou" in record]
    assert validation[-1] < 0.8 * training[0]["losses"]["mask"]
    assert [record["iter"] for record in training] == list(range(5, 61, 5))
    assert set(training[0]["losses"]) == {"mask", "aux0"}
    assert training[-1]["loss"] < 0.6 * training[0]["loss"]
    assert len(scores) == 3 and result.best["score"] == max(scores) > 0.5
    assert (tmp_path / "run" / "curve.png").stat().st_size > 0
    best = tmp_path / "run" / f"iter_{result.best['iteration']}"
    assert_same(
        weights(best), dict(paddle.load(str(tmp_path / "run" / "best_model" / "model.pdparams"), return_numpy=True))
    )


SGD = {"type": "SGD", "momentum": 0.9, "weight_decay": 1.0e-4}
AVERAGE = {"ema": True, "ema_decay": 0.9}
ADAMW = {"type": "AdamW", "weight_decay": 0.01}
WARM_UP = {"type": "PolynomialDecay", "learning_rate": 0.1, "warmup_iters": 15, "warmup_start_lr": 0.01}


@pytest.mark.parametrize(
    ("config", "options"),
    [
        ({"optimizer": SGD}, {}),
        ({"optimizer": ADAMW}, {}),
        ({"optimizer": SGD}, {"accumulate": 3, "ema": True, "ema_decay": 0.9, "clip_norm": 0.5, "num_workers": 2}),
        (
            {"optimizer": ADAMW, "lr_scheduler": WARM_UP},
            {"accumulate": 2, "ema": True, "ema_decay": 0.9, "do_eval": True},
        ),
    ],
)
def test_ten_and_ten_more_are_twenty_bit_for_bit(make, tmp_path: Path, config: dict, options: dict) -> None:
    make("straight", config, **options).run()
    halves = make("halves", config, **options)
    halves.config = replace(halves.config, iters=10)
    halves.run()
    paddle.seed(99)  # whatever the process did in between does not matter
    np.random.seed(99)
    make("halves", config, resume=tmp_path / "halves" / "iter_10", **{**options, "seed": None}).run()
    a, b = (checkpoint.load_checkpoint(tmp_path / name / "iter_20") for name in ("straight", "halves"))
    assert_same(a.weights, b.weights)
    assert_same(a.arrays, b.arrays)
    assert a.record == b.record


def test_workers_do_not_change_the_run(make, tmp_path: Path) -> None:
    make("none", iters=6).run()
    make("two", iters=6, num_workers=2).run()
    assert_same(weights(tmp_path / "none" / "iter_6"), weights(tmp_path / "two" / "iter_6"))


def test_another_seed_is_another_run(make, tmp_path: Path) -> None:
    make("a", iters=3).run()
    make("b", iters=3, seed=8).run()
    assert not np.array_equal(
        weights(tmp_path / "a" / "iter_3")["mask.weight"], weights(tmp_path / "b" / "iter_3")["mask.weight"]
    )


def test_resuming_drops_records_of_lost_iterations(make, tmp_path: Path) -> None:
    make("run", log_iters=5).run()
    make("run", log_iters=5, resume=tmp_path / "run" / "iter_10").run()
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["iter"] for line in lines] == [5, 10, 15, 20]


def test_a_finished_run_is_left_as_it_is(make, tmp_path: Path) -> None:
    finished = make("run", iters=2, num_workers=1).run().checkpoint
    result = make("run", iters=2, num_workers=1, resume=finished).run()
    assert (result.iteration, result.checkpoint, result.signal) == (2, finished, None)


def test_only_the_newest_checkpoints_are_kept(make, tmp_path: Path) -> None:
    make("run", save_interval=4, keep_checkpoint_max=2).run()
    assert [path.name for path in checkpoint.list_checkpoints(tmp_path / "run")] == ["iter_16", "iter_20"]
    assert (tmp_path / "run" / "last" / "model.pdparams").is_file()


def test_a_used_folder_is_refused(make) -> None:
    make("run", iters=2).run()
    with pytest.raises(UserError, match=r"holds checkpoints of an earlier run \(iter_2\).*`resume` auto"):
        make("run", iters=2).run()


def test_building_leaves_the_disk_as_it_is(make, tmp_path: Path) -> None:
    make("run", use_vdl=True, do_eval=True, ema=True)
    assert not (tmp_path / "run").exists()
    make("run", iters=2).run()
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")}
    make("run", resume=tmp_path / "run" / "iter_2")
    assert files == {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")}


def test_a_loss_that_is_not_finite_names_the_images_and_leaves_the_weights(make) -> None:
    trainer = make("run")
    trainer.model.mask.bias.set_value(paddle.full([3], float("nan")))
    before = state_dict.model_arrays(trainer.model)["aux.weight"]
    with pytest.raises(UserError, match=r"not finite at iteration 1: mask nan, aux0 .*image\d\.png, .*image\d\.png"):
        trainer.run()
    np.testing.assert_array_equal(before, state_dict.model_arrays(trainer.model)["aux.weight"])


def test_iterations_that_are_not_finite_can_be_skipped(make, before_step, tmp_path: Path) -> None:
    clean = make("clean", iters=4, log_iters=1)
    clean.run()
    trainer = make("run", iters=4, log_iters=1, skip_nonfinite=1)

    def spoil_second(batches: list[dict]) -> None:
        if trainer.state.iteration == 1:
            batches[0]["img"][0, 0, 0, 0] = float("inf")

    before_step(spoil_second)
    result = trainer.run()
    assert result.iteration == 4 and checkpoint.load_checkpoint(result.checkpoint).record["skipped"] == 1
    lines = map(json.loads, (tmp_path / "run" / "metrics.jsonl").read_text().splitlines())
    assert [record["iter"] for record in lines] == [1, 3, 4]
    assert all(np.isfinite(value).all() for value in weights(result.checkpoint).values())


def test_the_average_is_what_is_evaluated_and_kept_as_best(
    make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make("run", iters=10, do_eval=True, ema=True, ema_decay=0.9, use_vdl=True)
    shown = []
    monkeypatch.setattr(MetricLogger, "image", lambda _, step, tag, image: shown.append((tag, image.shape[2], step)))
    trainer.run()
    assert shown == [(f"Evaluate/image_{i}", 3, 10) for i in (0, 2, 3, 5)]
    best = read_weights(tmp_path / "run" / "best_model" / "model.pdparams")
    saved = checkpoint.load_checkpoint(tmp_path / "run" / "iter_10")
    for name in ("mask.weight", "norm.bias"):
        np.testing.assert_array_equal(best[name], saved.arrays[f"ema/{name}"])
        assert not np.array_equal(best[name], saved.weights[name])
    np.testing.assert_array_equal(best["norm._mean"], saved.weights["norm._mean"])
    assert_same(saved.weights, state_dict.model_arrays(trainer.model))  # the model has its own weights back


def test_training_stops_when_scores_no_longer_rise(make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([0.3, 0.5, 0.4, 0.5, 0.6])
    monkeypatch.setattr(
        "paddleseg_ext.training.validation.evaluate",
        lambda *_, **__: SimpleNamespace(
            to_dict=lambda names: {"miou": next(scores), "accuracy": 0.0}, doubts=lambda names: None
        ),
    )
    result = make("run", do_eval=True, save_interval=2, early_stop_intervals=2).run()
    assert (result.iteration, result.signal) == (8, None)
    assert result.best == {"metric": "miou", "score": 0.5, "iteration": 4}
    resume = tmp_path / "run" / "iter_8"
    again = make("run", do_eval=True, save_interval=2, early_stop_intervals=2, resume=resume).run()
    assert (again.iteration, again.checkpoint) == (8, resume)


def test_two_deterministic_runs_give_identical_losses(make, tmp_path: Path) -> None:
    for name in ("a", "b"):
        make(name, iters=8, log_iters=1, num_workers=2, deterministic=True).run()
    a, b = ([json.loads(line)["losses"] for line in (tmp_path / n / "metrics.jsonl").open()] for n in ("a", "b"))
    assert a == b and len(a) == 8


def test_a_resume_needs_the_same_model(make, tmp_path: Path) -> None:
    make("run", iters=2).run()
    other = {"model": {"type": "TwoOutputs", "num_classes": 3, "plain": True}}
    with pytest.raises(UserError, match="iter_2 was trained with other settings.*plain: missing before, True now"):
        make("run", other, resume=tmp_path / "run" / "iter_2")
    (tmp_path / "run" / "iter_2" / "config.yml").unlink()  # as of a version that did not keep it
    with pytest.raises(UserError, match="iter_2: norm.* another model"):
        make("run", other, resume=tmp_path / "run" / "iter_2")


def test_too_few_losses_are_named_with_the_outputs(make) -> None:
    config = {"loss": {"types": [{"type": "CrossEntropyLoss"}], "coef": [1]}}
    with pytest.raises(UserError, match=r"loss\.types has 1 entries but the model gives 2 outputs: mask, aux0"):
        make("run", config).run()


def test_a_stock_model_trains(make, tmp_path: Path) -> None:
    model = {"type": "PPLiteSeg", "backbone": {"type": "STDC1"}, "num_classes": 3}
    crop = [{"type": "RandomPaddingCrop", "crop_size": [64, 64]}, {"type": "Normalize"}]
    trainer = make(
        "stock", {"model": model, "loss": {"types": [{"type": "CrossEntropyLoss"}], "coef": [1, 1, 1]}}, iters=1
    )
    trainer.train_dataset.transforms.transforms = [*_built(crop)]
    trainer.run()
    record = json.loads((tmp_path / "stock" / "metrics.jsonl").read_text())
    assert set(record["losses"]) == {"out0", "out1", "out2"}


def _built(transforms: list[dict]) -> list:
    from paddleseg.cvlibs import manager

    return [manager.TRANSFORMS[item.pop("type")](**item) for item in map(dict, transforms)]
