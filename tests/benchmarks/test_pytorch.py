"""The comparison with mmsegmentation under PyTorch, whose environment PADDLESEG_EXT_TORCH names."""

from __future__ import annotations

import csv
import shutil
import sys
from pathlib import Path

import paddle
import pytest

from benchmarks import networks
from benchmarks.heads import height_and_width
from benchmarks.networks import SPECS, feature_maps
from benchmarks.pytorch import networks as theirs
from benchmarks.pytorch import peer
from benchmarks.pytorch.environment import TORCH, torch_python
from paddleseg_ext.cli.main import main

needs_torch = pytest.mark.skipif(torch_python() is None, reason=f"needs PyTorch and mmsegmentation, named by {TORCH}")


def read(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@needs_torch
def test_heads_stand_in_one_table_with_both_peers(tmp_path: Path) -> None:
    small = ["--names", "PSPHead", "Encoding", "--maps", "4x8", "--batch_size", "2", "--rounds", "3", "--threads", "1"]
    assert main(["heads", "--output", str(tmp_path), "--device", "cpu", *small], command="benchmark") == 0
    head, layer = read(tmp_path / "heads.csv")[1:3]
    assert (head["case"], head["mode"], head["threads"], layer["case"]) == ("PSPHead", "training", "1", "Encoding")
    assert float(head["pytorch_difference"]) < 1e-5 and layer["pytorch_ms"] == ""
    ratio = float(head["pytorch_ms"]) / float(head["ours_mmseg_ms"])
    assert float(head["pytorch_speedup"]) == pytest.approx(ratio, rel=0.1) and float(head["paddleseg_ms"]) > 0
    text = (tmp_path / "heads.md").read_text("utf-8")
    assert "- torch: " in text and "- mmsegmentation: " in text and "- threads: 1\n" in text


@needs_torch
def test_what_pytorch_refuses_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """BatchNorm of a single value, behind the pooling of one image."""
    small = ["--names", "PSPHead", "--maps", "4x8", "--peers", "pytorch", "--rounds", "3"]
    assert main(["heads", "--output", str(tmp_path), "--device", "cpu", *small], command="benchmark") == 0
    assert [row["mode"] for row in read(tmp_path / "heads.csv")] == ["evaluation"]
    assert "training: left out beside PyTorch, which says: Expected more than 1 value" in capsys.readouterr().err


@needs_torch
def test_networks_that_differ_are_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(theirs.HEADS, "PSPHead", {**theirs.HEADS["PSPHead"], "pool_scales": (1, 2, 3, 4)})
    sections = theirs.sections("PSPHead")
    monkeypatch.undo()
    monkeypatch.setattr(peer, "sections", lambda name: sections)
    with peer.PyTorch(str(torch_python())) as pytorch, pytest.raises(ArithmeticError, match="the outputs differ"):
        list(pytorch.compare_head("PSPHead", feature_maps((8, 8), 1, SPECS["PSPHead"].strides), (8, 8), 3))


@pytest.mark.slow
@needs_torch
def test_all_heads_and_networks_compute_the_same(tmp_path: Path) -> None:
    options = ["--peers", "pytorch", "--batch_size", "2", "--rounds", "3", "--output", str(tmp_path)]
    assert main(["heads", "--maps", "4x8", *options, "--names", *SPECS], command="benchmark") == 0
    assert main(["model", "--sizes", "65x97", *options], command="benchmark") == 0
    for subject in ("heads", "model"):
        rows = read(tmp_path / f"{subject}.csv")
        assert len(rows) == 2 * (len(SPECS) + 1)  # with the mean
        assert all(float(row["pytorch_difference"]) < 1e-5 for row in rows if row["case"] in SPECS)


@pytest.mark.parametrize(
    "python, expected",
    [
        ("no/such/python", "No such file"),
        (sys.executable, "mmseg cannot be imported there; benchmarks/imports/README.md"),
        (shutil.which("false"), "it is no Python that starts"),
    ],
)
def test_an_environment_without_it_is_told(
    python: str, expected: str, tmp_path: Path, capfd: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TORCH, python)
    small = ["--names", "PSPHead", "--maps", "4x8", "--peers", "pytorch", "--device", "cpu"]
    assert main(["heads", *small, "--output", str(tmp_path)], command="benchmark") == 2
    told = capfd.readouterr().err.splitlines()[-1]
    assert told.startswith(f"error: {TORCH}={python}: ") and expected in told and not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["DeepLabV3PlusHead", "FastFCNHead"])
def test_ours_has_the_structure_of_the_sections(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without PyTorch: the configuration builds here, with an auxiliary head, and gives a mask of the image's size."""
    feats = feature_maps(height_and_width("", "3x4"), 1, SPECS[name].strides)
    net = theirs.ours(name, lambda: networks.FixedFeatures(feats))
    net.eval()
    with paddle.no_grad():
        assert net(paddle.zeros([1, 3, 24, 32]))[0].shape == [1, networks.CLASSES, 24, 32]
    assert net.output_names[-1] == "aux0"
    sections = theirs.sections(name, "ResNet101_vd")
    assert sections["backbone"]["depth"] == 101 and ("neck" in sections) == (name == "FastFCNHead")
