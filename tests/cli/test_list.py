"""`paddleseg-ext list`: every kind as text and as JSON, and its sentences."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from paddleseg.cvlibs import manager

from paddleseg_ext.cli.main import main
from paddleseg_ext.inspection import listing
from paddleseg_ext.inspection.combinations import Variant
from paddleseg_ext.inspection.combinations_page import page
from paddleseg_ext.registry import HEADS


def listed(capsys: pytest.CaptureFixture, *arguments: str) -> str:
    assert main(["list", *arguments]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(
    "kind, known",
    [
        ("heads", HEADS),
        ("backbones", manager.BACKBONES.components_dict),
        ("datasets", manager.DATASETS.components_dict),
        ("transforms", manager.TRANSFORMS.components_dict),
        ("losses", manager.LOSSES.components_dict),
    ],
)
def test_components(kind: str, known: dict, capsys: pytest.CaptureFixture) -> None:
    entries = json.loads(listed(capsys, kind, "--json"))
    assert [entry["name"] for entry in entries] == sorted(known)
    text = listed(capsys, kind)
    for entry in entries:
        assert f"{entry['name']}  {entry['text']}".rstrip() in text.splitlines()


def test_a_head_and_its_arguments(capsys: pytest.CaptureFixture) -> None:
    text = listed(capsys, "heads", "PSPHead")
    assert text.startswith("PSPHead  Pyramid pooling, a bottleneck and a classifier.\n")
    assert "\n    bin_sizes=(1, 2, 3, 6)            Cells along each side of the pooled grids" in text
    assert "in_channels" not in text and "num_classes" not in text


def test_channels_and_strides_of_backbones(capsys: pytest.CaptureFixture) -> None:
    text = listed(capsys, "backbones", "ResNet50_v1c")
    assert "    maps at output_stride 8: 256@4 512@8 1024@8 2048@8\n" in text
    assert "    maps at output_stride 32: 256@4 512@8 1024@16 2048@32\n" in text
    (entry,) = json.loads(listed(capsys, "backbones", "HRNet_W18", "--json"))
    assert entry["variants"] == [{"output_stride": None, "maps": [[270, 4]], "multiple": 1}]


def test_combinations(capsys: pytest.CaptureFixture) -> None:
    text = listed(capsys, "combos", "HRNet_W18", "ViTAdapter")
    assert "PSPHead               at stride 4\n" in text and "FastFCNHead           at stride 4 p\n" in text
    assert "PSPHead cannot be put on ViTAdapter, which needs interaction_indexes" in text
    assert "8 of 16 combinations run" in text
    record = json.loads(listed(capsys, "combos", "HRNet_W18", "--json"))
    variants = {name: [Variant(**v) for v in found] for name, found in record["backbones"].items()}
    assert variants == listing.combinations(["HRNet_W18"])
    assert listed(capsys, "combos", "--markdown") == page(listing.combinations([]), listing.versions())


def test_combinations_measured_here(capsys: pytest.CaptureFixture) -> None:
    recorded, measured = (
        json.loads(listed(capsys, "combos", "ShuffleNetV2_x0_25", "--json", *m)) for m in ((), ["--measure"])
    )
    assert recorded["backbones"] == measured["backbones"]


def test_components_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "my_listed.py").write_text(
        "from paddleseg_ext.registry import register_backbone\n\n\n"
        "@register_backbone\nclass MyListed:\n    '''One of my own.'''\n\n"
        "    def __init__(self, width=3, pretrained=None):\n        pass\n"
    )
    config = tmp_path / "my.yml"
    config.write_text("imports: my_listed\n")
    monkeypatch.chdir(tmp_path)
    try:
        text = listed(capsys, "backbones", "MyListed", "--config", str(config))
        assert text.startswith("MyListed  One of my own.\n    maps: not measured yet; ") and "    width=3\n" in text
        assert "MyListed  not measured yet" in listed(capsys, "combos", "MyListed", "--config", str(config))
    finally:
        manager.BACKBONES.components_dict.pop("MyListed", None)


@pytest.mark.slow
def test_configurations(capsys: pytest.CaptureFixture) -> None:
    entries = json.loads(listed(capsys, "configs", "--json"))
    assert {
        "name": "quickstart/pspnet_from_noise",
        "text": "PSPHead on ResNet18_vd, StreetScenes, 300 iterations of 4 images",
    } in entries
    assert len(entries) == len(list(Path(__file__).resolve().parents[2].glob("configs/[!_]*/*.yml")))


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["heads", "PSPhead"], "there is no PSPhead among the heads; did you mean 'PSPHead'?"),
        (["combos", "ResNet50"], "there is no ResNet50 among the backbones; did you mean "),
        (["heads", "--markdown"], "--markdown: there is a page of combos alone"),
        (["combos", "--markdown", "--json"], "--markdown and --json: give one of them"),
        (["losses", "--measure"], "--measure: it is for combos and backbones"),
        (["configs", "x"], "configs: they are listed all, without names"),
        (["heads", "--config", "no.yml"], "no.yml: there is no such file"),
    ],
)
def test_mistakes_are_sentences(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture) -> None:
    assert main(["list", *arguments]) == 2
    assert sentence in capsys.readouterr().err
