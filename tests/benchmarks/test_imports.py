"""The proof that imported networks say what the originals say: what it compares, and all of it on the street scenes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import paddle
import pytest

from benchmarks.imports.__main__ import HERE, SOURCES, TORCH, main, write_config, write_results
from benchmarks.imports.compare import Difference, compare, is_proved
from benchmarks.imports.outputs import save_evaluation, save_output
from paddleseg_ext.builder import Builder
from paddleseg_ext.config.load import load_config
from paddleseg_ext.importers.convert import import_checkpoint

LABEL = np.array([[0, 1, 2, 255], [1, 1, 0, 2]], np.uint8)
PRED = np.array([[0, 1, 2, 0], [1, 0, 0, 1]], np.uint8)


def logits_of(pred: np.ndarray) -> np.ndarray:
    """(3, H, W), 4 for the class that is predicted."""
    return 4.0 * np.eye(3, dtype=np.float32)[pred].transpose(2, 0, 1)


class Imported:
    """Instead of a network: what it says of the picture."""

    def __init__(self, logits: np.ndarray) -> None:
        self._logits = logits

    def logits(self, image: str) -> np.ndarray:
        return self._logits


def scores_of(pred: np.ndarray) -> dict:
    """What ``val --json`` says, of three classes."""
    labeled = LABEL != 255
    ious = []
    for value in range(3):
        truth, found = (LABEL == value) & labeled, (pred == value) & labeled
        ious.append((truth & found).sum() / (truth | found).sum())
    return {"classes": {str(value): {"iou": float(iou)} for value, iou in enumerate(ious)}}


def found_of(folder: Path, here: np.ndarray) -> dict:
    """`compare` of a network that says `PRED` and an imported one whose logits are `here`."""
    save_output(folder, 0, PRED, logits_of(PRED))
    save_evaluation(folder, *mean_and_classes(PRED), decimals=4, paddleseg="2.8.0")
    dataset = [{"label": LABEL[None]}]
    attributes = {"num_classes": 3, "ignore_index": 255, "file_list": [["image", "label"]]}
    data = type("Data", (list,), attributes)(dataset)
    return compare(folder, data, Imported(here), scores_of(here.argmax(0)))


def mean_and_classes(pred: np.ndarray) -> tuple[float, list[float]]:
    ious = [values["iou"] for values in scores_of(pred)["classes"].values()]
    return float(np.mean(ious)), ious


def test_same_network(tmp_path: Path) -> None:
    record = found_of(tmp_path, logits_of(PRED))
    assert is_proved(record) and record["same_metric"]
    assert record["miou_there"] == record["miou_here"] == pytest.approx((2 / 3 + 2 / 4 + 1 / 2) / 3)
    assert (record["pixels"], record["differing"], record["logits"], record["largest_logit"]) == (8, 0, 0.0, 4.0)


def test_table_is_of_all_records(tmp_path: Path) -> None:
    record = {"data": "CamVid", "iterations": 7, **found_of(tmp_path, logits_of(PRED))}
    for name, changes in [("ccnet", {}), ("pspnet_mmseg", {"same_in_python": False})]:
        (tmp_path / f"{name}.json").write_text(json.dumps({**record, **changes}), "utf-8")
    rows = [line for line in write_results(tmp_path).read_text("utf-8").splitlines() if "| CamVid | 7 |" in line]
    assert [row.split(" | ")[0] for row in rows] == ["| ccnet", "| pspnet_mmseg"]
    assert [row.split(" | ")[-1] for row in rows] == ["yes |", "no |"]


def test_ties_are_told_from_other_pixels() -> None:
    first, second = logits_of(PRED), logits_of(PRED)
    first[:, 0, 3], second[:, 0, 3] = [4, 4 - 2e-5, 0], [4 - 2e-5, 4, 0]
    found = Difference()
    found.add((first.argmax(0), second.argmax(0)), (first, second))
    assert found.differing == 1 and found.within_rounding and 1e-5 < found.margin < 3e-5
    third = logits_of(PRED)
    third[:, 0, 3] = [4 - 1e-3, 4, 0]
    found.add((first.argmax(0), third.argmax(0)), (first, third))
    assert found.differing == 2 and not found.within_rounding
    with pytest.raises(ValueError, match="shapes differ"):
        found.add((PRED, PRED[:1]), (first, first))


def test_another_network_is_no_proof(tmp_path: Path) -> None:
    other = PRED.copy()
    other[1, 0] = 2
    record = found_of(tmp_path, logits_of(other))
    assert not is_proved(record) and record["differing"] == 1 and record["margin"] == 4.0
    record = found_of(tmp_path, logits_of(PRED))
    assert is_proved(record) and not is_proved({**record, "same_metric": False})
    assert not is_proved({**record, "miou_here": record["miou_here"] + 1e-3})


@pytest.mark.parametrize("name", [name for name, source in SOURCES.items() if source == "paddleseg"])
def test_configurations_are_of_one_network(name: str, tmp_path: Path) -> None:
    """PaddleSeg's network, with weights that none begins with, and its import."""
    theirs, ours = (load_config(HERE / "configs" / f"{file}.yml") for file in (f"{name}_stock", name))
    for section in ("batch_size", "iters", "train_dataset", "val_dataset", "optimizer", "lr_scheduler", "loss"):
        assert ours.dic[section] == theirs.dic[section], section
    theirs.dic["model"]["num_classes"] = ours.dic["model"]["num_classes"] = 11
    reference, model = (Builder(config).model for config in (theirs, ours))
    generator = np.random.default_rng(0)
    for parameter, value in reference.state_dict().items():
        if parameter.endswith(("_mean", "bias", "gamma")):
            value.set_value(generator.normal(0, 0.3, value.shape).astype("float32"))
    file = tmp_path / "model.pdparams"
    paddle.save(reference.state_dict(), str(file))
    model.set_state_dict(import_checkpoint("paddleseg", file, model).weights)
    reference.eval(), model.eval()
    with paddle.no_grad():
        x = paddle.randn([1, 3, 45, 60])
        expected, logits = reference(x)[0].numpy(), model(x)[0].numpy()
    assert np.abs(logits - expected).max() <= 1e-5 * np.abs(expected).max()


def test_what_is_missing_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit) as info:
        main([str(tmp_path)])
    assert info.value.code == 2 and "has no train.txt" in capsys.readouterr().err
    monkeypatch.delenv(TORCH, raising=False)
    assert main(["--only", "pspnet_mmseg", "--output", str(tmp_path)]) == 0
    assert f"{TORCH} names no Python" in capsys.readouterr().err


@pytest.mark.parametrize("name", SOURCES)
def test_each_has_a_configuration_over_the_street_scenes(name: str, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    config = load_config(write_config(name, None, tmp_path / "work", 7))
    assert config.iters == 7 and config.val_dataset_cfg["type"] == "StreetScenes"
    assert config.train_dataset_cfg["dataset_root"] == str(tmp_path / "streets")
    assert Builder(config).model(paddle.zeros([1, 3, 64, 64]))[0].shape[1] == 19


@pytest.mark.slow
def test_street_scenes(tmp_path: Path) -> None:
    """PaddleSeg's loop trains, evaluates and applies its PSPNet; the imported network says the same."""
    assert main(["--only", "pspnet", "--iters", "30", "--output", str(tmp_path)]) == 0
    record = json.loads((tmp_path / "results" / "pspnet.json").read_text("utf-8"))
    assert is_proved(record) and record["pixels"] > 10**6
    assert "| yes |" in (tmp_path / "results" / "table.md").read_text("utf-8")
