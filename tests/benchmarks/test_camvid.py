"""The trainings on CamVid: both sides differ in the network alone, and what they leave becomes the tables."""

from __future__ import annotations

import fcntl
import json
from dataclasses import replace
from pathlib import Path

import paddle
import pytest
from paddleseg.models import DMNet

from benchmarks.camvid import table
from benchmarks.camvid.__main__ import main
from benchmarks.camvid.runs import NETWORKS, Run, ablation, plan
from benchmarks.camvid.stock import DMNetOfAnyStride
from benchmarks.camvid.train import RESULT, command, summarize, train
from paddleseg_ext.backbones import EfficientNet_lite0
from paddleseg_ext.builder import Builder
from paddleseg_ext.config.load import load_config

FULL = [Run(network, "ours", 1, full=True) for network in NETWORKS]


def test_first_every_network_then_further_seeds() -> None:
    runs = plan()
    assert len(set(runs)) == len(runs) == 2 * (6 + 6 + 3)
    assert [run.seed for run in runs] == [1] * 12 + [2] * 12 + [3] * 6
    assert {(run.network, run.side) for run in runs[:12]} == {(n, s) for n in NETWORKS for s in ("ours", "paddleseg")}
    assert {run.network for run in runs[24:]} == {"pspnet", "ccnet", "encnet"}


@pytest.mark.parametrize("network", NETWORKS)
def test_both_sides_differ_in_the_network_alone(network: str) -> None:
    ours, theirs = (load_config(Run(network, side, 1).config).dic for side in ("ours", "paddleseg"))
    for key in ("batch_size", "iters", "train", "train_dataset", "val_dataset", "optimizer", "lr_scheduler"):
        assert ours[key] == theirs[key], key
    assert ours["model"]["backbone"] == theirs["model"]["backbone"]

    def terms(losses: dict) -> list:
        return sorted((str(term), coef) for term, coef in zip(losses["types"], losses["coef"]))

    assert terms(ours["loss"]) == terms(theirs["loss"])


@pytest.mark.parametrize("run", [*plan()[:12], *FULL], ids=lambda run: run.name)
def test_pictures_have_the_size_that_is_named(run: Run) -> None:
    crop = load_config(run.config).train_dataset_cfg["transforms"][0]["crop_size"]
    assert "x".join(map(str, crop)) == run.size


CHANGED = {  # sections of a variant's configuration that are not the network's
    "no_class_weights": {"loss"},
    "paddles_initialization": {"imports", "model"},
    "recurrence_1": {"model"},
    "category_max_ratio": {"train_dataset"},
    "no_auxiliary": {"loss", "model"},
    "accumulation": {"batch_size", "train"},
    "ema": {"train"},
    "no_se": {"loss"},
    "dilation": {"model"},
}


@pytest.mark.parametrize("run", ablation()[::2], ids=lambda run: run.name)
def test_a_variant_differs_in_what_it_is_named_after(run: Run) -> None:
    ours, other = (load_config(r.config).dic for r in (replace(run, variant=""), run))
    assert {key for key in {*ours, *other} if ours.get(key) != other.get(key)} == CHANGED[run.variant]


def test_paddles_initialization_is_wider_there_and_nowhere_else() -> None:
    run = Run("ccnet", "ours", 1, variant="paddles_initialization")
    deviations = []
    for tried in (run, replace(run, variant="")):
        config = load_config(tried.config)
        config.model_cfg["backbone"]["pretrained"] = None
        deviations.append(float(Builder(config).model.decode_head.attention.query.weight.std()))
    assert deviations[0] / deviations[1] == pytest.approx(6**0.5, rel=0.1)


OTHER_MODELS = [run for run in ablation()[::2] if "model" in CHANGED[run.variant]]


@pytest.mark.parametrize("run", [*plan()[:12], *OTHER_MODELS], ids=lambda run: run.name)
def test_networks_answer_at_the_pictures_size(run: Run) -> None:
    config = load_config(run.config)
    config.model_cfg["backbone"]["pretrained"] = None
    builder = Builder(config)
    model, losses = builder.model, builder.loss
    outputs = model(paddle.randn([2, 3, 45, 60]))
    assert len(outputs) == len(losses["types"])
    for out, loss in zip(outputs, losses["types"]):
        assert out.shape == ([2, 11] if type(loss).__name__ == "SECrossEntropyLoss" else [2, 11, 45, 60])


def test_dmnet_of_any_stride_is_paddlesegs_where_that_works() -> None:
    stock = DMNet(3, EfficientNet_lite0(output_stride=8), mid_channels=4)
    other = DMNetOfAnyStride(3, EfficientNet_lite0(output_stride=8), mid_channels=4)
    other.set_state_dict(stock.state_dict())
    stock.eval(), other.eval()
    x = paddle.randn([1, 3, 40, 64])
    with paddle.no_grad():
        assert paddle.equal_all(other(x)[0], stock(x)[0])


