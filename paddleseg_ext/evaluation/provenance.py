"""What a result is a result of: configuration, weights, test settings, versions, device, command, date."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from paddleseg_ext.checkpoint.atomic import digest
from paddleseg_ext.checkpoint.reader import IN_FOLDERS, weight_path
from paddleseg_ext.checkpoint.save import BEST_RECORD, RECORD
from paddleseg_ext.evaluation.predictor import Predictor
from paddleseg_ext.runtime import distributed
from paddleseg_ext.runtime.versions import command_line, device, versions

VERSION_TITLES = {"paddle": "Paddle", "paddleseg": "PaddleSeg", "python": "Python"}


@dataclass(frozen=True)
class Weights:
    """Which weights: the files' contents tell, whatever they are called.

    Attributes:
        path: As it was given.
        sha256: Digests in hexadecimal by the files' names.
        iteration: Of the training, where a checkpoint tells.
        origin: Of an export: what it was made from, in the same form.
    """

    path: str
    sha256: Mapping[str, str]
    iteration: int | None = None
    origin: Weights | None = None

    @classmethod
    def of(cls, path: str | Path) -> Weights:
        """Of a file, or of the one that a folder holds.

        Raises:
            UserError: There is none.
        """
        file = weight_path(path)
        ours = file.name in IN_FOLDERS  # others may lie beside a record that is not of them
        return cls(str(path), {file.name: digest(file)}, _iteration(file.parent) if ours else None)

    @classmethod
    def read(cls, record: Any) -> Weights | None:
        """Of what `asdict` made of one; None where it is something else, as a file may hold anything."""
        try:
            known = {entry.name: record[entry.name] for entry in fields(cls) if entry.name in record}
            right = isinstance(known["path"], str) and all(isinstance(name, str) for name in known["sha256"].values())
            right = right and type(known.get("iteration")) in (int, type(None))
            return cls(**{**known, "origin": cls.read(known.get("origin"))}) if right else None
        except (TypeError, KeyError, AttributeError, RecursionError):
            return None

    def __str__(self) -> str:
        hashes = ", ".join(f"{name} sha256 {value}" for name, value in self.sha256.items())
        iteration = "" if self.iteration is None else f", iteration {self.iteration}"
        return f"{self.path} ({hashes}){iteration}" + (f"; made from {self.origin}" if self.origin else "")


@dataclass(frozen=True)
class Provenance:
    """What an evaluation was of, gathered once for the table, the JSON file and the page.

    Attributes:
        config: The configuration as it was named.
        effective: What it says, with all replacements and defaults.
        weights: Those that were evaluated.
        data: The data set's type.
        images: How many.
        test: Arguments of `Predictor`, and how images were read.
        processes: That shared the work.
        device: As `runtime.versions.device` gives it.
        versions: Of this package and of what its results depend on, by name.
        command: The command line.
        date: Local time and its offset, in ISO 8601.
    """

    config: str
    effective: Mapping[str, Any]
    weights: Weights | None
    data: str
    images: int
    test: Mapping[str, Any]
    processes: int = field(default_factory=distributed.world_size)
    device: Mapping[str, Any] = field(default_factory=device)
    versions: Mapping[str, str] = field(default_factory=versions)
    command: str = field(default_factory=command_line)
    date: str = field(default_factory=lambda: datetime.datetime.now().astimezone().isoformat(timespec="seconds"))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return json.loads(json.dumps(asdict(self), default=str))

    def lines(self) -> dict[str, str]:
        """What a reader sees beside the numbers, a line each, by title."""
        return {
            "configuration": self.config,
            "weights": "none" if self.weights is None else str(self.weights),
            "data": f"{self.data}, {self.images} images",
            "test settings": describe_settings(self.test),
            "device": of_device(self.device) + (f", {self.processes} processes" if self.processes > 1 else ""),
            "versions": of_versions(self.versions),
            "command": self.command,
            "date": self.date,
        }


def describe_settings(test: Mapping[str, Any]) -> str:
    """How images were given to the network, in words: only what differs from whole images, once, in float32."""
    usual = asdict(Predictor())
    changed = {key: value for key, value in test.items() if value not in (usual.get(key), None, False)}
    slide, augmented = changed.pop("is_slide", False), changed.pop("aug_eval", False)
    parts = ["windows" if slide else "whole images", *(["averaged"] if augmented else [])]
    return ", ".join([*parts, *(f"{key} {_value(value)}".removesuffix(" True") for key, value in changed.items())])


def of_versions(found: Mapping[str, Any]) -> str:
    """Versions on one line."""
    return ", ".join(f"{VERSION_TITLES.get(name, name)} {version}" for name, version in found.items())


def of_device(found: Mapping[str, Any]) -> str:
    """A device on one line."""
    more = "".join(f", {key} {value}" for key, value in found.items() if key not in ("device", "name"))
    return f"{found['device']}: {found['name']}{more}"


def _value(value: Any) -> str:
    return " × ".join(map(str, value)) if isinstance(value, Sequence) and not isinstance(value, str) else str(value)


def _iteration(folder: Path) -> int | None:
    """Of the checkpoint or best model that a folder holds; None where nothing tells."""
    for name in (RECORD, BEST_RECORD):
        try:
            iteration = json.loads((folder / name).read_text(encoding="utf-8"))["iteration"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            continue
        if type(iteration) is int:
            return iteration
    return None
