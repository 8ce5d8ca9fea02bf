"""The table of heads and backbones as a page of Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from paddleseg_ext.inspection.combinations import PYRAMID, Variant, works

HEADER = """# Which head on which backbone

[中文](combinations_cn.md)

`paddleseg-ext list combos` prints this table, `--measure` runs every combination again. Each was run on pictures of
97×129 and 33×47 pixels: in evaluation, in training and backward (the losses of all heads on a backbone at once); the
masks had the pictures' size and the gradients were finite. It was measured with {versions}.

- **Maps**: channels at stride of each map that the backbone gives, finest first; those of its default `output_stride`
  where it has the argument.
- A number is the stride of the backbone's last map, of which the head's `in_index: -1` speaks: the head runs on it.
  Several are the strides that `output_stride` gives.
- **p**: the backbone gives too few maps for the head, or none that is fine enough, and all heads of the network take
  those of a simple pyramid at the strides 4, 8, 16 and 32, made from its last map by strided and transposed
  convolutions; it is trained with the head.
- **pad**: the backbone takes no other sides than multiples of the number; pictures are padded inside the network, and
  the masks cropped.

{count} of {total} combinations run.
"""


def page(record: Mapping[str, Sequence[Variant]], versions: str) -> str:
    """The page of a record.

    Args:
        record: Variants by backbone.
        versions: Of what it was measured with, in words.
    """
    heads = sorted({head for variants in record.values() for head in variants[0].heads})
    notes: list[str] = []
    lines = [f"| backbone | maps | {' | '.join(head.removesuffix('Head') for head in heads)} |"]
    lines.append(f"|{'---|' * (len(heads) + 2)}")
    for name, variants in record.items():
        cells = [cell(variants, head, notes) for head in heads]
        lines.append(f"| {name} | {maps(variants[0])} | {' | '.join(cells)} |")
    count = sum(works(outcome) for variants in record.values() for outcome in variants[0].heads.values())
    text = (
        HEADER.format(versions=versions, count=count, total=len(record) * len(heads)) + "\n" + "\n".join(lines) + "\n"
    )
    if notes:
        text += "\n## Why not\n\n" + "".join(f"{i}. {note}.\n" for i, note in enumerate(notes, 1))
    return text


def maps(variant: Variant) -> str:
    """Channels and strides in a few words: ``64@4 128@8, pad 32``."""
    text = " ".join(f"{channels}@{stride}" for channels, stride in variant.maps)
    return f"{text}, pad {variant.multiple}" if variant.multiple > 1 else text or "–"


def cell(variants: Sequence[Variant], head: str, notes: list[str]) -> str:
    """At which strides a head runs: ``8, 16, 32``, ``16 p``; or the number of a note, which is added to `notes`."""
    running = [v for v in variants if works(v.heads[head])]
    if running:
        marks = [
            f"{v.stride}{' p' if v.heads[head] == PYRAMID else ''}" for v in sorted(running, key=lambda v: v.stride)
        ]
        return ", ".join(dict.fromkeys(marks))
    note = variants[0].heads[head].rstrip(".")
    if note not in notes:
        notes.append(note)
    return f"no ({notes.index(note) + 1})"
