"""The page of an explanation: sliders over pixels and the maps of the one that is chosen, in a single HTML file."""

from __future__ import annotations

import base64
import datetime
import math
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np

from paddleseg_ext.checkpoint.atomic import write_file
from paddleseg_ext.explanation.findings import Bars, Finding, Findings
from paddleseg_ext.explanation.pictures import as_levels, color_table
from paddleseg_ext.visualization.draw import color

TEMPLATE = Path(__file__).with_name("page.html")
WIDTH = 960  # pixels of the image in the page
CELLS = 1_200_000  # bytes of one finding's maps together, and per side of a map at most:
SIDE = 160


def write_page(path: Path, explanation: Findings) -> Path:
    """Write the page, which needs no other file and nothing from the network."""
    image, pred = _fitted(explanation.image, cv2.INTER_AREA), _fitted(explanation.pred, cv2.INTER_NEAREST)
    content = {
        "size": explanation.image.shape[1::-1],
        "image": _picture(".jpg", image),
        "prediction": _picture(".png", color(pred, explanation.palette)),
        "classes": list(explanation.classes),
        "colors": [f"rgb({r},{g},{b})" for r, g, b in explanation.palette.tolist()],
        "pixels": explanation.pixels.tolist(),
        "predicted": explanation.pred[explanation.pixels[:, 1], explanation.pixels[:, 0]].tolist(),
        "asked": explanation.asked,
        "tables": [_text(color_table(signed)) for signed in (False, True)],
        "sections": [
            {"title": s.title, "text": s.text, "source": s.source, "findings": [_content(f) for f in s]}
            for s in explanation
        ],
    }
    page = jinja2.Environment(autoescape=True).from_string(TEMPLATE.read_text("utf-8"))
    date = datetime.datetime.now().strftime("%Y-%m-%d %H:%M")
    text = page.render(title=explanation.title, notes=explanation.notes, date=date, content=content)
    write_file(path, lambda partial: partial.write_text(text, encoding="utf-8"))
    return path


def _content(finding: Finding) -> dict[str, Any]:
    """A finding as the page's script reads it."""
    found = {name: getattr(finding, name) for name in ("title", "note", "axis")}
    found |= {"labels": [str(label) for label in finding.labels], "at": list(finding.at)}
    if isinstance(finding, Bars):
        values = np.vectorize(lambda value: float(f"{value:.4g}"), otypes=[float])(finding.values)
        return {**found, "values": values.tolist(), "top": finding.top, "of_classes": finding.of_classes}
    levels = as_levels(finding)
    levels = _shrunk(levels, min(SIDE, int((CELLS / math.prod(levels.shape[:-2])) ** 0.5)))
    scales = np.vectorize(lambda value: f"{value:.3g}", otypes=[object])(np.abs(finding.values).max((-2, -1)))
    options = {name: getattr(finding, name) for name in ("signed", "over_image")}
    return {**found, **options, "size": levels.shape[:-3:-1], "scales": scales.tolist(), "levels": _text(levels)}


def _shrunk(levels: np.ndarray, most: int) -> np.ndarray:
    """(…, h, w) averaged to at most `most` per side, if they are larger."""
    height, width = levels.shape[-2:]
    factor = most / max(height, width)
    if factor >= 1:
        return levels
    size = max(1, round(width * factor)), max(1, round(height * factor))
    flat = [cv2.resize(level, size, interpolation=cv2.INTER_AREA) for level in levels.reshape(-1, height, width)]
    return np.stack(flat).reshape(*levels.shape[:-2], size[1], size[0])


def _fitted(picture: np.ndarray, interpolation: int) -> np.ndarray:
    height, width = picture.shape[:2]
    if width <= WIDTH:
        return picture
    return cv2.resize(picture, (WIDTH, max(1, round(height * WIDTH / width))), interpolation=interpolation)


def _picture(kind: str, rgb: np.ndarray) -> str:
    """(H, W, 3) as a data address, of a JPEG or a PNG file."""
    code = cv2.imencode(kind, np.ascontiguousarray(rgb[..., ::-1]))[1]
    return f"data:image/{'png' if kind == '.png' else 'jpeg'};base64," + _text(code)


def _text(values: np.ndarray) -> str:
    return base64.b64encode(values.tobytes()).decode()
