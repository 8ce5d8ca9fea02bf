"""Labels: class ids of pixels, read from files."""

from __future__ import annotations

import numpy as np

NAMED = 8  # an error message names at most as many wrong values


def wrong_values(label: np.ndarray, num_classes: int, ignore_index: int) -> str | None:
    """What is wrong with a label's values, or None: ``label values 19, 33 are not allowed; allowed are …``.

    Args:
        label: Integers of any shape.
        num_classes: Class ids are below it.
        ignore_index: The value of pixels that belong to no class.
    """
    values = np.unique(label).astype(np.int64)
    allowed = ((values >= 0) & (values < num_classes)) | (values == ignore_index)
    wrong = values[~allowed]
    if not wrong.size:
        return None
    listed = ", ".join(map(str, wrong[:NAMED])) + (", …" if len(wrong) > NAMED else "")
    return (
        f"label values {listed} are not allowed; allowed are the class ids 0…{num_classes - 1} and {ignore_index} "
        "for pixels to ignore"
    )
