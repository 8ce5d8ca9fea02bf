"""The evaluation's page in a real browser: sorting, links, colors, 150 classes, names that want to do harm."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import paddle
import pytest
from paddle import nn
from paddleseg.datasets import Dataset
from paddleseg.transforms import Normalize

from paddleseg_ext.data.classes import generic_palette
from paddleseg_ext.evaluation.evaluate import EvalResult, evaluate
from paddleseg_ext.visualization.report import write_report
from tests.browser import Page, browser
from tests.visualization.test_report import provenance

CLASSES, SIZE, IMAGES = 150, 24, 20
SCRIPT = "<script>document.title='taken'</script>"
HANDLER = '"><img src=x onerror="document.title=\'taken\'">'
NAMES = ["道路", f"car {SCRIPT}", f"sky {HANDLER}", "it's {{ 7 * 7 }}", *(f"class {i}" for i in range(4, CLASSES))]
FILE = "街景 <b onclick=alert(1)> & 'x'"  # a slash cannot be in it


class TwoWrong(nn.Layer):
    """Takes class 0 for class 1 and half of class 2 for class 3; the image's red is the class."""

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        ids = paddle.round((x[:, 2] * 0.5 + 0.5) * 255).astype("int64")
        column = paddle.arange(SIZE).reshape([1, 1, -1])
        ids = paddle.where(ids == 0, paddle.ones_like(ids), ids)
        ids = paddle.where((ids == 2) & (column < SIZE // 2), paddle.full_like(ids, 3), ids)
        return [nn.functional.one_hot(ids, CLASSES).transpose([0, 3, 1, 2])]


def evaluated(root: Path) -> tuple[TwoWrong, Dataset, EvalResult]:
    """Image i has the classes 0 to i, and 4 to 103 occur; the first row is not evaluated."""
    rng, lines = np.random.default_rng(0), []
    for i in range(IMAGES):
        label = rng.integers(4, 104, (SIZE, SIZE)).astype(np.uint8)
        label[1 : 2 + i] = 0 if i % 2 else 2
        image = np.repeat(label[..., None], 3, axis=2)
        label[0] = 255
        cv2.imencode(".png", image)[1].tofile(root / f"{FILE}{i}.png")
        cv2.imencode(".png", label)[1].tofile(root / f"{i}_label.png")
        lines.append(f"{FILE}{i}.png\t{i}_label.png\n")
    (root / "val.txt").write_text("".join(lines), encoding="utf-8")
    dataset = Dataset("val", str(root), [Normalize()], CLASSES, val_path=str(root / "val.txt"), separator="\t")
    return TwoWrong(), dataset, evaluate(TwoWrong(), dataset, progress=False)


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> tuple[Path, EvalResult]:
    root = tmp_path_factory.mktemp("report")
    model, dataset, result = evaluated(root)
    colors = generic_palette(CLASSES)
    about = provenance(f"{SCRIPT}.yml")
    return write_report(root / "page", result, model, dataset, NAMES, colors, {}, about), result


@pytest.fixture(scope="module")
def shared() -> Iterator[Page]:
    with browser() as page:
        yield page


@pytest.fixture
def page(shared: Page, written: tuple[Path, EvalResult]) -> Iterator[Page]:
    shared.scheme("light")
    yield shared.open(written[0])
    shared.check()


def column(page: Page, number: int) -> list[str]:
    return page.texts(f"#classes ~ .scroll tbody tr > :nth-child({number})")[: len(page.all(".matrix tbody tr"))]


def test_confusions_are_found_with_their_worst_images(written: tuple[Path, EvalResult]) -> None:
    result = written[1]
    assert result.confused.of(0, 1) == [19, 17, 15] and result.confused.of(2, 3) == [18, 16, 14]
    assert result.confused.of(1, 0) == []


def test_a_press_on_a_head_sorts_and_another_one_turns_it_round(page: Page) -> None:
    head, iou = page.all("#classes ~ .scroll thead th button")[:2]
    assert column(page, 1)[0] == "道路"
    iou.click()
    assert column(page, 2)[0] == "100.00" and column(page, 2)[-1] == "0.00"
    assert page.run("return arguments[0].closest('th').getAttribute('aria-sort')", iou) == "descending"
    iou.click()
    values = [float(text) for text in column(page, 2)]
    assert values == sorted(values) and values[0] == 0
    precision = page.all("#classes ~ .scroll thead th button")[2]
    for _ in range(2):  # class 0 is never predicted, so it has none, and stays at the end
        precision.click()
        assert column(page, 3)[-1] == "–"
    head.click()
    assert [name for name in column(page, 1) if name.startswith("class")][:2] == ["class 4", "class 5"]


def test_links_lead_to_the_images_of_a_confusion(page: Page) -> None:
    (row,) = [row for row in page.all("#confusions ~ .scroll tbody tr") if row.text.startswith("道路 taken for car")]
    assert "100.0 % of 道路’s pixels" in row.text
    link = row.find_element("css selector", "a")
    assert link.text == f"{FILE}19.png"
    link.click()
    assert page.all(":target")[0].get_attribute("id") == "image-19"
    assert abs(page.run("return document.querySelector(':target').getBoundingClientRect().top")) < 100
    targets = page.run("return [...document.querySelectorAll('a')].map(a => a.hash && !document.querySelector(a.hash))")
    assert not any(targets) and len(targets) >= 10


def test_names_run_no_script_and_are_shown_as_they_are(page: Page) -> None:
    assert page.driver.title.startswith("Pictures")
    assert page.run("return document.querySelectorAll('script, [onerror], [onclick], b b').length") == 1
    names = page.texts("#classes ~ .scroll tbody th")
    assert NAMES[1] in names and NAMES[2] in names and NAMES[3] in names
    assert f"{FILE}19.png" in "".join(page.texts("#image-19 figcaption"))
    page.run("const s = document.createElement('script'); s.text = \"document.title='taken'\"; document.body.append(s)")
    assert page.driver.title.startswith("Pictures")  # the page's policy refuses even that
    assert any("Content Security Policy" in entry["message"] for entry in page.console())
    page.messages.clear()


def test_classes_that_do_not_occur_are_folded_away(page: Page) -> None:
    (summary,) = [part for part in page.all("summary") if "occur neither" in part.text]
    assert summary.text.startswith("46 classes") and "class 149" not in page.texts(".legend li")
    summary.click()
    assert "class 149" in page.texts(".legend li")
    assert "not evaluated" in page.texts("#image-19 .legend li")


def test_a_matrix_of_many_classes_opens_and_stays_inside_the_page(page: Page) -> None:
    assert not page.all(".matrix")[0].is_displayed()
    (summary,) = [part for part in page.all("summary") if part.text == "104 classes"]
    summary.click()
    assert page.all(".matrix")[0].is_displayed() and page.all(".matrix tbody tr")[0].text.split()[-1] == "100"
    page.driver.set_window_size(500, 900)
    assert page.run("return document.documentElement.scrollWidth <= innerWidth")
    page.driver.set_window_size(1280, 900)


def test_pictures_grow(page: Page) -> None:
    image = page.all("#image-19 img")[0]
    before = image.size["width"]
    page.all("#image-19 button")[0].click()
    assert image.size["width"] > 3 * before
    assert page.run("return [...document.images].every(image => image.alt)")


def test_dark_and_light(page: Page, tmp_path: Path) -> None:
    brightness = {}
    for scheme in ("light", "dark"):
        page.scheme(scheme)
        page.screenshot(tmp_path / f"{scheme}.png", 900, 500)
        brightness[scheme] = float(cv2.imread(str(tmp_path / f"{scheme}.png")).mean())
        ink, paper = page.run(
            "const s = getComputedStyle(document.body); return [s.color, s.backgroundColor].map(c =>"
            " c.match(/\\d+/g).slice(0, 3).reduce((a, b) => a + Number(b), 0))"
        )
        assert abs(ink - paper) > 450  # legible
    assert brightness["light"] > 200 and brightness["dark"] < 70
