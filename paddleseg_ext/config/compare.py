"""What two configurations differ in, as far as it gives other weights: what a resumed run is held to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from paddleseg_ext.config.train import CHANGES_WEIGHTS

SECTIONS = ("batch_size", "model", "loss", "distill_loss", "optimizer", "lr_scheduler", "train_dataset")
PLACES = ("dataset_root", "train_path", "pretrained")  # where data and first weights lie is not what they are
MISSING = "missing"


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """``["train.accumulate: 4 before, 1 now", …]``, in the order of the sections.

    Args:
        before: A configuration with all defaults written out, as a checkpoint keeps it.
        now: Likewise.
    """
    pairs = [(key, before.get(key, MISSING), now.get(key, MISSING)) for key in SECTIONS]
    if _needs_iters(now):
        pairs.append(
            ("iters, on which the learning rate depends", before.get("iters", MISSING), now.get("iters", MISSING))
        )
    old, new = before.get("train") or {}, now.get("train") or {}
    for key in CHANGES_WEIGHTS:
        # A checkpoint of a version that did not keep a key cannot be held to it; without a seed the old one goes on.
        if key in old and not (key == "seed" and new.get(key) is None):
            pairs.append((f"train.{key}", old[key], new.get(key)))
    return [text for path, a, b in pairs for text in _compare(path, a, b)]


def _needs_iters(config: Mapping[str, Any]) -> bool:
    """Whether the learning rate depends on the length of the run; otherwise a run may be made longer."""
    schedule = config.get("lr_scheduler") or {}
    return schedule.get("type") == "PolynomialDecay" and "decay_steps" not in schedule


def _compare(path: str, before: Any, now: Any) -> Iterator[str]:
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in {**before, **now}:
            if key not in PLACES:
                yield from _compare(f"{path}.{key}", before.get(key, MISSING), now.get(key, MISSING))
    elif isinstance(before, (list, tuple)) and isinstance(now, (list, tuple)) and len(before) == len(now):
        for index, pair in enumerate(zip(before, now)):
            yield from _compare(f"{path}[{index}]", *pair)
    elif before != now:
        yield f"{path}: {_short(before)} before, {_short(now)} now"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:60]} …"
