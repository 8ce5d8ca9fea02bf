"""Fonts that have the characters of class names, in any script: for Pillow and for charts of matplotlib.

A text is drawn in the first of these that has all its characters: the file that the environment variable
``PADDLESEG_EXT_FONT`` names; DejaVu Sans, which matplotlib brings (Latin, Greek, Cyrillic); the fonts of the system,
well-known ones of Chinese first; Noto Sans CJK of the package ``noto-cjk-sans-jp-regular``, the extra ``[cjk]``.
"""

from __future__ import annotations

import inspect
import logging
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, wraps
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar, cast

import matplotlib
from PIL import ImageFont

VARIABLE = "PADDLESEG_EXT_FONT"
PACKAGE = "noto_cjk_sans_jp_regular"
DEJAVU = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
# Beginnings of file names, letters and digits only, in the order of preference; others come behind them.
KNOWN = (
    *("notosanscjk", "notosanssc", "notosanshans", "sourcehansans", "wqymicrohei", "wqyzenhei"),  # Linux
    *("msyh", "microsoftyahei", "simhei", "deng", "simsun"),  # Windows
    *("pingfang", "hiraginosansgb", "stheiti", "songti"),  # macOS
    *("droidsansfallback", "unifont", "arialunicode", "notosans"),
)
SPECIAL = re.compile("bold|black|heavy|light|thin|medium|italic|oblique|condensed|mono|serif|vf|wght", re.I)
logger = logging.getLogger(__name__)
Draw = TypeVar("Draw", bound=Callable[..., Any])
_told: set[str] = set()


def font_file(text: str) -> Path | None:
    """The first font that has all characters of a text, or None."""
    return next((path for path in _fonts() if _has(path, text)), None)


def font_for(text: str, size: int) -> ImageFont.FreeTypeFont:
    """The font to draw a text with in Pillow; `size` in pixels."""
    return _opened(font_file(text) or DEJAVU, size)


def drawable(names: Sequence[str]) -> list[str]:
    """The names as they can be drawn: ``class 3`` in the place of one whose characters no font has, told once."""
    lacking = [name for name in names if font_file(name) is None]
    if lacking:
        others = f" (and {len(lacking) - 1} more)" if len(lacking) > 1 else ""
        _warn_once(
            "characters",
            f"no font here has the characters of the class name '{lacking[0]}'{others}, so pictures show numbers "
            "instead; install one (apt-get install fonts-noto-cjk, or pip install 'paddleseg-ext[cjk]'), or name a "
            f"font file by {VARIABLE}",
        )
    return [f"class {i}" if name in lacking else name for i, name in enumerate(names)]


def chart_names(names: Sequence[str]) -> list[str]:
    """`drawable` names with which matplotlib does not start a formula."""
    return [name.replace("$", r"\$") for name in drawable(names)]


@contextmanager
def chart_fonts(texts: Sequence[str]) -> Iterator[None]:
    """Within the block, in which they are made and written, charts of matplotlib have the characters of all `texts`.

    Args:
        texts: As `chart_names` gives them.
    """
    files = {DEJAVU, *(path for path in map(font_file, texts) if path)}
    manager = logging.getLogger("matplotlib.font_manager")  # tells of each font of another weight than the first
    level = manager.level
    manager.setLevel(logging.ERROR)
    try:
        with matplotlib.rc_context({"font.family": [_family(path) for path in _fonts_among(files)]}):
            yield
    finally:
        manager.setLevel(level)


def with_fonts(draw: Draw) -> Draw:
    """Have a function that draws a chart take its argument `names` as they can be drawn, and find their characters."""
    signature = inspect.signature(draw)

    @wraps(draw)
    def drawing(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs)
        given.arguments["names"] = names = chart_names(given.arguments["names"])
        with chart_fonts(names):
            return draw(*given.args, **given.kwargs)

    return cast(Draw, drawing)


def _fonts_among(files: set[Path]) -> list[Path]:
    """In the order of preference."""
    found = []
    for path in _fonts():
        if path in files and path not in found:
            found.append(path)
        if len(found) == len(files):
            break
    return found


def _fonts() -> Iterator[Path]:
    if (own := os.environ.get(VARIABLE)) and _characters(Path(own)):
        yield Path(own)
    elif own:
        _warn_once(own, f"{VARIABLE}: {own} is no font file that can be read, so it is left out")
    yield DEJAVU
    yield from _installed()


@cache
def _installed() -> tuple[Path, ...]:
    """The fonts of the system and of the package, best first; searched anew in each process, not in a cache on disk."""
    from matplotlib.font_manager import findSystemFonts  # takes half a second, and Latin names do without

    files = sorted(map(Path, findSystemFonts()), key=_rank)
    package = find_spec(PACKAGE)
    of_package = sorted(Path(package.origin).parent.glob("*.[ot]tf")) if package and package.origin else []
    known = [path for path in files if _rank(path)[0] < len(KNOWN)]
    return (*known, *of_package, *(path for path in files if _rank(path)[0] == len(KNOWN)))


def _rank(path: Path) -> tuple[int, bool, str]:
    plain = re.sub(r"[^a-z0-9]", "", path.stem.lower())
    place = next((place for place, start in enumerate(KNOWN) if plain.startswith(start)), len(KNOWN))
    return place, SPECIAL.search(path.stem) is not None, path.name


def _has(path: Path, text: str) -> bool:
    return _characters(path).issuperset(ord(sign) for sign in text if sign.isprintable() and sign != " ")


@cache
def _characters(path: Path) -> frozenset[int]:
    """The code points that a font can draw in any size; none where the file is no such font."""
    from matplotlib.ft2font import FT2Font

    try:
        ImageFont.truetype(str(path), 13)  # refuses pictures of one size, such as colored emoji
        return frozenset(FT2Font(str(path)).get_charmap())
    except (OSError, RuntimeError, ValueError):
        return frozenset()


@cache
def _opened(path: Path, size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.truetype(str(path), size, index=_simplified(path) if path.suffix == ".ttc" else 0)
    try:
        axes: list[Any] = font.get_variation_axes()
    except OSError:  # of one weight
        return font
    font.set_variation_by_axes([400 if axis["name"] == b"Weight" else axis["default"] for axis in axes])
    return font


def _simplified(path: Path) -> int:
    """Of a collection that has a font for each country, the place of that with the forms of simplified Chinese."""
    for index in range(16):
        try:
            family = ImageFont.truetype(str(path), 13, index=index).getname()[0] or ""
        except OSError:
            break
        if "SC" in family.split():
            return index
    return 0


@cache
def _family(path: Path) -> str:
    """The name under which matplotlib knows a font from here on."""
    from matplotlib.font_manager import FontProperties, fontManager

    fontManager.addfont(str(path))
    return FontProperties(fname=str(path)).get_name()


def _warn_once(about: str, sentence: str) -> None:
    if about not in _told:
        _told.add(about)
        logger.warning(f"warning: {sentence}")
