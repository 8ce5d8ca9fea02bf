"""What to change in a configuration that does not fit the weights of a file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

ANY = None
# Settings that determine a shape, most specific first: pattern of the name, axis → key in the configuration, and how
# many times the axis of the file it is (0: not known). "{head}" is the section of the decode head that has the weight.
SETTINGS: list[tuple[str, int | None, str, int]] = [
    (r"^backbone\.stem\.0\.weight$", 1, "in_channels of model.backbone", 1),
    (r"^backbone\.stem\.0\.weight$", 0, "stem_channels of model.backbone", 2),
    (r"^backbone\.", ANY, "model.backbone (its type or its width)", 0),
    (r"\.classifier\.|\.se\.bias$", 0, "model.num_classes", 1),
    (r"\.se\.weight$", 1, "model.num_classes", 1),
    (r"^auxiliary_heads\..*\.classifier\.", 1, "channels (or in_index) of model.auxiliary_heads", 1),
    (r"^auxiliary_heads\.", ANY, "channels or in_index of model.auxiliary_heads", 0),
    (r"\.classifier\.", ANY, "channels of {head}", 1),
    (r"\.se\.", ANY, "channels of {head}", 0),
    (r"\.low_level\.", 0, "low_channels of {head}", 1),
    (r"\.codewords$|\.encoding\.scale$|\.encoding\.norm\.", 0, "num_codes of {head}", 1),
    (r"\.project\.conv\.", 2, "proj_kernel of {head}", 1),
    (r"\.bottleneck\.conv\.", 2, "bottleneck_kernel of {head}", 1),
    (r"\.jpu\.laterals\.", 0, "jpu_channels of {head}", 1),
    (r"\.jpu\.", 0, "jpu_channels of {head}", 0),
    (r"\.pyramid\.", 0, "pool_channels or channels of {head}", 0),
    (r"\.(before|attention|after)\.", 0, "attention_channels of {head}", 1),
    (r"^decode_head\.", 0, "channels of {head}", 0),
    (r"^decode_head\.", ANY, "the number of branches or channels of {head}", 0),
]
# Layers that an argument adds: pattern of the name, argument where the file lacks them, argument where it has them.
PARTS = [
    (r"^auxiliary_heads\.", "model.auxiliary_heads: []", "model.auxiliary_heads: [{type: FCNHead, in_index: 2}]"),
    (r"\.(laterals|fusion)\.", "laterals: [] under {head}", "laterals: [-3, -2] under {head}"),
    (r"\.se\.", "se_loss: false under {head}", "se_loss: true under {head}"),
]
DEPTHS: dict[tuple[int, ...], int] = {(2, 2, 2, 2): 18, (3, 4, 6, 3): 50, (3, 4, 23, 3): 101, (3, 8, 36, 3): 152}
"""Blocks of a ResNet's stages → its layers; one of 34 layers has as many blocks as one of 50."""


def setting(name: str, found: Sequence[int], needed: Sequence[int]) -> str:
    """The key in the configuration that explains a mismatch of shapes, and its value where the file shows it."""
    if len(found) != len(needed):
        return f"model.{name.split('.')[0]}"
    other = [i for i, (a, b) in enumerate(zip(found, needed)) if a != b]
    for pattern, axis, text, factor in SETTINGS:
        if re.search(pattern, name) and (axis is ANY or axis in other):
            value = factor * found[other[0] if axis is ANY else axis]
            return text.format(head=_head(name)) + (f" to {value}" if factor else "")
    return f"model.{name.split('.')[0]}"


def missing_part(name: str) -> str:
    """What to set where the file lacks a weight of the model."""
    return _part(name, 0)


def unused_part(name: str) -> str:
    """What to set where the model lacks a weight of the file."""
    return _part(name, 1)


def _part(name: str, which: int) -> str:
    for pattern, *texts in PARTS:
        if re.search(pattern, name) and ".jpu." not in name:
            return "set " + texts[which].replace("{head}", _head(name))
    return f"change model.{name.split('.')[0]}"


def _head(name: str) -> str:
    return "model.decode_head.head" if name.startswith("decode_head.head.") else "model.decode_head"


def blocks(names: Iterable[str]) -> tuple[int, ...]:
    """Number of blocks of each stage of a ResNet under ``backbone.``; empty for another backbone."""
    found: dict[int, set[int]] = {}
    for name in names:
        if match := re.match(r"backbone\.layer(\d+)\.(\d+)\.", name):
            found.setdefault(int(match[1]), set()).add(int(match[2]))
    return tuple(len(found[stage]) for stage in sorted(found))


def depth_text(counts: tuple[int, ...]) -> str:
    """Blocks of a ResNet as text: ``3, 4, 6, 3 blocks (ResNet50)``."""
    return f"{', '.join(map(str, counts))} blocks" + (f" (ResNet{DEPTHS[counts]})" if counts in DEPTHS else "")
