"""The evaluation's page and its pictures."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from paddleseg_ext.evaluation.evaluate import evaluate
from paddleseg_ext.evaluation.predictor import Predictor
from paddleseg_ext.visualization.comparisons import draw_comparisons, evenly_spaced
from paddleseg_ext.visualization.draw import color
from paddleseg_ext.visualization.report import draw_classes, draw_confusion, write_report
from tests.evaluation.test_evaluate import CLASSES, SIZES, Colors, data, write_data

PALETTE = np.array([[128, 64, 128], [0, 0, 142], [70, 130, 180], [220, 20, 60]], np.uint8)
NAMES = ["road", "car & <van>", "sky", "person"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_data(tmp_path)
    cv2.imwrite(str(tmp_path / "5_label.png"), np.full(SIZES[5], 255, np.uint8))  # an image without a score
    return tmp_path


class Sources(HTMLParser):
    """Collects where the page's pictures come from."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.found += [value for key, value in attrs if key in ("src", "href")]


def test_the_page_holds_everything_and_shows_the_worst_first(root: Path) -> None:
    model, dataset = Colors(), data(root)
    settings = {"is_slide": True, "crop_size": [16, 16], "stride": [8, 8]}
    result = evaluate(model, dataset, boundary=True, progress=False, **settings)
    page = write_report(root / "report", result, model, dataset, NAMES, PALETTE, settings)
    text = page.read_text(encoding="utf-8")
    assert "car &amp; &lt;van&gt;" in text and f"{100 * result.miou:.2f}" in text and "boundary IoU" in text
    parser = Sources()
    parser.feed(text)
    assert len(parser.found) == 2 + len(SIZES) - 1
    for source in parser.found:
        kind, code = re.fullmatch(r"data:image/(png|jpeg);base64,(.*)", source).groups()
        picture = cv2.imdecode(np.frombuffer(base64.b64decode(code), np.uint8), cv2.IMREAD_COLOR)
        assert picture.std() > 10
    shown = [int(number) for number in re.findall(r"/(\d)\.jpg\.png: mIoU", text)]
    assert shown == [i for i in np.argsort(result.image_miou) if i != 5]
    assert {p.name for p in (root / "report").iterdir()} == {"index.html", "confusion.png", "classes.png", "worst"}
    assert len(list((root / "report" / "worst").iterdir())) == len(shown)


def test_triptychs_show_image_truth_and_prediction(root: Path) -> None:
    model, dataset = Colors(), data(root)
    paths = draw_comparisons(model, dataset, [6, 1], root / "new", NAMES, PALETTE, Predictor())
    assert [path.name for path in paths] == ["00006_6.jpg.png", "00001_1.jpg.png"]
    picture = np.asarray(Image.open(paths[0]))
    height, width = SIZES[6]
    factor = -(-320 // width)
    panels = [
        picture[20:, i * (width * factor + 4) :][: height * factor : factor, : width * factor : factor] for i in (0, 1)
    ]
    np.testing.assert_array_equal(panels[0], cv2.imread(str(root / "6.jpg.png"))[..., ::-1])
    np.testing.assert_array_equal(panels[1], color(cv2.imread(str(root / "6_label.png"), 0), PALETTE))


@pytest.mark.parametrize("classes", [2, 19, 150])
def test_charts_of_any_number_of_classes_with_absent_ones(tmp_path: Path, classes: int) -> None:
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 1000, (classes, classes))
    counts[0] = 0
    iou = rng.random(classes)
    iou[0] = np.nan
    names = [f"class {i}" for i in range(classes)]
    draw_confusion(counts, names, tmp_path / "confusion.png")
    draw_classes(iou, names, rng.integers(0, 256, (classes, 3)), tmp_path / "classes.png")
    sizes = [Image.open(tmp_path / name).size for name in ("confusion.png", "classes.png")]
    assert min(min(size) for size in sizes) > 150


def test_pictures_are_chosen_from_first_to_last() -> None:
    assert evenly_spaced(10, 4) == [0, 3, 6, 9]
    assert evenly_spaced(3, 8) == [0, 1, 2]
    assert evenly_spaced(1, 1) == [0]
    assert CLASSES == len(NAMES)
