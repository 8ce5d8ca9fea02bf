"""`tools/benchmark.py` measures and writes; the figures themselves are not tested."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from paddleseg_ext.cli.main import main

SMALL = ["--size", "64", "128", "--crop_size", "64", "32", "--stride", "32", "32", "--images", "2", "--repeats", "1"]


def test_eval_writes_a_row_for_each_goal(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["eval", "--output", str(tmp_path), "--device", "cpu", *SMALL], command="benchmark") == 0
    table = (tmp_path / "eval.md").read_text(encoding="utf-8")
    assert capsys.readouterr().out.strip() == table.strip()
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
