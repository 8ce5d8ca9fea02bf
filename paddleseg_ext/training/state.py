"""Where a run stands."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any


@dataclass
class TrainState:
    """The plain values that a resumed run goes on from.

    Attributes:
        iteration: Finished iterations.
        position: Of the next sample in the stream of samples.
        seed: Of the run.
        skipped: Iterations that were not finite and skipped.
        stale: Evaluations since the best one.
        best: ``metric``, ``score`` and ``iteration`` of the best evaluation, or {}.
        evaluated: Whether the newest checkpoint has been evaluated, or needs not to be.
    """

    iteration: int = 0
    position: int = 0
    seed: int = 0
    skipped: int = 0
    stale: int = 0
    best: dict[str, Any] = field(default_factory=dict)
    evaluated: bool = True

    def record(self) -> dict[str, Any]:
        """For a checkpoint."""
        return asdict(self)

    def restore(self, record: dict[str, Any]) -> None:
        """Take over what `record` gave; other entries are skipped."""
        for entry in fields(self):
            setattr(self, entry.name, record[entry.name])
