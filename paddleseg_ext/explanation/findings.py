"""What an explanation consists of: sections of maps over the image and of bars."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar, Union

import numpy as np

PIXEL, CLASS = "pixel", "class"


@dataclass(frozen=True)
class Maps:
    """Maps side by side; one set of them, or one for each of some pixels or classes.

    Attributes:
        title: What the maps show.
        values: (N, h, w) float32; with `axis` (M, N, h, w), the first axis along `at`.
        labels: N names.
        axis: `PIXEL`, `CLASS` or None.
        at: M pixels (x, y) of the image, or M class ids.
        note: What has to be known to read them, one or two sentences.
        signed: Whether there are negative values, which get another color.
        square_root: Draw the square root, so that small values are seen beside large ones.
        shared: Draw the N maps on one scale; otherwise each on its own.
        over_image: Whether a map lies over the image; a filter does not.
    """

    title: str
    values: np.ndarray
    labels: Sequence[str]
    axis: str | None = None
    at: Sequence = ()
    note: str = ""
    signed: bool = False
    square_root: bool = False
    shared: bool = False
    over_image: bool = True

    def __post_init__(self) -> None:
        _check(self, 3)


@dataclass(frozen=True)
class Bars:
    """Named numbers; one set of them, or one for each of some pixels or classes.

    Attributes:
        title: What the numbers are.
        values: (N,) float; with `axis` (M, N).
        labels: N names.
        axis: As in `Maps`.
        at: As in `Maps`.
        note: As in `Maps`.
        top: Show the largest so many only.
        of_classes: Whether the N are the classes, which have colors.
    """

    title: str
    values: np.ndarray
    labels: Sequence[str]
    axis: str | None = None
    at: Sequence = ()
    note: str = ""
    top: int | None = None
    of_classes: bool = False

    def __post_init__(self) -> None:
        _check(self, 1)


Finding = Union[Maps, Bars]


@dataclass(frozen=True)
class Section:
    """What belongs together: of one idea, or of one part of a network. ``section["title"]`` is one of its findings.

    Attributes:
        title: A few words.
        text: What is shown and how to read it.
        findings: Maps and bars.
        source: The paper that it is from.
    """

    title: str
    text: str
    findings: list[Finding] = field(default_factory=list)
    source: str = ""

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def __getitem__(self, title: str) -> Finding:
        return _titled(self.findings, title)


Titled = TypeVar("Titled", Finding, Section)


@dataclass(frozen=True)
class Findings:
    """What was found of a network and an image. ``findings["title"]`` is one of the sections.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        pred: (H, W) class ids.
        pixels: (P, 2), x and y of the pixels asked about.
        asked: Ids of the classes asked about.
        classes: Names of the K classes.
        palette: (K, 3) uint8 RGB.
        sections: Of the head first, then what can be said of any network.
        title: Of the page.
        notes: What has to be known beside: sentences.
    """

    image: np.ndarray
    pred: np.ndarray
    pixels: np.ndarray
    asked: Sequence[int]
    classes: Sequence[str]
    palette: np.ndarray
    sections: Sequence[Section]
    title: str = "Explanation"
    notes: Sequence[str] = ()

    def __iter__(self) -> Iterator[Section]:
        return iter(self.sections)

    def __getitem__(self, title: str) -> Section:
        return _titled(self.sections, title)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.title}: {', '.join(section.title for section in self.sections)})"


def _titled(parts: Sequence[Titled], title: str) -> Titled:
    """The part of that title.

    Raises:
        KeyError: There is none.
    """
    found = {part.title: part for part in reversed(parts)}
    if title not in found:
        raise KeyError(f"{title}; there are {', '.join(part.title for part in parts)}")
    return found[title]


def _check(finding: Finding, ndim: int) -> None:
    """Refuse shapes that do not belong together: an explainer of one's own is told at once.

    Raises:
        ValueError: As the name says.
    """
    if finding.axis not in (None, PIXEL, CLASS):
        raise ValueError(f"{finding.title}: axis={finding.axis!r} is not one of None, {PIXEL!r}, {CLASS!r}.")
    along = () if finding.axis is None else (len(finding.at),)
    shape = np.shape(finding.values)
    if len(shape) != ndim + len(along) or shape[: 1 + len(along)] != (*along, len(finding.labels)):
        raise ValueError(
            f"{finding.title}: values have the shape {list(shape)}; with {len(finding.labels)} labels"
            f"{f' and {len(finding.at)} of at' if along else ''} it is {[*along, len(finding.labels)]}"
            f"{' and the size of a map' if ndim == 3 else ''}."
        )
