"""The page of an explanation in a real browser: moving a slider changes the maps, and nothing comes from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import paddle
import pytest

from paddleseg_ext.explanation import Bars, Explanation, Maps, Section
from paddleseg_ext.explanation.page import write_page
from paddleseg_ext.explanation.pictures import as_levels
from tests.browser import Page, browser
from tests.explanation.networks import COLORS, NAMES, network, picture, segmentor

MAP = "canvas[aria-label='Attention: all passes composed']"


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with browser() as page:
        yield page


@pytest.fixture(scope="module")
def found() -> Explanation:
    paddle.seed(0)
    return segmentor(network("CCHead")).explain(picture(45, 61), grid=(6, 4))


@pytest.fixture(scope="module")
def written(found: Explanation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return found.save(tmp_path_factory.mktemp("page"), pictures=True)


def shown(page: Page, selector: str) -> str:
    """What is drawn on a canvas, once the page has painted the pixel that was chosen."""
    page.driver.execute_async_script("const done = arguments[0]; requestAnimationFrame(() => setTimeout(done, 0));")
    return page.run("return document.querySelector(arguments[0]).toDataURL()", selector)


def slide(page: Page, name: str, value: int) -> None:
    script = (
        "const x = document.getElementById(arguments[0]); x.value = arguments[1]; x.dispatchEvent(new Event('input'))"
    )
    page.run(script, name, value)


def waited(page: Page, path: Path) -> Page:
    page.open(path)
    page.driver.set_script_timeout(10)
    page.driver.execute_async_script(
        "const done = arguments[0]; (function look() { document.body.dataset.pixel ? done() : setTimeout(look, 10) })()"
    )
    return page


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_sliders_choose_the_pixel(page: Page, written: Path, found: Explanation, scheme: str) -> None:
    page.scheme(scheme)
    waited(page, written)
    before = {selector: shown(page, selector) for selector in (MAP, "#image")}
    probability = page.texts("section .number")[:3]
    slide(page, "x", 0)
    slide(page, "y", 3)
    after = {selector: shown(page, selector) for selector in before}
    assert all(before[selector] != after[selector] for selector in before)
    x, y = found.pixels[18]
    assert page.texts("#chosen") == [f"{NAMES[found.pred[y, x]]} at {x}, {y}"]
    assert page.texts("#x_value, #y_value") == [str(x), str(y)]
    assert page.texts("section .number")[:3] != probability
    best = found["Classes of the pixel"]["Probability"].values[18]
    assert float(page.texts("section .number")[0]) == pytest.approx(best.max(), rel=1e-3)
    slide(page, "opacity", 0)
    assert shown(page, MAP) != after[MAP]
    page.check()
    assert (
        page.run("return getComputedStyle(document.body).backgroundColor")
        == {
            "light": "rgb(255, 255, 255)",
            "dark": "rgb(20, 23, 27)",
        }[scheme]
    )


def test_a_click_chooses_the_nearest(page: Page, written: Path, found: Explanation) -> None:
    from selenium.webdriver.common.action_chains import ActionChains  # the fixture skips where it is missing

    waited(page, written)
    image = page.all("#image")[0]
    ActionChains(page.driver).move_to_element_with_offset(
        image, -image.size["width"] // 2 + 4, -image.size["height"] // 2 + 4
    ).click().perform()
    shown(page, MAP)
    x, y = found.pixels[0]
    assert page.texts("#chosen")[0].endswith(f"at {x}, {y}")
    page.check()


def test_classes_are_chosen_and_named(page: Page, written: Path, found: Explanation) -> None:
    waited(page, written)
    options = page.run("return [...document.querySelectorAll('#class option')].map(e => e.textContent.trim())")
    assert options == [NAMES[k] for k in found.asked]
    canvas = "canvas[aria-label^='Evidence for a class']"
    drawn = []
    for target in found.asked:
        page.run(
            "const s = document.getElementById('class'); s.value = arguments[0]; s.dispatchEvent(new Event('change'))",
            target,
        )
        drawn.append(shown(page, canvas))
    assert len(set(drawn)) == len(found.asked) > 1
    assert not page.all("main b")  # what a class is called is no markup
    page.check()


def test_what_is_drawn_are_the_values(page: Page, tmp_path: Path) -> None:
    """Levels at full opacity, through the table of colors, at the pixel that was chosen alone."""
    values = np.random.default_rng(0).random((2, 1, 3, 4)).astype(np.float32)
    maps = Maps("M", values, ["a"], axis="pixel", at=[[0, 0], [3, 2]], over_image=False)
    bars = Bars("B", np.array([3.0, -1.0]), ["</script><b>", "二"])
    section = Section("<i>S", "T", [maps, bars])
    pixels = np.array([[0, 0], [3, 2]])
    found = Explanation(picture(3, 4), np.zeros((3, 4), int), pixels, [0], NAMES, COLORS, [section], "街景 </title>")
    waited(page, write_page(tmp_path / "index.html", found))
    for index, x in enumerate((0, 1)):
        slide(page, "x", x)
        shown(page, "figure canvas")
        pen = "document.querySelector('figure canvas').getContext('2d')"
        context = page.run(f"return [...{pen}.getImageData(0, 0, 4, 3).data]")
        colors = np.array(context).reshape(3, 4, 4)[..., :3]
        table = np.array(page.run("return [...tables[0]]")).reshape(256, 3)
        np.testing.assert_array_equal(colors, table[as_levels(maps)[index, 0]])
    assert page.texts("h1, h2") == ["街景 </title>", "<i>S"] and page.driver.title == "街景 </title>"
    assert page.texts(".bars > span") == ["</script><b>", "3", "二", "-1"]
    page.check()


def test_the_page_is_small_and_alone(written: Path, found: Explanation) -> None:
    text = written.read_text("utf-8")
    assert len(text) < 8e6 and "http" not in text and "行人" not in text.split("<body>")[0]
    large = [
        Maps("M", np.ones((400, 3, 48, 96), np.float32), "abc", "pixel", found.pixels.tolist() * 16 + [[0, 0]] * 16)
    ]
    many = Explanation(found.image, found.pred, found.pixels, [0], NAMES, COLORS, [Section("S", "", large * 4)])
    assert write_page(written.with_name("large.html"), many).stat().st_size < 8e6


def test_pictures(written: Path, found: Explanation) -> None:
    folder = written.parent / "pictures"
    x, y = found.pixels[5]
    path = folder / "criss_cross_attention" / "attention" / f"x{x}_y{y}" / "2_all_passes_composed.png"
    drawn = cv2.imread(str(path))
    assert drawn.shape == found.image.shape
    assert (drawn != cv2.imread(str(path.with_name("0_pass_1.png")))).any()
    count = sum(np.prod(f.values.shape[:-2]) for section in found for f in section if isinstance(f, Maps))
    assert len(list(folder.rglob("*.png"))) == count
