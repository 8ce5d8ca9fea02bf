"""Runs as their files tell of them: the folder of a training, or what ``val --json`` wrote. No file runs any code."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paddleseg_ext.checkpoint.run.folder import METRICS
from paddleseg_ext.checkpoint.run.records import not_records, read_records
from paddleseg_ext.checkpoint.save import BEST, CONFIG, latest_checkpoint
from paddleseg_ext.config.files import read_files
from paddleseg_ext.errors import UserError, reason
from paddleseg_ext.evaluation.metrics import Metrics
from paddleseg_ext.evaluation.provenance import Weights
from paddleseg_ext.training.reporting.run_log import LOG, read_heads

LARGEST = 1 << 28  # bytes of a JSON file
KINDS = "name the save_dir of a training, or a file that `val --json` wrote"
MEANS = {**Metrics.MEANS, "boundary_miou": "mean boundary IoU"}  # scores over all classes by their titles


@dataclass
class Run:
    """A training, or an evaluation.

    Attributes:
        path: As it was given.
        training: Records of intervals, as `training_record` makes them.
        evaluations: Records with ``miou``, ``accuracy``, ``classes`` and, of a training, ``iter``.
        config: Its whole configuration, or None where none is there.
        facts: What it is, a line each, by title.
        notes: What is missing or damaged.
        name: Short, and another one for each run of a comparison.
    """

    path: Path
    training: Sequence[Mapping[str, Any]]
    evaluations: Sequence[Mapping[str, Any]]
    config: Mapping[str, Any] | None
    facts: Mapping[str, str]
    notes: list[str] = field(default_factory=list)
    name: str = ""

    @property
    def best(self) -> Mapping[str, Any]:
        """The evaluation with the highest mIoU, the first of equal ones; {} without any."""
        return max(self.evaluations, key=lambda record: number(record.get("miou"), -1.0), default={})

    @property
    def last(self) -> Mapping[str, Any]:
        """The last evaluation; {} without any."""
        return self.evaluations[-1] if self.evaluations else {}


def number(value: Any, otherwise: float = math.nan) -> float:
    """A finite number of a file that may hold anything."""
    right = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if right else otherwise


def class_scores(record: Mapping[str, Any]) -> dict[str, float]:
    """The IoU of each class of an evaluation by name; NaN where there is none."""
    classes = record.get("classes")
    found = classes if isinstance(classes, dict) else {}
    return {name: number(entry.get("iou")) if isinstance(entry, dict) else math.nan for name, entry in found.items()}


def read_runs(paths: Sequence[str | Path]) -> list[Run]:
    """Each of the folders and files, under names that tell them apart.

    Raises:
        UserError: One is neither, is empty or damaged, or is given twice.
    """
    places = [Path(path) for path in paths]
    resolved = [path.resolve() for path in places]
    if twice := next((path for i, path in enumerate(places) if resolved[i] in resolved[:i]), None):
        raise UserError(f"{twice} is given twice; name each run once")
    runs = [_read(path) for path in places]
    for run, name in zip(runs, _names(resolved)):
        run.name = name
    return runs


def _read(path: Path) -> Run:
    try:
        if path.is_dir():
            return _training(path)
        if not path.is_file():
            raise UserError(f"{path}: there is no such folder or file; {KINDS}")
    except OSError as error:
        raise UserError(f"{str(path):.200}: it cannot be read ({error.strerror})") from error
    return _evaluation(path)


def _training(folder: Path) -> Run:
    path = folder / METRICS
    if not path.is_file():
        raise UserError(f"{folder}: this folder is no run, it has no {METRICS}; {KINDS}")
    records, damaged = read_records(path)
    if not records:
        raise UserError(f"{path}: {'it holds no records' if damaged else 'it is empty; the run has told nothing yet'}")
    notes = [f"{METRICS}: {not_records(damaged)}; left out"] if damaged else []
    place = next((p for p in (folder / BEST, latest_checkpoint(folder)) if p and (p / CONFIG).is_file()), None)
    facts = {"folder": str(folder)}
    config = None
    if place is None:
        notes.append("there is no checkpoint yet, so configuration and weights are not known")
    else:
        try:
            config = read_files(place / CONFIG).content
            facts["weights"] = str(Weights.of(place))
        except UserError as error:
            notes.append(str(error))
    heads = read_heads(folder / LOG)
    if heads:
        facts.update(heads[-1])
        if len(heads) > 1:
            facts["started"] = f"{len(heads)} times, first {heads[0]['date']}"
    training = [record for record in records if "loss" in record]
    return Run(folder, training, [record for record in records if "miou" in record], config, facts, notes)


def _evaluation(file: Path) -> Run:
    try:
        if file.stat().st_size > LARGEST:
            raise UserError(f"{file}: it has more than {LARGEST >> 20} MiB, so it is no result; {KINDS}")
        found = json.loads(file.read_text(encoding="utf-8"))
    except UserError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{file}: it is no JSON file ({reason(error)}); {KINDS}") from error
    if not isinstance(found, dict) or "miou" not in found or not isinstance(found.get("classes"), dict):
        raise UserError(f"{file}: it is not the result of an evaluation; {KINDS}")
    about = found.get("provenance")
    about = about if isinstance(about, dict) else {}
    weights, effective = Weights.read(about.get("weights")), about.get("effective")
    facts = {"file": str(file), "configuration": str(about.get("config") or "")}
    facts["weights"] = str(weights or "")
    facts.update({key: str(about.get(key) or "") for key in ("command", "date")})
    record = {key: value for key, value in found.items() if key not in ("provenance", "confusion_matrix")}
    if weights is not None and weights.iteration is not None:
        record["iter"] = weights.iteration
    config = effective if isinstance(effective, dict) else None
    notes = [] if about else ["an earlier version wrote it, which did not tell what it is of"]
    return Run(file, [], [record], config, {key: value for key, value in facts.items() if value}, notes)


def _names(paths: Sequence[Path]) -> list[str]:
    """The shortest ends of paths that tell them apart."""
    depth = 1
    while True:
        names = ["/".join(path.parts[-depth:]) for path in paths]
        if len(set(names)) == len(names) or depth > max(len(path.parts) for path in paths):
            return names
        depth += 1
