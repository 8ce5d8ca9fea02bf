"""Self-contained HTML pages: a template with the common style and scripts in it, and nothing from anywhere else."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np

from paddleseg_ext.checkpoint.atomic import write_file
from paddleseg_ext.data.image_io import make_folder_of
from paddleseg_ext.evaluation.metrics import percent

FOLDER = Path(__file__).parent
SCRIPT, STYLE = "page.js", "page.css"
JPEG_QUALITY = 82


def write_page(path: str | Path, template: str, **values: Any) -> Path:
    """Fill a template of this folder and write the page, its folder included.

    Whatever is filled in is escaped. A policy in the page allows the one script that it comes with, pictures inside it
    and no address: what a hostile name might smuggle in would not run either.

    Args:
        path: HTML file.
        template: Its name.
        **values: What the template asks for.
    """
    script = (FOLDER / SCRIPT).read_text("utf-8")
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment = jinja2.Environment(
        autoescape=True, loader=jinja2.FileSystemLoader(FOLDER), undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    environment.filters["percent"] = percent
    environment.globals.update(
        policy=f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{allowed}'",
        script=script,
        style=(FOLDER / STYLE).read_text("utf-8"),
    )
    text = environment.get_template(template).render(**values)
    make_folder_of(path)
    # a lone surrogate, as of a file name in no known encoding, is no text
    write_file(Path(path), lambda partial: partial.write_text(text, encoding="utf-8", errors="replace"))
    return Path(path)


def photograph(image: np.ndarray) -> str:
    """A picture (H, W, 3) uint8 RGB as a data address, compressed as photographs are."""
    code = cv2.imencode(".jpg", np.ascontiguousarray(image[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
    return "data:image/jpeg;base64," + base64.b64encode(code.tobytes()).decode()


def drawing(image: np.ndarray) -> str:
    """A picture of few colors (H, W, 3) uint8 RGB as a data address, exact to the pixel."""
    code = cv2.imencode(".png", np.ascontiguousarray(image[..., ::-1]), [cv2.IMWRITE_PNG_COMPRESSION, 9])[1]
    return "data:image/png;base64," + base64.b64encode(code.tobytes()).decode()


def color_of(rgb: np.ndarray) -> str:
    """A color as style sheets have it."""
    return "#" + bytes(int(part) for part in rgb).hex()
