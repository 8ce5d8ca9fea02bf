"""`paddleseg-ext analyze`: a table that one can read, and the same figures as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from paddleseg_ext.cli.main import main
from tests.tiny_run import write_config

QUICKSTART = Path(__file__).parents[2] / "configs" / "quickstart"


def analyze(config: Path, *flags: str) -> int:
    return main(["analyze", "--config", str(config), "--device", "cpu", *flags])


def test_a_table_of_layers_and_json_of_all(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    file = tmp_path / "out" / "cost.json"
    sizes = ["--size", "129", "65", "--size", "64", "64"]
    assert (
        analyze(QUICKSTART / "pspnet_from_noise.yml", *sizes, "--rounds", "2", "--depth", "1", "--json", str(file)) == 0
    )
    lines = capsys.readouterr().out.splitlines()
    assert "EncoderDecoder, evaluation, 1 image of 129×65" in lines
    start = lines.index("EncoderDecoder, evaluation, 1 image of 64×64")
    assert lines[start + 1].split()[:3] == ["layer", "type", "output"]
    table = [line.split() for line in lines[start + 2 : start + 6]]
    assert [row[0] for row in table] == ["EncoderDecoder", "backbone", "decode_head", "auxiliary_heads"]
    assert table[0][1:4] == ["1×19×64×64", "12.794", "100.0"]
    found = json.loads(file.read_text("utf-8"))
    odd, even = found["costs"]
    assert (odd["width"], odd["height"]) == (129, 65) and found["threads"] >= 1 and found["batch_size"] == 1
    assert f"{even['layers']['macs'] / 1e9:.3f}" == table[0][4]
    assert even["layers"]["parameters"] == sum(child["parameters"] for child in even["layers"]["children"])
    assert len(even["seconds"]) == 2
    assert even["images_per_second"] == pytest.approx(1 / even["seconds_per_image"]["median"])
    assert any(line.startswith("not run in evaluation: auxiliary_heads, 0.149 M params") for line in lines)
    assert any("threads: " in line and line.endswith("fp32") for line in lines)


def test_a_training_step_of_the_configuration(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    config = write_config(tmp_path, loss={"types": [{"type": "CrossEntropyLoss"}] * 2, "coef": [1, 0.4]})
    assert analyze(config, "--training", "--rounds", "1") == 0
    out = capsys.readouterr().out
    assert "TwoOutputs, training, 2 images of 24×24" in out  # the configuration's batch and crop
    assert "a training step, estimated as 3 forward passes: 0.001 GMACs" in out
    assert "weights, gradients and the optimizer's" in out or "peaks need" in out
    assert "not run" not in out


@pytest.mark.parametrize(
    "changes, flags, told",
    [
        ({}, ["--size", "0", "4"], "--size: 0 is not allowed; it is a whole number, at least 1"),
        ({}, ["--size", "4"], "--size: expected 2 arguments"),
        ({}, ["--precision", "bf16"], "--precision bf16 needs a GPU"),
        ({}, ["--model_path", "nothing.pdparams"], "nothing.pdparams"),
        ({}, ["--training"], "loss.types has 1 entries but the model gives 2 outputs"),
        (
            {"train_dataset": {"type": "Dataset", "num_classes": 3, "transforms": [{"type": "Normalize"}]}},
            [],
            "--size: no transform of train_dataset has a crop_size",
        ),
        (
            {"model": {"type": "TwoOutputs", "num_classes": 3, "in_channels": 5}},
            ["--size", "16", "8"],
            "--size 16 8: TwoOutputs cannot evaluate 1 image of 16×8: ",
        ),
    ],
)
def test_what_cannot_be_done_is_a_sentence(
    changes: dict, flags: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    loss = {"types": [{"type": "CrossEntropyLoss"}], "coef": [1]}
    assert analyze(write_config(tmp_path, **{"loss": loss, **changes}), *flags) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and told in err and err.count("\n") == 1