def records(scores: list[float]) -> list[dict]:
    found = []
    for i, score in enumerate(scores, 1):
        found.append({"iter": i, "losses": {"mask": 1.0}, "seconds": float(i), "memory_gib": 2.0 / i})
        found.append({"iter": i, "miou": score, "accuracy": 0.5, "seconds": 0.1, "classes": {"sky": {"iou": score}}})
    return found


def finish(run: Run, output: Path, scores: list[float]) -> None:
    folder = output / "results" / run.name
    folder.mkdir(parents=True)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records(scores)))
    (folder / RESULT).write_text(json.dumps({**summarize(records(scores)), "threads": "1", "device": "a processor"}))


def test_tables_tell_means_and_spread(tmp_path: Path) -> None:
    first, second, other = Run("pspnet", "ours", 1), Run("pspnet", "ours", 2), Run("pspnet", "paddleseg", 1)
    finish(first, tmp_path, [0.2, 0.6, 0.5])
    finish(second, tmp_path, [0.3, 0.4, 0.5])
    (tmp_path / "runs" / other.name).mkdir(parents=True)
    (tmp_path / "runs" / other.name / "metrics.jsonl").write_text(json.dumps(records([0.25])[1]) + "\n")
    table.write([first, second, other], tmp_path)
    assert "| 240x180 | pspnet | ours | 2 | 55.00 | 10.00 | 50.00 | 50.00 | 1.00 | 1 | 2.00 |" in (
        tmp_path / "results" / "table.md"
    ).read_text("utf-8")
    assert "| 240x180 | pspnet | ours | 55.0 |" in (tmp_path / "results" / "classes.md").read_text("utf-8")
    assert len((tmp_path / "results" / "runs.csv").read_text("utf-8").splitlines()) == 3
    assert (tmp_path / "results" / "curves.png").stat().st_size > 0
    told = table.status([first, other, Run("ccnet", "ours", 1)], tmp_path)
    assert [line.split(maxsplit=1)[1].strip() for line in told] == [
        "done     mIoU 60.00",
        "at iteration 1, mIoU so far 25.00",
        "waiting",
    ]
    assert table.best_head([first, second, other], tmp_path) is None


def test_ablation_compares_equal_seeds(tmp_path: Path) -> None:
    scores = {("", 1): 0.5, ("", 2): 0.6, ("ema", 1): 0.52, ("ema", 2): 0.59, ("no_auxiliary", 1): 0.4}
    for (variant, seed), score in scores.items():
        finish(Run("pspnet", "ours", seed, variant=variant), tmp_path, [score])
    table.write_ablation(ablation(), tmp_path)
    text = (tmp_path / "results" / "ablation.md").read_text("utf-8")
    assert "| pspnet | ema | 2 | 55.50 | 55.00 | +0.50 | +2.00 -1.00 |" in text
    assert "| pspnet | no auxiliary | 1 | 40.00 | 50.00 | -10.00 | -10.00 |" in text
    assert "ccnet" not in text


def test_best_head_has_the_highest_mean(tmp_path: Path) -> None:
    scores = {("pspnet", 1): 0.7, ("pspnet", 2): 0.3, ("ccnet", 1): 0.6, ("ccnet", 2): 0.5}
    runs = [Run(network, "ours", seed) for network, seed in scores]
    for run, score in zip(runs, scores.values()):
        finish(run, tmp_path, [score])
    assert table.best_head(runs, tmp_path) == "ccnet"


def test_what_is_finished_or_under_way_is_left_alone(tmp_path: Path) -> None:
    done, busy = Run("pspnet", "ours", 1), Run("pspnet", "ours", 2)
    finish(done, tmp_path, [0.5])
    assert train(done, tmp_path, tmp_path) == 0
    work = tmp_path / "runs" / busy.name
    work.mkdir(parents=True)
    with open(work / "log.txt", "a") as log:
        fcntl.flock(log, fcntl.LOCK_EX)
        assert train(busy, tmp_path, tmp_path) is None
    assert not list(work.glob("iter_*"))


def test_command_resumes() -> None:
    words = command(Run("ccnet", "paddleseg", 3), Path("/data"), Path("/work"))
    assert words[:3] == ["tools/train.py", "--config", "benchmarks/camvid/configs/ccnet.yml"]
    assert words[words.index("--resume") + 1] == "auto" and words[words.index("--seed") + 1] == "3"


def test_folder_without_lists(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as info:
        main([str(tmp_path)])
    assert info.value.code == 2 and "has no train.txt" in capsys.readouterr().err
