"""Our heads built in the variant that a golden file's mmsegmentation configuration describes."""

from __future__ import annotations

from functools import partial
from typing import Any, Callable

from paddleseg_ext.heads import ASPPHead, CCHead, DeepLabV3PlusHead, DMHead, EncHead, FastFCNHead, FCNHead, PSPHead


def head_factory(config: dict[str, Any], common: dict[str, Any], neck: dict[str, Any] | None) -> Callable[..., Any]:
    """The head, wanting only the backbone's channels, the number of classes and ``align_corners``.

    Args:
        config: The head's section.
        common: What the sections of all heads share: ``channels`` and ``dropout_ratio``.
        neck: The JPU's section, if there is one.
    """
    kind = config["type"]
    shared = {"channels": common["channels"], "dropout": common["dropout_ratio"]}
    if kind in ("DepthwiseSeparableASPPHead", "ASPPHead"):
        shared |= {"dilations": config["dilations"][1:], "proj_kernel": 3}
    variants: dict[str, Callable[[], Callable]] = {
        "DepthwiseSeparableASPPHead": lambda: partial(
            DeepLabV3PlusHead, low_channels=config["c1_channels"], proj_dropout=0.0, **shared
        ),
        "ASPPHead": lambda: partial(ASPPHead, **shared),
        "PSPHead": lambda: partial(PSPHead, bin_sizes=config["pool_scales"], **shared),
        "DMHead": lambda: partial(DMHead, filter_sizes=config["filter_sizes"], **shared),
        "EncHead": lambda: partial(
            EncHead, num_codes=config["num_codes"], laterals=(-3, -2) if config["add_lateral"] else (), **shared
        ),
        "CCHead": lambda: partial(CCHead, recurrence=config["recurrence"], act="relu", **shared),
        "FCNHead": lambda: partial(FCNHead, in_index=config["in_index"], **shared),
    }
    head = variants[kind]()
    if not neck:
        return head
    return partial(
        FastFCNHead,
        head=head,
        jpu_channels=neck["mid_channels"],
        dilations=neck["dilations"],
        branch_order="shallow_first",
    )
