"""`benchmark export` measures what was exported and verified; the figures themselves are not tested."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from benchmarks import export
from paddleseg_ext.cli.main import main
from paddleseg_ext.heads import FCNHead
from tests.export.test_exporter import needs_onnx


@needs_onnx
def test_export_writes_a_row_for_each_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(export.NETWORKS, "PSPHead", (FCNHead, 32))
    options = ["--names", "PSPHead", "--size", "64", "96", "--rounds", "3"]
    assert main(["export", "--output", str(tmp_path), "--device", "cpu", *options], command="benchmark") == 0
    with open(tmp_path / "export.csv", newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert row["network"] == "PSPHead, ResNet18_vd" and row["image"] == "64x96"
    assert all(float(row[f"{key}_ms"]) > 0 for key in ("eager", "paddle", "onnx"))
    assert float(row["paddle_mb"]) > 10 and float(row["onnx_mb"]) > 10 and float(row["difference"]) <= 1e-4


def test_sizes_are_checked(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["export", "--output", str(tmp_path), "--rounds", "0"], command="benchmark") == 2
    assert "--rounds" in capsys.readouterr().err
