"""`tools/benchmark.py` measures and writes; the figures themselves are not tested."""

from __future__ import annotations

import argparse
import csv
from functools import partial
from pathlib import Path

import paddle
import pytest

from benchmarks import chart, model, networks, scale, tables
from benchmarks.pytorch.environment import TORCH
from paddleseg_ext.cli.main import main

needs_reset = pytest.mark.skipif(
    not hasattr(paddle.base.core, "host_memory_stat_reset_peak_value"), reason="Paddle < 3.0 cannot reset the peak"
)
SMALL = ["--size", "64", "128", "--crop_size", "64", "32", "--stride", "32", "32", "--images", "2", "--repeats", "1"]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """PaddleSeg alone, a round of each."""
    monkeypatch.delenv(TORCH, raising=False)
    monkeypatch.setattr(tables, "LEAST_ROUNDS", 1)


def test_eval_writes_a_row_for_each_goal(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["eval", "--output", str(tmp_path), "--device", "cpu", *SMALL], command="benchmark") == 0
    table = (tmp_path / "eval.md").read_text(encoding="utf-8")
    assert capsys.readouterr().out.strip().endswith(table.strip())  # behind the line on threads
    assert "- paddle: " in table and "- command: `" in table
    with open(tmp_path / "eval.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["goal"] for row in rows] == [
        "≥ 50× faster",
        "≥ 50× faster",
        "≤ 15 % more",
        "",
        *["≥ 2× faster", "≤ 100 %"] * 2,
    ]
    assert all(float(row[side].split()[0]) > 0 for row in rows for side in ("ours", "peer"))
    assert all(row["what"] in table for row in rows)


def test_an_unknown_network_is_told(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["eval", "--output", str(tmp_path), "--model", "NoNet"], command="benchmark") == 2
    assert "--model NoNet" in capsys.readouterr().err


