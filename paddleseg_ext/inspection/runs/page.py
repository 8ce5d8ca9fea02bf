"""One page that shows runs side by side: curves, scores, classes, configurations."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from paddleseg_ext.evaluation.provenance import of_versions
from paddleseg_ext.inspection.runs.reading import Run, number
from paddleseg_ext.inspection.runs.rows import class_rows, differences, score_rows
from paddleseg_ext.runtime.versions import command_line, versions
from paddleseg_ext.visualization.line_chart import Chart, line_chart
from paddleseg_ext.visualization.pages.page import write_page

COLORS, DASHES = 10, 3  # of lines, in the page's style


def write_comparison(path: str | Path, runs: Sequence[Run]) -> Path:
    """Write the page, which needs nothing else.

    Args:
        path: HTML file, its folder included.
        runs: Of `read_runs`.
    """
    return write_page(
        path,
        "compare.html",
        runs=runs,
        styles=[f"r{i % COLORS} dash{i // COLORS % DASHES}" for i in range(len(runs))],
        notes=[f"{run.name}: {note}" for run in runs for note in run.notes],
        charts=_charts(runs),
        scores=score_rows(runs),
        classes=class_rows(runs),
        differences=differences(runs),
        known=sum(run.config is not None for run in runs),
        made={
            "command": command_line(),
            "versions": of_versions(versions()),
            "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        },
    )


def _charts(runs: Sequence[Run]) -> list[Chart]:
    training = {i: run.training for i, run in enumerate(runs)}
    evaluations = {i: run.evaluations for i, run in enumerate(runs) if run.training}
    found = [
        line_chart("training loss", _points(training, "loss"), robust=True),
        line_chart("validation loss", _points(evaluations, "val_loss"), robust=True),
        line_chart("validation mIoU, %", _points(evaluations, "miou", 100), ".2f"),
        line_chart("learning rate", _points(training, "lr")),
    ]
    return [chart for chart in found if chart is not None]


def _points(
    runs: Mapping[int, Sequence[Mapping[str, Any]]], key: str, factor: float = 1
) -> dict[int, list[tuple[float, float]]]:
    return {
        run: [
            (record["iter"], factor * value) for record in records if not math.isnan(value := number(record.get(key)))
        ]
        for run, records in runs.items()
    }
