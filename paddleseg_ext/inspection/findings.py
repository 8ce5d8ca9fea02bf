"""What an inspection has found."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from paddleseg_ext.data.scan import Scan

OK, WARNING, ERROR = "ok", "warning", "error"


@dataclass(frozen=True)
class Finding:
    """One thing that is in order, odd or wrong.

    Attributes:
        level: ``ok``, ``warning`` or ``error``.
        text: A sentence.
    """

    level: str
    text: str


@dataclass
class Inspection:
    """All findings by section, and what they rest on.

    Attributes:
        sections: Findings under environment, configuration, data and step.
        scans: Of the data sets, by the name of their section in the configuration.
        names: Of the classes.
        palette: (K, 3) uint8 RGB.
        samples: Augmented training samples: images (H, W, 3) uint8 RGB and labels (H, W).
        step: ``seconds`` and ``memory_bytes`` of one training step, if one was taken.
    """

    sections: dict[str, list[Finding]] = field(default_factory=dict)
    scans: dict[str, Scan] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    palette: np.ndarray = field(default_factory=lambda: np.zeros((0, 3), np.uint8))
    samples: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)
    step: dict[str, float] = field(default_factory=dict)

    def count(self, level: str) -> int:
        """How many findings are of a level."""
        return sum(finding.level == level for findings in self.sections.values() for finding in findings)

    @property
    def classes(self) -> list[str]:
        """The classes and what is ignored, in the order of `percents`."""
        return [*self.names, "(ignored)"]

    def percents(self) -> dict[str, np.ndarray]:
        """Share of each of `classes` in the pixels, by data set."""
        return {key: 100 * scan.counts[:-1] / max(scan.counts.sum(), 1) for key, scan in self.scans.items()}

    def occurring(self) -> list[int]:
        """Rows of `classes` that have a pixel in some data set, and what is ignored."""
        counts = [scan.counts for scan in self.scans.values()]
        return [row for row in range(len(self.classes)) if row == len(self.names) or any(c[row] for c in counts)]

    def summary(self) -> str:
        """How many errors and warnings there are."""
        counts = [(self.count(level), level) for level in (ERROR, WARNING)]
        return ", ".join(f"{count} {level}{'' if count == 1 else 's'}" for count, level in counts)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        classes = {
            key: {name: int(count) for name, count in zip(self.classes, scan.counts)}
            for key, scan in self.scans.items()
        }
        return {
            "errors": self.count(ERROR),
            "warnings": self.count(WARNING),
            "findings": {key: [asdict(finding) for finding in found] for key, found in self.sections.items()},
            "pixels_by_class": classes,
            "problems": {key: scan.problems for key, scan in self.scans.items()},
            "step": self.step,
        }
