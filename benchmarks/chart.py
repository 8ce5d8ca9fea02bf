"""The bars that go with a table of comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

from benchmarks.tables import Row  # noqa: E402

SERIES = {"speedup": "time, PaddleSeg / ours", "memory_gain": "memory, PaddleSeg / ours"}


def bars(rows: Sequence[Row], path: Path) -> None:
    """Draw how many times faster and leaner each row is, on a logarithmic axis; 1 is PaddleSeg."""
    labels = [f"{row['case']}, {row['mode']}, {row.get('map', row.get('image'))}" for row in rows][::-1]
    values = {
        "speedup": [row["speedup"] for row in rows][::-1],
        "memory_gain": [1 / row["memory_ratio"] if row["memory_ratio"] else 1.0 for row in rows][::-1],
    }
    figure, axis = plt.subplots(figsize=(9, 1 + 0.35 * len(rows)))
    for offset, (key, title) in zip((0.2, -0.2), SERIES.items()):
        drawn = axis.barh([i + offset for i in range(len(rows))], values[key], height=0.38, label=title)
        axis.bar_label(drawn, fmt="%.2f", padding=2, fontsize=7)
    axis.set_yticks(range(len(rows)), labels, fontsize=8)
    axis.set_xscale("log")
    axis.margins(x=0.1)
    axis.axvline(1.0, color="black", linewidth=0.8)
    axis.legend(loc="lower right", fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120, bbox_inches="tight")
    plt.close(figure)
