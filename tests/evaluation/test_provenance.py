"""What a result is a result of, as far as it needs no evaluation; the rest is tested with `val`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from paddleseg_ext.evaluation.provenance import Weights, describe_settings
from paddleseg_ext.runtime import versions


@pytest.mark.parametrize(
    "program, expected",
    [
        ("tools/val.py", "python tools/val.py --config 'a b.yml'"),
        ("/some/where/bin/paddleseg-ext", "paddleseg-ext --config 'a b.yml'"),
        ("/some/where/paddleseg_ext/__main__.py", "python -m paddleseg_ext --config 'a b.yml'"),
    ],
)
def test_the_command_line_can_be_given_to_a_shell(monkeypatch, program: str, expected: str) -> None:
    monkeypatch.setattr(sys, "argv", [program, "--config", "a b.yml"])
    assert versions.command_line() == expected


def test_settings_in_words() -> None:
    assert describe_settings({"is_slide": False, "precision": "fp32", "scales": 1.0}) == "whole images"
    told = describe_settings({"aug_eval": True, "scales": [0.5, 1.0], "flip_horizontal": True, "precision": "bf16"})
    assert told == "whole images, averaged, scales 0.5 × 1.0, flip_horizontal, precision bf16"


def test_weights_of_a_folder_and_what_stands_beside_them(tmp_path: Path) -> None:
    (tmp_path / "model.pdparams").write_bytes(b"weights")
    (tmp_path / "other.pdparams").write_bytes(b"others")
    (tmp_path / "training.json").write_text('{"iteration": 5}', encoding="utf-8")
    found = Weights.of(tmp_path)
    assert list(found.sha256) == ["model.pdparams"] and found.iteration == 5 and found.path == str(tmp_path)
    assert Weights.of(tmp_path / "other.pdparams").iteration is None  # the record is not of these
    (tmp_path / "training.json").write_text("damaged", encoding="utf-8")
    assert Weights.of(tmp_path).iteration is None
    assert Weights.read(json.loads(json.dumps(asdict(found)))) == found


@pytest.mark.parametrize("record", [None, [], {}, {"path": 3, "sha256": {}}, {"path": "a", "sha256": 3}])
def test_what_is_no_record_of_weights_is_none(record: object) -> None:
    assert Weights.read(record) is None


def test_processor_and_driver_are_read_where_they_are(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor: 0\nmodel name\t: Some CPU @ 2 GHz\n", encoding="utf-8")
    line = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024\n"
    (tmp_path / "driver").write_text(line, encoding="utf-8")
    assert versions._processor(str(tmp_path / "cpuinfo")) == "Some CPU @ 2 GHz"
    assert versions._driver(str(tmp_path / "driver")) == "550.54.15"
    assert versions._driver(str(tmp_path / "nowhere")) == "" and versions._processor(str(tmp_path / "nowhere"))
