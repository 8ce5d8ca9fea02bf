"""`paddleseg-ext val` from a YAML file and weights to table, JSON and report."""

from __future__ import annotations

import datetime
import hashlib
import json
from pathlib import Path

import numpy as np
import paddle
import pytest

from paddleseg_ext.builder import Builder, load_config
from paddleseg_ext.checkpoint.load import read_weights
from paddleseg_ext.checkpoint.save import save_weights
from paddleseg_ext.cli.main import main
from paddleseg_ext.evaluation.evaluate import evaluate
from tests.tiny_run import CLASSES, SIZE, write_config, write_samples


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_samples(tmp_path)
    config = write_config(tmp_path)
    paddle.save(Builder(load_config(config)).model.state_dict(), str(tmp_path / "model.pdparams"))
    return tmp_path


def val(root: Path, *arguments: str) -> int:
    return main(["val", "--config", str(root / "config.yml"), "--device", "cpu", *arguments])


def trained(root: Path, *arguments: str) -> int:
    return val(root, "--model_path", str(root / "model.pdparams"), *arguments)


def numbers(root: Path, *arguments: str) -> dict:
    assert trained(root, "--json", str(root / "new" / "result.json"), *arguments) == 0
    return json.loads((root / "new" / "result.json").read_text(encoding="utf-8"))


def by_hand(root: Path, **settings: object) -> float:
    builder = Builder(load_config(root / "config.yml"))
    builder.model.set_state_dict(paddle.load(str(root / "model.pdparams")))
    return evaluate(builder.model, builder.val_dataset, progress=False, **settings).miou


def test_prints_the_table_and_writes_json(root: Path, capsys: pytest.CaptureFixture) -> None:
    result = numbers(root, "--boundary", "--batch_size", "3")
    out = capsys.readouterr().out
    assert result["images"] == 6 and len(result["classes"]) == CLASSES
    assert result["miou"] == by_hand(root)
    assert "class 0" in out and "boundary" in out and f"{100 * result['miou']:.2f}" in out and "6 images" in out
    assert 0 < result["classes"]["class 1"]["boundary_iou"] < 1
    by_class = [entry["boundary_iou"] for entry in result["classes"].values()]
    assert result["boundary_miou"] == pytest.approx(np.mean(by_class)) and "mean boundary IoU" in out
    counts = np.array(result["confusion_matrix"]["counts"])
    assert counts.sum() == 6 * SIZE * SIZE and result["confusion_matrix"]["classes"] == list(result["classes"])
    assert counts[1, 1] / counts[1].sum() == result["classes"]["class 1"]["recall"]  # a row is a true class


def test_tells_what_was_evaluated(root: Path, capsys: pytest.CaptureFixture) -> None:
    (root / "best.json").write_text('{"iteration": 70}', encoding="utf-8")
    opts = ["--opts", "batch_size=5", "--is_slide", "--crop_size", "16", "16"]
    found = numbers(root, *opts, "--stride", "8", "8", "--batch_size", "2")["provenance"]
    sha256 = hashlib.sha256((root / "model.pdparams").read_bytes()).hexdigest()
    expected = {"path": str(root / "model.pdparams"), "sha256": {"model.pdparams": sha256}, "iteration": 70}
    assert found["weights"] == {**expected, "origin": None}
    assert found["config"] == str(root / "config.yml") and found["effective"]["model"]["type"] == "TwoOutputs"
    assert found["effective"]["batch_size"] == 5 and found["effective"]["train"]["precision"] == "fp32"  # a default
    assert found["test"]["crop_size"] == [16, 16] and found["test"]["batch_size"] == 2 and found["images"] == 6
    assert found["versions"]["paddle"] == paddle.__version__ and found["device"]["device"] == "cpu"
    assert found["command"] and datetime.datetime.fromisoformat(found["date"]).tzinfo
    out = capsys.readouterr().out
    assert sha256 in out and "iteration 70" in out and "windows, crop_size 16 × 16, stride 8 × 8, batch_size 2" in out


