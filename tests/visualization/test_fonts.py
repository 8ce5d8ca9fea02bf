"""Names in any script: drawn in a font that has their characters, or their numbers drawn instead."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from paddleseg_ext.visualization import draw, fonts

PALETTE = np.array([[128, 64, 128], [0, 0, 142]], np.uint8)
CHINESE = "天空"


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with no font but those of Python packages that are always there."""
    monkeypatch.setattr(fonts, "_installed", lambda: ())
    monkeypatch.setattr(fonts, "_told", set())
    monkeypatch.delenv(fonts.VARIABLE, raising=False)


def write_font(path: Path, text: str, family: str = "Boxes") -> Path:
    """A font whose characters are filled boxes."""
    pen = TTGlyphPen(None)
    pen.moveTo((100, 0))
    for corner in [(100, 700), (900, 700), (900, 0)]:
        pen.lineTo(corner)
    pen.closePath()
    box, names = pen.glyph(), [".notdef", *(f"uni{ord(sign):04X}" for sign in text)]
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({ord(sign): f"uni{ord(sign):04X}" for sign in text})
    builder.setupGlyf({name: TTGlyphPen(None).glyph() if name == ".notdef" else box for name in names})
    builder.setupHorizontalMetrics({name: (1000, 100) for name in names})
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": family, "styleName": "Regular"})
    builder.setupOS2(sTypoAscender=800, sTypoDescender=-200)
    builder.setupPost()
    builder.save(path)
    return path


def chart(names: list[str]) -> np.ndarray:
    """A chart with names below its bars; what matplotlib warns of is an error."""

    @fonts.with_fonts
    def drawn(names: list[str]) -> np.ndarray:
        figure = Figure(figsize=(4, 2))
        figure.add_subplot().bar(names, range(len(names)))
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return drawn(names)


def test_latin_greek_and_cyrillic_need_no_font_of_the_system(bare: None) -> None:
    names = ["road", "Straße", "čtvrť", "δρόμος", "дорога", "a b", ""]
    assert fonts.drawable(names) == names
    assert {fonts.font_file(name) for name in names} == {fonts.DEJAVU}


def test_a_font_named_by_the_environment_is_taken(bare: None, tmp_path: Path, monkeypatch, caplog) -> None:
    monkeypatch.setenv(fonts.VARIABLE, str(write_font(tmp_path / "boxes.ttf", CHINESE)))
    assert fonts.drawable([CHINESE, "sky"]) == [CHINESE, "sky"] and not caplog.text
    picture = draw.legend([0], PALETTE, [CHINESE, "sky"], 320)[:, 24:]
    boxes = (picture.max(-1) < 60).sum()
    assert boxes > 1.5 * 9 * 8  # two filled boxes in 13 pixels, where letters would be thin
    assert (chart([CHINESE, "sky"]) != chart(["sky", CHINESE])).any()


def test_where_no_font_has_the_characters_numbers_are_drawn_and_it_is_told_once(bare: None, caplog) -> None:
    names = ["sky", CHINESE, "道路"]
    with caplog.at_level(logging.WARNING, "paddleseg_ext"):
        assert fonts.drawable(names) == ["sky", "class 1", "class 2"]
        drawn = draw.legend([0, 1], PALETTE, names, 320)
        chart(names)
    np.testing.assert_array_equal(drawn, draw.legend([0, 1], PALETTE, ["sky", "class 1"], 320))
    assert caplog.text.count("no font here has the characters of the class name '天空' (and 1 more)") == 1
    assert "paddleseg-ext[cjk]" in caplog.text and "PADDLESEG_EXT_FONT" in caplog.text


def test_a_variable_that_names_no_font_is_told_once_and_left_out(
    bare: None, tmp_path: Path, monkeypatch, caplog
) -> None:
    (tmp_path / "font.ttf").write_bytes(b"nothing")
    monkeypatch.setenv(fonts.VARIABLE, str(tmp_path / "font.ttf"))
    assert fonts.drawable(["sky", "road"]) == ["sky", "road"] and fonts.font_file("sky") == fonts.DEJAVU
    assert caplog.text.count("font.ttf is no font file that can be read") == 1


def test_fonts_of_the_system_come_before_that_of_the_package_and_unknown_ones_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "packages" / fonts.PACKAGE
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    shipped = write_font(package / "NotoSansCJKjp-Regular.otf", CHINESE)
    system = ["zebra.ttf", "NotoSansCJK-Bold.ttc", "simhei.ttf", "NotoSansCJK-Regular.ttc", "alpha.ttf"]
    monkeypatch.syspath_prepend(str(tmp_path / "packages"))
    monkeypatch.setattr("matplotlib.font_manager.findSystemFonts", lambda: [str(tmp_path / name) for name in system])
    fonts._installed.cache_clear()
    try:
        found = fonts._installed()
    finally:
        fonts._installed.cache_clear()
    order = ["NotoSansCJK-Regular.ttc", "NotoSansCJK-Bold.ttc", "simhei.ttf", shipped.name, "alpha.ttf", "zebra.ttf"]
    assert [path.name for path in found] == order


def test_what_this_machine_has_can_be_drawn() -> None:
    """With a font of Chinese names are drawn as they are, without one as numbers; in pictures and charts alike."""
    names = ["天空", "建筑物"]
    shown = fonts.drawable(names)
    assert shown in (names, ["class 0", "class 1"])
    chart(names)
    np.testing.assert_array_equal(draw.legend_table(PALETTE, names), draw.legend_table(PALETTE, shown))
