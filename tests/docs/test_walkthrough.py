"""What the pages show works as it stands there: commands, Python and files of one's own, in the order of the page."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import yaml
from PIL import Image

from paddleseg_ext.builder import Builder, load_config
from tests.docs.conftest import Reader
from tests.docs.pages import ROOT, Page
from tests.export.test_exporter import needs_onnx

DOCS = ROOT / "docs"


def test_own_data(reader: Reader, capsys: pytest.CaptureFixture) -> None:
    """From two folders to a trained network and its pictures."""
    (reader.folder / "data").rename(reader.folder / "others")
    reader.follow(Page(DOCS / "own_data.md"))
    assert reader.ran == ["prepare", "check", "train", "val", "predict", "init", "init"]
    output = reader.folder / "output" / "mine"
    assert "0 errors, 0 warnings" in capsys.readouterr().out
    labels = (reader.folder / "data/mine/labels.txt").read_text()
    assert re.findall(r"\w+$", labels, re.MULTILINE) == ["background", "leaf"]
    for page in (output / "check.html", output / "report" / "index.html"):
        assert "leaf" in page.read_text("utf-8")
    drawn = {path.stem for path in (output / "predictions").rglob("leaf *.*")}
    assert drawn == {f"leaf {number}" for number in range(8)}


@pytest.mark.filterwarnings("ignore:.*quickstart/pspnet:UserWarning")
def test_python(reader: Reader) -> None:
    names = reader.follow(Page(DOCS / "python.md")).names
    np.testing.assert_array_equal(names["again"], names["pred"])
    np.testing.assert_array_equal(names["both"][1], names["pred"])
    assert names["pred"].shape == (40, 50) and len(np.unique(names["pred"])) > 1
    np.testing.assert_array_equal(np.asarray(Image.open("overlay.png")), names["picture"])
    for key in ("same", "weights"):
        np.testing.assert_array_equal(names[key].logits("street.png"), names["logits"])
    assert type(names["named"].network).__name__ == "EncoderDecoder"


@needs_onnx
def test_export(reader: Reader) -> None:
    """What two scripts predict without this package, one of them without Paddle, is what the package predicts."""
    reader.lacking = {"deploy_onnx.py": "paddle", "deploy_paddle.py": "paddleseg_ext"}
    reader.follow(Page(DOCS / "export.md"))
    expected = np.asarray(Image.open("output/predictions/ids/street.png"))
    for script in reader.lacking:
        assert script in reader.ran
        np.testing.assert_array_equal(np.asarray(Image.open(f"{script}.png")), expected)


def test_extending(reader: Reader, capsys: pytest.CaptureFixture) -> None:
    """A head, a backbone, a data set, a loss and a transform of one's own train, each as the page has it."""
    reader.follow(Page(DOCS / "extending.md"))
    assert reader.ran.count("train") == 5 and {"list", "explain"} <= set(reader.ran)
    page = (reader.folder / "output" / "strip" / "explanation" / "index.html").read_text("utf-8")
    assert "Strips" in page and "norm of the row" in page
    assert capsys.readouterr().out.count("finished at iteration 2") == 5


def test_evaluation(reader: Reader) -> None:
    reader.follow(Page(DOCS / "evaluation.md"))
    assert reader.ran.count("val") >= 5 and "predict" in reader.ran and "export" in reader.ran
    result = json.loads((reader.folder / "output" / "val.json").read_text("utf-8"))
    assert {"miou", "classes", "confusion_matrix", "provenance"} <= result.keys()
    assert {"counts", "classes", "ignored_pixels"} <= result["confusion_matrix"].keys()
    assert "effective" in result["provenance"]
    for page in ("report/index.html", "compare.html"):
        assert (reader.folder / "output" / page).is_file()
    assert (reader.folder / "output" / "predictions" / "legend.png").is_file()


def test_explain(reader: Reader) -> None:
    names = reader.follow(Page(DOCS / "explain.md")).names
    assert reader.ran == ["explain", "explain"] and names["page"].is_file()
    assert names["reach"].shape == (2, 2) and names["cam"].values.shape[:2] == (2, 1)
    assert list((reader.folder / "output" / "explanation" / "pictures").rglob("*.png"))


@pytest.mark.parametrize("name", ["explain.md", "explain_cn.md"])
def test_the_sections_of_an_explanation_have_their_names(name: str) -> None:
    """The titles in the page's tables are those that explainers give."""
    package = "".join(path.read_text("utf-8") for path in (ROOT / "paddleseg_ext" / "explanation").glob("*.py"))
    page = Page(DOCS / name)
    _, heads, general = page.tables
    titles = [row[1].strip() for row in heads[2:]] + [row[0].strip() for row in general[2:]]
    titles += re.findall(r"\*(\w[\w ]+)\*", page.prose)  # findings
    known = [title for title in titles if "," not in title and "，" not in title]
    assert len(known) > 15 and not [title for title in known if f'"{title}"' not in package]


def test_analyze(reader: Reader, capsys: pytest.CaptureFixture) -> None:
    names = reader.follow(Page(DOCS / "analyze.md")).names
    assert reader.ran == ["analyze"] * 3 and names["head"].paper_macs < names["cost"].layers.paper_macs
    printed = capsys.readouterr().out
    for column in ("layer", "params M", "GMACs", "act. M", "mem. MiB"):
        assert column in printed
    assert "a training step, estimated as 3 forward passes" in printed
    assert len(json.loads((reader.folder / "output" / "cost.json").read_text("utf-8"))["costs"]) == 2


def test_install(reader: Reader) -> None:
    reader.follow(Page(DOCS / "install.md"))
    assert reader.ran == ["list", "init", "check"]
    assert (reader.folder / "street.yml").is_file()


def test_composing(reader: Reader) -> None:
    names = reader.follow(Page(DOCS / "composing.md")).names
    assert names["model"].output_names == ["mask", "aux0"]
    assert Builder(load_config("whole.yml"), pretrained=False).model.output_names == ["mask", "aux0"]


def test_training(reader: Reader) -> None:
    reader.follow(Page(DOCS / "training.md"))
    assert reader.ran.count("train") >= 2


def test_importing(reader: Reader) -> None:
    """The importer's own tests hold the weights to the logits; here the page's commands go through."""
    from tests.cli import test_convert

    (reader.folder / "checkpoint.pth").write_bytes(test_convert.ZIP.read_bytes())
    path = test_convert.write_config(reader.folder)
    data = {"type": "SegmentationFolder", "dataset_root": "data/mine", "transforms": [{"type": "Normalize"}]}
    sections = {"train_dataset": {**data, "mode": "train"}, "val_dataset": {**data, "mode": "val"}}
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **sections}), encoding="utf-8")
    reader.follow(Page(DOCS / "importing.md"))
    assert "convert" in reader.ran and (reader.folder / "imported.json").is_file()


def test_the_readme(reader: Reader) -> None:
    """The network of the one file is DMNet, and the three lines give a map and a picture of the image's size."""
    page = Page(ROOT / "README.md")
    assert {block.file for block in page.blocks if block.file} == {"dmnet.yml"}
    names = reader.follow(page).names
    image = Image.open(reader.folder / "street.png")
    assert names["pred"].shape == image.size[::-1] and names["picture"].shape[1] >= image.width