def test_an_export_tells_of_what_it_was_made(root: Path, capsys: pytest.CaptureFixture) -> None:
    (root / "best.json").write_text('{"iteration": 70}', encoding="utf-8")
    made = ["--model_path", str(root / "model.pdparams"), "--save_dir", str(root / "exported"), "--no_verify"]
    output = ["--output_op", "none", "--device", "cpu"]
    assert main(["export", "--config", str(root / "config.yml"), *made, *output]) == 0
    exported = ["--exported", str(root / "exported")]
    assert val(root, *exported, "--json", str(root / "result.json")) == 0
    found = json.loads((root / "result.json").read_text(encoding="utf-8"))["provenance"]["weights"]
    for name, sha256 in found["sha256"].items():
        assert hashlib.sha256((root / "exported" / name).read_bytes()).hexdigest() == sha256
    assert "model.pdiparams" in found["sha256"] and found["iteration"] == found["origin"]["iteration"] == 70
    sha256 = hashlib.sha256((root / "model.pdparams").read_bytes()).hexdigest()
    assert found["origin"]["sha256"] == {"model.pdparams": sha256}
    capsys.readouterr()
    assert main(["val", *exported]) == 2
    told = capsys.readouterr().err
    assert "--config: give a YAML file, whose val_dataset names the images and labels" in told
    assert f"the one that it was made with, {root / 'config.yml'}, or another" in told
    assert main(["val", "--model_path", str(root / "model.pdparams")]) == 2
    assert "--config: give the YAML file" in capsys.readouterr().err


def test_writes_pictures_and_a_report(root: Path, capsys: pytest.CaptureFixture) -> None:
    pictures, report = root / "pictures", root / "report"
    assert trained(root, "--pictures", str(pictures), "--num_pictures", "2", "--report", str(report)) == 0
    assert sorted(path.name for path in pictures.iterdir()) == ["00000_image0.png", "00005_image5.png"]
    assert (report / "index.html").is_file()
    assert f"report: {report / 'index.html'}" in capsys.readouterr().out


def test_flags_reach_the_inference(root: Path) -> None:
    flags = ["--aug_eval", "--scales", "0.5", "1.5", "--flip_horizontal", "--flip_vertical"]
    windows = ["--is_slide", "--crop_size", "16", "20", "--stride", "10", "12", "--window_batch", "3"]
    expected = by_hand(
        root,
        aug_eval=True,
        scales=[0.5, 1.5],
        flip_horizontal=True,
        flip_vertical=True,
        is_slide=True,
        crop_size=[16, 20],
        stride=[10, 12],
    )
    assert expected != by_hand(root)
    assert numbers(root, *flags, *windows)["miou"] == expected


def test_the_configuration_gives_defaults_and_flags_replace_them(root: Path) -> None:
    write_config(root, test_config={"is_slide": True, "crop_size": [16, 16], "stride": [8, 8]})
    assert numbers(root)["miou"] == by_hand(root, is_slide=True, crop_size=[16, 16], stride=[8, 8])
    assert numbers(root, "--crop_size", "20", "24")["miou"] == by_hand(
        root, is_slide=True, crop_size=[20, 24], stride=[8, 8]
    )


def test_pretrained_weights_of_the_backbone_are_not_fetched(root: Path) -> None:
    backbone = {"type": "ResNet18_vd", "pretrained": "https://nowhere.invalid/weights.tar.gz"}
    model = {"type": "BiseNetV1", "num_classes": CLASSES, "backbone": backbone}
    write_config(root, model=model)
    assert val(root, "--model_path", str(root / "missing.pdparams")) == 2


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        ([], "--model_path: give the trained weights"),
        (["--model_path", "nowhere.pdparams"], "nowhere.pdparams"),
        (["--model_path", "MODEL", "--scales", "0.5"], "--scales: without --aug_eval there is no effect"),
        (["--model_path", "MODEL", "--stride", "8", "8"], "--stride: without --is_slide"),
        (["--model_path", "MODEL", "--is_slide"], "crop_size: None"),
        (["--model_path", "MODEL", "--batch_size", "0"], "--batch_size: 0"),
    ],
)
def test_mistakes_are_told(root: Path, arguments: list, sentence: str, capsys: pytest.CaptureFixture) -> None:
    arguments = [str(root / "model.pdparams") if a == "MODEL" else a for a in arguments]
    assert val(root, *arguments) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and sentence in err and "Traceback" not in err


def test_weights_that_are_not_finite_are_refused(root: Path, capsys: pytest.CaptureFixture) -> None:
    weights = {name: np.array(value) for name, value in read_weights(root / "model.pdparams").items()}
    name = next(name for name, value in weights.items() if value.dtype == np.float32)
    weights[name].flat[0] = np.nan
    save_weights(weights, root / "diverged.pdparams")
    assert val(root, "--model_path", str(root / "diverged.pdparams")) == 2
    assert f"the weight {name} has 1 numbers that are not finite" in capsys.readouterr().err
