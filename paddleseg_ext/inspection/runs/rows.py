"""Runs in columns: scores, classes, and what their configurations differ in, a row each."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from paddleseg_ext.evaluation.metrics import percent
from paddleseg_ext.inspection.runs.reading import MEANS, Run, class_scores, number

MISSING = "–"
LONGEST = 300  # characters of an entry


@dataclass(frozen=True)
class Row:
    """One thing of all runs.

    Attributes:
        title: What it is.
        values: A number for each run, NaN where it is not known.
        shown: The same as text.
        best: Positions of the best ones; none where there is nothing to choose from.
    """

    title: str
    values: Sequence[float]
    shown: Sequence[str]
    best: frozenset[int] = frozenset()


def score_rows(runs: Sequence[Run]) -> list[Row]:
    """Best and last scores, speed and memory; without those that no run tells."""
    found = [_row("best mIoU", [number(run.best.get("miou")) for run in runs], percent, max)]
    found.append(_row("… at iteration", [number(run.best.get("iter")) for run in runs], "{:.0f}".format))
    for key, title in list(MEANS.items())[1:]:
        found.append(_row(f"… {title}", [number(run.best.get(key)) for run in runs], percent, max))
    trained = [run.last if run.training else {} for run in runs]
    found.append(_row("last mIoU", [number(record.get("miou")) for record in trained], percent, max))
    found.append(_row("last accuracy", [number(record.get("accuracy")) for record in trained], percent, max))
    found.append(_row("last iteration", [_last(run, "iter") for run in runs], "{:.0f}".format))
    found.append(_row("last training loss", [_last(run, "loss") for run in runs], "{:.4f}".format))
    found.append(_row("s per iteration (median)", [_median(run, "seconds") for run in runs], "{:.3g}".format, min))
    found.append(_row("… of it waiting for data", [_median(run, "reader_seconds") for run in runs], "{:.3g}".format))
    speeds = [_median(run, "samples_per_second") for run in runs]
    found.append(_row("images per second (median)", speeds, "{:.3g}".format, max))
    memory = [max((number(record.get("memory_gib"), 0) for record in run.training), default=math.nan) for run in runs]
    found.append(_row("memory at most, GiB", memory, "{:.2f}".format, min))
    return [row for row in found if not all(map(math.isnan, row.values))]


def class_rows(runs: Sequence[Run]) -> list[Row]:
    """The IoU of each class in each run's best evaluation; classes that have one nowhere are left out."""
    scores = [class_scores(run.best) for run in runs]
    names = dict.fromkeys(name for of_run in scores for name in of_run)
    rows = [_row(name, [of_run.get(name, math.nan) for of_run in scores], percent, max) for name in names]
    return [row for row in rows if not all(map(math.isnan, row.values))]


def differences(runs: Sequence[Run]) -> list[tuple[str, list[str]]]:
    """Entries of the configurations that are not alike in all runs that have one: the path, and each run's value."""
    flat = [None if run.config is None else dict(_entries(run.config, "")) for run in runs]
    known = [entries for entries in flat if entries is not None]
    keys = sorted({key for entries in known for key in entries})
    return [
        (key, ["?" if entries is None else entries.get(key, MISSING) for entries in flat])
        for key in keys
        if len({entries.get(key, MISSING) for entries in known}) > 1
    ]


def _entries(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """The leaves of a configuration: ``model.decode_head.channels`` and its value as text."""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _entries(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and any(isinstance(entry, (Mapping, list)) for entry in value):
        for position, inner in enumerate(value):
            yield from _entries(inner, f"{path}[{position}]")
    else:
        text = str(value)
        yield path, text if len(text) <= LONGEST else f"{text[:LONGEST]} …"


def _row(
    title: str,
    values: Sequence[float],
    show: Callable[[float], str],
    choose: Callable[[list[float]], float] | None = None,
) -> Row:
    known = [value for value in values if not math.isnan(value)]
    best = choose(known) if choose and len(known) > 1 and min(known) < max(known) else math.nan
    shown = [MISSING if math.isnan(value) else show(value) for value in values]
    return Row(title, values, shown, frozenset(i for i, value in enumerate(values) if value == best))


def _last(run: Run, key: str) -> float:
    return number(run.training[-1].get(key)) if run.training else math.nan


def _median(run: Run, key: str) -> float:
    found = [value for record in run.training if not math.isnan(value := number(record.get(key)))]
    return statistics.median(found) if found else math.nan
