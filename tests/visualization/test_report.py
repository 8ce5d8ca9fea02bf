"""The evaluation's page and its pictures; the page is looked at in a real browser in test_report_page.py."""

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
from paddleseg_ext.evaluation.provenance import Provenance
from paddleseg_ext.visualization.charts import draw_classes, draw_confusion
from paddleseg_ext.visualization.comparisons import draw_comparisons, evenly_spaced
from paddleseg_ext.visualization.draw import color
from paddleseg_ext.visualization.errors import NOT_EVALUATED, WRONG, error_map
from paddleseg_ext.visualization.report import write_report
from tests.evaluation.test_evaluate import CLASSES, SIZES, Colors, data, write_data

PALETTE = np.array([[128, 64, 128], [0, 0, 142], [70, 130, 180], [220, 20, 60]], np.uint8)
NAMES = ["road", "car & <van>", "sky", "person"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_data(tmp_path)
    cv2.imwrite(str(tmp_path / "5_label.png"), np.full(SIZES[5], 255, np.uint8))  # an image without a score
    return tmp_path


class Sources(HTMLParser):
    """Collects the pictures of a page and what it links to."""

    def __init__(self) -> None:
        super().__init__()
        self.pictures: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        found = dict(attrs)
        if tag == "img":
            assert found["alt"]
            self.pictures.append(found["src"])
        elif "href" in found:
            self.links.append(found["href"])
        self.ids += [found["id"]] if "id" in found else []


def provenance(config: str = "some.yml", **changes: object) -> Provenance:
    effective = {"model": {"type": "EncoderDecoder"}, "batch_size": 4}
    return Provenance(config, effective, None, "Pictures", len(SIZES), {"is_slide": True, **changes})


def test_the_page_holds_everything_and_shows_the_worst_first(root: Path) -> None:
    model, dataset = Colors(), data(root)
    settings = {"is_slide": True, "crop_size": [16, 16], "stride": [8, 8]}
    result = evaluate(model, dataset, boundary=True, progress=False, **settings)
    page = write_report(root / "report", result, model, dataset, NAMES, PALETTE, settings, provenance(**settings))
    text = page.read_text(encoding="utf-8")
    assert "car &amp; &lt;van&gt;" in text and f"{100 * result.miou:.2f}" in text and "mean boundary IoU" in text
    assert "type: EncoderDecoder" in text and "windows, crop_size 16 × 16, stride 8 × 8" in text
    found = Sources()
    found.feed(text)
    scored = [i for i in np.argsort(result.image_miou, kind="stable") if i != 5]
    assert [name for name in found.ids if name.startswith("image-")] == [f"image-{i}" for i in scored]
    assert len(found.pictures) == 4 * len(scored)
    for source in found.pictures:
        kind, code = re.fullmatch(r"data:image/(png|jpeg);base64,(.*)", source).groups()
        assert cv2.imdecode(np.frombuffer(base64.b64decode(code), np.uint8), cv2.IMREAD_COLOR).std() > 5
    assert all(link == "data:," or link[1:] in found.ids for link in found.links), found.links
    assert {p.name for p in (root / "report").iterdir()} == {"index.html", "confusion.png", "classes.png", "worst"}
    assert len(list((root / "report" / "worst").iterdir())) == len(scored)


def test_pictures_show_image_truth_prediction_and_errors(root: Path) -> None:
    model, dataset = Colors(), data(root)
    paths = draw_comparisons(model, dataset, [6, 1], root / "new", NAMES, PALETTE, Predictor())
    assert [path.name for path in paths] == ["00006_6.jpg.png", "00001_1.jpg.png"]
    picture = np.asarray(Image.open(paths[0]))
    height, width = SIZES[6]
    factor = -(-320 // width)
    panels = [
        picture[round(1.55 * max(4 * width * factor // 80, 13)) :, i * (width * factor + 4) :][
            : height * factor : factor, : width * factor : factor
        ]
        for i in range(4)
    ]
    label = cv2.imread(str(root / "6_label.png"), 0)
    np.testing.assert_array_equal(panels[0], cv2.imread(str(root / "6.jpg.png"))[..., ::-1])
    np.testing.assert_array_equal(panels[1], color(label, PALETTE))
    wrong = (panels[1] != panels[2]).any(-1) & (label < CLASSES)
    assert wrong.any() and not wrong.all()
    np.testing.assert_array_equal((panels[3] == WRONG).all(-1), wrong)


def test_errors_are_red_and_what_is_not_evaluated_white() -> None:
    image = np.full((1, 4, 3), 200, np.uint8)
    found = error_map(image, np.array([[0, 1, 255, 255]], np.uint8), np.array([[0, 0, 0, 1]], np.uint8), 2)
    assert [tuple(pixel) for pixel in found[0].tolist()] == [(124, 124, 124), WRONG, NOT_EVALUATED, NOT_EVALUATED]


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
