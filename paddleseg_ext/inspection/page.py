"""One self-contained page that shows an inspection: findings, class frequencies, augmented samples."""

from __future__ import annotations

import base64
import datetime
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import jinja2
import numpy as np
from matplotlib.figure import Figure

from paddleseg_ext.data.image_io import make_folder_of
from paddleseg_ext.inspection.findings import Inspection
from paddleseg_ext.visualization.draw import legend, overlay
from paddleseg_ext.visualization.fonts import with_fonts

TEMPLATE = Path(__file__).with_name("page.html")
SAMPLE_WIDTH = 320  # pixels


def write_page(path: str | Path, title: str, found: Inspection) -> Path:
    """Write the page.

    Args:
        path: HTML file, its folder included.
        title: Usually the configuration's file.
        found: Of `inspect`.
    """
    make_folder_of(path)
    occurring = found.occurring()
    shown = sorted({int(value) for _, label in found.samples for value in np.unique(label) if value < len(found.names)})
    page = jinja2.Environment(autoescape=True).from_string(TEMPLATE.read_text("utf-8"))
    content = page.render(
        title=title,
        date=datetime.datetime.now().strftime("%Y-%m-%d %H:%M"),
        found=found,
        percents=found.percents(),
        occurring=occurring,
        absent=[name for row, name in enumerate(found.classes) if row not in occurring],
        chart=_chart([found.classes[row] for row in occurring], found.percents(), occurring) if found.scans else None,
        samples=[_jpeg(_sample(image, label, found)) for image, label in found.samples],
        legend=_jpeg(legend(shown, found.palette, found.names, 1200)) if found.samples else None,
    )
    Path(path).write_text(content, encoding="utf-8")
    return Path(path)


@with_fonts
def _chart(names: Sequence[str], percents: Mapping[str, np.ndarray], rows: Sequence[int]) -> str:
    """Bars of the share of some classes in each data set, on a logarithmic axis, as a data address."""
    percents = {key: shares[list(rows)] for key, shares in percents.items()}
    figure = Figure(figsize=(9, 1.2 + 0.3 * len(names)), layout="constrained")
    axes = figure.add_subplot(xlabel="% of the pixels", xscale="log")
    height = 0.8 / len(percents)
    for number, (key, shares) in enumerate(percents.items()):
        places = np.arange(len(names)) + (number - (len(percents) - 1) / 2) * height
        bars = axes.barh(places, np.maximum(shares, 1e-4), height, label=key)
        axes.bar_label(bars, [f"{share:.3g}" for share in shares], padding=2, fontsize=7)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.legend(loc="lower right")
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=100)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()


def _sample(image: np.ndarray, label: np.ndarray, found: Inspection) -> np.ndarray:
    """An image above itself with its label laid over it."""
    laid = overlay(image, label, found.palette)
    both = np.vstack([image, laid])
    size = (SAMPLE_WIDTH, max(1, round(both.shape[0] * SAMPLE_WIDTH / both.shape[1])))
    return cv2.resize(both, size, interpolation=cv2.INTER_AREA if both.shape[1] > SAMPLE_WIDTH else cv2.INTER_NEAREST)


def _jpeg(image: np.ndarray) -> str:
    code = cv2.imencode(".jpg", np.ascontiguousarray(image[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
    return "data:image/jpeg;base64," + base64.b64encode(code.tobytes()).decode()
