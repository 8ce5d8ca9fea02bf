"""Every pair of the data sets, and the two beside each other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from paddleseg_ext.data.checks import channels_of, check_channels, check_files, check_transforms
from paddleseg_ext.data.label_io import odd_counts
from paddleseg_ext.data.sampler import SampleStream
from paddleseg_ext.data.scan import Progress, Scan, scan, shared_images
from paddleseg_ext.errors import UserError
from paddleseg_ext.export.wrapper import Colors
from paddleseg_ext.inspection.findings import ERROR, OK, WARNING, Finding, Inspection

NAMED = 5  # files that a list of findings names
SAMPLES = 12  # on the page


def inspect_data(
    found: Inspection,
    datasets: dict[str, Any],
    model: Mapping[str, Any],
    cache: Path | None,
    num_workers: int,
    progress: Progress,
) -> list[Finding]:
    """Findings on the data sets; `found` gets their scans.

    Args:
        found: Its `names` are set.
        datasets: By the name of their section; ``train_dataset`` first.
        model: The model's section of the configuration.
        cache: See `data.scan.scan`.
        num_workers: Threads.
        progress: See `data.scan.scan`.
    """
    findings: list[Finding] = []

    def check(call: Any, *args: Any, **keywords: Any) -> bool:
        try:
            call(*args, **keywords)
        except UserError as error:
            findings.append(Finding(ERROR, str(error)))
            return False
        return True

    check(check_channels, {key: channels_of(dataset) for key, dataset in datasets.items()}, model)
    for key, dataset in datasets.items():
        check(check_transforms, dataset, key, evaluated=key == "val_dataset")
        if check(check_files, dataset, key):
            found.scans[key] = scan(dataset, num_workers, cache, progress)
            findings += _of_scan(key, found.scans[key], found.names)
    if len(found.scans) == 2:
        findings += _of_both(*found.scans.values())
    return findings


def _of_scan(key: str, pairs: Scan, names: list[str]) -> list[Finding]:
    if not pairs.pairs:
        return [Finding(ERROR, f"{key}: it has no pairs")]
    problems = pairs.problems
    sizes = [f"{width}x{height} ({count})" for (width, height), count in pairs.sizes[:NAMED]]
    text = f"{key}: {len(pairs.pairs)} pairs, images {', '.join(sizes)}{', …' if len(pairs.sizes) > NAMED else ''}"
    findings = [Finding(OK, text)] if not problems else []
    findings += [Finding(ERROR, f"{key}: {problem}") for problem in problems[:NAMED]]
    if len(problems) > NAMED:
        findings.append(Finding(ERROR, f"{key}: {len(problems) - NAMED} more of {len(pairs.pairs)} pairs are wrong"))
    counts = pairs.counts
    if len(pairs.pairs) > len(problems) and not counts[:-2].any():
        findings.append(Finding(ERROR, f"{key}: nothing is labeled, all pixels are ignored"))
    elif doubts := odd_counts(counts, names):
        findings.append(Finding(WARNING, f"{key}: {doubts}"))
    return findings


def _of_both(train: Scan, val: Scan) -> list[Finding]:
    shared = shared_images(train, val)
    if not shared:
        return [Finding(OK, "no image occurs in both data sets")]
    listed = ", ".join(f"{a} = {b}" for a, b in shared[:NAMED])
    return [Finding(WARNING, f"{len(shared)} images occur in training and validation: {listed}")]


def augmented_samples(dataset: Any, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Some training samples as the network gets them, in colors again: images (H, W, 3) uint8 RGB and labels (H, W)."""
    stream = SampleStream(dataset, seed)
    transforms = getattr(dataset.transforms, "transforms", [])
    samples = []
    for position in range(min(SAMPLES, len(dataset))):
        sample = stream[position]
        samples.append((_picture(sample["img"], transforms), np.squeeze(sample["label"])))
    return samples


def _picture(image: np.ndarray, transforms: list) -> np.ndarray:
    """(C, H, W) as the network gets it to (H, W, 3) uint8."""
    try:
        picture = Colors.of(transforms, len(image)).undone(image[None])[0]
    except UserError:  # nothing tells how it was normalized
        low, high = image.min(), image.max()
        picture = np.rint(255 * (image - low) / max(high - low, 1e-6)).astype(np.uint8).transpose(1, 2, 0)
    return picture[..., :3] if picture.shape[2] >= 3 else np.repeat(picture[..., :1], 3, axis=2)