def read(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_data_writes_a_row_without_and_one_with_files(tmp_path: Path) -> None:
    small = ["--size", "64", "128", "--crop_size", "64", "32", "--images", "2", "--rounds", "1"]
    assert main(["data", "--output", str(tmp_path), "--device", "cpu", *small], command="benchmark") == 0
    rows = read(tmp_path / "data.csv")
    assert [row["case"] for row in rows] == ["transforms", "reading, decoding and transforms"]
    assert all(float(row[side]) > 0 for row in rows for side in ("ours_images_per_s", "paddleseg_images_per_s"))
    assert "- command: `" in (tmp_path / "data.md").read_text(encoding="utf-8")


@needs_reset
def test_model_writes_a_row_a_mode_and_a_chart(tmp_path: Path) -> None:
    small = ["--names", "PSPHead", "--sizes", "64x64", "--rounds", "1"]
    assert main(["model", "--output", str(tmp_path), "--device", "cpu", *small], command="benchmark") == 0
    rows = read(tmp_path / "model.csv")
    assert [(row["case"], row["mode"], row["image"]) for row in rows] == [
        ("PSPHead", "evaluation", "64x64"),
        ("PSPHead", "training", "64x64"),
    ]
    assert all(float(row["difference"]) < 1e-4 and row["backbone"] == "ResNet50_vd" for row in rows)
    assert (tmp_path / "model.png").stat().st_size > 0


@needs_reset
def test_scale_writes_points_exponents_and_a_chart(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"PICTURE": (192, 256), "CROP": (128, 64), "STRIDE": (96, 64)}.items():
        monkeypatch.setattr(scale, name, value)
    small = ["--names", "CCHead", "windows", "--maps", "2x2", "4x4", "--megapixels", "1", "2", "--rounds", "1"]
    assert main(["scale", "--output", str(tmp_path), "--device", "cpu", *small], command="benchmark") == 0
    points, rows = read(tmp_path / "scale_points.csv"), read(tmp_path / "scale.csv")
    modes = [("CCHead", "evaluation"), ("CCHead", "training"), ("windows", "evaluation")]
    assert {(row["case"], row["mode"]) for row in points} == set(modes) and len(points) == 6
    assert [row["size"] for row in points if row["case"] == "windows"] == ["192x256", "384x256"]
    assert all(float(row["ms"]) > 0 and float(row["mib"]) > 0 for row in points)
    assert [(row["case"], row["mode"], row["what"]) for row in rows] == [
        (*which, what) for which in modes for what in ("time", "memory")
    ]
    assert [row["formula_exponent"] for row in rows] == ["1.5"] * 4 + ["1.0", "0.0"]
    assert "CCHead, training: memory grows with pixels^" in capsys.readouterr().err
    assert (tmp_path / "scale.png").stat().st_size > 0


def test_layouts_are_measured_side_by_side(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    measured = []

    def both_modes(case: str, nets: tuple[partial, partial], *rest: object) -> list:
        measured.append((case, *[net.keywords.get("data_format") for net in nets]))
        return []

    monkeypatch.setattr(networks.Spec, "over", lambda self, theirs, ours: (ours, theirs))
    monkeypatch.setattr(model, "both_modes", both_modes)
    monkeypatch.setattr(chart, "bars", lambda *_: None)
    parser = argparse.ArgumentParser()
    model.add_arguments(parser)
    small = ["--names", "PSPHead", "--sizes", "32x32", "--data_format", "NCHW", "NHWC", "--autotune"]
    assert model.run(parser.parse_args(small, argparse.Namespace(output="", name="model"))) == []
    assert measured == [("PSPHead", "NCHW", None), ("PSPHead", "NHWC", None)]
    assert "--autotune has no effect here" in capsys.readouterr().err


@pytest.mark.slow
@needs_reset
def test_a_narrow_backbone_is_measured(tmp_path: Path) -> None:
    small = ["--backbone", model.MOBILE, "--sizes", "64x64", "--rounds", "1"]
    assert main(["model", "--output", str(tmp_path), "--device", "cpu", *small], command="benchmark") == 0
    rows = read(tmp_path / "model.csv")
    assert len(rows) == 14 and all(row["backbone"] == model.MOBILE for row in rows)
    assert all(float(row["difference"]) < 1e-4 for row in rows[:12])


@pytest.mark.slow
@needs_reset
def test_a_backbone_with_channels_last_is_measured(tmp_path: Path) -> None:
    small = ["--names", "PSPHead", "DeepLabV3PlusHead", "--sizes", "64x64", "--rounds", "1", "--data_format", "NHWC"]
    assert main(["model", "--output", str(tmp_path), "--device", "cpu", *small], command="benchmark") == 0
    rows = read(tmp_path / "model.csv")
    names = ["PSPHead, NHWC", "DeepLabV3PlusHead, NHWC"]
    assert [row["case"] for row in rows] == [*names[:1] * 2, *names[1:] * 2, *["geometric mean of 2 heads, NHWC"] * 2]
    assert all(float(row["difference"]) < 1e-5 for row in rows[:4])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["heads", "--maps", "64"], "--maps 64: a size is written HxW"),
        (["heads", "--rounds", "2"], "--rounds: 2 is not allowed; it is a whole number, at least 3"),
        (["scale", "--maps", "8x8", "--names", "PSPHead"], "--maps and --megapixels: growth is told from two sizes"),
        (["heads", "--peers", "pytorch"], "--peers pytorch: PADDLESEG_EXT_TORCH names no Python"),
        (["heads", "--amp"], "--amp: mixed precision is measured on a GPU"),
        (["model", "--amp"], "--amp: mixed precision is measured on a GPU"),
        (["model", "--sizes", "0x64"], "--sizes 0x64: a size is written HxW"),
        (["data", "--images", "0"], "--images: 0 is not allowed; it is a whole number, at least 1"),
    ],
)
def test_bad_arguments_are_told_in_a_sentence(
    arguments: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "LEAST_ROUNDS", 3)
    subject, *rest = arguments
    assert main([subject, "--device", "cpu", "--output", str(tmp_path), *rest], command="benchmark") == 2
    assert told in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
